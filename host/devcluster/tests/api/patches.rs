//! JSON patch, merge patch and strategic merge patch.

use serde_json::{Value, json};

use crate::support::{
    CONFIG_MAPS, CRDS, DEPLOYMENTS, Server, WIDGETS, deployment, start, widget, widget_definition,
};

const STRATEGIC: &str = "strategic-merge-patch+json";

#[tokio::test]
async fn a_json_patch_changes_what_it_names_and_a_failed_test_changes_nothing() {
    let server = start().await;
    server.config_map("a", json!({ "k": "1" })).await;
    let path = format!("{CONFIG_MAPS}/a");
    let patch = json!([{ "op": "test", "path": "/data/k", "value": "1" },
        { "op": "add", "path": "/data/n", "value": "2" }, { "op": "remove", "path": "/data/k" }]);
    let patched = server.patch(&path, "json-patch+json", patch.clone()).await.ok();
    assert_eq!(patched["data"], json!({ "n": "2" }));
    server.patch(&path, "json-patch+json", patch).await.refused(422, "Invalid");
    server.patch(&path, "json-patch+json", json!({ "op": 1 })).await.refused(400, "BadRequest");
}

#[tokio::test]
async fn what_is_not_there_passes_a_test_for_null_and_no_other() {
    let server = start().await;
    server.config_map("a", json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    let add = json!({ "op": "add", "path": "/metadata/finalizers", "value": ["example.com/hold"] });
    let test = |value| json!({ "op": "test", "path": "/metadata/finalizers", "value": value });
    let other = json!([test(json!([])), add]);
    server.patch(&path, "json-patch+json", other).await.refused(422, "Invalid");
    let patched = server.patch(&path, "json-patch+json", json!([test(json!(null)), add])).await.ok();
    assert_eq!(patched["metadata"]["finalizers"], json!(["example.com/hold"]));
    let again = json!([test(json!(null)), add]);
    server.patch(&path, "json-patch+json", again).await.refused(422, "Invalid");
    server.merge(&path, json!({ "metadata": { "finalizers": null } })).await.ok();
}

#[tokio::test]
async fn a_merge_patch_merges_maps_replaces_lists_and_removes_nulls() {
    let server = start().await;
    server.config_map("a", json!({ "k": "1", "l": "2" })).await;
    let patched =
        server.merge(&format!("{CONFIG_MAPS}/a"), json!({ "data": { "k": null, "m": "3" } })).await.ok();
    assert_eq!(patched["data"], json!({ "l": "2", "m": "3" }));
}

#[tokio::test]
async fn a_patch_with_a_version_conflicts_when_it_is_stale() {
    let server = start().await;
    server.config_map("a", json!({})).await;
    let patch = json!({ "metadata": { "resourceVersion": "1" }, "data": { "x": "y" } });
    server.merge(&format!("{CONFIG_MAPS}/a"), patch).await.refused(409, "Conflict");
}

#[tokio::test]
async fn a_strategic_patch_merges_containers_by_name() {
    let server = start().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let patch = json!({ "spec": { "template": { "spec": { "containers": [
        { "name": "app", "env": [{ "name": "A", "value": "1" }] }, { "name": "side", "image": "s:1" }] } } } });
    let path = format!("{DEPLOYMENTS}/web");
    let patched = server.patch(&path, STRATEGIC, patch).await.ok();
    let containers = patched["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 2);
    assert_eq!(
        (&containers[0]["image"], &containers[0]["env"][0]["value"]),
        (&json!("nginx:1"), &json!("1"))
    );
}

#[tokio::test]
async fn a_custom_resource_takes_no_strategic_patch() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    server.post(WIDGETS, widget("w", json!({ "size": "s" }))).await.ok();
    let answer = server.patch(&format!("{WIDGETS}/w"), STRATEGIC, json!({})).await;
    answer.refused(415, "UnsupportedMediaType");
}

#[tokio::test]
async fn patches_that_race_all_take_effect() {
    let server = start().await;
    server.config_map("a", json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    let patches = (0..20).map(|n| server.merge(&path, json!({ "data": { format!("k{n}"): "v" } })));
    for answer in futures::future::join_all(patches).await {
        answer.ok();
    }
    let data = server.get(&path).await.ok();
    assert_eq!(data["data"].as_object().unwrap().len(), 20);
}

/// A Deployment whose Pods have three containers and three volumes.
async fn crowded(server: &Server) -> String {
    let mut body = deployment("web");
    let pod = &mut body["spec"]["template"]["spec"];
    pod["containers"] = ["a", "b", "c"].map(|name| json!({ "name": name, "image": "nginx:1" })).into();
    pod["volumes"] = ["x", "y", "z"].map(|name| json!({ "name": name, "emptyDir": {} })).into();
    body["metadata"]["finalizers"] = json!(["example.com/one", "example.com/two"]);
    server.post(DEPLOYMENTS, body).await.ok();
    format!("{DEPLOYMENTS}/web")
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn directives_of_a_strategic_patch_delete_and_replace() {
    let server = start().await;
    let path = crowded(&server).await;
    let patch = json!({
        "metadata": { "$deleteFromPrimitiveList/finalizers": ["example.com/one"] },
        "spec": { "template": { "spec": {
            "containers": [{ "name": "b", "$patch": "delete" }],
            "volumes": [{ "name": "w", "emptyDir": {} }, { "$patch": "replace" }],
        } } },
    });
    let patched = server.patch(&path, STRATEGIC, patch).await.ok();
    assert_eq!(patched["metadata"]["finalizers"], json!(["example.com/two"]));
    let pod = &patched["spec"]["template"]["spec"];
    assert_eq!((names(&pod["containers"]), names(&pod["volumes"])), (vec!["a", "c"], vec!["w"]));
    let labels = json!({ "app": "web", "tier": "front" });
    let replaced =
        json!({ "spec": { "template": { "metadata": { "$patch": "replace", "labels": labels } } } });
    let patched = server.patch(&path, STRATEGIC, replaced).await.ok();
    assert_eq!(patched["spec"]["template"]["metadata"]["labels"], labels);
    let gone = json!({ "spec": { "strategy": { "$patch": "delete" } } });
    let patched = server.patch(&path, STRATEGIC, gone).await.ok();
    // Its default is there again.
    assert_eq!(patched["spec"]["strategy"]["rollingUpdate"]["maxSurge"], "25%");
    server.merge(&path, json!({ "metadata": { "finalizers": null } })).await.ok();
}

#[tokio::test]
async fn directives_of_a_strategic_patch_keep_and_order() {
    let server = start().await;
    let path = crowded(&server).await;
    let patch = json!({ "spec": {
        "strategy": { "$retainKeys": ["type"], "type": "Recreate" },
        "template": { "spec": {
            "$setElementOrder/containers": [{ "name": "c" }, { "name": "d" }, { "name": "a" }, { "name": "b" }],
            "containers": [{ "name": "d", "image": "side:1" }, { "name": "a", "image": "nginx:2" }],
            "volumes": [{ "name": "y", "emptyDir": null, "$retainKeys": ["name", "hostPath"],
                "hostPath": { "path": "/srv" } }],
        } },
    } });
    let patched = server.patch(&path, STRATEGIC, patch).await.ok();
    assert_eq!(patched["spec"]["strategy"], json!({ "type": "Recreate" }));
    let pod = &patched["spec"]["template"]["spec"];
    assert_eq!(names(&pod["containers"]), ["c", "d", "a", "b"]);
    assert_eq!(pod["containers"][2]["image"], "nginx:2");
    let volume = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "y").unwrap();
    assert_eq!(volume, &json!({ "name": "y", "hostPath": { "path": "/srv", "type": "" } }));
    let ordered = json!({ "metadata": {
        "$setElementOrder/finalizers": ["example.com/three", "example.com/two", "example.com/one"],
        "finalizers": ["example.com/three"] } });
    let patched = server.patch(&path, STRATEGIC, ordered).await.ok();
    let expected = json!(["example.com/three", "example.com/two", "example.com/one"]);
    assert_eq!(patched["metadata"]["finalizers"], expected);
    server.merge(&path, json!({ "metadata": { "finalizers": null } })).await.ok();
}

#[tokio::test]
async fn malformed_strategic_patches_are_refused() {
    let server = start().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let path = format!("{DEPLOYMENTS}/web");
    let send = |spec: Value| server.patch(&path, STRATEGIC, json!({ "spec": spec }));
    let containers = |items: Value| json!({ "template": { "spec": { "containers": items } } });
    let refusal = send(containers(json!([{ "image": "nokey" }]))).await.refused(500, "");
    assert_eq!(refusal["message"], "map: map[image:nokey] does not contain declared merge key: name");
    send(containers(json!(["x"]))).await.refused(500, "");
    send(json!({ "$patch": "bogus" })).await.refused(500, "");
    let retained = json!({ "$retainKeys": ["type"], "type": "RollingUpdate",
        "rollingUpdate": { "maxSurge": 2 } });
    let refusal = send(json!({ "strategy": retained })).await.refused(400, "BadRequest");
    assert_eq!(refusal["message"], "invalid patch format of retainKeys");
    let ordered = json!({ "template": { "spec": { "$setElementOrder/containers": [{ "name": "b" }],
        "containers": [{ "name": "app", "image": "x" }] } } });
    send(ordered).await.refused(500, "");
    assert_eq!(server.get(&path).await.ok()["metadata"]["generation"], 1, "nothing has changed");
}
