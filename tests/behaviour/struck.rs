//! `KILL QUERY` at each statement of a section, several times in a row: no healthy session is killed, and the outcome is right.

use std::{mem, time::Duration};

use diesel::{connection::SimpleConnection, prelude::*};
use diesel_named_lock::{NamedLock, NamedLockError, NamedLockExt};
use testkit::{striking::Striking, world::*};

type Outcome<T> = Result<T, NamedLockError>;

const TIMES: [u32; 5] = [1, 2, 4, 5, 9];

/// One section whose statements are struck so many times in a row.
struct Struck {
    proxy: Striking,
    times: u32,
    name: String,
    other_name: String,
}

impl Struck {
    fn connect(&self) -> MysqlConnection {
        MysqlConnection::establish(self.proxy.url()).expect("a connection through the proxy")
    }

    /// From now on. May end a section's work.
    fn strike(&self) -> Outcome<()> {
        self.strike_at("")
    }

    fn strike_at(&self, sql: &str) -> Outcome<()> {
        self.proxy.strike(self.times, sql);
        Ok(())
    }

    fn lock(&self) -> NamedLock {
        NamedLock::new(&self.name).unwrap().timeout(SOON)
    }

    fn both(&self) -> NamedLock {
        NamedLock::all_of([&self.name, &self.other_name]).unwrap().timeout(SOON)
    }

    fn limited(&self) -> NamedLock {
        self.lock().idle_limit(Duration::from_secs(60)).reentrant()
    }
}

/// Runs `section` on a connection of its own, for each number of strikes. What is held afterwards is checked here.
fn for_all_times(place: &str, section: impl Fn(&Struck, &mut MysqlConnection)) {
    for times in TIMES {
        let proxy = Striking::to(server().tcp_url());
        let struck = Struck { proxy, times, name: fresh("struck"), other_name: fresh("struck_too") };
        let mut conn = struck.connect();
        section(&struck, &mut conn);
        assert_eq!(struck.proxy.struck(), times, "{place}");
        for name in [&struck.name, &struck.other_name] {
            assert_eq!(holder(name), None, "{place}, struck {times} times: {name} is held");
        }
    }
}

type Section = fn(&Struck, &mut MysqlConnection) -> Outcome<()>;

/// Each ends as if nothing had happened.
const SECTIONS: [(&str, Section); 13] = [
    ("the release", |struck, conn| struck.lock().run(conn, |_| struck.strike())),
    ("the release of several", |struck, conn| struck.both().run(conn, |_| struck.strike())),
    ("the release of a lock that the work took once more", |struck, conn| {
        struck.lock().run(conn, |conn| {
            get_lock(conn, &struck.name, 0);
            struck.strike()
        })
    }),
    ("a ping", |struck, conn| {
        struck.lock().run(conn, |conn| {
            struck.strike()?;
            let is_lost = conn.keep_alive_while(Duration::from_millis(1), |watch| {
                wait_until("the strikes", || struck.proxy.struck() == struck.times);
                watch.is_lost()
            });
            assert!(!is_lost);
            Ok(())
        })
    }),
    ("the question whether it is still held", |struck, conn| {
        struck.lock().run(conn, |conn| {
            struck.strike()?;
            assert!(conn.still_holds(&*struck.name)?);
            Ok(())
        })
    }),
    ("the question before a re-entrant section", |struck, conn| {
        struck.lock().run(conn, |conn| {
            struck.strike()?;
            struck.lock().reentrant().run(conn, |_| Ok(()))
        })
    }),
    ("the check at the end of a re-entrant section", |struck, conn| {
        struck.lock().run(conn, |conn| struck.lock().reentrant().run(conn, |_| struck.strike()))
    }),
    ("asking for the timeouts", |struck, conn| {
        struck.strike_at("@@wait_timeout, ")?;
        struck.limited().run(conn, |_| Ok(()))
    }),
    ("shortening the timeouts", |struck, conn| {
        struck.strike_at("SET SESSION wait_timeout")?;
        struck.limited().run(conn, |_| Ok(()))
    }),
    ("asking for the timeouts of an inner section", |struck, conn| {
        struck.lock().run(conn, |conn| {
            struck.strike()?;
            struck.limited().run(conn, |_| Ok(()))
        })
    }),
    ("shortening the timeouts of an inner section", |struck, conn| {
        struck.lock().run(conn, |conn| {
            struck.strike_at("SET SESSION wait_timeout")?;
            struck.limited().run(conn, |_| Ok(()))
        })
    }),
    ("restoring the timeouts of an inner section", |struck, conn| {
        let strike = || struck.strike_at("SET SESSION wait_timeout");
        struck.lock().run(conn, |conn| struck.limited().run(conn, |_| strike()))
    }),
    ("restoring the timeouts", |struck, conn| {
        struck.limited().run(conn, |_| struck.strike_at("SET SESSION wait_timeout"))
    }),
];

