//! What can't be a quorum is refused, before any I/O.

use std::time::Duration;

use diesel_named_lock::{
    NamedLock, NamedLockError,
    permits::{Permits, SharedLock},
    quorum::{InvalidQuorum, Quorum, QuorumBuilder, QuorumError},
};
use testkit::world::Manager;

use crate::stage::pool_to;

const NOWHERE: &str = "mysql://root@127.0.0.1:1/test";

fn of(names: &[&str]) -> QuorumBuilder<Manager> {
    names.iter().fold(Quorum::builder(), |builder, name| builder.node(*name, pool_to(NOWHERE)))
}

#[track_caller]
fn assert_refused(builder: QuorumBuilder<Manager>, expected: &InvalidQuorum) {
    assert_eq!(builder.build().expect_err("no quorum"), *expected);
}

#[test]
fn fewer_than_three_nodes_and_more_than_64_are_refused() {
    assert_refused(of(&[]), &InvalidQuorum::NodeCount(0));
    assert_refused(of(&["a", "b"]), &InvalidQuorum::NodeCount(2));
    let names: Vec<String> = (0..65).map(|number| number.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_refused(of(&names), &InvalidQuorum::NodeCount(65));
    of(&names[..64]).build().expect("64 nodes");
    of(&["a", "b", "c", "d"]).build().expect("an even number of nodes");
}

#[test]
fn two_nodes_of_one_name_are_refused() {
    assert_refused(of(&["a", "b", "c", "b"]), &InvalidQuorum::SameName("b".into()));
}

#[test]
fn a_home_that_is_no_node_is_refused() {
    assert_refused(of(&["a", "b", "c"]).home("d"), &InvalidQuorum::UnknownHome("d".into()));
    assert_refused(of(&["a", "b", "c"]).required_home("d"), &InvalidQuorum::UnknownHome("d".into()));
}

#[test]
fn no_time_for_an_answer_is_refused() {
    for time in [Duration::ZERO, Duration::from_micros(999), Duration::from_secs(3601)] {
        assert_refused(of(&["a", "b", "c"]).answer_within(time), &InvalidQuorum::AnswerWithin(time));
    }
}

#[test]
fn a_lock_that_is_not_one_name_is_refused_and_nothing_is_asked() {
    let quorum = of(&["a", "b", "c"]).build().unwrap();
    let locks = [
        NamedLock::all_of(["one", "two"]).unwrap(),
        Permits::new("many", 3).unwrap().permit(),
        SharedLock::new("shared").unwrap().shared(),
        SharedLock::new("shared").unwrap().exclusive(),
        NamedLock::new("inner").unwrap().reentrant(),
    ];
    for lock in locks {
        let refused = quorum.run(&lock, |_| Ok::<_, QuorumError>(())).expect_err("refused");
        assert!(matches!(refused, QuorumError::Invalid(InvalidQuorum::UnsupportedLock(_))), "{refused}");
        assert!(!refused.work_ran() && !refused.is_transient());
    }
}

#[test]
fn an_idle_limit_that_no_server_has_is_refused() {
    let quorum = of(&["a", "b", "c"]).build().unwrap();
    let lock = NamedLock::new("short").unwrap().idle_limit(Duration::from_millis(900));
    let refused = quorum.acquire(&lock).expect_err("refused");
    assert!(matches!(refused, QuorumError::Lock(NamedLockError::InvalidIdleLimit(_))), "{refused}");
}
