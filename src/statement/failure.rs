//! Until the callers name the section's own.

use crate::driver::{
    blocking::{Blocking, ready},
    status::NamedLockConnection,
};

pub(crate) fn error_number<C: NamedLockConnection>(conn: &mut C) -> Option<i32> {
    ready(crate::section::error_number::<Blocking, C>(conn))
}
