//! Structural schemas: what the schema of a version must look like.
//!
//! Every value has a type that is said in one place; what is in `allOf` and its kin only restricts it.

use serde_json::{Value, json};

use super::{is_true, text};
use crate::error::Cause;
use crate::schema::{Part, Schema, pattern, rule_check};

const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];
const JUNCTORS: &[&str] = &["allOf", "anyOf", "oneOf"];

/// What is refused wherever it is.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("$ref", "$ref is not supported"),
    ("$schema", "$schema is not supported"),
    ("id", "id is not supported"),
    ("additionalItems", "additionalItems is not supported"),
    ("definitions", "definitions is not supported"),
    ("dependencies", "dependencies is not supported"),
    ("patternProperties", "patternProperties is not supported"),
];

/// What only restricts a value has to leave these to the schema around it.
const OUTER_ONLY: &[(&str, &str)] = &[
    ("type", "must be empty to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("default", "must be undefined to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
];

/// Adds a cause for all that keeps a schema from being structural.
pub(super) fn check(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let whole = Schema::new(schema.clone());
    level(schema, path, Level::Root, whole.root(), causes);
    rule_check::check(schema, path, causes);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Field,
    Item,
}

fn fields<'a>(schema: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    schema.get(field).and_then(Value::as_object).into_iter().flatten()
}

fn items<'a>(schema: &'a Value, field: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    schema.get(field).and_then(Value::as_array).into_iter().flatten().enumerate()
}

/// One level of the structure itself.
fn level(schema: &Value, path: &str, at: Level, part: Part<'_>, causes: &mut Vec<Cause>) {
    generic(schema, path, causes);
    of_type(schema, path, at, causes);
    extensions(schema, path, causes);
    exclusive(schema, path, at, causes);
    super::structural_lists::check(schema, path, causes);
    default(schema, path, at, part, causes);
    if at == Level::Root || is_true(schema, "x-kubernetes-embedded-resource") {
        object_meta(schema, path, causes);
    }
    for (name, field) in fields(schema, "properties") {
        level(field, &format!("{path}.properties[{name}]"), Level::Field, part.field(name), causes);
    }
    if let Some(item) = schema.get("items").filter(|item| item.is_object()) {
        level(item, &format!("{path}.items"), Level::Item, part.items(), causes);
    }
    if let Some(extra) = schema.get("additionalProperties").filter(|extra| extra.is_object()) {
        level(extra, &format!("{path}.additionalProperties"), Level::Field, part.extra(), causes);
    }
    let is_mixed = is_true(schema, "x-kubernetes-int-or-string");
    each_junctor(schema, path, |inner, path, junctor, index| {
        // How the type of an integer or string may be said twice, and no other way.
        let says_type = match junctor {
            "anyOf" if is_mixed && says_either(schema) => Says::Type,
            "allOf" if is_mixed && index == 0 && says_either(inner) => Says::TypeWithin,
            _ => Says::Nothing,
        };
        restriction(inner, schema, path, says_type, at == Level::Root, causes);
    });
}

/// Whether a restriction may say what type a value has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Nothing,
    Type,
    /// The alternatives in it may.
    TypeWithin,
}

fn says_either(schema: &Value) -> bool {
    schema.get("anyOf") == Some(&json!([{ "type": "integer" }, { "type": "string" }]))
}

fn each_junctor(schema: &Value, path: &str, mut visit: impl FnMut(&Value, &str, &str, usize)) {
    for junctor in JUNCTORS {
        for (index, inner) in items(schema, junctor) {
            visit(inner, &format!("{path}.{junctor}[{index}]"), junctor, index);
        }
    }
    if let Some(inner) = schema.get("not") {
        visit(inner, &format!("{path}.not"), "not", 0);
    }
}

