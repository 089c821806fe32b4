//! Drops a future, and tells which sessions are given up by that.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    future::poll_fn,
    pin::Pin,
    task::Poll,
    thread,
};

use tokio::{runtime::Runtime, time::timeout};

use crate::workload::Moment;

pub type Section<'s, T> = Pin<Box<dyn Future<Output = T> + Send + 's>>;

thread_local! {
    static IS_DROPPING: Cell<bool> = const { Cell::new(false) };
    static GIVEN_UP: RefCell<BTreeSet<u64>> = const { RefCell::new(BTreeSet::new()) };
}

/// Whether a session is killed from within, or closed, because a future is being dropped on this thread.
pub fn give_up(session: u64) -> bool {
    let gives_up = IS_DROPPING.get() || thread::panicking();
    gives_up && {
        GIVEN_UP.with_borrow_mut(|given_up| given_up.insert(session));
        true
    }
}

/// The sessions that were given up on this thread since the last time.
pub fn given_up() -> BTreeSet<u64> {
    GIVEN_UP.take()
}

/// Runs a section; `None` if its future was dropped at this moment.
pub fn run<T>(runtime: &Runtime, mut section: Section<'_, T>, moment: Option<Moment>, outside: bool) -> Option<T> {
    let ended = runtime.block_on(async {
        match moment {
            None => Some(section.as_mut().await),
            Some(Moment::After(time)) => timeout(time, section.as_mut()).await.ok(),
            Some(Moment::Wait(last)) => until_wait(section.as_mut(), last).await,
        }
    });
    let _inside = (!outside).then(|| runtime.enter());
    IS_DROPPING.set(true);
    drop(section);
    IS_DROPPING.set(false);
    ended
}

async fn until_wait<T>(mut future: Pin<&mut (dyn Future<Output = T> + Send + '_)>, last: u32) -> Option<T> {
    let mut waits = 0;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if waits == last => Poll::Ready(None),
        Poll::Pending => {
            waits += 1;
            Poll::Pending
        }
    })
    .await
}
