//! Whether a revision does worse than the one before it: judged by how its first reconciles end.
//!
//! Each rule compares: what fails with the old revision as well (the cluster is in trouble, an object is
//! wrong) is no fault of the new one. And none goes by a single failure.

use std::time::Duration;

use crate::tally::Record;

/// So many reconciles have to have failed before they count as more than bad luck.
const SOME: u64 = 5;
/// Likewise of traps, which a good revision has none of.
const SOME_TRAPS: u64 = 3;
/// The part of reconciles that may trap beyond the old revision's part.
const MORE_TRAPS: f64 = 0.05;
/// The part that may fail beyond the old revision's part, in whatever way.
const MORE_FAILURES: f64 = 0.2;
/// The first success may take so much longer than the old revision's.
const SLOWER: u32 = 5;
/// But no less than this.
const PROMPT: Duration = Duration::from_secs(5);

/// A revision that has to prove itself.
#[derive(Clone, Copy, Debug)]
pub struct Probation {
    /// What the old revision had done.
    pub before: Record,
    /// How long it takes.
    pub period: Duration,
}

/// What is said of a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet.
    Open,
    /// It stays.
    Passed,
    /// It goes, for this reason.
    Failed(String),
}

impl Probation {
    /// Judges by what the revision has done so far.
    pub fn judge(&self, now: &Record) -> Verdict {
        if let Some(reason) = self.fault(now) {
            return Verdict::Failed(reason);
        }
        if now.age >= self.period { Verdict::Passed } else { Verdict::Open }
    }

    fn fault(&self, now: &Record) -> Option<String> {
        let before = &self.before;
        let percent = |part: f64| format!("{:.0} %", part * 100.0);
        if now.traps >= SOME_TRAPS && now.trap_rate() > before.trap_rate() + MORE_TRAPS {
            return Some(format!(
                "{} of {} reconciles trapped or went over a limit ({}; {} before)",
                now.traps,
                now.ended(),
                percent(now.trap_rate()),
                percent(before.trap_rate())
            ));
        }
        let failed = now.errors + now.traps;
        if failed >= SOME && now.failure_rate() > before.failure_rate() + MORE_FAILURES {
            return Some(format!(
                "{failed} of {} reconciles failed ({}; {} before)",
                now.ended(),
                percent(now.failure_rate()),
                percent(before.failure_rate())
            ));
        }
        // One that waits for something to reconcile has not failed.
        let first = before.first_good.filter(|_| now.first_good.is_none() && failed > 0)?;
        let patience = (first * SLOWER).max(PROMPT).min(self.period);
        (now.age >= patience).then(|| {
            format!(
                "no reconcile has ended well within {:.1} s ({failed} have failed; the revision before needed {:.1} s)",
                now.age.as_secs_f64(),
                first.as_secs_f64()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(60);

    fn record(age: u64, good: u64, errors: u64, traps: u64) -> Record {
        let first_good = (good > 0).then(|| Duration::from_millis(20));
        Record { age: Duration::from_secs(age), good, errors, traps, first_good }
    }

    fn judge(before: Record, now: Record) -> Verdict {
        Probation { before, period: PERIOD }.judge(&now)
    }

    fn fails(before: Record, now: Record) -> bool {
        matches!(judge(before, now), Verdict::Failed(_))
    }

    #[test]
    fn one_that_does_as_well_as_the_one_before_passes_when_its_time_is_over() {
        let before = record(1_000, 900, 100, 0);
        assert_eq!(judge(before, record(59, 90, 10, 0)), Verdict::Open);
        assert_eq!(judge(before, record(60, 90, 10, 0)), Verdict::Passed);
        assert_eq!(judge(record(0, 0, 0, 0), record(60, 0, 0, 0)), Verdict::Passed, "nothing to do");
    }

    #[test]
    fn traps_that_the_one_before_did_not_have_are_a_fault_and_a_single_one_is_not() {
        let before = record(1_000, 1_000, 0, 0);
        assert_eq!(judge(before, record(1, 10, 0, 2)), Verdict::Open);
        assert_eq!(
            judge(before, record(1, 7, 0, 3)),
            Verdict::Failed("3 of 10 reconciles trapped or went over a limit (30 %; 0 % before)".to_owned())
        );
        assert_eq!(judge(before, record(1, 1_000, 0, 3)), Verdict::Open, "few among many");
        assert!(!fails(record(1_000, 70, 0, 30), record(1, 7, 0, 3)), "as before");
    }

    #[test]
    fn more_failures_than_before_are_a_fault() {
        let before = record(1_000, 80, 20, 0);
        assert!(!fails(before, record(1, 0, 4, 0)), "too few to tell");
        assert!(fails(before, record(1, 5, 5, 0)));
        assert!(!fails(before, record(1, 15, 7, 0)), "hardly more");
        assert!(fails(before, record(1, 5, 3, 2)), "traps are failures, too");
        assert!(!fails(record(1_000, 0, 50, 0), record(1, 0, 50, 0)), "the cluster's trouble");
    }

    #[test]
    fn one_that_never_succeeds_is_at_fault_if_the_one_before_did() {
        let before = record(1_000, 10, 0, 0);
        assert_eq!(judge(before, record(4, 0, 1, 0)), Verdict::Open);
        assert!(fails(before, record(5, 0, 1, 0)));
        assert_eq!(judge(before, record(5, 0, 0, 0)), Verdict::Open, "it had nothing to do");
        let slow = Record { first_good: Some(Duration::from_secs(8)), ..before };
        assert_eq!(judge(slow, record(39, 0, 1, 0)), Verdict::Open);
        assert!(fails(slow, record(40, 0, 1, 0)));
        assert_eq!(judge(record(9, 0, 9, 0), record(59, 0, 1, 0)), Verdict::Open, "nor did that one");
    }
}
