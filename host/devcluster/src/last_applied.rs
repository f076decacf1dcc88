//! The annotation in which `kubectl apply` keeps what it last applied as a client.
//!
//! Who goes on with `kubectl apply --server-side` (whose manager is `kubectl`) does not conflict with what the client
//! applied before, as long as nobody has changed it since; and the annotation follows, so that the way back is open.

use serde_json::Value;

use crate::fields::{Difference, FieldSet};
use crate::kind::Kind;
use crate::managed::{self, Writer};
use crate::object::{self, Json};
use crate::shape::Shape;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
const MANAGER: &str = "kubectl";
/// How large all annotations of an object may be together.
const MOST_ANNOTATED: usize = 256 * 1024;

/// The fields that a writer may take over from whoever manages them: as the client applied them, and unchanged.
pub(crate) fn inherited(kind: &Kind, live: &Json, writer: &Writer, shape: &Shape<'_>) -> FieldSet {
    let noted = object::text(live, &["metadata", "annotations", ANNOTATION]);
    let applied: Json = match serde_json::from_str(noted) {
        Ok(applied) if writer.manager == MANAGER => applied,
        _ => return FieldSet::default(),
    };
    if object::text(&applied, &["apiVersion"]) != kind.api_version() {
        return FieldSet::default();
    }
    let applied = managed::ownable(&applied);
    let Difference { changed, removed } = Difference::between(&applied, &managed::ownable(live), shape);
    let mut unchanged = FieldSet::of(&applied, shape);
    unchanged.subtract(&changed);
    unchanged.prune(&removed);
    unchanged
}

/// Has the annotation, where there is one, say what is applied now.
pub(crate) fn follow(merged: &mut Json, applied: &Json, writer: &Writer) {
    const PATH: &[&str] = &["metadata", "annotations", ANNOTATION];
    if writer.manager != MANAGER || object::text(merged, PATH).is_empty() {
        return;
    }
    let mut applied = applied.clone();
    object::remove(&mut applied, PATH);
    object::set(merged, PATH, format!("{}\n", Value::Object(applied)).into());
    let annotations = object::meta(merged, "annotations").and_then(Value::as_object).into_iter().flatten();
    let size = |(name, value): (&String, &Value)| {
        name.len().saturating_add(value.as_str().map(str::len).unwrap_or_default())
    };
    if annotations.map(size).fold(0, usize::saturating_add) > MOST_ANNOTATED {
        object::remove(merged, PATH);
    }
}
