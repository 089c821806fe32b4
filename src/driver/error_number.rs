//! Why a statement failed: the server's error number, which Diesel does not tell.

use diesel::result::Error;

use super::{Driver, out_of_step::OutOfStep, retry::ask_again};
use crate::statement::diagnostics::{ErrorNumber, GET_DIAGNOSTICS};

/// The number of `error`, with which the last statement of this session failed, if it can still be asked for. To be called
/// right after the failure.
pub(crate) async fn error_number<D: Driver<C>, C>(conn: &mut C, error: &Error) -> Option<i32> {
    // Its next answers are those to earlier statements, which may wait for a lock.
    if OutOfStep::is(error) {
        return None;
    }
    for get in GET_DIAGNOSTICS {
        D::batch(conn, get).await.ok()?;
    }
    ask_again::<D, C, _>(conn, &ErrorNumber).await.ok()?
}
