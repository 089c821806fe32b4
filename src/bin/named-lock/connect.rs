//! A connection to the server.

use std::{error::Error, time::Duration};

use diesel_async::AsyncMysqlConnection;
use mysql_async::{Conn, DriverError, Opts};
use tokio::time::timeout;

use crate::{failure::Failure, url::Address};

/// For each step: a host that does not answer is given up.
const LIMIT: Duration = Duration::from_secs(10);

impl Address {
    pub async fn connect(&self) -> Result<AsyncMysqlConnection, Failure> {
        match timeout(LIMIT, self.try_connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(self.unreachable(format!("no answer within {LIMIT:?}"))),
        }
    }

    async fn try_connect(&self) -> Result<AsyncMysqlConnection, Failure> {
        let conn = match Conn::new(Opts::from(self.opts.clone())).await {
            Err(mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer)) if self.may_be_plain => {
                Conn::new(Opts::from(self.opts.clone().ssl_opts(None))).await
            }
            connected => connected,
        };
        let conn = conn.map_err(|error| self.unreachable(innermost(&error)))?;
        AsyncMysqlConnection::try_from(conn).await.map_err(|error| self.unreachable(error.to_string()))
    }

    fn unreachable(&self, why: String) -> Failure {
        Failure::unavailable(format!("no connection to the server at {}: {why}", self.shown))
    }
}

/// The others only name its kind.
fn innermost(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
