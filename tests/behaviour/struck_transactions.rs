//! `KILL QUERY` at the end of a section's transaction, several times in a row.

use diesel::{prelude::*, result::Error};
use diesel_named_lock::NamedLock;

use testkit::{striking::Striking, world::*};

const TIMES: [u32; 5] = [1, 2, 4, 5, 9];

/// A section whose transaction ends with `outcome`, and is struck so many times from then on. Its session must live.
fn struck(times: u32, outcome: Result<(), Error>) -> Result<(), Error> {
    let (proxy, name) = (Striking::to(server().tcp_url()), fresh("struck_transaction"));
    let mut conn = MysqlConnection::establish(proxy.url()).expect("a connection through the proxy");
    let session = id(&mut conn);
    let lock = NamedLock::new(&name).unwrap().timeout(SOON);
    let told = lock.run_transaction(&mut conn, |_| {
        proxy.strike(times, "");
        outcome
    });
    assert_eq!(proxy.struck(), times);
    assert_eq!(holder(&name), None, "struck {times} times: it is held");
    assert_eq!(id(&mut conn), session);
    // Neither in a transaction, nor marked broken.
    let again: Result<_, Error> = lock.run_transaction(&mut conn, |_| Ok(()));
    again.expect("a connection that is sound");
    told
}

#[test]
fn a_rollback_of_a_sections_transaction_that_is_struck_costs_neither_the_session_nor_the_works_error() {
    for times in TIMES {
        let told = struck(times, Err(Error::NotFound));
        assert!(matches!(told, Err(Error::NotFound)), "struck {times} times: {told:?}");
    }
}

#[test]
fn a_commit_of_a_sections_transaction_that_is_struck_is_told_and_does_not_cost_the_session() {
    for times in TIMES {
        let told = struck(times, Ok(()));
        let expected = matches!(told, Err(Error::DatabaseError(..) | Error::RollbackErrorOnCommit { .. }));
        assert!(expected, "struck {times} times: {told:?}");
    }
}
