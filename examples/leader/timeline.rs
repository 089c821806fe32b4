//! Who led, as a picture.

use crate::{PROCESSES, writes::Write};

const COLUMNS: i64 = 64;

/// What was done to the leader, and when.
pub struct Event {
    pub at: i64,
    pub what: &'static str,
    pub sign: u8,
    pub process: i32,
}

/// Prints a row for each process, and for each event how long nobody led.
pub fn print(writes: &[Write], events: &[Event]) {
    let (Some(first), Some(last)) = (writes.first(), writes.last()) else { return };
    let column = |at: i64| ((at - first.at) * (COLUMNS - 1) / (last.at - first.at).max(1)) as usize;
    let total = format!("{} ms", (last.at - first.at) / 1000);
    println!("\n{:12}0 ms{total:>width$}", "", width = COLUMNS as usize - 4);
    for process in 1..=PROCESSES {
        let mut bar = vec![b' '; COLUMNS as usize];
        writes.iter().filter(|write| write.process == process).for_each(|write| bar[column(write.at)] = b'#');
        let own = events.iter().filter(|event| event.process == process);
        own.for_each(|event| bar[column(event.at)] = event.sign);
        println!("process {process:<4}{}", String::from_utf8(bar).expect("only ASCII").trim_end());
    }
    println!("\n{:12}### leads and writes    K killed    S stopped    R told to resign\n", "");
    for event in events {
        let term = writes.iter().filter(|write| write.at <= event.at).map(|write| write.term).max().unwrap_or(0);
        let Some(next) = writes.iter().find(|write| write.term > term) else { continue };
        let gap = (next.at - event.at) as f64 / 1000.0;
        println!("process {} {:17} process {} led {gap:.0} ms later", event.process, event.what, next.process);
    }
    println!();
}
