//! The task of one plugin: from what its source wants to what runs, through its revisions, to its end.
//!
//! A revision is prepared beside the one that runs, and whatever comes meanwhile is dealt with at once: another
//! content makes an end of preparing the one before. A switch that has begun is finished. The new revision is on
//! probation then: one that does worse than the one before it is rolled back, and is not tried again until its
//! component or its configuration changes.

mod granting;
mod orders;
mod preparing;
mod proving;
mod want;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};
use wheelhouse_controller::{Controller, Prepared, Record, Shared};
use wheelhouse_core::Spec;

pub(crate) use self::orders::{Order, What};
use self::preparing::Preparing;
use self::proving::{Before, Trial};

use crate::claims::Claim;
use crate::grants::Grants;
use crate::history::{Entry, History, State};
use crate::leader::Driven;
use crate::plugin_id::PluginId;
use crate::plugins::{Phase, Plugins, lock};
use crate::preparation::{
    Back, Content, From, Mark, Preparation, Prepares, Problem, ROLLED_BACK, Ready, Recipe, Step,
};
use crate::source::{Told, Wanted};

/// How often a revision on probation is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Why what another host has rolled back goes here.
const ELSEWHERE: &str = "by the host that had it run";

/// See the module.
pub(crate) struct Loader {
    plugins: Plugins,
    id: PluginId,
    shared: Shared,
    wanted: watch::Receiver<Option<Wanted>>,
    /// For those who have orders.
    door: mpsc::Sender<Order>,
    orders: mpsc::Receiver<Order>,
    /// The last that it has heard of are upheld.
    grants: watch::Receiver<Arc<Grants>>,
    /// What its source wants, if it is there.
    content: Option<Content>,
    /// The resource that it is of.
    uid: Option<String>,
    /// What has it work while its lease is held.
    driven: Option<Driven>,
    preparing: Preparing,
    history: History<Recipe>,
    trial: Option<Trial>,
    /// Whether what runs counts as good from now on, or is not to be noted at all.
    proved: bool,
    /// What was rolled back.
    rejected: Option<Mark>,
    /// What was rolled back before this host began, and is run as long as nothing better is known.
    tolerated: Option<Mark>,
    /// What its source wants is what it wanted when a host looked last, and may be another by now.
    recalled: bool,
    /// What is on record of it.
    told: Told,
    /// What did well before this host began, while that is prepared: what its source wants was rolled back then.
    restoring: Option<Content>,
    paused: bool,
    /// Whether the cluster has been told what runs.
    said: bool,
}

impl Loader {
    pub(crate) fn new(
        plugins: Plugins,
        id: PluginId,
        wanted: watch::Receiver<Option<Wanted>>,
        door: mpsc::Sender<Order>,
        orders: mpsc::Receiver<Order>,
    ) -> Self {
        let shared = Shared::new(&plugins.runtime().limits, plugins.inner.election.fence());
        let grants = plugins.inner.grants.clone();
        let history = History::new(plugins.inner.settings.revision_history_limit);
        Self {
            plugins,
            id,
            shared,
            wanted,
            door,
            orders,
            grants,
            content: None,
            uid: None,
            driven: None,
            preparing: Preparing::default(),
            history,
            trial: None,
            proved: true,
            rejected: None,
            tolerated: None,
            recalled: false,
            told: Told::default(),
            restoring: None,
            paused: false,
            said: true,
        }
    }

