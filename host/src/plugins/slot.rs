//! What is known of one plugin, and what there is to tell of it.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::mpsc;
use wheelhouse_controller::{Controller, PluginStatus};
use wheelhouse_core::usage::Usage;

use crate::history::RevisionReport;
use crate::leader::{Candidate, Standing};
use crate::loader::Order;
use crate::preparation::{Mark, Problem, Step};
use crate::source::Ordered;

/// Where what a plugin's source wants is on its way.
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
    /// Its operator has it begin nothing.
    Paused,
    /// It needs what the cluster does not have, or what it is not granted, yet; it is tried again.
    Waiting,
    /// It cannot be loaded; an older one may run.
    Failed,
}

impl Phase {
    /// Each of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Loading, Self::Running, Self::Standby, Self::Paused, Self::Waiting, Self::Failed];

    /// As `/plugins` has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Running => "running",
            Self::Standby => "standby",
            Self::Paused => "paused",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
        }
    }
}

/// A plugin, and what has become of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PluginReport {
    /// Where it is from.
    pub(crate) file: String,
    pub(crate) phase: Phase,
    /// Why it fails or waits, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
    /// Likewise, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// What runs, possibly from what its source wanted before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plugin: Option<PluginStatus>,
    /// The lease that it runs under, if there is an election.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) leader: Option<Standing>,
}

/// What is known of one plugin.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) phase: Phase,
    /// Why what its source wants does not run.
    pub(crate) problem: Option<Problem>,
    /// Why it is not known whether what was fetched is still what its source has.
    pub(crate) stale: Option<Problem>,
    /// What is under way of it.
    pub(crate) step: Step,
    /// What its resource says, if it has one.
    pub(crate) ordered: Option<Arc<Ordered>>,
    /// The resource that what runs, and what is prepared, is of. Its name may be another resource's by now.
    pub(crate) uid: Option<String>,
    /// Which of the resource's generations all this is about.
    pub(crate) generation: Option<i64>,
    /// How many revisions the plugin had before its controller, which counts from 1 on.
    pub(crate) before: u64,
    /// What was fetched for it, as people name it.
    pub(crate) artifact: Option<String>,
    /// What runs has to prove itself yet.
    pub(crate) on_probation: bool,
    /// What was rolled back last, as long as nothing else has taken over.
    pub(crate) rolled_back: Option<Mark>,
    /// Whether that runs all the same.
    pub(crate) tolerated: bool,
    pub(crate) controller: Option<Arc<Controller>>,
    /// What the plugin, and preparing it, has used of its limits. None before it is looked at.
    pub(crate) usage: Option<Arc<Usage>>,
    /// For the lease that it runs under.
    pub(crate) candidate: Option<Arc<Candidate>>,
    /// Whether the last switch was over within the grace.
    pub(crate) drained: bool,
    /// The kind that was reconciled before the last switch, if that was another.
    pub(crate) reconciled_before: Option<String>,
    /// The newest first.
    pub(crate) revisions: Vec<RevisionReport>,
    /// Revisions that were rolled back by themselves.
    pub(crate) rollbacks: u64,
    /// Its task takes orders here.
    pub(crate) orders: Option<mpsc::Sender<Order>>,
}

/// What a plugin has used of its limits, whether it has ever run or not.
pub(crate) struct Account {
    /// Its own, or its source's as long as it has none.
    pub(crate) name: String,
    pub(crate) runs: bool,
    pub(crate) usage: Arc<Usage>,
}

impl Slot {
    /// What can be seen of it: its phase, what runs, and the lease that it runs under.
    pub(crate) fn state(&self) -> (Phase, Option<PluginStatus>, Option<Standing>) {
        let leader = self.candidate.as_ref().map(|candidate| candidate.standing());
        let mut plugin = self.controller.as_ref().map(|controller| controller.status());
        if let Some(plugin) = &mut plugin {
            plugin.revision += self.before;
        }
        let phase = match self.phase {
            Phase::Running if plugin.as_ref().is_some_and(|plugin| plugin.paused) => Phase::Paused,
            Phase::Running if leader.as_ref().is_some_and(|leader| !leader.leads) => Phase::Standby,
            phase => phase,
        };
        (phase, plugin, leader)
    }
}
