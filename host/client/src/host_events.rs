//! Events of the host itself: what an operator should know of plugins without reading the log.
//!
//! They take the way of plugins' Events, on an account of their own: what waits is bounded, repeats are a
//! series, and where the cluster does not let the host record Events, that is said once and costs nothing
//! else.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use wheelhouse_cache::Rest;
use wheelhouse_core::event::EventText;
use wheelhouse_core::limits::Limits;
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{Key, Kind};

use crate::events::{EventRecorder, Line};
use crate::ledger::Subject;

/// `reportingController`; a plugin's has the plugin's name after it.
const CONTROLLER: &str = "wheelhouse.dev";
/// What `reportingInstance` begins with.
const WHO: &str = "wheelhouse";

/// What the host's Events are about, which is where people look for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regarding {
    /// The kind.
    pub kind: Kind,
    /// The object; its Events are in its namespace, or in `default`.
    pub key: Key,
    /// Its UID; "" if that is not known.
    pub uid: String,
}

impl Regarding {
    /// The Pod that the host runs in.
    pub fn pod(namespace: &str, name: &str, uid: &str) -> Self {
        Self { kind: Kind::new("", "v1", "Pod"), key: Key::new(namespace, name), uid: uid.to_owned() }
    }

    /// The namespace `default`, for a host that knows of no Pod.
    pub fn default_namespace() -> Self {
        Self { kind: Kind::new("", "v1", "Namespace"), key: Key::new("", "default"), uid: String::new() }
    }

    fn namespace(&self) -> &str {
        match self.key.namespace.as_str() {
            "" => "default",
            namespace => namespace,
        }
    }
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct HostEvents {
    line: Line,
    regarding: Regarding,
}

impl HostEvents {
    /// None so far.
    pub fn new(rest: Rest, regarding: Regarding) -> Self {
        let usage = Arc::new(Usage::new(&Limits::default()));
        let said = Some(Arc::new(AtomicBool::new(false)));
        Self { line: Line { who: WHO.into(), controller: CONTROLLER.into(), rest, usage, said }, regarding }
    }

    /// Takes note of an Event, on the object that it is about or else on the host's own. What is equal but for
    /// its note, of one recorder, is a series. One that is not sent is counted by the recorder.
    pub fn record(&self, recorder: &EventRecorder, regarding: Option<&Regarding>, text: &EventText) {
        let regarding = regarding.unwrap_or(&self.regarding);
        let Regarding { kind, key, uid } = regarding.clone();
        // What there is no room for is counted; there is nobody to tell.
        let _ = recorder.take(&self.line, regarding.namespace(), Subject { kind, key, uid }, None, text);
    }
}
