//! Connections that can be closed, from any pool.

use diesel_async::AsyncMysqlConnection;

use crate::driver::status::nonblocking::NamedLockConnection;

/// A connection that a [`NamedLockGuard`](super::NamedLockGuard) can own: plain, from bb8's `get_owned()` (feature `bb8`), or from deadpool
/// (feature `deadpool`).
///
/// For a manager of your own, implement it: `impl OwnedConnection for MyConnection {}`.
pub trait OwnedConnection: NamedLockConnection + Send + Sized + 'static {
    /// Closes the connection without waiting for anything, because the future that used it was dropped. Called from `Drop`, also outside a
    /// runtime.
    ///
    /// Defaults to dropping it, which is right if its pool then closes a connection that is marked broken. Otherwise, take the connection out
    /// of the pool.
    fn close(self) {
        drop(self);
    }
}

impl OwnedConnection for AsyncMysqlConnection {}

#[cfg(feature = "bb8")]
impl<M: bb8::ManageConnection<Connection: NamedLockConnection>> OwnedConnection for bb8::PooledConnection<'static, M> {}

/// deadpool keeps a broken connection until it would hand that connection out.
#[cfg(feature = "deadpool")]
impl<M> OwnedConnection for deadpool::managed::Object<M>
where
    M: deadpool::managed::Manager<Type: NamedLockConnection> + 'static,
{
    fn close(self) {
        drop(Self::take(self));
    }
}
