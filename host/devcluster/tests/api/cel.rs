//! The rules that a schema has in `x-kubernetes-validations`.

use serde_json::{Value, json};

use crate::support::{CRDS, Server, WIDGETS, start, widget, widget_definition};

const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema";
const RULES: &str = "x-kubernetes-validations";

/// A definition whose spec has these properties and rules.
fn definition(properties: Value, rules: Value) -> Value {
    let mut definition = widget_definition();
    definition["spec"]["versions"][0].as_object_mut().unwrap().remove("selectableFields");
    let spec = definition.pointer_mut(&format!("{SCHEMA}/properties/spec")).unwrap();
    *spec = json!({ "type": "object", "properties": properties, RULES: rules });
    definition
}

async fn with(properties: Value, rules: Value) -> Server {
    let server = start().await;
    server.post(CRDS, definition(properties, rules)).await.ok();
    server
}

/// Whether widgets of these specs fit a rule.
async fn fits(properties: Value, rule: &str, good: Value, bad: Value) {
    let server = with(properties, json!([{ "rule": rule }])).await;
    let answer = server.post(WIDGETS, widget("good", good)).await;
    assert!(answer.code < 300, "{rule}: {}", answer.body);
    let status = server.post(WIDGETS, widget("bad", bad)).await.refused(422, "Invalid");
    let message = format!("Invalid value: failed rule: {rule}");
    assert_eq!(status["details"]["causes"][0]["message"], message);
}

fn replicas() -> Value {
    json!({ "min": { "type": "integer" }, "max": { "type": "integer" }, "replicas": { "type": "integer" } })
}

#[tokio::test]
async fn an_object_that_breaks_a_rule_is_refused_with_its_message_reason_and_field() {
    let rules = json!([
        { "rule": "self.min <= self.max", "message": "min must not exceed max", "fieldPath": ".min" },
        { "rule": "self.max < 100", "messageExpression": "'max is too large'", "reason": "FieldValueForbidden" },
    ]);
    let server = with(replicas(), rules).await;
    server.post(WIDGETS, widget("good", json!({ "min": 1, "max": 2 }))).await.ok();
    let status =
        server.post(WIDGETS, widget("bad", json!({ "min": 300, "max": 200 }))).await.refused(422, "Invalid");
    let expected = json!([
        { "reason": "FieldValueInvalid", "field": "spec.min",
            "message": "Invalid value: min must not exceed max" },
        { "reason": "FieldValueForbidden", "field": "spec", "message": "Forbidden: max is too large" },
    ]);
    assert_eq!(status["details"]["causes"], expected);
}

#[tokio::test]
async fn rules_have_the_functions_and_types_of_kubernetes() {
    let texts = |names: &[&str]| {
        Value::Object(
            names
                .iter()
                .map(|name| ((*name).to_owned(), json!({ "type": "string", "maxLength": 50 })))
                .collect(),
        )
    };
    let lists =
        json!({ "l": { "type": "array", "maxItems": 5, "items": { "type": "string", "maxLength": 5 } } });
    let list = |items: &[&str]| json!({ "l": items });
    fits(lists.clone(), "self.l.all(x, x.startsWith('a'))", list(&["a", "ab"]), list(&["a", "b"])).await;
    fits(lists.clone(), "self.l.isSorted()", list(&["a", "b"]), list(&["b", "a"])).await;
    fits(lists, "self.l.exists_one(x, x == 'a') && size(self.l) < 3", list(&["a", "b"]), list(&["a", "a"]))
        .await;
    fits(
        texts(&["a"]),
        "quantity(self.a).isLessThan(quantity('2Gi'))",
        json!({ "a": "1Gi" }),
        json!({ "a": "3Gi" }),
    )
    .await;
    fits(
        texts(&["a"]),
        "isURL(self.a) && url(self.a).getScheme() == 'https'",
        json!({ "a": "https://x" }),
        json!({ "a": "http://x" }),
    )
    .await;
    fits(texts(&["a"]), "self.a.matches('^[a-z]+$')", json!({ "a": "abc" }), json!({ "a": "a1" })).await;
    fits(texts(&["a"]), "isIP(self.a)", json!({ "a": "::1" }), json!({ "a": "x" })).await;
    fits(
        texts(&["a", "b"]),
        "has(self.a) != has(self.b)",
        json!({ "a": "1" }),
        json!({ "a": "1", "b": "1" }),
    )
    .await;
    fits(
        texts(&["namespace", "a-b", "c_d"]),
        "self.__namespace__ == self.a__dash__b && self.c_d == '1'",
        json!({ "namespace": "x", "a-b": "x", "c_d": "1" }),
        json!({ "namespace": "x", "a-b": "y", "c_d": "1" }),
    )
    .await;
    let of_time = json!({ "t": { "type": "string", "format": "date-time" }, "d": { "type": "string", "format": "duration" } });
    fits(
        of_time,
        "self.t > timestamp('2024-01-01T00:00:00Z') && self.d <= duration('1h')",
        json!({ "t": "2024-06-01T00:00:00Z", "d": "30m" }),
        json!({ "t": "2024-06-01T00:00:00Z", "d": "2h" }),
    )
    .await;
    let long = format!("self.max{} > 100", " + 1".repeat(100));
    fits(replicas(), &long, json!({ "max": 1 }), json!({ "max": 0 })).await;
    let map = json!({ "m": { "type": "object", "maxProperties": 5, "additionalProperties": { "type": "integer" } } });
    fits(map, "self.m.all(k, self.m[k] > 0)", json!({ "m": { "a-b": 1 } }), json!({ "m": { "a-b": 0 } }))
        .await;
    let mixed = json!({ "p": { "x-kubernetes-int-or-string": true }, "n": { "type": "number" } });
    fits(
        mixed,
        "type(self.p) == string || self.n > 1.5",
        json!({ "p": "http", "n": 1 }),
        json!({ "p": 80, "n": 1 }),
    )
    .await;
}

