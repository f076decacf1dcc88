//! The structural schema of a custom resource: pruning, defaulting and validation.
//!
//! Covers what OpenAPI v3 schemas of CustomResourceDefinitions may say, but for `format`,
//! `uniqueItems` and the CEL rules of `x-kubernetes-validations`, which are not checked.

use std::collections::HashMap;

use regex::Regex;
use serde_json::{Value, json};

use crate::error::Cause;
use crate::object::Json;

/// A schema with its patterns compiled.
#[derive(Debug, Clone)]
pub(crate) struct Schema {
    json: Value,
    patterns: HashMap<String, Regex>,
}

impl Schema {
    pub(crate) fn new(json: Value) -> Self {
        let mut patterns = HashMap::new();
        collect_patterns(&json, &mut patterns);
        Self { json, patterns }
    }

    pub(crate) fn json(&self) -> &Value {
        &self.json
    }

    /// Removes fields that the schema does not know; returns their paths.
    pub(crate) fn prune(&self, object: &mut Json) -> Vec<String> {
        let mut dropped = Vec::new();
        prune_map(&self.json, object, "", true, &mut dropped);
        dropped
    }

    /// Fills in the defaults of absent fields.
    pub(crate) fn default(&self, object: &mut Json) {
        default_map(&self.json, object);
    }

    /// Every way in which the object breaks the schema.
    pub(crate) fn validate(&self, object: &Json) -> Vec<Cause> {
        let mut causes = Vec::new();
        self.check_map(&self.json, object, "", &mut causes);
        causes
    }

    fn check(&self, schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
        if value.is_null() && is_true(schema, "nullable") {
            return;
        }
        if !type_fits(schema, value) {
            let expected = match is_true(schema, "x-kubernetes-int-or-string") {
                true => "integer or string",
                false => text(schema, "type"),
            };
            causes.push(Cause::wrong_type(path, type_name(value), expected));
            return;
        }
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
            && !allowed.contains(value)
        {
            causes.push(Cause::unsupported(path, value, allowed));
        }
        match value {
            Value::String(string) => self.check_string(schema, string, path, causes),
            Value::Number(_) => check_number(schema, value, path, causes),
            Value::Array(items) => {
                check_count(schema, "Items", items.len(), value, path, causes);
                if let Some(item_schema) = schema.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.check(item_schema, item, &format!("{path}[{index}]"), causes);
                    }
                }
                check_list_keys(schema, items, path, causes);
            }
            Value::Object(map) => self.check_map(schema, map, path, causes),
            Value::Null | Value::Bool(_) => {}
        }
        self.check_junctors(schema, value, path, causes);
    }

    fn check_string(&self, schema: &Value, string: &str, path: &str, causes: &mut Vec<Cause>) {
        let value = json!(string);
        check_count(schema, "Length", string.chars().count(), &value, path, causes);
        let pattern = text(schema, "pattern");
        if self.patterns.get(pattern).is_some_and(|regex| !regex.is_match(string)) {
            let why = format!("{path} in body should match '{pattern}'");
            causes.push(Cause::invalid(path, &value, &why));
        }
    }

    fn check_map(&self, schema: &Value, map: &Json, path: &str, causes: &mut Vec<Cause>) {
        check_count(schema, "Properties", map.len(), &Value::Object(map.clone()), path, causes);
        for field in
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        {
            if !map.contains_key(field) {
                causes.push(Cause::required(join(path, field), ""));
            }
        }
        let is_root = path.is_empty();
        for (name, value) in map.iter().filter(|(name, _)| !(is_root && is_type_meta(name))) {
            if let Some(field) = field_schema(schema, name) {
                self.check(field, value, &join(path, name), causes);
            }
        }
    }

    fn check_junctors(&self, schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
        let fits = |schema: &Value| {
            let mut inner = Vec::new();
            self.check(schema, value, path, &mut inner);
            inner.is_empty()
        };
        let each = |field: &str| schema.get(field).and_then(Value::as_array);
        for part in each("allOf").into_iter().flatten() {
            self.check(part, value, path, causes);
        }
        if each("anyOf").is_some_and(|parts| !parts.iter().any(fits)) {
            causes.push(Cause::invalid(path, value, "must validate at least one schema (anyOf)"));
        }
        if each("oneOf").is_some_and(|parts| parts.iter().filter(|part| fits(part)).count() != 1) {
            causes.push(Cause::invalid(path, value, "must validate one and only one schema (oneOf)"));
        }
        if schema.get("not").is_some_and(fits) {
            causes.push(Cause::invalid(path, value, "must not validate the schema (not)"));
        }
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

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn type_fits(schema: &Value, value: &Value) -> bool {
    if is_true(schema, "x-kubernetes-int-or-string") {
        return value.is_string() || value.is_i64() || value.is_u64();
    }
    match text(schema, "type") {
        "" => true,
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
        expected => type_name(value) == expected,
    }
}

fn check_number(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let (Some(number), bound) = (value.as_f64(), |field: &str| schema.get(field).and_then(Value::as_f64))
    else {
        return;
    };
    if let Some(minimum) = bound("minimum") {
        let exclusive = is_true(schema, "exclusiveMinimum");
        if number < minimum || (exclusive && number == minimum) {
            let relation = if exclusive { "greater than" } else { "greater than or equal to" };
            causes.push(Cause::invalid(
                path,
                value,
                &format!("{path} in body should be {relation} {minimum}"),
            ));
        }
    }
    if let Some(maximum) = bound("maximum") {
        let exclusive = is_true(schema, "exclusiveMaximum");
        if number > maximum || (exclusive && number == maximum) {
            let relation = if exclusive { "less than" } else { "less than or equal to" };
            causes.push(Cause::invalid(
                path,
                value,
                &format!("{path} in body should be {relation} {maximum}"),
            ));
        }
    }
    if let Some(step) = bound("multipleOf").filter(|step| *step > 0.0)
        && (number / step).fract() != 0.0
    {
        causes.push(Cause::invalid(path, value, &format!("{path} in body should be a multiple of {step}")));
    }
}

fn check_count(schema: &Value, what: &str, count: usize, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let bound = |side: &str| schema.get(format!("{side}{what}")).and_then(Value::as_u64);
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    let unit = match what {
        "Length" => "chars long",
        "Items" => "items",
        _ => "properties",
    };
    if let Some(minimum) = bound("min").filter(|minimum| count < *minimum) {
        causes.push(Cause::invalid(
            path,
            value,
            &format!("{path} in body should be at least {minimum} {unit}"),
        ));
    }
    if let Some(maximum) = bound("max").filter(|maximum| count > *maximum) {
        causes.push(Cause::invalid(
            path,
            value,
            &format!("{path} in body should be at most {maximum} {unit}"),
        ));
    }
}

/// The items of a set, and the keys of a list that is a map, must differ.
fn check_list_keys(schema: &Value, items: &[Value], path: &str, causes: &mut Vec<Cause>) {
    let shape = crate::shape::Shape::Schema { schema, is_root: false };
    let list = shape.list_type();
    let mut seen = std::collections::BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        if let Some(step) = crate::fields::Step::of_item(item, &list)
            && !seen.insert(step)
        {
            let message = format!("Duplicate value: {item}");
            causes.push(Cause { reason: "FieldValueDuplicate", field: format!("{path}[{index}]"), message });
        }
    }
}

