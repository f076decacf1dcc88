//! Which of several hosts works: leader election by Lease (`coordination.k8s.io/v1`).
//!
//! A host holds one Lease for all plugins, or one for each, and works under it; the others stand by, with
//! their plugins loaded and their caches filled, and take over when it is given back or has run out. What it
//! promises beside what the [`elector`] does:
//! - a plugin neither reconciles nor writes before its lease is held;
//! - when a lease cannot be renewed in time, what runs under it is stopped, and its writes are refused
//!   ([`wheelhouse_core::Fence`]), before another host can take it; a process that was stopped for so long, or
//!   a machine that was suspended, and wakes, is no exception. The host stands by then, and does not exit;
//! - a lease is given back once the work under it has ended, or its grace is over;
//! - where each plugin has a lease, who holds one notes on it what the plugin has to itself, and the others heed that
//!   before they stand for any ([`neighbours`]).
//!
//! It is written here, since the crates that do this over kube leave out what matters to a host:
//! `kube-leader-election` judges a lease by the timestamps in it, and says of itself that it has no fencing;
//! `kube-lease-manager` does so with a tolerance for clocks that differ; and with none that we looked at does
//! the holder's own deadline reach its writes.

mod candidate;
#[cfg(test)]
mod candidate_tests;
mod elector;
#[cfg(test)]
mod elector_tests;
#[cfg(test)]
mod elector_world;
mod leases;
mod neighbours;
mod record;
mod settings;
mod watching;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use wheelhouse_cache::Rest;
use wheelhouse_controller::Controller;
use wheelhouse_core::Fence;

pub(crate) use candidate::{Candidate, Standing};
pub(crate) use neighbours::{Elsewhere, Neighbours};
pub(crate) use settings::Settings;

/// How a host's plugins get to work. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Election {
    /// There is none: they all do, at once.
    Off,
    /// One lease for all of them.
    PerHost(Arc<Candidate>),
    /// One lease for each.
    PerPlugin(Arc<PerPlugin>),
}

/// What a host needs for a lease of each plugin.
pub(crate) struct PerPlugin {
    settings: Settings,
    rest: Rest,
    neighbours: Neighbours,
}

impl Election {
    /// Stands for the host's lease, if there is to be one.
    pub(crate) fn start(settings: Option<Settings>, rest: &Rest) -> Self {
        match settings {
            None => Self::Off,
            Some(settings) if settings.per_plugin => {
                let (rest, neighbours) = (rest.clone(), neighbours::follow(settings.clone(), rest.clone()));
                Self::PerPlugin(Arc::new(PerPlugin { settings, rest, neighbours }))
            }
            Some(settings) => {
                let name = settings.name.clone();
                Self::PerHost(Candidate::start(name, Fence::closed(), &settings, rest, begun()))
            }
        }
    }

    /// What a plugin's writes have to pass.
    pub(crate) fn fence(&self) -> Fence {
        match self {
            Self::Off => Fence::open(),
            Self::PerHost(candidate) => candidate.fence().clone(),
            Self::PerPlugin(_) => Fence::closed(),
        }
    }

    /// What the plugins have that other hosts run, if each has a lease.
    pub(crate) fn neighbours(&self) -> Option<Neighbours> {
        if let Self::PerPlugin(with) = self { Some(with.neighbours.clone()) } else { None }
    }

    /// Whether another host has a plugin of this name at work, for all that is known.
    pub(crate) fn may_run_elsewhere(&self, plugin: &str) -> bool {
        let Self::PerPlugin(with) = self else { return false };
        let lease = with.settings.lease_of(plugin);
        match &*with.neighbours.borrow() {
            Elsewhere::Known(held) => held.iter().any(|held| held.lease == lease),
            Elsewhere::Unknown | Elsewhere::Hidden => true,
        }
    }

    /// How long it takes at most, about, until another host is seen to have taken a lease that was given back.
    pub(crate) fn handover(&self) -> Duration {
        if let Self::PerPlugin(with) = self { with.settings.timings.retry_period * 7 } else { Duration::ZERO }
    }

    /// Has a plugin that stands by work whenever its lease is held, under the fence that its writes pass. At
    /// once and for ever, and nothing to hold on to, without an election. A lease of the plugin's own is stood for
    /// after [`Driven::stand`] alone, and has the note.
    pub(crate) async fn drive(
        &self,
        controller: &Arc<Controller>,
        fence: &Fence,
        note: Option<Value>,
    ) -> Option<Driven> {
        let begins = watch::Sender::new(false);
        let (candidate, own) = match self {
            Self::Off => {
                controller.activate().await;
                return None;
            }
            Self::PerHost(candidate) => (Arc::clone(candidate), false),
            Self::PerPlugin(with) => {
                let PerPlugin { settings, rest, .. } = &**with;
                let name = settings.lease_of(&controller.spec().name);
                let candidate = Candidate::start(name, fence.clone(), settings, rest, begins.subscribe());
                candidate.note(note);
                (candidate, true)
            }
        };
        let task = tokio::spawn(Arc::clone(&candidate).drive(Arc::clone(controller)));
        Some(Driven { candidate, own, begins, task })
    }

    /// Where the host's lease is, if all plugins have one.
    pub(crate) fn standing(&self) -> Option<Standing> {
        if let Self::PerHost(candidate) = self { Some(candidate.standing()) } else { None }
    }

    /// Gives the host's lease back, when no plugin works any more.
    pub(crate) async fn end(&self) {
        if let Self::PerHost(candidate) = self {
            candidate.end().await;
        }
    }
}

/// A plugin that works under a lease.
pub(crate) struct Driven {
    pub(crate) candidate: Arc<Candidate>,
    /// Whether the lease is this plugin's alone.
    own: bool,
    /// Whether that is stood for.
    begins: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Driven {
    /// Stands for the plugin's own lease from now on.
    pub(crate) fn stand(&self) {
        self.begins.send_replace(true);
    }

    /// What is noted on the plugin's own lease from its next renewal on.
    pub(crate) fn note(&self, note: Option<Value>) {
        if self.own {
            self.candidate.note(note);
        }
    }

    /// To be called when the plugin has stopped: the lease does not wait for it any more, and is given back
    /// if it was the plugin's own.
    pub(crate) async fn end(self) {
        self.task.abort();
        let _ = self.task.await;
        if self.own {
            self.candidate.end().await;
        }
    }
}

/// For a candidate that waits for nothing.
fn begun() -> watch::Receiver<bool> {
    watch::channel(true).1
}

/// In `[0, 1)`: as random as the seeds of the standard hash maps, which is enough to be out of step.
fn random() -> f64 {
    let bits = RandomState::new().hash_one(0) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}
