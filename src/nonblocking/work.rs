//! The closure of an async section.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

/// An async closure whose future can be named, so that it can be required to be `Send`.
///
/// Implemented for every `async |conn| …`. There is nothing to implement by hand.
pub trait AsyncWork<A, T>: AsyncFnOnce(A) -> T + FnOnce(A) -> <Self as AsyncWork<A, T>>::Future {
    /// The future that the closure returns.
    type Future: Future<Output = T>;
}

impl<F, A, T, Fut> AsyncWork<A, T> for F
where
    F: AsyncFnOnce(A) -> T + FnOnce(A) -> Fut,
    Fut: Future<Output = T>,
{
    type Future = Fut;
}

/// Runs a future to its end or to its panic, so that something can be awaited after both.
pub(super) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}
