//! Why the program ends without having done what was asked.

use std::fmt::Display;

use crate::exit_status;

pub struct Failure {
    pub status: u8,
    pub text: String,
}

impl Failure {
    pub fn usage(text: impl Display) -> Self {
        Self { status: exit_status::USAGE, text: text.to_string() }
    }

    pub fn unavailable(text: impl Display) -> Self {
        Self { status: exit_status::UNAVAILABLE, text: text.to_string() }
    }
}
