//! What is written, and to whom.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
};

use crate::{exit_status, failure::Failure};

/// Writes to standard output. That nobody reads it any more is no failure.
pub fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure { status: exit_status::OUTPUT, text: format!("can't write to standard output: {error}") })
        }
        _ => Ok(()),
    }
}

/// Writes one line to standard error, or nothing if that is closed.
pub fn complain(text: impl Display) {
    let _ = writeln!(io::stderr(), "named-lock: {}", one_line(&text.to_string()));
}

/// Text of a server, on one line and without what would confuse a terminal.
pub fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    shown(&words)
}

/// Text of a server, as it is, but without what would confuse a terminal.
pub fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}
