//! A Kubernetes Event that a plugin asks for: what may be in it, and which permissions it takes.
//!
//! The bounds are those of `ValidateEventCreate` for `events.k8s.io/v1`, in `k8s.io/kubernetes`.

use crate::gate::{Access, Permitted, Verb};
use crate::printable::printable;
use crate::request::{Asks, Get};
use crate::{ApiError, Kind};

/// Bytes of a reason, and of an action.
const WORD: usize = 128;
/// Bytes of a note.
const NOTE: usize = 1024;

/// Whether it is good news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// All is well.
    Normal,
    /// It is not.
    Warning,
}

impl EventType {
    /// As Kubernetes spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// What an Event says. It can only be made within its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventText {
    event_type: EventType,
    reason: String,
    action: String,
    note: String,
}

impl EventText {
    /// Control characters are left out, and a note that is too long is cut.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a reason or an action that is empty or too long.
    pub fn new(event_type: EventType, reason: &str, action: &str, note: &str) -> Result<Self, ApiError> {
        let (reason, action) = (word("reason", reason)?, word("action", action)?);
        Ok(Self { event_type, reason, action, note: printable(note, NOTE) })
    }

    /// Whether it is good news.
    pub fn event_type(&self) -> EventType {
        self.event_type
    }

    /// 1 to 128 bytes.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// 1 to 128 bytes.
    pub fn action(&self) -> &str {
        &self.action
    }

    /// At most 1,024 bytes.
    pub fn note(&self) -> &str {
        &self.note
    }
}

fn word(what: &str, text: &str) -> Result<String, ApiError> {
    // A byte more than is allowed tells that there is more.
    let clean = printable(text, WORD + 1);
    let clean = clean.trim();
    match clean.len() {
        0 => Err(ApiError::BadRequest(format!("an Event has no {what}: {:?} is none", shown(text)))),
        1..=WORD => Ok(clean.to_owned()),
        _ => Err(ApiError::BadRequest(format!(
            "the {what} of an Event may have {WORD} bytes, {:?} has {}: say it in the note",
            shown(text),
            text.len()
        ))),
    }
}

fn shown(text: &str) -> String {
    printable(text, 40)
}

/// A new Event on an object. To ask for it takes the permission to create it; that the plugin may get
/// the objects that it is about was asked before.
#[derive(Clone, Debug)]
pub struct NewEvent {
    kind: Kind,
    /// The object that it is on.
    pub regarding: Permitted<Get>,
    /// Another one that has to do with it.
    pub related: Option<Permitted<Get>>,
    /// What it says.
    pub text: EventText,
}

impl NewEvent {
    /// On an object that the plugin may get.
    pub fn new(regarding: Permitted<Get>, related: Option<Permitted<Get>>, text: EventText) -> Self {
        Self { kind: Kind::new("events.k8s.io", "v1", "Event"), regarding, related, text }
    }

    /// Where it goes: `default` for an object that is in no namespace.
    pub fn namespace(&self) -> &str {
        match self.regarding.key.namespace.as_str() {
            "" => "default",
            namespace => namespace,
        }
    }
}

impl Asks for NewEvent {
    fn access(&self) -> Access<'_> {
        Access {
            verb: Verb::Create,
            kind: &self.kind,
            subresource: "",
            namespace: self.namespace(),
            name: "",
        }
    }
}

/// An Event that may turn out to be a repeat of an earlier one, which is then patched: that takes the
/// permission to patch besides.
#[derive(Clone, Debug)]
pub struct RecordEvent(Permitted<NewEvent>);

impl RecordEvent {
    /// Of an Event that the plugin may create.
    pub fn new(event: Permitted<NewEvent>) -> Self {
        Self(event)
    }

    /// The Event.
    pub fn event(&self) -> &NewEvent {
        &self.0
    }
}

