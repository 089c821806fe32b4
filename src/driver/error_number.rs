//! The server's error number of a failed statement, which Diesel does not expose.

use diesel::result::Error;

use super::{Driver, out_of_step::OutOfStep, retry::ask_again};
use crate::statement::diagnostics::{ErrorNumber, GET_DIAGNOSTICS};

/// Returns the number of `error`, with which the last statement of this session failed, if the server can still be asked. Call it right after
/// the failure.
pub(crate) async fn error_number<D: Driver<C>, C>(conn: &mut C, error: &Error) -> Option<i32> {
    // The next answers on this connection are those to earlier statements, which may wait for a lock.
    if OutOfStep::is(error) {
        return None;
    }
    for get in GET_DIAGNOSTICS {
        D::batch(conn, get).await.ok()?;
    }
    ask_again::<D, C, _>(conn, &ErrorNumber).await.ok()?
}
