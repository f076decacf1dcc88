//! The structural schema of a custom resource: pruning, defaulting and validation.

mod check;
mod formats;
mod junctors;
pub(crate) mod metadata;
mod numbers;
pub(crate) mod pattern;
mod prune;
mod rule_budget;
pub(crate) mod rule_check;
mod rule_cost;
mod rule_functions;
mod rule_macros;
mod rule_parse;
mod rule_runnable;
mod rule_times;
mod rule_tree;
mod rule_values;
mod rules;
mod typing;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use regex::Regex;
use serde_json::Value;

use self::rules::{Found, Rules};
use crate::error::Cause;
use crate::object::Json;
use crate::strict::StrictErrors;
use crate::types::Path;

/// A schema with its patterns and its rules compiled.
#[derive(Debug)]
pub(crate) struct Schema {
    /// Tells it apart from every other schema that there was, so that objects can remember it.
    id: u64,
    json: Value,
    patterns: HashMap<String, Regex>,
    rules: Option<Rules>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Schema {
    pub(crate) fn new(json: Value) -> Self {
        let mut patterns = HashMap::new();
        collect_patterns(&json, &mut patterns);
        let rules = Rules::new(&json);
        Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), json, patterns, rules }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn json(&self) -> &Value {
        &self.json
    }

    /// Removes fields that the schema does not know, and adds them to those that are `dropped`. Numbers get the form
    /// in which they are stored.
    pub(crate) fn prune(&self, object: &mut Json, dropped: &mut StrictErrors) {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata::prune(metadata, &Path::Field(&Path::Root, "metadata"), dropped);
        }
        object.values_mut().for_each(numbers::settle);
        prune::prune_map(&self.json, object, &Path::Root, true, dropped);
    }

    /// Fills in the defaults of absent fields.
    pub(crate) fn default(&self, object: &mut Json) {
        prune::default_map(&self.json, object);
    }

    /// Whether pruning and defaulting would leave the object as it is.
    pub(crate) fn is_settled(&self, object: &Json) -> bool {
        prune::is_map_settled(&self.json, object, true)
    }

    /// Every way in which the object breaks the schema. What it has in common with its state before
    /// stays as it is, even if the schema has become stricter since. `causes` are those found before.
    pub(crate) fn validate(
        &self,
        object: &mut Json,
        old: Option<&Json>,
        covers: Covers,
        causes: Vec<Cause>,
    ) -> Found {
        let mut found = Found { causes, warnings: Vec::new() };
        // Borrowed for as long as it takes, to be seen as any other value.
        let whole = Value::Object(std::mem::take(object));
        match (covers, whole.as_object()) {
            (Covers::Object, Some(map)) => {
                self.check_junctors(&self.json, &whole, "", &mut found.causes);
                self.check_map(&self.json, map, old, "", &mut found.causes);
                check::embedded(&self.json, &whole, "", &mut found.causes);
            }
            (Covers::Status, Some(map)) => {
                if let (Some(schema), Some(status)) = (field_schema(&self.json, "status"), map.get("status"))
                {
                    let old = old.and_then(|old| old.get("status"));
                    let known = found.causes.len();
                    self.check(schema, status, old, "status", &mut found.causes);
                    found.causes.iter_mut().skip(known).for_each(as_seen_from_the_status);
                }
            }
            (_, None) => {}
        }
        let past = || old.map(|old| Value::Object(old.clone()));
        self.root().validate_further(&self.json, &whole, past, "", &mut found);
        if let Value::Object(map) = whole {
            *object = map;
        }
        for cause in found.causes.iter_mut().filter(|cause| cause.field.is_empty()) {
            shown("").clone_into(&mut cause.field);
        }
        found
    }

    /// The schema as a part of itself.
    pub(crate) fn root(&self) -> Part<'_> {
        Part { whole: self, rules: self.rules.as_ref() }
    }
}

/// What of an object a write may have changed, and so is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Covers {
    Object,
    /// Rules and lists are checked in the whole object even then.
    Status,
}

/// A place in a schema, with the rules from there on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    whole: &'a Schema,
    rules: Option<&'a Rules>,
}

impl Part<'_> {
    pub(crate) fn field(self, name: &str) -> Self {
        Self { rules: self.rules.and_then(|rules| rules.field(name)), ..self }
    }

    pub(crate) fn items(self) -> Self {
        Self { rules: self.rules.and_then(Rules::items), ..self }
    }

    pub(crate) fn extra(self) -> Self {
        Self { rules: self.rules.and_then(Rules::extra), ..self }
    }

    /// What a default, which is at a path, is refused for by the schema that it is a default of.
    pub(crate) fn judge_default(self, schema: &Value, default: &Value, path: &str) -> Vec<Cause> {
        // A null where none is allowed reads as absent.
        if default.is_null() && !is_true(schema, "nullable") {
            return Vec::new();
        }
        let (mut value, mut dropped) = (default.clone(), StrictErrors::default());
        prune::prune_value(schema, &mut value, &Path::Root, &mut dropped);
        if !dropped.is_empty() {
            return vec![Cause::invalid(path, default, "must not have unknown fields")];
        }
        prune::default_value(schema, &mut value);
        let mut found = Found::default();
        self.whole.check(schema, &value, None, path, &mut found.causes);
        check::embedded(schema, &value, path, &mut found.causes);
        self.validate_further(schema, &value, || None, path, &mut found);
        // A set that has something twice is taken as a default.
        found.causes.retain(|cause| cause.reason != "FieldValueDuplicate");
        for cause in found.causes.iter_mut().filter(|cause| cause.field.is_empty()) {
            path.clone_into(&mut cause.field);
        }
        found.causes
    }

    /// Checks what is checked besides each value by itself: the keys of lists, and the rules.
    fn validate_further(
        self,
        schema: &Value,
        value: &Value,
        old: impl FnOnce() -> Option<Value>,
        path: &str,
        found: &mut Found,
    ) {
        let duplicates = |value: &Value| {
            let mut causes = Vec::new();
            check::duplicates(schema, value, path, &mut causes);
            causes
        };
        let doubled = duplicates(value);
        if doubled.is_empty() && self.rules.is_none() {
            return;
        }
        let old = old();
        if !doubled.is_empty() && old.as_ref().is_none_or(|old| duplicates(old).is_empty()) {
            found.causes.extend(doubled);
        }
        let Some(rules) = self.rules else { return };
        // Rules may count on what the rest of the schema says, and so do not see what breaks it.
        let blocks = |cause: &Cause| {
            let kinds =
                ["FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueNotSupported"];
            kinds.contains(&cause.reason) || cause.reason == "FieldValueTypeInvalid"
        };
        if found.causes.iter().any(blocks) {
            let why = "some validation rules were not checked because the object was invalid; \
                       correct the existing errors to complete validation";
            found.causes.push(Cause::invalid("", &Value::Null, why));
        } else {
            rules.validate(schema, value, old.as_ref(), path, found);
        }
    }
}

