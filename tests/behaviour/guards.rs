//! Locks that are held for as long as a value lives.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::Duration,
};

use diesel::{
    MysqlConnection,
    connection::{Instrumentation, InstrumentationEvent, SimpleConnection},
    prelude::*,
    r2d2::{Pool, PooledConnection},
    result::Error,
    sql_query,
};
use diesel_named_lock::{ConnectionId, GuardError, LockName, NamedLock, NamedLockError, NamedLockExt, NamedLockGuard};
use log::Level;

use testkit::{logged::logged, world::*};

use testkit::round_trips::asked;

fn lock(name: &str) -> NamedLock {
    NamedLock::new(name).unwrap().timeout(SOON)
}

fn own(guard: &NamedLockGuard<impl diesel_named_lock::NamedLockConnection>) -> u64 {
    guard.connection_id().get()
}

#[test]
fn a_guard_holds_its_lock_until_it_is_released_and_gives_the_connection_back() {
    let (mut conn, name) = (connect(), fresh("guard"));
    let own = id(&mut conn);
    let mut guard = lock(&name).acquire(conn).unwrap();
    assert_eq!(holder(&name), Some(own));
    assert_eq!(guard.connection_id(), ConnectionId::from(own));
    assert_eq!(guard.names(), [LockName::new(&*name).unwrap()]);
    assert_eq!(id(&mut *guard), own, "all of Diesel can be used on it");
    assert!(guard.still_holds().unwrap());
    let mut conn = guard.release().unwrap();
    assert_free(&name);
    assert_eq!(id(&mut conn), own);
}

#[test]
fn a_guard_is_two_round_trips_on_a_warm_connection() {
    let name = fresh("guard_cost");
    let cycle = |conn: MysqlConnection| lock(&name).acquire(conn).unwrap().release().unwrap();
    let mut conn = cycle(connect());
    let counting = [asked(&mut conn), asked(&mut conn)];
    let mut conn = cycle(conn);
    let after = asked(&mut conn);
    let of_counting = counting[1].0 - counting[0].0;
    assert_eq!((after.0 - counting[1].0 - of_counting, after.1 - counting[1].1), (2, counting[1].1 - counting[0].1));
}

#[test]
fn a_lock_is_free_and_the_connection_sound_after_its_guard_was_dropped() {
    let (pool, name) = (pool_of_one(), fresh("guard_drop"));
    let guard = lock(&name).acquire(pool.get().unwrap()).unwrap();
    assert_eq!(holder(&name), Some(own(&guard)));
    drop(guard);
    assert_free(&name);
    assert_sound(&pool, &name);
}

#[test]
fn a_lock_is_free_after_a_panic_that_drops_its_guard() {
    let (pool, name) = (pool_of_one(), fresh("guard_panic"));
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let mut guard = lock(&name).acquire(pool.get().unwrap()).unwrap();
        begin(&mut *guard).unwrap();
        panic!("on purpose");
    }));
    assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"on purpose"), "the panic is resumed unchanged");
    assert_free(&name);
    assert_sound(&pool, &name);
}

#[test]
fn a_thread_that_ends_drops_its_guard() {
    let (pool, name) = (pool_of_one(), fresh("guard_thread"));
    let guard = lock(&name).acquire(pool.get().unwrap()).unwrap();
    thread::spawn(move || assert!(guard.names().len() == 1)).join().unwrap();
    assert_free(&name);
    assert_sound(&pool, &name);
}

#[test]
fn a_guard_that_is_forgotten_gives_no_pool_its_lock() {
    let pool = Pool::builder().max_size(2).min_idle(Some(0)).connection_timeout(SOON);
    let (pool, name) = (pool.build(Manager::new(server().url())).unwrap(), fresh("guard_forgotten"));
    let guard = lock(&name).acquire(pool.get().unwrap()).unwrap();
    let own = own(&guard);
    mem::forget(guard);
    let mut other = pool.get().unwrap();
    assert_ne!(id(&mut other), own);
    assert!(pool.get_timeout(Duration::from_millis(200)).is_err(), "the connection does not come back");
    assert_eq!(holder(&name), Some(own));
    kill(own);
    assert_free_soon(&name);
}

