//! Probation, and ways back: how a revision proves itself, what is gone back to, and what is not tried again.

use std::time::Duration;

use wheelhouse_controller::{Controller, Prepared, Probation, Record, Verdict};

use super::Loader;
use crate::history::State;
use crate::plugins::Phase;
use crate::preparation::{Back, From, Mark, Problem, ROLLED_BACK, Recipe, Step};

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
        (!period.is_zero()).then_some(Trial { probation: Probation { before, period }, before: way_back })
    }

    /// What was at work without a fault until now is good, however short a time that was.
    pub(super) async fn was_replaced(&mut self, recipe: &Recipe, record: &Record) {
        let probation = Probation { before: Record::default(), period: Duration::ZERO };
        if !self.proved && probation.judge(record) == Verdict::Passed {
            self.prove_this(recipe).await;
        }
    }

    /// Prepares what its source wants, if that is neither what runs nor what was rolled back.
    pub(super) fn pursue(&mut self) {
        let Some(content) = self.content.clone() else { return };
        let mark = Some(content.mark());
        if self.preparing.is_idle() && self.rejected != mark && self.current_mark() != mark {
            self.plugins.update(&self.id, |slot| {
                (slot.phase, slot.problem, slot.step) = (Phase::Loading, None, Step::Compile);
            });
            self.prepare(From::Source(content));
        }
    }

    /// What was to be prepared cannot be. If that was what did well before, what was rolled back is what there is; if
    /// it was a way back, what its source wants is next.
    pub(super) fn came_to_nothing(&mut self) {
        if self.restoring.take().is_some() {
            self.tolerate();
            if let (None, Some(content)) = (self.history.current(), self.content.clone()) {
                self.prepare(From::Source(content));
            }
        } else if self.preparing.back {
            self.pursue();
        }
    }

    /// What was rolled back runs, since nothing better is known.
    pub(super) fn tolerate(&mut self) {
        self.tolerated = self.rejected.take();
        self.publish();
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
            self.prove_this(&recipe).await;
            self.proved = true;
        }
    }

    pub(super) async fn prove_this(&self, recipe: &Recipe) {
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
            if alone.judge(&record) == Verdict::Passed {
                self.prove().await;
            }
            return;
        };
        match trial.probation.judge(&record) {
            Verdict::Open => {}
            Verdict::Passed => {
                tracing::info!(plugin, revision = self.number(), "probation passed");
                self.plugins.voice().proven(&self.id, &plugin, self.number());
                self.trial = None;
                self.history.set_state(State::Active);
                self.publish();
                self.prove().await;
            }
            Verdict::Failed(reason) => match self.trial.take() {
                Some(Trial { before: Some(before), .. }) => {
                    self.roll_back(&controller, before, &reason).await
                }
                _ => self.go_back(&reason).await,
            },
        }
    }

    /// To what ran before the probation.
    pub(super) async fn roll_back(&mut self, controller: &Controller, before: Before, reason: &str) {
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
        self.replace(controller, prepared).await;
        self.note(recipe, Some(number), State::Active);
        self.prove().await;
        self.plugins.voice().rolled_back(&self.id, &plugin, failed, number, reason);
        self.plugins.update(&self.id, |slot| {
            slot.rollbacks += 1;
            (slot.phase, slot.step, slot.problem) = (Phase::Failed, Step::Run, Some(problem));
        });
        self.pursue();
    }

    /// From what runs to what ran before it, or what did well last, if either is known.
    pub(super) async fn go_back(&mut self, reason: &str) {
        let (mark, failed) = (self.current_mark(), self.number());
        if let Ok(to) = self.history.target(None).map(|target| target.number) {
            tracing::error!(plugin = %self.id, revision = failed, to, "rolled back: {reason}");
            self.reject(mark.clone());
            let _ = self.roll_back_to(Some(to), mark, reason.to_owned());
            self.plugins.voice().rolled_back(&self.id, &self.name(), failed, to, reason);
        } else if let Some(good) = self.last_good(mark.as_ref()).await {
            tracing::error!(plugin = %self.id, revision = failed, "rolled back to what did well last: {reason}");
            self.reject(mark);
            self.history.set_state(State::RolledBack(reason.to_owned()));
            self.restoring = Some(good.clone());
            self.prepare(From::Source(good));
        } else {
            tracing::error!(plugin = %self.id, revision = failed, "it runs on, as nothing better is known: {reason}");
            return self.publish();
        }
        self.plugins.update(&self.id, |slot| slot.rollbacks += 1);
    }

    /// `refuses` is not to be tried again from then on.
    pub(super) fn roll_back_to(
        &mut self,
        number: Option<u64>,
        refuses: Option<Mark>,
        why: String,
    ) -> Result<String, String> {
        let (target, recipe) = {
            let target = self.history.target(number)?;
            (target.number, target.recipe.clone())
        };
        self.prepare(From::Kept(recipe, target, Some(Back { refuses, why })));
        Ok(format!("revision {} is replaced by what revision {target} was", self.number()))
    }

    /// What its source wants is what runs: what was rolled back is not what it wants any more.
    pub(super) fn runs_already(&mut self) {
        if !self.recalled {
            self.reject(None);
        }
        self.plugins.update(&self.id, |slot| (slot.phase, slot.problem) = (Phase::Running, None));
    }
}
