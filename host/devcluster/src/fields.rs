//! Sets of fields, as `metadata.managedFields` records them (`fieldsV1`).
//!
//! A set is a tree: each node is a field, a list item by key, or a list item by value, and says whether
//! that path itself is a member.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::object::Json;
use crate::shape::{ListType, Shape, item_key};

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Field(String),
    /// A list item by its key fields, as canonical JSON.
    Key(String),
    /// A list item by its value, as canonical JSON.
    Value(String),
}

/// A set of paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    pub(crate) member: bool,
    pub(crate) children: BTreeMap<Step, FieldSet>,
}

impl Step {
    /// The step of a list item, if the list's type has a key for it.
    pub(crate) fn of_item(item: &Value, list: &ListType) -> Option<Self> {
        match list {
            ListType::Atomic => None,
            ListType::Set => Some(Self::Value(item.to_string())),
            ListType::Map(keys) => Some(Self::Key(Value::Object(item_key(item, keys)?).to_string())),
        }
    }

    /// The step as a key of the `fieldsV1` form.
    pub(crate) fn encode(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(key) => format!("k:{key}"),
            Self::Value(value) => format!("v:{value}"),
        }
    }

    /// The step as paths show it: `.image`, `[name="web"]`, `[="x"]`.
    pub(crate) fn readable(&self) -> String {
        match self {
            Self::Field(name) => format!(".{name}"),
            Self::Value(value) => format!("[={value}]"),
            Self::Key(key) => {
                let key: Json = serde_json::from_str(key).unwrap_or_default();
                let fields: Vec<String> = key.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("[{}]", fields.join(","))
            }
        }
    }

    fn decode(text: &str) -> Option<Self> {
        let canonical = |json: &str| Some(serde_json::from_str::<Value>(json).ok()?.to_string());
        match text.split_once(':')? {
            ("f", name) => Some(Self::Field(name.to_owned())),
            ("k", key) => Some(Self::Key(canonical(key)?)),
            ("v", value) => Some(Self::Value(canonical(value)?)),
            _ => None,
        }
    }
}