#[test]
fn a_lock_that_was_not_free_gives_the_connection_back_with_its_holder() {
    let (mut conn, name) = (connect(), fresh("guard_busy"));
    let (elsewhere, own) = (hold_elsewhere(&name), id(&mut conn));
    let GuardError { mut conn, error } = lock(&name).no_wait().acquire(conn).unwrap_err();
    let NamedLockError::Timeout { holder: Some(found), .. } = &error else { panic!("{error:?}") };
    assert_eq!(found.connection_id, ConnectionId::from(elsewhere.id));
    assert_eq!(id(&mut conn), own);
    drop(elsewhere);
    assert_free_soon(&name);
    lock(&name).acquire(conn).unwrap().release().unwrap();
}

#[test]
fn a_guard_is_released_by_another_thread_than_acquired_it() {
    let (name, passed) = (fresh("guard_moved"), fresh("guard_still"));
    let guard = lock(&name).acquire(connect()).unwrap();
    let session = own(&guard);
    let moved = thread::spawn(move || {
        let mut guard = guard;
        let held = guard.with_named_lock(&passed, SOON, |_| Ok::<_, NamedLockError>(holder(&passed))).unwrap();
        (guard.still_holds().unwrap(), held, guard)
    });
    let (still_holds, held, guard) = moved.join().unwrap();
    assert!(still_holds);
    assert_eq!(held, Some(session));
    thread::spawn(move || drop(guard.release().unwrap())).join().unwrap();
    assert_free(&name);
}

#[test]
fn what_is_open_is_rolled_back_before_the_release() {
    let (name, table) = (fresh("guard_open"), fresh("guard_open"));
    connect().batch_execute(&format!("CREATE TABLE {table} (a INT) ENGINE = InnoDB")).unwrap();
    let mut guard = lock(&name).acquire(connect()).unwrap();
    begin(&mut *guard).unwrap();
    sql_query(format!("INSERT INTO {table} VALUES (1)")).execute(&mut *guard).unwrap();
    let GuardError { mut conn, error } = guard.release().err().unwrap();
    assert!(matches!(error, NamedLockError::TransactionLeftOpen { depth: Some(1), .. }), "{error:?}");
    assert_free(&name);
    assert_eq!(number(&mut conn, &format!("SELECT COUNT(*) AS number FROM {table}")), Some(0));
}

#[test]
fn the_error_of_a_dropped_guard_is_logged_at_warn() {
    let (conn, name) = (connect(), fresh("guard_warn"));
    let mut guard = lock(&name).acquire(conn).unwrap();
    release_lock(&mut *guard, &name);
    let entries = logged(|| drop(guard));
    let [warning] = &*entries else { panic!("{entries:?}") };
    assert_eq!(warning.level, Level::Warn);
    assert!(warning.text.contains(&format!("named lock `{name}` was lost by connection")), "{warning:?}");
    assert!(warning.keys.contains(&"connection".to_owned()), "{warning:?}");
}

#[test]
fn a_guard_whose_session_was_killed_says_so_and_its_pool_replaces_the_connection() {
    let (pool, name) = (pool_of_one(), fresh("guard_killed"));
    let mut guard = lock(&name).acquire(pool.get().unwrap()).unwrap();
    let own = own(&guard);
    kill(own);
    wait_until("the killed session to be gone", || !is_alive(own));
    assert!(matches!(guard.still_holds(), Err(NamedLockError::Database(_))));
    let failed = guard.release().err().unwrap();
    assert!(matches!(failed.error, NamedLockError::Lost { .. }), "{failed:?}");
    drop(failed);
    assert_free(&name);
    assert_sound(&pool, &name);
    assert_ne!(id(&mut pool.get().unwrap()), own);
}

