//! [`Permits`] and [`SharedLock`] for async connections, like [those of blocking ones](crate::permits).

use super::NamedLock;
use crate::{error::NamedLockError, name::LockName, permits};

/// A number of permits, like [`Permits`](permits::Permits), which says how they work.
///
/// ```no_run
/// use diesel_async::AsyncMysqlConnection;
/// use diesel_named_lock::{NamedLockError, nonblocking::permits::Permits};
///
/// # async fn render(_: &mut AsyncMysqlConnection) -> Result<(), NamedLockError> { Ok(()) }
/// # async fn run(conn: &mut AsyncMysqlConnection) -> Result<(), NamedLockError> {
/// let renderers = Permits::new("renderers", 3)?;
/// renderers.permit().run(conn, render).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Permits(permits::Permits);

impl Permits {
    /// The largest number of permits.
    pub const MAX_COUNT: u32 = permits::Permits::MAX_COUNT;

    /// The largest number of characters of a name.
    pub const MAX_NAME_CHARS: usize = permits::Permits::MAX_NAME_CHARS;

    /// Creates permits, like [`Permits::new`](permits::Permits::new).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Permits::new`](permits::Permits::new).
    pub fn new(name: impl TryInto<LockName, Error: Into<NamedLockError>>, count: u32) -> Result<Self, NamedLockError> {
        permits::Permits::new(name, count).map(Self)
    }

    /// Creates permits for a `static`, checked at compile time.
    ///
    /// # Panics
    ///
    /// Panics if [`new`](Self::new) would return an error.
    #[must_use]
    pub const fn from_static(name: &'static str, count: u32) -> Self {
        Self(permits::Permits::from_static(name, count))
    }

    /// Returns the lock of a section that acquires one permit.
    pub fn permit(&self) -> NamedLock {
        self.0.permit().into()
    }

    /// Returns the lock of a section that acquires several permits, all or none.
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::InvalidPermits`] if `wanted` is 0 or more than the number of permits.
    pub fn permits(&self, wanted: u32) -> Result<NamedLock, NamedLockError> {
        self.0.permits(wanted).map(Into::into)
    }

    /// Returns the number of permits.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.count()
    }
}

/// A lock that is shared or exclusive, like [`SharedLock`](permits::SharedLock), which says how it works.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SharedLock(permits::SharedLock);

impl SharedLock {
    /// How many sections share the lock at most.
    pub const MAX_SHARED: u32 = permits::SharedLock::MAX_SHARED;

    /// The largest number of characters of a name.
    pub const MAX_NAME_CHARS: usize = permits::SharedLock::MAX_NAME_CHARS;

    /// Creates a lock, like [`SharedLock::new`](permits::SharedLock::new).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`SharedLock::new`](permits::SharedLock::new).
    pub fn new(name: impl TryInto<LockName, Error: Into<NamedLockError>>) -> Result<Self, NamedLockError> {
        permits::SharedLock::new(name).map(Self)
    }

    /// Creates a lock for a `static`, with a name that is checked at compile time.
    ///
    /// # Panics
    ///
    /// Panics if [`new`](Self::new) would return an error.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        Self(permits::SharedLock::from_static(name))
    }

    /// Returns the lock of a section that may run beside other shared ones, and beside no exclusive one.
    pub fn shared(&self) -> NamedLock {
        self.0.shared().into()
    }

    /// Returns the lock of a section that runs alone.
    pub fn exclusive(&self) -> NamedLock {
        self.0.exclusive().into()
    }
}

impl From<permits::Permits> for Permits {
    fn from(permits: permits::Permits) -> Self {
        Self(permits)
    }
}

impl From<Permits> for permits::Permits {
    fn from(Permits(permits): Permits) -> Self {
        permits
    }
}

impl From<permits::SharedLock> for SharedLock {
    fn from(lock: permits::SharedLock) -> Self {
        Self(lock)
    }
}

impl From<SharedLock> for permits::SharedLock {
    fn from(SharedLock(lock): SharedLock) -> Self {
        lock
    }
}
