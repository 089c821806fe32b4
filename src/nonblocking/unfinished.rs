//! A connection on which an answer may be outstanding.

use scopeguard::ScopeGuard;

use crate::driver::status::nonblocking::{self as status, NamedLockConnection};

/// Marks the connection broken if this value is dropped, with the future around it, before it is [`finished`]. An outstanding answer would be
/// taken for the next one.
pub(super) type Unfinished<'c, C> = ScopeGuard<&'c mut C, fn(&'c mut C)>;

pub(super) fn unfinished<C: NamedLockConnection>(conn: &mut C) -> Unfinished<'_, C> {
    scopeguard::guard(conn, |conn| status::mark_broken(conn))
}

/// Disarms it: nothing is in flight any more.
pub(super) fn finished<C: NamedLockConnection, T>(conn: Unfinished<'_, C>, answer: T) -> T {
    ScopeGuard::into_inner(conn);
    answer
}