impl FieldSet {
    fn leaf() -> Self {
        Self { member: true, children: BTreeMap::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    pub(crate) fn child(&self, step: &Step) -> Option<&Self> {
        self.children.get(step)
    }

    fn put(&mut self, step: Step, set: Self) {
        if !set.is_empty() {
            self.children.insert(step, set);
        }
    }

    /// The paths that an applied value sets. Items, entries of maps and leaves are members, fields of structs by what is
    /// in them alone, and a keyed list is nothing by itself.
    pub(crate) fn of(value: &Value, shape: &Shape<'_>) -> Self {
        let mut set = Self::default();
        match value {
            Value::Object(map) if !map.is_empty() && !shape.is_atomic_map() => {
                for (name, value) in map {
                    let mut field = Self::of(value, &shape.field(name));
                    field.member |= !shape.names(name);
                    set.put(Step::Field(name.clone()), field);
                }
            }
            Value::Array(items) if *shape.list_type() != ListType::Atomic => {
                let (list, item_shape) = (shape.list_type(), shape.item());
                for item in items {
                    match Step::of_item(item, &list) {
                        None => return Self::leaf(),
                        Some(step) => {
                            let mut item = match *list {
                                ListType::Map(_) => Self::of(item, &item_shape),
                                ListType::Atomic | ListType::Set => Self::default(),
                            };
                            item.member = true;
                            set.put(step, item);
                        }
                    }
                }
            }
            _ => set.member = true,
        }
        set
    }

    pub(crate) fn union(&mut self, other: &Self) {
        self.member |= other.member;
        for (step, theirs) in &other.children {
            self.children.entry(step.clone()).or_default().union(theirs);
        }
    }

    /// Without the members of the other set.
    pub(crate) fn subtract(&mut self, other: &Self) {
        self.member &= !other.member;
        for (step, theirs) in &other.children {
            if let Some(mine) = self.children.get_mut(step) {
                mine.subtract(theirs);
                if mine.is_empty() {
                    self.children.remove(step);
                }
            }
        }
    }

    /// Without the members of the other set and all that is below them.
    pub(crate) fn prune(&mut self, other: &Self) {
        if other.member {
            *self = Self::default();
            return;
        }
        for (step, theirs) in &other.children {
            if let Some(mine) = self.children.get_mut(step) {
                mine.prune(theirs);
                if mine.is_empty() {
                    self.children.remove(step);
                }
            }
        }
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let mut both = Self { member: self.member && other.member, children: BTreeMap::new() };
        for (step, mine) in &self.children {
            if let Some(theirs) = other.children.get(step) {
                both.put(step.clone(), mine.intersection(theirs));
            }
        }
        both
    }

    /// The members as readable paths, such as `.spec.containers[name="web"].image`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_paths("", &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &str, paths: &mut Vec<String>) {
        if self.member {
            paths.push(prefix.to_owned());
        }
        for (step, set) in &self.children {
            let path = format!("{prefix}{}", step.readable());
            set.collect_paths(&path, paths);
        }
    }

    /// The `fieldsV1` form.
    pub(crate) fn encode(&self) -> Value {
        let mut map = Json::new();
        if self.member && !self.children.is_empty() {
            map.insert(".".to_owned(), Value::Object(Json::new()));
        }
        for (step, set) in &self.children {
            map.insert(step.encode(), set.encode());
        }
        Value::Object(map)
    }

    /// Reads the `fieldsV1` form; what is unknown is left out.
    pub(crate) fn decode(value: &Value) -> Self {
        let mut set = Self::decode_node(value);
        // The root itself is never a member, though an empty map would read as one.
        set.member = false;
        set
    }

    fn decode_node(value: &Value) -> Self {
        let Some(map) = value.as_object().filter(|map| !map.is_empty()) else { return Self::leaf() };
        let mut set = Self { member: map.contains_key("."), children: BTreeMap::new() };
        for (key, value) in map {
            if let Some(step) = Step::decode(key) {
                set.put(step, Self::decode_node(value));
            }
        }
        set
    }
}

/// What differs between two values: the paths that were added or changed, and those that are gone.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    pub(crate) changed: FieldSet,
    pub(crate) removed: FieldSet,
}

impl Difference {
    pub(crate) fn between(old: &Value, new: &Value, shape: &Shape<'_>) -> Self {
        let mut difference = Self::default();
        if old == new {
            return difference;
        }
        let nothing = Json::new();
        match (old, new) {
            (Value::Object(old), Value::Object(new)) if !shape.is_atomic_map() => {
                difference.maps(old, new, shape);
            }
            // What is null is there, though it has nothing.
            (Value::Null, Value::Object(new)) if !new.is_empty() && !shape.is_atomic_map() => {
                difference.maps(&nothing, new, shape);
            }
            (Value::Array(old), Value::Array(new)) => difference.lists(old, new, shape),
            (Value::Null, Value::Array(new)) if !new.is_empty() => difference.lists(&[], new, shape),
            _ => difference.changed.member = true,
        }
        difference
    }

    fn nest(&mut self, step: &Step, inner: Self) {
        self.changed.put(step.clone(), inner.changed);
        self.removed.put(step.clone(), inner.removed);
    }

