//! How a stored object looks in the version that a client asks for.
//!
//! The versions of a custom resource differ in `apiVersion` alone (conversion strategy None). The two
//! event APIs are one storage with renamed fields. What was stored under another schema than the one
//! that it is read with is pruned and gets its defaults as it is read.

use std::borrow::Cow;

use crate::kind::Kind;
use crate::object::{self, Json, Object};

/// Field of `v1` and field of `events.k8s.io/v1`.
const EVENT_FIELDS: &[(&[&str], &[&str])] = &[
    (&["involvedObject"], &["regarding"]),
    (&["message"], &["note"]),
    (&["source"], &["deprecatedSource"]),
    (&["firstTimestamp"], &["deprecatedFirstTimestamp"]),
    (&["lastTimestamp"], &["deprecatedLastTimestamp"]),
    (&["count"], &["deprecatedCount"]),
    (&["reportingComponent"], &["reportingController"]),
];

/// A stored object as this kind shows it.
pub(crate) fn present<'a>(kind: &Kind, stored: &'a Object) -> Cow<'a, Json> {
    let api_version = kind.api_version();
    let shaped = shaped(kind, stored);
    if object::text(&shaped, &["apiVersion"]) == api_version {
        return shaped;
    }
    let mut json = shaped.into_owned();
    if is_new_event(kind) {
        for (core, new) in EVENT_FIELDS {
            rename(&mut json, core, new);
        }
    }
    json.insert("apiVersion".to_owned(), api_version.into());
    Cow::Owned(json)
}

/// A stored object as the kind's schema makes it, which costs nothing where the schema has nothing to do.
pub(crate) fn shaped<'a>(kind: &Kind, stored: &'a Object) -> Cow<'a, Json> {
    match kind.schema() {
        Some(schema) if !stored.is_settled(schema) => {
            let mut json = stored.json.clone();
            schema.prune(&mut json);
            schema.default(&mut json);
            Cow::Owned(json)
        }
        _ => Cow::Borrowed(&stored.json),
    }
}

/// What is stored of an object that was written in this kind's form.
pub(crate) fn stored(kind: &Kind, mut json: Json) -> Json {
    if is_new_event(kind) {
        for (core, new) in EVENT_FIELDS {
            rename(&mut json, new, core);
        }
        json.insert("apiVersion".to_owned(), "v1".into());
    }
    json
}

fn is_new_event(kind: &Kind) -> bool {
    kind.is("events.k8s.io", "events")
}

fn rename(json: &mut Json, from: &[&str], to: &[&str]) {
    if let Some(value) = object::remove(json, from) {
        object::set(json, to, value);
    }
}
