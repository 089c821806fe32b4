//! Members of MySQL's Group Replication groups.

use diesel::connection::SimpleConnection;
use diesel_named_lock::{
    NamedLockError, NamedLockExt,
    operator::{Severity, Topic, server_report},
};
use test_server::Server;

use testkit::{
    clusters::{
        assert_both_grant, assert_follows, connect_to,
        group::{Mode, start_group, switch_over_to},
        kill_9, stop,
    },
    world::*,
};

use crate::report::*;

#[test]
fn two_members_of_a_group_both_grant_the_same_lock() {
    if !is_mysql() {
        return;
    }
    let servers = start_group::<2>(Mode::MultiPrimary);
    let [mut on_first, mut on_second] = servers.each_ref().map(connect_to);
    assert_follows(&mut on_first, &mut on_second);
    for conn in [&mut on_first, &mut on_second] {
        assert_found(&server_report(conn).unwrap(), Topic::GroupReplication, Severity::Danger, "members: 2");
    }
    assert_both_grant(&mut on_first, &mut on_second);
}

#[test]
fn a_primary_is_a_danger_once_it_is_demoted_or_has_lost_its_majority_or_left_its_group() {
    if !is_mysql() {
        return;
    }
    let mut servers = start_group::<3>(Mode::SinglePrimary);
    let report = |server: &Server| server_report(&mut connect_to(server)).unwrap();
    assert_found(&report(&servers[0]), Topic::GroupReplication, Severity::Info, "members: 3");
    assert_found(&report(&servers[1]), Topic::GroupReplication, Severity::Danger, "secondary");
    assert_both_grant(&mut connect_to(&servers[0]), &mut connect_to(&servers[1]));

    // Documented in `docs/deployments.md`.
    let name = fresh("demoted");
    let outcome = connect_to(&servers[0]).with_named_lock(&name, SOON, |_| {
        switch_over_to(&servers[1]);
        assert_eq!(get_lock(&mut connect_to(&servers[1]), &name, 0), Some(1), "the new primary grants it, too");
        Ok::<_, NamedLockError>(())
    });
    outcome.expect("nobody told the session");
    assert_found(&report(&servers[0]), Topic::GroupReplication, Severity::Danger, "secondary");

    let [first, primary, third] = &mut servers;
    [first, third].into_iter().for_each(|server| stop(server));
    let mut conn = connect_to(primary);
    wait_until("the majority to be lost", || {
        let report = server_report(&mut conn).unwrap();
        found(&report, Topic::GroupReplication)[0].to_string().contains("2 of 3 members are unreachable")
    });
    assert_found(&report(primary), Topic::GroupReplication, Severity::Danger, "lost its majority");
    assert_eq!(get_lock(&mut conn, "granted", 0), Some(1));

    kill_9(primary);
    primary.start_again().unwrap();
    assert_found(&report(primary), Topic::GroupReplication, Severity::Danger, "OFFLINE");
    let mut conn = connect_to(primary);
    assert_eq!(get_lock(&mut conn, "granted", 0), Some(1));
    conn.batch_execute("CREATE TABLE test.unknown_to_the_group (n INT PRIMARY KEY)").expect("it accepts writes");
}
