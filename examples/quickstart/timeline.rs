//! Who waited and who held, as a picture.

use std::ops::Range;

use crate::{Entry, PROCESSES};

const COLUMNS: i64 = 56;

/// Prints a row for each process.
pub fn print(entries: &[Entry]) {
    let start = entries.iter().map(|entry| entry.asked).min().unwrap_or(0);
    let end = entries.iter().map(|entry| entry.left).max().unwrap_or(0);
    let total = format!("{} ms", millis(end - start));
    println!("\n{:12}0 ms{total:>width$}", "", width = COLUMNS as usize - 4);
    for process in 1..=PROCESSES {
        let own: Vec<&Entry> = entries.iter().filter(|entry| entry.process == process).collect();
        let waited: i64 = own.iter().map(|entry| entry.entered - entry.asked).sum();
        let held: i64 = own.iter().map(|entry| entry.left - entry.entered).sum();
        let bar = bar(&own, start..end);
        println!("process {process:<4}{bar}  waited {:>3} ms, held {:>3} ms", millis(waited), millis(held));
    }
    println!("\n{:12}.... waits    ##7# holds the lock and appends number 7\n", "");
}

/// A column shows the instant in its middle. So where one process holds, no other one seems to, unless it did.
fn bar(entries: &[&Entry], time: Range<i64>) -> String {
    let instant = |column: i64| time.start + (time.end - time.start) * (2 * column + 1) / (2 * COLUMNS);
    let columns = |from: i64, to: i64| (0..COLUMNS).filter(move |&column| (from..to).contains(&instant(column)));
    let mut bar = vec![b' '; COLUMNS as usize];
    for entry in entries {
        columns(entry.asked, entry.entered).for_each(|column| bar[column as usize] = b'.');
        let held: Vec<i64> = columns(entry.entered, entry.left).collect();
        held.iter().for_each(|&column| bar[column as usize] = b'#');

        let number = entry.number.to_string();
        let before = held.len().saturating_sub(number.len()) / 2;
        held.iter().skip(before).zip(number.bytes()).for_each(|(&column, digit)| bar[column as usize] = digit);
    }
    String::from_utf8(bar).expect("only ASCII")
}

fn millis(micros: i64) -> i64 {
    (micros + 500) / 1000
}
