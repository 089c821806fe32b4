//! Several locks at once.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::MysqlConnection;
use diesel_named_lock::{InvalidName, LockName, NamedLock, NamedLockError};
use proptest::prelude::*;

use testkit::world::*;

type Outcome<T> = Result<T, NamedLockError>;

fn three() -> [String; 3] {
    let name = fresh("all");
    ["a", "b", "c"].map(|letter| format!("{letter}_{name}"))
}

#[test]
fn all_of_one_name_is_the_lock_of_that_name() {
    assert_eq!(NamedLock::all_of(["a", "a"]).unwrap(), NamedLock::new("a").unwrap());
}

#[test]
fn all_are_held_during_the_work_and_free_after() {
    let (pool, names) = (pool_of_one(), three());
    let mut conn = pool.get().unwrap();
    let own = id(&mut conn);
    let outcome: Outcome<_> =
        NamedLock::all_of(&names).unwrap().run(&mut conn, |_| Ok(names.each_ref().map(|name| holder(name))));
    assert_eq!(outcome.unwrap(), [Some(own); 3]);
    names.iter().for_each(|name| assert_free(name));
    drop(conn);
    assert_sound(&pool, &names[0]);
}

#[test]
fn they_are_taken_in_one_order_whatever_the_order_given_and_each_once() {
    let [a, b, c] = three();
    let lock = NamedLock::all_of([&c, &a, &b, &a, &c]).unwrap();
    assert_eq!(lock.names().iter().map(LockName::as_str).collect::<Vec<_>>(), [&a, &b, &c]);
    assert_eq!(lock, NamedLock::all_of([a, b, c]).unwrap());
}

proptest! {
    #[test]
    fn any_two_sections_take_the_names_that_they_share_in_the_same_order(
        one in prop::collection::vec("[a-cA-C]{1,2}", 1..6),
        other in prop::collection::vec("[a-cA-C]{1,2}", 1..6),
    ) {
        let (Ok(one), Ok(other)) = (NamedLock::all_of(&one), NamedLock::all_of(&other)) else { return Ok(()) };
        // What MySQL takes for one name counts as one.
        let folded = |lock: &NamedLock| lock.names().iter().map(|name| name.as_str().to_lowercase()).collect::<Vec<_>>();
        let (one, other) = (folded(&one), folded(&other));
        let shared = |these: &[String], those: &[String]| these.iter().filter(|n| those.contains(n)).cloned().collect::<Vec<_>>();
        prop_assert_eq!(shared(&one, &other), shared(&other, &one));
    }
}

#[test]
fn names_that_differ_only_in_letter_case_are_refused_since_mysql_takes_them_for_one() {
    let refused = NamedLock::all_of(["stock", "Stock"]);
    assert!(matches!(refused, Err(NamedLockError::InvalidName(InvalidName::DifferOnlyInCase(..)))), "{refused:?}");
}

#[test]
fn names_in_different_case_are_taken_at_the_same_place() {
    let lower = NamedLock::all_of(["b", "a"]).unwrap();
    let upper = NamedLock::all_of(["B", "A"]).unwrap();
    let mixed = NamedLock::all_of(["B", "a"]).unwrap();
    let folded = |lock: &NamedLock| lock.names().iter().map(|name| name.as_str().to_lowercase()).collect::<Vec<_>>();
    assert_eq!(folded(&lower), ["a", "b"]);
    assert_eq!(folded(&upper), ["a", "b"]);
    assert_eq!(folded(&mixed), ["a", "b"]);
}

/// Else two sections could take "the same" lock at different places, and wait for each other in a circle.
#[test]
fn names_that_mysql_takes_for_one_are_ordered_as_one() {
    for (one, other) in [("ΟΔΟΣ", "οδοσ"), ("İX", "ix"), ("ÄÖÜ", "äöü")] {
        let refused = NamedLock::all_of([one, other]);
        assert!(matches!(refused, Err(NamedLockError::InvalidName(InvalidName::DifferOnlyInCase(..)))), "{refused:?}");
    }
}

#[test]
fn no_names_are_refused() {
    let refused = NamedLock::all_of(Vec::<String>::new());
    assert!(matches!(refused, Err(NamedLockError::InvalidName(InvalidName::NoNames))), "{refused:?}");
}

