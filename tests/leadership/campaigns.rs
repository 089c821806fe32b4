//! How a candidate becomes the leader, and stops being it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use diesel::{Connection, MysqlConnection, connection::SimpleConnection, r2d2::PooledConnection};
use diesel_named_lock::{
    NamedLockError,
    leadership::{CampaignError, LeaderElection, Leadership},
};

use testkit::world::*;

use crate::stage::*;

testkit::trials![
    one_candidate_leads_and_the_others_learn_its_session,
    a_leader_that_resigns_hands_over_to_the_candidate_that_waits,
    a_leader_that_is_dropped_hands_over_also_by_a_panic,
    a_leader_steps_down_when_asked_and_holds_its_lock_until_it_resigns,
    a_campaign_continues_while_there_is_no_connection,
    a_candidate_whose_session_is_killed_while_it_waits_asks_again,
    a_campaign_that_can_not_be_won_ends_at_once,
    a_campaign_ends_with_its_time,
    a_session_with_a_shorter_wait_timeout_is_pinged_often_enough,
    the_work_of_a_leader_is_run_and_its_value_returned,
    a_leader_holds_a_connection_of_a_pool_and_gives_it_back,
    a_leadership_can_be_asked_from_any_thread_and_shows_itself,
];

fn one_candidate_leads_and_the_others_learn_its_session() {
    let name = fresh("leads");
    let (one, other) = (candidate(&name), candidate(&name));
    assert_eq!(one.leader().unwrap(), None);
    let leader = one.campaign(SOON).unwrap();
    assert!(leader.is_leader() && !leader.stepped_down(Duration::ZERO));
    assert_eq!((leader.name().as_str(), holder(&name)), (&*name, Some(leader.connection_id().get())));
    assert_eq!(other.leader().unwrap().unwrap().connection_id, leader.connection_id());
    let refused = other.campaign(Duration::ZERO).unwrap_err();
    assert!(refused.is_timeout(), "{refused:?}");
    let CampaignError::Lock(NamedLockError::Timeout { holder: Some(holder), .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(holder.connection_id, leader.connection_id());
    leader.resign().unwrap();
    assert_free(&name);
    other.campaign(Duration::ZERO).unwrap().resign().unwrap();
}

/// The next leader, once `end` has ended this one's leadership.
fn next_after(name: &str, leader: Leader, end: impl FnOnce(Leader)) {
    thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let next = telling(server().url(), name, move |session| tell.send(session).unwrap()).longest_pause(SOON);
        let next = scope.spawn(move || next.campaign(SOON).unwrap());
        wait_until_waiting(told.recv().unwrap());
        assert!(leader.is_leader());
        let start = Instant::now();
        end(leader);
        let next = next.join().unwrap();
        assert_soon_after(start);
        assert!(next.is_leader());
    });
    assert_free(name);
}

fn a_leader_that_resigns_hands_over_to_the_candidate_that_waits() {
    let name = fresh("resigns");
    next_after(&name, elected(&name), |leader| leader.resign().unwrap());
}

fn a_leader_that_is_dropped_hands_over_also_by_a_panic() {
    let name = fresh("dropped");
    next_after(&name, elected(&name), drop);
    next_after(&name, elected(&name), |leader| {
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _leader = leader;
            panic!("on purpose");
        }));
        assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"on purpose"));
    });
}

fn a_leader_steps_down_when_asked_and_holds_its_lock_until_it_resigns() {
    let name = fresh("asked");
    let leader = elected(&name);
    let step_down = leader.step_down();
    thread::scope(|scope| {
        let waits = scope.spawn(|| leader.stepped_down(SOON));
        step_down.request();
        assert!(waits.join().unwrap());
    });
    assert!(!leader.is_leader() && leader.stepped_down(Duration::ZERO));
    assert_eq!(holder(&name), Some(leader.connection_id().get()));
    leader.resign().unwrap();
    assert_free(&name);
}

fn a_campaign_continues_while_there_is_no_connection() {
    let (name, attempts) = (fresh("no_connection"), Arc::new(AtomicU32::new(0)));
    let counted = attempts.clone();
    let election = with_connections(&name, move || match counted.fetch_add(1, Ordering::Relaxed) {
        // Nobody listens there.
        0..3 => MysqlConnection::establish("mysql://nobody@127.0.0.1:1/nowhere"),
        _ => MysqlConnection::establish(server().url()),
    });
    election.campaign(SOON).unwrap().resign().unwrap();
    assert_eq!(attempts.load(Ordering::Relaxed), 4);
    let nowhere = with_connections(&name, || MysqlConnection::establish("mysql://nobody@127.0.0.1:1/nowhere"));
    let refused = nowhere.campaign(Duration::from_millis(100)).unwrap_err();
    assert!(matches!(refused, CampaignError::NoConnection(_)), "{refused:?}");
}

