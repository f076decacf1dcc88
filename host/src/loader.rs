//! The task of one plugin: from what its source wants to what runs, through its revisions, to its end.
//!
//! A revision is prepared beside the one that runs, and whatever comes meanwhile is dealt with at once: another
//! content makes an end of preparing the one before. A switch that has begun is finished. The new revision is on
//! probation then: one that does worse than the one before it is rolled back, and is not tried again until its
//! component or its configuration changes.

mod want;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use wheelhouse_controller::{Controller, Prepared, Probation, Record, Shared, Verdict};
use wheelhouse_core::Spec;
use wheelhouse_core::gate::Permission;

use crate::claims::Claim;
use crate::grants::Grants;
use crate::history::{Entry, History, State};
use crate::leader::Driven;
use crate::plugin_id::PluginId;
use crate::plugins::{Phase, Plugins, lock};
use crate::preparation::{
    Content, From, Mark, Preparation, Prepares, Problem, ROLLED_BACK, Ready, Recipe, Step,
};
use crate::source::Wanted;

/// How often a revision on probation is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What an operator wants of a plugin. The answer says what was done, or why it cannot be.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) what: What,
    pub(crate) answer: oneshot::Sender<Result<String, String>>,
}

/// See [`Order`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Begin nothing more.
    Pause,
    /// Go on.
    Resume,
    /// To the revision with this number, or to the one before.
    Rollback(Option<u64>),
}

/// A revision that has to prove itself, and what is kept to replace it with.
struct Trial {
    probation: Probation,
    proven: Prepared,
    recipe: Recipe,
    /// The number that it ran as.
    number: u64,
}

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
    /// What was rolled back.
    rejected: Option<Mark>,
    /// What did well before this host began, while that is prepared: what its source wants was rolled back then.
    restoring: Option<Content>,
    paused: bool,
    /// Whether the cluster has been told what runs.
    told: bool,
}

/// A preparation under way, which ends when this is dropped.
#[derive(Default)]
struct Preparing(Option<JoinHandle<Option<Prepares>>>);

impl Preparing {
    fn start(&mut self, preparation: Preparation, from: From) {
        self.stop();
        self.0 = Some(tokio::spawn(preparation.run(from)));
    }

    fn stop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }

    /// What has come of it; for ever none while there is none.
    async fn ended(&mut self) -> Option<Prepares> {
        let Some(task) = &mut self.0 else { return std::future::pending().await };
        let ready = task.await;
        self.0 = None;
        ready.ok().flatten()
    }
}

