//! Probation: how a revision proves itself, or is rolled back and not tried again.

use std::time::Duration;

use wheelhouse_controller::{Controller, Prepared, Probation, Record, Verdict};
use wheelhouse_core::Grant;

use super::Loader;
use crate::history::State;
use crate::plugins::Phase;
use crate::preparation::{Mark, Problem, ROLLED_BACK, Recipe, Step};

/// A revision that has to prove itself.
pub(super) struct Trial {
    pub(super) probation: Probation,
    /// What ran before it; none if that was before this host was at work.
    pub(super) before: Option<Before>,
}

/// What is kept to replace a revision with.
pub(super) struct Before {
    pub(super) prepared: Prepared,
    pub(super) recipe: Recipe,
    /// The number that it ran as.
    pub(super) number: u64,
}

impl Loader {
    /// A probation, if the host has any.
    pub(super) fn trial(&self, before: Record, way_back: Option<Before>) -> Option<Trial> {
        let period = self.plugins.inner.settings.probation;
        self.has_probation().then_some(Trial { probation: Probation { before, period }, before: way_back })
    }

    pub(super) fn has_probation(&self) -> bool {
        !self.plugins.inner.settings.probation.is_zero()
    }

    /// What was at work without a fault until now is good, however short a time that was.
    pub(super) async fn was_replaced(&mut self, recipe: &Recipe, record: &Record) {
        let probation = Probation { before: Record::default(), period: Duration::ZERO };
        if !self.proved && !self.was_rolled_back(&recipe.mark()) && probation.judge(record) == Verdict::Passed
        {
            self.history.set_proved();
            self.prove_this(recipe).await;
        }
    }

    fn was_rolled_back(&self, mark: &Mark) -> bool {
        self.rejected.as_ref() == Some(mark) || self.tolerated.as_ref() == Some(mark)
    }

    /// From now on this is not tried again, until something else that its source wants has taken over.
    pub(super) fn reject(&mut self, mark: Option<Mark>) {
        self.rejected = mark;
        self.publish();
    }

    pub(super) fn current_mark(&self) -> Option<Mark> {
        self.history.current().map(|current| current.recipe.mark())
    }

    /// What runs is good.
    pub(super) async fn prove(&mut self) {
        if let Some(recipe) = self.history.current().map(|current| current.recipe.clone()) {
            self.history.set_proved();
            self.prove_this(&recipe).await;
            self.proved = true;
        }
    }

    async fn prove_this(&self, recipe: &Recipe) {
        if let Some(uid) = &self.uid {
            self.plugins.prove(&self.id, uid, recipe).await;
        }
    }

    /// Looks at how the revision that is on probation does, or one that had nothing before it.
    pub(super) async fn judge(&mut self) {
        let Some(controller) = self.controller() else { return };
        let Some(record) = controller.record() else { return };
        let plugin = controller.spec().name.clone();
        let Some(trial) = &self.trial else {
            let alone =
                Probation { before: Record::default(), period: self.plugins.inner.settings.probation };
            let was_rolled_back = self.current_mark().is_some_and(|mark| self.was_rolled_back(&mark));
            if !was_rolled_back && alone.judge(&record) == Verdict::Passed {
                self.prove().await;
            }
            return;
        };
        match trial.probation.judge(&record) {
            Verdict::Open => {}
            Verdict::Passed => {
                tracing::info!(plugin, revision = self.number(), "probation passed");
                self.plugins.voice().proven(&self.id, &plugin, self.number());
                (self.trial, self.tolerated) = (None, None);
                self.history.set_state(State::Active);
                self.publish();
                self.prove().await;
            }
            Verdict::Failed(reason) => match self.trial.take() {
                Some(Trial { before: Some(before), .. }) => {
                    self.roll_back(&controller, before, &reason).await
                }
                _ => {
                    self.reject(self.current_mark());
                    self.go_on(&reason).await;
                }
            },
        }
    }

    /// To what ran before the probation.
    async fn roll_back(&mut self, controller: &Controller, before: Before, reason: &str) {
        let Before { prepared, recipe, number } = before;
        let (plugin, failed) = (controller.spec().name.clone(), self.number());
        tracing::error!(plugin, revision = failed, to = number, "rolled back: {reason}");
        self.preparing.stop();
        // On record before its reconciles end, which may take long.
        self.reject(self.current_mark());
        self.history.set_state(State::RolledBack(reason.to_owned()));
        let problem = Problem {
            step: Step::Run,
            reason: ROLLED_BACK,
            message: format!(
                "revision {failed} was rolled back, and is not tried again until its component or its configuration changes: {reason}"
            ),
            waits: false,
        };
        // What it may not have any more, it does not have for a moment.
        let granted = self.plugins.grant(&self.id, &plugin, prepared.digest(), &self.shared.granted);
        if granted.is_err() {
            self.shared.granted.set(Grant::nothing());
        }
        self.replace(controller, prepared).await;
        self.note(recipe, Some(number), State::Active);
        self.claim_again(&controller.spec());
        self.prove().await;
        self.plugins.voice().rolled_back(&self.id, &plugin, failed, number, reason);
        self.plugins.update(&self.id, |slot| {
            slot.rollbacks += 1;
            (slot.phase, slot.step, slot.problem) = (Phase::Failed, Step::Run, Some(problem));
        });
        self.still_failed();
        // What it is granted may have changed while the other one ran.
        self.grants_changed().await;
    }
}
