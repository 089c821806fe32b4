//! A connection whose answers are no longer those to its questions.

use diesel::result::Error;
use thiserror::Error as ThisError;

/// Nothing on this connection can be believed any more, so nothing is asked again.
#[derive(Debug, Clone, Copy, ThisError)]
#[cfg_attr(not(feature = "async"), expect(dead_code))]
pub(crate) enum OutOfStep {
    #[error(
        "the connection gave the answer to an earlier statement: a future that used it was dropped, inside the section?"
    )]
    OtherAnswer,
    #[error("the server did not answer within 10 s")]
    Silent,
}

impl OutOfStep {
    pub(crate) fn is(error: &Error) -> bool {
        matches!(error, Error::QueryBuilderError(source) if source.is::<Self>())
    }
}

impl From<OutOfStep> for Error {
    fn from(reason: OutOfStep) -> Self {
        Self::QueryBuilderError(Box::new(reason))
    }
}
