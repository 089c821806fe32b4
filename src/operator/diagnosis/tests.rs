//! What can't be run here: other products, old versions, proxies. The rest is tested on real servers (`tests/operator`).

use super::*;
use crate::statement::facts::Member;

/// A server about which there is nothing to say but that it is sound.
fn facts(version: &str, variables: &[(&str, &str)]) -> Facts {
    Facts {
        version: version.into(),
        variables: of(variables),
        global_variables: Variables::new(),
        status: Variables::new(),
        sources: Ok(Vec::new()),
        members: Ok(Vec::new()),
        connection_ids: vec![7; 3],
        by_router: false,
    }
}

fn of(variables: &[(&str, &str)]) -> Variables {
    variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn member(role: &str, state: &str, asked: bool) -> Member {
    Member { role: role.into(), state: state.into(), asked }
}

#[track_caller]
fn assert_found(facts: Facts, topic: Topic, severity: Severity) {
    let report = report(facts);
    assert!(report.findings.iter().any(|found| (found.topic, found.severity) == (topic, severity)), "{report}");
}

#[test]
fn old_versions_hold_one_lock_at_most() {
    use Severity::{Danger, Info};
    let versions = [
        ("5.7.4-m14", Danger),
        ("5.7.5-m15-log", Info),
        ("5.6.51", Danger),
        ("8.0.36-0ubuntu0.22.04.1", Info),
        ("10.0.1-MariaDB", Danger),
        ("10.0.2-MariaDB", Info),
        ("5.5.68-MariaDB", Danger),
        ("5.5.5-10.4.32-MariaDB-log", Info),
        ("9.7.4-2", Info),
    ];
    for (version, severity) in versions {
        assert_found(facts(version, &[]), Topic::SeveralLocks, severity);
    }
}

#[test]
fn relatives_are_told_by_their_names() {
    let product = |facts| report(facts).product;
    assert_eq!(product(facts("8.0.11-TiDB-v8.5.0", &[])), Product::TiDb);
    assert_eq!(product(facts("8.0.30-Vitess", &[])), Product::Vitess);
    assert_eq!(product(facts("8.0.39", &[("AURORA_VERSION", "3.08.0")])), Product::Aurora);
    assert_eq!(product(facts("11.4.2-MariaDB", &[])), Product::MariaDb);
    assert_eq!(product(facts("8.4.3", &[])), Product::MySql);
    assert_found(facts("8.0.11-TiDB-v8.5.0", &[]), Topic::Compatibility, Severity::Danger);
}

#[test]
fn a_connection_that_is_several_sessions_is_a_danger() {
    let swapping = Facts { connection_ids: vec![7, 7, 9], ..facts("8.4.3", &[]) };
    assert_found(swapping, Topic::Proxy, Severity::Danger);
}

#[test]
fn a_proxy_that_says_its_name_is_seen() {
    assert_found(facts("8.0.11", &[("VERSION_COMMENT", "(ProxySQL)")]), Topic::Proxy, Severity::Warning);
}

#[test]
fn an_aurora_reader_is_a_danger() {
    let reader = facts("8.0.39", &[("AURORA_VERSION", "3.08.0"), ("INNODB_READ_ONLY", "ON")]);
    assert_found(reader, Topic::ReadOnly, Severity::Danger);
}

#[test]
fn in_a_group_with_one_primary_only_the_primary_is_sound() {
    let of = |own, other| Facts {
        members: Ok(vec![member(other, "ONLINE", false), member(own, "ONLINE", true)]),
        ..facts("8.4.3", &[("GROUP_REPLICATION_SINGLE_PRIMARY_MODE", "ON")])
    };
    assert_found(of("PRIMARY", "SECONDARY"), Topic::GroupReplication, Severity::Info);
    assert_found(of("SECONDARY", "PRIMARY"), Topic::GroupReplication, Severity::Danger);
}

#[test]
fn a_member_in_error_is_a_danger_whether_it_accepts_writes_or_not() {
    for (super_read_only, says_writes) in [("ON", false), ("OFF", true)] {
        let name = "GROUP_REPLICATION_SINGLE_PRIMARY_MODE";
        let variables = of(&[(name, "ON"), ("SUPER_READ_ONLY", super_read_only)]);
        let member = Facts { variables, members: Ok(vec![member("", "ERROR", true)]), ..facts("8.4.3", &[]) };
        let report = report(member).to_string();
        assert!(report.contains("has left its Group Replication group (ERROR)"), "{report}");
        assert_eq!(report.contains("accepts writes"), says_writes, "{report}");
    }
}

#[test]
fn a_group_of_others_is_none_of_its_business() {
    let left = Facts { members: Ok(vec![member("PRIMARY", "ONLINE", false)]), ..facts("8.4.3", &[]) };
    assert!(report(left).findings.iter().all(|found| found.topic != Topic::GroupReplication));
}

#[test]
fn the_worst_comes_first() {
    let report = report(facts("5.6.51", &[("WAIT_TIMEOUT", "60"), ("MAX_STATEMENT_TIME", "1.5")]));
    let severities: Vec<Severity> = report.findings.iter().map(|finding| finding.severity).collect();
    assert_eq!(severities, [Severity::Danger, Severity::Warning, Severity::Warning, Severity::Info]);
    assert!(report.to_string().contains("1.5s"), "{report}");
}
