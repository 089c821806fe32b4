//! Several locks by one statement: those that are free are acquired at once, the others are waited for, and all are released so.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use diesel::{MysqlConnection, connection::SimpleConnection};
use diesel_named_lock::{LockName, NamedLock, NamedLockError};
use scopeguard::guard;
use testkit::world::*;

use testkit::round_trips::{asked, asked_by};

type Outcome<T> = Result<T, NamedLockError>;

/// In locking order.
fn names(count: usize) -> Vec<String> {
    let name = fresh("many");
    (0..count).map(|index| format!("{index:03}_{name}")).collect()
}

fn lock(names: &[String]) -> NamedLock {
    let lock = NamedLock::all_of(names).unwrap().timeout(SOON);
    assert_eq!(lock.names().iter().map(LockName::as_str).collect::<Vec<_>>(), names);
    lock
}

/// Of the places of twelve locks, which take two statements: the first and last of each, and one between.
const PLACES: [usize; 5] = [0, 4, 9, 10, 11];

/// How many of them fulfil the condition, as an onlooker sees it.
fn count(onlooker: &mut MysqlConnection, names: &[String], condition: &str) -> usize {
    let each: Vec<_> = names.iter().map(|name| condition.replace("name", &format!("'{name}'"))).collect();
    let query = format!(
        "SELECT CAST(0{} AS SIGNED) AS number",
        each.iter().map(|one| format!(" + ({one})")).collect::<String>()
    );
    number(onlooker, &query).and_then(|count| usize::try_from(count).ok()).expect("a count")
}

fn all_held_by(own: u64, names: &[String]) -> bool {
    count(&mut connect(), names, &format!("IS_USED_LOCK(name) <=> {own}")) == names.len()
}

#[track_caller]
fn assert_all_free(names: &[String]) {
    assert_eq!(count(&mut connect(), names, "IS_FREE_LOCK(name)"), names.len());
}

#[test]
fn ten_locks_are_acquired_by_one_round_trip_and_released_by_another() {
    for (count, round_trips) in [(1, 2), (2, 2), (3, 2), (9, 2), (10, 2), (11, 4), (12, 4), (20, 4), (100, 20)] {
        let (mut conn, names) = (connect(), names(count));
        let own = id(&mut conn);
        let section = |conn: &mut MysqlConnection| {
            // What remains of it is never a whole number of seconds, for which there is another statement.
            let outcome: Outcome<()> = lock(&names).timeout(SOON + Duration::from_millis(500)).run(conn, |_| Ok(()));
            outcome.unwrap();
        };
        section(&mut conn);
        assert_eq!(asked_by(&mut conn, section), (round_trips, 0), "{count}");
        let outcome: Outcome<_> = lock(&names).run(&mut conn, |_| Ok(all_held_by(own, &names)));
        assert!(outcome.unwrap(), "{count}");
        assert_all_free(&names);
    }
}

/// The number of names is no part of the statement.
#[test]
fn the_acquire_is_prepared_once_whatever_the_number_of_locks() {
    let mut conn = connect();
    let run = |conn: &mut MysqlConnection, count| lock(&names(count)).run(conn, |_| Outcome::Ok(())).unwrap();
    run(&mut conn, 7);
    let prepared = [2, 10].map(|count| asked_by(&mut conn, |conn| run(conn, count)).1);
    assert_eq!(prepared, [1, 1], "the release, which is prepared for each number");
}

#[test]
fn one_that_is_busy_is_waited_for_and_those_behind_it_are_not_held_in_the_time() {
    // Its own wait, and what is free before it and behind it, in tens; one that is left over waits by itself.
    for (busy, expected) in std::iter::zip(PLACES, [4, 3, 3, 4, 3]) {
        let names = names(12);
        let mut elsewhere = hold_elsewhere(&names[busy]);
        let mut conn = connect();
        let own = id(&mut conn);
        let statements = thread::scope(|scope| {
            let section = scope.spawn(|| {
                let counting = [asked(&mut conn).0, asked(&mut conn).0];
                let lock = lock(&names).timeout(SOON + Duration::from_millis(500));
                let outcome: Outcome<_> = lock.run(&mut conn, |conn| Ok(asked(conn).0));
                outcome.unwrap() - counting[1] - (counting[1] - counting[0])
            });
            wait_until_waiting(own);
            assert!(all_held_by(own, &names[..busy]), "{busy}: those before it");
            assert_all_free(&names[busy + 1..]);
            assert_eq!(release_lock(&mut elsewhere.conn, &names[busy]), Some(1));
            section.join().unwrap()
        });
        // MySQL waits for a part of a second in a second statement.
        let asks_twice = i64::from(is_mysql());
        assert_eq!(statements - asks_twice, expected, "{busy}");
        assert_all_free(&names);
    }
}

