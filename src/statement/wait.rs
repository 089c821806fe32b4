//! A timeout in the terms of the servers.

use crate::deadline::Timeout;

/// A timeout as the servers accept it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Wait {
    /// Both servers wait for whole seconds exactly.
    Seconds(u32),
    /// Not a whole second: MariaDB accepts it, MySQL would round it.
    Millis(u32),
}

/// "For ever": 31 years. Negative timeouts mean it on MySQL only, and MariaDB's arithmetic overflows well above it.
const LONGEST: u32 = 1_000_000_000;

impl From<Timeout> for Wait {
    /// Rounds up to the millisecond, so that a waiter never gives up too early.
    fn from(timeout: Timeout) -> Self {
        let Timeout::After(timeout) = timeout else { return Self::Seconds(LONGEST) };
        let millis = timeout.as_nanos().div_ceil(1_000_000);
        match u32::try_from(millis) {
            Ok(millis) if millis % 1000 != 0 => Self::Millis(millis),
            // Beyond 49 days the fraction of a second is rounded up, too.
            _ => Self::Seconds(u32::try_from(millis.div_ceil(1000)).map_or(LONGEST, |s| s.min(LONGEST))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use Wait::{Millis, Seconds};

    fn for_server(timeout: Duration) -> Wait {
        Timeout::After(timeout).into()
    }

    #[test]
    fn zero_asks_once() {
        assert_eq!(for_server(Duration::ZERO), Seconds(0));
    }

    #[test]
    fn whole_seconds_stay_whole() {
        assert_eq!(for_server(Duration::from_secs(1)), Seconds(1));
        assert_eq!(for_server(Duration::from_secs(86_400)), Seconds(86_400));
    }

    #[test]
    fn fractions_are_kept_to_the_millisecond_and_never_rounded_down() {
        assert_eq!(for_server(Duration::from_millis(300)), Millis(300));
        assert_eq!(for_server(Duration::from_nanos(1)), Millis(1));
        assert_eq!(for_server(Duration::from_micros(1001)), Millis(2));
        assert_eq!(for_server(Duration::from_micros(999_001)), Seconds(1));
    }

    #[test]
    fn the_longest_fraction_is_the_longest_that_fits_a_mysql_time_limit() {
        let longest = Duration::from_millis(u64::from(u32::MAX));
        assert_eq!(for_server(longest), Millis(u32::MAX));
        assert_eq!(for_server(longest + Duration::from_millis(1)), Seconds(4_294_968));
    }

    #[test]
    fn huge_and_endless_timeouts_are_as_long_as_the_servers_can_wait() {
        assert_eq!(for_server(Duration::MAX), Seconds(LONGEST));
        assert_eq!(for_server(Duration::from_secs(u64::from(LONGEST) + 1)), Seconds(LONGEST));
        assert_eq!(Wait::from(Timeout::Never), Seconds(LONGEST));
    }

    proptest! {
        #[test]
        fn a_server_never_waits_less_and_hardly_more(secs in 0..u64::from(LONGEST), nanos in 0..1_000_000_000u32) {
            let timeout = Duration::new(secs, nanos);
            let (told, unit) = match for_server(timeout) {
                Seconds(seconds) => (Duration::from_secs(seconds.into()), Duration::from_secs(1)),
                Millis(millis) => (Duration::from_millis(millis.into()), Duration::from_millis(1)),
            };
            prop_assert!(told >= timeout, "{told:?}");
            prop_assert!(told - timeout < unit, "{told:?}");
            // Whole seconds only if they are exact to the millisecond, or too long for a limit in milliseconds.
            let exact = told - timeout < Duration::from_millis(1);
            prop_assert!(exact || timeout > Duration::from_millis(u32::MAX.into()), "{told:?}");
        }

        #[test]
        fn a_longer_timeout_never_becomes_a_shorter_one(one: Duration, other: Duration) {
            let told = |timeout| match for_server(timeout) {
                Seconds(seconds) => u64::from(seconds) * 1000,
                Millis(millis) => millis.into(),
            };
            prop_assert_eq!(told(one.max(other)), told(one).max(told(other)));
        }
    }
}
