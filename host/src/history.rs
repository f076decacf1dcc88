//! The revisions of one plugin: the one that runs, and some of those that ran before it.

use std::time::SystemTime;

use serde::Serialize;

/// Where a revision stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state", content = "reason")]
pub(crate) enum State {
    /// It runs, and has to prove itself yet.
    OnProbation,
    /// It runs.
    Active,
    /// Another one took its place.
    Retired,
    /// Another one took its place while it had to prove itself yet.
    Unproved,
    /// It was rolled back, for this reason.
    RolledBack(String),
}

/// One revision; `R` is what it takes to run it again.
#[derive(Clone, Debug)]
pub(crate) struct Entry<R> {
    /// 1 for the first, and one more for each switch.
    pub(crate) number: u64,
    /// What the plugin calls this version.
    pub(crate) version: String,
    /// Of its component.
    pub(crate) digest: String,
    /// Since when it has run, or when it last took over.
    pub(crate) since: SystemTime,
    pub(crate) state: State,
    /// Whether it did well for as long as a probation takes, wherever that was, or is what somebody asked for.
    pub(crate) proved: bool,
    pub(crate) recipe: R,
}

/// What there is to tell of a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RevisionReport {
    pub(crate) revision: u64,
    pub(crate) version: String,
    pub(crate) digest: String,
    /// Seconds since the epoch.
    pub(crate) since: u64,
    #[serde(flatten)]
    pub(crate) state: State,
}

/// See the module. The newest is the last, and runs, unless the plugin has stopped.
#[derive(Clone, Debug)]
pub(crate) struct History<R> {
    entries: Vec<Entry<R>>,
    /// How many are kept beside the one that runs.
    keep: usize,
}

impl<R> History<R> {
    /// Of a plugin that has not run yet.
    pub(crate) fn new(keep: usize) -> Self {
        Self { entries: Vec::new(), keep }
    }

    /// From now on, so many are kept.
    pub(crate) fn keep(&mut self, keep: usize) {
        self.keep = keep;
        self.drop_surplus();
    }

    fn drop_surplus(&mut self) {
        let surplus = self.entries.len().saturating_sub(self.keep + 1);
        self.entries.drain(..surplus);
    }

    /// Another revision has taken over. One that it is once more goes: it has a new number.
    pub(crate) fn push(&mut self, entry: Entry<R>, again: Option<u64>) {
        self.entries.retain(|old| Some(old.number) != again);
        for old in &mut self.entries {
            match old.state {
                State::Active => old.state = State::Retired,
                State::OnProbation => old.state = State::Unproved,
                _ => {}
            }
        }
        self.entries.push(entry);
        self.drop_surplus();
    }

    /// The one that took over last.
    pub(crate) fn current(&self) -> Option<&Entry<R>> {
        self.entries.last()
    }

    /// Those before it, the oldest first.
    pub(crate) fn former(&self) -> impl DoubleEndedIterator<Item = &Entry<R>> {
        self.entries.split_last().into_iter().flat_map(|(_, former)| former)
    }

    /// Those of them that have proved themselves, the newest first.
    pub(crate) fn proved(&self) -> impl Iterator<Item = &Entry<R>> {
        self.former().rev().filter(|entry| entry.proved && entry.state == State::Retired)
    }

    /// Whether the one with this number has.
    pub(crate) fn is_proved(&self, number: u64) -> bool {
        self.entries.iter().any(|entry| entry.number == number && entry.proved)
    }

    /// What is said of the one that runs.
    pub(crate) fn set_state(&mut self, state: State) {
        if let Some(current) = self.entries.last_mut() {
            current.state = state;
        }
    }

    /// The one that runs has proved itself.
    pub(crate) fn set_proved(&mut self) {
        if let Some(current) = self.entries.last_mut() {
            current.proved = true;
        }
    }

    /// The revision that an operator rolls back to: the one with this number, or the newest that did not fail, and of
    /// which `leads` says that it is worth a try.
    ///
    /// # Errors
    /// If there is none, with those that there are.
    pub(crate) fn target(
        &self,
        number: Option<u64>,
        leads: impl Fn(&R) -> bool,
    ) -> Result<&Entry<R>, String> {
        let former = self.entries.split_last().map_or(&[][..], |(_, former)| former);
        let found = match number {
            Some(number) => former.iter().find(|entry| entry.number == number),
            None => {
                let did_well = |entry: &Entry<R>| !matches!(entry.state, State::RolledBack(_));
                former.iter().rev().find(|entry| did_well(entry) && leads(&entry.recipe))
            }
        };
        found.ok_or_else(|| {
            let kept: Vec<String> = former.iter().map(|entry| entry.number.to_string()).collect();
            match (number, kept.is_empty()) {
                (_, true) => "there is no former revision to roll back to".to_owned(),
                (Some(number), false) => {
                    format!("there is no former revision {number}; there are {}", kept.join(", "))
                }
                (None, false) => format!(
                    "each former revision was itself rolled back, or cannot be loaded; name one of {} to have it anyway",
                    kept.join(", ")
                ),
            }
        })
    }

