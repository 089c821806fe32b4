//! A manager that cleans up what raw SQL has left in pooled connections.

use std::panic::{AssertUnwindSafe, catch_unwind};

use diesel::r2d2::ManageConnection;
use log::warn;

use crate::{
    driver::{
        blocking::{Blocking, ready},
        status::{self, NamedLockConnection},
    },
    log_target::TARGET,
    section::clean::{Cleaned, clean_session},
};

/// An r2d2 manager that leaves no named lock, and no transaction begun by raw SQL, in the connections of its pool.
///
/// The sections of this crate leave nothing behind. But an application's own `GET_LOCK`, its `batch_execute("BEGIN")`, and a panic that it
/// catches may. r2d2 checks only what Diesel knows. So the next checkout may get a connection with another caller's lock and transaction.
///
/// With this manager, each check-in releases all locks of the session and rolls back what is open. What was found is logged at `warn`, with
/// the connection's id. If that fails, the pool closes the connection, which has the same effect.
///
/// It wraps the manager of any Diesel connection to MySQL (5.7.20 or later) or MariaDB (10.5.2 or later). Older servers have no
/// `RELEASE_ALL_LOCKS`, so that every connection would be closed.
///
/// ```no_run
/// use std::time::Duration;
///
/// use diesel::{MysqlConnection, prelude::*, r2d2::{ConnectionManager, Pool}};
/// use diesel_named_lock::{NamedLockError, NamedLockExt, pool::CleanSessions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = ConnectionManager::<MysqlConnection>::new("mysql://app@127.0.0.1/shop");
/// let pool = Pool::new(CleanSessions::new(manager))?;
///
/// // Never released by hand. It is free once the connection is back in the pool.
/// diesel::sql_query("DO GET_LOCK('legacy', 10)").execute(&mut pool.get()?)?;
///
/// pool.get()?.with_named_lock("legacy", Duration::from_secs(1), |_| Ok::<_, NamedLockError>(()))?;
/// # Ok(())
/// # }
/// ```
///
/// # What it costs
///
/// Each check-in costs one round trip on MariaDB, and two on MySQL, which has no variable that says whether a transaction is open. The thread
/// that drops the connection waits for them. There is no round trip if the connection is closed anyway: because Diesel says that it is
/// broken, or because its thread panics.
///
/// # What it does not promise
///
/// * The server says how many locks it has released, not which ones. A lock that was acquired twice counts twice.
/// * A connection that never returns (`mem::forget`, a thread that hangs) is not cleaned.
/// * Everything else in a session stays: variables, also `autocommit = 0` (what it has begun is rolled back), temporary tables,
///   `LOCK TABLES`, `FLUSH TABLES WITH READ LOCK`, backup locks. The guide on pools says what ends them.
/// * Diesel's test transactions (`TestCustomizer`) are kept open. What raw SQL begins inside a test transaction is not noticed.
#[derive(Debug, Clone)]
pub struct CleanSessions<M> {
    manager: M,
}

impl<M> CleanSessions<M> {
    /// Wraps `manager`, to clean each connection that returns to the pool.
    pub fn new(manager: M) -> Self {
        Self { manager }
    }
}

impl<M> ManageConnection for CleanSessions<M>
where
    M: ManageConnection,
    M::Connection: NamedLockConnection,
{
    type Connection = M::Connection;
    type Error = M::Error;

    fn connect(&self) -> Result<Self::Connection, Self::Error> {
        self.manager.connect()
    }

    fn is_valid(&self, conn: &mut Self::Connection) -> Result<(), Self::Error> {
        self.manager.is_valid(conn)
    }

    /// r2d2 calls this at check-in.
    fn has_broken(&self, conn: &mut Self::Connection) -> bool {
        // A panic of a hook of the application here would permanently cost the pool this slot.
        self.manager.has_broken(conn) || !matches!(catch_unwind(AssertUnwindSafe(|| is_cleaned(conn))), Ok(true))
    }
}

fn is_cleaned<C: NamedLockConnection>(conn: &mut C) -> bool {
    if !matches!(status::depth(conn), Ok(0)) {
        // Otherwise Diesel would continue with a transaction that no longer exists.
        return false;
    }
    let keeps_open = status::is_in_test_transaction(conn);
    match ready(clean_session::<Blocking, C>(conn, keeps_open)) {
        Ok(Cleaned { locks: 0, transaction: false, .. }) => true,
        Ok(Cleaned { session, locks, transaction }) => {
            let (connection, transactions) = (session.get(), u8::from(transaction));
            warn!(
                target: TARGET, connection, locks, transactions;
                "cleaned pooled connection {connection}, in which raw SQL had left {locks} named lock(s), {transactions} transaction(s)"
            );
            true
        }
        Err(error) => {
            warn!(target: TARGET, "the pool closes a connection whose session could not be cleaned: {error}");
            false
        }
    }
}
