//! Managed fields in the form that they are recorded in, for writes that change nobody's part: those of a manager that
//! writes its own fields again, as a kubelet does, which are most of what a cluster writes. To look a few fields up in what
//! is recorded is quick; to read all of it and to write it anew is not.
//!
//! Promises: what it makes of the entries is what reading, changing and writing them would.

use serde_json::Value;

use super::{MOST_UPDATERS, Writer};
use crate::fields::{Difference, FieldSet};
use crate::object::{self, Json};

/// Whether an entry is of a writer that does not apply, in this version.
fn is_of(entry: &Value, writer: &Writer, api_version: &str) -> bool {
    let field = |name: &str| object::field(entry, name);
    field("manager") == writer.manager
        && field("subresource") == writer.subresource
        && field("operation") == "Update"
        && field("apiVersion") == api_version
}

/// The entries after a difference that the writer made, if it leaves everybody's part as it is: only the writer's time is
/// another one then. Those that a client has sent back as they were are taken from there.
pub(super) fn after(
    recorded: &[Value],
    sent: Option<Value>,
    difference: &Difference,
    writer: &Writer,
    api_version: &str,
) -> Option<Vec<Value>> {
    let is_mine = |entry: &Value| is_of(entry, writer, api_version);
    let stays = |entry: &Value| {
        is_sound(entry)
            && entry.get("fieldsV1").is_some_and(|fields| {
                !is_reached(fields, &difference.removed)
                    && (is_mine(entry) || !shares(fields, &difference.changed))
            })
    };
    let updaters = recorded.iter().filter(|entry| object::field(entry, "operation") == "Update").count();
    if recorded.is_empty() || updaters > MOST_UPDATERS || !recorded.iter().all(stays) {
        return None;
    }
    let mine = recorded.iter().position(is_mine);
    let is_new = !difference.changed.is_empty();
    let fields = mine.and_then(|index| recorded.get(index)?.get("fieldsV1"));
    if is_new && !fields.is_some_and(|fields| has_all(fields, &difference.changed)) {
        return None;
    }
    let mut sent = match sent {
        Some(Value::Array(entries)) => entries,
        _ => Vec::new(),
    }
    .into_iter();
    let kept = |entry: &Value| sent.next().filter(|sent| sent == entry).unwrap_or_else(|| entry.clone());
    let mut entries: Vec<Value> = recorded.iter().map(kept).collect();
    if is_new && let Some(mine) = mine.and_then(|index| entries.get_mut(index)?.as_object_mut()) {
        match writer.time() {
            time if time.is_empty() => drop(mine.remove("time")),
            time => drop(mine.insert("time".to_owned(), time.into())),
        }
    }
    entries.sort_by(|a, b| order(a).cmp(&order(b)));
    Some(entries)
}

/// Whether nothing but the times of managers differs, which is no change.
pub(crate) fn differs_by_times_alone(old: &Json, new: &Json) -> bool {
    let managers = |json: &'_ Json| object::meta(json, "managedFields").and_then(Value::as_array).cloned();
    let (Some(before), Some(after)) = (managers(old), managers(new)) else { return false };
    let timeless = |mut entries: Vec<Value>| {
        entries.iter_mut().filter_map(Value::as_object_mut).for_each(|entry| drop(entry.remove("time")));
        entries
    };
    let rest = |json: &Json| {
        let mut meta = json.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
        meta.remove("managedFields");
        meta
    };
    old.len() == new.len()
        && old.iter().all(|(field, value)| field == "metadata" || new.get(field) == Some(value))
        && rest(old) == rest(new)
        && timeless(before) == timeless(after)
}

/// What entries are sorted by: see [`Entry::order`](super::Entry::order).
fn order(entry: &Value) -> (bool, &str, &str) {
    let field = |name: &str| object::field(entry, name);
    (field("operation") != "Apply", field("time"), field("manager"))
}

/// Whether the entry is as a server writes it, with a part that is not empty.
fn is_sound(entry: &Value) -> bool {
    let field = |name: &str| object::field(entry, name);
    matches!(field("operation"), "Apply" | "Update")
        && field("fieldsType") == "FieldsV1"
        && !field("apiVersion").is_empty()
        && entry.get("fieldsV1").and_then(Value::as_object).is_some_and(|fields| !fields.is_empty())
}

fn is_member(fields: &Value) -> bool {
    fields.as_object().is_none_or(|fields| fields.is_empty() || fields.contains_key("."))
}

/// Whether each member of the set is recorded.
fn has_all(fields: &Value, set: &FieldSet) -> bool {
    (!set.member || is_member(fields))
        && set
            .children
            .iter()
            .all(|(step, set)| fields.get(step.encode()).is_some_and(|below| has_all(below, set)))
}

/// Whether any member of the set is recorded.
fn shares(fields: &Value, set: &FieldSet) -> bool {
    (set.member && is_member(fields))
        || set
            .children
            .iter()
            .any(|(step, set)| fields.get(step.encode()).is_some_and(|below| shares(below, set)))
}

/// Whether a member of the set is recorded, or anything below it.
fn is_reached(fields: &Value, set: &FieldSet) -> bool {
    set.member
        || set
            .children
            .iter()
            .any(|(step, set)| fields.get(step.encode()).is_some_and(|below| is_reached(below, set)))
}
