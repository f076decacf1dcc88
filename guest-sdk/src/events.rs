//! Kubernetes Events: what `kubectl describe` shows below an object.
//!
//! ```no_run
//! # use wheelhouse_sdk::{ObjectKey, events};
//! # let key = ObjectKey::new("default", "shop");
//! events::warning("v1/Pod", &key, "FailedCreate", "CreateService")
//!     .note("the Service was refused: port 0 is none")
//!     .record();
//! ```
//!
//! They are for people to read, and best effort: the host sends them in the background. What is recorded
//! again within some minutes, the note aside, counts up the Event that is there. The plugin must
//! [declare](crate::Permission::events) that it records them, and be allowed to get the objects that they
//! are about.

use crate::bindings::wheelhouse::controller::events as host;
use crate::{ApiError, ObjectKey};

use host::{EventType, ObjectRef};

/// An Event that says that all is well: why, as one word in upper camel case (`Created`), and what was
/// done (`CreateService`).
pub fn normal(
    kind: impl Into<String>,
    key: &ObjectKey,
    reason: impl Into<String>,
    action: impl Into<String>,
) -> NewEvent {
    NewEvent::new(EventType::Normal, kind.into(), key, reason.into(), action.into())
}

/// An Event that says that something is wrong, likewise.
pub fn warning(
    kind: impl Into<String>,
    key: &ObjectKey,
    reason: impl Into<String>,
    action: impl Into<String>,
) -> NewEvent {
    NewEvent::new(EventType::Warning, kind.into(), key, reason.into(), action.into())
}

/// An Event on an object.
#[must_use = "nothing is said until it is recorded"]
pub struct NewEvent {
    event_type: EventType,
    regarding: ObjectRef,
    related: Option<ObjectRef>,
    reason: String,
    action: String,
    note: String,
}

impl NewEvent {
    fn new(event_type: EventType, kind: String, key: &ObjectKey, reason: String, action: String) -> Self {
        let regarding = ObjectRef { kind, key: key.clone() };
        Self { event_type, regarding, related: None, reason, action, note: String::new() }
    }

    /// A sentence for people. The host cuts it to 1,024 bytes.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Another object that has to do with it.
    pub fn related_to(mut self, kind: impl Into<String>, key: &ObjectKey) -> Self {
        self.related = Some(ObjectRef { kind: kind.into(), key: key.clone() });
        self
    }

    /// Records it. A refusal is a line of the log and nothing else: no reconcile should fail for an
    /// Event.
    pub fn record(self) {
        let reason = self.reason.clone();
        if let Err(error) = self.try_record() {
            crate::warn!(reason = reason, "an Event was not recorded: {error}");
        }
    }

    /// Records it, and says why not. It does not say whether the API server has taken it.
    ///
    /// # Errors
    /// [`NotFound`](ApiError::NotFound) if the object is not there, [`Denied`](ApiError::Denied),
    /// [`LimitExceeded`](ApiError::LimitExceeded) with `eventsPerMinute`,
    /// [`BadRequest`](ApiError::BadRequest) for a reason or an action that is empty or has more than 128
    /// bytes, [`Unavailable`](ApiError::Unavailable) if too many wait to be sent.
    pub fn try_record(self) -> Result<(), ApiError> {
        let Self { event_type, regarding, related, reason, action, note } = self;
        Ok(host::record(&regarding, event_type, &reason, &action, &note, related.as_ref())?)
    }
}
