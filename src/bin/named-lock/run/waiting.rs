//! What is told on a terminal while the lock is waited for.

use std::time::Duration;

use diesel_named_lock::nonblocking::{NamedLock, operator::holders};
use tokio::time::{Instant, sleep};

use crate::{failure::Failure, output::complain, url::Address};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Tells who holds the lock, and for how long, at ever longer intervals until it is aborted.
///
/// It asks on connections of its own: the other one stands in the server's queue, and keeps its place there.
pub async fn report(address: Address, lock: NamedLock) {
    if let Err(failure) = report_for_ever(&address, &lock).await {
        complain(format!("waiting for `{}`; who holds it can't be told: {}", lock.names()[0], failure.text));
    }
}

async fn report_for_ever(address: &Address, lock: &NamedLock) -> Result<(), Failure> {
    let start = Instant::now();
    let mut seen = (None, start);
    let mut pause = FIRST_PAUSE;
    loop {
        sleep(pause).await;
        let mut conn = address.connect().await?;
        let holders = holders(&mut conn, lock).await.map_err(Failure::unavailable)?;
        let held = holders.first().map_or_else(String::new, |holder| {
            if seen.0 != Some(holder.connection_id) {
                seen = (Some(holder.connection_id), Instant::now());
            }
            let others = match holders.len() - 1 {
                0 => String::new(),
                others => format!(", and by {others} more"),
            };
            format!("; held for {} or longer by {holder}{others}", seconds_since(seen.1))
        });
        complain(format!("waiting for `{}` for {}{held}", lock.names()[0], seconds_since(start)));
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

fn seconds_since(start: Instant) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(start.elapsed().as_secs()))
}
