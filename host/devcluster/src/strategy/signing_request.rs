//! What the server itself makes of a request for a certificate: it says who asks, and when its conditions came to be.
//!
//! Follows `pkg/registry/certificates/certificates/strategy.go`.

use serde_json::Value;

use crate::access::{self, User};
use crate::object::{self, Json};

const CONDITIONS: &[&str] = &["status", "conditions"];

/// Whoever asks is who sends the request, whatever it says.
pub(super) fn create(json: &mut Json, author: Option<&User>) {
    object::edit(json, "spec", |spec| {
        for field in ["username", "uid", "groups", "extra"] {
            spec.remove(field);
        }
        spec.append(&mut access::requester(author));
    });
}

/// Its specification stays; a condition has the times that it lacks.
pub(super) fn update(json: &mut Json, old: &Json) {
    match old.get("spec") {
        Some(spec) => json.insert("spec".to_owned(), spec.clone()),
        None => json.remove("spec"),
    };
    let mut conditions = object::items(json, CONDITIONS).to_vec();
    for condition in conditions.iter_mut().filter_map(Value::as_object_mut) {
        let is_same = |other: &&Value| {
            ["type", "status"].iter().all(|field| other.get(*field) == condition.get(*field))
        };
        let before = object::items(old, CONDITIONS).iter().find(is_same);
        let since = before.and_then(|before| before.get("lastTransitionTime")).cloned();
        condition.entry("lastUpdateTime").or_insert_with(|| object::now().into());
        condition
            .entry("lastTransitionTime")
            .or_insert_with(|| since.unwrap_or_else(|| object::now().into()));
    }
    if !conditions.is_empty() {
        object::set(json, CONDITIONS, Value::Array(conditions));
    }
}
