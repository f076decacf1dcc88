//! One stored object, and how its metadata is read and edited.
//!
//! Objects are JSON maps: the server keeps whatever a client wrote. Nothing here fails on an object of
//! an unexpected shape; a field of the wrong type reads as absent.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::Serializer;
use serde_json::{Map, Value};

use crate::schema::Schema;

/// A JSON object.
pub(crate) type Json = Map<String, Value>;

/// An immutable version of an object, with its serialised form made at most once.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) json: Json,
    /// The resource version as a number.
    pub(crate) version: u64,
    weight: usize,
    serialised: OnceLock<Serialised>,
    /// The schema that was last found to leave the object as it is; 0 for none.
    settled: AtomicU64,
}

impl Object {
    pub(crate) fn new(json: Json, version: u64) -> Self {
        let weight = json.iter().map(|(key, value)| key.len().saturating_add(weight(value))).sum();
        Self { json, version, weight, serialised: OnceLock::new(), settled: AtomicU64::new(0) }
    }

    /// Whether the schema leaves the object as it is: looked at once per schema.
    pub(crate) fn is_settled(&self, schema: &Schema) -> bool {
        if self.settled.load(Ordering::Relaxed) == schema.id() {
            return true;
        }
        let is_settled = schema.is_settled(&self.json);
        if is_settled {
            self.settled.store(schema.id(), Ordering::Relaxed);
        }
        is_settled
    }

    /// About how many bytes it has, which it need not be serialised for.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// The object as stored, serialised.
    pub(crate) fn bytes(&self) -> Bytes {
        self.serialised().bytes.clone()
    }

    /// Likewise, without its type and without the brace that opens it.
    pub(crate) fn untyped_bytes(&self) -> Bytes {
        let Serialised { bytes, untyped } = self.serialised();
        bytes.slice(*untyped..)
    }

    fn serialised(&self) -> &Serialised {
        self.serialised.get_or_init(|| Serialised::of(&self.json))
    }
}

/// An object in JSON: its type comes first, so that what is left without it is the end.
#[derive(Debug)]
struct Serialised {
    bytes: Bytes,
    /// Where the fields after the type begin.
    untyped: usize,
}

impl Serialised {
    fn of(json: &Json) -> Self {
        let of_type = |(field, _): &(&String, &Value)| is_type(field);
        let mut text = Vec::with_capacity(USUAL);
        let mut write = |is_wanted: &dyn Fn(&(&String, &Value)) -> bool| {
            let written = serde_json::Serializer::new(&mut text).collect_map(json.iter().filter(is_wanted));
            written.map(|()| text.len())
        };
        match (write(&of_type), write(&|field| !of_type(field))) {
            // Of `{"a":1}{"b":2}` one object is made.
            (Ok(end), Ok(all)) if end > EMPTY && all.saturating_sub(end) > EMPTY => {
                let end = end.saturating_sub(1);
                text.remove(end);
                if let Some(brace) = text.get_mut(end) {
                    *brace = b',';
                }
                Self { bytes: Bytes::from(text), untyped: end.saturating_add(1) }
            }
            _ => Self { bytes: to_bytes(json), untyped: 1 },
        }
    }
}

/// How long an object without any field is.
const EMPTY: usize = "{}".len();

/// Whether a field says what kind of object it is in.
pub(crate) fn is_type(field: &str) -> bool {
    matches!(field, "apiVersion" | "kind")
}

/// How large most objects are at most.
const USUAL: usize = 4096;

/// About how many bytes a value takes when it is written.
fn weight(value: &Value) -> usize {
    let inner: usize = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| key.len().saturating_add(weight(value))).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    inner.saturating_add(6)
}

/// Serialises a JSON object, which cannot fail: its keys are strings and its numbers finite.
pub(crate) fn to_bytes(json: &Json) -> Bytes {
    let mut text = Vec::with_capacity(USUAL);
    match serde_json::to_writer(&mut text, json) {
        Ok(()) => Bytes::from(text),
        Err(_) => Bytes::new(),
    }
}

/// The text at a path, or "".
pub(crate) fn text<'a>(json: &'a Json, path: &[&str]) -> &'a str {
    at(json, path).and_then(Value::as_str).unwrap_or_default()
}

/// The value at a path of field names.
pub(crate) fn at<'a>(json: &'a Json, path: &[&str]) -> Option<&'a Value> {
    let (last, parents) = path.split_last()?;
    let mut map = json;
    for field in parents {
        map = map.get(*field)?.as_object()?;
    }
    map.get(*last)
}

/// The list at a path, or none.
pub(crate) fn items<'a>(json: &'a Json, path: &[&str]) -> &'a [Value] {
    at(json, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The field of a list's item as text, or "".
pub(crate) fn field<'a>(item: &'a Value, name: &str) -> &'a str {
    item.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Whether an object has a condition of this type that is true.
