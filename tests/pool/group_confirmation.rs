//! Hand-offs that are proven later, several by one answer of the server.

use std::{
    panic,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use diesel::{
    MysqlConnection,
    connection::SimpleConnection,
    prelude::*,
    r2d2::{HandleEvent, ManageConnection, Pool, R2D2Connection, event},
};
use diesel_named_lock::{LockName, NamedLock, NamedLockError, pool::NamedLockPool};
use test_server::{Product, Server};

use testkit::world::*;

use crate::line::*;

/// On a busy machine, many a section takes longer than the 5 ms within which it can be handed on ahead of its proof.
#[test]
fn one_answer_serves_several_hand_offs_and_eight_at_most() {
    // One connection, so that no section asks by itself.
    let (locks, name) = (grouped(pool(1)), lock_name("one_for_several"));
    wait_until("three hand-offs in a row without a round trip", || {
        let round_trips = round_trips_of_hand_offs(&locks, &name, 24);
        assert!(round_trips[0] == 1 && round_trips.iter().all(|&count| count <= 1), "{round_trips:?}");
        let longest = round_trips.split(|&count| count == 1).map(<[_]>::len).max().expect("a part");
        assert!(longest <= 7, "{round_trips:?}");
        longest >= 3
    });
}

/// Enough for a thread that waits for nothing to return, most of the time.
const TIME_TO_RETURN: Duration = Duration::from_millis(20);

/// What came of the sections in front of one that is long: two of them are quick.
struct Ahead {
    returned: AtomicBool,
}

/// Two quick sections, of which the second may be handed on ahead of its proof, and one behind them that runs `last`. Returns the second's
/// outcome, and what `last` returned.
fn behind_a_quick_section<M, T: Send>(
    locks: &NamedLockPool<M>,
    name: &LockName,
    last: impl FnOnce(&mut diesel::r2d2::PooledConnection<M>, &Ahead) -> T + Send,
) -> (Outcome<()>, thread::Result<Outcome<T>>)
where
    M: ManageConnection<Connection = MysqlConnection> + Send + Sync,
    M::Connection: R2D2Connection,
{
    let ahead = Ahead { returned: AtomicBool::new(false) };
    let (ahead, lock) = (&ahead, NamedLock::new(name).unwrap().timeout(SOON));
    thread::scope(|scope| {
        let first = locks.run(&lock, |_| {
            let quick = scope.spawn(|| {
                let quick = locks.run(&lock, |_| Outcome::Ok(()));
                ahead.returned.store(true, SeqCst);
                quick
            });
            wait_until("the second thread to be in line", || locks.waiting(name) == 1);
            let last = scope.spawn(|| locks.run(&lock, |conn| Outcome::Ok(last(conn, ahead))));
            wait_until("the third thread to be in line", || locks.waiting(name) == 2);
            Outcome::Ok((quick, last))
        });
        let (quick, last) = first.expect("the first section asks the server");
        (quick.join().unwrap(), last.join())
    })
}

#[test]
fn a_section_does_not_wait_for_a_long_one_behind_it() {
    let (locks, name) = (grouped(pool(2)), lock_name("long_behind"));
    let (quick, last) = behind_a_quick_section(&locks, &name, |_, ahead| {
        wait_until("the section before to return", || ahead.returned.load(SeqCst));
    });
    quick.unwrap();
    last.unwrap().unwrap();
    assert_free(name.as_str());
}

#[test]
fn a_section_that_finds_no_idle_connection_returns_after_the_one_behind_it() {
    let (locks, name) = (grouped(pool(1)), lock_name("no_idle"));
    wait_until("a section that was handed on ahead of its proof", || {
        let (quick, last) = behind_a_quick_section(&locks, &name, |_, ahead| {
            thread::sleep(TIME_TO_RETURN);
            ahead.returned.load(SeqCst)
        });
        quick.unwrap();
        !last.unwrap().unwrap()
    });
    assert_free(name.as_str());
}

/// Whose events count as "held" only when that is proven.
#[test]
fn a_lost_session_is_reported_to_every_section_that_was_not_proven() {
    let (locks, name) = (grouped(pool(1)), lock_name("lost_together"));
    wait_until("a loss for a section that was handed on ahead of its proof", || {
        let (quick, last) = behind_a_quick_section(&locks, &name, |conn, _| {
            let own = id(conn);
            kill(own);
            wait_until("the killed session to be gone", || !is_alive(own));
        });
        assert!(matches!(last, Ok(Err(NamedLockError::Lost { .. }))), "{last:?}");
        assert!(matches!(quick, Ok(()) | Err(NamedLockError::Lost { .. })), "{quick:?}");
        assert_free(name.as_str());
        quick.is_err()
    });
    assert_eq!(locks.with_named_lock(&name, SOON, |_| Outcome::Ok("in")).unwrap(), "in");
}

#[test]
fn a_panic_costs_the_sections_before_it_nothing() {
    let (locks, name) = (grouped(pool(1)), lock_name("panic_behind"));
    wait_until("a panic behind a section that was handed on ahead of its proof", || {
        let (quick, last) = behind_a_quick_section(&locks, &name, |_, ahead| {
            thread::sleep(TIME_TO_RETURN);
            panic::resume_unwind(Box::new(ahead.returned.load(SeqCst)));
        });
        quick.unwrap();
        let had_returned = *last.map(drop::<Outcome<()>>).unwrap_err().downcast::<bool>().expect("our panic");
        assert_free(name.as_str());
        !had_returned
    });
}

#[test]
fn a_section_does_not_wait_for_a_guard_behind_it() {
    let (locks, name) = (grouped(pool(1)), lock_name("guard_behind"));
    let lock = NamedLock::new(&name).unwrap().timeout(SOON);
    let mut guard = thread::scope(|scope| {
        let first = locks.run(&lock, |_| {
            let quick = scope.spawn(|| locks.run(&lock, |_| Outcome::Ok(())));
            wait_until_in_line(&locks, &name, 1);
            let guard = scope.spawn(|| locks.acquire(&lock));
            wait_until_in_line(&locks, &name, 2);
            Outcome::Ok((quick, guard))
        });
        let (quick, guard) = first.unwrap();
        let guard = guard.join().unwrap().unwrap();
        quick.join().unwrap().expect("returns while the guard is held");
        guard
    });
    assert!(guard.still_holds().unwrap());
    guard.release().unwrap();
}

/// It would wait for the one behind it, which waits for the lock around it.
#[test]
fn a_section_inside_another_one_waits_for_nobody_behind_it() {
    let (locks, outer, inner) = (grouped(pool(2)), lock_name("around"), lock_name("inside"));
    let run = |name: &LockName, work: &mut dyn FnMut()| {
        locks.with_named_lock(name, SOON, |_| {
            work();
            Outcome::Ok(())
        })
    };
    let outcomes = thread::scope(|scope| {
        let mut threads = None;
        run(&inner, &mut || {
            let both = scope.spawn(|| {
                let mut inside = None;
                let around = run(&outer, &mut || inside = Some(run(&inner, &mut || ())));
                [around, inside.expect("it was entered")]
            });
            wait_until_in_line(&locks, &inner, 1);
            let behind = scope.spawn(|| {
                let mut inside = None;
                let around = run(&inner, &mut || inside = Some(run(&outer, &mut || ())));
                [around, inside.expect("it was entered")]
            });
            wait_until_in_line(&locks, &inner, 2);
            threads = Some([both, behind]);
        })
        .expect("the first section asks the server");
        threads.unwrap().map(|thread| thread.join().unwrap())
    });
    assert!(outcomes.iter().flatten().all(Result::is_ok), "{outcomes:?}");
}

/// The answer of a session that is on another server is no proof, even if there is a session with the same id that holds the same lock.
#[test]
fn another_server_proves_nothing() {
    let elsewhere = Server::start(Product::wanted()).expect("a second server");
    let check_ins = Arc::new(CheckIns::default());
    let manager = InTurn { urls: [server().url().to_owned(), elsewhere.url().to_owned()], next: AtomicU64::new(0) };
    let pool =
        Pool::builder().max_size(2).connection_timeout(SOON).event_handler(Box::new(CheckInsOf(check_ins.clone())));
    let (locks, name) = (grouped(pool.build(manager).unwrap()), lock_name("another_server"));
    let own = leave_the_first_server_on_top(&locks);
    let _namesake = hold_by_session(&elsewhere, own, name.as_str());

    wait_until("a section that was handed on ahead of its proof", || {
        let (quick, last) = behind_a_quick_section(&locks, &name, |conn, ahead| {
            assert_eq!(id(conn), own);
            let before = check_ins.0.load(SeqCst);
            let questions = || check_ins.0.load(SeqCst) - before;
            wait_until("the section before to ask, or to return", || questions() >= 2 || ahead.returned.load(SeqCst));
            (questions(), ahead.returned.load(SeqCst))
        });
        quick.unwrap();
        let (questions, returned) = last.unwrap().unwrap();
        assert!(questions == 0 || !returned, "it has taken another server's answer for a proof");
        questions >= 2
    });
}

/// Connections to the one server and to the other in turn.
#[derive(Debug)]
struct InTurn {
    urls: [String; 2],
    next: AtomicU64,
}

impl ManageConnection for InTurn {
    type Connection = MysqlConnection;
    type Error = diesel::ConnectionError;

    fn connect(&self) -> Result<MysqlConnection, Self::Error> {
        MysqlConnection::establish(&self.urls[self.next.fetch_add(1, SeqCst) as usize % 2])
    }

    fn is_valid(&self, _: &mut MysqlConnection) -> Result<(), Self::Error> {
        Ok(())
    }

    fn has_broken(&self, conn: &mut MysqlConnection) -> bool {
        conn.is_broken()
    }
}

#[derive(Debug, Default)]
struct CheckIns(AtomicU64);

#[derive(Debug)]
struct CheckInsOf(Arc<CheckIns>);

impl HandleEvent for CheckInsOf {
    fn handle_checkin(&self, _: event::CheckinEvent) {
        self.0.0.fetch_add(1, SeqCst);
    }
}

/// A pool gives out the connection that came back last. Returns its session.
fn leave_the_first_server_on_top(locks: &NamedLockPool<InTurn>) -> u64 {
    let mut conns = [locks.pool().get().unwrap(), locks.pool().get().unwrap()];
    let is_first = |conn: &mut _| {
        number(conn, "SELECT CRC32(@@datadir) AS number") == number(&mut connect(), "SELECT CRC32(@@datadir) AS number")
    };
    if !is_first(&mut conns[1]) {
        conns.swap(0, 1);
    }
    let own = id(&mut conns[1]);
    let [other, first] = conns;
    drop(other);
    drop(first);
    own
}

/// Has the session of that id hold the lock on a server on which it is still to come.
fn hold_by_session(server: &Server, session: u64, name: &str) -> MysqlConnection {
    for _ in 0..20_000 {
        let mut conn = MysqlConnection::establish(server.url()).unwrap();
        if id(&mut conn) == session {
            assert_eq!(get_lock(&mut conn, name, 0), Some(1));
            return conn;
        }
    }
    panic!("the second server has given out more ids than the first one");
}

/// With two queues, like two processes. A section that returns `Ok` was exclusive.
#[test]
fn no_two_sections_that_end_in_ok_overlap_whatever_is_killed() {
    let (pools, name) = ([(); 2].map(|()| grouped(pool(5))), lock_name("killed_at_random"));
    let (killed, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let (told, all_told) = mpsc::channel();
    thread::scope(|scope| {
        for locks in pools.iter().flat_map(|locks| [locks; 4]) {
            let (told, name, done) = (told.clone(), &name, &done);
            scope.spawn(move || {
                while !done.load(SeqCst) {
                    let mut times = None;
                    let outcome = locks.with_named_lock(name, SOON, |_| {
                        let begun = Instant::now();
                        // Nothing in the closure finds out that its session is gone.
                        thread::sleep(Duration::from_micros(200));
                        times = Some((begun, Instant::now()));
                        Outcome::Ok(())
                    });
                    if let Some((begun, ended)) = times {
                        told.send((begun, ended, outcome.is_ok())).unwrap();
                    }
                }
            });
        }
        let mut killer = connect();
        while killed.load(SeqCst) < 50 {
            thread::sleep(Duration::from_micros(fastrand::u64(500..5_000)));
            if let Some(holder) = holder(name.as_str()) {
                killed.fetch_add(u64::from(killer.batch_execute(&format!("KILL {holder}")).is_ok()), SeqCst);
            }
        }
        done.store(true, SeqCst);
    });
    drop(told);
    let sections: Vec<_> = all_told.into_iter().collect();
    let lost = sections.iter().filter(|(.., is_ok)| !is_ok).count();
    let mut alone: Vec<_> = sections.iter().filter(|(.., is_ok)| *is_ok).collect();
    alone.sort();
    let overlaps = alone.windows(2).filter(|pair| pair[1].0 < pair[0].1).count();
    println!("{} sections, {} kills, {lost} that were not told Ok", sections.len(), killed.load(SeqCst));
    assert!(alone.len() > 20, "there was something to overlap");
    assert_eq!(overlaps, 0, "sections that were told they were alone");
    assert_free_soon(name.as_str());
}
