//! What the status of a resource says: from what is known of its plugin, and what it said before.

use wheelhouse_core::printable::printable;

use super::types::{Condition, PluginStatus, RolledBack};
use crate::plugins::Phase;
use crate::preparation::{Mark, Problem, Step};

/// Bytes of a condition's message.
const MESSAGE: usize = 1024;
/// Each step that can fail has a condition.
const STEPS: [(Step, &str); 6] = [
    (Step::Fetch, "Fetched"),
    (Step::Compile, "Compiled"),
    (Step::Describe, "Described"),
    (Step::Grant, "Granted"),
    (Step::Sync, "Synced"),
    (Step::Run, "Switched"),
];
/// Digits of a digest that tell components apart.
const SHORT: usize = 12;

/// The condition of a revision that has to prove itself.
pub(super) const ON_PROBATION: &str = "OnProbation";

/// What is known of a plugin.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Of the spec that it is about.
    pub(crate) generation: i64,
    /// What was fetched for it.
    pub(crate) artifact: Option<String>,
    pub(crate) phase: Phase,
    /// Which step is under way, or has failed.
    pub(crate) step: Step,
    pub(crate) problem: Option<Problem>,
    /// Why it is not known whether what was fetched is still what its source has.
    pub(crate) stale: Option<Problem>,
    /// What runs has to prove itself yet.
    pub(crate) on_probation: bool,
    /// What was rolled back last.
    pub(crate) rolled_back: Option<Mark>,
    /// Whether that runs all the same.
    pub(crate) tolerated: bool,
    /// Whether the reconciles of the revision before have ended within their grace.
    pub(crate) drained: bool,
    /// The kind that the revision before reconciled, if that was another.
    pub(crate) reconciled_before: Option<String>,
    /// What runs.
    pub(crate) running: Option<wheelhouse_controller::PluginStatus>,
    /// By what that is known again.
    pub(crate) mark: Option<Mark>,
    pub(crate) paused: bool,
}

/// What a condition is to say, without its times.
struct Said<'a> {
    condition: &'a str,
    status: &'static str,
    reason: &'a str,
    message: String,
}

impl<'a> Said<'a> {
    fn new(condition: &'a str, status: &'static str, reason: &'a str, message: &str) -> Self {
        Self { condition, status, reason, message: printable(message, MESSAGE) }
    }
}

/// The status now. A condition that has the status that it had has had it since then.
pub(crate) fn status(known: &Known, before: &[Condition], now: &str) -> PluginStatus {
    let running = known.running.as_ref();
    let digest = running.map(|running| running.digest.clone());
    // A switch may have come between the two.
    let mark = known.mark.as_ref().filter(|mark| Some(&mark.digest) == digest.as_ref());
    let digits = digest.as_deref().map(|digest| digest.strip_prefix("sha256:").unwrap_or(digest));
    let ready = ready(known);
    let is_ready = ready.status == "True";
    let mut all: Vec<Said<'_>> = steps(known).collect();
    all.push(ready);
    if known.on_probation {
        let message = "a revision that does worse than the one before it is rolled back";
        all.push(Said::new(ON_PROBATION, "True", "Switched", message));
    }
    if let Some(why) = rolled_back(known) {
        all.push(Said::new("RolledBack", "True", "RolledBack", why));
    } else if known.rolled_back.is_some() && known.tolerated {
        let message = "what was rolled back runs all the same: this host knows of nothing that did well";
        all.push(Said::new("RolledBack", "True", "RunsAgain", message));
    }
    if known.paused {
        all.push(Said::new("Paused", "True", "SpecPaused", "nothing more begins, as spec.paused says"));
    }
    let condition = |said: Said<'_>| {
        let same = |old: &&Condition| old.condition == said.condition && old.status == said.status;
        let since = before.iter().find(same).map(|old| old.last_transition_time.clone());
        Condition {
            condition: said.condition.to_owned(),
            status: said.status.to_owned(),
            reason: said.reason.to_owned(),
            message: said.message,
            last_transition_time: since.unwrap_or_else(|| now.to_owned()),
            observed_generation: known.generation,
        }
    };
    PluginStatus {
        observed_generation: Some(known.generation),
        phase: known.phase.as_str().to_owned(),
        ready: is_ready,
        plugin: running.map(|running| running.name.clone()),
        revision: running.and_then(|running| i64::try_from(running.revision).ok()),
        errors: running.and_then(|running| i64::try_from(running.errors).ok()),
        version: running.map(|running| running.version.clone()),
        short_digest: digits.map(|digits| digits.chars().take(SHORT).collect()),
        digest,
        config_digest: mark.map(|mark| mark.config.clone()),
        artifact: known.artifact.clone(),
        rolled_back: known
            .rolled_back
            .as_ref()
            .map(|mark| RolledBack { digest: mark.digest.clone(), config_digest: mark.config.clone() }),
        reconciles: running.map(|running| running.reconciles.clone()),
        conditions: all.into_iter().map(condition).collect(),
    }
}

