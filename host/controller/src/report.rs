//! What the log says of a plugin's failures: enough to find the cause, once, and not the same again and again.
//!
//! A report has the plugin, its revision, the object's key, the reason, and the guest's own frames. It has
//! nothing of any object's contents: reasons come from the host, frames from the component's names. What a
//! plugin says of a failure in its own words counts as a line of its log.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wheelhouse_core::Key;
use wheelhouse_core::usage::Usage;
use wheelhouse_sandbox::{CallError, Revision};

/// An equal report within this time is counted and not written.
const FOLD: Duration = Duration::from_secs(60);
/// Different reports that are remembered, of one plugin.
const REMEMBERED: usize = 32;

/// The reports of one plugin, of all its revisions.
#[derive(Debug)]
pub struct Reports {
    usage: Arc<Usage>,
    /// The oldest first.
    seen: Mutex<VecDeque<Seen>>,
}

#[derive(Debug)]
struct Seen {
    report: u64,
    written: Instant,
    /// Not written since then.
    folded: u64,
}

/// Which call failed, of what.
pub(crate) struct Failed<'a> {
    /// `reconcile`, `map services`, ...
    pub(crate) call: &'a str,
    pub(crate) object: &'a Key,
    /// "" outside of a reconcile.
    pub(crate) reconcile_id: &'a str,
    /// What the host does about it.
    pub(crate) then: &'a str,
}

impl Reports {
    /// Nothing was reported yet.
    pub(crate) fn new(usage: &Arc<Usage>) -> Self {
        Self { usage: Arc::clone(usage), seen: Mutex::default() }
    }

    /// A call trapped, or went over a limit.
    pub(crate) fn failed(&self, revision: &Revision, failed: &Failed<'_>, error: &CallError) {
        let backtrace = match error {
            CallError::Trap { backtrace, .. } => backtrace.as_str(),
            _ => "",
        };
        let reason = error.to_string();
        let mut hasher = DefaultHasher::new();
        (revision.digest(), failed.call, &reason, backtrace).hash(&mut hasher);
        let size = reason.len() + backtrace.len();
        let Some(folded) = self.worth_writing(hasher.finish(), size, Instant::now()) else { return };
        let plugin = revision.spec().name.as_str();
        let Failed { call, object, reconcile_id, then } = failed;
        let revision = revision.short_digest();
        let again = if folded > 0 {
            format!("; {folded} more like it since it was last said")
        } else {
            String::new()
        };
        tracing::error!(plugin, revision, object = %object, reconcile_id, backtrace, "{call} failed, {then}: {reason}{again}");
    }

    /// Whether a line in the plugin's own words may be written: they count as its log.
    pub(crate) fn may_say(&self, text: &str) -> bool {
        self.usage.log_line(text.len()).is_ok()
    }

    /// How many of the same were not written since the last one was; none if this one is not to be either.
    fn worth_writing(&self, report: u64, bytes: usize, now: Instant) -> Option<u64> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(position) = seen.iter().position(|seen| seen.report == report) {
            let known = seen.get_mut(position)?;
            if now.saturating_duration_since(known.written) < FOLD {
                known.folded += 1;
                return None;
            }
            let folded = seen.remove(position).map_or(0, |known| known.folded);
            seen.push_back(Seen { report, written: now, folded: 0 });
            return Some(folded);
        }
        // One whose reports are all different is held to its share of the log.
        if self.usage.log_line(bytes).is_err() {
            return None;
        }
        if seen.len() >= REMEMBERED {
            seen.pop_front();
        }
        seen.push_back(Seen { report, written: now, folded: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use wheelhouse_core::limits::Limits;

    use super::*;

    fn reports(limits: &Limits) -> Reports {
        Reports::new(&Arc::new(Usage::new(limits)))
    }

    #[test]
    fn equal_reports_are_written_once_a_minute_with_how_many_there_were() {
        let (reports, now) = (reports(&Limits::default()), Instant::now());
        assert_eq!(reports.worth_writing(1, 0, now), Some(0));
        assert_eq!(reports.worth_writing(1, 0, now), None);
        assert_eq!(reports.worth_writing(1, 0, now + FOLD / 2), None);
        assert_eq!(reports.worth_writing(2, 0, now + FOLD / 2), Some(0), "another one is no repetition");
        assert_eq!(reports.worth_writing(1, 0, now + FOLD), Some(2));
        assert_eq!(reports.worth_writing(1, 0, now + FOLD), None);
        assert_eq!(reports.worth_writing(1, 0, now + FOLD * 2), Some(1));
    }

    #[test]
    fn hostile_reports_that_are_all_different_are_held_to_the_share_of_the_log() {
        let limits = Limits { log_lines_per_second: 10, ..Limits::default() };
        let (reports, now) = (reports(&limits), Instant::now());
        let written = (0..1000).filter(|report| reports.worth_writing(*report, 0, now).is_some()).count();
        assert!((10..200).contains(&written), "{written}");
        assert!(reports.seen.lock().unwrap().len() <= REMEMBERED);
    }
}
