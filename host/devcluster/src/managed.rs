//! `metadata.managedFields`: who owns which field, and how a plain write changes that.

mod recorded;

pub(crate) use self::recorded::differs_by_times_alone;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::fields::{Difference, FieldSet};
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::shape::Shape;
use crate::types;

/// Metadata that the server owns and that no manager is recorded for.
const SERVER_OWNED: &[&str] = &[
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
    "selfLink",
    "managedFields",
];

const MANAGED_FIELDS: &[&str] = &["metadata", "managedFields"];

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

impl Writer {
    /// The time of what is written now. The real server loses it for what is written as a Scale.
    pub(crate) fn time(&self) -> String {
        if self.subresource == "scale" { String::new() } else { object::now() }
    }
}

impl Entry {
    pub(crate) fn new(writer: &Writer, is_apply: bool, kind: &Kind, set: FieldSet) -> Self {
        Self {
            manager: writer.manager.clone(),
            is_apply,
            api_version: kind.api_version(),
            subresource: writer.subresource.clone(),
            time: writer.time(),
            set,
        }
    }

    pub(crate) fn is_of(&self, writer: &Writer, is_apply: bool) -> bool {
        self.manager == writer.manager && self.subresource == writer.subresource && self.is_apply == is_apply
    }

    /// What entries are sorted by: appliers first, then by time and name, as the real server sorts them.
    fn order(&self) -> (bool, &str, &str) {
        (!self.is_apply, &self.time, &self.manager)
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
    object::items(json, MANAGED_FIELDS).iter().filter_map(Entry::decode).collect()
}

/// Records the managers of an object; those that own nothing are left out.
pub(crate) fn store(json: &mut Json, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.set.is_empty());
    entries.sort_by(|a, b| a.order().cmp(&b.order()));
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

/// The fields of the metadata that can be owned.
fn ownable_meta(json: &Json) -> impl Iterator<Item = (&String, &Value)> {
    let meta = json.get("metadata").and_then(Value::as_object).into_iter().flatten();
    meta.filter(|(field, _)| !SERVER_OWNED.contains(&field.as_str()))
}

/// What of what can be owned is another in the new state.
fn difference(kind: &Kind, old: &Json, new: &Json) -> Difference {
    // Metadata that stays is no part of it, nor is any that nobody can own.
    let stays = ownable_meta(old).eq(ownable_meta(new));
    let meta =
        |json| ownable_meta(json).filter(|_| !stays).map(|(name, value)| (name.clone(), value.clone()));
    let (old_meta, new_meta) = (Value::Object(meta(old).collect()), Value::Object(meta(new).collect()));
    let (old, new) = (owned_fields(old, &old_meta), owned_fields(new, &new_meta));
    let mut difference = Difference::of_fields(&old, &new, &Shape::of(kind));
    difference.changed.member = false;
    difference
}

/// As [`ownable`], without a copy of what is large.
fn owned_fields<'a>(json: &'a Json, meta: &'a Value) -> BTreeMap<&'a str, &'a Value> {
    let mut fields: BTreeMap<&str, &Value> =
        json.iter().map(|(name, value)| (name.as_str(), value)).collect();
    for name in ["apiVersion", "kind"] {
        fields.remove(name);
    }
    fields.insert("metadata", meta);
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

/// Whether a new state has the managers that are recorded, because nobody has written others or may hand them on.
fn has_recorded(old: &Json, new: &Json, writer: &Writer) -> bool {
    let sent = object::meta(new, "managedFields");
    !writer.subresource.is_empty() || sent.is_none() || sent == object::meta(old, "managedFields")
}

/// What an object has before anybody has written it, which nobody owns.
fn beginning(kind: &Kind) -> Json {
    match types::of(kind) {
        Some(of_type) => types::empty(of_type),
        None => Json::from_iter([("metadata".to_owned(), Value::Object(Json::new()))]),
    }
}

/// Records a create, update or patch: the writer owns what it changed, and nobody owns what is gone.
pub(crate) fn record(kind: &Kind, old: Option<&Json>, new: &mut Json, writer: &Writer) {
    let beginning = beginning(kind);
    let before = old.unwrap_or(&beginning);
    // Who creates an object does not own a status that it has from the beginning.
    let is_made = old.is_none() && kind.has_status;
    let status = is_made.then(|| new.remove("status")).flatten();
    let difference = difference(kind, before, new);
    new.extend(status.map(|status| ("status".to_owned(), status)));
    let managers = if has_recorded(before, new, writer) {
        let sent = object::remove(new, MANAGED_FIELDS);
        let recorded = object::items(before, MANAGED_FIELDS);
        let api_version = kind.api_version();
        if let Some(entries) = recorded::after(recorded, sent, &difference, writer, &api_version) {
            return object::set(new, MANAGED_FIELDS, entries.into());
        }
        entries(before)
    } else {
        written(new).unwrap_or_else(|| entries(before))
    };
    match old.is_some() && managers.is_empty() {
        // What nobody keeps track of stays so until it is applied.
        true => store(new, managers),
        false => store(new, capped(changed(kind, managers, difference, writer))),
    }
}

/// The managers after a difference that a writer has made.
fn changed(kind: &Kind, mut managers: Vec<Entry>, difference: Difference, writer: &Writer) -> Vec<Entry> {
    let Difference { changed, removed } = difference;
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
                mine.time = writer.time();
            }
            None => managers.push(Entry::new(writer, false, kind, changed)),
        }
    }
    managers.retain(|entry| !entry.set.is_empty());
    managers
}

