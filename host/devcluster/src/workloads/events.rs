//! The Events of the stand-ins: what the controllers of a cluster tell of what they do.
//!
//! What is told again is counted in the Event that there is. Nobody here looks at them.

use serde_json::{Value, json};

use super::act::{self, CONTROLLER, Subject};
use super::template;
use crate::object::{self, Json};
use crate::store::{Key, Place};

const EVENTS: &str = "events";

/// The controller of a kind, as its Events name it.
fn component(kind: &str) -> String {
    format!("{}-controller", kind.to_lowercase())
}

/// Tells that something has happened to the subject.
pub(super) fn normal(subject: &Subject<'_>, reason: &str, message: &str) {
    tell(subject, "Normal", reason, message);
}

/// Tells that something is wrong with the subject.
pub(super) fn warning(subject: &Subject<'_>, reason: &str, message: &str) {
    tell(subject, "Warning", reason, message);
}

fn tell(subject: &Subject<'_>, of_type: &str, reason: &str, message: &str) {
    let cluster = subject.cluster;
    let what = json!([subject.uid(), of_type, reason, message]);
    let name = format!("{}.{}", subject.name(), template::hash(&what, 0));
    let place: Place = (EVENTS.into(), Key::new(subject.namespace(), &name));
    if let Some(known) = cluster.store.get(&place.0, &place.1) {
        act::change(cluster, &place, object::uid(&known.json), (CONTROLLER, ""), |json| {
            let count = act::number(json, &["count"], 1).saturating_add(1);
            json.insert("count".to_owned(), count.into());
            json.insert("lastTimestamp".to_owned(), object::now().into());
        });
        return;
    }
    if let Err(error) =
        act::make(cluster, EVENTS, subject.namespace(), event(subject, &name, of_type, reason, message))
    {
        tracing::debug!(%error, name, "no event");
    }
}

fn event(subject: &Subject<'_>, name: &str, of_type: &str, reason: &str, message: &str) -> Json {
    let text = |field: &str| object::text(subject.json, &[field]);
    let (component, now) = (component(text("kind")), object::now());
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": { "name": name },
        "involvedObject": {
            "apiVersion": text("apiVersion"), "kind": text("kind"), "namespace": subject.namespace(),
            "name": subject.name(), "uid": subject.uid(),
            "resourceVersion": object::meta_text(subject.json, "resourceVersion"),
        },
        "type": of_type, "reason": reason, "message": message, "count": 1,
        "firstTimestamp": now, "lastTimestamp": now,
        "source": { "component": component }, "reportingComponent": component,
    });
    match event {
        Value::Object(event) => event,
        _ => Json::new(),
    }
}