#[tokio::test]
async fn rules_are_evaluated_wherever_their_value_is_and_at_the_root() {
    let server = start().await;
    let item = json!({ "type": "object", "required": ["id"], "properties": {
        "id": { "type": "string" }, "n": { "type": "integer" } }, RULES: [{ "rule": "self.n > 0" }] });
    let parts = json!({ "parts": { "type": "array", "maxItems": 5, "items": item } });
    let mut body = definition(parts, json!([]));
    body.pointer_mut(SCHEMA).unwrap()[RULES] =
        json!([{ "rule": "self.metadata.name.startsWith('w')", "message": "a widget's name begins with w" }]);
    server.post(CRDS, body).await.ok();
    let parts = json!({ "parts": [{ "id": "a", "n": 1 }, { "id": "b", "n": 0 }] });
    let status = server.post(WIDGETS, widget("x", parts)).await.refused(422, "Invalid");
    let causes = status["details"]["causes"].as_array().unwrap();
    assert_eq!((&causes[0]["field"], &causes[1]["field"]), (&json!("<nil>"), &json!("spec.parts[1]")));
}

#[tokio::test]
async fn rules_with_the_old_state_are_for_updates_only() {
    let mut properties = replicas();
    properties["max"][RULES] = json!([{ "rule": "self >= oldSelf", "message": "may only grow" }]);
    let server = with(properties, json!([])).await;
    server.post(WIDGETS, widget("w", json!({ "max": 2 }))).await.ok();
    let path = format!("{WIDGETS}/w");
    server.merge(&path, json!({ "spec": { "max": 3 } })).await.ok();
    let status = server.merge(&path, json!({ "spec": { "max": 1 } })).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["message"], "Invalid value: 1: may only grow");
    let path_of_all = format!("{path}?force=true");
    server.apply(&path_of_all, "m", widget("w", json!({ "max": 1 }))).await.refused(422, "Invalid");
    server.merge(&path, json!({ "spec": { "max": null } })).await.ok();
    server.merge(&path, json!({ "spec": { "max": 1 } })).await.ok();
}

#[tokio::test]
async fn an_optional_old_state_is_judged_on_creation_too() {
    let rule = "oldSelf.hasValue() ? self.max >= oldSelf.value().max : self.max == 1";
    let server = with(replicas(), json!([{ "rule": rule, "optionalOldSelf": true }])).await;
    server.post(WIDGETS, widget("bad", json!({ "max": 2 }))).await.refused(422, "Invalid");
    server.post(WIDGETS, widget("w", json!({ "max": 1 }))).await.ok();
    let path = format!("{WIDGETS}/w");
    server.merge(&path, json!({ "spec": { "max": 3 } })).await.ok();
    server.merge(&path, json!({ "spec": { "max": 2 } })).await.refused(422, "Invalid");
}