/// The managers with the oldest updaters merged, by API version, while there are too many.
fn capped(managers: Vec<Entry>) -> Vec<Entry> {
    let (mut kept, mut updaters): (Vec<Entry>, Vec<Entry>) =
        managers.into_iter().partition(|entry| entry.is_apply);
    updaters
        .sort_by_cached_key(|entry| (entry.manager != ANCIENT, entry.time.clone(), entry.manager.clone()));
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
    let nothing = Value::Object(beginning(kind));
    let mut set = Difference::between(&nothing, &owned, &Shape::of(kind)).changed;
    set.member = false;
    let writer = Writer { manager: "before-first-apply".to_owned(), subresource: subresource.to_owned() };
    Entry::new(&writer, false, kind, set)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "2020-01-01T00:00:00Z";

    fn pod(status: &Value) -> Json {
        let condition = json!({ "type": "Ready", "status": "True" });
        let containers = json!([{ "name": "a", "image": "b", "args": ["x"] }]);
        let mut pod = json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "p", "labels": { "l": "1" }, "finalizers": ["example.com/f"] },
            "spec": { "containers": containers },
            "status": { "phase": "Running", "conditions": [condition] } });
        json_patch::merge(&mut pod, status);
        pod.as_object().cloned().unwrap_or_default()
    }

    fn writer(manager: &str, subresource: &str) -> Writer {
        Writer { manager: manager.to_owned(), subresource: subresource.to_owned() }
    }

    /// One that three managers have written, one of whom applied something.
    fn recorded(kind: &Kind) -> Json {
        let mut live = pod(&json!({}));
        let status =
            Difference::between(&json!({}), &json!({ "status": live.get("status") }), &Shape::of(kind));
        let spec =
            Difference::between(&json!({}), &ownable(&pod(&json!({ "status": null }))), &Shape::of(kind));
        let label = FieldSet::of(&json!({ "metadata": { "labels": { "l": "1" } } }), &Shape::of(kind));
        let mut entries = vec![
            Entry::new(&writer("maker", ""), false, kind, spec.changed),
            Entry::new(&writer("kubelet", "status"), false, kind, status.changed),
            Entry::new(&writer("applier", ""), true, kind, label),
        ];
        entries.iter_mut().for_each(|entry| BEFORE.clone_into(&mut entry.time));
        entries.iter_mut().for_each(|entry| entry.set.member = false);
        store(&mut live, entries);
        live
    }

    /// With one time for all that was not written before.
    fn timed(mut json: Json) -> Json {
        let list = json.get_mut("metadata").and_then(|meta| meta.get_mut("managedFields"));
        for entry in list.and_then(Value::as_array_mut).into_iter().flatten() {
            if entry["time"] != BEFORE {
                entry["time"] = "now".into();
            }
        }
        json
    }

    #[test]
    fn what_is_recorded_becomes_the_same_whether_it_is_read_or_not() {
        let kind = crate::builtin::kinds().into_iter().find(|kind| kind.kind == "Pod").unwrap();
        let live = recorded(&kind);
        let ready = |status: &str| json!([{ "type": "Ready", "status": status }]);
        let mut unread = 0;
        for (manager, subresource, change) in [
            ("kubelet", "status", json!({})),
            ("kubelet", "status", json!({ "status": { "phase": "Failed" } })),
            ("kubelet", "status", json!({ "status": { "conditions": ready("False") } })),
            ("kubelet", "status", json!({ "status": { "podIP": "10.0.0.1" } })),
            ("kubelet", "status", json!({ "status": { "phase": null } })),
            ("kubelet", "status", json!({ "status": { "conditions": [] } })),
            ("kubelet", "", json!({ "status": { "phase": "Failed" } })),
            ("other", "status", json!({ "status": { "phase": "Failed" } })),
            ("maker", "", json!({ "metadata": { "labels": { "l": "2" } } })),
            ("maker", "", json!({ "metadata": { "labels": null } })),
            ("maker", "", json!({ "metadata": { "finalizers": ["example.com/g"] } })),
            (
                "maker",
                "",
                json!({ "spec": { "containers": [{ "name": "a", "image": "c", "args": ["x"] }] } }),
            ),
            (
                "maker",
                "",
                json!({ "spec": { "containers": [{ "name": "a", "image": "b", "args": ["y"] }] } }),
            ),
            ("maker", "", json!({ "spec": { "containers": [{ "name": "a", "image": "b" }] } })),
            ("maker", "", json!({ "spec": { "nodeName": "n" } })),
        ] {
            let (writer, new) = (writer(manager, subresource), pod(&change));
            let difference = difference(&kind, &live, &new);
            let mut expected = new.clone();
            let is_other = !difference.changed.is_empty() || !difference.removed.is_empty();
            store(&mut expected, capped(changed(&kind, entries(&live), difference, &writer)));
            let mut found = new;
            record(&kind, Some(&live), &mut found, &writer);
            assert_eq!(timed(found.clone()), timed(expected), "{manager} {subresource} {change}");
            let had = object::items(&live, MANAGED_FIELDS).iter().map(|entry| entry.get("fieldsV1"));
            let has = object::items(&found, MANAGED_FIELDS).iter().map(|entry| entry.get("fieldsV1"));
            unread += usize::from(is_other && has.clone().all(|set| had.clone().any(|had| had == set)));
        }
        assert!(unread >= 4, "{unread}");
    }
}