#[test]
fn one_that_is_busy_to_the_end_is_named_and_the_others_are_undone() {
    for (busy, timeout) in
        PLACES.iter().flat_map(|busy| [0, 1, 1000].map(|millis| (*busy, Duration::from_millis(millis))))
    {
        let names = names(12);
        let elsewhere = hold_elsewhere(&names[busy]);
        let mut conn = connect();
        let (own, start) = (id(&mut conn), Instant::now());
        match lock(&names).timeout(timeout).run(&mut conn, |_| -> Outcome<()> { unreachable!("one is busy") }) {
            Err(NamedLockError::Timeout { name, holder: Some(holder), waited, .. }) => {
                assert_eq!((name.as_str(), holder.connection_id.get()), (&*names[busy], elsewhere.id));
                assert!(waited >= timeout && start.elapsed() >= timeout, "{busy}: {waited:?}");
            }
            other => panic!("{busy}: {other:?}"),
        }
        assert_all_free(&names[..busy]);
        assert_all_free(&names[busy + 1..]);
        assert!(is_alive(own));
    }
}

#[test]
fn one_that_the_session_holds_already_is_refused_not_counted_up_and_the_others_are_undone() {
    for held in PLACES {
        let (mut conn, names) = (connect(), names(12));
        assert_eq!(get_lock(&mut conn, &names[held], 0), Some(1));
        match lock(&names).run(&mut conn, |_| -> Outcome<()> { unreachable!("refused") }) {
            Err(NamedLockError::AlreadyHeld { name, connection_id: Some(session), .. }) => {
                assert_eq!((name.as_str(), session.get()), (&*names[held], id(&mut conn)));
            }
            other => panic!("{held}: {other:?}"),
        }
        assert_eq!(holder(&names[held]), Some(id(&mut conn)));
        assert_eq!(release_lock(&mut conn, &names[held]), Some(1));
        assert_all_free(&names);
    }
}

#[test]
fn a_re_entrant_section_acquires_those_that_are_missing_and_releases_only_those() {
    for held in PLACES {
        let (mut conn, names) = (connect(), names(12));
        let own = id(&mut conn);
        let outer: Outcome<()> = NamedLock::new(&names[held]).unwrap().run(&mut conn, |conn| {
            let inner = lock(&names).reentrant().run(conn, |_| Outcome::Ok(all_held_by(own, &names)));
            assert!(inner?, "{held}");
            assert_eq!(holder(&names[held]), Some(own));
            assert_all_free(&names[..held]);
            assert_all_free(&names[held + 1..]);
            Ok(())
        });
        outer.unwrap();
        assert_all_free(&names);
    }
}

#[test]
fn of_many_locks_the_one_that_the_work_gave_up_is_named() {
    for lost in PLACES {
        let (mut conn, names) = (connect(), names(12));
        let own = id(&mut conn);
        let outcome: Outcome<()> = lock(&names).run(&mut conn, |conn| {
            assert_eq!(release_lock(conn, &names[lost]), Some(1));
            Ok(())
        });
        match outcome {
            Err(NamedLockError::Lost { name, connection_id, source: None, .. }) => {
                assert_eq!((name.as_str(), connection_id.get()), (&*names[lost], own));
            }
            other => panic!("{lost}: {other:?}"),
        }
        assert_all_free(&names);
        assert!(is_alive(own));
    }
}

/// Not even if another session has it by then.
#[test]
fn of_many_locks_one_that_another_session_has_by_then_is_lost_and_left_to_it() {
    let (mut conn, mut other, names) = (connect(), connect(), names(12));
    let outcome: Outcome<()> = lock(&names).run(&mut conn, |conn| {
        assert_eq!(release_lock(conn, &names[4]), Some(1));
        assert_eq!(get_lock(&mut other, &names[4], 0), Some(1));
        Ok(())
    });
    assert!(matches!(&outcome, Err(NamedLockError::Lost { name, .. }) if name.as_str() == names[4]), "{outcome:?}");
    assert_eq!(holder(&names[4]), Some(id(&mut other)));
}

#[test]
fn of_many_locks_those_that_the_work_took_once_more_are_free_afterwards_too() {
    let (mut conn, names) = (connect(), names(12));
    let outcome: Outcome<()> = lock(&names).run(&mut conn, |conn| {
        for place in PLACES {
            assert_eq!((get_lock(conn, &names[place], 0), get_lock(conn, &names[place], 0)), (Some(1), Some(1)));
        }
        Ok(())
    });
    outcome.unwrap();
    assert_all_free(&names);
}

