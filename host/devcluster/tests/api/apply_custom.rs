//! Server-side apply where kubectl comes from client-side apply, and where a schema says what there is to apply.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, CRDS, Server, WIDGETS, config_map, start, widget, widget_definition};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A config map as `kubectl apply` makes it.
async fn applied_by_the_client(server: &Server, data: Value) -> String {
    let plain = config_map("a", data.clone());
    let mut body = plain.clone();
    body["metadata"]["annotations"] = json!({ LAST_APPLIED: plain.to_string() });
    server.post(&format!("{CONFIG_MAPS}?fieldManager=kubectl-client-side-apply"), body).await.ok();
    format!("{CONFIG_MAPS}/a")
}

#[tokio::test]
async fn kubectl_takes_over_what_it_applied_as_a_client() {
    let server = start().await;
    let path = applied_by_the_client(&server, json!({ "k": "1", "l": "1" })).await;
    let next = config_map("a", json!({ "k": "2", "l": "2" }));
    server.apply(&path, "somebody", next.clone()).await.refused(409, "Conflict");
    let taken = server.apply(&path, "kubectl", next.clone()).await.ok();
    assert_eq!(taken["data"], json!({ "k": "2", "l": "2" }));
    let noted = taken["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(noted).unwrap()["data"], next["data"]);
}

#[tokio::test]
async fn kubectl_does_not_take_over_what_others_changed_since() {
    let server = start().await;
    let path = applied_by_the_client(&server, json!({ "k": "1", "l": "1" })).await;
    server.merge(&format!("{path}?fieldManager=editor"), json!({ "data": { "k": "9" } })).await.ok();
    let next = config_map("a", json!({ "k": "2", "l": "2" }));
    let status = server.apply(&path, "kubectl", next).await.refused(409, "Conflict");
    let causes = status["details"]["causes"].as_array().unwrap();
    assert_eq!((causes.len(), &causes[0]["field"]), (1, &json!(".data.k")));
}

#[tokio::test]
async fn an_object_that_kubectl_never_applied_as_a_client_gets_no_note_of_it() {
    let server = start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let applied = server.apply(&path, "kubectl", config_map("a", json!({ "k": "1" }))).await.ok();
    assert_eq!(applied["metadata"].get("annotations"), None);
}

#[tokio::test]
async fn what_the_schema_does_not_have_cannot_be_applied() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let path = format!("{WIDGETS}/w");
    let prefix = "failed to create typed patch object (default/w; example.com/v1, Kind=Widget): ";
    let mut body = widget("w", json!({ "size": "s" }));
    body["metadata"]["namespace"] = json!("default");
    for (place, value, why) in [
        ("/spec/colour", json!("red"), ".spec.colour: field not declared in schema"),
        ("/top", json!(1), ".top: field not declared in schema"),
        ("/spec/replicas", json!("x"), ".spec.replicas: expected numeric (int or float), got string"),
        ("/spec/size", json!(1), ".spec.size: expected string, got &value.valueUnstructured{Value:1}"),
        ("/spec/parts", json!("x"), ".spec.parts: expected list, got &{x}"),
        ("/spec/free", json!([1]), ".spec.free: expected map, got &{[1]}"),
        (
            "/spec/parts",
            json!([{ "id": "a", "n": 1 }]),
            ".spec.parts[id=\"a\"].n: field not declared in schema",
        ),
    ] {
        let mut body = body.clone();
        let patch = json!([{ "op": "add", "path": place, "value": value }]);
        json_patch::patch(&mut body, &serde_json::from_value::<json_patch::Patch>(patch).unwrap()).unwrap();
        for validation in ["Ignore", "Strict"] {
            let path = format!("{path}?fieldValidation={validation}");
            let answer = server.apply(&path, "m", body.clone()).await;
            assert_eq!((answer.code, &answer.body["message"]), (500, &json!(format!("{prefix}{why}"))));
        }
    }
    body["spec"]["colour"] = json!("red");
    let answer = server.apply(&path, "m", body.clone()).await;
    let why = ".spec.colour: field not declared in schema";
    assert_eq!(answer.body["message"], format!("{prefix}{why}"));
    body["spec"] = json!({ "size": "s", "free": { "any": { "thing": [1] } } });
    server.apply(&path, "m", body).await.ok();
}
