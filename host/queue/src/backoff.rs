//! How long a failing key waits: exponential, capped, with jitter.

use std::time::Duration;

/// The delay before a retry: `base` after the first failure in a row, twice that after the second,
/// and so on up to `max`.
///
/// The defaults are those of client-go's `DefaultTypedControllerRateLimiter`, with jitter added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BackoffPolicy {
    /// The delay after the first failure. 5 ms by default.
    pub base: Duration,
    /// What doubling stops at. 1,000 s by default.
    pub max: Duration,
    /// The largest fraction of a delay that is added to it at random, so that keys which failed
    /// together do not come back together; `max` may be exceeded by as much. 0.1 by default; 0.0 (or
    /// anything that is not a positive, finite number) turns it off.
    pub jitter: f64,
}

impl Default for BackoffPolicy {
    fn default() -> Self {
        Self { base: Duration::from_millis(5), max: Duration::from_secs(1000), jitter: 0.1 }
    }
}

impl BackoffPolicy {
    /// The delay after this many failures in a row; `random` is in `[0, 1)`. Saturates, never panics.
    pub(crate) fn delay(&self, failures: u32, random: f64) -> Duration {
        let delay = self.exponential(failures);
        if !(self.jitter.is_finite() && self.jitter > 0.0) {
            return delay;
        }
        let added = delay.as_secs_f64() * self.jitter * random;
        delay.saturating_add(Duration::try_from_secs_f64(added).unwrap_or(Duration::MAX))
    }

    fn exponential(&self, failures: u32) -> Duration {
        const NANOS_PER_SEC: u128 = 1_000_000_000;
        // A Duration has fewer than 2^94 nanoseconds: more doublings than that change nothing.
        let doublings = failures.saturating_sub(1).min(94);
        let nanos = self.base.as_nanos().saturating_mul(1 << doublings);
        if nanos >= self.max.as_nanos() {
            return self.max;
        }
        let seconds = u64::try_from(nanos / NANOS_PER_SEC).unwrap_or(u64::MAX);
        Duration::from_secs(seconds) + Duration::from_nanos((nanos % NANOS_PER_SEC) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EXACT: BackoffPolicy =
        BackoffPolicy { base: Duration::from_millis(5), max: Duration::from_secs(1000), jitter: 0.0 };

    #[test]
    fn trap_29_the_delay_doubles_from_5_ms_to_1000_s() {
        assert_eq!(BackoffPolicy { jitter: 0.0, ..BackoffPolicy::default() }, EXACT);
        let delays: Vec<_> = [1, 2, 3, 10, 18, 19, 20].map(|n| EXACT.delay(n, 0.5).as_millis()).into();
        assert_eq!(delays, [5, 10, 20, 2_560, 655_360, 1_000_000, 1_000_000]);
    }

    #[test]
    fn trap_29_no_count_overflows() {
        for failures in [31, 32, 33, 63, 64, 65, 94, 95, 127, 128, 129, u32::MAX] {
            assert_eq!(EXACT.delay(failures, 0.99), EXACT.max);
        }
        let unbounded = BackoffPolicy { base: Duration::MAX, max: Duration::MAX, jitter: 1e300 };
        assert_eq!(unbounded.delay(u32::MAX, 0.99), Duration::MAX);
        let never = BackoffPolicy { base: Duration::ZERO, ..EXACT };
        assert_eq!(never.delay(u32::MAX, 0.99), Duration::ZERO);
    }

    #[test]
    fn a_base_of_a_nanosecond_still_reaches_the_maximum() {
        let tiny = BackoffPolicy { base: Duration::from_nanos(1), ..EXACT };
        assert_eq!(tiny.delay(41, 0.0), EXACT.max);
        assert_eq!(tiny.delay(31, 0.0), Duration::from_nanos(1 << 30));
    }

    #[test]
    fn a_jitter_that_is_no_fraction_is_off() {
        for jitter in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(BackoffPolicy { jitter, ..EXACT }.delay(1, 0.5), EXACT.base);
        }
    }

    proptest! {
        #[test]
        fn jitter_adds_at_most_its_fraction(failures: u32, random in 0.0..1.0_f64, jitter in 0.0..1.0_f64) {
            let plain = EXACT.delay(failures, random);
            let jittered = BackoffPolicy { jitter, ..EXACT }.delay(failures, random);
            let most = plain.mul_f64(1.0 + jitter) + Duration::from_nanos(1_000);
            prop_assert!(plain <= jittered && jittered <= most, "{plain:?} {jittered:?} {most:?}");
        }
    }
}
