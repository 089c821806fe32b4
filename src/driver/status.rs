//! Diesel's inner state of a connection: the one place that touches it.

#[cfg(feature = "async")]
pub(crate) mod nonblocking;

use diesel::{
    connection::{CacheSize, Instrumentation, LoadConnection, TransactionManager, TransactionManagerStatus},
    mysql::Mysql,
    result::QueryResult,
};
use scopeguard::ScopeGuard;

/// A Diesel connection to MySQL or MariaDB: plain, pooled by r2d2, or of a manager of your own.
///
/// Implemented for every such connection. There is nothing to implement by hand. Use it as the bound of functions that accept any of them:
///
/// ```
/// use std::time::Duration;
///
/// use diesel_named_lock::{NamedLockConnection, NamedLockError, NamedLockExt};
///
/// fn restock(conn: &mut impl NamedLockConnection) -> Result<(), NamedLockError> {
///     conn.with_named_lock("shop:stock", Duration::from_secs(5), |conn| Ok(()))
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no blocking Diesel connection to MySQL or MariaDB",
    label = "named locks need one",
    note = "of a pooled connection, pass `&mut conn`, not the pool: `pool.get()?`",
    note = "connections of `diesel-async` are not blocking: use module `nonblocking` (feature `async`)"
)]
pub trait NamedLockConnection: LoadConnection<Backend = Mysql> {}

impl<C: LoadConnection<Backend = Mysql>> NamedLockConnection for C {}

/// Returns how many transactions and savepoints are open, as far as Diesel knows. A test transaction does not count.
///
/// # Errors
///
/// Returns `BrokenTransactionManager` if Diesel no longer knows.
pub(crate) fn depth<C: NamedLockConnection>(conn: &mut C) -> QueryResult<u32> {
    let depth = depth_with_test(conn)?;
    Ok(depth - u32::from(is_in_test_transaction(conn)))
}

/// Returns whether Diesel's `begin_test_transaction` has opened a transaction.
pub(crate) fn is_in_test_transaction<C: NamedLockConnection>(conn: &mut C) -> bool {
    // Diesel calls a connection with an open transaction "not broken" only in this case.
    depth_with_test(conn).is_ok_and(|depth| depth > 0) && !C::TransactionManager::is_broken_transaction_manager(conn)
}

fn depth_with_test<C: NamedLockConnection>(conn: &mut C) -> QueryResult<u32> {
    let depth = C::TransactionManager::transaction_manager_status_mut(conn).transaction_depth()?;
    Ok(depth.map_or(0, Into::into))
}

/// Makes Diesel believe that no transaction is open.
pub(crate) fn set_no_transaction<C: NamedLockConnection>(conn: &mut C) {
    *C::TransactionManager::transaction_manager_status_mut(conn) = TransactionManagerStatus::default();
}

/// Makes a pool close this connection at check-in. No I/O, and no statement can undo it.
pub(crate) fn mark_broken<C: NamedLockConnection>(conn: &mut C) {
    C::TransactionManager::transaction_manager_status_mut(conn).set_in_error();
}

/// Drops every prepared statement of the connection.
///
/// Required after any failure of a cached statement, before anything else: with libmariadb, repeating a statement that failed after its
/// metadata was sent waits for ever. Leaves the cache switched on, as Diesel has it by default.
pub(crate) fn forget_statements<C: NamedLockConnection>(conn: &mut C) {
    conn.set_prepared_statement_cache_size(CacheSize::Disabled);
    conn.set_prepared_statement_cache_size(CacheSize::Unbounded);
}

/// Sends a statement, and drops what is prepared unless it succeeds, also if a hook of the application panics in it.
pub(crate) fn forgetting_failures<C: NamedLockConnection, T>(
    conn: &mut C,
    send: impl FnOnce(&mut C) -> QueryResult<T>,
) -> QueryResult<T> {
    let mut conn = scopeguard::guard(conn, forget_statements);
    let answer = send(*conn)?;
    ScopeGuard::into_inner(conn);
    Ok(answer)
}

/// Removes the application's hooks from the connection, because one of them panics.
pub(crate) fn silence<C: NamedLockConnection>(conn: &mut C) {
    conn.set_instrumentation(None::<Box<dyn Instrumentation>>);
}