#[test]
fn a_guard_whose_lock_was_released_by_hand_holds_it_no_more() {
    let name = fresh("guard_by_hand");
    let mut guard = lock(&name).acquire(connect()).unwrap();
    release_lock(&mut *guard, &name);
    assert!(!guard.still_holds().unwrap());
    let failed = guard.release().err().unwrap();
    assert!(matches!(failed.error, NamedLockError::Lost { source: None, .. }), "{failed:?}");
}

#[test]
fn a_guard_whose_connection_was_swapped_kills_the_session_that_holds_the_lock() {
    let (name, mut other) = (fresh("guard_swapped"), connect());
    let mut guard = lock(&name).acquire(connect()).unwrap();
    mem::swap(&mut *guard, &mut other);
    assert!(!guard.still_holds().unwrap());
    let failed = guard.release().err().unwrap();
    assert!(matches!(failed.error, NamedLockError::ConnectionSwapped { ended: true, .. }), "{failed:?}");
    assert_free_soon(&name);
}

#[test]
fn a_guards_connection_has_sections_over_other_locks_and_refuses_its_own() {
    let (name, other) = (fresh("guard_outer"), fresh("guard_inner"));
    let mut guard = lock(&name).acquire(connect()).unwrap();
    let own = own(&guard);
    let both = guard.with_named_lock(&other, SOON, |_| Ok::<_, NamedLockError>((holder(&name), holder(&other))));
    assert_eq!(both.unwrap(), (Some(own), Some(own)));
    assert_free(&other);
    let again = guard.with_named_lock(&name, SOON, |_| Ok::<_, NamedLockError>(()));
    assert!(matches!(again, Err(NamedLockError::AlreadyHeld { .. })), "{again:?}");
    guard.release().expect("the guard's lock was not touched");
    assert_free(&name);
}

#[test]
fn a_lock_that_this_very_connection_holds_is_refused_and_still_held() {
    let name = fresh("guard_already");
    let mut conn = connect();
    assert_eq!(get_lock(&mut conn, &name, 0), Some(1));
    let GuardError { mut conn, error } = lock(&name).acquire(conn).unwrap_err();
    assert!(matches!(error, NamedLockError::AlreadyHeld { .. }), "{error:?}");
    assert_eq!(holder(&name), Some(id(&mut conn)));
    let guard = lock(&name).reentrant().acquire(conn).unwrap();
    let mut conn = guard.release().unwrap();
    assert_eq!(holder(&name), Some(id(&mut conn)), "it was not the guard's to release");
}

#[test]
fn one_guard_holds_several_locks() {
    let names = [fresh("guard_a"), fresh("guard_b"), fresh("guard_c")];
    let lock = NamedLock::all_of(names.iter().map(|name| &**name)).unwrap();
    let mut guard = lock.acquire(connect()).unwrap();
    let own = own(&guard);
    assert_eq!(guard.names(), lock.names());
    assert!(names.iter().all(|name| holder(name) == Some(own)));
    assert!(guard.still_holds().unwrap());
    release_lock(&mut *guard, &names[1]);
    assert!(!guard.still_holds().unwrap());
    let failed = guard.release().err().unwrap();
    assert!(matches!(&failed.error, NamedLockError::Lost { name, .. } if name.as_str() == names[1]), "{failed:?}");
    names.iter().for_each(|name| assert_free(name));
}

#[test]
fn a_connection_on_which_no_guard_can_begin_comes_back_as_it_was() {
    let name = fresh("guard_refused");
    let mut conn = connect();
    begin(&mut conn).unwrap();
    let GuardError { mut conn, error } = lock(&name).acquire(conn).unwrap_err();
    assert!(matches!(error, NamedLockError::OpenTransaction { depth: 1, .. }), "{error:?}");
    let own = id(&mut conn);
    let failed = lock(&name).idle_limit(Duration::ZERO).acquire(connect()).unwrap_err();
    assert!(matches!(failed.error, NamedLockError::InvalidIdleLimit(_)), "{failed:?}");
    kill(own);
    wait_until("the killed session to be gone", || !is_alive(own));
    assert!(sql_query("DO 0").execute(&mut conn).is_err());
    let failed = lock(&name).acquire(conn).unwrap_err();
    assert!(
        matches!(failed.error, NamedLockError::Broken { .. } | NamedLockError::OpenTransaction { .. }),
        "{failed:?}"
    );
    assert_free(&name);
}

