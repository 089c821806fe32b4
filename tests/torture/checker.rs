//! Reads a history and says what was wrong.
//!
//! A session's statements run one after the other, and the server frees a session's locks after its last one. So whatever
//! a section has written on the session that took its lock was written under the lock, even if the session was killed
//! later and its caller told so: no two sections may overlap, whatever they were told. (A leader writes on another session:
//! no two may overlap that were told they were alone.)
//!
//! Any lock is so for its capacity: 1, or the number of permits. Each section has a weight: 1, the number of its permits, or, if
//! it is exclusive, all. The sections that run at once may not weigh more than the capacity.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use crate::{
    healthy,
    history::{Event, History, Outcome, Report, Write},
    subject::capacity,
    tables::LEADER,
    violation::{Kind, Violation},
};

/// A waiter that the server, stopped for a while now and then, has let wait for so much longer was not woken.
const BOUND: Duration = Duration::from_secs(10);

/// The meaning of "for ever" here, since every holder is quick.
const FOREVER: Duration = Duration::from_secs(20);

pub fn check(history: &History) -> Vec<Violation> {
    let told: HashMap<u64, &Report> = history.reports.iter().map(|report| (report.section.0, report)).collect();
    let mut violations = history.found.clone();
    violations.extend(overlaps(&history.events, &told));
    violations.extend(lost_updates(history));
    violations.extend(missing_updates(history));
    violations.extend(history.reports.iter().filter_map(|report| misled(report, history)));
    violations.extend(dead_connections(history));
    violations.extend(healthy::killed(history));
    violations
}

/// From a section's first to its last event under one lock.
struct Stay<'h> {
    first: &'h Event,
    last: &'h Event,
}

fn stays(events: &[Event]) -> BTreeMap<&str, Vec<Stay<'_>>> {
    let mut places = HashMap::new();
    let mut stays: BTreeMap<&str, Vec<Stay<'_>>> = BTreeMap::new();
    for event in events {
        let stays = stays.entry(&event.name).or_default();
        let place = *places.entry((&event.name, event.section)).or_insert_with(|| {
            stays.push(Stay { first: event, last: event });
            stays.len() - 1
        });
        stays[place].last = event;
    }
    stays
}

fn overlaps(events: &[Event], told: &HashMap<u64, &Report>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (name, stays) in stays(events) {
        let mut inside: Vec<&Stay<'_>> = Vec::new();
        let is_alone = |stay: &&Stay<'_>| told.get(&stay.first.section).is_some_and(|report| report.alone);
        for stay in stays.iter().filter(|stay| name != LEADER || is_alone(stay)) {
            inside.retain(|other| other.last.id > stay.first.id);
            inside.push(stay);
            if weight(&inside) > capacity(name) {
                violations.push(overlap(name, &inside, told));
            }
        }
    }
    violations
}

