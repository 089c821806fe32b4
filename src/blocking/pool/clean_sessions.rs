//! A pool whose connections come back with nothing that raw SQL has left in them.

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
/// The sections of this crate leave nothing behind. An application's own `GET_LOCK`, its `batch_execute("BEGIN")`, and what it
/// does between a panic and its `catch_unwind` may: r2d2 looks only at what Diesel knows, so the next one who checks the
/// connection out has somebody else's lock and works in somebody else's transaction. Here, when a connection comes back,
/// the server is told to release all of the session's locks, and to roll back what is open. What was found is logged at
/// `warn`, with the connection's id; where it can't be done, the pool closes the connection, which does it, too.
///
/// It wraps the manager of any Diesel connection to MySQL (5.7.20 or later) or MariaDB (10.5.2 or later; before, the
/// server has no `RELEASE_ALL_LOCKS`, and every connection would be closed):
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
/// // Never released by hand: it is free when the connection is back.
/// diesel::sql_query("DO GET_LOCK('legacy', 10)").execute(&mut pool.get()?)?;
///
/// pool.get()?.with_named_lock("legacy", Duration::from_secs(1), |_| Ok::<_, NamedLockError>(()))?;
/// # Ok(())
/// # }
/// ```
///
/// # What it costs
///
/// At each check-in, one round trip on MariaDB, and two on MySQL, which has no variable that tells whether a transaction
/// is open. They are made where the connection is dropped. None for a connection that is closed anyway: of which Diesel
/// says that it is broken, or whose thread panics.
///
/// # What it does not promise
///
/// * The server tells how many locks it has released, not which. One that was taken twice counts twice.
/// * A connection that never comes back (`mem::forget`, a thread that hangs) is not seen here.
/// * Everything else in a session stays: variables, also `autocommit = 0` (what it has begun is rolled back), temporary
///   tables, `LOCK TABLES`.
/// * Diesel's test transactions (`TestCustomizer`) are kept open; what raw SQL begins inside one is not seen.
#[derive(Debug, Clone)]
pub struct CleanSessions<M> {
    manager: M,
}

impl<M> CleanSessions<M> {
    /// `manager`, with a look at each connection that comes back.
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

    /// r2d2 asks this at check-in.
    fn has_broken(&self, conn: &mut Self::Connection) -> bool {
        // A panic here, of a hook of the application, would cost the pool this place for ever.
        self.manager.has_broken(conn) || !matches!(catch_unwind(AssertUnwindSafe(|| is_cleaned(conn))), Ok(true))
    }
}

fn is_cleaned<C: NamedLockConnection>(conn: &mut C) -> bool {
    if !matches!(status::depth(conn), Ok(0)) {
        // Diesel would go on with a transaction that is no more.
        return false;
    }
    let keeps_open = status::is_in_test_transaction(conn);
    match ready(clean_session::<Blocking, C>(conn, keeps_open)) {
        Ok(Cleaned { locks: 0, transaction: false, .. }) => true,
        Ok(Cleaned { session, locks, transaction }) => {
            let transactions = u8::from(transaction);
            warn!(
                target: TARGET, connection = session.get(), locks, transactions;
                "cleaned a pooled session, in which raw SQL had left {locks} named lock(s), {transactions} transaction(s)"
            );
            true
        }
        Err(error) => {
            warn!(target: TARGET, "the pool closes a connection whose session could not be cleaned: {error}");
            false
        }
    }
}
