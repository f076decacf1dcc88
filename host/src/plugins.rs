//! Which plugins there are: a task per file brings what the file holds to run.
//!
//! A plugin's trouble (a slow compilation, a kind that the cluster lacks) holds up nobody else, and
//! a file that does not load leaves alone what runs. What runs does what it is granted at the time: a
//! grant that is cut counts at once, and stops a plugin that cannot run with what is left.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use wheelhouse_controller::{Controller, PluginStatus, Runtime};
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{Grant, Granted};

use crate::directory::{Change, Found};
use crate::grants::{Grants, Terms};
use crate::host_events::Voice;
use crate::leader::{Candidate, Election, Standing};
use crate::plugin_file::File;

/// Where a plugin's newest file is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// It is being compiled, described, synced.
    #[default]
    Loading,
    /// It runs.
    Running,
    /// It is ready to run, and another host holds its lease.
    Standby,
    /// It needs what the cluster does not have, or what it is not granted, yet; it is tried again.
    Waiting,
    /// It cannot be loaded; an older one may run.
    Failed,
}

impl Phase {
    /// Each of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Loading, Self::Running, Self::Standby, Self::Waiting, Self::Failed];

    /// As `/plugins` has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Running => "running",
            Self::Standby => "standby",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
        }
    }
}

/// A file, and what has become of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PluginReport {
    pub(crate) file: String,
    pub(crate) phase: Phase,
    /// Why it fails or waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// What runs, possibly from an older content of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plugin: Option<PluginStatus>,
    /// The lease that it runs under, if there is an election.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) leader: Option<Standing>,
}

/// What is known of one file.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) phase: Phase,
    pub(crate) error: Option<String>,
    pub(crate) controller: Option<Arc<Controller>>,
    /// What the file's plugin, and preparing it, has used of its limits.
    /// None before it is looked at.
    pub(crate) usage: Option<Arc<Usage>>,
    /// For the lease that it runs under.
    pub(crate) candidate: Option<Arc<Candidate>>,
}

/// What a plugin has used of its limits, whether it has ever run or not.
pub(crate) struct Account {
    /// Its own, or its file's as long as it has none.
    pub(crate) name: String,
    pub(crate) runs: bool,
    pub(crate) usage: Arc<Usage>,
}

