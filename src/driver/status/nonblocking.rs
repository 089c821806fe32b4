//! Diesel's inner state of an async connection.

use std::mem;

use diesel::{
    connection::{Instrumentation, TransactionManagerStatus},
    mysql::Mysql,
    result::{Error, QueryResult},
};
use diesel_async::{AsyncConnection, TransactionManager};

/// A connection of `diesel-async` to MySQL or MariaDB: plain, pooled by bb8 or deadpool, or of a manager of your own.
///
/// Implemented for every such connection. There is nothing to implement by hand. Use it as the bound of functions that accept any of them:
///
/// ```
/// use std::time::Duration;
///
/// use diesel_named_lock::{NamedLockError, nonblocking::{NamedLockConnection, NamedLockExt}};
///
/// async fn restock(conn: &mut impl NamedLockConnection) -> Result<(), NamedLockError> {
///     conn.with_named_lock("shop:stock", Duration::from_secs(5), async |conn| Ok(())).await
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no connection of `diesel-async` to MySQL or MariaDB",
    label = "named locks need one",
    note = "of a pooled connection, pass `&mut conn`, not the pool: `pool.get().await?`",
    note = "Diesel's blocking connections have `diesel_named_lock::NamedLockExt`"
)]
pub trait NamedLockConnection: AsyncConnection<Backend = Mysql> {}

impl<C: AsyncConnection<Backend = Mysql>> NamedLockConnection for C {}

/// Returns how many transactions and savepoints are open, as far as Diesel knows. A test transaction does not count.
///
/// # Errors
///
/// `BrokenTransactionManager` if Diesel no longer knows.
pub(crate) fn depth<C: NamedLockConnection>(conn: &mut C) -> QueryResult<u32> {
    if was_cancelled(conn) {
        return Err(Error::BrokenTransactionManager);
    }
    let depth = depth_with_test(conn)?;
    Ok(depth - u32::from(is_in_test_transaction(conn)))
}

/// Returns whether Diesel's `begin_test_transaction` has opened a transaction.
pub(crate) fn is_in_test_transaction<C: NamedLockConnection>(conn: &mut C) -> bool {
    // Diesel calls a connection with an open transaction "not broken" only in this case.
    depth_with_test(conn).is_ok_and(|depth| depth > 0) && !C::TransactionManager::is_broken_transaction_manager(conn)
}

/// Whether a `BEGIN`, `COMMIT` or `ROLLBACK` was dropped before its answer. In debug builds, Diesel's next one would panic.
fn was_cancelled<C: NamedLockConnection>(conn: &mut C) -> bool {
    // Without an open transaction or an error, Diesel calls a connection broken only for this.
    let status = mem::take(status(conn));
    let was_cancelled = C::TransactionManager::is_broken_transaction_manager(conn);
    *self::status(conn) = status;
    was_cancelled
}

fn depth_with_test<C: NamedLockConnection>(conn: &mut C) -> QueryResult<u32> {
    Ok(status(conn).transaction_depth()?.map_or(0, Into::into))
}

/// Makes Diesel believe that no transaction is open.
pub(crate) fn set_no_transaction<C: NamedLockConnection>(conn: &mut C) {
    *status(conn) = TransactionManagerStatus::default();
}

/// Makes a pool close this connection, and this crate refuse it. No I/O, and no statement can undo it.
pub(crate) fn mark_broken<C: NamedLockConnection>(conn: &mut C) {
    status(conn).set_in_error();
}

/// Removes the application's hooks from the connection, because one of them panics.
pub(crate) fn silence<C: NamedLockConnection>(conn: &mut C) {
    conn.set_instrumentation(None::<Box<dyn Instrumentation>>);
}

fn status<C: NamedLockConnection>(conn: &mut C) -> &mut TransactionManagerStatus {
    C::TransactionManager::transaction_manager_status_mut(conn)
}