#[tokio::test]
async fn a_rule_that_was_added_later_leaves_what_does_not_change() {
    let server = with(replicas(), json!([])).await;
    server.post(WIDGETS, widget("w", json!({ "max": 1 }))).await.ok();
    let patch = json!([{ "op": "add", "path": format!("{SCHEMA}/properties/spec/{RULES}"),
        "value": [{ "rule": "self.max > 5" }] }]);
    server.patch(&format!("{CRDS}/widgets.example.com"), "json-patch+json", patch).await.ok();
    let path = format!("{WIDGETS}/w");
    server.merge(&path, json!({ "metadata": { "labels": { "a": "b" } } })).await.ok();
    server.merge(&path, json!({ "spec": { "min": 1 } })).await.refused(422, "Invalid");
}

#[tokio::test]
async fn a_rule_that_fails_while_it_runs_is_an_error() {
    let server = with(replicas(), json!([{ "rule": "self.max > 1", "message": "too few" }])).await;
    let status = server.post(WIDGETS, widget("w", json!({}))).await.refused(422, "Invalid");
    let message = "Invalid value: \"object\": no such key: max evaluating rule: too few";
    assert_eq!(status["details"]["causes"][0]["message"], message);
}

#[tokio::test]
async fn rules_wait_until_the_types_are_right() {
    let server = with(replicas(), json!([{ "rule": "self.max > 1" }])).await;
    let status = server.post(WIDGETS, widget("w", json!({ "max": "x" }))).await.refused(422, "Invalid");
    let causes = status["details"]["causes"].as_array().unwrap();
    assert_eq!((causes.len(), &causes[0]["field"]), (2, &json!("spec.max")));
    let why = "some validation rules were not checked because the object was invalid; correct the existing errors \
               to complete validation";
    assert_eq!(causes[1]["message"], format!("Invalid value: null: {why}"));
}

#[tokio::test]
async fn rules_that_cannot_work_are_refused_with_the_definition() {
    let server = start().await;
    for (rule, field) in [
        (json!({ "rule": "self.max >" }), "rule"),
        (json!({ "rule": "self.most > 1" }), "rule"),
        (json!({ "rule": "other > 1" }), "rule"),
        (json!({ "rule": "self.list.all(x, x.unknown > 1)" }), "rule"),
        (json!({ "rule": "" }), "rule"),
        (json!({ "rule": format!("{}self.max > 0{}", "(".repeat(8000), ")".repeat(8000)) }), "rule"),
        (json!({ "rule": format!("self.max > 0{}", " + 1".repeat(4000)) }), "rule"),
        (json!({ "rule": format!("self{} > 0", ".max".repeat(4000)) }), "rule"),
        (json!({ "rule": "true", "messageExpression": "'a' +" }), "messageExpression"),
        (json!({ "rule": "true", "message": " " }), "message"),
        (json!({ "rule": "true", "reason": "Whim" }), "reason"),
        (json!({ "rule": "true", "fieldPath": ".nowhere" }), "fieldPath"),
    ] {
        let mut properties = replicas();
        properties["list"] = json!({ "type": "array", "maxItems": 5, "items": { "type": "object", "properties": {
            "n": { "type": "integer" } } } });
        let answer = server.post(CRDS, definition(properties, json!([rule]))).await;
        let status = answer.refused(422, "Invalid");
        let path = "spec.versions[0].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations[0]";
        assert_eq!(status["details"]["causes"][0]["field"], format!("{path}.{field}"), "{rule}");
    }
    let list = json!({ "l": { "type": "array", "items": { "type": "integer", RULES: [{ "rule": "self > oldSelf" }] } } });
    let status = server.post(CRDS, definition(list, json!([]))).await.refused(422, "Invalid");
    let path = "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[l]";
    let why = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {path}");
    let message = &status["details"]["causes"][0]["message"];
    assert_eq!(message, &json!(format!("Invalid value: \"self > oldSelf\": {why}")));
}

#[tokio::test]
async fn a_rule_that_would_take_for_ever_is_not_run() {
    // What is known of a list in a list is not that it is long.
    let rule = "[self.l].all(l, l.all(a, l.all(b, l.all(c, l.all(d, a + b + c + d > 0)))))";
    let list = json!({ "l": { "type": "array", "items": { "type": "integer" } } });
    let server = with(list, json!([{ "rule": rule }])).await;
    server.post(WIDGETS, widget("small", json!({ "l": [1, 2] }))).await.ok();
    let many: Vec<u32> = (1..1000).collect();
    let status = server.post(WIDGETS, widget("large", json!({ "l": many }))).await.refused(422, "Invalid");
    let why = "'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call \
               cost exceeds limit for rule: ";
    let message = &status["details"]["causes"][0]["message"];
    assert_eq!(message, &json!(format!("Invalid value: \"object\": {why}{rule}")));
}
