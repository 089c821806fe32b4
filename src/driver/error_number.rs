//! Why a statement failed: the server's error number, which Diesel does not tell.

use super::{Driver, retry::ask_again};
use crate::statement::diagnostics::{ErrorNumber, GET_DIAGNOSTICS};

/// The number of the error that the last statement of this session failed with, if it can still be asked for. To be called
/// right after the failure.
pub(crate) async fn error_number<D: Driver<C>, C>(conn: &mut C) -> Option<i32> {
    for get in GET_DIAGNOSTICS {
        D::batch(conn, get).await.ok()?;
    }
    ask_again::<D, C, _>(conn, &ErrorNumber).await.ok()?
}