#[test]
fn many_locks_of_a_session_with_a_pseudo_thread_id_are_refused_and_none_is_held() {
    for held in [None, Some(0), Some(4), Some(11)] {
        let (mut conn, names) = (connect(), names(12));
        let own = id(&mut conn);
        held.into_iter().for_each(|held| assert_eq!(get_lock(&mut conn, &names[held], 0), Some(1)));
        conn.batch_execute("SET SESSION pseudo_thread_id = 4000000000").unwrap();
        let refused = lock(&names).run(&mut conn, |_| -> Outcome<()> { unreachable!("refused") });
        assert!(matches!(refused, Err(NamedLockError::PseudoThreadId { .. })), "{held:?}: {refused:?}");
        let still_held: Vec<_> = (0..12).filter(|place| holder(&names[*place]) == Some(own)).collect();
        assert_eq!(still_held, Vec::from_iter(held));
        held.into_iter().for_each(|held| assert_eq!(release_lock(&mut conn, &names[held]), Some(1)));
        assert_all_free(&names);
    }
}

#[test]
fn many_locks_are_released_also_if_the_work_sets_a_pseudo_thread_id() {
    let (mut conn, names) = (connect(), names(12));
    let outcome: Outcome<()> = lock(&names).run(&mut conn, |conn| {
        conn.batch_execute("SET SESSION pseudo_thread_id = 4000000000")?;
        assert_eq!(get_lock(conn, &names[4], 0), Some(1));
        Ok(())
    });
    outcome.unwrap();
    assert_all_free(&names);
}

#[test]
fn a_wait_for_one_of_many_that_is_struck_undoes_those_before_it_and_leaves_the_session() {
    for busy in PLACES {
        let names = names(12);
        let elsewhere = hold_elsewhere(&names[busy]);
        let mut conn = connect();
        let own = id(&mut conn);
        let outcome = thread::scope(|scope| {
            let section = scope.spawn(|| lock(&names).run(&mut conn, |_| -> Outcome<()> { unreachable!("struck") }));
            wait_until_waiting(own);
            kill_query(own);
            section.join().unwrap()
        });
        match outcome {
            Err(NamedLockError::Interrupted { name, .. }) => assert_eq!(name.as_str(), names[busy]),
            other => panic!("{busy}: {other:?}"),
        }
        drop(elsewhere);
        names.iter().for_each(|name| assert_free_soon(name));
        assert!(is_alive(own));
    }
}

/// Real ones, at any moment. Whatever the section returns, no lock stays, and `Ok` was alone.
#[test]
fn under_a_rain_of_kill_query_none_of_many_locks_stays_held() {
    let names = names(12);
    let (mut conn, mut onlooker) = (connect(), connect());
    let (session, dry) = (AtomicU64::new(id(&mut conn)), AtomicBool::new(false));
    let (mut ok, mut struck, mut killed) = (0, 0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut killer = connect();
            while !dry.load(Ordering::Relaxed) {
                let _ = killer.batch_execute(&format!("KILL QUERY {}", session.load(Ordering::Relaxed)));
                thread::sleep(Duration::from_micros(fastrand::u64(..300)));
            }
        });
        // Also if an assertion fails.
        let _dry = guard((), |()| dry.store(true, Ordering::Relaxed));
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(3) || (ok == 0 && start.elapsed() < PATIENCE) {
            let own = session.load(Ordering::Relaxed);
            let mut held = 0;
            let outcome: Outcome<()> = lock(&names).run(&mut conn, |_| {
                held = count(&mut onlooker, &names, &format!("IS_USED_LOCK(name) <=> {own}"));
                Ok(())
            });
            match outcome {
                Ok(()) => {
                    assert_eq!(held, names.len());
                    ok += 1;
                }
                Err(NamedLockError::Interrupted { .. } | NamedLockError::Lost { .. }) => struck += 1,
                Err(NamedLockError::Broken { .. }) => killed += 1,
                Err(other) => panic!("{other:?}"),
            }
            let all_free = || count(&mut onlooker, &names, "IS_FREE_LOCK(name)") == names.len();
            wait_until("all locks to be free", all_free);
            if !is_alive(own) {
                conn = connect();
                session.store(id(&mut conn), Ordering::Relaxed);
            }
        }
    });
    println!("{ok} were Ok, {struck} were struck, {killed} sessions were killed");
    assert!(ok > 0);
}
