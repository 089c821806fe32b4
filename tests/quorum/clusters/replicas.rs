//! A primary with two replicas.

use diesel::connection::SimpleConnection;
use diesel_named_lock::{NamedLockError, NamedLockExt};
use testkit::{
    clusters::{
        kill_9,
        replicas::{primary_and_replicas, promote},
    },
    world::{SOON, fresh, get_lock},
};

use super::*;

/// Two replicas before and after the primary, and an account that may not write where it is read-only.
struct Replicated {
    servers: [Server; 3],
    urls: [String; 3],
    table: String,
}

const PRIMARY: usize = 1;
const PROMOTED: usize = 2;

impl Replicated {
    fn start() -> Self {
        let [primary, replica, promoted] = primary_and_replicas();
        connect_to(&primary).batch_execute("CREATE USER app; GRANT ALL ON test.* TO app").unwrap();
        let servers = [replica, primary, promoted];
        let table = table_on(&servers, &servers[PRIMARY]);
        let urls = servers.each_ref().map(|server| server.url().replacen("root", "app", 1));
        Self { servers, urls, table }
    }

    /// Like another process.
    fn quorum(&self) -> TestQuorum {
        nodes(self.urls.each_ref().map(String::as_str)).answer_within(ANSWER_WITHIN).build().unwrap()
    }

    /// Sections write, and it is the promoted server that they write to.
    fn assert_promoted_is_home(&self, quorum: &TestQuorum, name: &str, n: u32) {
        let section = quorum.run(&lock(name), |conn| Outcome::Ok(write(conn, &self.table, n)?));
        section.expect("a home that can be written to");
        let written = format!("SELECT COUNT(*) AS number FROM test.{} WHERE n = {n}", self.table);
        assert_eq!(number(&mut connect_to(&self.servers[PROMOTED]), &written), Some(1));
    }
}

/// A plain lock on the primary is granted by the promoted server, too, before its section ends.
#[test]
fn a_promotion_in_a_section_lets_nobody_else_in_before_its_end_and_the_next_one_runs_on_the_promoted_server() {
    let replicated = Replicated::start();
    let Replicated { servers, table, .. } = &replicated;
    let (one, other, name, plain) = (replicated.quorum(), replicated.quorum(), fresh("promotion"), fresh("plain"));
    let section = one.run(&lock(&name), |conn| {
        write(conn, table, 1)?;
        servers.iter().for_each(|server| wait_for_rows(server, table, 1));
        let outcome = connect_to(&servers[PRIMARY]).with_named_lock(&plain, SOON, |_| {
            connect_to(&servers[PRIMARY]).batch_execute("SET GLOBAL read_only = ON").unwrap();
            promote(&servers[PROMOTED]);
            assert_eq!(get_lock(&mut connect_to(&servers[PROMOTED]), &plain, 0), Some(1));
            Ok::<_, NamedLockError>(())
        });
        outcome.expect("nobody told the session");
        assert_eq!(other.try_run(&lock(&name), |_| Outcome::Ok(())).unwrap(), None);
        let refused = write(conn, table, 2).expect_err("its home is read-only");
        assert!(refused.to_string().contains("read-only"), "{refused}");
        Outcome::Ok(())
    });
    section.expect("held to the end");
    replicated.assert_promoted_is_home(&other, &name, 2);
    replicated.assert_promoted_is_home(&one, &name, 3);
    assert_free(servers, &name);
}

#[test]
fn a_primary_that_is_killed_in_a_section_lets_nobody_else_in_before_its_end() {
    let replicated = Replicated::start();
    let Replicated { servers, table, .. } = &replicated;
    let (one, other, name, plain) = (replicated.quorum(), replicated.quorum(), fresh("killed"), fresh("plain"));
    let section = one.run(&lock(&name), |conn| {
        let outcome = connect_to(&servers[PRIMARY]).with_named_lock(&plain, SOON, |_| {
            kill_9(&servers[PRIMARY]);
            promote(&servers[PROMOTED]);
            assert_eq!(get_lock(&mut connect_to(&servers[PROMOTED]), &plain, 0), Some(1));
            Ok::<_, NamedLockError>(())
        });
        assert!(matches!(outcome, Err(NamedLockError::Lost { .. })), "{outcome:?}");
        assert_eq!(other.try_run(&lock(&name), |_| Outcome::Ok(())).unwrap(), None);
        write(conn, table, 1).expect_err("its home is gone");
        Outcome::Ok(())
    });
    section.expect("two of three");
    replicated.assert_promoted_is_home(&other, &name, 1);
    replicated.assert_promoted_is_home(&one, &name, 2);
}