/// A schema in `allOf` and its kin: it may restrict what the outer schema has, and add nothing.
fn restriction(
    schema: &Value,
    outer: &Value,
    path: &str,
    says: Says,
    is_root: bool,
    causes: &mut Vec<Cause>,
) {
    generic(schema, path, causes);
    for (field, why) in OUTER_ONLY {
        let is_there = schema.get(*field).is_some_and(|value| {
            !matches!(value, Value::Null | Value::Bool(false)) && value != "" && value != &json!([])
        });
        if is_there && !(says == Says::Type && *field == "type") {
            causes.push(Cause::forbidden(format!("{path}.{field}"), why));
        }
    }
    for (name, field) in fields(schema, "properties") {
        let field_path = format!("{path}.properties[{name}]");
        if is_root && name == "metadata" {
            causes.push(Cause::forbidden(field_path, "must not be specified in a nested context"));
            continue;
        }
        match outer.get("properties").and_then(|fields| fields.get(name)) {
            Some(outer) => restriction(field, outer, &field_path, Says::Nothing, false, causes),
            None => causes.push(undefined(&outer_path(path, &format!("properties[{name}]")), &field_path)),
        }
    }
    if let Some(item) = schema.get("items") {
        let item_path = format!("{path}.items");
        match outer.get("items") {
            Some(outer) => restriction(item, outer, &item_path, Says::Nothing, false, causes),
            None => causes.push(undefined(&outer_path(path, "items"), &item_path)),
        }
    }
    each_junctor(schema, path, |inner, path, _, _| {
        let says = if says == Says::TypeWithin { Says::Type } else { Says::Nothing };
        restriction(inner, outer, path, says, is_root, causes);
    });
}

fn undefined(field: &str, because: &str) -> Cause {
    Cause::required(field, &format!("because it is defined in {because}"))
}

/// Where in the structure itself something in a restriction belongs.
fn outer_path(path: &str, step: &str) -> String {
    let is_junctor = |part: &str| {
        part == "not" || JUNCTORS.iter().any(|junctor| part.strip_prefix(junctor).is_some_and(is_index))
    };
    let mut outer: Vec<&str> = path.split('.').filter(|part| !is_junctor(part)).collect();
    outer.push(step);
    outer.join(".")
}

fn is_index(text: &str) -> bool {
    text.starts_with('[') && text.ends_with(']')
}

/// What is refused in the structure and in restrictions alike.
fn generic(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    for (field, why) in UNSUPPORTED {
        if schema.get(*field).is_some_and(|value| !value.is_null()) {
            causes.push(Cause::forbidden(format!("{path}.{field}"), why));
        }
    }
    if is_true(schema, "uniqueItems") {
        let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        causes.push(Cause::forbidden(format!("{path}.uniqueItems"), why));
    }
    if schema.get("items").is_some_and(Value::is_array) {
        let why = "items must be a schema object and not an array";
        causes.push(Cause::forbidden(format!("{path}.items"), why));
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
        && let Err(error) = pattern::compile(pattern)
    {
        let why = format!("must be a valid regular expression, but isn't: {error}");
        causes.push(Cause::invalid(format!("{path}.pattern"), &json!(pattern), &why));
    }
}

fn of_type(schema: &Value, path: &str, at: Level, causes: &mut Vec<Cause>) {
    let (found, path) = (text(schema, "type"), format!("{path}.type"));
    let is_mixed = is_true(schema, "x-kubernetes-int-or-string");
    let keeps_unknown = is_true(schema, "x-kubernetes-preserve-unknown-fields");
    match found {
        "" if at == Level::Root => causes.push(Cause::required(path, "must not be empty at the root")),
        "" if is_mixed || keeps_unknown => {}
        "" if at == Level::Item => {
            causes.push(Cause::required(path, "must not be empty for specified array items"));
        }
        "" => causes.push(Cause::required(path, "must not be empty for specified object fields")),
        "null" => {
            let known = ["array", "boolean", "integer", "number", "object", "string"].map(Value::from);
            causes.push(Cause::unsupported(path.as_str(), &json!(found), &known));
            let why = "type cannot be set to null, use nullable as an alternative";
            causes.push(Cause::forbidden(path, why));
        }
        _ if is_mixed => {
            let why = "must be empty if x-kubernetes-int-or-string is true";
            causes.push(Cause::invalid(path, &json!(found), why));
        }
        _ if at == Level::Root && found != "object" => {
            causes.push(Cause::invalid(path, &json!(found), "must be object at the root"));
        }
        _ if !TYPES.contains(&found) => {
            let types: Vec<Value> = TYPES.iter().map(|one| json!(one)).collect();
            causes.push(Cause::unsupported(path, &json!(found), &types));
        }
        _ => {}
    }
}

fn extensions(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(false)) {
        let field = format!("{path}.x-kubernetes-preserve-unknown-fields");
        causes.push(Cause::invalid(field, &json!(false), "must be true or undefined"));
    }
    let has_properties = fields(schema, "properties").next().is_some();
    match schema.get("additionalProperties") {
        Some(Value::Bool(false)) => {
            let why = "additionalProperties cannot be set to false";
            causes.push(Cause::forbidden(format!("{path}.additionalProperties"), why));
        }
        Some(extra) if has_properties && !extra.is_null() => {
            let why = "additionalProperties and properties are mutual exclusive";
            causes.push(Cause::forbidden(format!("{path}.additionalProperties"), why));
        }
        _ => {}
    }
    if is_true(schema, "x-kubernetes-embedded-resource") {
        let of_type = text(schema, "type");
        if of_type != "object" {
            let why = "must be object if x-kubernetes-embedded-resource is true";
            let field = format!("{path}.type");
            causes.push(match of_type {
                "" => Cause::required(field, why),
                other => Cause::invalid(field, &json!(other), why),
            });
        }
        if !has_properties && !is_true(schema, "x-kubernetes-preserve-unknown-fields") {
            let why = "must not be empty if x-kubernetes-embedded-resource is true without \
                       x-kubernetes-preserve-unknown-fields";
            causes.push(Cause::required(format!("{path}.properties"), why));
        }
    }
}

