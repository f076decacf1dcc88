//! Probation, and ways back: how a revision proves itself, what is gone back to, and what is not tried again.

use std::time::Duration;

use wheelhouse_controller::{Controller, Prepared, Probation, Record, Verdict};
use wheelhouse_core::limits::Limits;

use super::next::{Next, Situation};
use super::{ELSEWHERE, Loader};
use crate::history::State;
use crate::plugins::Phase;
use crate::preparation::{Back, Content, From, Mark, Problem, ROLLED_BACK, Recipe, Step};

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

/// What cannot be loaded.
pub(super) struct Failed {
    pub(super) mark: Mark,
    pub(super) problem: Problem,
    /// That it was tried under, if there were any: others may be enough.
    pub(super) limits: Option<Limits>,
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

    pub(super) fn next(&self) -> Next {
        let failed = self.failed.as_ref().map(|failed| &failed.mark);
        let wanted = self.content.as_ref().map(Content::mark).filter(|mark| failed != Some(mark));
        let current = self.current_mark();
        Situation {
            wanted: wanted.as_ref(),
            refused: self.rejected.as_ref(),
            current: current.as_ref(),
            leads: self.leads(),
            proved: self.history.proved().map(|entry| entry.number),
            theirs: self.theirs(current.as_ref()),
            goes_back: self.goes_back(),
            stuck: self.stuck.is_some(),
        }
        .next()
    }

    /// Whether a way back is under way.
    pub(super) fn goes_back(&self) -> bool {
        match self.preparing.under_way() {
            Some(From::Back(..)) => true,
            Some(From::Good(_)) => self.history.current().is_some(),
            _ => false,
        }
    }

    /// The number of the revision before what runs that is what another host, which leads, runs.
    fn theirs(&self, current: Option<&Mark>) -> Option<u64> {
        let runs = self.told.runs.as_ref().filter(|runs| Some(*runs) != current)?;
        let goes_back = self.rejected.as_ref().is_some_and(|refused| refused != runs);
        let mut former = self.history.former().rev().filter(|_| goes_back);
        former.find(|entry| entry.recipe.mark() == *runs).map(|entry| entry.number)
    }

    /// Does what is to be done next, and says what that is. `why` is for what is rolled back.
    pub(super) async fn go_on(&mut self, why: &str) -> Next {
        let next = self.next();
        match next {
            Next::Stay | Next::Runs | Next::NotAgain => {
                self.stop_what_is_not_wanted();
                if next == Next::Runs && self.leads() && self.preparing.is_idle() && self.is_up_to_date() {
                    self.runs_already();
                }
            }
            Next::Try => self.try_it(),
            Next::Back(number) => self.go_back(number, why),
            Next::Restore => self.restore(why).await,
        }
        next
    }

    /// What its source wanted before, or what was rolled back meanwhile, is prepared no more.
    fn stop_what_is_not_wanted(&mut self) {
        let Some(From::Wanted(content)) = self.preparing.under_way() else { return };
        let is_refused = self.rejected.as_ref() == Some(&content.mark());
        let is_wanted = self.content.as_ref().is_some_and(|wanted| wanted.is(content));
        if is_refused || !is_wanted {
            self.preparing.stop();
        }
        if is_refused {
            self.plugins.report(&self.id, &Problem::not_again());
        }
    }

    /// Prepares what its source wants, unless that is under way.
    fn try_it(&mut self) {
        let Some(content) = self.content.clone() else { return };
        if !matches!(self.preparing.under_way(), Some(From::Wanted(under_way)) if under_way.is(&content)) {
            self.plugins.update(&self.id, |slot| {
                (slot.phase, slot.problem, slot.step) = (Phase::Loading, None, Step::Compile);
            });
            self.prepare(From::Wanted(content));
        }
    }

    /// From what was rolled back to a former revision, unless that is under way.
    fn go_back(&mut self, to: u64, why: &str) {
        if matches!(self.preparing.under_way(), Some(From::Back(_, number, _)) if *number == to) {
            return;
        }
        let failed = self.number();
        if !self.leads() {
            tracing::warn!(plugin = %self.id, revision = failed, to, "rolled back: {why}");
            return self.back_to(to, self.rejected.clone(), why);
        }
        let why = match self.history.current().map(|current| current.state.clone()) {
            // The way back that was tried first leads nowhere.
            Some(State::RolledBack(why)) => why,
            _ => {
                tracing::error!(plugin = %self.id, revision = failed, to, "rolled back: {why}");
                self.plugins.voice().rolled_back(&self.id, &self.name(), failed, to, why);
                self.plugins.update(&self.id, |slot| slot.rollbacks += 1);
                why.to_owned()
            }
        };
        self.history.set_state(State::RolledBack(why.clone()));
        self.back_to(to, self.rejected.clone(), &why);
        self.publish();
    }

