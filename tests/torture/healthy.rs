//! No healthy session is killed because statements were struck.

use std::collections::{HashMap, HashSet};

use crate::{
    history::{Gone, History, Killed, Outcome, Report},
    violation::{Kind, Violation},
};

/// So many of a session's sections are shown.
const SHOWN: usize = 3;

/// Sessions that nothing but `KILL QUERY` has struck, and that were killed from within, or were closed by their pool.
pub fn killed(history: &History) -> Vec<Violation> {
    let reports = reports(history);
    let of = |connection: u64, what: String| {
        let reports = reports.get(&connection).map_or(&[][..], Vec::as_slice);
        let last = &reports[reports.len().saturating_sub(SHOWN)..];
        last.iter().fold(Violation::new(Kind::HealthyKilled, what), Violation::with)
    };
    let struck =
        |connection: &u64| if history.struck.contains(connection) { "nothing but `KILL QUERY`" } else { "nothing" };
    let killed: HashSet<u64> = history.killed.iter().map(|killed| killed.connection).collect();
    let from_within = healthy(history).filter(|killed| !killed.at_grant).map(|Killed { connection, last, .. }| {
        let what = format!("connection {connection} was killed from within, and {} had struck it", struck(connection));
        last.iter().fold(of(*connection, what), Violation::with)
    });
    let given_up: HashSet<u64> = history.given_up.iter().map(|given_up| given_up.connection).collect();
    // A `NamedLockPool` has its pool close the connection: nobody knows what the closure has left in the session.
    let panicked = history.reports.iter().filter(|report| report.in_turn && report.outcome == Outcome::Panicked);
    let panicked: HashSet<u64> = panicked.filter_map(|report| report.connection).collect();
    let accounted_for = [&history.ended, &killed, &given_up, &panicked];
    let is_accounted_for = |id: &u64| accounted_for.iter().any(|known| known.contains(id));
    let is_closed = |gone: &&Gone| !is_accounted_for(&gone.connection);
    let closed = history.gone.iter().filter(is_closed).map(|Gone { connection, process, life }| {
        let struck = struck(connection);
        of(
            *connection,
            format!("connection {connection} of process {process} (life {life}) is gone, and {struck} had struck it"),
        )
    });
    from_within.chain(closed).collect()
}

/// How many of them were struck at the moment of a grant: the one exception.
pub fn killed_at_grant(history: &History) -> usize {
    healthy(history).filter(|killed| killed.at_grant).count()
}

/// Then an outer section may have lost its lock.
pub fn was_killed_at_grant(history: &History, connection: u64) -> bool {
    history.killed.iter().any(|killed| killed.connection == connection && killed.at_grant)
}

fn healthy(history: &History) -> impl Iterator<Item = &Killed> {
    history.killed.iter().filter(|killed| !history.ended.contains(&killed.connection))
}

fn reports(history: &History) -> HashMap<u64, Vec<&Report>> {
    let mut reports: HashMap<u64, Vec<&Report>> = HashMap::new();
    for report in &history.reports {
        report.connection.into_iter().for_each(|connection| reports.entry(connection).or_default().push(report));
    }
    reports
}