#[test]
fn an_idle_limit_is_the_guards_only() {
    let (mut conn, name) = (connect(), fresh("guard_idle_limit"));
    let timeout = "SELECT @@wait_timeout AS number";
    let before = number(&mut conn, timeout);
    let mut guard = lock(&name).idle_limit(Duration::from_secs(7)).acquire(conn).unwrap();
    assert_eq!(number(&mut *guard, timeout), Some(7));
    let mut conn = guard.release().unwrap();
    assert_eq!(number(&mut conn, timeout), before);
}

#[test]
fn a_guards_transaction_is_committed_or_rolled_back() {
    let (name, table) = (fresh("guard_tx"), fresh("guard_tx"));
    connect().batch_execute(&format!("CREATE TABLE {table} (a INT) ENGINE = InnoDB")).unwrap();
    let mut guard = lock(&name).acquire(connect()).unwrap();
    let insert = |conn: &mut MysqlConnection| sql_query(format!("INSERT INTO {table} VALUES (1)")).execute(conn);
    assert_eq!(guard.transaction(insert), Ok(1));
    let failed: QueryResult<()> = guard.transaction(|conn| {
        insert(conn)?;
        Err(Error::RollbackTransaction)
    });
    assert_eq!(failed, Err(Error::RollbackTransaction));
    let mut conn = guard.release().unwrap();
    assert_eq!(number(&mut conn, &format!("SELECT COUNT(*) AS number FROM {table}")), Some(1));
}

/// Panics at every statement.
struct Panics;

impl Instrumentation for Panics {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        assert!(!matches!(event, InstrumentationEvent::StartQuery { .. }), "the hook's own panic");
    }
}

#[test]
fn a_hook_that_panics_while_a_panic_drops_the_guard_ends_no_process() {
    let name = fresh("guard_hook");
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let mut guard = lock(&name).acquire(connect()).unwrap();
        guard.set_instrumentation(Panics);
        panic!("on purpose");
    }));
    assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"on purpose"));
    assert_free_soon(&name);
}

#[test]
fn a_hook_that_panics_when_the_guard_is_dropped_leaves_no_lock() {
    let name = fresh("guard_hook_drop");
    let mut guard = lock(&name).acquire(connect()).unwrap();
    guard.set_instrumentation(Panics);
    let unwound = catch_unwind(AssertUnwindSafe(|| drop(guard)));
    assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"the hook's own panic"));
    assert_free_soon(&name);
}

#[test]
fn the_error_with_the_connection_reads_as_the_error_alone_and_turns_into_it() {
    fn acquire(name: &str) -> Result<NamedLockGuard<MysqlConnection>, NamedLockError> {
        Ok(lock(name).no_wait().acquire(connect())?)
    }
    let name = fresh("guard_question_mark");
    let _elsewhere = hold_elsewhere(&name);
    assert!(acquire(&name).unwrap_err().is_timeout());
    let failed = lock(&name).no_wait().acquire(connect()).unwrap_err();
    assert!(failed.to_string().starts_with(&format!("named lock `{name}` was not free")), "{failed}");
    assert!(format!("{failed:?}").contains("Timeout"), "{failed:?}");
}

#[test]
fn a_guard_is_sent_between_threads_and_shows_its_lock() {
    fn sent(_: &(impl Send + 'static)) {}
    let (pool, name) = (pool_of_one(), fresh("guard_shows"));
    let guard: NamedLockGuard<PooledConnection<Manager>> = lock(&name).acquire(pool.get().unwrap()).unwrap();
    sent(&guard);
    let shown = format!("{guard:?}");
    assert!(shown.contains(&name) && shown.contains(&own(&guard).to_string()), "{shown}");
}
