//! How much of a kind's watch a plugin's own index functions may take.
//!
//! They are asked on the task that applies the watch, which other plugins' objects come by, too. So one that
//! fails several times in a row, and all of a plugin's once they have taken too long altogether, are not asked
//! for a while: what comes then is not in their index.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wheelhouse_core::bucket::Bucket;

/// What a call takes beyond this counts as slow: a well-made one takes some microseconds.
const QUICK: Duration = Duration::from_millis(1);
/// Slow seconds at once, and in each second, of all index functions of a plugin.
const SLOW: (f64, f64) = (0.5, 0.05);
/// Failures in a row.
const STRIKES: u32 = 3;
/// How long it is not asked then.
const PAUSE: Duration = Duration::from_secs(60);

/// What all index functions of a plugin may take. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Slowness(Arc<Mutex<Bucket>>);

impl Slowness {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Bucket::new(SLOW.0, SLOW.1, now))))
    }

    /// Takes note of a call; whether it was the one too many.
    fn note(&self, took: Duration, now: Instant) -> bool {
        let slow = took.saturating_sub(QUICK);
        !slow.is_zero()
            && self.0.lock().unwrap_or_else(PoisonError::into_inner).take(slow.as_secs_f64(), now).is_err()
    }
}

/// Of one index.
#[derive(Debug)]
pub(crate) struct Patience {
    slowness: Slowness,
    strikes: u32,
    paused: Option<Instant>,
}

impl Patience {
    pub(crate) fn new(slowness: Slowness) -> Self {
        Self { slowness, strikes: 0, paused: None }
    }

    /// Whether it may be asked.
    pub(crate) fn may_ask(&mut self, now: Instant) -> bool {
        if self.paused.is_some_and(|until| now < until) {
            return false;
        }
        self.paused = None;
        true
    }

    /// Takes note of a call; whether it was the one too many.
    pub(crate) fn note(&mut self, took: Duration, failed: bool, now: Instant) -> bool {
        self.strikes = if failed { self.strikes + 1 } else { 0 };
        let enough = self.slowness.note(took, now) || self.strikes >= STRIKES;
        if enough {
            self.strikes = 0;
            self.paused = now.checked_add(PAUSE);
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_fails_three_times_in_a_row_is_not_asked_for_a_minute() {
        let now = Instant::now();
        let mut patience = Patience::new(Slowness::new(now));
        for failed in [true, true, false, true, true] {
            assert!(!patience.note(Duration::ZERO, failed, now));
        }
        assert!(patience.may_ask(now));
        assert!(patience.note(Duration::ZERO, true, now));
        assert!(!patience.may_ask(now) && !patience.may_ask(now + PAUSE - Duration::from_millis(1)));
        assert!(patience.may_ask(now + PAUSE));
    }

    #[test]
    fn hostile_indexes_that_are_slow_together_are_not_asked_for_a_minute() {
        let now = Instant::now();
        let slowness = Slowness::new(now);
        let mut indexes: Vec<Patience> = (0..64).map(|_| Patience::new(slowness.clone())).collect();
        let slow = Duration::from_millis(99);
        // Half a second of a hundred indexes, of which each answers in time.
        let mut asked = 0;
        while !indexes[asked].note(slow, false, now) {
            asked += 1;
        }
        assert_eq!(asked, 5);
        assert!(!indexes[5].may_ask(now));
    }

    #[test]
    fn a_hundred_thousand_quick_calls_are_none_too_many() {
        let now = Instant::now();
        let mut patience = Patience::new(Slowness::new(now));
        assert!((0..100_000).all(|_| !patience.note(QUICK, false, now)));
    }
}
