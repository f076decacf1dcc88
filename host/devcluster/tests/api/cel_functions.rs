//! What rules see of an object, and the functions that they have.

use serde_json::{Value, json};

use crate::support::{CRDS, Server, WIDGETS, start, widget, widget_definition};

const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema";

/// A cluster whose widgets have these fields and rules.
async fn with(properties: Value, rules: &[&str]) -> Server {
    let server = start().await;
    let mut definition = widget_definition();
    definition["spec"]["versions"][0].as_object_mut().unwrap().remove("selectableFields");
    let spec = definition.pointer_mut(&format!("{SCHEMA}/properties/spec")).unwrap();
    let rules: Vec<Value> = rules.iter().map(|rule| json!({ "rule": rule })).collect();
    *spec = json!({ "type": "object", "properties": properties, "x-kubernetes-validations": rules });
    server.post(CRDS, definition).await.ok();
    server
}

fn text() -> Value {
    json!({ "type": "string", "maxLength": 50 })
}

/// Asserts that all of these rules hold for a widget of this spec.
async fn holds(properties: Value, spec: Value, rules: &[&str]) {
    let server = with(properties, rules).await;
    let answer = server.post(WIDGETS, widget("x", spec)).await;
    assert!(answer.code < 300, "{}", answer.body);
}

