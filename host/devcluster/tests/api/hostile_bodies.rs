//! Bodies that are small, or not too large, and made to cost the server much: each is answered in time.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, CRDS, start, widget_definition};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

#[tokio::test]
async fn many_equal_fields_below_a_long_one_are_told_once() {
    let server = start().await;
    let (long, equal) = ("k".repeat(20_000), r#""a":1,"#.repeat(20_000));
    let body = format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"m"}},"{long}":{{{equal}"a":1}}}}"#
    );
    let strict = format!("{CONFIG_MAPS}?fieldValidation=Strict");
    let refusal = server.send("POST", &strict, JSON, body.as_str()).await.refused(400, "BadRequest");
    assert_eq!(refusal["message"].as_str().unwrap().matches("duplicate field").count(), 1);
    let ignore = format!("{CONFIG_MAPS}?fieldValidation=Ignore");
    server.send("POST", &ignore, JSON, body.as_str()).await.ok();
}

#[tokio::test]
async fn many_unknown_fields_below_a_long_one_are_dropped_in_time() {
    let server = start().await;
    let unknown: serde_json::Map<String, Value> =
        (0..50_000).map(|number| (format!("u{number}"), json!(1))).collect();
    let mut definition = widget_definition();
    let mut inner = Value::Object(unknown);
    for depth in 0..10 {
        inner = json!({ "properties": { format!("{depth}{}", "k".repeat(10_000)): inner } });
    }
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["more"] = inner;
    let refused = server.post(&format!("{CRDS}?fieldValidation=Ignore"), definition).await;
    refused.refused(422, "Invalid");
}
