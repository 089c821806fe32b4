//! What an error says, and what code can do with it.

use std::{error::Error as _, thread, time::Duration};

use diesel::{prelude::*, result::Error as Diesel, sql_query};
use diesel_named_lock::{NamedLockError, NamedLockExt, SessionInfo};
use url::Url;

use testkit::world::*;

fn timeout(conn: &mut MysqlConnection, name: &str) -> NamedLockError {
    let outcome: Result<(), NamedLockError> =
        conn.with_named_lock(name, Duration::ZERO, |_| unreachable!("it is held elsewhere"));
    outcome.unwrap_err()
}

fn holder_in(error: &NamedLockError) -> &SessionInfo {
    match error {
        NamedLockError::Timeout { holder: Some(holder), .. } => holder,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_timeout_names_the_holder_with_user_host_and_database() {
    let name = fresh("who");
    let elsewhere = hold_elsewhere(&name);
    let error = timeout(&mut connect(), &name);
    let holder = holder_in(&error);
    let url = Url::parse(server().url()).unwrap();
    assert_eq!(holder.connection_id, elsewhere.id);
    assert_eq!(holder.user.as_deref(), Some(url.username()));
    assert_eq!(holder.database.as_deref(), Some(url.path().trim_start_matches('/')));
    assert!(holder.host.is_some());
    assert_eq!(holder.statement, None, "it is idle");
    assert!(holder.state_for.is_some());

    let message = error.to_string();
    assert!(message.contains(&format!("`{name}`")), "{message}");
    assert!(message.contains(&format!("held by connection {} (", elsewhere.id)), "{message}");
    assert!(message.contains("try again later"), "{message}");
}

/// MySQL's `information_schema.PROCESSLIST` fails then.
#[test]
fn a_timeout_names_the_holder_although_a_session_runs_a_statement_with_an_emoji() {
    let name = fresh("emoji");
    let elsewhere = hold_elsewhere(&name);
    let mut other = connect();
    let id = id(&mut other);
    thread::scope(|scope| {
        // Ends by the kill below.
        let busy = scope.spawn(move || drop(sql_query("SELECT SLEEP(60) /* 🔒 */").execute(&mut other)));
        wait_until("the statement to run", || is_in_state(id, "User sleep"));
        let error = timeout(&mut connect(), &name);
        let holder = holder_in(&error);
        assert_eq!(holder.connection_id, elsewhere.id);
        assert!(holder.user.is_some() && holder.state_for.is_some(), "{holder:?}");
        kill(id);
        busy.join().unwrap();
    });
}

#[test]
fn a_timeout_tells_what_the_holder_runs() {
    let name = fresh("runs");
    let mut elsewhere = hold_elsewhere(&name);
    let id = elsewhere.id;
    thread::scope(|scope| {
        // Ends by the kill below.
        let busy = scope.spawn(move || drop(sql_query("SELECT SLEEP(60) AS slept").execute(&mut elsewhere.conn)));
        wait_until("the holder to run its statement", || is_in_state(id, "User sleep"));
        let error = timeout(&mut connect(), &name);
        assert_eq!(holder_in(&error).statement.as_deref(), Some("SELECT SLEEP(60) AS slept"));
        assert!(error.to_string().contains("running `SELECT SLEEP(60) AS slept`"), "{error}");
        kill(id);
        busy.join().unwrap();
    });
}

#[test]
fn without_privileges_a_timeout_gives_the_holders_id_alone() {
    let (name, user) = (fresh("unseen"), format!("u{}", std::process::id()));
    let elsewhere = hold_elsewhere(&name);
    let mut url = Url::parse(server().url()).unwrap();
    let mut admin = connect();
    for host in ["localhost", "%"] {
        for grant in ["CREATE USER", "GRANT SELECT ON performance_schema.* TO"] {
            let statement = format!("{grant} '{user}'@'{host}'");
            let created = sql_query(&statement).execute(&mut admin);
            created.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }
    url.set_username(&user).unwrap();
    url.set_password(None).unwrap();
    url.set_path("/performance_schema");
    let error = timeout(&mut MysqlConnection::establish(url.as_str()).unwrap(), &name);
    let holder = holder_in(&error);
    assert_eq!(holder.connection_id, elsewhere.id);
    assert_eq!((&holder.user, &holder.host, &holder.database), (&None, &None, &None));
    assert!(error.to_string().contains(&format!("held by connection {}:", elsewhere.id)), "{error}");
    for host in ["localhost", "%"] {
        sql_query(format!("DROP USER '{user}'@'{host}'")).execute(&mut admin).unwrap();
    }
}

#[test]
fn errors_can_be_sent_to_other_threads_and_boxed() {
    fn assert_error<E: std::error::Error + Send + Sync + 'static>() {}
    assert_error::<NamedLockError>();
    let name = fresh("boxed");
    let _elsewhere = hold_elsewhere(&name);
    let outcome: Result<(), Box<dyn std::error::Error + Send + Sync>> =
        connect().with_named_lock(&name, Duration::ZERO, |_| Ok(()));
    assert!(outcome.unwrap_err().downcast_ref::<NamedLockError>().is_some_and(NamedLockError::is_timeout));
}

#[test]
fn code_with_diesels_own_error_gets_ours_inside_it() {
    let name = fresh("query_result");
    let _elsewhere = hold_elsewhere(&name);
    let outcome: QueryResult<()> = connect().with_named_lock(&name, Duration::ZERO, |_| Ok(()));
    match outcome.unwrap_err() {
        Diesel::QueryBuilderError(inner) => {
            assert!(inner.downcast_ref::<NamedLockError>().unwrap().is_timeout());
            assert!(inner.to_string().contains(&name));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_of_ours_that_travelled_inside_diesels_comes_out_as_it_was() {
    let name = fresh("travelled");
    let _elsewhere = hold_elsewhere(&name);
    let busy =
        |conn: &mut MysqlConnection| -> QueryResult<()> { conn.with_named_lock(&name, Duration::ZERO, |_| Ok(())) };
    let outcome: Result<(), NamedLockError> = busy(&mut connect()).map_err(NamedLockError::from);
    assert!(outcome.unwrap_err().is_timeout());
}

#[test]
fn an_error_of_diesel_survives_the_way_through_ours_and_back() {
    let back = Diesel::from(NamedLockError::from(Diesel::NotFound));
    assert_eq!(back, Diesel::NotFound);
}

#[test]
fn the_servers_own_error_is_kept_as_the_source() {
    let (mut conn, name) = (connect(), fresh("source"));
    let own = id(&mut conn);
    kill(own);
    wait_until("the killed session to be gone", || !is_alive(own));
    let outcome: Result<(), NamedLockError> = conn.with_named_lock(&name, SOON, |_| Ok(()));
    let error = outcome.unwrap_err();
    assert!(
        matches!(error.source().and_then(|source| source.downcast_ref()), Some(Diesel::DatabaseError(..))),
        "{error:?}"
    );
    assert!(error.to_string().contains(&name), "{error}");
}

#[test]
fn only_errors_after_which_a_retry_makes_sense_are_transient() {
    let transient = |error: &NamedLockError| (error.is_timeout(), error.is_transient());
    let mut conn = connect();
    let name = fresh("transient");
    let elsewhere = hold_elsewhere(&name);
    assert_eq!(transient(&timeout(&mut conn, &name)), (true, true));
    drop(elsewhere);
    let invalid: Result<(), NamedLockError> = conn.with_named_lock("", SOON, |_| Ok(()));
    assert_eq!(transient(&invalid.unwrap_err()), (false, false));
    assert_eq!(transient(&Diesel::NotFound.into()), (false, false));
}