fn a_candidate_whose_session_is_killed_while_it_waits_asks_again() {
    let (name, (tell, told)) = (fresh("killed_waiting"), mpsc::channel());
    let leader = elected(&name);
    let next = telling(server().url(), &name, move |session| tell.send(session).unwrap());
    thread::scope(|scope| {
        let next = scope.spawn(move || next.campaign(SOON).unwrap());
        let first = told.recv().unwrap();
        wait_until_waiting(first);
        kill(first);
        let second = told.recv().unwrap();
        wait_until_waiting(second);
        leader.resign().unwrap();
        assert_eq!(next.join().unwrap().connection_id().get(), second);
    });
    assert_free(&name);
}

fn a_campaign_that_can_not_be_won_ends_at_once() {
    let (name, start) = (fresh("in_vain"), Instant::now());
    let refused = candidate(&name).idle_limit(Duration::ZERO).campaign(SOON).unwrap_err();
    assert!(matches!(refused, CampaignError::Lock(NamedLockError::InvalidIdleLimit(_))), "{refused:?}");
    let in_transaction = with_connections(&name, || {
        let mut conn = MysqlConnection::establish(server().url())?;
        begin(&mut conn).unwrap();
        Ok(conn)
    });
    let refused = in_transaction.campaign(SOON).unwrap_err();
    assert!(matches!(refused, CampaignError::Lock(NamedLockError::OpenTransaction { .. })), "{refused:?}");
    assert!(LeaderElection::new("", || MysqlConnection::establish("")).is_err());
    assert_soon_after(start);
    assert_free(&name);
}

fn a_campaign_ends_with_its_time() {
    let (name, timeout) = (fresh("in_time"), Duration::from_millis(300));
    let leader = elected(&name);
    let start = Instant::now();
    assert!(candidate(&name).campaign(timeout).unwrap_err().is_timeout());
    assert!(start.elapsed() >= timeout, "{:?}", start.elapsed());
    assert_soon_after(start);
    assert!(leader.is_leader());
}

fn a_session_with_a_shorter_wait_timeout_is_pinged_often_enough() {
    let name = fresh("wait_timeout");
    let election = with_connections(&name, || {
        let mut conn = MysqlConnection::establish(server().url())?;
        conn.batch_execute("SET SESSION wait_timeout = 3").unwrap();
        Ok(conn)
    });
    let leader = election.idle_limit(Duration::from_secs(3600)).campaign(SOON).unwrap();
    assert!(!leader.stepped_down(LIMIT + LIMIT / 3), "{leader:?}");
    leader.resign().unwrap();
}

fn the_work_of_a_leader_is_run_and_its_value_returned() {
    let name = fresh("work");
    let election = candidate(&name);
    let led = election.lead(SOON, |leader| (leader.is_leader(), holder(&name))).unwrap();
    assert!(led.value.0 && led.value.1.is_some() && led.error.is_none(), "{led:?}");
    assert_free(&name);
    let led = election.lead(SOON, |leader| {
        kill(leader.connection_id().get());
        leader.stepped_down(SOON)
    });
    let led = led.unwrap();
    assert!(led.value && matches!(led.error, Some(NamedLockError::Lost { .. })), "{led:?}");
    let unwound = catch_unwind(AssertUnwindSafe(|| drop(election.lead(SOON, |_| -> () { panic!("on purpose") }))));
    assert!(unwound.is_err());
    assert_free(&name);
}

fn a_leader_holds_a_connection_of_a_pool_and_gives_it_back() {
    let (pool, name) = (pool_of_one(), fresh("pooled"));
    let of_pool = pool.clone();
    let election = LeaderElection::new(&*name, move || of_pool.get()).unwrap().idle_limit(LIMIT);
    let leader: Leadership<PooledConnection<Manager>> = election.campaign(SOON).unwrap();
    assert_eq!(pool.state().idle_connections, 0);
    leader.resign().unwrap();
    assert_sound(&pool, &name);
}

fn a_leadership_can_be_asked_from_any_thread_and_shows_itself() {
    fn shared(_: &(impl Send + Sync + 'static)) {}
    let name = fresh("shared");
    let election = candidate(&name);
    let leader = election.campaign(SOON).unwrap();
    shared(&election);
    shared(&leader);
    assert!(format!("{leader:?}").contains(&name) && format!("{election:?}").contains(&name));
    assert!(leader.elected().elapsed() < SOON && leader.silent_for() < SOON);
}
