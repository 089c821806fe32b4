//! Shortening the timeouts of a session, and restoring them.

use diesel::result::QueryResult;
use log::warn;

use crate::{
    driver::{
        Driver,
        retry::{ask_again, execute_again},
    },
    idle_limit::IdleLimit,
    log_target::TARGET,
    statement::session_timeouts::{AskTimeouts, SetTimeouts, Timeouts},
};

use super::kill::kill_own;

/// Shortens the session's timeouts, and keeps the previous ones in `before`.
pub(crate) async fn limit_idle_time<D: Driver<C>, C>(
    conn: &mut C,
    limit: IdleLimit,
    before: &mut Option<Timeouts>,
) -> QueryResult<()> {
    let timeouts = ask_again::<D, C, _>(conn, &AskTimeouts).await?;
    *before = Some(timeouts);
    shorten_timeouts::<D, C>(conn, timeouts, limit).await
}

/// The same, if the timeouts are known.
pub(crate) async fn shorten_timeouts<D: Driver<C>, C>(
    conn: &mut C,
    before: Timeouts,
    limit: IdleLimit,
) -> QueryResult<()> {
    execute_again::<D, C, _>(conn, SetTimeouts(before.at_most(limit.seconds()))).await
}

/// Restores the timeouts. Kills the session if that fails, because timeouts so short would surprise the next user of the connection.
pub(crate) async fn restore_timeouts<D: Driver<C>, C>(conn: &mut C, before: Timeouts) {
    if execute_again::<D, C, _>(conn, SetTimeouts(before)).await.is_err() {
        give_up_session::<D, C>(conn).await;
    }
}

pub(super) async fn give_up_session<D: Driver<C>, C>(conn: &mut C) {
    D::mark_broken(conn);
    kill_own::<D, C>(conn).await;
    warn!(target: TARGET, "a session was killed, since its timeouts could not be restored");
}
