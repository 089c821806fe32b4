//! Keeps a connection alive while the closure computes.

use std::{future::poll_fn, panic::resume_unwind, pin::pin, time::Duration};

use scopeguard::ScopeGuard;
use tokio::{sync::Notify, time::timeout};

use super::work::caught;
use crate::{
    driver::{
        nonblocking::Nonblocking,
        status::nonblocking::{self as status, NamedLockConnection},
    },
    section::{ask::ping, kill::kill_own},
    watch::{SHORTEST_INTERVAL, Watch},
};

/// Pings the connection while `compute` runs, both in this task.
pub(super) async fn keep_alive_while<C, T>(
    conn: &mut C,
    interval: Duration,
    watch: &Watch,
    compute: impl Future<Output = T>,
) -> T
where
    C: NamedLockConnection,
{
    // A ping that is dropped half-way leaves the connection out of step.
    let mut conn = scopeguard::guard(conn, |conn| status::mark_broken(conn));
    let computed = Notify::new();
    let value = {
        let mut pings = pin!(ping_until(watch, &mut *conn, interval.max(SHORTEST_INTERVAL), &computed));
        let mut compute = pin!(caught(compute));
        let value = poll_fn(|cx| {
            let _ = pings.as_mut().poll(cx);
            compute.as_mut().poll(cx)
        })
        .await;
        computed.notify_one();
        pings.await;
        value
    };
    ScopeGuard::into_inner(conn);
    value.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Never returns before `computed` is notified.
async fn ping_until<C: NamedLockConnection>(watch: &Watch, conn: &mut C, interval: Duration, computed: &Notify) {
    loop {
        let sent = watch.elapsed();
        let answer = ping::<Nonblocking, C>(conn).await.map(|_| true);
        if !watch.is_answered(sent, answer) {
            watch.lose();
            status::mark_broken(conn);
            computed.notified().await;
            // If the ping was only struck, the release could succeed, although the loss was reported.
            return kill_own::<Nonblocking, C>(conn).await;
        }
        if timeout(interval, computed.notified()).await.is_ok() {
            return;
        }
    }
}