    /// Of two maps whose fields are these.
    pub(crate) fn of_fields(
        old: &BTreeMap<&str, &Value>,
        new: &BTreeMap<&str, &Value>,
        shape: &Shape<'_>,
    ) -> Self {
        let mut difference = Self::default();
        for (name, value) in new {
            difference.field(name, old.get(name).copied(), value, shape);
        }
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            difference.removed.put(Step::Field((*name).to_owned()), FieldSet::leaf());
        }
        difference
    }

    fn maps(&mut self, old: &Json, new: &Json, shape: &Shape<'_>) {
        for (name, value) in new {
            self.field(name, old.get(name), value, shape);
        }
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            self.removed.put(Step::Field(name.clone()), FieldSet::leaf());
        }
    }

    fn field(&mut self, name: &str, old: Option<&Value>, new: &Value, shape: &Shape<'_>) {
        if old == Some(new) {
            return;
        }
        let (step, shape) = (Step::Field(name.to_owned()), shape.field(name));
        match old {
            Some(before) => self.nest(&step, Self::between(before, new, &shape)),
            None => self.changed.put(step, added(new, &shape)),
        }
    }

    fn lists(&mut self, old: &[Value], new: &[Value], shape: &Shape<'_>) {
        let (list, item_shape) = (shape.list_type(), shape.item());
        let (Some(old), Some(new)) = (keyed(old, &list), keyed(new, &list)) else {
            self.changed.member = true;
            return;
        };
        for (step, value) in &new {
            match old.get(step) {
                Some(before) => self.nest(step, Self::between(before, value, &item_shape)),
                None => self.changed.put(step.clone(), added_item(value, &list, &item_shape)),
            }
        }
        for step in old.keys().filter(|step| !new.contains_key(*step)) {
            self.removed.put(step.clone(), FieldSet::leaf());
        }
    }
}

/// The items of a list by their keys, if each has one.
fn keyed<'a>(items: &'a [Value], list: &ListType) -> Option<BTreeMap<Step, &'a Value>> {
    items.iter().map(|item| Some((Step::of_item(item, list)?, item))).collect()
}

/// The paths of a value that was not there before: its own, and those of all that is in it.
fn added(value: &Value, shape: &Shape<'_>) -> FieldSet {
    let mut set = FieldSet::leaf();
    match value {
        Value::Object(map) if !shape.is_atomic_map() => {
            let field = |(name, value): (&String, &Value)| {
                (Step::Field(name.clone()), added(value, &shape.field(name)))
            };
            set.children = map.iter().map(field).collect();
        }
        Value::Array(items) => {
            let (list, item_shape) = (shape.list_type(), shape.item());
            let items = keyed(items, &list).unwrap_or_default();
            let item = |(step, value)| (step, added_item(value, &list, &item_shape));
            set.children = items.into_iter().map(item).collect();
        }
        _ => {}
    }
    set
}

/// The paths of an item that was not there before.
fn added_item(item: &Value, list: &ListType, shape: &Shape<'_>) -> FieldSet {
    match list {
        ListType::Map(_) => added(item, shape),
        ListType::Atomic | ListType::Set => FieldSet::leaf(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shape() -> Shape<'static> {
        let pod = crate::builtin::kinds().into_iter().find(|kind| kind.kind == "Pod").unwrap();
        Shape::Typed { of_type: crate::types::of(&pod).unwrap(), merging: None }
    }

    #[test]
    fn a_set_survives_its_json_form() {
        let value = json!({ "spec": { "containers": [{ "name": "a", "image": "b", "args": ["x"] }] },
            "metadata": { "finalizers": ["example.com/f"] } });
        let set = FieldSet::of(&value, &shape());
        let encoded = set.encode();
        let container = &encoded["f:spec"]["f:containers"]["k:{\"name\":\"a\"}"];
        assert_eq!(container, &json!({ ".": {}, "f:name": {}, "f:image": {}, "f:args": {} }));
        assert_eq!(encoded["f:metadata"]["f:finalizers"], json!({ "v:\"example.com/f\"": {} }));
        assert_eq!(FieldSet::decode(&encoded), set);
    }

    #[test]
    fn paths_are_readable() {
        let value = json!({ "spec": { "containers": [{ "name": "a", "image": "b" }] } });
        let paths = FieldSet::of(&value, &shape()).paths();
        assert!(paths.contains(&".spec.containers[name=\"a\"].image".to_owned()), "{paths:?}");
    }

    #[test]
    fn a_difference_tells_changed_from_removed() {
        let old = json!({ "data": { "a": "1", "b": "2" } });
        let new = json!({ "data": { "a": "3", "c": "4" } });
        let difference = Difference::between(&old, &new, &shape());
        assert_eq!(difference.changed.paths(), [".data.a", ".data.c"]);
        assert_eq!(difference.removed.paths(), [".data.b"]);
    }
}
