//! Connections to a database of a test's own, and futures that are dropped half way.

use std::{future::poll_fn, pin::pin, task::Poll};

use diesel_async::{AsyncConnection, AsyncMysqlConnection};

pub async fn connect_to(url: &str) -> AsyncMysqlConnection {
    // A proxy's URL has parameters for the C libraries, and would be by-passed for a socket of the server.
    let url = url.split('?').next().expect("a part before it");
    AsyncMysqlConnection::establish(&format!("{url}?prefer_socket=false")).await.expect("an async connection")
}

/// Polls the future whenever it is woken, `times` at most; then drops it.
pub async fn polled<F: Future>(times: u32, future: F) -> Option<F::Output> {
    let (mut future, mut left) = (pin!(future), times);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await
}
