//! Waits until a foreign cluster serves a definition as it now is.
//!
//! The embedded server does so before it answers. A cluster has controllers for it, which take a moment.

use kube::client::Body;
use serde_json::{Value, json};

use crate::support::DEADLINE;

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Waits for a definition that was created or changed. `marker` is a group that nobody else uses.
pub(crate) async fn settled(client: &kube::Client, name: &str, marker: &str) {
    let definition = accepted(client, name).await;
    if definition["metadata"]["generation"] != 1 {
        seen(client, marker).await;
    }
    let spec = &definition["spec"];
    if !has_condition(&definition, "Established", "True") {
        return;
    }
    let (group, plural) = (text(&spec["group"]), text(&spec["names"]["plural"]));
    for version in spec["versions"].as_array().into_iter().flatten() {
        let is_served = version["served"] == true;
        let path = format!("/apis/{group}/{}", text(&version["name"]));
        until(&format!("{path} {plural}"), async || {
            let (_, list) = get(client, &path).await;
            let listed = list["resources"].as_array().into_iter().flatten().any(|one| one["name"] == plural);
            let (code, _) = get(client, &format!("{path}/{plural}")).await;
            listed == is_served && code == if is_served { 200 } else { 404 }
        })
        .await;
    }
}

/// The definition, once it is decided whether it gets its names. One that is going gets none.
async fn accepted(client: &kube::Client, name: &str) -> Value {
    let path = format!("{CRDS}/{name}");
    let mut definition = Value::Null;
    until(&format!("{name} has or has not got its names"), async || {
        let (code, found) = get(client, &path).await;
        let is_established = has_condition(&found, "Established", "True");
        let has_names = has_condition(&found, "NamesAccepted", "True")
            && is_established
            && found["status"]["acceptedNames"] == found["spec"]["names"];
        let is_refused = has_condition(&found, "NamesAccepted", "False")
            && (is_established || has_condition(&found, "Established", "False"));
        let is_going = code == 404 || found["metadata"]["deletionTimestamp"].is_string();
        definition = found;
        has_names || is_refused || is_going
    })
    .await;
    definition
}

/// Waits until the server has seen all changes of definitions so far: one that comes after them is served.
async fn seen(client: &kube::Client, group: &str) {
    let plural = format!("m{}", uuid::Uuid::new_v4().simple());
    let schema = json!({ "openAPIV3Schema": { "type": "object" } });
    let body = json!({ "metadata": { "name": format!("{plural}.{group}") }, "spec": {
        "group": group, "scope": "Cluster", "names": { "plural": plural, "kind": plural.to_uppercase() },
        "versions": [{ "name": "v1", "served": true, "storage": true, "schema": schema }] } });
    let request = http::Request::post(CRDS).header("content-type", "application/json");
    let made = client.send(request.body(Body::from(body.to_string().into_bytes())).unwrap()).await.unwrap();
    assert_eq!(made.status(), 201, "a definition that marks a point in time");
    let path = format!("/apis/{group}/v1/{plural}?limit=1");
    until(&path, async || get(client, &path).await.0 == 200).await;
}

fn has_condition(definition: &Value, of_type: &str, status: &str) -> bool {
    let conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|one| one["type"] == of_type && one["status"] == status)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

async fn get(client: &kube::Client, path: &str) -> (u16, Value) {
    let response = client.send(http::Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect_bytes().await.unwrap();
    (code, serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = tokio::time::Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < DEADLINE, "{what}: not in time");
        tokio::task::yield_now().await;
    }
}
