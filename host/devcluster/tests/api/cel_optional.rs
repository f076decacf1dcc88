//! Rules about what may be missing: optional values, and the macros that only Kubernetes has.

use serde_json::{Value, json};

use crate::support::{CRDS, WIDGETS, start, widget, widget_definition};

const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";

/// One schema for all these rules.
fn definition(rules: Value) -> Value {
    let mut definition = widget_definition();
    definition["spec"]["versions"][0].as_object_mut().unwrap().remove("selectableFields");
    let text = json!({ "type": "string", "maxLength": 10 });
    let part = json!({ "type": "object", "properties": { "name": text, "n": { "type": "integer" },
        "below": { "type": "object", "properties": { "name": text } } } });
    *definition.pointer_mut(SPEC).unwrap() = json!({ "type": "object", "x-kubernetes-validations": rules,
        "properties": {
            "part": part, "name": text, "n": { "type": "integer" },
            "list": { "type": "array", "maxItems": 5, "items": text },
            "parts": { "type": "array", "maxItems": 5, "items": part },
            "map": { "type": "object", "maxProperties": 5, "additionalProperties": text },
        } });
    definition
}

/// Whether widgets of these specs fit a rule.
async fn fits(rule: &str, good: Value, bad: Value) {
    let server = start().await;
    let answer = server.post(CRDS, definition(json!([{ "rule": rule }]))).await;
    assert!(answer.code < 300, "{rule}: {}", answer.body);
    let answer = server.post(WIDGETS, widget("good", good)).await;
    assert!(answer.code < 300, "{rule}: {}", answer.body);
    let answer = server.post(WIDGETS, widget("bad", bad)).await;
    assert_eq!(answer.code, 422, "{rule}: {}", answer.body);
    let message = format!("Invalid value: failed rule: {rule}");
    assert_eq!(answer.body["details"]["causes"][0]["message"], message);
}

#[tokio::test]
async fn a_missing_field_is_no_error_where_it_is_optional() {
    for (rule, good, bad) in [
        ("self.?name.orValue('a') == 'a'", json!({}), json!({ "name": "b" })),
        ("self.?name.hasValue()", json!({ "name": "" }), json!({})),
        (
            "!self.?name.hasValue() || self.?name.value() == 'a'",
            json!({ "name": "a" }),
            json!({ "name": "b" }),
        ),
        ("self.?part.?name.orValue('') == 'a'", json!({ "part": { "name": "a" } }), json!({})),
        ("self.?part.name.orValue('') == 'a'", json!({ "part": { "name": "a" } }), json!({ "part": {} })),
        (
            "self.?part.?below.?name.orValue('') == 'a'",
            json!({ "part": { "below": { "name": "a" } } }),
            json!({ "part": {} }),
        ),
        ("has(self.?part.below)", json!({ "part": { "below": {} } }), json!({ "part": {} })),
        ("self.?list[?0].orValue('') == 'a'", json!({ "list": ["a"] }), json!({ "list": [] })),
        ("self.list[?1].orValue('') == 'b'", json!({ "list": ["a", "b"] }), json!({ "list": ["a"] })),
        ("self.?list[0].orValue('') == 'a'", json!({ "list": ["a"] }), json!({})),
        ("self.map[?'k'].orValue('x') == 'x'", json!({ "map": {} }), json!({ "map": { "k": "y" } })),
        ("self.?map.k.orValue('x') == 'x'", json!({}), json!({ "map": { "k": "y" } })),
        ("self.?n == optional.of(1)", json!({ "n": 1 }), json!({})),
        ("self.?n != optional.none()", json!({ "n": 1 }), json!({})),
    ] {
        fits(rule, good, bad).await;
    }
}

#[tokio::test]
async fn optional_values_are_made_joined_and_gathered() {
    for (rule, good, bad) in [
        ("self.?name.or(self.?part.?name).orValue('') == 'a'", json!({ "part": { "name": "a" } }), json!({})),
        ("self.?name.or(optional.of('b')).value() == 'b'", json!({}), json!({ "name": "a" })),
        ("optional.ofNonZeroValue(self.name).hasValue()", json!({ "name": "a" }), json!({ "name": "" })),
        ("[?self.?name, ?self.?part.?name].size() == 1", json!({ "name": "a" }), json!({})),
        ("{?'k': self.?name}.size() == 1", json!({ "name": "a" }), json!({})),
        ("optional.unwrap([self.?name, self.?part.?name]) == ['a']", json!({ "name": "a" }), json!({})),
        ("[self.?name].unwrapOpt().size() == 1", json!({ "name": "a" }), json!({})),
        ("self.list.first().orValue('') == 'a'", json!({ "list": ["a"] }), json!({ "list": [] })),
        (
            "self.parts.last().?name.orValue('') == 'a'",
            json!({ "parts": [{ "name": "a" }] }),
            json!({ "parts": [{}] }),
        ),
    ] {
        fits(rule, good, bad).await;
    }
}