/// Of a plugin that has ended while its resource is there yet.
pub(super) fn ended(generation: i64, now: &str) -> PluginStatus {
    let condition = Condition {
        condition: "Ready".to_owned(),
        status: "False".to_owned(),
        reason: "Deleted".to_owned(),
        message: "it was deleted, and nothing of it runs; a finalizer of somebody else keeps it".to_owned(),
        last_transition_time: now.to_owned(),
        observed_generation: generation,
    };
    PluginStatus {
        observed_generation: Some(generation),
        phase: "ended".to_owned(),
        conditions: vec![condition],
        ..PluginStatus::default()
    }
}

impl PluginStatus {
    /// What was said of what ran, for who runs it again: nothing does so now.
    pub(super) fn remember(&mut self, before: &Self) {
        if self.rolled_back.is_none() {
            self.rolled_back = before.rolled_back.clone();
        }
        let on_probation = |status: &Self| {
            let is_it =
                |condition: &&Condition| condition.condition == ON_PROBATION && condition.status == "True";
            status.conditions.iter().find(is_it).cloned()
        };
        if let Some(condition) = on_probation(before).filter(|_| self.digest.is_none()) {
            (self.digest, self.config_digest) = (before.digest.clone(), before.config_digest.clone());
            if on_probation(self).is_none() {
                // Where whoever runs it has it: hosts that differ would write in turns.
                let ready = self.conditions.iter().position(|condition| condition.condition == "Ready");
                self.conditions.insert(ready.map_or(0, |at| at + 1), condition);
            }
        }
    }
}

/// Why the newest spec does not run, if it did.
fn rolled_back(known: &Known) -> Option<&str> {
    match &known.problem {
        Some(problem) if problem.reason == "RolledBack" => Some(&problem.message),
        None if known.rolled_back.is_some() && !known.tolerated && known.phase != Phase::Loading => {
            Some("what was rolled back is not tried again until its component or its configuration changes")
        }
        _ => None,
    }
}

/// Those of the newest spec: what is done, what is under way or has failed, and what has not begun.
fn steps(known: &Known) -> impl Iterator<Item = Said<'_>> {
    let done = known.problem.is_none() && !matches!(known.phase, Phase::Loading);
    let fetched = |condition| match &known.stale {
        Some(Problem { reason, message, .. }) => {
            let message = format!("what was fetched before still counts: {message}");
            Said::new(condition, "True", reason, &message)
        }
        None => Said::new(condition, "True", "Done", ""),
    };
    STEPS.into_iter().map(move |(step, condition)| match (&known.problem, step.cmp(&known.step)) {
        (None, _) if done && step == Step::Run => match rolled_back(known) {
            Some(why) => Said::new(condition, "False", "RolledBack", why),
            None => switched(known, condition),
        },
        (None, _) if done && step == Step::Fetch => fetched(condition),
        (_, std::cmp::Ordering::Less) if step == Step::Fetch => fetched(condition),
        (None, _) if done => Said::new(condition, "True", "Done", ""),
        (_, std::cmp::Ordering::Less) => Said::new(condition, "True", "Done", ""),
        (None, std::cmp::Ordering::Equal) if step == Step::Run => {
            let message =
                "the newest revision has taken over; reconciles of the one before end, within the grace";
            Said::new(condition, "Unknown", "Draining", message)
        }
        (Some(problem), std::cmp::Ordering::Equal) => {
            Said::new(condition, "False", problem.reason, &problem.message)
        }
        (None, std::cmp::Ordering::Equal) => Said::new(condition, "Unknown", "UnderWay", ""),
        (_, std::cmp::Ordering::Greater) => Said::new(condition, "Unknown", "NotBegun", ""),
    })
}