    /// All of them, the newest first.
    pub(crate) fn reports(&self) -> Vec<RevisionReport> {
        let report = |entry: &Entry<R>| RevisionReport {
            revision: entry.number,
            version: entry.version.clone(),
            digest: entry.digest.clone(),
            since: entry.since.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            state: entry.state.clone(),
        };
        self.entries.iter().rev().map(report).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64) -> Entry<()> {
        Entry {
            number,
            version: format!("1.{number}"),
            digest: format!("sha256:{number}"),
            since: SystemTime::UNIX_EPOCH,
            state: State::Active,
            proved: true,
            recipe: (),
        }
    }

    fn history(count: u64) -> History<()> {
        let mut history = History::new(2);
        for number in 1..=count {
            history.push(entry(number), None);
        }
        history
    }

    fn states(history: &History<()>) -> Vec<(u64, State)> {
        history.reports().into_iter().map(|report| (report.revision, report.state)).collect()
    }

    #[test]
    fn so_many_are_kept_beside_the_one_that_runs() {
        use State::{Active, Retired};
        assert_eq!(states(&history(2)), [(2, Active), (1, Retired)]);
        assert_eq!(states(&history(5)), [(5, Active), (4, Retired), (3, Retired)]);
    }

    #[test]
    fn fewer_are_kept_as_soon_as_that_is_said() {
        let mut history = history(3);
        history.keep(0);
        assert_eq!(states(&history), [(3, State::Active)]);
    }

    #[test]
    fn one_that_runs_once_more_has_a_new_number() {
        let mut history = history(3);
        history.push(entry(4), Some(2));
        assert_eq!(states(&history), [(4, State::Active), (3, State::Retired), (1, State::Retired)]);
    }

    #[test]
    fn one_that_was_replaced_amid_its_probation_has_not_proved_itself() {
        let mut history = history(2);
        history.set_state(State::OnProbation);
        history.push(Entry { proved: false, ..entry(3) }, None);
        assert_eq!(states(&history), [(3, State::Active), (2, State::Unproved), (1, State::Retired)]);
        let proved = |history: &History<()>| history.proved().next().map(|entry| entry.number);
        assert_eq!(proved(&history), Some(1));
        assert_eq!(
            history.target(None, |()| true).map(|entry| entry.number),
            Ok(2),
            "it did not fail, either"
        );
        // One that stood by was not on probation, and has not proved itself either, until it has.
        history.push(entry(4), None);
        assert_eq!(
            (proved(&history), history.target(None, |()| true).map(|entry| entry.number)),
            (None, Ok(3))
        );
        history.set_proved();
        history.push(entry(5), None);
        assert_eq!(proved(&history), Some(4));
    }

    #[test]
    fn the_way_back_leads_to_the_newest_that_did_not_fail() {
        let mut history = history(2);
        history.set_state(State::RolledBack("it traps".to_owned()));
        history.push(entry(3), None);
        assert_eq!(history.target(None, |()| true).map(|entry| entry.number), Ok(1));
        assert_eq!(history.target(Some(2), |()| true).map(|entry| entry.number), Ok(2), "if it is named");
        assert_eq!(history.target(Some(1), |()| false).map(|entry| entry.number), Ok(1), "that one as well");
        assert!(history.target(None, |()| false).unwrap_err().contains("cannot be loaded"));
        for (number, problem) in
            [(Some(7), "there is no former revision 7; there are 1, 2"), (Some(3), "no former revision 3")]
        {
            assert!(history.target(number, |()| true).unwrap_err().contains(problem), "{number:?}");
        }
        assert!(History::<()>::new(2).target(None, |()| true).unwrap_err().contains("no former"));
        let mut bad = History::new(2);
        bad.push(entry(1), None);
        bad.set_state(State::RolledBack(String::new()));
        bad.push(entry(2), None);
        assert!(bad.target(None, |()| true).unwrap_err().contains("name one of 1"));
    }
}
