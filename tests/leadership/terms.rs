//! The term of a leader is a fencing token.

use diesel::{Connection, connection::SimpleConnection};
use diesel_named_lock::fence::{self, FenceError};

use testkit::{database::database, world::*};

use crate::stage::*;

testkit::trials![
    terms_grow_and_that_of_a_deposed_leader_is_refused,
    a_leader_without_the_table_has_no_term,
    a_term_that_can_not_be_issued_is_asked_for_again,
];

/// The SQL that this crate ships, as somebody would copy it.
const UP: &str = include_str!("../../migrations/00000000000001-namedlock_create_named_lock_fences/up.sql");

fn terms_grow_and_that_of_a_deposed_leader_is_refused() {
    let (database, name) = (database(), fresh("term"));
    let mut writer = database.connect();
    writer.batch_execute(UP).unwrap();
    let mut check = |term| writer.transaction(|conn| fence::check(conn, &*name, term));
    let candidate = candidate_at(&database.url, &name);
    let deposed = candidate.campaign(SOON).unwrap();
    let first = deposed.term().unwrap();
    check(first).expect("it leads");
    kill(deposed.connection_id().get());
    let next = candidate.campaign(SOON).unwrap();
    assert!(next.term().unwrap() > first);
    // Whatever the old one knows of it.
    let refused = check(first);
    assert!(matches!(refused, Err(FenceError::Stale { .. })), "{refused:?}");
    check(next.term().unwrap()).expect("it leads");
}

fn a_leader_without_the_table_has_no_term() {
    let (database, name) = (database(), fresh("no_term"));
    let leader = candidate_at(&database.url, &name).campaign(SOON).unwrap();
    assert_eq!(leader.term(), None);
    leader.resign().unwrap();
}

/// A writer that has checked the last term holds the next one up.
fn a_term_that_can_not_be_issued_is_asked_for_again() {
    let (database, name) = (database(), fresh("term_held_up"));
    let mut writer = database.connect();
    writer.batch_execute(UP).unwrap();
    let candidate = candidate_at(&database.url, &name);
    let leader = candidate.campaign(SOON).unwrap();
    let first = leader.term().unwrap();
    leader.resign().unwrap();
    let impatient = {
        let url = database.url.clone();
        with_connections(&name, move || {
            let mut conn = diesel::MysqlConnection::establish(&url)?;
            conn.batch_execute("SET SESSION innodb_lock_wait_timeout = 1").unwrap();
            Ok(conn)
        })
    };
    std::thread::scope(|scope| {
        let next = writer.transaction(|conn| {
            fence::check(conn, &*name, first)?;
            let next = scope.spawn(move || impatient.campaign(SOON).unwrap());
            wait_until("the first attempt", || holder(&name).is_some());
            wait_until("its end", || holder(&name).is_none());
            Ok::<_, FenceError>(next)
        });
        let next = next.unwrap().join().unwrap();
        assert!(next.term().unwrap() > first);
    });
    assert_free(&name);
}