/// The newest spec runs: what has become of what ran before.
fn switched<'a>(known: &Known, condition: &'a str) -> Said<'a> {
    match (&known.reconciled_before, known.drained) {
        (Some(before), _) => {
            let message =
                format!("the revision before reconciled {before}: what that was asked for has ended");
            Said::new(condition, "True", "KindChanged", &message)
        }
        (None, true) => Said::new(condition, "True", "Done", ""),
        (None, false) => {
            let message = "reconciles of the revision before did not end within the grace: they were stopped, and their objects requested again";
            Said::new(condition, "True", "GraceExceeded", message)
        }
    }
}

/// Whether the newest spec runs.
fn ready(known: &Known) -> Said<'_> {
    let runs_on = |message: &str| match &known.running {
        Some(running) => format!("{message}; revision {} runs on", running.revision),
        None => message.to_owned(),
    };
    if let Some(why) = rolled_back(known) {
        return Said::new("Ready", "False", "RolledBack", why);
    }
    match (&known.problem, known.phase) {
        (Some(problem), _) => Said::new("Ready", "False", problem.reason, &runs_on(&problem.message)),
        (None, Phase::Running) => Said::new("Ready", "True", "Running", ""),
        (None, Phase::Paused) => {
            Said::new("Ready", "False", "Paused", "it begins nothing, as spec.paused says")
        }
        (None, Phase::Standby) => Said::new("Ready", "False", "Standby", "another host holds its lease"),
        (None, Phase::Loading | Phase::Waiting | Phase::Failed) => {
            Said::new("Ready", "Unknown", "Loading", &runs_on("it is being loaded"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> wheelhouse_controller::PluginStatus {
        wheelhouse_controller::PluginStatus {
            name: "team-a.echo".to_owned(),
            version: "1.2.0".to_owned(),
            digest: format!("sha256:{}", "0123456789abcdef".repeat(4)),
            revision: 3,
            since: 0,
            reconciles: "v1/ConfigMap".to_owned(),
            kinds: Vec::new(),
            instances: 0,
            queued: 0,
            delayed: 0,
            active: 0,
            traps: 0,
            errors: 0,
            paused: false,
        }
    }

    fn known(phase: Phase, step: Step, reason: Option<&'static str>) -> Known {
        let problem = reason.map(|reason| Problem { step, reason, message: "why".to_owned(), waits: false });
        Known {
            generation: 7,
            artifact: None,
            phase,
            step,
            problem,
            stale: None,
            on_probation: false,
            rolled_back: None,
            tolerated: false,
            drained: true,
            reconciled_before: None,
            running: None,
            mark: None,
            paused: false,
        }
    }

    fn condition<'a>(status: &'a PluginStatus, of: &str) -> Option<(&'a str, &'a str)> {
        let found = status.conditions.iter().find(|condition| condition.condition == of)?;
        Some((&found.status, &found.reason))
    }

    #[test]
    fn each_step_is_a_condition_and_those_after_one_that_failed_are_not_known() {
        let status = super::status(&known(Phase::Failed, Step::Describe, Some("ConfigRejected")), &[], "t");
        let expected = [
            ("Fetched", "True"),
            ("Compiled", "True"),
            ("Described", "False"),
            ("Granted", "Unknown"),
            ("Synced", "Unknown"),
            ("Switched", "Unknown"),
            ("Ready", "False"),
        ];
        let found: Vec<(&str, &str)> =
            status.conditions.iter().map(|c| (c.condition.as_str(), c.status.as_str())).collect();
        assert_eq!(found, expected);
        assert_eq!(condition(&status, "Described"), Some(("False", "ConfigRejected")));
        assert_eq!(condition(&status, "Ready"), Some(("False", "ConfigRejected")));
        assert!(status.conditions.iter().all(|condition| condition.observed_generation == 7));
        assert_eq!(
            (status.observed_generation, status.phase.as_str(), status.ready),
            (Some(7), "failed", false)
        );
    }

    #[test]
    fn what_runs_is_shown_though_the_newest_spec_does_not_load() {
        let known =
            Known { running: Some(running()), ..known(Phase::Failed, Step::Compile, Some("CompileFailed")) };
        let status = super::status(&known, &[], "t");
        assert_eq!((status.revision, status.short_digest.as_deref()), (Some(3), Some("0123456789ab")));
        assert_eq!((status.plugin.as_deref(), status.ready), (Some("team-a.echo"), false));
        let ready = status.conditions.iter().find(|c| c.condition == "Ready").unwrap();
        assert_eq!(ready.message, "why; revision 3 runs on");
    }

    #[test]
    fn one_that_runs_has_every_step_behind_it() {
        let mut running_one = Known { running: Some(running()), ..known(Phase::Running, Step::Fetch, None) };
        let now = status(&running_one, &[], "t");
        assert!(now.ready && now.conditions.len() == 7);
        assert!(now.conditions.iter().all(|condition| condition.status == "True"), "{:?}", now.conditions);
        (running_one.paused, running_one.phase) = (true, Phase::Paused);
        let now = status(&running_one, &[], "t");
        assert_eq!(condition(&now, "Ready"), Some(("False", "Paused")));
        assert_eq!(condition(&now, "Paused"), Some(("True", "SpecPaused")));
        assert_eq!(condition(&now, "Synced"), Some(("True", "Done")));
    }

    #[test]
    fn one_that_was_rolled_back_did_load() {
        let known = Known { running: Some(running()), ..known(Phase::Failed, Step::Run, Some("RolledBack")) };
        let status = super::status(&known, &[], "t");
        assert_eq!(condition(&status, "Synced"), Some(("True", "Done")));
        assert_eq!(condition(&status, "RolledBack"), Some(("True", "RolledBack")));
        assert_eq!(condition(&status, "Ready"), Some(("False", "RolledBack")));
        // By its operator: nothing is wrong with it.
        let mark = Mark { digest: "sha256:1".to_owned(), config: "sha256:2".to_owned() };
        let known = Known { rolled_back: Some(mark), problem: None, phase: Phase::Running, ..known };
        let status = super::status(&known, &[], "t");
        assert_eq!(condition(&status, "RolledBack"), Some(("True", "RolledBack")));
        assert_eq!(condition(&status, "Synced"), Some(("True", "Done")));
        assert!(!status.ready);
        assert_eq!(condition(&status, "Switched"), Some(("False", "RolledBack")));
        // By a host that has nothing else.
        let all_the_same = super::status(&Known { tolerated: true, ..known.clone() }, &[], "t");
        assert_eq!(condition(&all_the_same, "RolledBack"), Some(("True", "RunsAgain")));
        assert!(all_the_same.ready && all_the_same.rolled_back.is_some());
        // Whatever is under way, it is on record.
        let loading = Known { phase: Phase::Loading, ..known };
        for status in [status, super::status(&loading, &[], "t")] {
            assert_eq!(status.rolled_back.map(|rolled_back| rolled_back.digest).as_deref(), Some("sha256:1"));
        }
    }

    #[test]
    fn what_runs_is_named_by_both_its_digests_and_told_as_long_as_it_is_on_probation() {
        let digest = running().digest;
        let mark = |digest: &str| Mark { digest: digest.to_owned(), config: "sha256:2".to_owned() };
        let of = |mark| Known {
            running: Some(running()),
            mark: Some(mark),
            ..known(Phase::Running, Step::Run, None)
        };
        let proved = super::status(&of(mark(&digest)), &[], "t");
        assert_eq!(
            (proved.digest.as_ref(), proved.config_digest.as_deref()),
            (Some(&digest), Some("sha256:2"))
        );
        assert_eq!(condition(&proved, "OnProbation"), None);
        let on_probation = super::status(&Known { on_probation: true, ..of(mark(&digest)) }, &[], "t");
        assert_eq!(condition(&on_probation, "OnProbation"), Some(("True", "Switched")));
        assert!(on_probation.ready);
        let amid_a_switch = super::status(&of(mark("sha256:1")), &[], "t");
        assert_eq!((amid_a_switch.digest, amid_a_switch.config_digest), (Some(digest), None));
    }

    #[test]
    fn a_switch_is_told_from_its_begin_to_its_end() {
        let draining = known(Phase::Loading, Step::Run, None);
        let switched = |known: &Known| {
            let status = super::status(known, &[], "t");
            condition(&status, "Switched").map(|(status, reason)| format!("{status} {reason}"))
        };
        assert_eq!(switched(&draining).as_deref(), Some("Unknown Draining"));
        let mut over = Known { phase: Phase::Running, ..draining };
        assert_eq!(switched(&over).as_deref(), Some("True Done"));
        over.drained = false;
        assert_eq!(switched(&over).as_deref(), Some("True GraceExceeded"));
        over.reconciled_before = Some("v1/Pod".to_owned());
        assert_eq!(switched(&over).as_deref(), Some("True KindChanged"));
        let status = super::status(&over, &[], "t");
        let message = &status.conditions.iter().find(|c| c.condition == "Switched").unwrap().message;
        assert!(message.contains("reconciled v1/Pod"), "{message}");
    }

    #[test]
    fn a_transition_has_a_time_and_what_stays_keeps_its_own() {
        let times = |status: &PluginStatus| -> Vec<(String, String)> {
            status.conditions.iter().map(|c| (c.condition.clone(), c.last_transition_time.clone())).collect()
        };
        let first = status(&known(Phase::Failed, Step::Grant, Some("NotGranted")), &[], "1");
        // Another reason is no transition.
        let second = status(&known(Phase::Failed, Step::Grant, Some("KindTaken")), &first.conditions, "2");
        assert_eq!(times(&first), times(&second));
        assert_eq!(condition(&second, "Granted"), Some(("False", "KindTaken")));
        let third = status(&known(Phase::Running, Step::Run, None), &second.conditions, "3");
        let times = times(&third);
        for (of, since) in
            [("Fetched", "1"), ("Described", "1"), ("Granted", "3"), ("Synced", "3"), ("Ready", "3")]
        {
            assert!(times.contains(&(of.to_owned(), since.to_owned())), "{of}: {times:?}");
        }
        // The same again is just the same, so that there is nothing to write.
        assert_eq!(status(&known(Phase::Running, Step::Run, None), &third.conditions, "4"), third);
    }

    #[test]
    fn hostile_a_message_is_short_and_has_no_control_characters() {
        let mut known = known(Phase::Failed, Step::Describe, Some("DescribeFailed"));
        known.problem = Some(Problem {
            step: Step::Describe,
            reason: "DescribeFailed",
            message: format!("\u{1b}[31m{}", "x".repeat(1 << 20)),
            waits: false,
        });
        let status = super::status(&known, &[], "t");
        assert!(status.conditions.iter().all(|c| c.message.len() <= 1024 && !c.message.contains('\u{1b}')));
    }
}
