//! Which plugins there are: a task for each brings what its source wants to run.
//!
//! A plugin's trouble (a slow compilation, a kind that the cluster lacks) holds up nobody else, and
//! one that does not load leaves alone what runs. What runs does what it is granted at the time: a
//! grant that is cut counts at once, and stops a plugin that cannot run with what is left.

mod asking;
mod slot;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use wheelhouse_controller::{Controller, Runtime};
use wheelhouse_core::Spec;

pub(crate) use self::slot::{Account, Phase, PluginReport, Slot};

use crate::binary::Binary;
use crate::claims::{Claim, Claims, Note};
use crate::component_store::{ComponentStore, name_of};
use crate::grants::Grants;
use crate::host_events::Voice;
use crate::leader::{Election, Elsewhere, Neighbours};
use crate::loader::Loader;
use crate::plugin_id::PluginId;
use crate::preparation::{Content, Problem, Recipe, Step};
use crate::source::{Change, Ordered, Wanted};

/// A host is ready though components are still being fetched after so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// All plugins of a host. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Plugins {
    pub(crate) inner: Arc<Inner>,
}

/// What an operator decides for all plugins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How long reconciles that run may take to end.
    pub(crate) grace: Duration,
    /// How long a new revision is on probation.
    pub(crate) probation: Duration,
    /// How many revisions are kept beside the one that runs.
    pub(crate) revision_history_limit: usize,
}

pub(crate) struct Inner {
    pub(crate) runtime: Runtime,
    pub(crate) voice: Voice,
    pub(crate) settings: Settings,
    /// When what runs has had its grace, once the host ends.
    end: OnceLock<Instant>,
    pub(crate) slots: Mutex<BTreeMap<PluginId, Slot>>,
    pub(crate) claims: watch::Sender<Claims>,
    pub(crate) grants: watch::Receiver<Arc<Grants>>,
    pub(crate) election: Election,
    /// Where the last good components are kept.
    store: Option<Arc<ComponentStore>>,
    /// Held while a plugin is granted something, so that the newest grants are what counts in the end.
    pub(crate) granting: Mutex<()>,
    ready: watch::Sender<bool>,
    /// Something in a slot is another by now.
    changed: watch::Sender<()>,
}

