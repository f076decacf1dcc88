//! `metadata.managedFields`: who owns which field, and how a plain write changes that.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::fields::{Difference, FieldSet};
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::shape::Shape;

/// Metadata that the server owns and that no manager is recorded for.
const SERVER_OWNED: &[&str] = &[
    "name",
    "namespace",
    "uid",
    "generateName",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
    "selfLink",
    "managedFields",
];

/// How many managers that do not apply are told apart, and who stands for the older ones.
const MOST_UPDATERS: usize = 10;
const ANCIENT: &str = "ancient-changes";

/// One entry of `metadata.managedFields`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) manager: String,
    pub(crate) is_apply: bool,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
    pub(crate) time: String,
    pub(crate) set: FieldSet,
}

/// Who writes, as far as managed fields are concerned.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    pub(crate) manager: String,
    pub(crate) subresource: String,
}

impl Entry {
    pub(crate) fn new(writer: &Writer, is_apply: bool, kind: &Kind, set: FieldSet) -> Self {
        Self {
            manager: writer.manager.clone(),
            is_apply,
            api_version: kind.api_version(),
            subresource: writer.subresource.clone(),
            time: object::now(),
            set,
        }
    }

    pub(crate) fn is_of(&self, writer: &Writer, is_apply: bool) -> bool {
        self.manager == writer.manager && self.subresource == writer.subresource && self.is_apply == is_apply
    }

    /// Reads an entry; `None` for one that no server would write.
    fn decode(value: &Value) -> Option<Self> {
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let is_apply = match text("operation").as_str() {
            "Apply" => true,
            "Update" => false,
            _ => return None,
        };
        if text("fieldsType") != "FieldsV1" || text("apiVersion").is_empty() {
            return None;
        }
        Some(Self {
            manager: text("manager"),
            is_apply,
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: text("time"),
            set: FieldSet::decode(value.get("fieldsV1")?),
        })
    }

    fn encode(&self) -> Value {
        let mut entry = json!({
            "manager": self.manager,
            "operation": if self.is_apply { "Apply" } else { "Update" },
            "apiVersion": self.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.set.encode(),
        });
        for (field, text) in [("time", &self.time), ("subresource", &self.subresource)] {
            if let (false, Some(map)) = (text.is_empty(), entry.as_object_mut()) {
                map.insert(field.to_owned(), text.clone().into());
            }
        }
        entry
    }
}

/// The recorded managers of an object.
pub(crate) fn entries(json: &Json) -> Vec<Entry> {
    let list = object::meta(json, "managedFields").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Entry::decode).collect()
}

/// Records the managers of an object; those that own nothing are left out.
pub(crate) fn store(json: &mut Json, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.set.is_empty());
    // Appliers first, then by time and name, as the real server sorts them.
    entries.sort_by(|a, b| {
        let key = |entry: &Entry| (!entry.is_apply, entry.time.clone(), entry.manager.clone());
        key(a).cmp(&key(b))
    });
    let list: Vec<Value> = entries.iter().map(Entry::encode).collect();
    object::edit_meta(json, |meta| match list.is_empty() {
        true => meta.remove("managedFields"),
        false => meta.insert("managedFields".to_owned(), Value::Array(list)),
    });
}

/// The part of an object that can be owned.
pub(crate) fn ownable(json: &Json) -> Value {
    let mut json = json.clone();
    json.remove("apiVersion");
    json.remove("kind");
    if let Some(meta) = json.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.retain(|field, _| !SERVER_OWNED.contains(&field.as_str()));
        if meta.is_empty() {
            json.remove("metadata");
        }
    }
    Value::Object(json)
}

/// The part of the metadata that can be owned; null if there is none.
fn ownable_meta(json: &Json) -> Value {
    let meta = json.get("metadata").and_then(Value::as_object).into_iter().flatten();
    let meta = meta.filter(|(field, _)| !SERVER_OWNED.contains(&field.as_str()));
    let meta: Json = meta.map(|(field, value)| (field.clone(), value.clone())).collect();
    if meta.is_empty() { Value::Null } else { Value::Object(meta) }
}

