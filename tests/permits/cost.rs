//! What permits cost, counted by the server.

use diesel::MysqlConnection;
use diesel_named_lock::{NamedLock, permits::SharedLock};

use testkit::{
    round_trips::{asked_by, last_statement},
    world::*,
};

use crate::stage::*;

/// Of a section, once what it needs is prepared.
fn round_trips(conn: &mut MysqlConnection, lock: &NamedLock) -> (i64, i64) {
    lock.run(conn, |_| Outcome::Ok(())).unwrap();
    asked_by(conn, |conn| lock.run(conn, |_| Outcome::Ok(())).unwrap())
}

#[test]
fn a_free_permit_costs_two_round_trips_and_each_further_one_one_more() {
    let (mut conn, name) = (connect(), fresh("cost"));
    for count in [1, 3, 64] {
        assert_eq!(round_trips(&mut conn, &permits(&name, count).permit()), (2, 0), "{count}");
    }
    for wanted in [2, 3, 10] {
        let lock = permits(&name, 10).permits(wanted).unwrap();
        assert_eq!(round_trips(&mut conn, &lock).0, i64::from(wanted) + 1, "{wanted}");
    }
}

#[test]
fn a_shared_section_costs_two_round_trips_and_an_exclusive_one_fourteen() {
    let (mut conn, name) = (connect(), fresh("shared_cost"));
    let lock = SharedLock::new(&*name).unwrap();
    assert_eq!(round_trips(&mut conn, &lock.shared()), (2, 0));
    assert_eq!(round_trips(&mut conn, &lock.exclusive()), (14, 0));
}

#[test]
fn a_reentrant_exclusive_section_costs_one_round_trip_more_and_two_inside_another() {
    let (mut conn, name) = (connect(), fresh("reentrant_cost"));
    let exclusive = SharedLock::new(&*name).unwrap().exclusive();
    let reentrant = exclusive.clone().reentrant();
    assert_eq!(round_trips(&mut conn, &reentrant), (15, 0));
    exclusive
        .run(&mut conn, |conn| {
            assert_eq!(round_trips(conn, &reentrant), (2, 0));
            Outcome::Ok(())
        })
        .unwrap();
}

/// The first in line asks some 20 times a second, once it has waited for a second. Those behind it don't ask at all.
#[test]
fn one_session_of_a_line_asks_again_and_again() {
    let name = fresh("polls");
    let holding = hold(permits(&name, 1).permit());
    let head = start_as_head(permits(&name, 1).permit().timeout(LONG), &turnstile(&name));
    let behind = start(permits(&name, 1).permit().timeout(LONG));
    wait_until_waiting(behind.id);
    let waits_since = last_statement(behind.id);
    let mut counting = connect();
    let asked = |session: u64| last_statement(session);
    // Until the pauses are as long as they get.
    number(&mut counting, "SELECT SLEEP(1) AS number");
    let before = asked(head.id);
    number(&mut counting, "SELECT SLEEP(1) AS number");
    let after = asked(head.id);
    // MariaDB counts the statements of all sessions: other tests', too. So only MySQL's count is a bound from above.
    assert!(after > before);
    if is_mysql() {
        assert!(after - before <= 21, "{} statements a second", after - before);
        assert_eq!(asked(behind.id), waits_since);
    }
    holding.end().unwrap();
    head.outcome().0.unwrap();
    behind.outcome().0.unwrap();
}
