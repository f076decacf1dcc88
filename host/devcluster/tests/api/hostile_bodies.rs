//! Bodies that are small, or not too large, and made to cost the server much: each is answered in time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    CONFIG_MAPS, CRDS, PODS, Server, WIDGETS, config_map, pod, start, widget, widget_definition,
};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const JSON_PATCH: &str = "json-patch+json";

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

#[tokio::test]
async fn a_patch_may_retain_as_many_keys_as_it_can_name() {
    let server = start().await;
    let names: Vec<String> = (0..40_000).map(|number| format!("k{number}")).collect();
    let data: serde_json::Map<String, Value> = names.iter().map(|name| (name.clone(), json!(""))).collect();
    server.post(CONFIG_MAPS, config_map("m", Value::Object(data))).await.ok();
    let patch = json!({ "data": { "$retainKeys": names } });
    let path = format!("{CONFIG_MAPS}/m");
    let patched = server.patch(&path, "strategic-merge-patch+json", patch).await.ok();
    assert_eq!(patched["data"].as_object().unwrap().len(), 40_000);
}

#[tokio::test]
async fn a_pod_may_have_as_many_containers_as_fit_into_a_body() {
    let server = start().await;
    let container = |number: u32| json!({ "name": format!("c{number}"), "image": "i" });
    let containers: Vec<Value> = (0..12_000).map(container).collect();
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" },
        "spec": { "containers": containers } });
    server.post(&format!("{PODS}?dryRun=All"), pod).await.ok();
}

/// A widget that is deep in one place, and large in another.
async fn deep_and_large() -> (Server, String) {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let mut deep = json!({});
    for _ in 0..100 {
        deep = json!({ "d": deep });
    }
    deep["large"] = json!({ "items": vec![1; 300_000] });
    deep["small"] = json!({});
    server.post(WIDGETS, widget("w", json!({ "size": "s", "free": deep }))).await.ok();
    (server, format!("{WIDGETS}/w"))
}

fn deep(name: &str) -> String {
    format!("/spec/free{}/{name}", "/d".repeat(60))
}

#[tokio::test]
async fn each_copy_of_a_patch_costs_as_much_as_it_copies() {
    let (server, path) = deep_and_large().await;
    let copy =
        |number: u32| json!({ "op": "copy", "from": "/spec/free/small", "path": deep(&number.to_string()) });
    let mut copies: Vec<Value> = (0..3_000).map(copy).collect();
    copies.push(json!({ "op": "test", "path": "/kind", "value": "Gadget" }));
    server.patch(&path, JSON_PATCH, json!(copies)).await.refused(422, "Invalid");
}

#[tokio::test]
async fn a_request_that_takes_long_holds_nobody_up() {
    let (server, path) = deep_and_large().await;
    let (here, there) = ("/spec/free/large".to_owned(), deep("large"));
    let there_and_back = [
        json!({ "op": "move", "from": here, "path": there }),
        json!({ "op": "move", "from": there, "path": here }),
    ];
    let mut moves: Vec<Value> = there_and_back.iter().cycle().take(4_000).cloned().collect();
    moves.push(json!({ "op": "test", "path": "/kind", "value": "Gadget" }));
    // A machine that is busy with something else may hold a request up as well, but not each time.
    let mut all = Vec::new();
    for _ in 0..3 {
        let (longest, taken) = time_of_others(&server, &path, json!(moves)).await;
        if longest < taken / 3 {
            return;
        }
        all.push(format!("one of {taken:?} held another up for {longest:?}"));
    }
    panic!("{all:?}");
}

/// How long another request takes at most while a patch is refused, and how long that takes.
async fn time_of_others(server: &Server, path: &str, moves: Value) -> (Duration, Duration) {
    let started = Instant::now();
    let patch = server.patch(path, JSON_PATCH, moves);
    tokio::pin!(patch);
    let mut longest = Duration::ZERO;
    let answer = loop {
        let asked = Instant::now();
        let small = server.get("/api/v1/namespaces/default");
        let answer = tokio::select! {
            answer = &mut patch => Some(answer),
            answer = small => {
                answer.ok();
                None
            }
        };
        // Whoever still waits when the patch is answered has been held up, too.
        longest = longest.max(asked.elapsed());
        if let Some(answer) = answer {
            break answer;
        }
    };
    answer.refused(422, "Invalid");
    (longest, started.elapsed())
}

#[tokio::test]
async fn a_status_in_protobuf_is_refused_rather_than_lost() {
    let server = start().await;
    server.post(PODS, pod("p")).await.ok();
    let status = json!({ "status": { "phase": "Running" } });
    server.merge(&format!("{PODS}/p/status"), status).await.ok();
    // A Pod called p, as protobuf, with a container of the same name.
    let body = b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x0c\x0a\x03\x0a\x01p\x12\x05\x12\x03\x0a\x01p";
    let protobuf = [("content-type", "application/vnd.kubernetes.protobuf")];
    let answer = server.send("PUT", &format!("{PODS}/p/status"), &protobuf, body.as_slice()).await;
    let refusal = answer.refused(415, "UnsupportedMediaType");
    assert!(
        refusal["message"].as_str().unwrap().contains("its status cannot be sent as protobuf"),
        "{refusal}"
    );
    assert_eq!(server.get(&format!("{PODS}/p")).await.ok()["status"]["phase"], "Running");
}