/// What a source wants of one plugin, for the plugin's task.
struct Wish {
    newest: watch::Sender<Option<Wanted>>,
    /// Closed when the task has ended.
    ended: oneshot::Receiver<()>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Plugins {
    pub(crate) fn new(
        runtime: Runtime,
        settings: Settings,
        grants: watch::Receiver<Arc<Grants>>,
        election: Election,
        store: Option<Arc<ComponentStore>>,
    ) -> Self {
        let (slots, claims) = (Mutex::default(), watch::Sender::default());
        let (ready, changed) = (watch::Sender::new(false), watch::Sender::new(()));
        let (granting, voice) = (Mutex::default(), Voice::new(runtime.client.clone()));
        let end = OnceLock::new();
        let inner = Inner {
            runtime,
            voice,
            settings,
            end,
            slots,
            claims,
            grants,
            election,
            store,
            granting,
            ready,
            changed,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Follows so many sources until they end or this future is dropped; then stops every plugin.
    pub(crate) async fn follow(
        &self,
        mut sources: usize,
        mut changes: mpsc::Receiver<Change>,
        stop: impl Future<Output = ()>,
    ) {
        let mut wishes: HashMap<PluginId, Wish> = HashMap::new();
        // Of those that are gone, and have not ended yet.
        let mut endings: HashMap<PluginId, oneshot::Receiver<()>> = HashMap::new();
        let mut tasks = JoinSet::new();
        let mut grants = self.inner.grants.clone();
        tokio::pin!(stop);
        loop {
            let change = tokio::select! {
                () = &mut stop => break,
                change = changes.recv() => change,
                Some(_) = tasks.join_next() => {
                    let goes_on = |ended: &mut oneshot::Receiver<()>| ended.try_recv() == Err(TryRecvError::Empty);
                    endings.retain(|_, ended| goes_on(ended));
                    continue;
                }
                // Whatever the plugins' tasks are busy with. What follows from it is for them.
                Ok(()) = grants.changed() => {
                    for (id, controller) in self.running() {
                        let _ = self.uphold(&id, &controller);
                    }
                    continue;
                }
            };
            match change {
                Some(Change::Present(id, wanted)) => {
                    match &wanted.ordered {
                        // Whatever its task is busy with, its terms count at once. What else follows is for it.
                        Some(ordered) => {
                            self.take_terms(&id, ordered);
                            if let Some(controller) = self.controller(&id) {
                                let _ = self.uphold(&id, &controller);
                            }
                        }
                        None => self.update(&id, |slot| slot.phase = Phase::Loading),
                    }
                    if let Some(Wish { newest, .. }) = wishes.get(&id) {
                        newest.send_replace(Some(wanted));
                        continue;
                    }
                    let (newest, wished) = watch::channel(Some(wanted));
                    let (ends, ended) = oneshot::channel();
                    wishes.insert(id.clone(), Wish { newest, ended });
                    let (before, plugins) = (endings.remove(&id), self.clone());
                    tasks.spawn(async move {
                        if let Some(before) = before {
                            // Nothing is ever sent: its sender goes.
                            let _ = before.await;
                        }
                        let (orders, ordered) = mpsc::channel(8);
                        Loader::new(plugins, id, wished, orders, ordered).run().await;
                        drop(ends);
                    });
                }
                Some(Change::Gone(id)) => {
                    if let Some(Wish { newest, ended }) = wishes.remove(&id) {
                        newest.send_replace(None);
                        endings.insert(id, ended);
                    }
                }
                Some(Change::InitialDone) => {
                    sources = sources.saturating_sub(1);
                    if sources == 0 {
                        self.announce_ready();
                    }
                }
                None => break,
            }
        }
        // Nothing begins any more, a switch that is under way included, and all of it has one grace.
        let _ = self.inner.end.set(Instant::now() + self.inner.settings.grace);
        for (_, controller) in self.running() {
            controller.end();
        }
        // Their senders' end tells the tasks to stop their plugins.
        drop(wishes);
        while tasks.join_next().await.is_some() {}
    }

    /// Ready once what was there at first runs, waits for the cluster, or has failed.
    fn announce_ready(&self) {
        let plugins = self.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            let mut timer = tokio::time::interval(Duration::from_millis(50));
            loop {
                timer.tick().await;
                let slots = lock(&plugins.inner.slots);
                // Nobody's registry keeps the host from being ready for long.
                let patient = begun.elapsed() < PATIENCE;
                let is_open =
                    |slot: &Slot| slot.phase == Phase::Loading && (patient || slot.step != Step::Fetch);
                if !slots.values().any(is_open) {
                    let running = slots.values().filter(|slot| slot.controller.is_some()).count();
                    let all = slots.len();
                    tracing::info!(
                        "ready: {running} of {all} plugins are loaded, after {:.1} s",
                        begun.elapsed().as_secs_f64()
                    );
                    break;
                }
            }
            plugins.inner.ready.send_replace(true);
        });
    }

    /// Whether what was there at first has been dealt with.
    pub(crate) fn ready(&self) -> bool {
        *self.inner.ready.borrow()
    }

    /// How long what runs may still take to end.
    pub(crate) fn grace(&self) -> Duration {
        let left = self.inner.end.get().map(|end| end.saturating_duration_since(Instant::now()));
        left.unwrap_or(self.inner.settings.grace)
    }

    /// What runs of this plugin, or stands by.
    pub(crate) fn controller(&self, id: &PluginId) -> Option<Arc<Controller>> {
        lock(&self.inner.slots).get(id).and_then(|slot| slot.controller.clone())
    }

    pub(crate) fn running(&self) -> Vec<(PluginId, Arc<Controller>)> {
        let slots = lock(&self.inner.slots);
        slots.iter().filter_map(|(id, slot)| Some((id.clone(), slot.controller.clone()?))).collect()
    }

    /// Notes why what a plugin's source wants does not run, and says so unless it was said.
    pub(crate) fn report(&self, id: &PluginId, problem: &Problem) {
        let Problem { reason, message, waits, .. } = problem;
        let phase = if *waits { Phase::Waiting } else { Phase::Failed };
        let (mut told, mut runs) = (false, false);
        self.update(id, |slot| {
            told = slot.phase == phase && slot.problem.as_ref() == Some(problem);
            runs = slot.controller.is_some();
            (slot.phase, slot.problem, slot.step) = (phase, Some(problem.clone()), problem.step);
        });
        if told {
            return;
        }
        let is_confirmed = !self.is_unconfirmed(id);
        if is_confirmed {
            self.voice().does_not_load(id, *waits, message);
        }
        let (plugin, keeps) = (id, if runs { "; the revision that runs stays" } else { "" });
        if *waits && !is_confirmed {
            tracing::info!(%plugin, reason, "{message}");
        } else if *waits {
            tracing::warn!(%plugin, reason, "cannot be loaded yet, and is tried again: {message}{keeps}");
        } else {
            tracing::error!(%plugin, reason, "cannot be loaded: {message}{keeps}");
        }
    }

    /// Whether the cluster has not said yet what the plugin's resource wants by now.
    pub(crate) fn is_unconfirmed(&self, id: &PluginId) -> bool {
        let slots = lock(&self.inner.slots);
        slots.get(id).and_then(|slot| slot.ordered.as_ref()).is_some_and(|ordered| ordered.unconfirmed)
    }

    /// Notes which step of what a plugin's source wants is under way. Who tries again what has failed says
    /// nothing new with it.
    pub(crate) fn begin(&self, id: &PluginId, step: Step) {
        self.update(id, |slot| {
            if slot.problem.is_none() {
                slot.step = step;
            }
        });
    }

    /// From now on a plugin has these terms.
    pub(crate) fn take_terms(&self, id: &PluginId, ordered: &Arc<Ordered>) {
        self.update(id, |slot| {
            let before = slot.ordered.as_ref().filter(|before| before.uid == ordered.uid);
            // Whose task is behind does not bring back what has had an end.
            if before.is_none_or(|before| before.unconfirmed || before.generation <= ordered.generation) {
                slot.ordered = Some(Arc::clone(ordered));
            }
        });
    }

    /// A component of a resource does well with this configuration.
    pub(crate) async fn prove(&self, id: &PluginId, uid: &str, recipe: &Recipe) {
        let Some(store) = self.inner.store.clone() else { return };
        let (component, config) = (recipe.compiled.digest().to_owned(), recipe.config.to_string());
        let name = name_of(id, uid);
        // What cannot be noted leaves what was good before.
        let _ = tokio::task::spawn_blocking(move || store.prove(&name, &component, &config)).await;
    }

    /// What did well last of this very resource, before this host began.
    pub(crate) async fn last_good(&self, id: &PluginId, uid: &str) -> Option<Content> {
        let (store, name) = (self.inner.store.clone()?, name_of(id, uid));
        let (component, config) = tokio::task::spawn_blocking(move || store.good(&name)).await.ok()??;
        let config_at = format!("spec.config of {id}, as it was when it did well");
        Some(Content { component: Binary::new(component), config, config_at })
    }

    /// Why what its source wants does not run, if that is so.
    pub(crate) fn problem(&self, id: &PluginId) -> Option<Problem> {
        lock(&self.inner.slots).get(id).and_then(|slot| slot.problem.clone())
    }

    /// Whether a plugin may have its name and its kind by now.
    ///
    /// # Errors
    /// Who has it.
    pub(crate) fn check_claim(&self, id: &PluginId, spec: &Spec) -> Result<(), Problem> {
        let claim = self.claim_of(id, spec);
        self.inner.claims.borrow().check(&spec.name, &claim)
    }

    /// What plugins of other hosts have to themselves none of this host's has, as long as it is so there.
    pub(crate) async fn heed(self, mut neighbours: Neighbours) {
        loop {
            let elsewhere = match &*neighbours.borrow_and_update() {
                Elsewhere::Unknown => Elsewhere::Unknown,
                Elsewhere::Hidden => Elsewhere::Hidden,
                Elsewhere::Known(held) => {
                    let notes = held.iter().filter_map(|held| held.note.as_ref());
                    Elsewhere::Known(notes.filter_map(Note::read).collect())
                }
            };
            self.inner.claims.send_if_modified(|claims| claims.heed(elsewhere));
            self.inner.changed.send_replace(());
            if neighbours.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether it is known what other hosts run, as far as that matters.
    pub(crate) fn knows_elsewhere(&self) -> bool {
        self.inner.election.neighbours().is_none() || self.inner.claims.borrow().knows_elsewhere()
    }

    /// What a plugin wants to itself.
    pub(crate) fn claim_of(&self, id: &PluginId, spec: &Spec) -> Claim {
        let ordered = lock(&self.inner.slots).get(id).and_then(|slot| slot.ordered.clone());
        let age = ordered.map(|ordered| (ordered.created.clone(), ordered.uid.clone()));
        Claim::new(id, spec, age, self.shares_kind(id))
    }

    /// Whether another plugin may reconcile the same, as its grant or its resource says.
    pub(crate) fn shares_kind(&self, id: &PluginId) -> bool {
        if let Some(file) = id.file() {
            return self.inner.grants.borrow().shares_kind(file);
        }
        let slots = lock(&self.inner.slots);
        slots.get(id).and_then(|slot| slot.ordered.as_ref()).is_some_and(|ordered| ordered.shares_kind)
    }

    /// Hears of each change of what there is to tell of a plugin.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.inner.changed.subscribe()
    }

    /// A plugin's source has it no more.
    pub(crate) fn forget(&self, id: &PluginId) {
        lock(&self.inner.slots).remove(id);
        self.inner.changed.send_replace(());
        self.voice().forget(id);
    }

    /// What tells the cluster of them.
    pub(crate) fn voice(&self) -> &Voice {
        &self.inner.voice
    }

    /// The rooms that all plugins share.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.inner.runtime
    }

    pub(crate) fn update(&self, id: &PluginId, change: impl FnOnce(&mut Slot)) {
        change(lock(&self.inner.slots).entry(id.clone()).or_default());
        self.inner.changed.send_replace(());
    }
}
