//! Reads a history and says what was wrong.

use std::{array, collections::HashMap, fmt, time::Duration};

use super::history::{Event, Nanos, Outcome, Section, SectionId, sections};

/// What a section may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Beyond its timeout, until it has the lock or an error.
    pub acquire: Duration,
    /// From the end of the closure.
    pub release: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// Both were told that nobody else had the lock.
    Overlap {
        first: Section,
        second: Section,
    },
    LateAcquire(SectionId, Duration),
    LateRelease(SectionId, Duration),
    /// It was told that it was exclusive, or lost, and has not run. Or the other way round.
    Impossible(Section),
    Found(String),
}

/// Those of these sections that began before an earlier one of them was over, each with the one that lasted longest.
///
/// A section without an end counts for nothing.
pub fn overlaps(sections: &[Section], is_exclusive: impl Fn(Outcome) -> bool) -> Vec<(Section, Section)> {
    let stay = |section: &Section| {
        let counts = section.outcome().is_some_and(&is_exclusive);
        Some((section.began?, section.over?, *section)).filter(|_| counts)
    };
    let mut stays: Vec<(Nanos, Nanos, Section)> = sections.iter().filter_map(stay).collect();
    stays.sort_unstable_by_key(|(began, over, _)| (*began, *over));
    let mut longest: Option<(Nanos, Section)> = None;
    let mut found = Vec::new();
    for (began, over, section) in stays {
        match longest {
            Some((until, earlier)) if began < until => found.push((earlier, section)),
            _ => {}
        }
        if longest.is_none_or(|(until, _)| over > until) {
            longest = Some((over, section));
        }
    }
    found
}

/// What the mutant "majority at the grant" would be: whoever has had a majority is told that it was exclusive.
pub fn overlaps_if_lost_counts(sections: &[Section]) -> usize {
    overlaps(sections, |outcome| outcome.is_exclusive() || outcome == Outcome::Lost).len()
}

pub struct Verdict {
    pub sections: Vec<Section>,
    pub violations: Vec<Violation>,
    pub overlaps_if_lost_counts: usize,
    pub longest_acquire: Duration,
    pub longest_beyond_timeout: Duration,
    pub longest_release: Duration,
}

pub fn check(events: &[Event], bounds: Bounds) -> Verdict {
    let (sections, frozen) = (sections(events), Frozen::of(events));
    let found = overlaps(&sections, Outcome::is_exclusive).into_iter();
    let mut violations: Vec<_> = found.map(|(first, second)| Violation::Overlap { first, second }).collect();
    violations.extend(events.iter().filter_map(|event| match event {
        Event::Found { process, what } => Some(Violation::Found(format!("process {process}: {what}"))),
        _ => None,
    }));
    violations.extend(sections.iter().filter(|section| !is_possible(section)).copied().map(Violation::Impossible));
    let mut longest = [Duration::ZERO; 3];
    for section in &sections {
        let times @ [acquire, beyond, release] = frozen.times(section);
        if beyond > bounds.acquire {
            violations.push(Violation::LateAcquire(section.id, acquire));
        }
        if release > bounds.release {
            violations.push(Violation::LateRelease(section.id, release));
        }
        longest = array::from_fn(|which| longest[which].max(times[which]));
    }
    let [longest_acquire, longest_beyond_timeout, longest_release] = longest;
    let overlaps_if_lost_counts = overlaps_if_lost_counts(&sections);
    Verdict { sections, violations, overlaps_if_lost_counts, longest_acquire, longest_beyond_timeout, longest_release }
}

fn is_possible(section: &Section) -> bool {
    let has_run = section.began.is_some() && section.over.is_some();
    match section.outcome() {
        None => true,
        Some(Outcome::Impossible) => false,
        Some(Outcome::Busy | Outcome::Timeout | Outcome::NoMajority) => section.began.is_none(),
        Some(_) => has_run && section.began <= section.over,
    }
}

/// When the processes were stopped, which is nobody's fault.
struct Frozen(HashMap<u32, Vec<(Nanos, Nanos)>>);

impl Frozen {
    fn of(events: &[Event]) -> Self {
        let mut all: HashMap<u32, Vec<(Nanos, Nanos)>> = HashMap::new();
        for event in events {
            if let Event::Frozen { process, from, to } = *event {
                all.entry(process).or_default().push((from, to));
            }
        }
        Self(all)
    }

    /// The time of its acquire, how much of that is beyond its timeout, and the time of its release; as far as they are over.
    fn times(&self, section: &Section) -> [Duration; 3] {
        let ended = section.ended.map(|(at, _)| at);
        let acquired = section.began.or(ended);
        let acquire = acquired.map_or(0, |at| self.running(section, section.asked, at));
        let release = section.over.zip(ended).map_or(0, |(over, at)| self.running(section, over, at));
        [acquire, acquire.saturating_sub(section.timeout), release].map(Duration::from_nanos)
    }

    fn running(&self, section: &Section, from: Nanos, to: Nanos) -> Nanos {
        let stops = self.0.get(&section.id.of.process).into_iter().flatten();
        let stopped = |(stop, go): &(Nanos, Nanos)| (*go).min(to).saturating_sub((*stop).max(from));
        to.saturating_sub(from).saturating_sub(stops.map(stopped).sum())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlap { first, second } => write!(f, "two at once:\n    {first:?}\n    {second:?}"),
            Self::LateAcquire(id, time) => write!(f, "section {id} had neither the lock nor an error for {time:?}"),
            Self::LateRelease(id, time) => write!(f, "section {id} was released only after {time:?}"),
            Self::Impossible(section) => write!(f, "no section ends like this: {section:?}"),
            Self::Found(what) => f.write_str(what),
        }
    }
}
