//! Until the callers name the section's own.

use crate::driver::{
    blocking::{Blocking, ready},
    status::MysqlSession,
};

pub(crate) fn error_number<C: MysqlSession>(conn: &mut C) -> Option<i32> {
    ready(crate::section::error_number::<Blocking, C>(conn))
}
