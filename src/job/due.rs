//! Decides whether a job is due. No I/O.

use std::time::{Duration, SystemTime};

/// The options of a job for the time between two runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Policy {
    /// From start to start.
    pub(super) interval: Option<Duration>,
    /// From the start of a run that never ended.
    pub(super) abandoned_after: Duration,
    pub(super) no_retry_after_failure: bool,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Succeeded,
    Failed,
    Abandoned,
}

/// A past run, as seen while this session holds the lock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Past {
    /// By the server's clock at that time.
    pub(super) started: SystemTime,
    /// The same. If the clock was set back since: when a later attempt first saw that.
    pub(super) counts_from: SystemTime,
    pub(super) end: End,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Due,
    /// `None` means never again.
    NotDue(Option<SystemTime>),
}

impl Policy {
    /// `last` is the last run of the job for any key, `same` the last run for the key that is asked for, if any.
    pub(super) fn verdict(&self, now: SystemTime, last: Option<Past>, same: Option<Past>) -> Verdict {
        let last = self.interval.and_then(|interval| last.map(|past| self.free(now, past, Some(interval))));
        let same = same.map(|past| self.free(now, past, None));
        match [last, same].into_iter().flatten().collect::<Option<Vec<_>>>() {
            None => Verdict::NotDue(None),
            Some(times) => match times.into_iter().max().filter(|&next| next > now) {
                Some(next) => Verdict::NotDue(Some(next)),
                None => Verdict::Due,
            },
        }
    }

