//! The protocol of a section, written once over any driver: acquire, then the caller's closure, then release.
//!
//! ```text
//! Hold::acquire    the locks are held, or an error says why not, and nothing is held
//! Hold::is_confirmed   whether the server says that they are still held
//! Hold::release    the server has confirmed the release, or the session was killed; whether they were held to the end
//! ```
//!
//! Straight lines without a thread, a runtime, or a closure. A panic or a dropped future may end each of them at any statement. Then the
//! [`Hold`] knows what is left to be released.

pub(crate) mod acquire;
pub(crate) mod ask;
pub(crate) mod clean;
mod hold;
pub(crate) mod idle_limit;
pub(crate) mod kill;
pub(crate) mod log_line;
pub(crate) mod outcome;
mod release;
mod several;
mod slots;
#[cfg(test)]
mod story;
#[cfg(test)]
mod tests;
mod waiting;

pub use self::outcome::Section;
pub(crate) use self::{acquire::Request, hold::Hold};
