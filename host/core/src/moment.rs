//! Time that passes while the machine is suspended, too.
//!
//! [`std::time::Instant`] stands still then (CLOCK_MONOTONIC), and a host that wakes after an hour would take
//! its lease for a fresh one. This goes on (CLOCK_BOOTTIME), is not set by anybody, and says nothing of the
//! time of day. What it does not see is a machine whose own clock stands still: a virtual machine that is
//! frozen from outside, or restored from a snapshot.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment of this machine since it was started. Those of two machines have nothing in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// This one.
    pub fn now() -> Self {
        Self(since_boot())
    }

    /// Nanoseconds since the machine was started, of which there is room for five centuries.
    pub(crate) fn nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }

    /// How long after an earlier one it is; nothing if that is later.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// At the end of time at the latest.
impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}

/// See [`Moment::saturating_since`].
impl Sub for Moment {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    // It is never negative; if it were, whatever has an end would have come to it.
    Duration::try_from(time).unwrap_or(Duration::MAX)
}

/// For guests, and for hosts that are not meant for production: from the first call on.
#[cfg(not(target_os = "linux"))]
fn since_boot() -> Duration {
    static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(std::time::Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_and_counts_in_durations() {
        let (now, second) = (Moment::now(), Duration::from_secs(1));
        assert!(Moment::now() >= now);
        assert_eq!((now + second) - now, second);
        assert_eq!(now - (now + second), Duration::ZERO);
        assert_eq!(now + Duration::MAX, Moment(Duration::MAX));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn it_counts_from_the_start_of_the_machine_with_the_time_in_which_that_was_suspended() {
        // proc_uptime(5) is by the same clock, in hundredths of a second.
        let uptime = || -> f64 {
            let text = std::fs::read_to_string("/proc/uptime").unwrap();
            text.split(' ').next().unwrap().parse().unwrap()
        };
        let (before, now, after) = (uptime(), Moment::now().0.as_secs_f64(), uptime());
        assert!(before - 0.02 <= now && now <= after + 0.02, "{before} {now} {after}");
    }
}
