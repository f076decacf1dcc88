//! What a client is told of fields that are unknown or come twice, in each way to send them, and how much of it.

use serde_json::json;

use crate::support::{
    CONFIG_MAPS, CRDS, DEPLOYMENTS, Server, WIDGETS, config_map, deployment, start, widget, widget_definition,
};

const STRATEGIC: &str = "application/strategic-merge-patch+json";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const YAML: &str = "application/yaml";
const DOUBLED: &str = r#"{ "data": { "a": "1", "a": "2", "b": "1", "b": "2" } }"#;

async fn patched(server: &Server, mode: &str, media_type: &str, body: &str) -> crate::support::Answer {
    let path = format!("{CONFIG_MAPS}/m?fieldManager=me&fieldValidation={mode}");
    server.send("PATCH", &path, &[("content-type", media_type)], body).await
}

#[tokio::test]
async fn fields_that_come_twice_in_a_patch_are_told() {
    let server = start().await;
    server.config_map("m", json!({})).await;
    for media_type in [MERGE, STRATEGIC] {
        let refusal = patched(&server, "Strict", media_type, DOUBLED).await.refused(422, "Invalid");
        let why = r#"strict decoding error: duplicate field "data.a", duplicate field "data.b""#;
        let message = refusal["message"].as_str().unwrap();
        assert!(message.starts_with(r#" "" is invalid: patch: Invalid value: "#), "{message}");
        assert!(message.ends_with(why), "{message}");
        let unchanged = server.get(&format!("{CONFIG_MAPS}/m")).await.ok();
        assert_eq!(unchanged["data"].get("a"), None);
        let quiet = patched(&server, "Ignore", media_type, DOUBLED).await;
        assert!(quiet.warnings.is_empty(), "{:?}", quiet.warnings);
        assert_eq!(quiet.ok()["data"], json!({ "a": "2", "b": "2" }));
        let mixed = r#"{ "data": { "a": null }, "spec": { "a": 1, "a": 2 } }"#;
        let warned = patched(&server, "Warn", media_type, mixed).await;
        let expected = [r#"299 - "duplicate field \"spec.a\"""#, r#"299 - "unknown field \"spec\"""#];
        assert_eq!(warned.warnings, expected);
        warned.ok();
    }
    let operations = r#"[{ "op": "add", "op": "test", "path": "/kind", "value": "ConfigMap" }]"#;
    let warned = patched(&server, "Warn", "application/json-patch+json", operations).await;
    assert_eq!(warned.warnings, [r#"299 - "json patch duplicate field \"[0].op\"""#]);
}

#[tokio::test]
async fn fields_that_come_twice_in_a_custom_resource_s_patch_are_told() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    server.post(WIDGETS, widget("w", json!({ "size": "s" }))).await.ok();
    let body = r#"{ "spec": { "size": "s", "size": "m" } }"#;
    let send = |mode: &str| {
        let path = format!("{WIDGETS}/w?fieldValidation={mode}");
        let server = &server;
        async move { server.send("PATCH", &path, &[("content-type", MERGE)], body).await }
    };
    send("Strict").await.refused(422, "Invalid");
    let warned = send("Warn").await;
    assert_eq!(warned.warnings, [r#"299 - "duplicate field \"spec.size\"""#]);
    assert_eq!(warned.ok()["spec"]["size"], "m");
}

#[tokio::test]
async fn fields_that_come_twice_in_what_is_applied_are_told_by_line() {
    let server = start().await;
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\ndata:\n  a: \"1\"\n  a: \"2\"\n";
    let json = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"},
        "data":{"a":"1","a":"2"}}"#;
    for (body, line) in [(yaml, 7), (json, 2)] {
        let refusal = patched(&server, "Strict", APPLY, body).await.refused(400, "BadRequest");
        let expected = format!(
            "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  \
             line {line}: key \"a\" already set in map"
        );
        assert_eq!(refusal["message"], expected);
        let warned = patched(&server, "Warn", APPLY, body).await;
        assert_eq!(warned.warnings, [format!(r#"299 - "line {line}: key \"a\" already set in map""#)]);
        assert_eq!(warned.ok()["data"], json!({ "a": "2" }));
        let quiet = patched(&server, "Ignore", APPLY, body).await;
        assert!(quiet.warnings.is_empty() && quiet.code == 200, "{:?} {}", quiet.warnings, quiet.body);
    }
}

#[tokio::test]
async fn of_keys_that_come_twice_in_yaml_the_last_counts() {
    let server = start().await;
    let send = |mode: &str, name: &str| {
        let body = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  a: \"1\"\n  b: x\n  a: \"2\"\n"
        );
        let path = format!("{CONFIG_MAPS}?fieldValidation={mode}");
        let server = &server;
        async move { server.send("POST", &path, &[("content-type", YAML)], body).await }
    };
    let refusal = send("Strict", "s").await.refused(400, "BadRequest");
    let why = "strict decoding error: yaml: unmarshal errors:\n  line 8: key \"a\" already set in map";
    assert!(refusal["message"].as_str().unwrap().ends_with(why), "{refusal}");
    let warned = send("Warn", "w").await;
    assert_eq!(warned.warnings, [r#"299 - "line 8: key \"a\" already set in map""#]);
    assert_eq!(warned.ok()["data"], json!({ "a": "2", "b": "x" }));
    let quiet = send("Ignore", "i").await;
    assert!(quiet.warnings.is_empty(), "{:?}", quiet.warnings);
    assert_eq!(quiet.ok()["data"], json!({ "a": "2", "b": "x" }));
}

#[tokio::test]
async fn what_is_applied_says_what_it_is() {
    let server = start().await;
    let path = format!("{CONFIG_MAPS}/m");
    let whole = config_map("m", json!({}));
    for field in ["apiVersion", "kind"] {
        let mut body = whole.clone();
        body.as_object_mut().unwrap().remove(field);
        server.apply(&path, "me", body).await.refused(400, "BadRequest");
    }
    let mut body = whole.clone();
    body["apiVersion"] = json!("v2");
    let refusal = server.apply(&path, "me", body).await.refused(400, "BadRequest");
    assert_eq!(refusal["message"], "invalid object type: /v2, Kind=ConfigMap");
    let mut body = whole.clone();
    body["kind"] = json!("Secret");
    let refusal = server.apply(&path, "me", body).await.refused(400, "BadRequest");
    assert_eq!(refusal["message"], "invalid object type: /v1, Kind=Secret");
    server.get(&path).await.refused(404, "NotFound");
    server.apply(&path, "me", whole).await.ok();
}

#[tokio::test]
async fn a_number_without_a_fraction_is_an_integer_to_who_reads_a_map() {
    let server = start().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let path = format!("{DEPLOYMENTS}/web");
    let send = |media_type: &str, text: &str| {
        let force = if media_type == APPLY { "&force=true" } else { "" };
        let (path, text) = (format!("{path}?fieldManager=me{force}"), text.to_owned());
        let media_type = media_type.to_owned();
        let server = &server;
        async move { server.send("PATCH", &path, &[("content-type", &media_type)], text).await }
    };
    let patched = send(STRATEGIC, r#"{ "spec": { "replicas": 3.0 } }"#).await.ok();
    assert_eq!(patched["spec"]["replicas"], json!(3));
    let applied = r#"{ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": { "replicas": 4.0 } }"#;
    assert_eq!(send(APPLY, applied).await.ok()["spec"]["replicas"], json!(4));
    let refusal = send(STRATEGIC, r#"{ "spec": { "replicas": 3.5 } }"#).await.refused(422, "Invalid");
    assert!(refusal["message"].as_str().unwrap().ends_with("cannot convert float64 to int32"), "{refusal}");
    send(MERGE, r#"{ "spec": { "replicas": 3.0 } }"#).await.refused(422, "Invalid");
}

#[tokio::test]
async fn warnings_are_cut_where_they_are_too_many_and_errors_are_a_hundred() {
    let server = start().await;
    let mut map = config_map("m", json!({}));
    for number in 0..300 {
        map[format!("{number}{}", "x".repeat(300))] = json!(1);
    }
    let answer = server.post(&format!("{CONFIG_MAPS}?fieldValidation=Warn"), map.clone()).await;
    let length: usize = answer.warnings.iter().map(String::len).sum();
    assert!(
        (10..=20).contains(&answer.warnings.len()) && length < 5000,
        "{} {length}",
        answer.warnings.len()
    );
    answer.ok();
    let refusal = server.post(&format!("{CONFIG_MAPS}?fieldValidation=Strict"), map).await;
    let refusal = refusal.refused(400, "BadRequest");
    assert_eq!(refusal["message"].as_str().unwrap().matches("unknown field").count(), 100);
}