impl Asks for RecordEvent {
    fn access(&self) -> Access<'_> {
        Access { verb: Verb::Patch, ..self.0.access() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Key;
    use crate::gate::{Gate, Permission};

    fn text(reason: &str, action: &str, note: &str) -> Result<EventText, ApiError> {
        EventText::new(EventType::Normal, reason, action, note)
    }

    #[test]
    fn hostile_a_reason_or_an_action_that_the_server_would_refuse_is_refused() {
        let long = "x".repeat(129);
        for (reason, action, problem) in [
            ("", "Act", "has no reason"),
            ("\u{7}\n\u{200b}", "Act", "has no reason"),
            ("Why", "  ", "has no action"),
            (long.as_str(), "Act", "the reason of an Event may have 128 bytes"),
            ("Why", long.as_str(), "the action of an Event may have 128 bytes"),
        ] {
            let error = text(reason, action, "").unwrap_err().to_string();
            assert!(error.contains(problem) && error.len() < 200, "{error}");
        }
        assert!(text(&long[1..], &long[1..], "").is_ok());
    }

    #[test]
    fn a_long_note_is_cut_and_not_refused() {
        let event = text("Why", "Act", &"ü".repeat(1000)).unwrap();
        assert!(event.note().ends_with("ü…") && event.note().len() <= 1024 && event.note().len() > 1018);
    }

    fn permission(verbs: &[Verb], kind: &str, namespaces: &[&str]) -> Permission {
        Permission {
            verbs: verbs.to_vec(),
            kind: kind.parse().unwrap(),
            subresource: String::new(),
            namespaces: namespaces.iter().map(|n| (*n).to_owned()).collect(),
        }
    }

    fn record(permissions: Vec<Permission>, namespace: &str) -> Result<Permitted<RecordEvent>, String> {
        let gate = Gate::granting("p", permissions);
        let get = Get {
            kind: "v1/Node".parse().unwrap(),
            key: Key::new(namespace, "x"),
            subresource: String::new(),
            consistency: Default::default(),
        };
        let regarding = gate.permit(get).map_err(|denied| denied.to_string())?;
        let event = NewEvent::new(regarding, None, text("Why", "Act", "").unwrap());
        let event = gate.permit(event).map_err(|denied| denied.to_string())?;
        gate.permit(RecordEvent::new(event)).map_err(|denied| denied.to_string())
    }

    #[test]
    fn hostile_an_event_takes_the_object_and_both_verbs_in_its_namespace() {
        const EVENT: &str = "events.k8s.io/v1/Event";
        let get = || permission(&[Verb::Get], "v1/Node", &[]);
        let both = |namespaces| permission(&[Verb::Create, Verb::Patch], EVENT, namespaces);
        for (permissions, namespace, missing) in [
            (vec![both(&[])], "", "get v1/Node"),
            (vec![get()], "", "create events.k8s.io/v1/Event in namespace default"),
            (vec![get(), both(&["a"])], "b", "create events.k8s.io/v1/Event in namespace b"),
            (vec![get(), both(&["a"])], "", "create events.k8s.io/v1/Event in namespace default"),
            (vec![get(), permission(&[Verb::Create], EVENT, &[])], "a", "patch events.k8s.io/v1/Event"),
            (vec![get(), permission(&[Verb::Create, Verb::Patch], "v1/Event", &[])], "a", "create"),
        ] {
            let denied = record(permissions, namespace).unwrap_err();
            assert!(denied.contains(missing), "{denied}");
        }
        assert!(record(vec![get(), both(&["a"])], "a").is_ok());
        assert!(record(vec![get(), both(&["default"])], "").is_ok());
    }

    /// Any characters at all, those of control among them.
    fn texts() -> impl Strategy<Value = String> {
        prop::collection::vec(any::<char>(), 0..200).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn whatever_comes_an_event_is_within_its_bounds(reason in texts(), action in texts(), note in texts()) {
            if let Ok(event) = text(&reason, &action, &note) {
                for word in [event.reason(), event.action()] {
                    prop_assert!((1..=WORD).contains(&word.len()) && !word.contains(char::is_control));
                }
                prop_assert!(event.note().len() <= NOTE && !event.note().contains(char::is_control));
            }
        }
    }
}
