//! `metadata.managedFields`: who owns which field, and how a plain write changes that.

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

    fn decode(value: &Value) -> Option<Self> {
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Self {
            manager: text("manager"),
            is_apply: text("operation") == "Apply",
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
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.set.encode(),
        });
        if let (false, Some(map)) = (self.subresource.is_empty(), entry.as_object_mut()) {
            map.insert("subresource".to_owned(), self.subresource.clone().into());
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
    // Appliers first, then the order in which they came, as the real server sorts them.
    entries.sort_by_key(|entry| !entry.is_apply);
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

/// Records a create, update or patch: the writer owns what it changed, and nobody owns what is gone.
pub(crate) fn record(kind: &Kind, old: Option<&Json>, new: &mut Json, writer: &Writer) {
    let is_reset = object::meta(new, "managedFields").and_then(Value::as_array).is_some_and(|list| {
        list.is_empty() || list.iter().all(|entry| entry.as_object().is_some_and(Json::is_empty))
    });
    let mut managers = old.map(entries).unwrap_or_default();
    if is_reset && old.is_some() {
        return store(new, Vec::new());
    }
    let before = old.map_or_else(|| Value::Object(Json::new()), ownable);
    let Difference { mut changed, removed } = Difference::between(&before, &ownable(new), &Shape::of(kind));
    changed.member = false;
    for entry in &mut managers {
        entry.set.prune(&removed);
        if !entry.is_of(writer, false) {
            entry.set.subtract(&changed);
        }
    }
    if !changed.is_empty() {
        match managers.iter_mut().find(|entry| entry.is_of(writer, false)) {
            Some(mine) => {
                mine.set.union(&changed);
                mine.time = object::now();
                mine.api_version = kind.api_version();
            }
            None => managers.push(Entry::new(writer, false, kind, changed)),
        }
    }
    store(new, managers);
}