/// The first text that such a widget is refused with.
async fn refusal(properties: Value, spec: Value, rule: &str) -> String {
    let server = with(properties, &[rule]).await;
    let status = server.post(WIDGETS, widget("x", spec)).await.refused(422, "Invalid");
    status["details"]["causes"][0]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn fields_named_by_words_of_the_language_are_selected_with_and_without_their_escape() {
    let words = ["namespace", "as", "break", "for", "if", "package", "return", "var", "void", "while"];
    let properties: serde_json::Map<String, Value> =
        words.iter().map(|word| ((*word).to_owned(), text())).collect();
    let spec: serde_json::Map<String, Value> =
        words.iter().map(|word| ((*word).to_owned(), json!("x"))).collect();
    let rules: Vec<String> = words
        .iter()
        .flat_map(|word| {
            [format!("self.{word} == 'x'"), format!("has(self.__{word}__) && self.__{word}__ == 'x'")]
        })
        .collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    holds(Value::Object(properties), Value::Object(spec), &rules).await;
}

#[tokio::test]
async fn a_field_that_is_null_is_absent_and_a_null_in_a_map_is_there() {
    let properties = json!({
        "object": { "type": "object", "nullable": true, "properties": { "a": text() } },
        "map": { "type": "object", "maxProperties": 5,
            "additionalProperties": { "type": "string", "nullable": true, "maxLength": 5 } } });
    let spec = json!({ "object": null, "map": { "a": null } });
    holds(properties, spec, &["!has(self.object)", "'a' in self.map", "size(self.map) == 1"]).await;
}

#[tokio::test]
async fn sets_and_lists_that_are_maps_are_equal_to_what_they_were_in_any_order() {
    let list = |kind: &str, items: Value| json!({ "type": "array", "maxItems": 5, "x-kubernetes-list-type": kind, "items": items });
    let mut map = list(
        "map",
        json!({ "type": "object", "required": ["k"], "properties": { "k": text(), "s": list("set", text()) } }),
    );
    map["x-kubernetes-list-map-keys"] = json!(["k"]);
    let properties = json!({ "set": list("set", text()), "map": map, "list": list("atomic", text()) });
    let rules = ["self.set == oldSelf.set", "self.map == oldSelf.map", "self.list == oldSelf.list"];
    let server = with(properties, &rules).await;
    let first = json!({ "set": ["a", "b"], "map": [{ "k": "a", "s": ["x", "y"] }, { "k": "b" }], "list": ["a", "b"] });
    server.post(WIDGETS, widget("x", first)).await.ok();
    let path = format!("{WIDGETS}/x");
    let turned = json!({ "set": ["b", "a"], "map": [{ "k": "b" }, { "k": "a", "s": ["y", "x"] }] });
    server.merge(&path, json!({ "spec": turned })).await.ok();
    for changed in [
        json!({ "list": ["b", "a"] }),
        json!({ "set": ["b"] }),
        json!({ "map": [{ "k": "a" }, { "k": "b" }] }),
    ] {
        server.merge(&path, json!({ "spec": changed })).await.refused(422, "Invalid");
    }
}

#[tokio::test]
async fn a_text_is_as_long_as_it_has_characters() {
    holds(
        json!({ "t": text() }),
        json!({ "t": "日本" }),
        &["size(self.t) == 2", "self.t.size() == 2", "size('é') == 1"],
    )
    .await;
}

#[tokio::test]
async fn values_are_converted_as_in_a_cluster() {
    let properties = json!({ "t": text(), "n": { "type": "integer" },
        "time": { "type": "string", "format": "date-time" }, "span": { "type": "string", "format": "duration" } });
    let spec = json!({ "t": "true", "n": 5, "time": "2024-01-02T03:04:05+02:00", "span": "1h30m" });
    let rules = [
        "dyn(self.n) == 5",
        "bool(self.t)",
        "string(true) == 'true' && string(1.5) == '1.5' && string(1000000.0) == '1e+06'",
        "string(self.span) == '5400s'",
        "string(self.time) == '2024-01-02T03:04:05+02:00'",
        "'%s %s'.format([self.time, self.span]) == '2024-01-02T03:04:05+02:00 5400s'",
        "self.time.getHours() == 1 && self.time.getHours('+02:00') == 3 && self.time.getMinutes('-00:30') == 34",
        "self.time.getDate() == 2 && self.time.getDayOfMonth() == 1 && self.time.getMonth() == 0",
        "self.span.getMinutes() == 90",
        "int(timestamp('1970-01-01T00:00:10Z')) == 10 && timestamp(10) == timestamp('1970-01-01T00:00:10Z')",
        "[duration('1s'), duration('2s')].sum() == duration('3s') && [1.5, 2.5].sum() == 4.0",
        "!format.named('zzz').hasValue() && format.named('dns1123Label').hasValue()",
        "format.named('dns1123Label').value().validate('-').hasValue()",
    ];
    holds(properties, spec, &rules).await;
}

#[tokio::test]
async fn what_fails_in_a_rule_is_told_as_in_a_cluster() {
    let properties = json!({ "absent": text(), "t": text(), "list": { "type": "array", "maxItems": 3, "items": text() },
        "time": { "type": "string", "format": "date-time" } });
    for (rule, why) in [
        ("size(self.absent) == 1", "no such key: absent"),
        ("ip(self.absent).family() == 4", "no such key: absent"),
        ("string(self.absent) == ''", "no such key: absent"),
        ("quantity(self.absent).isInteger()", "no such key: absent"),
        ("self.list[5] == 'a'", "index out of bounds: 5"),
        ("self.t.substring(50) == ''", "index out of range: 50"),
        ("self.t.charAt(50) == ''", "index out of range: 50"),
        ("optional.none().value() == 1", "optional.none() dereference"),
        ("bool(self.t)", "type conversion error from 'string' to 'bool'"),
        ("int(self.t) == 1", "type conversion error from 'string' to 'int'"),
        ("self.time.getHours('nowhere') == 1", "unknown time zone nowhere"),
        ("semver(self.t).major() == 1", "No Major.Minor.Patch elements found"),
        (
            "ip(self.t).family() == 4",
            "IP Address \"bad\" parse error during conversion from string: ParseAddr(\"bad\"): unable to parse IP",
        ),
        (
            "url(self.t).getHost() == ''",
            "URL parse error during conversion from string: parse \"bad\": invalid URI for request",
        ),
    ] {
        let spec = json!({ "t": "bad", "list": ["a"], "time": "2024-01-02T03:04:05Z" });
        let expected = format!("Invalid value: \"object\": {why} evaluating rule: {rule}");
        assert_eq!(refusal(properties.clone(), spec, rule).await, expected);
    }
}

/// Whether a definition with this rule, and a value that it runs on at once, is answered at all.
async fn is_survived(rule: &str) {
    let server = start().await;
    let mut definition = widget_definition();
    definition["spec"]["versions"][0].as_object_mut().unwrap().remove("selectableFields");
    let spec = definition.pointer_mut(&format!("{SCHEMA}/properties/spec")).unwrap();
    let field = json!({ "type": "string", "maxLength": 50, "default": "1.2.3.4",
        "x-kubernetes-validations": [{ "rule": rule }] });
    *spec = json!({ "type": "object", "default": {}, "properties": { "field": field } });
    let code = server.post(CRDS, definition).await.code;
    assert!(code == 201 || code == 422, "{code}");
    server.get("/api/v1/namespaces").await.ok();
}

#[tokio::test]
async fn hostile_calls_within_calls_are_made_once_each() {
    let mut rule = "true".to_owned();
    for _ in 0..24 {
        rule = format!("ip({rule} ? '127.0.0.1' : '127.0.0.2').isLoopback()");
    }
    is_survived(&rule).await;
}

#[tokio::test]
async fn hostile_structs_and_long_rules_are_refused_before_they_are_walked_through() {
    is_survived(&format!("Foo{{a: self{}}}", ".a".repeat(8_000))).await;
    is_survived(&format!("self{}", ".a".repeat(400_000))).await;
}

#[tokio::test]
async fn hostile_ranges_of_numbers_have_an_end() {
    is_survived("lists.range(1000000000000).size() > 0").await;
    is_survived("lists.range(9999000).size() > 0").await;
}

#[tokio::test]
async fn patterns_and_durations_are_read_as_go_reads_them() {
    let rules = [
        "self.s.matches('^[[a]$')",
        "!'\u{663}'.matches('^\\\\d$')",
        "matches(self.s, '[a-c]')",
        "duration('.5s') == duration('500ms')",
        "duration('1\u{3bc}s') == duration('1us')",
        "duration('1h.5m') == duration('1h30s')",
    ];
    holds(json!({ "s": text() }), json!({ "s": "a" }), &rules).await;
}