/// As [`ownable`], without a copy of what is large.
fn owned_fields<'a>(json: &'a Json, meta: &'a Value) -> BTreeMap<&'a str, &'a Value> {
    let mut fields: BTreeMap<&str, &Value> =
        json.iter().map(|(name, value)| (name.as_str(), value)).collect();
    for name in ["apiVersion", "kind", "metadata"] {
        fields.remove(name);
    }
    if !meta.is_null() {
        fields.insert("metadata", meta);
    }
    fields
}

/// The managers that a client wrote into an object itself; none if it wrote no valid ones.
fn written(json: &Json) -> Option<Vec<Entry>> {
    let list = object::meta(json, "managedFields")?.as_array()?;
    // `[]` and `[{}]` ask for a fresh start.
    match list.as_slice() {
        [] => Some(Vec::new()),
        [Value::Object(entry)] if entry.is_empty() => Some(Vec::new()),
        entries => entries.iter().map(Entry::decode).collect(),
    }
}

/// Records a create, update or patch: the writer owns what it changed, and nobody owns what is gone.
pub(crate) fn record(kind: &Kind, old: Option<&Json>, new: &mut Json, writer: &Writer) {
    // Through a subresource nobody hands on what others own.
    let written = if writer.subresource.is_empty() { written(new) } else { None };
    let mut managers = written.unwrap_or_else(|| old.map(entries).unwrap_or_default());
    if old.is_some() && managers.is_empty() {
        // What nobody keeps track of stays so until it is applied.
        return store(new, managers);
    }
    let nothing = Json::new();
    let (before, after) = (old.unwrap_or(&nothing), &*new);
    let (old_meta, new_meta) = (ownable_meta(before), ownable_meta(after));
    let Difference { mut changed, removed } = Difference::of_fields(
        &owned_fields(before, &old_meta),
        &owned_fields(after, &new_meta),
        &Shape::of(kind),
    );
    changed.member = false;
    let api_version = kind.api_version();
    let is_mine = |entry: &Entry| entry.is_of(writer, false) && entry.api_version == api_version;
    for entry in &mut managers {
        entry.set.prune(&removed);
        if !is_mine(entry) {
            entry.set.subtract(&changed);
        }
    }
    if !changed.is_empty() {
        match managers.iter_mut().find(|entry| is_mine(entry)) {
            Some(mine) => {
                mine.set.union(&changed);
                mine.time = object::now();
            }
            None => managers.push(Entry::new(writer, false, kind, changed)),
        }
    }
    managers.retain(|entry| !entry.set.is_empty());
    store(new, capped(managers));
}

/// The managers with the oldest updaters merged, by API version, while there are too many.
fn capped(managers: Vec<Entry>) -> Vec<Entry> {
    let (mut kept, mut updaters): (Vec<Entry>, Vec<Entry>) =
        managers.into_iter().partition(|entry| entry.is_apply);
    updaters.sort_by(|a, b| {
        let key = |entry: &Entry| (entry.manager != ANCIENT, entry.time.clone(), entry.manager.clone());
        key(a).cmp(&key(b))
    });
    let mut excess = updaters.len().saturating_sub(MOST_UPDATERS);
    let mut oldest: Vec<Entry> = Vec::new();
    for entry in updaters {
        let bucket = oldest.iter_mut().find(|bucket| excess > 0 && bucket.api_version == entry.api_version);
        match bucket {
            Some(bucket) => {
                bucket.manager = ANCIENT.to_owned();
                bucket.subresource = String::new();
                bucket.set.union(&entry.set);
                bucket.time = entry.time;
                excess = excess.saturating_sub(1);
            }
            None if excess > 0 => oldest.push(entry),
            None => kept.push(entry),
        }
    }
    kept.append(&mut oldest);
    kept
}

/// The owner of all that an object has when it is first applied and nobody owned a part of it.
pub(crate) fn before_first_apply(kind: &Kind, live: &Json, subresource: &str) -> Entry {
    let mut owned = ownable(live);
    if let (true, Some(map)) = (kind.has_status, owned.as_object_mut()) {
        map.retain(|field, _| (field == "status") == (subresource == "status"));
    }
    let nothing = Value::Object(Json::new());
    let mut set = Difference::between(&nothing, &owned, &Shape::of(kind)).changed;
    set.member = false;
    let writer = Writer { manager: "before-first-apply".to_owned(), subresource: subresource.to_owned() };
    Entry::new(&writer, false, kind, set)
}
