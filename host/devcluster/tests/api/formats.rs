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