/// What a schema may not say besides something else, or where it is.
fn exclusive(schema: &Value, path: &str, at: Level, causes: &mut Vec<Cause>) {
    if at == Level::Root && is_true(schema, "nullable") {
        let why = "nullable cannot be true at the root";
        causes.push(Cause::forbidden(format!("{path}.nullable"), why));
    }
    if schema.get("additionalProperties").is_some_and(|extra| !extra.is_null() && extra != &json!(false)) {
        let why = match (at, is_true(schema, "x-kubernetes-embedded-resource")) {
            (Level::Root, _) => Some("must not be used at the root"),
            (_, true) => Some("must not be used if x-kubernetes-embedded-resource is set"),
            _ => None,
        };
        causes.extend(why.map(|why| Cause::forbidden(format!("{path}.additionalProperties"), why)));
    }
    if text(schema, "type") == "array" && schema.get("items").is_none_or(Value::is_null) {
        causes.push(Cause::required(format!("{path}.items"), "must be specified"));
    }
    if is_true(schema, "x-kubernetes-int-or-string") {
        let why = "must be false if x-kubernetes-int-or-string is true";
        for field in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
            if is_true(schema, field) {
                causes.push(Cause::invalid(format!("{path}.{field}"), &json!(true), why));
            }
        }
    }
}

/// The schema of an object that has a kind of its own says little about what every object has.
fn object_meta(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    for (field, of_type) in [("apiVersion", "string"), ("kind", "string"), ("metadata", "object")] {
        let Some(found) = schema.get("properties").and_then(|fields| fields.get(field)) else { continue };
        let found_type = text(found, "type");
        if found_type != of_type && !found_type.is_empty() {
            let why = format!("must be {of_type}");
            causes.push(Cause::invalid(format!("{path}.properties[{field}].type"), &json!(found_type), &why));
        }
        if field != "metadata" {
            continue;
        }
        let is_usual =
            |name: &String| matches!(name.as_str(), "type" | "description" | "title" | "properties");
        let restricts_names =
            fields(found, "properties").all(|(name, _)| matches!(name.as_str(), "name" | "generateName"));
        if !restricts_names || !found.as_object().is_none_or(|map| map.keys().all(is_usual)) {
            let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
            causes.push(Cause::forbidden(format!("{path}.properties[metadata]"), why));
        }
    }
}

/// A default must be what a client could have written.
fn default(schema: &Value, path: &str, at: Level, part: Part<'_>, causes: &mut Vec<Cause>) {
    let Some(default) = schema.get("default") else { return };
    let path = format!("{path}.default");
    if at == Level::Root {
        causes.push(Cause::forbidden(path, "must not be set at the root"));
        return;
    }
    causes.extend(part.judge_default(schema, default, &path));
}
