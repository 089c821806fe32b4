//! The matrix, as it came out on this server.

use std::{
    fmt::{Debug, Write},
    sync::Mutex,
    time::Duration,
};

use crate::scenario::{AT_ONCE, Expected, Observed, Scenario};

pub struct Row {
    /// Product and version.
    pub server: String,
    pub scenario: Scenario,
    /// `None` if it hung or panicked.
    pub observed: Option<Observed>,
    pub took: Duration,
    pub differences: Vec<String>,
}

/// Prints nothing if nothing was performed.
pub fn print(rows: &Mutex<Vec<Row>>) {
    let mut rows = rows.lock().unwrap();
    if rows.is_empty() {
        return;
    }
    rows.sort_by_key(|row| row.scenario.name);
    println!("# Faults on {}\n", rows[0].server);
    println!("When another session had the lock; \"at once\" is at its first attempt, without waiting.\n");
    let mut table = vec![
        ["scenario", "caller sees: expected", "seen", "free: bound", "seen", "since", "pool", "took", ""]
            .map(String::from),
    ];
    table.extend(rows.iter().map(cells));
    print_aligned(&table);
    println!();
    for row in rows.iter() {
        for note in row.observed.iter().flat_map(|seen| &seen.notes) {
            println!("{}: {note}", shown(row.scenario.name));
        }
    }
    for row in rows.iter().filter(|row| !row.differences.is_empty()) {
        println!("NOT AS EXPECTED: {}: {}", shown(row.scenario.name), row.differences.join("; "));
    }
    let right = rows.iter().filter(|row| row.differences.is_empty()).count();
    println!("{right} of {} as expected", rows.len());
}

fn cells(row: &Row) -> [String; 9] {
    let Expected { surely, perhaps, free_within, since, .. } = row.scenario.expected;
    let seen = row.observed.as_ref();
    [
        shown(row.scenario.name),
        listed(surely) + &if perhaps.is_empty() { String::new() } else { format!(" (or {})", listed(perhaps)) },
        seen.map_or_else(String::new, outcomes),
        free(free_within),
        seen.and_then(|seen| seen.free_after).map_or_else(|| "?".into(), free),
        since.into(),
        seen.map_or_else(String::new, |seen| listed(&seen.pool)),
        format!("{:.1?}", row.took),
        if row.differences.is_empty() { "ok" } else { "NOT OK" }.into(),
    ]
}

fn shown(name: &str) -> String {
    name.replace('_', " ")
}

fn free(after: Duration) -> String {
    if after == AT_ONCE { "at once".into() } else { format!("{after:.1?}") }
}

fn listed<T: Debug>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| format!("{item:?}")).collect::<Vec<_>>().join(", ")
}

fn outcomes(seen: &Observed) -> String {
    let times = |(outcome, count): (_, &u32)| {
        if *count == 1 { format!("{outcome:?}") } else { format!("{count}x {outcome:?}") }
    };
    seen.outcomes.iter().map(times).collect::<Vec<_>>().join(", ")
}

/// As a Markdown table.
fn print_aligned<const N: usize>(table: &[[String; N]]) {
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    for (index, row) in table.iter().enumerate() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "| {cell:width$} ");
        }
        println!("{line}|");
        if index == 0 {
            println!("{}|", widths.map(|width| format!("|{}", "-".repeat(width + 2))).concat());
        }
    }
}