    /// Prepares a former revision. `refuses` is not to be tried again from then on.
    pub(super) fn back_to(&mut self, number: u64, refuses: Option<Mark>, why: &str) {
        let recipe = self.history.target(Some(number)).map(|target| target.recipe.clone());
        if let Ok(recipe) = recipe {
            self.prepare(From::Back(recipe, number, Back { refuses, why: why.to_owned() }));
        }
    }

    /// To what did well before this host began, unless that is under way. If it is not known, what was rolled back is
    /// what there is.
    async fn restore(&mut self, why: &str) {
        if matches!(self.preparing.under_way(), Some(From::Good(_))) {
            return;
        }
        let runs = self.history.current().is_some();
        let Some(good) = self.last_good(self.rejected.as_ref()).await else {
            if runs {
                tracing::error!(plugin = %self.id, revision = self.number(), "it runs on, as nothing better is known: {why}");
            } else {
                tracing::warn!(plugin = %self.id, "what its resource wants was rolled back, and is run all the same: this host knows of nothing that did well");
            }
            return self.tolerate();
        };
        if runs {
            tracing::error!(plugin = %self.id, revision = self.number(), "rolled back to what did well last: {why}");
            self.history.set_state(State::RolledBack(why.to_owned()));
            self.publish();
        } else {
            tracing::warn!(plugin = %self.id, "what its resource wants was rolled back: what did well last is run instead");
        }
        self.prepare(From::Good(good));
    }

    /// What was to be prepared cannot be. If that was a way back, there may be another, or what its source wants is
    /// next.
    pub(super) async fn came_to_nothing(&mut self, from: From) {
        match from {
            From::Wanted(content) => {
                let problem = self.plugins.problem(&self.id).unwrap_or_else(Problem::unknown);
                self.plugins.report(&self.id, &problem);
                self.failed = Some(self.failing(content.mark(), problem));
                let runs_last = self.history.current().is_some();
                if runs_last && !self.is_up_to_date() {
                    // What it is granted now was tried with that first.
                    self.prepare_current();
                } else {
                    self.go_on(ELSEWHERE).await;
                }
            }
            From::Again(..) => drop(self.go_on(ELSEWHERE).await),
            From::Back(_, number, _) => {
                self.history.remove(number);
                self.publish();
                self.go_on(ELSEWHERE).await;
            }
            From::Good(_) => self.tolerate(),
        }
    }

    /// What was rolled back runs, since nothing better is known.
    fn tolerate(&mut self) {
        self.tolerated = self.rejected.take();
        if self.tolerated == self.current_mark() {
            self.history.set_state(State::Active);
        }
        self.publish();
        match self.next() {
            Next::Try => self.try_it(),
            Next::Runs => self.runs_already(),
            _ => {}
        }
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
        self.replace(controller, prepared).await;
        self.note(recipe, Some(number), State::Active);
        self.prove().await;
        self.plugins.voice().rolled_back(&self.id, &plugin, failed, number, reason);
        self.plugins.update(&self.id, |slot| {
            slot.rollbacks += 1;
            (slot.phase, slot.step, slot.problem) = (Phase::Failed, Step::Run, Some(problem));
        });
        self.still_failed();
        self.go_on(ELSEWHERE).await;
    }

    pub(super) fn failing(&self, mark: Mark, problem: Problem) -> Failed {
        Failed { mark, problem, limits: self.limits() }
    }

    /// What its source wants cannot be loaded, as was told, whatever has become of what runs meanwhile.
    pub(super) fn still_failed(&self) {
        let Some(Failed { problem, .. }) = &self.failed else { return };
        self.plugins.update(&self.id, |slot| {
            (slot.phase, slot.step, slot.problem) = (Phase::Failed, problem.step, Some(problem.clone()));
        });
    }

    /// What its source wants is what runs: what was rolled back is not what it wants any more.
    pub(super) fn runs_already(&mut self) {
        if !self.recalled && self.leads() && self.rejected != self.current_mark() {
            self.reject(None);
        }
        self.plugins.update(&self.id, |slot| (slot.phase, slot.problem) = (Phase::Running, None));
    }
}
