//! How the list shows permits and shared locks.

use std::thread::{self, JoinHandle};

use diesel::MysqlConnection;
use diesel_named_lock::{
    NamedLock, NamedLockError, NamedLockGuard,
    operator::{FamilyHolder, FamilyKind, GroupedLocks, LockFamily, break_lock, named_locks},
    permits::{Permits, SharedLock},
};
use test_server::Server;

use testkit::{clusters::connect_to, world::*};

use crate::stage::*;

type Guard = NamedLockGuard<MysqlConnection>;

fn hold(server: &Server, lock: NamedLock) -> (u64, Guard) {
    let guard = lock.acquire(connect_to(server)).unwrap_or_else(|failed| panic!("{}", failed.error));
    (guard.connection_id().get(), guard)
}

/// A session that waits for the lock, and then releases it.
fn wait_for_lock(server: &Server, lock: &NamedLock) -> (u64, JoinHandle<Result<(), NamedLockError>>) {
    let mut conn = connect_to(server);
    let (id, lock) = (id(&mut conn), lock.clone().timeout(SOON));
    (id, thread::spawn(move || lock.run(&mut conn, |_| Ok(()))))
}

fn grouped(conn: &mut MysqlConnection) -> GroupedLocks {
    named_locks(conn).unwrap().grouped()
}

/// What is listed of this family.
fn family(conn: &mut MysqlConnection, name: &str) -> Option<LockFamily> {
    grouped(conn).families.into_iter().find(|family| family.name.as_str().eq_ignore_ascii_case(name))
}

/// Awaits that this is listed of the family.
#[track_caller]
fn wait_for_family(conn: &mut MysqlConnection, name: &str, shows: impl Fn(&LockFamily) -> bool) -> LockFamily {
    let mut last = None;
    wait_until(&format!("{name} to be listed so"), || {
        last = family(conn, name);
        last.as_ref().is_some_and(&shows)
    });
    last.unwrap()
}

fn ids_and_numbers(holders: &[FamilyHolder]) -> Vec<(u64, &[u32])> {
    holders.iter().map(|holder| (holder.session.connection_id.get(), &*holder.numbers)).collect()
}

fn first_in_line(family: &LockFamily) -> Option<u64> {
    family.first_in_line.as_ref().map(|first| first.session.connection_id.get())
}

fn waiters(family: &LockFamily) -> Vec<u64> {
    family.waiters.iter().map(|waiter| waiter.connection_id.get()).collect()
}

#[test]
fn permits_are_listed_with_their_holders_the_first_in_line_and_those_behind_it() {
    let server = with_performance_schema();
    let (mut conn, name) = (connect_to(server), fresh("Mail"));
    let permits = Permits::new(&name, 3).unwrap();
    let (one, one_guard) = hold(server, permits.permit());
    let (two, two_guard) = hold(server, permits.permits(2).unwrap());
    let (first, first_thread) = wait_for_lock(server, &permits.permit());
    wait_for_family(&mut conn, &name, |family| first_in_line(family) == Some(first));
    let mut behind = Vec::new();
    let mut threads = vec![first_thread];
    for _ in 0..3 {
        let (id, thread) = wait_for_lock(server, &permits.permit());
        behind.push(id);
        threads.push(thread);
        wait_for_family(&mut conn, &name, |family| family.waiters.len() == behind.len());
    }

    let family = family(&mut conn, &name).unwrap();
    assert_eq!(family.kind, FamilyKind::Permits);
    assert!(family.name.as_str().eq_ignore_ascii_case(&name), "{family}");
    assert_eq!(ids_and_numbers(&family.holders), [(one, &[1][..]), (two, &[2, 3])]);
    assert!(family.holders.iter().all(|holder| !holder.is_exclusive && holder.session.user.as_deref() == Some("root")));
    assert_eq!((first_in_line(&family), waiters(&family)), (Some(first), behind));

    drop((one_guard, two_guard));
    threads.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
    wait_until("the permits to be free", || self::family(&mut conn, &name).is_none());
}

