//! What `format` and its kin ask of values, and the texts that refusals have.

use serde_json::{Value, json};

use crate::support::{CRDS, Server, WIDGETS, start, widget, widget_definition};

/// A cluster whose widgets have one field of this schema.
async fn with_field(schema: Value) -> Server {
    let server = start().await;
    let mut definition = widget_definition();
    for index in [0, 1] {
        let version = &mut definition["spec"]["versions"][index];
        version.as_object_mut().unwrap().remove("selectableFields");
        let spec = &mut version["schema"]["openAPIV3Schema"]["properties"]["spec"];
        *spec = json!({ "type": "object", "properties": {
            "f": schema.clone(), "replicas": { "type": "integer" } } });
    }
    server.post(CRDS, definition).await.ok();
    server
}

/// The first cause for which the value is refused.
async fn refusal(server: &Server, value: Value) -> Value {
    let answer = server.post(WIDGETS, widget("bad", json!({ "f": value }))).await;
    assert_eq!(answer.code, 422, "{value}: {}", answer.body);
    answer.body["details"]["causes"][0].clone()
}

#[tokio::test]
async fn formats_of_texts_are_enforced() {
    let uuid4 = "1b4e28ba-2fa1-41d2-883f-0016d3cca427";
    for (format, good, bad) in [
        ("date", "2024-02-29", "2023-02-29"),
        ("date-time", "2024-01-01T10:00:00.5+02:00", "2024-01-01 10h"),
        ("datetime", "2024-01-01T10:00:00Z", "yesterday"),
        ("duration", "1h30m", "soon"),
        ("uuid", uuid4, "1b4e28ba"),
        ("uuid4", uuid4, "1b4e28ba-2fa1-11d2-883f-0016d3cca427"),
        ("ipv4", "10.0.0.1", "10.0.0.256"),
        ("ipv6", "fe80::1", "10.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("mac", "00:1a:2b:3c:4d:5e", "00:1a"),
        ("byte", "aGVsbG8=", "***"),
        ("email", "a@example.com", "a at example"),
        ("hostname", "a.example.com", "-a-.example"),
        ("uri", "https://example.com/a?b", "no uri at all"),
        ("hexcolor", "#ffaa00", "#ggg"),
        ("rgbcolor", "rgb(1,2,255)", "rgb(1,2)"),
        ("duration", "P1D", "P1Y"),
        ("email", "\"A\" <a@b.c>", "a@"),
        ("hostname", "é.com", "a."),
        ("ipv4", "01.2.3.4", "1.2.3"),
        ("mac", "0011.2233.4455", "00:11-22:33:44:55"),
        ("creditcard", "4111 1111 1111 1111", "4111111111111112"),
        ("isbn10", "0-306-40615-2", "0306406153"),
        ("ssn", "111-22-3333", "111223333"),
        ("unheard-of", "anything", ""),
    ] {
        let server = with_field(json!({ "type": "string", "format": format })).await;
        server.post(WIDGETS, widget("good", json!({ "f": good }))).await.ok();
        if bad.is_empty() {
            continue;
        }
        let cause = refusal(&server, json!(bad)).await;
        let text = format!("Invalid value: {bad:?}: spec.f in body must be of type {format}: {bad:?}");
        assert_eq!(cause["message"], text);
        assert_eq!((&cause["field"], &cause["reason"]), (&json!("spec.f"), &json!("FieldValueTypeInvalid")));
    }
}

#[tokio::test]
async fn integers_stay_in_the_range_of_their_format() {
    let server = with_field(json!({ "type": "integer", "format": "int32" })).await;
    server.post(WIDGETS, widget("good", json!({ "f": i32::MIN }))).await.ok();
    let cause = refusal(&server, json!(3_000_000_000_u32)).await;
    let why = "Invalid value: \"\": Checked value must be of type integer with format int32 in spec.f";
    assert_eq!((&cause["field"], &cause["message"]), (&json!("<nil>"), &json!(why)));
    let server = with_field(json!({ "type": "integer", "format": "int64" })).await;
    server.post(WIDGETS, widget("good", json!({ "f": i64::MIN }))).await.ok();
    refusal(&server, json!(u64::MAX)).await;
}

#[tokio::test]
async fn refusals_have_the_texts_of_the_real_server() {
    let list = json!({ "type": "array", "maxItems": 1, "items": { "type": "string", "maxLength": 2 } });
    let server = with_field(list).await;
    let cause = refusal(&server, json!(["a", "b"])).await;
    assert_eq!(cause["reason"], "FieldValueTooMany");
    assert_eq!(cause["message"], "Too many: 2: must have at most 1 item");
    let cause = refusal(&server, json!(["abc"])).await;
    assert_eq!(cause["reason"], "FieldValueTooLong");
    assert_eq!(cause["message"], "Too long: may not be more than 2 bytes");
    let cause = refusal(&server, json!("abc")).await;
    let text = "Invalid value: \"string\": spec.f in body must be of type array: \"string\"";
    assert_eq!(cause["message"], text);
}

/// All causes for which the value is refused: their fields and messages.
async fn refusals(server: &Server, value: Value) -> Vec<(String, String)> {
    let answer = server.post(WIDGETS, widget("bad", json!({ "f": value }))).await;
    let status = answer.refused(422, "Invalid");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let causes = status["details"]["causes"].as_array().unwrap().iter();
    causes.map(|cause| (text(&cause["field"]), text(&cause["message"]))).collect()
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_told_all_that_is_wrong_with_it() {
    let f = |message: &str| ("spec.f".to_owned(), message.to_owned());
    let nil = |message: &str| ("<nil>".to_owned(), message.to_owned());
    let server = with_field(json!({ "type": "integer", "enum": [1, 2] })).await;
    let expected = [
        f("Invalid value: \"string\": spec.f in body must be of type integer: \"string\""),
        f("Unsupported value: \"x\": supported values: \"1\", \"2\""),
    ];
    assert_eq!(refusals(&server, json!("x")).await, expected);
    assert_eq!(
        refusals(&server, json!(3)).await,
        [f("Unsupported value: 3: supported values: \"1\", \"2\"")]
    );
    let expected = [
        f("Invalid value: \"number\": spec.f in body must be of type integer: \"number\""),
        nil("Invalid value: \"\": Checked value must be of type integer (default format) in spec.f"),
    ];
    assert_eq!(refusals(&server, json!(1.5)).await, expected);
    let mixed =
        json!({ "x-kubernetes-int-or-string": true, "anyOf": [{ "type": "integer" }, { "type": "string" }] });
    let server = with_field(mixed).await;
    let expected = [
        f("Invalid value: \"boolean\": spec.f in body must be of type integer,string: \"boolean\""),
        nil("Invalid value: \"\": \"spec.f\" must validate at least one schema (anyOf)"),
        f("Invalid value: \"boolean\": spec.f in body must be of type integer: \"boolean\""),
    ];
    assert_eq!(refusals(&server, json!(true)).await, expected);
}

#[tokio::test]
async fn what_has_too_few_is_refused_with_how_many_it_has() {
    let text = |value: u64, what: &str| {
        format!("Invalid value: {value}: spec.f in body should have at least 2 {what}")
    };
    let server = with_field(json!({ "type": "array", "minItems": 2, "items": { "type": "string" } })).await;
    assert_eq!(refusal(&server, json!(["a"])).await["message"], text(1, "items"));
    let map = json!({ "type": "object", "minProperties": 2, "additionalProperties": { "type": "string" } });
    let server = with_field(map).await;
    assert_eq!(refusal(&server, json!({})).await["message"], text(0, "properties"));
    let server = with_field(json!({ "type": "integer", "minimum": 10, "multipleOf": 5 })).await;
    let messages: Vec<String> =
        refusals(&server, json!(7)).await.into_iter().map(|(_, message)| message).collect();
    let expected = ["a multiple of 5", "greater than or equal to 10"]
        .map(|bound| format!("Invalid value: 7: spec.f in body should be {bound}"));
    assert_eq!(messages, expected);
}

#[tokio::test]
async fn an_item_of_a_list_that_is_a_map_is_an_object() {
    let item = json!({ "type": "object", "required": ["k"], "properties": { "k": { "type": "string" } } });
    let list = json!({ "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": item });
    let server = with_field(list).await;
    let found = refusals(&server, json!(["a"])).await;
    let message = "Invalid value: \"a\": must be an object for an array of list-type map".to_owned();
    assert_eq!(found.get(1), Some(&("spec.f[0]".to_owned(), message)));
}

#[tokio::test]
async fn whole_numbers_are_stored_as_such() {
    let free = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true,
        "properties": { "i": { "type": "integer" }, "n": { "type": "number" } } });
    let server = with_field(free).await;
    let stored = |answer: Value| answer["spec"]["f"].to_string();
    let created = server
        .post(WIDGETS, widget("a", json!({ "f": { "a": [1.0], "b": -0.0, "i": 1e3, "n": 2.0 } })))
        .await
        .ok();
    assert_eq!(stored(created), r#"{"a":[1],"b":0,"i":1000,"n":2}"#);
    let path = format!("{WIDGETS}/a");
    let patched = server.merge(&path, json!({ "spec": { "f": { "a": [2.0, 2.5] } } })).await.ok();
    assert_eq!(stored(patched), r#"{"a":[2,2.5],"b":0,"i":1000,"n":2}"#);
    let mut applied = widget("b", json!({ "f": { "a": 3.0, "c": 12_345_678_901_234_567_890_u64 } }));
    applied["metadata"] = json!({ "name": "b" });
    let applied = server.apply(&format!("{WIDGETS}/b"), "test", applied).await.ok();
    assert_eq!(stored(applied), r#"{"a":3,"c":12345678901234567000}"#);
}

#[tokio::test]
async fn a_write_of_the_status_is_refused_by_what_is_below_it() {
    let server = start().await;
    let mut definition = widget_definition();
    for index in [0, 1] {
        let version = &mut definition["spec"]["versions"][index];
        version["subresources"] = json!({ "status": {} });
        version["schema"]["openAPIV3Schema"]["properties"]["status"] =
            json!({ "type": "object", "properties": { "s": { "type": "string", "minLength": 3 } } });
    }
    server.post(CRDS, definition).await.ok();
    server.post(WIDGETS, widget("a", json!({ "size": "s" }))).await.ok();
    let answer = server.merge(&format!("{WIDGETS}/a/status"), json!({ "status": { "s": "a" } })).await;
    let cause = answer.refused(422, "Invalid")["details"]["causes"][0].clone();
    assert_eq!(cause["field"], "status.s");
    assert_eq!(cause["message"], "Invalid value: \"a\": s in body should be at least 3 chars long");
}

#[tokio::test]
async fn multiples_are_counted_in_decimals() {
    let server = with_field(json!({ "type": "number", "multipleOf": 0.01 })).await;
    server.post(WIDGETS, widget("good", json!({ "f": 0.07 }))).await.ok();
    refusal(&server, json!(0.075)).await;
}

#[tokio::test]
async fn an_embedded_resource_needs_a_kind_and_a_version_and_proper_metadata() {
    let embedded = json!({ "type": "object", "x-kubernetes-embedded-resource": true,
        "x-kubernetes-preserve-unknown-fields": true });
    let server = with_field(embedded).await;
    let good = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "a" }, "spec": {} });
    server.post(WIDGETS, widget("good", json!({ "f": good }))).await.ok();
    let cause = refusal(&server, json!({ "kind": "Pod" })).await;
    assert_eq!(
        (&cause["field"], &cause["reason"]),
        (&json!("spec.f.apiVersion"), &json!("FieldValueRequired"))
    );
    let cause = refusal(&server, json!({ "apiVersion": "v1" })).await;
    assert_eq!((&cause["field"], &cause["message"]), (&json!("spec.f.kind"), &json!("Required value")));
    let mut found = refusals(&server, json!({ "apiVersion": "a/b/c", "kind": "P d" })).await;
    // A cluster tells of them in any order.
    found.sort();
    let version = "Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c".to_owned();
    assert_eq!(found[0], ("spec.f.apiVersion".to_owned(), version));
    let kind = "Invalid value: \"P d\": may have mixed case, but should otherwise match: a DNS-1035 label";
    assert!(found[1].0 == "spec.f.kind" && found[1].1.starts_with(kind), "{found:?}");
    let unknown = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "a", "other": 1 } });
    let kept = server.post(WIDGETS, widget("unknown", json!({ "f": unknown }))).await.ok();
    assert_eq!(kept["spec"]["f"]["metadata"], json!({ "name": "a" }));
    let unnamed = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "a/b" } });
    assert_eq!(refusal(&server, unnamed).await["field"], "spec.f.metadata.name");
}

#[tokio::test]
async fn a_schema_may_restrict_the_names_of_its_objects() {
    let server = start().await;
    let mut definition = widget_definition();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["metadata"] =
        json!({ "type": "object", "properties": { "name": { "type": "string", "maxLength": 3 } } });
    server.post(CRDS, definition).await.ok();
    server.post(WIDGETS, widget("abc", json!({ "size": "s" }))).await.ok();
    let status = server.post(WIDGETS, widget("abcd", json!({ "size": "s" }))).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "metadata.name");
}
