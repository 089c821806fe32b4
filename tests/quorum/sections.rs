//! Sections over three healthy servers.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use diesel::{
    MysqlConnection,
    connection::{SimpleConnection, TransactionManager},
    prelude::*,
    r2d2::Pool,
    sql_query,
};
use diesel_named_lock::{
    NamedLockError,
    quorum::{NodeState, QuorumError},
};
use testkit::world::{Manager, begin, fresh, get_lock, id, number, process_list, wait_until};

use crate::stage::*;

type Outcome<T = ()> = Result<T, QuorumError>;

#[test]
fn the_closure_runs_on_a_connection_that_holds_the_lock_and_it_is_held_on_all_nodes() {
    let (quorum, name) = (quorum(), fresh("held"));
    let session = quorum.run(&lock(&name), |conn| {
        let held = holders(servers(), &name);
        assert!(held.iter().all(Option::is_some), "{held:?}");
        assert_eq!(held[0], Some(id(conn)), "the home is the first node");
        Outcome::Ok(id(conn))
    });
    session.expect("a section");
    assert_free(servers(), &name);
}

#[test]
fn the_error_of_the_closure_comes_back_and_the_lock_is_free() {
    let (quorum, name) = (quorum(), fresh("error"));
    let outcome: Outcome = quorum.run(&lock(&name), |conn| {
        sql_query("SELECT * FROM no_such_table").execute(conn)?;
        Ok(())
    });
    assert!(matches!(outcome, Err(QuorumError::Lock(NamedLockError::Database(_)))), "{outcome:?}");
    assert_free(servers(), &name);
}

#[test]
fn the_lock_is_free_after_a_panic_in_the_closure() {
    let (quorum, name) = (quorum(), fresh("panic"));
    let section = || quorum.run(&lock(&name), |_| -> Outcome { panic!("on purpose") });
    catch_unwind(AssertUnwindSafe(section)).expect_err("the panic");
    assert_free(servers(), &name);
    quorum.run(&lock(&name), |_| Outcome::Ok(())).expect("the turn has ended, too");
}

#[test]
fn a_transaction_that_is_left_open_is_rolled_back_before_any_node_is_released() {
    let (quorum, name, table) = (quorum(), fresh("open"), fresh("left_open"));
    let mut home = connect_to(&servers()[0]);
    home.batch_execute(&format!("CREATE TABLE {table} (n INT PRIMARY KEY)")).unwrap();
    let mut other = connect_to(&servers()[2]);
    let other_id = id(&mut other);
    thread::scope(|scope| {
        let next = scope.spawn(|| {
            wait_until("the section", || holders(servers(), &name)[2].is_some());
            assert_eq!(get_lock(&mut other, &name, 20), Some(1));
            let insert = format!("SET innodb_lock_wait_timeout = 1; INSERT INTO {table} VALUES (1)");
            connect_to(&servers()[0]).batch_execute(&insert)
        });
        let outcome: Outcome = quorum.run(&lock(&name), |conn| {
            begin(conn)?;
            sql_query(format!("INSERT INTO {table} VALUES (1)")).execute(conn)?;
            wait_until("the next one to wait", || waits_for_lock(&servers()[2], other_id));
            Ok(())
        });
        let left_open = outcome.expect_err("a transaction was left open");
        assert!(matches!(left_open, QuorumError::Lock(NamedLockError::TransactionLeftOpen { .. })), "{left_open}");
        next.join().unwrap().expect("nothing is locked, and no row is there, once the third node is free");
    });
}

#[test]
fn a_timeout_says_who_holds_the_lock_on_each_node() {
    let (one, other, name) = (quorum(), quorum(), fresh("busy"));
    let held = one.acquire(&lock(&name)).unwrap();
    let expected = holders(servers(), &name);
    let started = Instant::now();
    let outcome = other.run(&lock(&name).timeout(Duration::from_millis(300)), |_| Outcome::Ok(()));
    let error = outcome.expect_err("a timeout");
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert!(error.is_timeout() && error.is_transient() && !error.work_ran());
    let QuorumError::Timeout { nodes, .. } = error else { panic!("{error}") };
    for (node, holder) in nodes.iter().zip(expected) {
        let NodeState::HeldBy(session) = &node.state else { panic!("{node}") };
        assert_eq!(Some(session.connection_id.get()), holder, "{node}");
    }
    held.release().unwrap();
    assert_free(servers(), &name);
}

