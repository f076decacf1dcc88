//! The structural schema of a custom resource: pruning, defaulting and validation.

mod check;
mod formats;
mod prune;
pub(crate) mod rule_check;
mod rule_values;
mod rules;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use regex::Regex;
use serde_json::Value;

use self::rules::Rules;
use crate::error::Cause;
use crate::object::Json;

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

    /// Removes fields that the schema does not know; returns their paths.
    pub(crate) fn prune(&self, object: &mut Json) -> Vec<String> {
        let mut dropped = Vec::new();
        prune::prune_map(&self.json, object, "", true, &mut dropped);
        dropped
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
    /// stays as it is, even if the schema has become stricter since.
    pub(crate) fn validate(&self, object: &Json, old: Option<&Json>) -> Vec<Cause> {
        let mut causes = Vec::new();
        self.check_map(&self.json, object, old, "", &mut causes);
        let whole = Value::Object(object.clone());
        self.check_junctors(&self.json, &whole, "", &mut causes);
        check::embedded(&self.json, &whole, "", &mut causes);
        let duplicates = |object: &Value| {
            let mut causes = Vec::new();
            check::duplicates(&self.json, object, "", &mut causes);
            causes
        };
        let doubled = duplicates(&whole);
        let was_doubled = || old.is_some_and(|old| !duplicates(&Value::Object(old.clone())).is_empty());
        if !doubled.is_empty() && !was_doubled() {
            causes.extend(doubled);
        }
        if let Some(rules) = &self.rules {
            // Rules may count on what the rest of the schema says, and so do not see what breaks it.
            let blocks = |cause: &Cause| {
                let kinds = ["FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany"];
                kinds.contains(&cause.reason) || cause.reason == "FieldValueTypeInvalid"
            };
            if causes.iter().any(blocks) {
                let why = "some validation rules were not checked because the object was invalid; \
                           correct the existing errors to complete validation";
                causes.push(Cause::invalid("", &Value::from("null"), why));
            } else {
                let old = old.map(|old| Value::Object(old.clone()));
                rules.validate(&self.json, &whole, old.as_ref(), &mut causes);
            }
        }
        for cause in causes.iter_mut().filter(|cause| cause.field.is_empty()) {
            "<nil>".clone_into(&mut cause.field);
        }
        causes
    }
}

fn collect_patterns(schema: &Value, patterns: &mut HashMap<String, Regex>) {
    match schema {
        Value::Object(map) => {
            if let Some(pattern) = map.get("pattern").and_then(Value::as_str)
                && let Ok(regex) = Regex::new(pattern)
            {
                patterns.insert(pattern.to_owned(), regex);
            }
            map.values().for_each(|value| collect_patterns(value, patterns));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_patterns(value, patterns)),
        _ => {}
    }
}

fn is_true(schema: &Value, field: &str) -> bool {
    schema.get(field).and_then(Value::as_bool).unwrap_or(false)
}

fn text<'a>(schema: &'a Value, field: &str) -> &'a str {
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
        assert_eq!(schema.prune(&mut value), ["other", "spec.b"]);
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
        let fields: Vec<String> =
            schema.validate(&object(broken), None).into_iter().map(|cause| cause.field).collect();
        assert_eq!(fields, ["spec.image", "spec.n", "spec.p", "spec.port", "spec.size", "spec.t"]);
        let good = json!({ "spec": { "image": "i", "n": 1, "size": "s", "p": "aa", "port": "http" } });
        assert!(schema.validate(&object(good), None).is_empty());
    }
}
