//! Cleans up what raw SQL has left in a session.

use diesel::result::QueryResult;

use crate::{
    connection_id::ConnectionId,
    driver::{Driver, retry::ask_again},
    statement::{
        ask_again::{Failed, Unless, again},
        leftovers::{FailInTransaction, IN_TRANSACTION, Leftovers, ReleaseAllLocks},
    },
};

use super::ask::roll_back_plainly;

/// What was found and removed.
pub(crate) struct Cleaned {
    pub(crate) session: ConnectionId,
    /// A lock that was acquired twice counts twice.
    pub(crate) locks: u64,
    pub(crate) transaction: bool,
}

/// Releases every named lock of the session and rolls back what is open, unless it is to be kept open.
///
/// One round trip on MariaDB, two on MySQL, if there is nothing to do. The locks are released first, because no other session has seen
/// what is rolled back.
///
/// # Errors
///
/// Returns an error if the clean-up was not confirmed. Then it is unknown what was left.
pub(crate) async fn clean_session<D: Driver<C>, C>(conn: &mut C, keeps_open: bool) -> QueryResult<Cleaned> {
    let Leftovers { session, locks, in_transaction } = ask_again::<D, C, _>(conn, &ReleaseAllLocks).await?;
    let transaction = match in_transaction {
        _ if keeps_open => false,
        Some(in_transaction) => in_transaction,
        None => is_in_transaction::<D, C>(conn).await?,
    };
    if transaction {
        roll_back_plainly::<D, C>(conn).await?;
    }
    Ok(Cleaned { session, locks, transaction })
}

/// MySQL has no variable that says so, only a statement that fails with a number of its own.
async fn is_in_transaction<D: Driver<C>, C>(conn: &mut C) -> QueryResult<bool> {
    match again!(D, conn, Unless::Interrupted, D::execute(conn, FailInTransaction).await) {
        Ok(()) => Ok(false),
        Err(Failed { number: Some(IN_TRANSACTION), .. }) => Ok(true),
        Err(failed) => Err(failed.error),
    }
}