#[test]
fn a_section_that_does_not_wait_runs_only_if_the_lock_is_free() {
    let (one, other, name) = (quorum(), quorum(), fresh("try"));
    assert_eq!(other.try_run(&lock(&name), |_| Outcome::Ok(7)).unwrap(), Some(7));
    let held = one.acquire(&lock(&name)).unwrap();
    assert_eq!(other.try_run(&lock(&name), |_| Outcome::Ok(7)).unwrap(), None);
    assert_eq!(one.try_run(&lock(&name), |_| Outcome::Ok(7)).unwrap(), None, "in the queue of the process");
    drop(held);
    assert_eq!(other.try_run(&lock(&name), |_| Outcome::Ok(7)).unwrap(), Some(7));
}

#[test]
fn a_section_inside_itself_is_refused_and_over_another_lock_it_runs() {
    let (quorum, name) = (quorum(), fresh("inner"));
    let inner = quorum.run(&lock(&name), |_| {
        quorum.run(&lock(&fresh("another")), |_| Outcome::Ok(()))?;
        quorum.run(&lock(&name), |_| Outcome::Ok(()))
    });
    let refused = inner.expect_err("it would wait for itself");
    assert!(matches!(refused, QuorumError::Lock(NamedLockError::AlreadyHeld { .. })), "{refused}");
}

#[test]
fn sections_of_several_processes_and_threads_never_overlap() {
    const PROCESSES: u32 = 4;
    const THREADS: u32 = 2;
    const ROUNDS: u32 = 8;

    let (name, inside, sum) = (fresh("contended"), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..PROCESSES {
            let quorum = quorum();
            for _ in 0..THREADS {
                let (quorum, name, inside, sum) = (quorum.clone(), &name, &inside, &sum);
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        let section = quorum.run(&lock(name), |_| {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                            sum.fetch_add(1, Ordering::SeqCst);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            Outcome::Ok(())
                        });
                        section.expect("a section");
                    }
                });
            }
        }
    });
    assert_eq!(sum.into_inner(), PROCESSES * THREADS * ROUNDS);
    assert_free(servers(), &name);
}

#[test]
fn the_sessions_go_back_to_their_pools_with_the_timeouts_that_they_had() {
    let name = fresh("timeouts");
    let pools = urls(servers()).map(pool_to);
    let timeouts = || {
        let wait = "SELECT @@session.wait_timeout AS number";
        pools.each_ref().map(|pool| number(&mut pool.get().unwrap(), wait))
    };
    let before = timeouts();
    let quorum = nodes_of(&pools).answer_within(ANSWER_WITHIN).build().unwrap();
    let inside = quorum.run(&lock(&name), |conn| Outcome::Ok(number(conn, "SELECT @@session.wait_timeout AS number")));
    assert_eq!(inside.unwrap(), Some(30));
    wait_until("the connections to be back", || pools.iter().all(|pool| pool.state().idle_connections > 0));
    assert_eq!(timeouts(), before);
}

#[test]
fn a_pool_without_a_free_connection_is_told_from_a_server_that_is_down() {
    let pool = |url| Pool::builder().max_size(1).build_unchecked(Manager::new(url));
    let quorum = nodes_of(&urls(servers()).map(pool)).answer_within(SHORT).build().unwrap();
    let guard = quorum.acquire(&lock(&fresh("first"))).unwrap();
    let second = lock(&fresh("second")).timeout(Duration::ZERO);
    let error = quorum.run(&second, |_| Outcome::Ok(())).expect_err("no connection");
    assert!(matches!(error, QuorumError::NoMajority { .. }), "{error}");
    for node in NAMES {
        assert_failed(&error, node, "make the pool larger");
    }
    guard.release().unwrap();
    quorum.run(&second, |_| Outcome::Ok(())).expect("no node was taken for down");
}

#[test]
fn an_error_travels_inside_diesels_and_comes_out_as_it_was() {
    let (holding, name) = (quorum(), fresh("travels"));
    let held = holding.acquire(&lock(&name)).unwrap();
    let second = lock(&name).timeout(Duration::from_millis(10));
    let outcome: QueryResult<()> = quorum().run(&second, |_| unreachable!("it is held"));
    let error = QuorumError::from(outcome.expect_err("it is held"));
    assert!(error.is_timeout(), "{error}");
    held.release().unwrap();
    let outcome: QueryResult<()> = quorum().run(&second, |_| Err(diesel::result::Error::NotFound));
    assert_eq!(outcome, Err(diesel::result::Error::NotFound), "an error of Diesel's stays one");
}

