//! A connection whose answers no longer match its questions.

use diesel::result::Error;
use thiserror::Error as ThisError;

/// No answer on this connection can be trusted, so nothing is repeated.
#[derive(Debug, Clone, Copy, ThisError)]
#[cfg_attr(not(feature = "async"), expect(dead_code))]
pub(crate) enum OutOfStep {
    #[error(
        "connection gave the answer to an earlier statement: a future that used it was probably dropped inside the section"
    )]
    OtherAnswer,
    #[error("server did not answer within 10 s")]
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
