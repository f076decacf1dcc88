//! What a reconcile came to.

use std::time::{Duration, SystemTime};

use crate::Key;

/// One call of `reconcile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The object.
    pub key: Key,
    /// In every log line of the call.
    pub reconcile_id: String,
    /// 1, and one more for each failure in a row.
    pub attempt: u32,
    /// When the object was first asked for since a reconcile of it last succeeded, or failed for good.
    pub first_seen: SystemTime,
}

/// What the plugin said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is as it should be.
    Done,
    /// Come back then, or earlier.
    RequeueAfter(Duration),
    /// Come back after a back-off.
    Transient(String),
    /// Come back when something changes.
    Terminal(String),
}