#[tokio::test]
async fn macros_of_optional_values_see_what_there_is() {
    for (rule, good, bad) in [
        ("self.?name.optMap(x, x.size()).orValue(0) == 1", json!({ "name": "a" }), json!({ "name": "ab" })),
        ("self.?n.optMap(x, x + 1).orValue(0) == 0", json!({}), json!({ "n": 1 })),
        (
            "self.?list.optFlatMap(x, x[?0]).orValue('') == 'a'",
            json!({ "list": ["a"] }),
            json!({ "list": [] }),
        ),
        (
            "self.?part.optMap(p, self.?list.optMap(l, l.size() == p.n).orValue(true)).orValue(true)",
            json!({ "list": ["a"], "part": { "n": 1 } }),
            json!({ "list": ["a"], "part": { "n": 2 } }),
        ),
        ("self.?n.optMap(x, x + 1).optMap(y, y * 2).orValue(0) == 4", json!({ "n": 1 }), json!({ "n": 2 })),
    ] {
        fits(rule, good, bad).await;
    }
}

#[tokio::test]
async fn macros_with_two_variables_see_indices_keys_and_values() {
    for (rule, good, bad) in [
        (
            "self.list.all(i, x, i != 1 || x == 'b')",
            json!({ "list": ["a", "b"] }),
            json!({ "list": ["b", "a"] }),
        ),
        ("self.map.exists(k, v, k == v)", json!({ "map": { "a": "a" } }), json!({ "map": { "a": "b" } })),
        (
            "self.map.existsOne(k, v, v == 'a')",
            json!({ "map": { "a": "a" } }),
            json!({ "map": { "a": "a", "b": "a" } }),
        ),
        (
            "self.list.transformList(i, x, i > 0 && x != '', i) == [1]",
            json!({ "list": ["a", "b"] }),
            json!({ "list": ["a"] }),
        ),
        (
            "self.map.transformMap(k, v, k + v) == {'a': 'ab'}",
            json!({ "map": { "a": "b" } }),
            json!({ "map": { "a": "c" } }),
        ),
        (
            "self.list.transformMapEntry(i, x, {x: i})['b'] == 1",
            json!({ "list": ["a", "b"] }),
            json!({ "list": ["b"] }),
        ),
        (
            "self.parts.sortBy(p, p.n).map(p, p.name) == ['b', 'a']",
            json!({ "parts": [{ "n": 2, "name": "a" }, { "n": 1, "name": "b" }] }),
            json!({ "parts": [{ "n": 1, "name": "a" }, { "n": 2, "name": "b" }] }),
        ),
    ] {
        fits(rule, good, bad).await;
    }
}

#[tokio::test]
async fn an_optional_old_state_is_selected_from_like_any_optional_value() {
    let server = start().await;
    let rules = json!([
        { "rule": "oldSelf.?name.orValue(self.name) == self.name", "optionalOldSelf": true, "message": "name" },
        { "rule": "oldSelf.n.orValue(0) <= self.n", "optionalOldSelf": true, "message": "n",
            "messageExpression": "oldSelf.?n.orValue(0) > 1 ? 'n was more' : 'n was less'" },
        { "rule": "oldSelf.optMap(o, o.n < 5).orValue(true)", "optionalOldSelf": true, "message": "few" },
    ]);
    server.post(CRDS, definition(rules)).await.ok();
    server.post(WIDGETS, widget("w", json!({ "name": "a", "n": 2 }))).await.ok();
    let path = format!("{WIDGETS}/w");
    let status =
        server.merge(&path, json!({ "spec": { "name": "b", "n": 1 } })).await.refused(422, "Invalid");
    let messages: Vec<_> = status["details"]["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| cause["message"].clone())
        .collect();
    assert_eq!(messages, [json!("Invalid value: name"), json!("Invalid value: n was more")]);
    server.merge(&path, json!({ "spec": { "n": 6 } })).await.ok();
    let status = server.merge(&path, json!({ "spec": { "n": 7 } })).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["message"], "Invalid value: few");
}
