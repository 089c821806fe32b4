//! Leaders among tasks.

use std::{sync::Mutex, time::Duration};

use diesel::ConnectionResult;
use diesel_async::AsyncMysqlConnection;
use diesel_named_lock::{NamedLockError, nonblocking::leadership::LeaderElection};
use testkit::world::{SOON, assert_free, fresh, hold_elsewhere, holder, is_alive, is_in_state, kill};
use tokio::time::timeout;

use crate::world::{connect, id, until};

fn candidate(name: &str) -> LeaderElection<AsyncMysqlConnection> {
    let connect = || async { ConnectionResult::Ok(connect().await) };
    LeaderElection::new(name, connect).unwrap().idle_limit(Duration::from_secs(3))
}

#[tokio::test]
async fn a_leader_that_resigns_hands_over_to_the_next_candidate() {
    let name = fresh("resigns");
    let (first, second) = (candidate(&name), candidate(&name));
    let leadership = first.campaign(SOON).await.unwrap();
    assert!(leadership.is_leader());
    assert_eq!(holder(&name), Some(leadership.connection_id().get()));
    assert_eq!(second.leader().await.unwrap().map(|leader| leader.connection_id), Some(leadership.connection_id()));
    let next = tokio::spawn(async move { second.campaign(SOON).await.unwrap() });
    leadership.resign().await.unwrap();
    let next = next.await.unwrap();
    assert!(next.is_leader());
    next.resign().await.unwrap();
    assert_free(&name);
    assert!(first.leader().await.unwrap().is_none());
}

#[tokio::test]
async fn a_candidate_whose_time_is_up_learns_the_leader() {
    let name = fresh("busy");
    let elsewhere = hold_elsewhere(&name);
    let error = candidate(&name).campaign(Duration::from_millis(300)).await.map(drop).unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert!(error.to_string().contains(&format!("{}", elsewhere.id)), "{error}");
}

#[tokio::test]
async fn a_leader_whose_session_is_killed_steps_down_and_its_resignation_is_an_error() {
    let name = fresh("killed");
    let leadership = candidate(&name).campaign(SOON).await.unwrap();
    kill(leadership.connection_id().get());
    timeout(SOON, leadership.stepped_down()).await.expect("it steps down by itself");
    assert!(!leadership.is_leader());
    let error = leadership.resign().await.unwrap_err();
    assert!(matches!(error, NamedLockError::Lost { .. }), "{error:?}");
}

#[tokio::test]
async fn a_leader_that_is_asked_to_steps_down_and_holds_the_lock_until_it_resigns() {
    let name = fresh("asked");
    let election = candidate(&name);
    let led = election.lead(SOON, async |leadership| {
        let step_down = leadership.step_down();
        tokio::spawn(async move { step_down.request() });
        leadership.stepped_down().await;
        !leadership.is_leader() && holder(leadership.name().as_str()).is_some()
    });
    let led = led.await.unwrap();
    assert!(led.value && led.error.is_none(), "{led:?}");
    assert_free(&name);
}

#[tokio::test]
async fn a_leadership_that_is_dropped_is_the_next_ones() {
    let name = fresh("dropped");
    drop(candidate(&name).campaign(SOON).await.unwrap());
    candidate(&name).campaign(SOON).await.unwrap().resign().await.unwrap();
}

#[tokio::test]
async fn a_campaign_that_is_dropped_leaves_the_line() {
    let name = fresh("gives_up");
    let elsewhere = hold_elsewhere(&name);
    let mut conn = connect().await;
    let id = id(&mut conn).await;
    let conn = Mutex::new(Some(conn));
    let election = LeaderElection::new(&*name, move || {
        let conn = conn.lock().unwrap().take();
        async move { conn.ok_or("one attempt is enough") }
    });
    let campaign = tokio::spawn(async move { election.unwrap().campaign(Duration::MAX).await.map(drop) });
    until("it to be in line", || is_in_state(id, "User lock")).await;
    campaign.abort();
    until("it to leave the line", || !is_alive(id)).await;
    assert_eq!(holder(&name), Some(elsewhere.id));
}