#[test]
fn a_partial_acquire_is_undone_and_the_error_names_the_lock_that_was_busy() {
    let (pool, names) = (pool_of_one(), three());
    let elsewhere = hold_elsewhere(&names[2]);
    let mut conn = pool.get().unwrap();
    let lock = NamedLock::all_of(&names).unwrap().no_wait();
    let outcome: Outcome<()> = lock.run(&mut conn, |_| unreachable!("one is held elsewhere"));
    match outcome {
        Err(NamedLockError::Timeout { name, holder: Some(holder), .. }) => {
            assert_eq!(name.as_str(), names[2]);
            assert_eq!(holder.connection_id, elsewhere.id);
        }
        other => panic!("{other:?}"),
    }
    assert_free(&names[0]);
    assert_free(&names[1]);
    drop(conn);
    assert_sound(&pool, &names[0]);
}

#[test]
fn one_deadline_holds_for_all() {
    let names = three();
    let mut first = hold_elsewhere(&names[0]);
    let _last = hold_elsewhere(&names[2]);
    let mut conn = connect();
    let own = id(&mut conn);
    // Long enough that a busy machine does not take as long for what comes after the first wait.
    let timeout = Duration::from_secs(4);
    let lock = NamedLock::all_of(&names).unwrap().timeout(timeout);
    let (waited, for_the_last) = thread::scope(|scope| {
        let outcome = scope.spawn(|| lock.section(&mut conn, |_| unreachable!("the last is held elsewhere")));
        wait_until_waiting(own);
        thread::sleep(timeout * 3 / 4);
        let released = Instant::now();
        assert_eq!(release_lock(&mut first.conn, &names[0]), Some(1));
        match outcome.join().unwrap() {
            Err(NamedLockError::Timeout { waited, .. }) => (waited, released.elapsed()),
            other => panic!("{other:?}"),
        }
    });
    assert!(waited >= timeout, "{waited:?}");
    assert!(for_the_last < timeout, "{for_the_last:?}: each lock had a timeout of its own");
}

#[test]
fn a_lock_that_an_outer_section_holds_is_refused_and_the_others_are_undone() {
    let (mut conn, names) = (connect(), three());
    let outer: Outcome<_> = NamedLock::new(&names[1]).unwrap().run(&mut conn, |conn| {
        let inner: Outcome<()> = NamedLock::all_of(&names).unwrap().run(conn, |_| unreachable!("refused"));
        assert!(
            matches!(&inner, Err(NamedLockError::AlreadyHeld { name, .. }) if name.as_str() == names[1]),
            "{inner:?}"
        );
        assert_free(&names[0]);
        assert_eq!(holder(&names[1]), Some(id(conn)));
        Ok(())
    });
    outer.unwrap();
}

#[test]
fn a_re_entrant_section_over_several_adds_those_that_are_missing_and_frees_only_those() {
    let (mut conn, names) = (connect(), three());
    let outer: Outcome<_> = NamedLock::new(&names[1]).unwrap().run(&mut conn, |conn| {
        let own = Some(id(conn));
        let inner: Outcome<_> =
            NamedLock::all_of(&names).unwrap().reentrant().run(conn, |_| Ok(names.each_ref().map(|name| holder(name))));
        assert_eq!(inner.unwrap(), [own; 3]);
        assert_free(&names[0]);
        assert_eq!(holder(&names[1]), own);
        assert_free(&names[2]);
        Ok(())
    });
    outer.unwrap();
    assert_free(&names[1]);
}

#[test]
fn sections_over_the_same_locks_in_any_order_never_deadlock() {
    let [a, b, c] = three();
    let orders = [[&a, &b, &c], [&c, &b, &a], [&b, &c, &a], [&c, &a, &b]];
    thread::scope(|scope| {
        for order in orders {
            scope.spawn(move || {
                let lock = NamedLock::all_of(order).unwrap().timeout(SOON);
                let mut conn: MysqlConnection = connect();
                for _ in 0..20 {
                    let outcome: Outcome<()> = lock.run(&mut conn, |_| Ok(()));
                    outcome.unwrap();
                }
            });
        }
    });
    [a, b, c].iter().for_each(|name| assert_free(name));
}

#[test]
fn a_session_killed_during_the_work_loses_them_all() {
    let (pool, names) = (pool_of_one(), three());
    let mut conn = pool.get().unwrap();
    let own = id(&mut conn);
    let outcome: Outcome<()> = NamedLock::all_of(&names).unwrap().run(&mut conn, |_| {
        kill(own);
        wait_until("the killed session to be gone", || !is_alive(own));
        Ok(())
    });
    assert!(matches!(outcome, Err(NamedLockError::Lost { source: Some(_), .. })), "{outcome:?}");
    names.iter().for_each(|name| assert_free(name));
    drop(conn);
    assert_sound(&pool, &names[0]);
}
