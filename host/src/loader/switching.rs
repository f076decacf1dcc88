//! From one revision to the next: what runs has an end, in whatever way, and what was made ready takes its place.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use wheelhouse_controller::{Controller, Prepared, Record};
use wheelhouse_core::Spec;

use super::next::Next;
use super::proving::Before;
use super::{ELSEWHERE, Loader};
use crate::claims::Claim;
use crate::history::{Entry, State};
use crate::plugins::{Phase, lock};
use crate::preparation::{Back, From, Problem, ROLLED_BACK, Ready, Recipe, Step};

impl Loader {
    /// Switches to a revision that is ready.
    pub(super) async fn take_over(&mut self, from: From, ready: Ready) {
        let Ready { prepared, recipe } = ready;
        let (again, restored) = (from.again(), matches!(from, From::Good(_)));
        let spec = Arc::clone(prepared.spec());
        let same =
            |old: &Arc<Controller>| old.reconciled() == spec.reconciles.kind && old.spec().name == spec.name;
        let was_stopped = self.controller().is_none() && self.history.current().is_some();
        let old = self.controller().filter(same);
        let mut reconciled_before = None;
        if old.is_none() {
            let claim = Claim::new(&self.id, &spec, self.plugins.shares_kind(&self.id));
            let free = lock(&self.plugins.inner.claims).check(&spec.name, &claim);
            if let Err(problem) = free {
                return self.claim_refused(problem, from);
            }
            // Another kind or name is another plugin: the old one ends first, and has what it has until then.
            reconciled_before = self.make_way(&spec).await;
        }
        if let Err(problem) = self.claim(&spec) {
            return self.claim_refused(problem, from);
        }
        let same_again = again == Some(self.number());
        self.stuck.take_if(|_| !same_again);
        // Elsewhere, what is on probation is for who leads to say.
        let goes_on = same_again || (again.is_none() && !restored && self.leads());
        // Who goes back by hand has not to prove it.
        let before = self.trial.as_ref().filter(|_| goes_on).and_then(|trial| trial.before.as_ref());
        let returns = before.is_some_and(|before| before.recipe.mark() == recipe.mark());
        let kept = self.trial.take().filter(|_| goes_on && !returns);
        let is_new = again.is_none() && !restored && !returns;
        let failed = self.history.current().and_then(|current| match &current.state {
            State::RolledBack(why) => Some((current.number, why.clone())),
            _ => None,
        });
        self.trial = match old {
            Some(controller) => {
                self.plugins.begin(&self.id, Step::Run);
                let judged = kept.is_some() || (is_new && self.leads());
                // As long as the one before it drains, too.
                self.plugins.update(&self.id, |slot| slot.on_probation = judged && self.has_probation());
                let (number, old) = (self.number(), self.history.current().map(|old| old.recipe.clone()));
                let (prepared, before) = self.replace(&controller, prepared).await;
                let before = prepared.zip(before).zip(old);
                match (kept, before) {
                    // What was on probation has not proved itself: the way back leads past it.
                    (Some(kept), _) => Some(kept),
                    (None, Some(((prepared, record), old))) if is_new => {
                        self.was_replaced(&old, &record).await;
                        let is_good = self.rejected != Some(old.mark());
                        let before = Before { prepared, recipe: old, number };
                        self.trial(record, Some(before).filter(|_| is_good))
                    }
                    // Who asks for this very revision does not want it judged.
                    _ => None,
                }
            }
            None => {
                self.start(prepared, reconciled_before).await;
                // What it was granted no more has nothing to be compared with, and proves itself all the same.
                let judged = (was_stopped && is_new).then(|| self.trial(Record::default(), None)).flatten();
                kept.filter(|_| same_again).or(judged)
            }
        };
        let is_back = matches!(from, From::Back(..));
        match from {
            From::Back(_, _, Back { refuses, why }) => {
                self.reject(refuses.filter(|mark| *mark != recipe.mark()));
                self.history.set_state(State::RolledBack(why));
            }
            From::Wanted(_) => {
                self.failed = None;
                if !self.recalled {
                    self.reject(None);
                }
            }
            _ => {}
        }
        let state = if self.trial.is_some() { State::OnProbation } else { State::Active };
        let proved = self.proved;
        self.note(recipe, again, state);
        if same_again {
            self.proved = proved;
        } else if is_back && self.leads() {
            self.prove().await;
        }
        if restored || returns {
            self.history.set_proved();
        }
        if let Some((failed, why)) = failed.filter(|_| restored) {
            self.plugins.voice().rolled_back(&self.id, &self.name(), failed, self.number(), &why);
            self.plugins.update(&self.id, |slot| slot.rollbacks += 1);
        }
        self.still_failed();
        // What it is granted may have changed while it was made ready, and nobody was there to heed it.
        self.grants_changed().await;
        self.tell_what_is_denied();
        if again.is_some() || restored {
            let next = self.go_on(ELSEWHERE).await;
            if restored && next == Next::NotAgain {
                self.plugins.report(&self.id, &Problem::not_again());
            }
        }
    }

