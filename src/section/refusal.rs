//! Why the locks of a section were not got.

use std::time::Duration;

use crate::{
    error::NamedLockError,
    name::LockName,
    statement::failure::{Cause, Failure},
};

/// The lock that another session held until the timeout.
#[derive(Debug)]
pub(crate) struct Busy {
    pub(crate) name: LockName,
    pub(crate) waited: Duration,
}

/// What came of asking for a lock, if not the lock.
pub(crate) enum Refusal<'p> {
    Busy(&'p LockName),
    HeldBefore(&'p LockName, u64),
    Failed(&'p LockName, Failure),
}

impl<'p> Refusal<'p> {
    /// `ended`: the connection did not survive it.
    pub(crate) fn explain(self, waited: Duration, ended: bool) -> Result<Busy, NamedLockError> {
        Err(match self {
            Self::Busy(name) => return Ok(Busy { name: name.clone(), waited }),
            Self::HeldBefore(name, connection_id) => {
                NamedLockError::AlreadyHeld { name: name.clone(), connection_id: Some(connection_id) }
            }
            Self::Failed(name, failure) if ended => {
                NamedLockError::Broken { name: name.clone(), source: failure.into_source() }
            }
            Self::Failed(name, Failure::Null) => {
                NamedLockError::Interrupted { name: name.clone(), waited, source: None }
            }
            Self::Failed(name, Failure::Error(cause, source)) => {
                let name = name.clone();
                match cause {
                    Cause::OutOfTime => return Ok(Busy { name, waited }),
                    Cause::Deadlock => NamedLockError::Deadlock { name, source: Some(source) },
                    Cause::Refused => NamedLockError::Refused { name, source },
                    Cause::Interrupted | Cause::TimeLimit => {
                        NamedLockError::Interrupted { name, waited, source: Some(source) }
                    }
                }
            }
        })
    }
}