    /// Returns when the slot of a run is free again. `None` means never.
    fn free(&self, now: SystemTime, past: Past, slot: Option<Duration>) -> Option<SystemTime> {
        let wait = match past.end {
            End::Abandoned => Some(self.abandoned_after),
            End::Failed if !self.no_retry_after_failure => Some(Duration::ZERO),
            End::Failed | End::Succeeded => slot,
        };
        wait.map(|wait| {
            // A run can't have started in the future: the clock was set back, and by this clock the run started now at the latest. But
            // if the clock is put right before the time is over, the run's start counts.
            let set_back = past.counts_from.min(now) + wait;
            if now < past.started && set_back < past.started { set_back } else { past.started + wait }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn hourly() -> Policy {
        Policy { interval: Some(HOUR), ..Policy::default() }
    }

    fn past(end: End, ago: Duration) -> Option<Past> {
        Some(Past { started: NOW - ago, counts_from: NOW - ago, end })
    }

    #[test]
    fn a_job_that_never_ran_is_due() {
        assert_eq!(hourly().verdict(NOW, None, None), Verdict::Due);
    }

    #[test]
    fn an_interval_is_over_to_the_microsecond() {
        const MICROSECOND: Duration = Duration::from_micros(1);
        let ran = |ago| hourly().verdict(NOW, past(End::Succeeded, ago), None);
        assert_eq!(ran(HOUR - MICROSECOND), Verdict::NotDue(Some(NOW + MICROSECOND)));
        assert_eq!(ran(HOUR), Verdict::Due);
    }

    #[test]
    fn a_key_that_succeeded_is_never_due_again() {
        let ran = past(End::Succeeded, 1000 * HOUR);
        assert_eq!(Policy::default().verdict(NOW, ran, ran), Verdict::NotDue(None));
        assert_eq!(Policy::default().verdict(NOW, ran, None), Verdict::Due, "another key");
    }

    #[test]
    fn with_both_options_both_must_allow_it() {
        let (lately, long_ago) = (past(End::Succeeded, HOUR / 2), past(End::Succeeded, 2 * HOUR));
        assert_eq!(hourly().verdict(NOW, lately, None), Verdict::NotDue(Some(NOW + HOUR / 2)), "a new key, too soon");
        assert_eq!(hourly().verdict(NOW, long_ago, long_ago), Verdict::NotDue(None), "an old key, late enough");
        assert_eq!(hourly().verdict(NOW, long_ago, None), Verdict::Due);
    }

    #[test]
    fn a_failed_run_frees_its_slot_or_keeps_it() {
        let failed = past(End::Failed, HOUR / 2);
        let keeps = Policy { no_retry_after_failure: true, ..hourly() };
        assert_eq!(hourly().verdict(NOW, failed, failed), Verdict::Due);
        assert_eq!(keeps.verdict(NOW, failed, None), Verdict::NotDue(Some(NOW + HOUR / 2)));
        assert_eq!(keeps.verdict(NOW, None, failed), Verdict::NotDue(None));
    }

    #[test]
    fn an_abandoned_run_frees_its_slot_at_once_or_after_the_stated_time() {
        let abandoned = past(End::Abandoned, HOUR / 2);
        let later = Policy { abandoned_after: 2 * HOUR, ..hourly() };
        assert_eq!(hourly().verdict(NOW, abandoned, abandoned), Verdict::Due);
        assert_eq!(later.verdict(NOW, abandoned, None), Verdict::NotDue(Some(NOW + HOUR * 3 / 2)));
        assert_eq!(later.verdict(NOW, None, abandoned), Verdict::NotDue(Some(NOW + HOUR * 3 / 2)));
    }

    #[test]
    fn a_run_far_in_the_future_counts_as_one_of_when_it_was_first_seen() {
        let seen = |counts_from| {
            let ahead = Some(Past { started: NOW + 1000 * HOUR, counts_from, end: End::Succeeded });
            hourly().verdict(NOW, ahead, None)
        };
        assert_eq!(seen(NOW + 1000 * HOUR), Verdict::NotDue(Some(NOW + HOUR)), "now");
        assert_eq!(seen(NOW + HOUR / 4), Verdict::NotDue(Some(NOW + HOUR)), "before the clock was set back again");
        assert_eq!(seen(NOW - HOUR / 4), Verdict::NotDue(Some(NOW + HOUR * 3 / 4)));
        assert_eq!(seen(NOW - HOUR), Verdict::Due);
    }

    #[test]
    fn a_run_that_seemed_to_be_in_the_future_counts_from_its_start_once_the_clock_is_right() {
        let verdict = |started: SystemTime| {
            hourly().verdict(NOW, Some(Past { started, counts_from: NOW - HOUR * 3, end: End::Succeeded }), None)
        };
        assert_eq!(verdict(NOW - HOUR / 4), Verdict::NotDue(Some(NOW + HOUR * 3 / 4)));
        assert_eq!(verdict(NOW - HOUR), Verdict::Due);
    }

    #[test]
    fn a_run_that_seems_to_be_soon_counts_from_its_start() {
        let started = NOW + HOUR / 4;
        let soon = Some(Past { started, counts_from: NOW, end: End::Succeeded });
        assert_eq!(hourly().verdict(NOW, soon, None), Verdict::NotDue(Some(started + HOUR)));
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

        /// Steps of so many minutes, after each of which the clock may be set back and an attempt is made.
        #[test]
        fn whenever_the_clock_is_set_back_runs_are_an_interval_apart_and_not_much_more_than_two(
            steps in proptest::collection::vec((1..40_u32, proptest::prop_oneof![8 => 0..1_u32, 1 => 1..300_u32]), 1..100)
        ) {
            const MINUTE: Duration = Duration::from_secs(60);
            let (mut clock, mut past) = (NOW, None::<Past>);
            // In real time: since the last run, and since the last run or setting of the clock.
            let (mut since_run, mut undisturbed) = (HOUR, Duration::ZERO);
            for (minutes, back) in steps {
                clock = clock + MINUTE * minutes - MINUTE * back;
                since_run += MINUTE * minutes;
                undisturbed = if back > 0 { Duration::ZERO } else { undisturbed + MINUTE * minutes };
                if hourly().verdict(clock, past, None) == Verdict::Due {
                    assert!(since_run >= HOUR, "the next run after {since_run:?}");
                    past = Some(Past { started: clock, counts_from: clock, end: End::Succeeded });
                    (since_run, undisturbed) = (Duration::ZERO, Duration::ZERO);
                } else if let Some(past) = &mut past {
                    past.counts_from = past.counts_from.min(clock);
                }
                assert!(undisturbed < 2 * HOUR + MINUTE * 40, "no run for {undisturbed:?}");
            }
        }
    }
}