pub(crate) fn has_condition(json: &Json, of_type: &str) -> bool {
    items(json, &["status", "conditions"])
        .iter()
        .any(|condition| field(condition, "type") == of_type && field(condition, "status") == "True")
}

/// Sets the value at a path, making (or replacing) what is not a map on the way.
pub(crate) fn set(json: &mut Json, path: &[&str], value: Value) {
    match path {
        [] => {}
        [last] => {
            json.insert((*last).to_owned(), value);
        }
        [first, rest @ ..] => edit(json, first, |map| set(map, rest, value)),
    }
}

/// Removes the value at a path.
pub(crate) fn remove(json: &mut Json, path: &[&str]) -> Option<Value> {
    match path {
        [] => None,
        [last] => json.remove(*last),
        [first, rest @ ..] => remove(json.get_mut(*first)?.as_object_mut()?, rest),
    }
}

/// Edits the map in a field, which is made if it is absent or no map.
pub(crate) fn edit<R>(json: &mut Json, field: &str, edit: impl FnOnce(&mut Json) -> R) -> R {
    let mut map = match json.remove(field) {
        Some(Value::Object(map)) => map,
        _ => Json::new(),
    };
    let result = edit(&mut map);
    json.insert(field.to_owned(), Value::Object(map));
    result
}

pub(crate) fn edit_meta<R>(json: &mut Json, f: impl FnOnce(&mut Json) -> R) -> R {
    edit(json, "metadata", f)
}

/// Drops the lists and maps of the metadata that are empty: the real server writes none.
pub(crate) fn drop_empty_metadata(json: &mut Json) {
    const FIELDS: &[&str] = &["annotations", "finalizers", "labels", "ownerReferences"];
    let is_empty = |value: &Value| match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    if let Some(Value::Object(meta)) = json.get_mut("metadata") {
        meta.retain(|field, value| !(FIELDS.contains(&field.as_str()) && is_empty(value)));
    }
}

pub(crate) fn meta<'a>(json: &'a Json, field: &str) -> Option<&'a Value> {
    json.get("metadata")?.as_object()?.get(field)
}

pub(crate) fn meta_text<'a>(json: &'a Json, field: &str) -> &'a str {
    meta(json, field).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn name(json: &Json) -> &str {
    meta_text(json, "name")
}

pub(crate) fn namespace(json: &Json) -> &str {
    meta_text(json, "namespace")
}

pub(crate) fn uid(json: &Json) -> &str {
    meta_text(json, "uid")
}

/// Whether deletion was asked for and waits for finalizers.
pub(crate) fn is_deleting(json: &Json) -> bool {
    meta(json, "deletionTimestamp").is_some_and(|stamp| !stamp.is_null())
}

pub(crate) fn finalizers(json: &Json) -> impl Iterator<Item = &str> {
    meta(json, "finalizers").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Whether anything still holds the object back from deletion. A namespace has finalizers in its spec too.
pub(crate) fn has_finalizers(json: &Json) -> bool {
    let of_spec = || {
        text(json, &["kind"]) == "Namespace"
            && text(json, &["apiVersion"]) == "v1"
            && at(json, &["spec", "finalizers"])
                .and_then(Value::as_array)
                .is_some_and(|list| !list.is_empty())
    };
    finalizers(json).next().is_some() || of_spec()
}

/// Whether an object that is being deleted waits for nothing any more.
pub(crate) fn may_go(json: &Json) -> bool {
    is_deleting(json) && crate::delete::grace_of(json) == 0 && !has_finalizers(json)
}

/// One entry of `metadata.ownerReferences`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnerRef<'a> {
    pub(crate) api_version: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) name: &'a str,
    pub(crate) uid: &'a str,
    pub(crate) blocks: bool,
}

pub(crate) fn owners(json: &Json) -> impl Iterator<Item = OwnerRef<'_>> {
    meta(json, "ownerReferences").and_then(Value::as_array).into_iter().flatten().filter_map(|owner| {
        let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
        Some(OwnerRef {
            api_version: text("apiVersion"),
            kind: text("kind"),
            name: text("name"),
            uid: owner.get("uid")?.as_str()?,
            blocks: owner.get("blockOwnerDeletion").and_then(Value::as_bool).unwrap_or(false),
        })
    })
}

pub(crate) use crate::clock::now;

pub(crate) fn seconds_from_now(seconds: i64) -> String {
    write_time(later(crate::clock::timestamp(), seconds))
}

/// So many seconds after (or before) a written time, or after now if it cannot be read.
pub(crate) fn seconds_after(stamp: &str, seconds: i64) -> String {
    write_time(later(stamp.parse().unwrap_or_else(|_| crate::clock::timestamp()), seconds))
}

fn later(time: jiff::Timestamp, seconds: i64) -> jiff::Timestamp {
    time.saturating_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(time)
}

fn write_time(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
