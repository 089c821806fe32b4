//! The pools that connections come from.

use std::error::Error;

#[cfg(any(feature = "bb8", feature = "deadpool"))]
use crate::nonblocking::NamedLockConnection;
use crate::nonblocking::OwnedConnection;

/// A pool of async connections: of bb8 (feature `bb8`), of deadpool (feature `deadpool`), or your own.
pub trait ConnectionPool: Send + Sync + 'static {
    /// A connection that returns to its pool when it is dropped.
    type Connection: OwnedConnection;

    /// Checks out a connection. The future may be dropped while it waits.
    ///
    /// # Errors
    ///
    /// Returns the pool's error if there is no connection.
    fn get(&self) -> impl Future<Output = Result<Self::Connection, Box<dyn Error + Send + Sync>>> + Send;

    /// Returns how many connections there are now, checked out or not.
    fn size(&self) -> usize;
}

#[cfg(feature = "bb8")]
impl<M> ConnectionPool for bb8::Pool<M>
where
    M: bb8::ManageConnection<Connection: NamedLockConnection, Error: Error + Send + Sync>,
{
    type Connection = bb8::PooledConnection<'static, M>;

    /// Runs in a task of its own, which ends even if the future is dropped. Otherwise bb8 would keep a connection whose test was dropped, and
    /// whose next answer is the answer to the test.
    async fn get(&self) -> Result<Self::Connection, Box<dyn Error + Send + Sync>> {
        let pool = self.clone();
        Ok(tokio::spawn(async move { pool.get_owned().await }).await??)
    }

    fn size(&self) -> usize {
        self.state().connections as usize
    }
}

#[cfg(feature = "deadpool")]
impl<M> ConnectionPool for deadpool::managed::Pool<M>
where
    M: deadpool::managed::Manager<Type: NamedLockConnection, Error: Error + Send + Sync> + 'static,
{
    type Connection = deadpool::managed::Object<M>;

    async fn get(&self) -> Result<Self::Connection, Box<dyn Error + Send + Sync>> {
        Ok(self.get().await?)
    }

    fn size(&self) -> usize {
        self.status().size
    }
}