#[test]
fn an_exclusive_holder_is_listed_once_with_those_that_wait_for_it() {
    let server = with_performance_schema();
    let (mut conn, name) = (connect_to(server), fresh("index"));
    let lock = SharedLock::new(&name).unwrap();
    let (alone, guard) = hold(server, lock.exclusive());
    let (waiter, thread) = wait_for_lock(server, &lock.shared());
    let family = wait_for_family(&mut conn, &name, |family| !family.waiters.is_empty());
    assert_eq!((family.kind, family.holders.len(), &family.first_in_line), (FamilyKind::Shared, 1, &None));
    let holder = &family.holders[0];
    assert_eq!((holder.session.connection_id.get(), holder.is_exclusive, holder.numbers.len()), (alone, true, 64));
    assert_eq!(waiters(&family), [waiter]);
    // As text, too.
    let text = named_locks(&mut conn).unwrap().to_string();
    assert_eq!(text.matches(&format!("connection {alone} ")).count(), 1, "{text}");

    drop(guard);
    thread.join().unwrap().unwrap();
}

#[test]
fn a_waiting_exclusive_section_is_first_in_line_with_what_it_has_so_far() {
    let server = with_performance_schema();
    let (mut conn, name) = (connect_to(server), fresh("writer"));
    let lock = SharedLock::new(&name).unwrap();
    let (one, one_guard) = hold(server, lock.shared());
    let (two, two_guard) = hold(server, lock.shared());
    let (writer, writer_thread) = wait_for_lock(server, &lock.exclusive());
    wait_for_family(&mut conn, &name, |family| first_in_line(family) == Some(writer));
    let (reader, reader_thread) = wait_for_lock(server, &lock.shared());
    let family = wait_for_family(&mut conn, &name, |family| !family.waiters.is_empty());
    assert_eq!(ids_and_numbers(&family.holders), [(one, &[1][..]), (two, &[2])]);
    assert_eq!((first_in_line(&family), waiters(&family)), (Some(writer), vec![reader]));

    drop(one_guard);
    let has_some = |first: &FamilyHolder| !first.numbers.is_empty();
    let family = wait_for_family(&mut conn, &name, |family| family.first_in_line.as_ref().is_some_and(has_some));
    assert_eq!(ids_and_numbers(&family.holders), [(two, &[2][..])]);
    assert_eq!(family.first_in_line.as_ref().map(|first| &*first.numbers), Some(&[1][..]));
    assert_eq!((first_in_line(&family), waiters(&family)), (Some(writer), vec![reader]));
    drop(two_guard);
    writer_thread.join().unwrap().unwrap();
    reader_thread.join().unwrap().unwrap();
}

#[test]
fn without_the_locks_of_waiters_the_first_in_line_is_known_and_those_behind_it_are_apart() {
    let (mut conn, name) = (operator(), fresh("unassigned"));
    let permits = Permits::new(&name, 1).unwrap();
    let (holder, guard) = hold(server(), permits.permit());
    let (first, first_thread) = wait_for_lock(server(), &permits.permit());
    wait_for_family(&mut conn, &name, |family| first_in_line(family) == Some(first));
    let (behind, behind_thread) = wait_for_lock(server(), &permits.permit());
    wait_until_waiting(behind);

    let seen = grouped(&mut conn);
    let unassigned: Vec<u64> = seen.unassigned_waiters.iter().map(|waiter| waiter.connection_id.get()).collect();
    assert!(!unassigned.contains(&first), "{seen}");
    let family = family(&mut conn, &name).unwrap();
    assert_eq!(ids_and_numbers(&family.holders), [(holder, &[1][..])]);
    assert_eq!(first_in_line(&family), Some(first));
    match is_mysql() {
        true => assert_eq!(waiters(&family), [behind]),
        false => assert!(waiters(&family).is_empty() && unassigned.contains(&behind), "{seen}"),
    }
    drop(guard);
    first_thread.join().unwrap().unwrap();
    behind_thread.join().unwrap().unwrap();
}