/// All plugins of a host. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Plugins {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) runtime: Runtime,
    pub(crate) voice: Voice,
    pub(crate) grace: Duration,
    pub(crate) slots: Mutex<BTreeMap<PathBuf, Slot>>,
    /// Plugin names in use, and by which file.
    pub(crate) names: Mutex<HashMap<String, PathBuf>>,
    pub(crate) grants: watch::Receiver<Arc<Grants>>,
    pub(crate) election: Election,
    /// Held while a plugin is granted something, so that the newest grants are what counts in the end.
    granting: Mutex<()>,
    ready: watch::Sender<bool>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Plugins {
    pub(crate) fn new(
        runtime: Runtime,
        grace: Duration,
        grants: watch::Receiver<Arc<Grants>>,
        election: Election,
    ) -> Self {
        let (slots, names, ready) = (Mutex::default(), Mutex::default(), watch::Sender::new(false));
        let (granting, voice) = (Mutex::default(), Voice::new(runtime.client.clone()));
        let inner = Inner { runtime, voice, grace, slots, names, grants, election, granting, ready };
        Self { inner: Arc::new(inner) }
    }

    /// Follows a source until it ends or this future is dropped; then stops every plugin.
    pub(crate) async fn follow(&self, mut changes: mpsc::Receiver<Change>, stop: impl Future<Output = ()>) {
        let mut files: HashMap<PathBuf, watch::Sender<Option<Found>>> = HashMap::new();
        let mut tasks = JoinSet::new();
        let mut grants = self.inner.grants.clone();
        tokio::pin!(stop);
        loop {
            let change = tokio::select! {
                () = &mut stop => break,
                change = changes.recv() => change,
                // Whatever the files' tasks are busy with. What follows from it is for them.
                Ok(()) = grants.changed() => {
                    for (path, controller) in self.running() {
                        let _ = self.uphold(&path, &controller);
                    }
                    continue;
                }
            };
            match change {
                Some(Change::Present(found)) => {
                    let path = found.path.clone();
                    self.update(&path, |slot| slot.phase = Phase::Loading);
                    let wanted = files.entry(path.clone()).or_insert_with(|| {
                        let (wanted, receiver) = watch::channel(None);
                        tasks.spawn(File::new(self.clone(), path).run(receiver));
                        wanted
                    });
                    wanted.send_replace(Some(found));
                }
                Some(Change::Gone(path)) => {
                    if let Some(wanted) = files.get(&path) {
                        wanted.send_replace(None);
                    }
                }
                Some(Change::InitialDone) => self.announce_ready(),
                None => break,
            }
        }
        // Their senders' end tells the tasks to stop their plugins.
        drop(files);
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
                if slots.values().all(|slot| slot.phase != Phase::Loading) {
                    let running = slots.values().filter(|slot| slot.controller.is_some()).count();
                    let files = slots.len();
                    tracing::info!(
                        "ready: {running} of {files} plugins are loaded, after {:.1} s",
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

    /// Every file, in the order of their paths.
    pub(crate) fn reports(&self) -> Vec<PluginReport> {
        let slots = lock(&self.inner.slots);
        let report = |(path, slot): (&PathBuf, &Slot)| {
            let leader = slot.candidate.as_ref().map(|candidate| candidate.standing());
            let stands_by = slot.phase == Phase::Running && leader.as_ref().is_some_and(|l| !l.leads);
            PluginReport {
                file: path.display().to_string(),
                phase: if stands_by { Phase::Standby } else { slot.phase },
                error: slot.error.clone(),
                plugin: slot.controller.as_ref().map(|controller| controller.status()),
                leader,
            }
        };
        slots.iter().map(report).collect()
    }

    /// The leases that this host stands for, in the order of their names.
    pub(crate) fn standings(&self) -> Vec<Standing> {
        if let Some(of_host) = self.inner.election.standing() {
            return vec![of_host];
        }
        let slots = lock(&self.inner.slots);
        let mut all: Vec<_> =
            slots.values().filter_map(|slot| Some(slot.candidate.as_ref()?.standing())).collect();
        all.sort_unstable_by(|a, b| a.lease.cmp(&b.lease));
        all
    }

    /// The plugins that run, or stand by.
    pub(crate) fn controllers(&self) -> Vec<Arc<Controller>> {
        lock(&self.inner.slots).values().filter_map(|slot| slot.controller.clone()).collect()
    }

    /// Of every file, whatever has become of it.
    pub(crate) fn accounts(&self) -> Vec<Account> {
        let names: HashMap<PathBuf, String> =
            lock(&self.inner.names).iter().map(|(name, path)| (path.clone(), name.clone())).collect();
        let account = |(path, slot): (&PathBuf, &Slot)| {
            let stem = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Some(Account {
                name: names.get(path).cloned().unwrap_or_else(stem),
                runs: slot.controller.is_some(),
                usage: slot.usage.clone()?,
            })
        };
        lock(&self.inner.slots).iter().filter_map(account).collect()
    }

    pub(crate) fn running(&self) -> Vec<(PathBuf, Arc<Controller>)> {
        let slots = lock(&self.inner.slots);
        slots.iter().filter_map(|(path, slot)| Some((path.clone(), slot.controller.clone()?))).collect()
    }

    /// Has what runs do what it is granted by now, and nothing else.
    ///
    /// # Errors
    /// If nothing is granted to it any more, under its name or with its content.
    pub(crate) fn uphold(&self, path: &Path, controller: &Controller) -> Result<Terms, String> {
        let (name, granted) = (controller.spec().name.clone(), controller.granted());
        match self.grant(path, &name, &controller.digest(), &granted) {
            Ok((terms, changed)) => {
                if changed {
                    tracing::info!(plugin = name, "its grant has changed, and counts from now on");
                }
                Ok(terms)
            }
            Err(error) => {
                granted.set(Grant::nothing());
                Err(error)
            }
        }
    }

    /// Grants a component that calls itself so what it is granted by now; whether that is a change.
    ///
    /// # Errors
    /// If it may not have that name, or its grant is for another content; nothing is changed.
    pub(crate) fn grant(
        &self,
        path: &Path,
        plugin: &str,
        digest: &str,
        granted: &Granted,
    ) -> Result<(Terms, bool), String> {
        let _one_at_a_time = lock(&self.inner.granting);
        let grants = Arc::clone(&self.inner.grants.borrow());
        grants.check_name(path, plugin)?;
        let terms = grants.terms(path, digest, &self.inner.runtime.limits)?;
        let changed = granted.set(terms.grant.clone());
        Ok((terms, changed))
    }

    /// What tells the cluster of them.
    pub(crate) fn voice(&self) -> &Voice {
        &self.inner.voice
    }

    /// The rooms that all plugins share.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.inner.runtime
    }

    pub(crate) fn update(&self, path: &Path, change: impl FnOnce(&mut Slot)) {
        change(lock(&self.inner.slots).entry(path.to_owned()).or_default());
    }
}