#[test]
fn a_long_wait_costs_no_node() {
    let of = || nodes(urls(servers())).answer_within(SHORT).build().unwrap();
    let (holding, waiting, name) = (of(), of(), fresh("long_wait"));
    let lock = lock(&name).idle_limit(Duration::from_secs(6));
    let held = holding.acquire(&lock).unwrap();
    thread::scope(|scope| {
        let next = scope.spawn(|| {
            let guard = waiting.acquire(&lock).unwrap();
            assert_eq!(guard.nodes(), NAMES, "the session that waited was heard of when it got the lock");
            guard.release().unwrap();
        });
        // Longer than a third of the idle limit and the time for an answer: after such a silence, a member counts as lost.
        thread::sleep(Duration::from_secs(5));
        held.release().unwrap();
        next.join().unwrap();
    });
}

#[test]
fn a_guard_that_is_used_again_and_again_keeps_its_home() {
    let quorum = nodes(urls(servers())).answer_within(SHORT).build().unwrap();
    let name = fresh("used");
    let mut guard = quorum.acquire(&lock(&name).idle_limit(Duration::from_secs(6))).unwrap();
    let home = guard.with_conn(id).unwrap();
    let start = Instant::now();
    // After a silence of a third of the idle limit and the time for an answer, a member counts as lost.
    while start.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_millis(100));
        assert_eq!(guard.with_conn(id).unwrap(), home);
        assert_eq!(guard.nodes(), NAMES);
    }
    guard.release().unwrap();
    assert_free(servers(), &name);
}

#[test]
fn a_closure_may_leave_its_connection_alone_for_almost_as_long_as_the_idle_limit() {
    let quorum = nodes(urls(servers())).answer_within(SHORT).build().unwrap();
    let name = fresh("alone");
    let mut guard = quorum.acquire(&lock(&name).idle_limit(Duration::from_secs(6))).unwrap();
    guard.with_conn(|_| thread::sleep(Duration::from_millis(4_600))).unwrap();
    // Past the limit.
    thread::sleep(Duration::from_secs(3));
    assert_eq!(guard.nodes(), NAMES);
    guard.release().unwrap();
    assert_free(servers(), &name);
}

#[test]
fn a_transaction_that_is_left_open_on_a_lost_home_is_reported() {
    let (quorum, name) = (quorum(), fresh("open_lost"));
    let outcome: Outcome = quorum.run(&lock(&name), |conn| {
        begin(conn)?;
        kill_session(&servers()[0], id(conn));
        Ok(())
    });
    let left_open = outcome.expect_err("nothing was committed");
    assert!(matches!(left_open, QuorumError::Lock(NamedLockError::TransactionLeftOpen { .. })), "{left_open}");
    assert_free(servers(), &name);
}

#[test]
fn a_transaction_that_a_later_closure_ends_is_not_left_open() {
    let (quorum, name) = (quorum(), fresh("ended_later"));
    let mut guard = quorum.acquire(&lock(&name)).unwrap();
    guard.with_conn(begin).unwrap().unwrap();
    let home = guard.with_conn(|conn| {
        <MysqlConnection as Connection>::TransactionManager::commit_transaction(&mut **conn).unwrap();
        id(conn)
    });
    kill_session(&servers()[0], home.unwrap());
    guard.release().expect("two of three");
    assert_free(servers(), &name);
}

#[test]
fn what_a_closure_that_panicked_has_left_on_its_connection_reaches_no_other_user_of_the_pool() {
    let (name, pools) = (fresh("panic_in_transaction"), urls(servers()).map(pool_to));
    let quorum = nodes_of(&pools).answer_within(ANSWER_WITHIN).build().unwrap();
    let mut session = 0;
    let section = || {
        quorum.run(&lock(&name), |conn| -> Outcome {
            session = id(conn);
            conn.batch_execute("BEGIN; SET SESSION sql_mode = 'ANSI_QUOTES'")?;
            panic!("on purpose")
        })
    };
    catch_unwind(AssertUnwindSafe(section)).expect_err("the panic");
    let list = process_list();
    let is_there = format!("SELECT COUNT(*) AS number FROM {list} WHERE ID = {session}");
    wait_until("the session to be gone", || number(&mut connect_to(&servers()[0]), &is_there) == Some(0));
    assert_free(servers(), &name);
}
