//! The closure of an async section.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

/// An async closure whose future can be named, and so be asked to be `Send`.
///
/// Implemented for every `async |conn| …`; there is nothing to implement by hand.
pub trait AsyncWork<A, T>: AsyncFnOnce(A) -> T + FnOnce(A) -> <Self as AsyncWork<A, T>>::Future {
    /// What the closure returns when it is called.
    type Future: Future<Output = T>;
}

impl<F, A, T, Fut> AsyncWork<A, T> for F
where
    F: AsyncFnOnce(A) -> T + FnOnce(A) -> Fut,
    Fut: Future<Output = T>,
{
    type Future = Fut;
}

/// Runs a future to its end or to its panic, for what has to be awaited after either.
pub(super) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}
