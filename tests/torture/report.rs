//! What a run comes to, for people.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Display,
    ops::Range,
    time::Duration,
};

use test_server::Server;

use crate::{
    healthy,
    history::{History, Report},
    run::Settings,
    schedule::Fault,
    subject::{SHARED, capacity},
    violation::{Kind, Violation},
};

/// As much evidence as somebody reads.
const SHOWN: usize = 5;

pub struct Summary {
    pub settings: Settings,
    pub history: History,
    pub faults: BTreeMap<Fault, usize>,
    pub hand_offs: usize,
    pub violations: Vec<Violation>,
    pub time: Duration,
}

impl Summary {
    pub fn print(&self, server: &Server) {
        let Settings { seed, processes, threads, tasks, leaders, connections, .. } = self.settings;
        let reports = &self.history.reports;
        let ran = reports.iter().filter(|report| report.outcome.ran()).count();
        let in_turn = reports.iter().filter(|report| report.in_turn && report.outcome.ran()).count();
        let by_guard = reports.iter().filter(|report| report.by_guard && report.outcome.ran()).count();
        let outcomes = tally(reports.iter().map(|report| format!("{:?}", report.outcome)));
        let faults = self.faults.iter().map(|(fault, count)| (fault.to_string(), *count)).collect();
        let waited = |report: &Report| report.waited;
        let longest = || reports.iter().map(waited).max().unwrap_or_default().as_secs_f64();
        let over = |report: &Report| report.timeout.map(|timeout| report.waited.saturating_sub(timeout));
        let beyond = || reports.iter().filter_map(over).max().unwrap_or_default().as_secs_f64();
        let is_healthy_killed = |violation: &&Violation| violation.kind == Kind::HealthyKilled;
        println!("server      {} {}", server.product(), server.version());
        println!("seed        {seed}");
        println!(
            "workers     {processes} processes; {threads} threads, {tasks} tasks, {leaders} leaders and {connections} connections in each"
        );
        println!("sections    {}, of which {ran} came to run", reports.len());
        list(&outcomes);
        println!("{:>18}  without an end: their process was killed", self.cut_short());
        println!("async       {} of those that ran", self.that_ran(threads..threads + tasks));
        println!("leaders     {} of those that ran", self.that_ran(threads + tasks..u8::MAX));
        println!("in turn     {in_turn} of those that ran, {} of them by hand-off", self.hand_offs);
        println!("by guard    {by_guard} of those that ran");
        println!("permits     {}", self.permits());
        println!("waits       {:.3} s the longest, at most {:.3} s beyond the timeout", longest(), beyond());
        println!("events      {}, and {} updates", self.history.events.len(), self.history.writes.len());
        println!("faults      {}", self.faults.values().sum::<usize>());
        list(&faults);
        println!("killed      {} healthy sessions", self.violations.iter().filter(is_healthy_killed).count());
        println!(
            "{:>18}  whose acquire was struck at the moment of the grant",
            healthy::killed_at_grant(&self.history)
        );
        let given_up = &self.history.given_up;
        let longest = given_up.iter().map(|given_up| given_up.free_after).max().unwrap_or_default();
        println!("given up    {} sessions, free after {:.3} s at most", given_up.len(), longest.as_secs_f64());
        println!("violations  {}", self.violations.len());
        list(&tally(self.violations.iter().map(|violation| format!("{:?}", violation.kind))));
        println!("duration    {:.1} s", self.time.as_secs_f64());
    }

    fn that_ran(&self, threads: Range<u8>) -> usize {
        let is_theirs = |report: &&Report| threads.contains(&report.section.thread());
        self.history.reports.iter().filter(is_theirs).filter(|report| report.outcome.ran()).count()
    }

    /// How many sections over permits, and over a lock that is shared or exclusive, have begun.
    fn permits(&self) -> String {
        let begun = self.history.events.iter().filter(|event| event.kind == "enter" && capacity(&event.name) > 1);
        let begun: Vec<_> = begun.map(|event| (event.name == SHARED, event.weight)).collect();
        let count =
            |kind: fn(bool, u32) -> bool| begun.iter().filter(move |&&(is_shared, weight)| kind(is_shared, weight));
        let one = count(|is_shared, weight| !is_shared && weight == 1).count();
        let several = count(|is_shared, weight| !is_shared && weight > 1).count();
        let shared = count(|is_shared, weight| is_shared && weight == 1).count();
        let exclusive = count(|is_shared, weight| is_shared && weight > 1).count();
        format!("{one} sections had one, {several} had several; {shared} shared a lock, {exclusive} had it alone")
    }

    /// How many sections have left events, and no report.
    fn cut_short(&self) -> usize {
        let told: HashSet<u64> = self.history.reports.iter().map(|report| report.section.0).collect();
        let begun: HashSet<u64> = self.history.events.iter().map(|event| event.section).collect();
        begun.difference(&told).count()
    }

    /// Evidence, some of each kind.
    pub fn print_violations(&self) {
        let mut shown: BTreeMap<Kind, usize> = BTreeMap::new();
        for violation in &self.violations {
            let shown = shown.entry(violation.kind).or_default();
            *shown += 1;
            if *shown <= SHOWN {
                println!("{violation}");
            }
        }
    }

    pub fn has(&self, kind: Kind) -> bool {
        self.violations.iter().any(|violation| violation.kind == kind)
    }
}

fn tally(words: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    words.for_each(|word| *tally.entry(word).or_default() += 1);
    tally
}

fn list(tally: &BTreeMap<impl Display, usize>) {
    tally.iter().for_each(|(word, count)| println!("{count:>18}  {word}"));
}