/// Words a cause as a write of the status alone is refused: its texts name fields below the status.
fn as_seen_from_the_status(cause: &mut Cause) {
    if let Some(below) = cause.field.strip_prefix("status.") {
        cause.message =
            cause.message.replacen(&format!("{} in body", cause.field), &format!("{below} in body"), 1);
    } else if cause.field.is_empty() {
        "status".clone_into(&mut cause.field);
        cause.message = cause.message.replacen("\"status.", "\"", 1).replacen(" in status.", " in ", 1);
    }
}

/// A field as messages have it: the object itself has no path.
fn shown(field: &str) -> &str {
    if field.is_empty() { "<nil>" } else { field }
}

fn collect_patterns(schema: &Value, patterns: &mut HashMap<String, Regex>) {
    match schema {
        Value::Object(map) => {
            if let Some(pattern) = map.get("pattern").and_then(Value::as_str)
                && let Ok(regex) = pattern::compile(pattern)
            {
                patterns.insert(pattern.to_owned(), regex);
            }
            map.values().for_each(|value| collect_patterns(value, patterns));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_patterns(value, patterns)),
        _ => {}
    }
}

/// Whether a map has a field that is true.
pub(crate) fn is_true(schema: &Value, field: &str) -> bool {
    schema.get(field).and_then(Value::as_bool).unwrap_or(false)
}

/// The text in a field of a map, or "".
pub(crate) fn text<'a>(schema: &'a Value, field: &str) -> &'a str {
    schema.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn is_type_meta(field: &str) -> bool {
    matches!(field, "apiVersion" | "kind" | "metadata")
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

/// The schema of a field: its own, or the one of all additional fields.
fn field_schema<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let own = schema.get("properties").and_then(|properties| properties.get(name));
    own.or_else(|| schema.get("additionalProperties").filter(|extra| extra.is_object()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Json {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn unknown_fields_go_unless_the_schema_preserves_them() {
        let schema = Schema::new(json!({ "type": "object", "properties": {
            "spec": { "type": "object", "properties": { "a": { "type": "string" } } },
            "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
            "map": { "type": "object", "additionalProperties": { "type": "string" } } } }));
        let mut value = object(json!({ "kind": "X", "metadata": { "name": "x" }, "other": 1,
            "spec": { "a": "1", "b": 2 }, "free": { "z": { "y": 1 } }, "map": { "k": "v" } }));
        let mut dropped = StrictErrors::new(true);
        schema.prune(&mut value, &mut dropped);
        assert_eq!(dropped.into_lines(), ["unknown field \"other\"", "unknown field \"spec.b\""]);
        let expected = json!({ "kind": "X", "metadata": { "name": "x" }, "spec": { "a": "1" },
            "free": { "z": { "y": 1 } }, "map": { "k": "v" } });
        assert_eq!(Value::Object(value), expected);
    }

    #[test]
    fn defaults_fill_absent_fields_below_present_parents() {
        let schema =
            Schema::new(json!({ "properties": { "spec": { "type": "object", "default": {}, "properties": {
            "replicas": { "type": "integer", "default": 1 } } } } }));
        let mut value = object(json!({}));
        schema.default(&mut value);
        assert_eq!(Value::Object(value), json!({ "spec": { "replicas": 1 } }));
    }

    #[test]
    fn every_broken_rule_is_a_cause_at_its_path() {
        let schema = Schema::new(json!({ "properties": { "spec": { "type": "object", "required": ["image"],
            "properties": {
                "image": { "type": "string" }, "n": { "type": "integer", "minimum": 1 },
                "size": { "type": "string", "enum": ["s", "m"] }, "p": { "type": "string", "pattern": "^a+$" },
                "port": { "x-kubernetes-int-or-string": true }, "t": { "type": "string" } } } } }));
        let broken = json!({ "spec": { "n": 0, "size": "xl", "p": "b", "port": true, "t": 5 } });
        let found = schema.validate(&mut object(broken), None, Covers::Object, Vec::new());
        let fields: Vec<String> = found.causes.into_iter().map(|cause| cause.field).collect();
        assert_eq!(fields, ["spec.image", "spec.n", "spec.p", "spec.port", "spec.size", "spec.t"]);
        let good = json!({ "spec": { "image": "i", "n": 1, "size": "s", "p": "aa", "port": "http" } });
        let found = schema.validate(&mut object(good), None, Covers::Object, Vec::new());
        assert!(found.causes.is_empty());
    }
}