#[test]
fn the_lock_of_a_listed_holder_breaks_its_permit_only() {
    let (mut conn, name) = (operator(), fresh("broken"));
    let permits = Permits::new(&name, 2).unwrap();
    let (one, one_guard) = hold(server(), permits.permit());
    let (two, two_guard) = hold(server(), permits.permit());
    let listed = family(&mut conn, &name).unwrap();
    let broken = break_lock(&mut conn, &listed.holders[1].lock).unwrap();
    assert_eq!(broken.map(|session| session.connection_id.get()), Some(two));
    let left = family(&mut conn, &name).unwrap();
    assert_eq!(ids_and_numbers(&left.holders), [(one, &[1][..])]);
    two_guard.release().map(drop).unwrap_err();
    one_guard.release().unwrap();

    let (alone, guard) = hold(server(), SharedLock::new(&name).unwrap().exclusive());
    let listed = family(&mut conn, &name).unwrap();
    let broken = break_lock(&mut conn, &listed.holders[0].lock).unwrap();
    assert_eq!(broken.map(|session| session.connection_id.get()), Some(alone));
    guard.release().map(drop).unwrap_err();
}

#[test]
fn a_lock_whose_name_only_looks_similar_stays_a_lock() {
    let (mut conn, scope) = (operator(), fresh("similar"));
    let names = ["order#1", "a:permit#x", "a:permit#0", "a:permit#65", "a:permit", "a:shared#01"];
    let names = names.map(|name| format!("{scope}:{name}"));
    for name in &names {
        get_lock(&mut conn, name, 0);
    }
    let seen = grouped(&mut conn);
    let is_here = |name: &str| name.to_lowercase().starts_with(&scope.to_lowercase());
    assert_eq!(seen.locks.iter().filter(|lock| is_here(&lock.name)).count(), names.len(), "{seen}");
    assert!(!seen.families.iter().any(|family| is_here(family.name.as_str())), "{seen}");
}

#[test]
fn the_holders_are_asked_without_a_list_and_the_first_in_line_is_none_of_them() {
    let (mut conn, name) = (connect_as(&fresh("nobody"), &[]), fresh("asked"));
    let permits = Permits::new(&name, 3).unwrap();
    let mut asked = |lock: &NamedLock| -> Vec<u64> {
        lock.holders(&mut conn).unwrap().iter().map(|holder| holder.connection_id.get()).collect()
    };
    let permit = permits.permit();
    assert!(asked(&permit).is_empty());
    let (one, one_guard) = hold(server(), permit.clone());
    let (two, two_guard) = hold(server(), permits.permits(2).unwrap());
    let (first, thread) = wait_for_lock(server(), &permits.permits(2).unwrap());
    wait_until("the first in line", || holder(&format!("{name}:permit#wait")) == Some(first));
    assert_eq!(asked(&permit), [one, two]);
    drop(one_guard);
    wait_until("the first in line to have a permit", || holder(&format!("{name}:permit#1")) == Some(first));
    assert_eq!(asked(&permit), [two]);
    drop(two_guard);
    thread.join().unwrap().unwrap();

    let lock = SharedLock::new(&name).unwrap();
    let (alone, guard) = hold(server(), lock.exclusive());
    assert_eq!((asked(&lock.shared()), asked(&permit)), (vec![alone], vec![]));
    drop(guard);

    let both = NamedLock::all_of([format!("{name}2"), format!("{name}1")]).unwrap();
    let (one, _one) = hold(server(), NamedLock::new(format!("{name}1")).unwrap());
    assert_eq!(asked(&both), [one]);
    let (two, _two) = hold(server(), NamedLock::new(format!("{name}2")).unwrap());
    assert_eq!(asked(&both), [one, two]);
}
