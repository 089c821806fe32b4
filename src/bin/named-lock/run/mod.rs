//! `run`.

mod command;
mod inheritance;
mod signals;
mod waiting;

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use diesel_async::AsyncMysqlConnection;
use diesel_named_lock::{
    KeepAliveError, NamedLockError,
    nonblocking::{
        NamedLockGuard, WatchedGuard,
        fence::{self, FenceError},
    },
};

use self::{command::Launch, inheritance::Sockets};
use crate::{exit_status, failure::Failure, options::Run, output::complain};

type Guard = NamedLockGuard<AsyncMysqlConnection>;

/// How often the session is asked whether it holds the lock.
const INTERVAL: Duration = Duration::from_secs(1);

pub async fn run(options: &Run) -> Result<u8, Failure> {
    let lock = options.lock()?;
    let address = options.server.address()?;
    let before = Sockets::now();
    let conn = address.connect().await?;
    let inherited = Sockets::now().added_since(&before);
    let waiting = io::stderr().is_terminal().then(|| tokio::spawn(waiting::report(address, lock.clone())));
    let acquired = lock.acquire(conn).await;
    if let Some(waiting) = waiting {
        waiting.abort();
        // It says nothing after the command has begun.
        let _ = waiting.await;
    }
    let mut guard = acquired.map_err(|failed| not_acquired(&failed.error, options))?;
    // Of a lock that is held exclusively, the turnstile.
    let first_name = guard.names()[0].clone();
    let token = match options.fenced {
        true => match fence::next_token(&mut *guard, &first_name).await {
            Ok(token) => Some(token),
            Err(error) => return Err(released(guard, no_token(error)).await),
        },
        false => None,
    };
    let watched = keep_alive(guard).await?;
    let launch = Launch { command: &options.command, token, on_loss: options.on_loss };
    let status = launch.run(&watched).await;
    let released = watched.into_guard().await.release().await;
    // A process that the command has left behind still has it.
    inherited.close();
    match released {
        Ok(_) => status,
        Err(failed) => {
            let ended = status?;
            complain(format!("{} (it ended with status {ended})", failed.error));
            Ok(exit_status::LOST)
        }
    }
}

fn not_acquired(error: &NamedLockError, options: &Run) -> Failure {
    let status = if error.is_timeout() { options.conflict_exit_code } else { exit_status::UNAVAILABLE };
    Failure { status, text: error.to_string() }
}

fn no_token(error: FenceError) -> Failure {
    match error {
        FenceError::NoTable { .. } => Failure::unavailable(format!("{error} (`named-lock init --fence` prints it)")),
        error => Failure::unavailable(error),
    }
}

/// Every second, or more often if the server ends idle sessions sooner.
async fn keep_alive(guard: Guard) -> Result<WatchedGuard<Guard>, Failure> {
    let watched = match guard.keep_alive(INTERVAL).await {
        Err(KeepAliveError::InvalidInterval { guard, longest: Some(longest), .. }) => {
            guard.keep_alive(longest / 3).await
        }
        watched => watched,
    };
    match watched {
        Ok(watched) => Ok(watched),
        Err(error) => {
            let failure = Failure::unavailable(format!("the lock can't be watched: {error}"));
            Err(released(error.into_guard(), failure).await)
        }
    }
}

/// The lock is free before the failure is told.
async fn released(guard: Guard, failure: Failure) -> Failure {
    // If it can't be confirmed, the session was killed.
    let _ = guard.release().await;
    failure
}
