//! Looks at the server's locks, again and again.

use std::time::Duration;

use diesel_async::AsyncMysqlConnection;
use diesel_named_lock::{nonblocking::operator::named_locks, operator::GroupedLocks};
use tokio::{
    sync::mpsc::{self, Receiver},
    time::sleep,
};

use crate::{failure::Failure, url::Address};

const REFRESH: Duration = Duration::from_secs(1);

/// The locks, or why they can't be seen at the moment.
pub type View = Result<GroupedLocks, String>;

pub async fn look(mut conn: AsyncMysqlConnection) -> Result<(GroupedLocks, AsyncMysqlConnection), Failure> {
    let seen = named_locks(&mut conn).await.map_err(Failure::unavailable)?;
    Ok((seen.grouped(), conn))
}

/// In a task, so that keys are answered while the server is asked. After a failure, on a new connection.
pub fn watch(address: Address) -> Receiver<View> {
    let (sender, views) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut kept = None;
        loop {
            let looked = async {
                let conn = match kept.take() {
                    Some(conn) => conn,
                    None => address.connect().await?,
                };
                look(conn).await
            };
            let view = match looked.await {
                Ok((seen, conn)) => {
                    kept = Some(conn);
                    Ok(seen)
                }
                Err(failure) => Err(failure.text),
            };
            if sender.send(view).await.is_err() {
                return;
            }
            sleep(REFRESH).await;
        }
    });
    views
}
