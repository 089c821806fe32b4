//! Waiting for a permit: in the server's order, until the timeout.

use std::{
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use diesel::connection::SimpleConnection;
use diesel_named_lock::NamedLockError;
use log::Level;

use testkit::{logged::logged, world::*};

use crate::stage::*;

#[test]
fn a_section_waits_until_a_permit_is_free() {
    let name = fresh("waits");
    let (one, two) = (hold(permits(&name, 2).permit()), hold(permits(&name, 2).permit()));
    let waiting = start_as_head(permits(&name, 2).permit().timeout(LONG), &turnstile(&name));
    assert!(!waiting.is_over());
    two.end().unwrap();
    waiting.outcome().0.unwrap();
    one.end().unwrap();
    assert_all_free(&name, 2);
}

#[test]
fn a_permit_of_a_session_that_dies_goes_to_the_next_in_line() {
    let name = fresh("dies");
    let holding = hold(permits(&name, 1).permit());
    let waiting = start_as_head(permits(&name, 1).permit().timeout(LONG), &turnstile(&name));
    kill(holding.id);
    waiting.outcome().0.unwrap();
    holding.end().unwrap_err();
}

#[test]
fn sections_are_served_in_the_order_in_which_they_came() {
    let (name, order) = (fresh("fifo"), Mutex::new(Vec::new()));
    let holding = hold(permits(&name, 1).permit());
    thread::scope(|scope| {
        for number in 0..6 {
            let mut conn = connect();
            let own = id(&mut conn);
            let (name, order) = (&name, &order);
            scope.spawn(move || {
                let outcome: Outcome<()> = permits(name, 1).permit().timeout(LONG).run(&mut conn, |_| {
                    order.lock().unwrap().push(number);
                    Ok(())
                });
                outcome.unwrap();
            });
            match number {
                0 => wait_until("the first in line", || holder(&turnstile(name)) == Some(own)),
                _ => wait_until_waiting(own),
            }
        }
        holding.end().unwrap();
    });
    assert_eq!(order.into_inner().unwrap(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn the_first_in_line_times_out_and_the_next_one_is_first() {
    let name = fresh("head_times_out");
    let holding = hold(permits(&name, 1).permit());
    for millis in [1, 80, 300, 1000] {
        let timeout = Duration::from_millis(millis);
        let head = start_as_head(permits(&name, 1).permit().timeout(LONG), &turnstile(&name));
        kill(head.id);
        head.outcome().0.unwrap_err();
        let start = Instant::now();
        let mut conn = connect();
        let outcome: Outcome<()> = permits(&name, 1).permit().timeout(timeout).run(&mut conn, |_| Ok(()));
        let took = start.elapsed();
        match outcome {
            Err(NamedLockError::Timeout { name: awaited, holder, waited, .. }) => {
                assert_eq!(awaited.as_str(), slot(&name, 1));
                assert_eq!(holder.map(|holder| holder.connection_id.get()), Some(holding.id));
                assert!(waited >= timeout && took >= timeout, "{waited:?} of {timeout:?}");
            }
            other => panic!("{other:?}"),
        }
        assert_free(&turnstile(&name));
    }
    holding.end().unwrap();
    assert_all_free(&name, 1);
}

#[test]
fn a_section_behind_the_first_in_line_times_out_and_names_it() {
    let name = fresh("behind_head");
    let holding = hold(permits(&name, 1).permit());
    let head = start_as_head(permits(&name, 1).permit().timeout(LONG), &turnstile(&name));
    for millis in [0, 80, 1000] {
        let permit = permits(&name, 1).permit().timeout(Duration::from_millis(millis));
        match permit.run(&mut connect(), |_| Outcome::Ok(())) {
            Err(NamedLockError::Timeout { name: awaited, holder, .. }) => {
                assert_eq!(awaited.as_str(), turnstile(&name));
                assert_eq!(holder.map(|holder| holder.connection_id.get()), Some(head.id));
            }
            other => panic!("{other:?}"),
        }
    }
    holding.end().unwrap();
    head.outcome().0.unwrap();
}

#[test]
fn a_section_that_does_not_wait_tries_once() {
    let (mut conn, name) = (connect(), fresh("no_wait"));
    let permit = permits(&name, 1).permit();
    assert_eq!(permit.try_run(&mut conn, |_| Outcome::Ok(7)).unwrap(), Some(7));
    let holding = hold(permit.clone());
    assert_eq!(permit.try_run(&mut conn, |_| Outcome::Ok(7)).unwrap(), None);
    assert_free(&turnstile(&name));
    holding.end().unwrap();
    assert_eq!(permit.try_run(&mut conn, |_| Outcome::Ok(7)).unwrap(), Some(7));
}

/// MariaDB has no such limit for `SELECT` only; its `max_statement_time` interrupts every wait.
#[test]
fn the_execution_time_limit_of_a_session_of_mysql_shortens_no_wait() {
    if !is_mysql() {
        return;
    }
    let name = fresh("limited");
    let holding = hold(permits(&name, 1).permit());
    let mut conn = connect();
    conn.batch_execute("SET max_execution_time = 20").unwrap();
    let permit = permits(&name, 1).permit();
    for timeout in [400, 1000].map(Duration::from_millis) {
        match permit.clone().timeout(timeout).run(&mut conn, |_| Outcome::Ok(())) {
            Err(NamedLockError::Timeout { waited, .. }) => assert!(waited >= timeout, "{waited:?} of {timeout:?}"),
            other => panic!("{other:?}"),
        }
    }
    holding.end().unwrap();
    permit.run(&mut conn, |_| Outcome::Ok(())).unwrap();
}

/// The larger number is the bound of both.
#[test]
fn a_program_with_a_larger_number_of_permits_is_seen_by_one_with_a_smaller_one() {
    let name = fresh("numbers");
    let held: Vec<_> = (0..3).map(|_| hold(permits(&name, 3).permit())).collect();
    let entries = logged(|| {
        let outcome = permits(&name, 2).permit().try_run(&mut connect(), |_| Outcome::Ok(()));
        assert_eq!(outcome.unwrap(), None);
    });
    let warning = format!("`{}` is held by connection {}, although there are 2 permits", slot(&name, 3), held[2].id);
    let is_told = |text: &str| text.starts_with(&warning);
    assert!(entries.iter().any(|entry| entry.level == Level::Warn && is_told(&entry.text)), "{entries:?}");
    for holding in held {
        holding.end().unwrap();
    }
}
