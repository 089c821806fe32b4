//! What an application's event handler is told.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use diesel_named_lock::{
    NamedLockError,
    pool::{HandedOffEvent, HandleLockEvent, HeldEvent, LostEvent, NamedLockPool, TimedOutEvent, WaitedEvent},
};

use testkit::world::*;

use crate::line::*;

#[derive(Debug, Default)]
pub struct Told(std::sync::Mutex<Vec<String>>);

impl Told {
    fn tell(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Shares what it is told with the test.
#[derive(Debug)]
pub struct Handler(pub Arc<Told>);

impl HandleLockEvent for Handler {
    fn handle_waited(&self, event: WaitedEvent<'_>) {
        let by_hand_off = event.in_checkout + event.on_server == Duration::ZERO;
        self.0.tell(format!("waited{}", if by_hand_off { " in the process" } else { "" }));
    }

    fn handle_held(&self, event: HeldEvent<'_>) {
        assert!(event.held > Duration::ZERO);
        self.0.tell("held".into());
    }

    fn handle_handed_off(&self, event: HandedOffEvent<'_>) {
        self.0.tell(format!("handed off {}", event.count));
    }

    fn handle_timed_out(&self, event: TimedOutEvent<'_>) {
        assert!(event.error.is_timeout());
        self.0.tell("timed out".into());
    }

    fn handle_lost(&self, event: LostEvent<'_>) {
        assert!(matches!(event.error, NamedLockError::Lost { .. }), "{:?}", event.error);
        self.0.tell("lost".into());
    }
}

fn locks() -> (Locks, Arc<Told>) {
    let told = Arc::new(Told::default());
    let locks = NamedLockPool::builder(pool(2)).max_hand_off_time(SOON * 10);
    (locks.event_handler(Box::new(Handler(told.clone()))).build(), told)
}

#[test]
fn a_section_is_reported_from_wait_to_end() {
    let (locks, told) = locks();
    let name = lock_name("told");
    locks
        .with_named_lock(&name, SOON, |_| {
            assert_eq!(told.all(), ["waited"]);
            Outcome::Ok(())
        })
        .unwrap();
    assert_eq!(told.all(), ["waited", "held"]);
}

#[test]
fn a_hand_off_is_reported_with_its_count() {
    let (locks, told) = locks();
    let name = lock_name("told_hand_off");
    assert_served(in_line(&locks, &name, 2, |_| (), |_, _| ()));
    let mut told = told.all();
    assert_eq!(told[0], "waited");
    told.sort();
    let expected = [
        "handed off 1",
        "handed off 2",
        "held",
        "held",
        "held",
        "waited",
        "waited in the process",
        "waited in the process",
    ];
    assert_eq!(told, expected);
}

/// A section that has waited on the server for long still hands off its lock.
#[test]
fn the_time_for_hand_offs_begins_with_the_grant() {
    /// The hand-off comes within it, on a busy machine, too.
    const TIME: Duration = Duration::from_secs(3);
    let told = Arc::new(Told::default());
    let handler = Box::new(Handler(told.clone()));
    let locks = NamedLockPool::builder(pool(2)).max_hand_off_time(TIME).event_handler(handler).build();
    let name = lock_name("since_the_grant");
    let elsewhere = hold_elsewhere(name.as_str());
    let start = Instant::now();
    thread::scope(|scope| {
        let section = || locks.with_named_lock(&name, SOON, |_| Outcome::Ok(()));
        let sections = [scope.spawn(section), scope.spawn(section)];
        wait_until_in_line(&locks, &name, 1);
        wait_until("the time for hand-offs to be over", || start.elapsed() > TIME);
        drop(elsewhere);
        sections.into_iter().for_each(|section| section.join().unwrap().unwrap());
    });
    assert!(told.all().contains(&"handed off 1".to_owned()), "{:?}", told.all());
}

#[test]
fn a_timeout_is_told() {
    let (locks, told) = locks();
    let name = lock_name("told_timeout");
    let _elsewhere = hold_elsewhere(name.as_str());
    let outcome: Outcome<()> =
        locks.with_named_lock(&name, Duration::from_millis(1), |_| unreachable!("held elsewhere"));
    assert!(outcome.is_err_and(|error| error.is_timeout()));
    let tried: Outcome<Option<()>> = locks.try_with_named_lock(&name, |_| unreachable!("held elsewhere"));
    assert_eq!(tried.unwrap(), None);
    assert_eq!(told.all(), ["timed out", "timed out"]);
}

#[test]
fn a_lost_lock_is_told() {
    let (locks, told) = locks();
    let name = lock_name("told_lost");
    let outcome: Outcome<()> = locks.with_named_lock(&name, SOON, |conn| {
        release_lock(conn, name.as_str());
        Ok(())
    });
    assert!(outcome.is_err());
    assert_eq!(told.all(), ["waited", "lost"]);
}

#[derive(Debug)]
struct PanicsAtHandOffs;

impl HandleLockEvent for PanicsAtHandOffs {
    fn handle_handed_off(&self, _: HandedOffEvent<'_>) {
        panic!("the handler panics");
    }
}

#[test]
fn a_handler_that_panics_at_a_hand_off_leaves_the_next_one_its_lock() {
    let locks = NamedLockPool::builder(pool(1)).event_handler(Box::new(PanicsAtHandOffs)).build();
    let name = lock_name("hand_off_panics");
    thread::scope(|scope| {
        let panics = || {
            locks.with_named_lock(&name, SOON, |_| {
                wait_until_in_line(&locks, &name, 1);
                Outcome::Ok(())
            })
        };
        let panics = scope.spawn(panics);
        wait_until("the first one to have its turn", || in_use(&locks) == 1);
        let next = locks.with_named_lock(&name, SOON, |conn| Outcome::Ok(holder(name.as_str()) == Some(id(conn))));
        assert!(next.unwrap(), "the next one holds the lock");
        assert_eq!(panics.join().unwrap_err().downcast_ref(), Some(&"the handler panics"));
    });
    assert_free(name.as_str());
}

#[derive(Debug)]
struct Panics;

impl HandleLockEvent for Panics {
    fn handle_waited(&self, _: WaitedEvent<'_>) {
        panic!("the handler panics");
    }
}

#[test]
fn a_handler_that_panics_leaves_no_lock_and_no_turn_behind() {
    let locks = NamedLockPool::builder(pool(1)).event_handler(Box::new(Panics)).build();
    let name = lock_name("handler_panics");
    for _ in 0..2 {
        let section = || locks.with_named_lock(&name, SOON, |_| Outcome::Ok(()));
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(section)).expect_err("it goes on");
        assert_eq!(panic.downcast_ref(), Some(&"the handler panics"));
        assert_free(name.as_str());
    }
}
