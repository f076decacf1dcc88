//! How much of a kind's watch a plugin's own index function may take.
//!
//! It is asked on the task that applies the watch, which other plugins' objects come by, too. So one that
//! is slow or fails several times in a row is not asked for a while: what comes then is not in its index.

use std::time::{Duration, Instant};

/// A call that takes longer is as bad as one that fails.
const SLOW: Duration = Duration::from_millis(100);
/// So many in a row.
const STRIKES: u32 = 3;
/// How long it is not asked then.
const PAUSE: Duration = Duration::from_secs(60);

/// Of one index.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    strikes: u32,
    paused: Option<Instant>,
}

impl Patience {
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
        if !failed && took < SLOW {
            self.strikes = 0;
            return false;
        }
        self.strikes += 1;
        let enough = self.strikes >= STRIKES;
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
    fn one_that_is_slow_or_fails_three_times_in_a_row_is_not_asked_for_a_minute() {
        let now = Instant::now();
        let mut patience = Patience::default();
        assert!(!patience.note(SLOW, false, now) && !patience.note(Duration::ZERO, true, now));
        assert!(patience.may_ask(now));
        assert!(patience.note(SLOW, true, now));
        assert!(!patience.may_ask(now) && !patience.may_ask(now + PAUSE - Duration::from_millis(1)));
        assert!(patience.may_ask(now + PAUSE));
    }

    #[test]
    fn a_call_that_is_quick_and_succeeds_makes_up_for_those_before() {
        let now = Instant::now();
        let mut patience = Patience::default();
        for _ in 0..10 {
            assert!(!patience.note(SLOW, false, now) && !patience.note(SLOW, false, now));
            assert!(!patience.note(Duration::ZERO, false, now));
        }
        assert!(patience.may_ask(now));
    }
}
