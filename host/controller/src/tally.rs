//! How one revision's reconciles end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts, from when the revision has been at work.
#[derive(Debug)]
pub(crate) struct Tally {
    begun: Instant,
    good: AtomicU64,
    errors: AtomicU64,
    traps: AtomicU64,
    first_good: Mutex<Option<Duration>>,
}

/// What a revision has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Since when it has been at work.
    pub age: Duration,
    /// Reconciles that ended well.
    pub good: u64,
    /// Those that the plugin said had failed.
    pub errors: u64,
    /// Those that trapped, or went over a limit.
    pub traps: u64,
    /// How long it was at work before the first one ended well.
    pub first_good: Option<Duration>,
}

/// How a reconcile has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Good,
    Error,
    Trap,
}

impl Tally {
    /// Of a revision that begins now.
    pub(crate) fn new(now: Instant) -> Self {
        let zero = || AtomicU64::new(0);
        Self { begun: now, good: zero(), errors: zero(), traps: zero(), first_good: Mutex::default() }
    }

    pub(crate) fn count(&self, end: End, now: Instant) {
        let counter = match end {
            End::Good => &self.good,
            End::Error => &self.errors,
            End::Trap => &self.traps,
        };
        if counter.fetch_add(1, Ordering::Relaxed) == 0 && end == End::Good {
            let took = now.saturating_duration_since(self.begun);
            self.first_good.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(took);
        }
    }

    pub(crate) fn record(&self, now: Instant) -> Record {
        Record {
            age: now.saturating_duration_since(self.begun),
            good: self.good.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            traps: self.traps.load(Ordering::Relaxed),
            first_good: *self.first_good.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl Record {
    /// All that have ended.
    pub fn ended(&self) -> u64 {
        self.good + self.errors + self.traps
    }

    /// The part of them that trapped; 0 if there are none.
    pub fn trap_rate(&self) -> f64 {
        part(self.traps, self.ended())
    }

    /// The part of them that did not end well; 0 if there are none.
    pub fn failure_rate(&self) -> f64 {
        part(self.errors + self.traps, self.ended())
    }
}

fn part(of: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { of as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_success_is_timed_once_and_no_failure_is_one() {
        let begun = Instant::now();
        let (tally, after) = (Tally::new(begun), |ms| begun + Duration::from_millis(ms));
        assert_eq!(tally.record(after(1)).first_good, None);
        tally.count(End::Error, after(10));
        tally.count(End::Trap, after(20));
        assert_eq!(tally.record(after(30)).first_good, None);
        tally.count(End::Good, after(40));
        let first_good = Some(Duration::from_millis(40));
        assert_eq!(tally.record(after(41)).first_good, first_good);
        for (end, ms) in [(End::Good, 50), (End::Error, 60), (End::Good, 70)] {
            tally.count(end, after(ms));
        }
        let age = Duration::from_millis(100);
        assert_eq!(tally.record(after(100)), Record { age, good: 3, errors: 2, traps: 1, first_good });
    }
}
