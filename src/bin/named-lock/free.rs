//! What is said of a lock that is free.

use diesel_async::AsyncMysqlConnection;
use diesel_named_lock::{
    LockName, SessionInfo,
    nonblocking::{
        operator,
        permits::{Permits, SharedLock},
    },
};

use crate::failure::Failure;

/// The permits of this name, or its shared lock, may be held nevertheless: each has a name of its own.
pub async fn free(conn: &mut AsyncMysqlConnection, name: &LockName) -> Result<String, Failure> {
    let of = [":permit", ":shared"].iter().find_map(|kind| name.as_str().strip_suffix(kind)).unwrap_or(name.as_str());
    let permits = Permits::new(of, Permits::MAX_COUNT).map(|permits| permits.permit());
    let shared = SharedLock::new(of).map(|lock| lock.shared());
    let mut text = format!("`{name}` is free");
    for (what, lock) in [(format!("permits of `{of}` are"), permits), (format!("the shared lock `{of}` is"), shared)] {
        // The name of a plain lock may be too long for these.
        let Ok(lock) = lock else { continue };
        let holders = operator::holders(conn, &lock).await.map_err(Failure::unavailable)?;
        if !holders.is_empty() {
            let holders: Vec<_> = holders.iter().map(SessionInfo::to_string).collect();
            text += &format!("; {what} held by {}", holders.join(", "));
        }
    }
    Ok(text)
}
