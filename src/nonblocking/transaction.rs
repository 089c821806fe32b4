//! A transaction whose rollback may be struck.

use diesel::result::{Error, QueryResult};
use diesel_async::TransactionManager;

use super::work::AsyncWork;
use crate::{
    driver::{
        nonblocking::Nonblocking,
        status::nonblocking::{self as status, NamedLockConnection},
    },
    section::ask::roll_back_plainly,
};

/// Runs `work` inside a transaction, like Diesel's `transaction`. But Diesel does not repeat a `ROLLBACK` that `KILL QUERY` has struck, and
/// treats the connection as broken.
///
/// # Errors
///
/// Returns the error of `work` if the transaction was rolled back, and otherwise Diesel's.
pub(super) async fn transaction<C, T, E, F>(conn: &mut C, work: F) -> Result<T, E>
where
    C: NamedLockConnection,
    T: Send,
    E: From<Error> + Send,
    for<'r> F: AsyncFnOnce(&'r mut C) -> Result<T, E> + AsyncWork<&'r mut C, Result<T, E>, Future: Send> + Send,
{
    // After a transaction's own statement was dropped, Diesel's next one would panic in a debug build.
    status::depth(conn)?;
    C::TransactionManager::begin_transaction(conn).await?;
    match work(&mut *conn).await {
        Ok(value) => {
            status::depth(conn)?;
            C::TransactionManager::commit_transaction(conn).await?;
            Ok(value)
        }
        Err(of_work) => match roll_back(conn).await {
            Ok(()) | Err(Error::BrokenTransactionManager) => Err(of_work),
            Err(of_diesel) => Err(of_diesel.into()),
        },
    }
}

async fn roll_back<C: NamedLockConnection>(conn: &mut C) -> QueryResult<()> {
    let depth = status::depth(conn)?;
    let Err(struck) = C::TransactionManager::rollback_transaction(conn).await else { return Ok(()) };
    // Only the outermost one: for a savepoint, Diesel reports it to the transaction around it.
    if depth != 1 || status::depth(conn).is_ok() || roll_back_plainly::<Nonblocking, C>(conn).await.is_err() {
        return Err(struck);
    }
    status::set_no_transaction(conn);
    Ok(())
}
