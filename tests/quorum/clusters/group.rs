//! Three members of a Group Replication group.

use diesel_named_lock::quorum::QuorumError;
use testkit::{
    clusters::{
        group::{Mode, start_group, switch_over_to},
        kill_9,
    },
    world::fresh,
};

use super::*;

static MULTI_PRIMARY: Shared<[Server; 3]> = Shared::new(|| start_group(Mode::MultiPrimary));

/// Only MySQL has Group Replication.
fn on_multi_primary(test: impl FnOnce(&mut [Server; 3])) {
    if !Product::wanted().is_mariadb() {
        MULTI_PRIMARY.with(test);
    }
}

#[test]
fn a_quorum_excludes_between_the_members_of_a_group_what_a_named_lock_alone_does_not() {
    on_multi_primary(|members| assert_excludes_what_a_plain_lock_does_not(members));
}

#[test]
fn sections_on_one_home_of_a_group_never_overlap_and_what_they_write_arrives() {
    on_multi_primary(|members| assert_never_overlap(members, ["a", "a", "a"], "DO 0"));
}

/// A member may apply what another one has committed a moment later. "Understanding Transaction Consistency Guarantees".
#[test]
fn sections_on_several_homes_of_a_group_read_what_the_last_one_wrote_if_they_wait_for_it() {
    on_multi_primary(|members| {
        assert_never_overlap(members, NAMES, "SET SESSION group_replication_consistency = 'BEFORE'")
    });
}

#[test]
fn a_section_survives_the_kill_of_one_member_of_a_group_and_not_of_two() {
    if Product::wanted().is_mariadb() {
        return;
    }
    let members = start_group(Mode::MultiPrimary);
    let (quorum, name, table) = (quorum_of(&members), fresh("killed"), table_on(&members, &members[0]));
    let one = quorum.run(&lock(&name), |conn| {
        kill_9(&members[2]);
        Outcome::Ok(write(conn, &table, 1)?)
    });
    one.expect("two of three");
    wait_for_rows(&members[1], &table, 1);
    let two = quorum.run(&lock(&name), |_| {
        kill_9(&members[1]);
        Outcome::Ok(())
    });
    assert!(matches!(two, Err(QuorumError::Lost { .. })), "{two:?}");
}

/// The second member is the primary. The others are read-only.
fn single_primary() -> [Server; 3] {
    let [primary, second, third] = start_group(Mode::SinglePrimary);
    [second, primary, third]
}

/// Sections write, on this member.
fn assert_home(quorum: &TestQuorum, name: &str, member: &Server, table: &str, n: u32) {
    let port = |conn: &mut MysqlConnection| number(conn, "SELECT @@port AS number");
    let section = quorum.run(&lock(name), |conn| {
        write(conn, table, n)?;
        Outcome::Ok(port(conn))
    });
    assert_eq!(section.expect("a home that can be written to"), port(&mut connect_to(member)));
}

#[test]
fn the_home_in_a_group_is_its_primary_and_the_new_one_after_a_switchover_and_after_a_failover() {
    if Product::wanted().is_mariadb() {
        return;
    }
    let members = single_primary();
    let (one, other, name) = (quorum_of(&members), quorum_of(&members), fresh("primary"));
    let table = table_on(&members, &members[1]);
    assert_home(&one, &name, &members[1], &table, 1);

    let section = one.run(&lock(&name), |conn| {
        switch_over_to(&members[2]);
        assert_eq!(other.try_run(&lock(&name), |_| Outcome::Ok(())).unwrap(), None);
        let refused = write(conn, &table, 2).expect_err("its home is read-only");
        assert!(refused.to_string().contains("read-only"), "{refused}");
        Outcome::Ok(())
    });
    section.expect("held to the end");
    assert_home(&one, &name, &members[2], &table, 2);
    assert_home(&other, &name, &members[2], &table, 3);

    let section = one.run(&lock(&name), |conn| {
        kill_9(&members[2]);
        assert_eq!(other.try_run(&lock(&name), |_| Outcome::Ok(())).unwrap(), None);
        write(conn, &table, 4).expect_err("its home is gone");
        Outcome::Ok(())
    });
    section.expect("two of three");
    let new = wait_for_primary(&members[..2]);
    assert_home(&one, &name, new, &table, 4);
    assert_home(&other, &name, new, &table, 5);
}

fn wait_for_primary(members: &[Server]) -> &Server {
    let accepts_writes =
        |member: &&Server| number(&mut connect_to(member), "SELECT @@super_read_only AS number") == Some(0);
    let mut primary = None;
    wait_until("another primary", || {
        primary = members.iter().find(accepts_writes);
        primary.is_some()
    });
    primary.unwrap()
}
