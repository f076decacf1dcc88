//! How much work rules may be, as estimated when a definition is written.

use serde_json::{Value, json};

use crate::support::{CRDS, start, widget_definition};

const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
const TRY: &str = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, \
                   and strings are declared)";
const TOTAL: &str = "Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds \
                     budget by factor of";

fn text(length: u64) -> Value {
    json!({ "type": "string", "maxLength": length })
}

fn list(items: Value, length: Option<u64>) -> Value {
    let mut list = json!({ "type": "array", "items": items });
    if let Some(length) = length {
        list["maxItems"] = json!(length);
    }
    list
}

/// An object with these fields and this rule.
fn object(properties: Value, rule: &str) -> Value {
    json!({ "type": "object", "properties": properties,
        "x-kubernetes-validations": [{ "rule": rule, "message": "m" }] })
}

/// What a definition with this as its spec is refused for.
async fn refusals(spec: Value) -> Vec<String> {
    let server = start().await;
    let mut definition = widget_definition();
    definition["spec"]["versions"][0].as_object_mut().unwrap().remove("selectableFields");
    *definition.pointer_mut(SPEC).unwrap() = spec;
    let answer = server.post(CRDS, definition).await;
    if answer.code < 300 {
        return Vec::new();
    }
    let status = answer.refused(422, "Invalid");
    let mut found: Vec<String> = status["details"]["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| cause["message"].as_str().unwrap().to_owned())
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_rule_that_may_be_too_much_work_is_refused_with_the_factor() {
    let long = "a".repeat(71);
    let unbounded = json!({ "type": "string" });
    let part = |text: &Value| json!({ "type": "object", "properties": { "n": text } });
    let numbers = json!({ "i": { "type": "integer" } });
    for (spec, factor) in [
        (
            object(json!({ "l": list(unbounded.clone(), None) }), &format!("self.l.all(x, x == '{long}')")),
            "1.258290x",
        ),
        (
            object(json!({ "l": list(part(&unbounded), None) }), &format!("self.l.all(x, x.n == '{long}')")),
            "1.363148x",
        ),
        (
            list(object(numbers.clone(), "self.i > 0 && self.i > 1 && self.i > 3 && self.i > 4"), None),
            "1.258291x",
        ),
        (
            json!({ "type": "object",
                "additionalProperties": object(numbers, "self.i > 0 && self.i > 1 && self.i > 3 && self.i > 4") }),
            "1.258291x",
        ),
        (
            list(
                object(json!({ "l": list(unbounded.clone(), Some(5000)) }), "self.l.all(x, x.size() > 0)"),
                Some(900),
            ),
            "2.7x",
        ),
        (
            object(
                json!({ "l": list(list(unbounded, Some(5000)), Some(600)) }),
                "self.l.all(x, x.all(y, y.size() > 0))",
            ),
            "1.8x",
        ),
    ] {
        let expected = format!("Forbidden: estimated rule cost exceeds budget by factor of {factor} {TRY}");
        assert_eq!(refusals(spec.clone()).await, [expected], "{spec}");
    }
}

#[tokio::test]
async fn rules_that_may_be_too_much_work_together_are_refused_with_the_most_expensive_ones() {
    let rule = "self.l.all(x, self.l.all(y, x == y || x.n == y.n))";
    let part = json!({ "type": "object", "properties": { "n": text(64) } });
    let found = refusals(object(json!({ "l": list(part, Some(2000)) }), rule)).await;
    let contributed = "Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
    assert_eq!(found[0], contributed);
    assert!(found[1].starts_with("Forbidden: estimated rule cost exceeds budget by factor of "), "{found:?}");
    assert!(found[2].starts_with(TOTAL), "{found:?}");
    let costly = "self.l.all(x, self.l.all(y, x != y))";
    let fields: serde_json::Map<String, Value> = (0..40)
        .map(|index| {
            (
                format!("f{index:02}"),
                object(json!({ "l": list(json!({ "type": "integer" }), Some(800)) }), costly),
            )
        })
        .collect();
    let found = refusals(json!({ "type": "object", "properties": fields })).await;
    assert_eq!(found.iter().filter(|message| *message == contributed).count(), 4, "{found:?}");
    assert!(found.last().unwrap().starts_with(TOTAL), "{found:?}");
    assert_eq!(found.len(), 5);
}

#[tokio::test]
async fn a_message_that_may_be_too_long_to_make_is_refused() {
    let mut spec = object(json!({ "i": { "type": "integer" } }), "self.i > 0");
    spec["x-kubernetes-validations"][0]["messageExpression"] = json!("'i is ' + string(self.i)");
    let found = refusals(spec).await;
    let why = format!(
        "Forbidden: estimated messageExpression cost exceeds budget by factor of more than 100x {TRY}"
    );
    assert!(found.contains(&why), "{found:?}");
}

#[tokio::test]
async fn limits_in_the_schema_make_rules_affordable() {
    let part = json!({ "type": "object", "properties": { "name": text(63), "e": { "type": "string", "enum": ["A", "B"] },
        "t": { "type": "string", "format": "date-time" } } });
    for (list_length, rule) in [
        (Some(64), "self.l.all(x, self.l.exists_one(y, x.name == y.name))"),
        (Some(100), "self.l.all(x, x.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && x.e == 'A')"),
        (None, "self.l.all(x, x.e == 'A')"),
        (None, "self.l.size() > 0 && self.l[0].t > timestamp('2020-01-01T00:00:00Z')"),
        (Some(16), "self.l.map(x, x.name).filter(x, x.startsWith('a')).size() < 5"),
        (Some(16), "self.?l[?0].?name.optMap(x, x.size()).orValue(0) < 5"),
    ] {
        let spec = object(json!({ "l": list(part.clone(), list_length) }), rule);
        assert_eq!(refusals(spec).await, [""; 0], "{rule}");
    }
}
