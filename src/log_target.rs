//! Under which target this crate logs.

pub(crate) const TARGET: &str = "diesel_named_lock";