/// On the same session one section is inside of the other, and holds nothing more.
fn weight(stays: &[&Stay<'_>]) -> u32 {
    let mut sessions: HashMap<u64, u32> = HashMap::new();
    for Stay { first, .. } in stays {
        let weight = sessions.entry(first.connection).or_default();
        *weight = first.weight.max(*weight);
    }
    sessions.into_values().sum()
}

fn overlap(name: &str, stays: &[&Stay<'_>], told: &HashMap<u64, &Report>) -> Violation {
    let report = |stay: &&&Stay<'_>| told.get(&stay.first.section).filter(|report| report.alone);
    let alone: Vec<_> = stays.iter().filter(|stay| report(stay).is_some()).copied().collect();
    let is_one_false = !alone.is_empty() && weight(&alone) <= capacity(name);
    let kind = if is_one_false { Kind::FalseOk } else { Kind::Overlap };
    let what = format!(
        "{} sections over `{name}` at once, too many by {}; {} of them told that there were none",
        stays.len(),
        weight(stays) - capacity(name),
        alone.len()
    );
    let mut rows: Vec<_> = stays.iter().flat_map(|stay| [stay.first, stay.last]).collect();
    rows.sort_by_key(|event| event.id);
    rows.dedup_by_key(|event| event.id);
    let violation = rows.into_iter().fold(Violation::new(kind, what), Violation::with);
    stays.iter().filter_map(|stay| told.get(&stay.first.section)).fold(violation, Violation::with)
}

/// Every write must be one more than what it found; and the last one must be the counter's value.
fn lost_updates(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for counter in &history.counters {
        let writes = || history.writes.iter().filter(|write| write.name == counter.name);
        for (before, write) in writes().zip(writes().skip(1)) {
            if write.value != write.found + 1 {
                violations.push(overwritten(before, write, history));
            }
        }
        let count = writes().count() as i64;
        if counter.value != count {
            let what = format!("counter `{}` is {}, after {count} updates", counter.name, counter.value);
            violations.push(Violation::new(Kind::LostUpdate, what));
        }
    }
    violations
}

fn overwritten(before: &Write, write: &Write, history: &History) -> Violation {
    let what = format!("counter `{}` was {}, and {} was written", write.name, write.found, write.value);
    let violation = Violation::new(Kind::LostUpdate, what).with(before).with(write);
    let of_both = |event: &&Event| event.section == before.section || event.section == write.section;
    let of_this = |event: &&Event| event.name == write.name;
    history.events.iter().filter(of_both).filter(of_this).fold(violation, Violation::with)
}

/// Who was told `Ok` finds its updates there.
fn missing_updates(history: &History) -> Vec<Violation> {
    let mut written: HashMap<u64, usize> = HashMap::new();
    history.writes.iter().for_each(|write| *written.entry(write.section).or_default() += 1);
    let missing = |report: &&Report| {
        report.outcome == Outcome::Ok && written.get(&report.section.0).copied().unwrap_or(0) != report.updates
    };
    let what = "a section was `Ok`, and its updates are not there";
    history.reports.iter().filter(missing).map(|report| Violation::new(Kind::LostUpdate, what).with(report)).collect()
}

/// A caller that was let wait too long, or was told what can't be.
fn misled(report: &Report, history: &History) -> Option<Violation> {
    let Report { connection, timeout, waited, outcome, within, .. } = *report;
    let unharmed = connection.is_some_and(|id| !history.struck.contains(&id));
    let alive = connection.is_some_and(|id| !history.ended.contains(&id) && !healthy::was_killed_at_grant(history, id));
    let (kind, what) = match outcome {
        _ if waited > timeout.map_or(FOREVER, |timeout| timeout + BOUND) => (Kind::NeverWoken, "it waited too long"),
        Outcome::Timeout if timeout.is_none_or(|timeout| waited < timeout) => (Kind::TooEarly, "it gave up early"),
        Outcome::AlreadyHeld if !within => (Kind::Leak, "its session held the lock before"),
        Outcome::Swapped | Outcome::Refused => (Kind::Impossible, "nothing here can lead to this"),
        Outcome::WorkBroke | Outcome::Lost | Outcome::Interrupted | Outcome::Broken if unharmed => {
            (Kind::Unprovoked, "nobody has harmed its session")
        }
        Outcome::Lost | Outcome::Broken if alive => {
            (Kind::Unprovoked, "nothing but `KILL QUERY` has struck its session")
        }
        _ => return None,
    };
    Some(Violation::new(kind, what).with(report))
}

/// A `KILL` interrupts one section at most. More of them come from a connection that is dead, is not said to be broken, and
/// comes out of its pool again and again.
fn dead_connections(history: &History) -> Option<Violation> {
    let is_interrupted = |report: &&Report| report.outcome == Outcome::Interrupted;
    let interrupted = history.reports.iter().filter(is_interrupted).count();
    let what = format!("{interrupted} sections were interrupted, by no more than {} `KILL`", history.kills);
    let last = history.reports.iter().rfind(is_interrupted)?;
    (interrupted > history.kills).then(|| Violation::new(Kind::Unprovoked, what).with(last))
}