fn prune_map(schema: &Value, map: &mut Json, path: &str, is_object_root: bool, dropped: &mut Vec<String>) {
    let keeps_unknown = is_true(schema, "x-kubernetes-preserve-unknown-fields");
    map.retain(|name, value| {
        if is_object_root && is_type_meta(name) {
            return true;
        }
        let path = join(path, name);
        match field_schema(schema, name) {
            Some(field) => {
                // A null where none is allowed reads as absent, so that a default can take its place.
                if value.is_null() && !is_true(field, "nullable") {
                    return false;
                }
                prune_value(field, value, &path, dropped);
                true
            }
            None if keeps_unknown || is_true(schema, "additionalProperties") => true,
            None => {
                dropped.push(path);
                false
            }
        }
    });
}

fn prune_value(schema: &Value, value: &mut Value, path: &str, dropped: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            // A value without a described structure, such as `type: object` alone, loses all its fields.
            prune_map(schema, map, path, is_true(schema, "x-kubernetes-embedded-resource"), dropped);
        }
        Value::Array(items) => {
            if let Some(item_schema) = schema.get("items") {
                for (index, item) in items.iter_mut().enumerate() {
                    prune_value(item_schema, item, &format!("{path}[{index}]"), dropped);
                }
            }
        }
        _ => {}
    }
}

fn default_map(schema: &Value, map: &mut Json) {
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if let (false, Some(default)) = (map.contains_key(name), field.get("default")) {
            map.insert(name.clone(), default.clone());
        }
    }
    for (name, value) in map.iter_mut() {
        if let Some(field) = field_schema(schema, name) {
            default_value(field, value);
        }
    }
}

fn default_value(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => default_map(schema, map),
        Value::Array(items) => {
            if let Some(item_schema) = schema.get("items") {
                items.iter_mut().for_each(|item| default_value(item_schema, item));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
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
            schema.validate(&object(broken)).into_iter().map(|cause| cause.field).collect();
        assert_eq!(fields, ["spec.image", "spec.n", "spec.p", "spec.port", "spec.size", "spec.t"]);
        let good = json!({ "spec": { "image": "i", "n": 1, "size": "s", "p": "aa", "port": "http" } });
        assert!(schema.validate(&object(good)).is_empty());
    }
}
