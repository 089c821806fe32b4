//! The target of this crate's log lines.

pub(crate) const TARGET: &str = "diesel_named_lock";
