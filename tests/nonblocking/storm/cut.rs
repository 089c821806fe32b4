//! When a future is dropped.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll::{Pending, Ready},
    time::Duration,
};

use tokio::time::timeout;

/// Polls are counted, so that every await is met, however fast the machine is.
#[derive(Debug, Clone, Copy)]
pub enum Cut {
    Never,
    After(Duration),
    /// Right after so many polls: a statement was sent.
    Polls(u32),
    /// When the next poll is due: its answer is there, and nobody has read it.
    Unread(u32),
}

impl Cut {
    /// For a future that is polled about so many times.
    pub fn random(polls: u32) -> Self {
        match fastrand::u8(..8) {
            0 | 1 => Self::Never,
            2 | 3 => Self::After(Duration::from_micros(fastrand::u64(..200 * u64::from(polls)))),
            4 | 5 => Self::Polls(fastrand::u32(1..polls)),
            _ => Self::Unread(fastrand::u32(1..polls)),
        }
    }

    /// `None` if the future was dropped. `before` comes right before that.
    pub async fn apply<F: Future>(self, future: F, before: impl FnOnce()) -> Option<F::Output> {
        let mut future = pin!(future);
        let ended = match self {
            Self::Never => return Some(future.await),
            Self::After(time) => timeout(time, future.as_mut()).await.ok(),
            Self::Polls(polls) => poll(future.as_mut(), polls, true).await,
            Self::Unread(polls) => poll(future.as_mut(), polls, false).await,
        };
        if ended.is_none() {
            before();
        }
        ended
    }
}

async fn poll<F: Future>(mut future: Pin<&mut F>, mut polls: u32, is_at_once: bool) -> Option<F::Output> {
    poll_fn(|cx| {
        if polls == 0 {
            return Ready(None);
        }
        polls -= 1;
        match future.as_mut().poll(cx) {
            Ready(output) => Ready(Some(output)),
            Pending if polls == 0 && is_at_once => Ready(None),
            Pending => Pending,
        }
    })
    .await
}
