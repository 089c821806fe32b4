//! The number of a session.

use std::fmt;

/// The number of a session on its server, as `CONNECTION_ID()` returns it and `KILL` accepts it.
///
/// ```
/// use diesel_named_lock::ConnectionId;
///
/// assert_eq!(ConnectionId::from(42), 42);
/// assert_eq!(format!("KILL {}", ConnectionId::from(42)), "KILL 42");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

impl ConnectionId {
    #[cfg(test)]
    pub(crate) const fn new(id: u64) -> Self {
        Self(id)
    }

    /// Returns the number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for ConnectionId {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

impl PartialEq<u64> for ConnectionId {
    fn eq(&self, id: &u64) -> bool {
        self.0 == *id
    }
}

impl PartialEq<ConnectionId> for u64 {
    fn eq(&self, id: &ConnectionId) -> bool {
        *self == id.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
