//! What a storm has found, as lines to print.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{
    checker::Verdict,
    history::{Outcome, Section},
    tormentor::Fault,
};

pub struct Report {
    pub server: String,
    pub time: Duration,
    pub faults: BTreeMap<Fault, usize>,
    /// Whether a section was `Lost`, and there was each fault.
    pub was_a_storm: bool,
    pub verdict: Verdict,
    /// How long after the last contender the lock was free on all nodes.
    pub free_after: Duration,
}

impl Report {
    fn outcomes(&self) -> BTreeMap<Option<Outcome>, usize> {
        let mut counts = BTreeMap::new();
        for section in &self.verdict.sections {
            *counts.entry(section.outcome()).or_default() += 1;
        }
        counts
    }

    pub fn count(&self, outcome: Outcome) -> usize {
        self.outcomes().get(&Some(outcome)).copied().unwrap_or_default()
    }

    /// How many clients were killed in the middle of the closure.
    pub fn killed_in_closure(&self) -> usize {
        let is_cut = |section: &&Section| section.began.is_some() && section.ended.is_none();
        self.verdict.sections.iter().filter(is_cut).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, time, faults, verdict, free_after, .. } = self;
        let count = verdict.sections.len();
        let rate = self.count(Outcome::Ok) as f64 / time.as_secs_f64();
        writeln!(f, "storm over three servers, {server}: {count} sections in {time:.1?}, {rate:.1} Ok a second")?;
        for (outcome, count) in self.outcomes() {
            match outcome {
                Some(outcome) => write!(f, "  {outcome:?} {count}")?,
                None => write!(f, "  killed {count} ({} of them in the closure)", self.killed_in_closure())?,
            }
        }
        writeln!(f)?;
        for (fault, count) in faults {
            writeln!(f, "  {count:>6} {fault}")?;
        }
        let Verdict { longest_acquire, longest_beyond_timeout, longest_release, .. } = verdict;
        writeln!(
            f,
            "  longest acquire {longest_acquire:.2?} ({longest_beyond_timeout:.2?} beyond its timeout), \
             longest release {longest_release:.2?}, free on all nodes after {free_after:.2?}"
        )?;
        let lost = verdict.overlaps_if_lost_counts;
        write!(f, "  violations {}; overlaps if `Lost` counted as `Ok` {lost}", verdict.violations.len())
    }
}