    /// Until its source, or the host, has an end.
    pub(crate) async fn run(mut self) {
        self.wanted.mark_changed();
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                biased;
                changed = self.wanted.changed() => match changed {
                    Ok(()) if self.want().await => {}
                    Ok(()) => return,
                    Err(_) => break,
                },
                Some(order) = self.orders.recv() => self.obey(order).await,
                Ok(()) = self.grants.changed() => self.grants_changed().await,
                prepared = self.preparing.ended() => match prepared {
                    Some(Prepares::Ready(ready)) => self.take_over(*ready).await,
                    Some(Prepares::Same) => self.runs_already(),
                    None => self.came_to_nothing(),
                },
                _ = look.tick(), if self.trial.is_some() || !self.proved => self.judge().await,
                () = works(self.driven.as_ref()), if !self.said => self.begins().await,
            }
        }
        self.stop().await;
    }

    fn prepare(&mut self, from: From) {
        let preparation = Preparation {
            plugins: self.plugins.clone(),
            id: self.id.clone(),
            shared: self.shared.clone(),
            grants: self.grants.clone(),
            rejected: self.rejected.clone(),
        };
        self.preparing.start(preparation, from);
    }

    /// Under other terms: what its source wants, if nothing has run or if that has failed; else what ran last.
    fn prepare_again(&mut self) {
        let failed = self.plugins.problem(&self.id).is_some_and(|problem| problem.reason != ROLLED_BACK);
        let from = match (self.history.current(), self.content.clone()) {
            (None, Some(content)) => From::Source(self.restoring.clone().unwrap_or(content)),
            (Some(_), Some(content)) if failed => From::Source(content),
            (Some(current), _) => From::Kept(current.recipe.clone(), current.number, None),
            (None, None) => return,
        };
        self.prepare(from);
    }

    fn controller(&self) -> Option<Arc<Controller>> {
        self.plugins.controller(&self.id)
    }

    /// Switches to a revision that is ready.
    async fn take_over(&mut self, ready: Ready) {
        let Ready { prepared, recipe, again, back } = ready;
        let spec = Arc::clone(prepared.spec());
        let same =
            |old: &Arc<Controller>| old.reconciled() == spec.reconciles.kind && old.spec().name == spec.name;
        let old = self.controller().filter(same);
        let mut reconciled_before = None;
        if old.is_none() {
            let claim = Claim::new(&self.id, &spec, self.plugins.shares_kind(&self.id));
            let free = lock(&self.plugins.inner.claims).check(&spec.name, &claim);
            if let Err(problem) = free {
                return self.claim_refused(problem);
            }
            // Another kind or name is another plugin: the old one ends first, and has what it has until then.
            reconciled_before = self.make_way(&spec).await;
        }
        if let Err(problem) = self.claim(&spec) {
            return self.claim_refused(problem);
        }
        let restored = self.restoring.take().is_some();
        let same_again = again == Some(self.number());
        let kept = self.trial.take().filter(|_| again.is_none() || same_again);
        self.trial = match old {
            Some(controller) => {
                self.plugins.begin(&self.id, Step::Run);
                let (number, old) = (self.number(), self.history.current().map(|old| old.recipe.clone()));
                let (prepared, before) = self.replace(&controller, prepared).await;
                let before = prepared.zip(before).zip(old);
                match (kept, before) {
                    // What was on probation has not proved itself: the way back leads past it.
                    (Some(kept), _) => Some(kept),
                    (None, Some(((prepared, record), recipe))) if again.is_none() && !restored => {
                        self.was_replaced(&recipe, &record).await;
                        self.trial(record, Some(Before { prepared, recipe, number }))
                    }
                    // Who asks for this very revision does not want it judged.
                    _ => None,
                }
            }
            None => {
                self.start(prepared, reconciled_before).await;
                kept.filter(|_| same_again)
            }
        };
        let is_back = back.is_some();
        match back {
            Some(Back { refuses, why }) => {
                self.reject(refuses.filter(|mark| *mark != recipe.mark()));
                self.history.set_state(State::RolledBack(why));
            }
            None if again.is_some() || restored || self.recalled => {}
            None => self.reject(None),
        }
        let state = if self.trial.is_some() { State::OnProbation } else { State::Active };
        self.note(recipe, again, state);
        if is_back || (same_again && self.trial.is_none()) {
            self.prove().await;
        }
        // What it is granted may have changed while it was made ready, and nobody was there to heed it.
        self.grants_changed().await;
        self.tell_what_is_denied();
        if restored {
            self.plugins.report(&self.id, &Problem::not_again());
        } else if is_back {
            self.pursue();
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
    async fn replace(
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
    fn note(&mut self, recipe: Recipe, again: Option<u64>, state: State) {
        let Some(controller) = self.controller() else { return };
        let (number, version) = (self.number() + 1, controller.spec().version.clone());
        let digest = recipe.compiled.digest().to_owned();
        let entry = Entry { number, version, digest, since: SystemTime::now(), state, recipe };
        let same_again = again == Some(self.number());
        self.history.push(entry, again);
        // Of files, nothing is kept from one start to the next.
        (self.said, self.proved) = (false, self.uid.is_none());
        self.publish();
        // While its source has nothing, what runs is what it had before.
        let is_wanted = again.is_none() || self.content.is_some();
        self.plugins.update(&self.id, |slot| {
            let stays = slot
                .problem
                .as_ref()
                .is_some_and(|problem| !is_wanted || (same_again && problem.reason == ROLLED_BACK));
            if !stays {
                (slot.phase, slot.problem) = (Phase::Running, None);
            }
        });
    }

    /// It is at work from now on.
    async fn begins(&mut self) {
        self.said = true;
        let (Some(controller), Some(current)) = (self.controller(), self.history.current()) else { return };
        self.plugins.voice().runs(&self.id, &controller.status(), current.number);
        let mark = Some(current.recipe.mark());
        if mark == self.rejected {
            // It has heard of that in the middle of something else.
            self.go_back(ELSEWHERE).await;
        } else if self.told.on_probation && self.told.runs == mark && self.trial.is_none() {
            tracing::info!(plugin = %self.id, revision = self.number(), "it was on probation when another host had it run, and is again");
            self.trial = self.trial(Record::default(), None);
            self.publish();
        }
    }

    fn number(&self) -> u64 {
        self.history.current().map_or(0, |current| current.number)
    }

    fn publish(&self) {
        let (reports, rejected) = (self.history.reports(), self.rejected.clone());
        self.plugins.update(&self.id, |slot| {
            (slot.revisions, slot.rejected, slot.on_probation) = (reports, rejected, self.trial.is_some());
        });
    }

    /// As its controller is called.
    fn name(&self) -> String {
        self.controller().map_or_else(|| self.id.short(), |controller| controller.spec().name.clone())
    }

    /// Stops what runs; what is being prepared goes on.
    async fn halt(&mut self) {
        self.said = true;
        let mut controller = None;
        self.plugins.update(&self.id, |slot| {
            (controller, slot.candidate) = (slot.controller.take(), None);
        });
        if let Some(controller) = controller {
            let name = controller.spec().name.clone();
            let drained = controller.stop(self.plugins.grace()).await;
            let how =
                if drained { "" } else { "; reconciles that did not end within the grace were stopped" };
            tracing::info!(plugin = name, "stopped{how}");
        }
        if let Some(driven) = self.driven.take() {
            driven.end().await;
        }
    }

    async fn stop(&mut self) {
        self.preparing.stop();
        self.trial = None;
        self.halt().await;
    }
}

/// Resolves when a plugin is at work: at once, unless it waits for its lease.
async fn works(driven: Option<&Driven>) {
    if let Some(driven) = driven {
        driven.candidate.led().await;
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.release();
    }
}
