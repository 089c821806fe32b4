//! How a leader learns that it leads no more.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel_named_lock::NamedLockError;
use log::Level;

use testkit::{logged::logged, proxy::Proxy, world::*};

use crate::stage::*;

testkit::trials![
    a_leader_that_waits_is_woken_by_the_ping_that_fails,
    a_leader_whose_session_is_killed_steps_down_and_another_leads,
    a_leader_that_continues_after_a_loss_is_logged_with_the_time,
    a_leader_on_a_network_that_goes_silent_steps_down_before_another_leads,
    a_leader_that_was_deposed_does_not_lead_again_when_the_network_speaks,
];

fn a_leader_whose_session_is_killed_steps_down_and_another_leads() {
    let name = fresh("killed");
    let leader = elected(&name);
    kill(leader.connection_id().get());
    let next = candidate(&name).campaign(SOON).unwrap();
    assert!(leader.stepped_down(SOON) && !leader.is_leader());
    assert!(next.is_leader());
    let lost = leader.resign();
    assert!(matches!(lost, Err(NamedLockError::Lost { .. })), "{lost:?}");
    assert!(next.is_leader(), "the lock of the next one was not touched");
    next.resign().unwrap();
    assert_free(&name);
}

/// Long before it would have been silent for too long.
fn a_leader_that_waits_is_woken_by_the_ping_that_fails() {
    let (name, limit) = (fresh("woken"), Duration::from_secs(24));
    let leader = candidate(&name).idle_limit(limit).campaign(SOON).unwrap();
    kill(leader.connection_id().get());
    let start = Instant::now();
    assert!(leader.stepped_down(limit));
    assert!(start.elapsed() < limit * 3 / 4, "{:?}", start.elapsed());
}

fn a_leader_that_continues_after_a_loss_is_logged_with_the_time() {
    let name = fresh("went_on");
    let leader = elected(&name);
    let session = leader.connection_id();
    kill(session.get());
    assert!(leader.stepped_down(SOON));
    let entries = logged(|| drop(leader));
    let told = format!("the leader by named lock `{name}` on connection {session} continued for ");
    let warning = entries.iter().find(|entry| entry.text.starts_with(&told)).unwrap_or_else(|| panic!("{entries:?}"));
    assert_eq!((warning.level, &*warning.keys), (Level::Warn, &["lost_for".to_owned(), "connection".to_owned()][..]));
}

fn a_leader_on_a_network_that_goes_silent_steps_down_before_another_leads() {
    for _ in 0..3 {
        let (network, name) = (Proxy::to(server()), fresh("silent"));
        let leader = candidate_at(network.url(), &name).campaign(SOON).unwrap();
        network.silence();
        thread::scope(|scope| {
            let next = scope.spawn(|| candidate(&name).campaign(SOON).unwrap());
            let next = next.join().unwrap();
            assert!(!leader.is_leader(), "two leaders: {leader:?}");
            assert!(next.is_leader());
        });
        assert!(leader.silent_for() >= LIMIT);
        let start = Instant::now();
        let lost = leader.resign();
        assert!(matches!(lost, Err(NamedLockError::Lost { .. })), "{lost:?}");
        assert_soon_after(start);
        network.close();
    }
}

fn a_leader_that_was_deposed_does_not_lead_again_when_the_network_speaks() {
    let (network, name) = (Proxy::to(server()), fresh("resumed"));
    let leader = candidate_at(network.url(), &name).campaign(SOON).unwrap();
    network.silence();
    assert!(leader.stepped_down(SOON));
    network.resume();
    assert!(!leader.is_leader());
    drop(leader);
    assert_free_soon(&name);
}
