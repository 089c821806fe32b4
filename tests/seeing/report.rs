//! What is said about a server on its own.

use diesel::connection::SimpleConnection;
use diesel_named_lock::{Finding, Product, ServerReport, Severity, Topic, server_report};

use crate::{stage::*, world::*};

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
    assert_eq!(report.worst(), Severity::Info, "{report}");
    assert_eq!(report.product, if is_mysql() { Product::MySql } else { Product::MariaDb });
    assert_eq!(report.version, server().version());
    assert_found(&report, Topic::SeveralLocks, Severity::Info, "several");
    assert_found(&report, Topic::IdleTimeout, Severity::Info, "28800s");
    assert!(report.to_string().starts_with(&format!("{} {}\n", report.product, report.version)));
}

#[test]
fn timeouts_that_are_too_short_for_long_sections_are_told() {
    let mut conn = connect();
    conn.batch_execute("SET SESSION wait_timeout = 90").unwrap();
    let limit = if is_mysql() { "max_execution_time = 1500" } else { "max_statement_time = 1.5" };
    conn.batch_execute(&format!("SET SESSION {limit}")).unwrap();
    let report = server_report(&mut conn).unwrap();
    assert_found(&report, Topic::IdleTimeout, Severity::Warning, "90s");
    assert_found(&report, Topic::StatementTimeLimit, Severity::Warning, "1.5s");
    assert_eq!(report.worst(), Severity::Warning);
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

#[test]
fn what_the_account_may_not_see_is_told_with_the_grant() {
    let account = fresh("blind");
    let report = server_report(&mut connect_as(&account, &[])).unwrap();
    assert_found(&report, Topic::Replica, Severity::Warning, "GRANT ");
    let advice = &found(&report, Topic::Replica)[0].advice;
    let grant = &advice[advice.find("GRANT ").unwrap()..];
    operator().batch_execute(grant).unwrap_or_else(|error| panic!("{grant}: {error}"));
    assert_eq!(found(&server_report(&mut reconnect_as(&account)).unwrap(), Topic::Replica), Vec::<&Finding>::new());
}