#[test]
fn a_section_is_ok_and_its_session_lives_however_often_it_is_struck() {
    for (place, section) in SECTIONS {
        for_all_times(place, |struck, conn| {
            let before = (id(conn), wait_timeout(conn));
            let outcome = section(struck, conn);
            assert!(outcome.is_ok(), "{place}, struck {} times: {outcome:?}", struck.times);
            assert_eq!((id(conn), wait_timeout(conn)), before, "{place}, struck {} times", struck.times);
        });
    }
}

fn wait_timeout(conn: &mut MysqlConnection) -> Option<i64> {
    number(conn, "SELECT CAST(@@wait_timeout AS SIGNED) AS number")
}

/// The lock is in doubt then, but the session also holds that of the outer section.
#[test]
fn an_inner_acquire_that_is_struck_costs_the_outer_section_nothing() {
    for_all_times("the acquire, and what settles it", |struck, conn| {
        let own = id(conn);
        let outer: Outcome<_> = struck.lock().run(conn, |conn| {
            struck.strike()?;
            let inner: Outcome<()> = conn.with_named_lock(&*struck.other_name, SOON, |_| unreachable!("struck"));
            assert!(matches!(inner, Err(NamedLockError::Interrupted { .. })), "{} times: {inner:?}", struck.times);
            assert_eq!(holder(&struck.name), Some(own));
            Ok(())
        });
        assert!(outer.is_ok(), "struck {} times: {outer:?}", struck.times);
        assert_eq!(id(conn), own);
    });
}

/// After every attempt at a release.
#[test]
fn a_session_that_has_to_be_killed_is_killed_however_often_that_is_struck() {
    const RELEASES: u32 = 21;

    for times in TIMES {
        let struck =
            Struck { proxy: Striking::to(server().tcp_url()), times, name: fresh("kill"), other_name: fresh("") };
        let mut conn = struck.connect();
        let own = id(&mut conn);
        let outcome: Outcome<_> = struck.lock().run(&mut conn, |_| {
            struck.proxy.strike(RELEASES + times, "");
            Ok(())
        });
        assert!(
            matches!(outcome, Err(NamedLockError::Lost { source: Some(_), .. })),
            "struck {times} times: {outcome:?}"
        );
        assert_eq!(struck.proxy.struck(), RELEASES + times);
        wait_until("the session to be gone", || !is_alive(own));
        assert_free(&struck.name);
    }
}

/// Diesel's own, and what this crate asks before it.
#[test]
fn a_transaction_left_open_is_reported_as_that_however_often_its_rollback_is_struck() {
    for sql in ["", "ROLLBACK"] {
        for_all_times("the roll-back", |struck, conn| {
            let own = id(conn);
            let outcome: Outcome<_> = struck.lock().run(conn, |conn| {
                begin(conn)?;
                struck.strike_at(sql)
            });
            assert!(
                matches!(outcome, Err(NamedLockError::TransactionLeftOpen { depth: Some(1), .. })),
                "`{sql}` struck {} times: {outcome:?}",
                struck.times
            );
            assert_eq!(conn.transaction(|conn| QueryResult::Ok(id(conn))), Ok(own));
        });
    }
}

/// The session that was swapped out holds the lock, so it is the one to be killed.
#[test]
fn a_session_that_was_swapped_out_is_killed_however_often_that_is_struck() {
    for sql in ["", "KILL "] {
        for_all_times("killing the stray session", |struck, conn| {
            let (stray, mut spare) = (id(conn), struck.connect());
            let own = id(&mut spare);
            let outcome: Outcome<_> = struck.lock().run(conn, |conn| {
                mem::swap(conn, &mut spare);
                struck.strike_at(sql)
            });
            assert!(
                matches!(outcome, Err(NamedLockError::ConnectionSwapped { ended: true, source: None, .. })),
                "`{sql}` struck {} times: {outcome:?}",
                struck.times
            );
            assert_eq!(id(conn), own);
            wait_until("the stray session to be gone", || !is_alive(stray));
        });
    }
}

#[test]
fn a_transaction_of_a_connection_that_was_swapped_in_survives_however_often_the_question_is_struck() {
    let table = fresh("t");
    connect().batch_execute(&format!("CREATE TABLE {table} (a INT) ENGINE = InnoDB")).unwrap();
    for_all_times("whose transaction it is", |struck, conn| {
        let mut spare = struck.connect();
        let own = id(&mut spare);
        begin(&mut spare).unwrap();
        spare.batch_execute(&format!("INSERT INTO {table} VALUES ({})", struck.times)).unwrap();
        let outcome: Outcome<_> = struck.lock().run(conn, |conn| {
            mem::swap(conn, &mut spare);
            struck.strike()
        });
        assert!(
            matches!(outcome, Err(NamedLockError::ConnectionSwapped { ended: true, .. })),
            "struck {} times: {outcome:?}",
            struck.times
        );
        let rows = format!("SELECT COUNT(*) AS number FROM {table} WHERE a = {}", struck.times);
        assert_eq!(number(conn, &rows), Some(1), "struck {} times: rolled back", struck.times);
        assert_eq!(number(&mut connect(), &rows), Some(0), "struck {} times: committed", struck.times);
        assert_eq!(id(conn), own);
    });
}
