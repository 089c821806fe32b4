//! What is said about a server on its own.

use std::thread;

use diesel::{connection::SimpleConnection, r2d2::Pool};
use diesel_named_lock::{
    NamedLockError,
    operator::{Finding, Product, ServerReport, Severity, Topic, server_report},
    pool::NamedLockPool,
};

use testkit::{
    clusters::{connect_to, start},
    world::*,
};

use crate::stage::*;

pub fn found(report: &ServerReport, topic: Topic) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.topic == topic).collect()
}

#[track_caller]
pub fn assert_found(report: &ServerReport, topic: Topic, severity: Severity, what: &str) {
    let found = found(report, topic);
    let matches = |finding: &&Finding| finding.severity == severity && finding.to_string().contains(what);
    assert!(found.iter().any(matches), "no {severity} on {topic:?} with {what:?} in:\n{report}");
}

#[test]
fn of_a_server_on_its_own_nothing_bad_is_said() {
    let report = server_report(&mut connect()).unwrap();
    assert_eq!(report.max_severity(), Severity::Info, "{report}");
    assert_eq!(report.product, if is_mysql() { Product::MySql } else { Product::MariaDb });
    assert_eq!(report.version, server().version());
    assert_found(&report, Topic::SeveralLocks, Severity::Info, "several");
    assert_found(&report, Topic::IdleTimeout, Severity::Info, "28800s");
    assert!(report.to_string().starts_with(&format!("{} {}\n", report.product, report.version)));
}

#[test]
fn timeouts_that_are_too_short_for_long_sections_are_reported() {
    let mut conn = connect();
    conn.batch_execute("SET SESSION wait_timeout = 90").unwrap();
    let limit = if is_mysql() { "max_execution_time = 1500" } else { "max_statement_time = 1.5" };
    conn.batch_execute(&format!("SET SESSION {limit}")).unwrap();
    let report = server_report(&mut conn).unwrap();
    assert_found(&report, Topic::IdleTimeout, Severity::Warning, "90s");
    let severity = if is_mysql() { Severity::Info } else { Severity::Warning };
    assert_found(&report, Topic::StatementTimeLimit, severity, "1.5s");
    assert_eq!(report.max_severity(), Severity::Warning);
    if !is_mysql() {
        conn.batch_execute("SET SESSION idle_transaction_timeout = 30").unwrap();
        assert_found(
            &server_report(&mut conn).unwrap(),
            Topic::IdleTimeout,
            Severity::Warning,
            "30s inside a transaction",
        );
    }
}

/// `SHOW VARIABLES` is of the session; new sessions have the global value.
#[test]
fn autocommit_that_is_off_is_reported() {
    let server = start(&[]);
    let mut before = connect_to(&server);
    before.batch_execute("SET GLOBAL autocommit = OFF").unwrap();
    assert_found(&server_report(&mut before).unwrap(), Topic::Autocommit, Severity::Warning, "new sessions");
    let mut after = connect_to(&server);
    assert_found(&server_report(&mut after).unwrap(), Topic::Autocommit, Severity::Danger, "this session");
    after.batch_execute("SET GLOBAL autocommit = ON; SET SESSION autocommit = ON").unwrap();
    assert_eq!(found(&server_report(&mut after).unwrap(), Topic::Autocommit), Vec::<&Finding>::new());
}

#[test]
fn a_pool_of_few_threads_is_reported_and_is_enough_for_threads_that_wait_in_a_named_lock_pool() {
    if is_mysql() {
        return; // There it is a plugin, for a server that Oracle sells.
    }
    let options = ["--thread-handling=pool-of-threads", "--thread-pool-max-threads=4"];
    let server = start(&options);
    let report = server_report(&mut connect_to(&server)).unwrap();
    assert_found(&report, Topic::ThreadPool, Severity::Warning, "4 threads");
    let report = server_report(&mut connect_to(&start(&options[..1]))).unwrap();
    assert_found(&report, Topic::ThreadPool, Severity::Info, "65536 threads");

    let connections = Pool::builder().max_size(8).build(Manager::new(server.url())).unwrap();
    let locks = NamedLockPool::new(connections);
    let section = || {
        locks.with_named_lock("few-threads", SOON, |conn| {
            number(conn, "SELECT SLEEP(0.02) AS number");
            Ok::<_, NamedLockError>(())
        })
    };
    thread::scope(|scope| {
        let sections: Vec<_> = (0..8).map(|_| scope.spawn(section)).collect();
        sections.into_iter().for_each(|section| section.join().unwrap().expect("the lock"));
    });
}

#[test]
fn what_the_account_may_not_see_is_reported_with_the_grant() {
    let account = fresh("blind");
    let report = server_report(&mut connect_as(&account, &[])).unwrap();
    assert_found(&report, Topic::Replica, Severity::Warning, "GRANT ");
    let advice = &found(&report, Topic::Replica)[0].advice;
    let grant = &advice[advice.find("GRANT ").unwrap()..];
    operator().batch_execute(grant).unwrap_or_else(|error| panic!("{grant}: {error}"));
    assert_eq!(found(&server_report(&mut reconnect_as(&account)).unwrap(), Topic::Replica), Vec::<&Finding>::new());
}
