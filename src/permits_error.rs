//! The error of permits that can't exist.

use crate::name::LockName;

/// The error of [`Permits`](crate::permits::Permits), or of a [`SharedLock`](crate::permits::SharedLock), that can't exist. Nothing was sent
/// to the server.
///
/// ```
/// use diesel_named_lock::permits::Permits;
///
/// let error = Permits::new("mail", 0).unwrap_err();
/// assert_eq!(error.to_string(), "invalid number of permits 0: must be from 1 to 64");
/// let error = Permits::new("mail", 3)?.permits(4).unwrap_err();
/// assert_eq!(error.to_string(), "invalid number of permits to acquire 4: must be from 1 to 3, the number of permits");
/// # Ok::<_, diesel_named_lock::NamedLockError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPermits {
    /// The number of permits is zero, or too large.
    #[error("invalid number of permits {0}: must be from 1 to 64")]
    Count(u32),
    /// No permit is to be acquired at once, or more than there are.
    #[error("invalid number of permits to acquire {wanted}: must be from 1 to {count}, the number of permits")]
    #[non_exhaustive]
    Wanted {
        /// The number that was refused.
        wanted: u32,
        /// The number of permits.
        count: u32,
    },
    /// The name is valid, but leaves no room for what is added to it.
    #[error("name `{name}` of permits or of a shared lock has {chars} characters, more than 52: shorten it")]
    #[non_exhaustive]
    NameTooLong {
        /// The name that was refused.
        name: LockName,
        /// The number of its characters.
        chars: usize,
    },
}
