//! From one revision to the next: what runs has an end, in whatever way, and what was made ready takes its place.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use wheelhouse_controller::{Controller, Prepared, Record};
use wheelhouse_core::Spec;

use super::Loader;
use super::next::Next;
use super::proving::{Before, Trial};
use crate::history::{Entry, State};
use crate::plugins::Phase;
use crate::preparation::{Back, From, ROLLED_BACK, Ready, Recipe, Step};

/// How a revision comes to take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comes {
    /// Its source wants it.
    New,
    /// Its source wants it again instead of what replaced it, and is on probation.
    Returning,
    /// It ran last, and has other terms.
    Again,
    /// It ran before what ran last.
    Back,
    /// It did well before this host began.
    Restored,
}

impl Loader {
    /// Switches to a revision that is ready.
    pub(super) async fn take_over(&mut self, from: From, ready: Ready) {
        let Ready { prepared, recipe } = ready;
        if let Err(problem) = self.admit(&prepared) {
            return self.refused(&problem, from);
        }
        let spec = Arc::clone(prepared.spec());
        let same =
            |old: &Arc<Controller>| old.reconciled() == spec.reconciles.kind && old.spec().name == spec.name;
        let was_stopped = self.controller().is_none() && self.history.current().is_some();
        let old = self.controller().filter(same);
        let mut reconciled_before = None;
        if old.is_none() {
            if let Err(problem) = self.plugins.check_claim(&self.id, &spec) {
                return self.refused(&problem, from);
            }
            // Another kind or name is another plugin: the old one ends first, and has what it has until then.
            reconciled_before = self.make_way(&spec).await;
            // Which may have taken a while.
            if let Err(problem) = self.admit(&prepared) {
                return self.refused(&problem, from);
            }
        }
        if let Err(problem) = self.claim(&spec) {
            return self.refused(&problem, from);
        }
        let comes = self.comes(&from, &recipe);
        if comes != Comes::Again {
            self.stuck = None;
            self.dead_ends.clear();
        }
        // Elsewhere, what is on probation is for who leads to say. Who goes back by hand has not to prove it.
        let goes_on = comes == Comes::Again || (comes == Comes::New && self.leads());
        let kept = self.trial.take().filter(|_| goes_on);
        let failed = self.history.current().and_then(|current| match &current.state {
            State::RolledBack(why) => Some((current.number, why.clone())),
            _ => None,
        });
        self.trial = match old {
            Some(controller) => self.switch(&controller, prepared, comes, kept).await,
            None => {
                self.start(prepared, reconciled_before).await;
                // What it was granted no more has nothing to be compared with, and proves itself all the same.
                let judged = was_stopped && comes == Comes::New;
                kept.filter(|_| comes == Comes::Again)
                    .or_else(|| judged.then(|| self.trial(Record::default(), None)).flatten())
            }
        };
        // What was stopped may have its lease only now.
        let (again, leads) = (from.again(), self.leads());
        match from {
            From::Back(_, _, Back { refuses, why }) => {
                if leads && failed.is_none() {
                    // What this host goes back from by itself it has told of.
                    let (from, to) = (self.number(), again.unwrap_or_default());
                    self.plugins.voice().rolled_back(&self.id, &self.name(), from, to, &why);
                }
                self.reject(refuses.filter(|mark| *mark != recipe.mark()));
                self.history.set_state(State::RolledBack(why));
            }
            From::Wanted(_) => {
                self.failed = None;
                self.tolerated.take_if(|mark| *mark != recipe.mark());
                if !self.recalled {
                    self.reject(None);
                }
            }
            From::Again(..) | From::Good(_) => {}
        }
        let state = match (&failed, comes) {
            // Other terms make it no better.
            (Some((_, why)), Comes::Again) => State::RolledBack(why.clone()),
            _ if self.trial.is_some() => State::OnProbation,
            _ => State::Active,
        };
        let (proved, had_problem) = (self.proved, self.plugins.problem(&self.id).is_some());
        self.note(recipe, again, state);
        match comes {
            Comes::New => {}
            Comes::Again => self.proved = proved,
            Comes::Back if leads => self.prove().await,
            Comes::Back => {}
            Comes::Returning | Comes::Restored => self.history.set_proved(),
        }
        if let Some((failed, why)) = failed.filter(|_| comes == Comes::Restored) {
            self.plugins.voice().rolled_back(&self.id, &self.name(), failed, self.number(), &why);
            self.plugins.update(&self.id, |slot| slot.rollbacks += 1);
        }
        self.still_failed();
        self.tell_what_is_denied();
        // What it is granted may have changed while it was made ready, and nobody was there to heed it.
        let next = self.grants_changed().await;
        let is_open = comes == Comes::Restored || (comes == Comes::Again && had_problem);
        if is_open && next == Next::NotAgain {
            self.say_not_again();
        }
    }

    fn comes(&self, from: &From, recipe: &Recipe) -> Comes {
        match from {
            From::Again(..) => Comes::Again,
            From::Back(..) => Comes::Back,
            From::Good(_) => Comes::Restored,
            From::Wanted(_) => {
                let trial = self.trial.as_ref().filter(|_| self.leads());
                let before = trial.and_then(|trial| trial.before.as_ref());
                match before.is_some_and(|before| before.recipe.mark() == recipe.mark()) {
                    true => Comes::Returning,
                    false => Comes::New,
                }
            }
        }
    }

    /// Replaces what runs by what is of the same name and kind. The probation that there is from then on, of which `kept`
    /// is one that was not over.
    async fn switch(
        &mut self,
        controller: &Controller,
        prepared: Prepared,
        comes: Comes,
        kept: Option<Trial>,
    ) -> Option<Trial> {
        self.plugins.begin(&self.id, Step::Run);
        let judged = kept.is_some() || (comes == Comes::New && self.leads());
        // As long as the one before it drains, too.
        self.plugins.update(&self.id, |slot| slot.on_probation = judged && self.has_probation());
        let (number, old) = (self.number(), self.history.current().map(|old| old.recipe.clone()));
        let (prepared, record) = self.replace(controller, prepared).await;
        if kept.is_some() {
            // What was on probation has not proved itself: the way back leads past it.
            return kept;
        }
        // Who asks for this very revision does not want it judged.
        let ((prepared, record), old) = prepared.zip(record).zip(old).filter(|_| comes == Comes::New)?;
        self.was_replaced(&old, &record).await;
        if self.rejected == Some(old.mark()) {
            // What was rolled back is no measure.
            return self.trial(Record::default(), None);
        }
        self.trial(record, Some(Before { prepared, recipe: old, number }))
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
            self.plugins.voice().makes_way(&self.id, &old.name, &spec.name, &new.to_string());
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
        let note = self.plugins.inner.claims.borrow().note(&self.id);
        self.driven = self.plugins.inner.election.drive(&controller, &self.shared.fence, note).await;
        self.stand();
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
            self.plugins.voice().cut_off(&self.id, plugin);
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
        (self.said, self.proved, self.renewed) = (false, false, None);
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
