//! Processor time: what a process has used, and what everybody else on this machine has.

use std::{fs, process, time::Instant};

use serde::Serialize;

/// Of a timed case, how many processors others may use.
const LIMIT: f64 = 0.1;

/// In which Linux tells processor time (`proc(5)`, `sysconf(_SC_CLK_TCK)`).
const TICKS_PER_SECOND: f64 = 100.0;

/// The microseconds that a process has used, and the children that it has waited for.
pub fn micros_of(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    parse(&stat).expect("a line as in proc(5)").ticks / TICKS_PER_SECOND * 1e6
}

/// What others used while a case was measured.
#[derive(Serialize)]
pub struct Others {
    /// In processors.
    pub others: f64,
    pub limit: f64,
}

pub struct Watch {
    ticks: f64,
    start: Instant,
}

impl Watch {
    pub fn start() -> Self {
        Self { ticks: ticks_of_others(), start: Instant::now() }
    }

    pub fn others(&self) -> Others {
        let ticks = (ticks_of_others() - self.ticks).max(0.0);
        Others { others: ticks / TICKS_PER_SECOND / self.start.elapsed().as_secs_f64(), limit: LIMIT }
    }
}

struct Process {
    pid: u32,
    parent: u32,
    ticks: f64,
}

/// Of all processes that don't descend from this one. Those of children that were waited for are counted with their parent's. What
/// the host took from a virtual machine is others', too.
fn ticks_of_others() -> f64 {
    let mut processes: Vec<Process> = fs::read_dir("/proc")
        .expect("/proc, on Linux")
        .filter_map(|entry| parse(&fs::read_to_string(entry.ok()?.path().join("stat")).ok()?))
        .collect();
    let mut ours = vec![process::id()];
    let mut generation = 0..1;
    while !generation.is_empty() {
        let children = processes.iter().filter(|process| ours[generation.clone()].contains(&process.parent));
        let children: Vec<u32> = children.map(|process| process.pid).collect();
        generation = ours.len()..ours.len() + children.len();
        ours.extend(children);
    }
    processes.retain(|process| !ours.contains(&process.pid));
    processes.iter().map(|process| process.ticks).sum::<f64>() + stolen()
}

/// `None` for what is no process, or none any more.
fn parse(stat: &str) -> Option<Process> {
    let (head, tail) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().map(|ticks| ticks.parse().unwrap_or(0.0)).sum();
    Some(Process { pid: head.split(' ').next()?.parse().ok()?, parent: fields[1].parse().ok()?, ticks })
}

fn stolen() -> f64 {
    let stat = fs::read_to_string("/proc/stat").expect("/proc/stat");
    stat.split_whitespace().nth(8).and_then(|ticks| ticks.parse().ok()).unwrap_or(0.0)
}