impl Drop for Preparing {
    fn drop(&mut self) {
        self.stop();
    }
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
            rejected: None,
            restoring: None,
            paused: false,
            told: true,
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
                    None => self.restores_not(),
                },
                _ = look.tick(), if self.trial.is_some() => self.judge().await,
                () = works(self.driven.as_ref()), if !self.told => self.tell(),
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

    /// Has what runs do just what it is granted now; stops it if that is too little for it, until it is
    /// granted that again.
    async fn grants_changed(&mut self) {
        let Some(controller) = self.controller() else {
            // If it waits for a grant, who prepares it has heard of it as well.
            if self.preparing.0.is_none() {
                self.prepare_again();
            }
            return;
        };
        let problem = match self.plugins.uphold(&self.id, &controller) {
            Ok(terms) => {
                self.shared.usage.resize(&terms.limits);
                let missing = controller.ungranted_sources();
                if missing.is_empty() {
                    if terms.limits != controller.limits() && self.preparing.0.is_none() {
                        self.prepare_again();
                    }
                    return;
                }
                format!("its sources need {}", listed(&missing))
            }
            Err(error) => error,
        };
        let plugin = controller.spec().name.clone();
        tracing::warn!(plugin, "it is stopped until it is granted again what it needs: {problem}");
        self.halt().await;
        if self.preparing.0.is_none() {
            self.prepare_again();
        }
    }

    /// Under other terms: what its source wants, if nothing has run or if that has failed; else what ran last.
    fn prepare_again(&mut self) {
        let failed = self.plugins.problem(&self.id).is_some_and(|problem| problem.reason != ROLLED_BACK);
        let from = match (self.history.current(), self.content.clone()) {
            (None, Some(content)) => From::Source(self.restoring.clone().unwrap_or(content)),
            (Some(_), Some(content)) if failed => From::Source(content),
            (Some(current), _) => From::Kept(current.recipe.clone(), current.number),
            (None, None) => return,
        };
        self.prepare(from);
    }

    /// What its source wants is what runs: what was rolled back is not what it wants any more.
    fn runs_already(&mut self) {
        self.rejected = None;
        self.publish();
        self.plugins.update(&self.id, |slot| (slot.phase, slot.problem) = (Phase::Running, None));
    }

    fn controller(&self) -> Option<Arc<Controller>> {
        self.plugins.controller(&self.id)
    }

    /// Switches to a revision that is ready.
    async fn take_over(&mut self, ready: Ready) {
        let Ready { prepared, recipe, again } = ready;
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
        let (restored, mut trial) = (self.restoring.take().is_some(), None);
        let mut works = true;
        match old {
            Some(controller) => {
                self.plugins.begin(&self.id, Step::Run);
                works = controller.record().is_some();
                let kept = self.trial.take();
                let (number, old) = (self.number(), self.history.current().map(|old| old.recipe.clone()));
                let (proven, before) = self.replace(&controller, prepared).await;
                let period = self.plugins.inner.settings.probation;
                trial = match (kept, proven.zip(before).zip(old)) {
                    // What was on probation has not proved itself: the way back leads past it.
                    (Some(kept), _) if again.is_none_or(|again| again == number) => Some(kept),
                    (None, Some(((proven, before), recipe))) if again.is_none() && !period.is_zero() => {
                        Some(Trial { probation: Probation { before, period }, proven, recipe, number })
                    }
                    // Who asks for this very revision does not want it judged.
                    _ => None,
                };
            }
            None => self.start(prepared, reconciled_before).await,
        }
        self.trial = trial;
        match again {
            None if restored => {}
            None => self.rejected = None,
            Some(again) if again == self.number() => {}
            Some(_) => {
                // What its source wants is not what is to run; unless it is just that.
                let wanted = self.content.as_ref().map(Content::mark);
                let replaced = self.history.current().map(|current| current.recipe.mark());
                self.rejected = wanted.or(replaced).filter(|mark| *mark != recipe.mark());
                self.history.set_state(State::RolledBack("by its operator".to_owned()));
            }
        }
        let state = if self.trial.is_some() { State::OnProbation } else { State::Active };
        self.note(recipe, again, state);
        // One that stands by, or is paused, shows nothing of how it does.
        if self.trial.is_none() && works {
            self.prove().await;
        }
        // What it is granted may have changed while it was made ready, and nobody was there to heed it.
        self.grants_changed().await;
        self.tell_what_is_denied();
        if restored {
            self.plugins.report(&self.id, &Problem::not_again());
        }
    }

    /// If it was to run what did well before, that cannot be prepared any more: what was rolled back is what there is.
    fn restores_not(&mut self) {
        if self.restoring.take().is_some() {
            self.rejected = None;
            self.publish();
            if let Some(content) = self.content.clone() {
                self.prepare(From::Source(content));
            }
        }
    }

    /// Ends what runs for a revision that is another plugin. The kind that it reconciled, if that is another.
    async fn make_way(&mut self, spec: &Spec) -> Option<String> {
        let mut before = None;
        if let Some(old) = self.controller() {
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
        self.history.push(entry, again);
        self.told = false;
        self.publish();
        // While its source has nothing, what runs is what it had before.
        let is_wanted = again.is_none() || self.content.is_some();
        self.plugins.update(&self.id, |slot| {
            if is_wanted || slot.problem.is_none() {
                (slot.phase, slot.problem) = (Phase::Running, None);
            }
        });
    }

    /// Tells the cluster what runs here.
    fn tell(&mut self) {
        self.told = true;
        if let (Some(controller), Some(current)) = (self.controller(), self.history.current()) {
            self.plugins.voice().runs(&self.id, &controller.status(), current.number);
        }
    }

    fn number(&self) -> u64 {
        self.history.current().map_or(0, |current| current.number)
    }

    fn publish(&self) {
        let (reports, rejected) = (self.history.reports(), self.rejected.clone());
        self.plugins.update(&self.id, |slot| (slot.revisions, slot.rejected) = (reports, rejected));
    }

    /// What runs is good.
    async fn prove(&self) {
        if let (Some(uid), Some(current)) = (&self.uid, self.history.current()) {
            let Recipe { compiled, config } = &current.recipe;
            self.plugins.prove(&self.id, uid, compiled.digest(), config).await;
        }
    }

    /// Looks at how the revision that is on probation does.
    async fn judge(&mut self) {
        let (Some(trial), Some(controller)) = (&self.trial, self.controller()) else { return };
        let Some(record) = controller.record() else { return };
        let plugin = controller.spec().name.clone();
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
            Verdict::Failed(reason) => self.roll_back(&controller, &reason).await,
        }
    }

    /// To what ran before the probation.
    async fn roll_back(&mut self, controller: &Controller, reason: &str) {
        let Some(Trial { proven, recipe, number, .. }) = self.trial.take() else { return };
        let (plugin, failed) = (controller.spec().name.clone(), self.number());
        tracing::error!(plugin, revision = failed, to = number, "rolled back: {reason}");
        self.preparing.stop();
        self.rejected = self.history.current().map(|current| current.recipe.mark());
        self.history.set_state(State::RolledBack(reason.to_owned()));
        let problem = Problem {
            step: Step::Run,
            reason: ROLLED_BACK,
            message: format!(
                "revision {failed} was rolled back, and is not tried again until its component or its configuration changes: {reason}"
            ),
            waits: false,
        };
        self.replace(controller, proven).await;
        self.note(recipe, Some(number), State::Active);
        self.plugins.voice().rolled_back(&self.id, &plugin, failed, number, reason);
        self.plugins.update(&self.id, |slot| {
            slot.rollbacks += 1;
            (slot.phase, slot.step, slot.problem) = (Phase::Failed, Step::Run, Some(problem));
        });
    }

    async fn obey(&mut self, order: Order) {
        let done = match order.what {
            What::Pause => self.pause(true).await,
            What::Resume => self.pause(false).await,
            What::Rollback(number) => self.roll_back_to(number),
        };
        // Who asked may have gone.
        let _ = order.answer.send(done);
    }

    fn roll_back_to(&mut self, number: Option<u64>) -> Result<String, String> {
        let (target, recipe) = {
            let target = self.history.target(number)?;
            (target.number, target.recipe.clone())
        };
        tracing::info!(plugin = %self.id, revision = self.number(), to = target, "it is to be rolled back by its operator");
        self.prepare(From::Kept(recipe, target));
        Ok(format!("revision {} is replaced by what revision {target} was", self.number()))
    }

    /// Takes the name and the kind, unless they are another's.
    fn claim(&mut self, spec: &Spec) -> Result<(), Problem> {
        let claim = Claim::new(&self.id, spec, self.plugins.shares_kind(&self.id));
        let mut claims = lock(&self.plugins.inner.claims);
        claims.check(&spec.name, &claim)?;
        let (plugin, kind) = (spec.name.as_str(), &spec.reconciles.kind);
        for (other, _) in claims.meeting(&claim) {
            tracing::warn!(plugin, other, %kind, "two plugins reconcile the same kind in the same namespaces");
        }
        claims.take(plugin, claim);
        Ok(())
    }

    fn release(&mut self) {
        lock(&self.plugins.inner.claims).release(&self.id);
    }

    /// Once for each load: what is declared and will be denied.
    fn tell_what_is_denied(&self) {
        let Some(controller) = self.controller() else { return };
        let name = controller.spec().name.clone();
        let plugin = name.as_str();
        let written = self.plugins.terms(&self.id, &controller.digest()).is_ok_and(|terms| terms.written);
        let missing = controller.ungranted();
        match (written, missing.as_slice()) {
            (true, []) => {}
            (true, missing) => tracing::warn!(
                plugin,
                "it declares what it is not granted, or only in part; such calls are denied: {}",
                listed(missing)
            ),
            (false, []) => tracing::info!(plugin, "it is granted what it declares"),
            (false, missing) => tracing::warn!(
                plugin,
                "it is granted what it declares, but for this, which is granted only by a rule that names it: {}; {}",
                listed(missing),
                self.plugins.advice(&self.id)
            ),
        }
    }

    /// Stops what runs; what is being prepared goes on.
    async fn halt(&mut self) {
        (self.trial, self.told) = (None, true);
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

fn listed(permissions: &[Permission]) -> String {
    permissions.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