    /// Ends what runs for a revision that is another plugin. The kind that it reconciled, if that is another.
    async fn make_way(&mut self, spec: &Spec) -> Option<String> {
        let mut before = None;
        if let Some(old) = self.controller() {
            self.trial = None;
            let (old, new) = (old.status(), &spec.reconciles.kind);
            tracing::warn!(
                plugin = old.name,
                "what comes now is called {} and reconciles {new}, where this one reconciles {}: this one ends, and all that it was asked for",
                spec.name,
                old.reconciles
            );
            before = Some(old.reconciles).filter(|old| *old != new.to_string());
        }
        self.halt().await;
        before
    }

    async fn start(&mut self, prepared: Prepared, reconciled_before: Option<String>) {
        let (spec, digest) = (Arc::clone(prepared.spec()), prepared.digest().to_owned());
        let controller = Arc::new(Controller::stand_by(prepared));
        if self.paused {
            controller.pause(Duration::ZERO).await;
        }
        self.driven = self.plugins.inner.election.drive(&controller, &self.shared.fence).await;
        let candidate = self.driven.as_ref().map(|driven| Arc::clone(&driven.candidate));
        let how = if candidate.is_some() { "ready to run under its lease" } else { "running" };
        let before = self.number();
        self.plugins.update(&self.id, |slot| {
            (slot.controller, slot.candidate, slot.before) = (Some(controller), candidate, before);
            (slot.drained, slot.reconciled_before) = (true, reconciled_before);
        });
        let (plugin, version) = (spec.name.as_str(), spec.version.as_str());
        tracing::info!(plugin, version, digest, reconciles = %spec.reconciles.kind, "{how}");
    }

    /// The one that ran before, and what it had done.
    pub(super) async fn replace(
        &self,
        controller: &Controller,
        prepared: Prepared,
    ) -> (Option<Prepared>, Option<Record>) {
        let (spec, digest) = (Arc::clone(prepared.spec()), prepared.digest().to_owned());
        let (plugin, version) = (spec.name.as_str(), spec.version.as_str());
        let replacing = Instant::now();
        let replaced = controller.replace(prepared, self.plugins.grace()).await;
        if !replaced.drained {
            tracing::warn!(
                plugin,
                "reconciles of the old revision did not end within the grace; they were stopped, and their objects requested again"
            );
        }
        self.plugins.update(&self.id, |slot| {
            (slot.drained, slot.reconciled_before) = (replaced.drained, None);
        });
        tracing::info!(plugin, version, digest, "replaced in {:.1?}", replacing.elapsed());
        (replaced.old, replaced.before)
    }

    /// Notes that a revision has taken over.
    pub(super) fn note(&mut self, recipe: Recipe, again: Option<u64>, state: State) {
        let Some(controller) = self.controller() else { return };
        let (number, version) = (self.number() + 1, controller.spec().version.clone());
        let digest = recipe.compiled.digest().to_owned();
        let proved = again.is_some_and(|number| self.history.is_proved(number));
        let entry = Entry { number, version, digest, since: SystemTime::now(), state, proved, recipe };
        let same_again = again == Some(self.number());
        self.history.push(entry, again);
        (self.said, self.proved) = (false, false);
        self.publish();
        // While its source has nothing yet, what runs is what it had before.
        let is_wanted = again.is_none() || self.content.is_some();
        self.plugins.update(&self.id, |slot| {
            let was_rolled_back = slot.problem.as_ref().is_some_and(|problem| problem.reason == ROLLED_BACK);
            let stays = !is_wanted || (same_again && was_rolled_back);
            if !stays {
                (slot.phase, slot.problem) = (Phase::Running, None);
            }
        });
    }
}
