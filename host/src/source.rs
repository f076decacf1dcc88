//! Where plugins come from, behind one trait: a source tells what there is to run, and what changes.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::mpsc;
use wheelhouse_core::Grant;
use wheelhouse_core::access::BoxFuture;

use crate::binary::Binary;
use crate::plugin_id::PluginId;
use crate::preparation::{Mark, Problem};

/// Tells of plugins.
pub(crate) trait Source: Send + 'static {
    /// Tells what there is, [`Change::InitialDone`], and then what changes, until the receiver is gone.
    fn tell(self: Box<Self>, changes: mpsc::Sender<Change>) -> BoxFuture<'static, ()>;
}

/// What a source has to tell.
#[derive(Debug)]
pub(crate) enum Change {
    /// It is there, or is another one now.
    Present(PluginId, Wanted),
    /// It is there no more.
    Gone(PluginId),
    /// All that was there at first has been told.
    InitialDone,
}

/// What is to run.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// As far as it is there.
    pub(crate) component: Component,
    /// Why it is not known whether that is still what its source has.
    pub(crate) stale: Option<Problem>,
    /// Just what was fetched, as people name it: `registry/repository:tag@sha256:…`, or a URL.
    pub(crate) artifact: Option<String>,
    /// Its configuration, as JSON; `{}` if there is none.
    pub(crate) config: String,
    /// Where the configuration is written, for people.
    pub(crate) config_at: String,
    /// What its resource says beside that, if it has one.
    pub(crate) ordered: Option<Arc<Ordered>>,
}

/// A component, as far as it is there.
#[derive(Clone, Debug)]
pub(crate) enum Component {
    /// It is there.
    Here(Binary),
    /// It was there when it was looked at last, by the host before: what is there now is not known yet.
    Recalled(Binary),
    /// It is being fetched.
    Coming,
    /// It cannot be fetched, now or at all.
    Missing(Problem),
}

/// What is on record of a plugin: all that hosts know of each other, and of those before them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// What was rolled back.
    pub(crate) rolled_back: Option<Mark>,
    /// What runs.
    pub(crate) runs: Option<Mark>,
    /// Whether that has to prove itself yet.
    pub(crate) on_probation: bool,
}

/// How a plugin is to run, as its resource says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ordered {
    /// The resource's.
    pub(crate) uid: String,
    /// When it was, as the API server writes times.
    pub(crate) created: String,
    /// Of its spec.
    pub(crate) generation: i64,
    /// What it is granted, if anything is said.
    pub(crate) grant: Option<Grant>,
    /// Instead of the host's.
    pub(crate) limits: Map<String, Value>,
    /// Whether it is to begin nothing.
    pub(crate) paused: bool,
    /// How many revisions are kept, if that is said.
    pub(crate) keep: Option<usize>,
    /// What its status says.
    pub(crate) told: Told,
    /// Whether another plugin may reconcile the same kind in the same place.
    pub(crate) shares_kind: bool,
    /// It is what the host before saw last, and the cluster has not said whether it is still so: what is wanted is made
    /// ready as far as nobody else sees that, and does not run.
    pub(crate) unconfirmed: bool,
}
