//! `metadata.managedFields` as clients see and write it.

use serde_json::{Value, json};

use crate::support::{
    CONFIG_MAPS, CRDS, DEPLOYMENTS, Server, WIDGETS, config_map, deployment, start, widget, widget_definition,
};

fn managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    entries.iter().map(|e| format!("{} {}", text(e, "manager"), text(e, "operation"))).collect()
}

async fn reset(server: &Server, path: &str) {
    reset_with(server, path, json!([{}])).await;
}

async fn reset_with(server: &Server, path: &str, entries: Value) {
    let body = json!({ "metadata": { "managedFields": entries } });
    assert!(managers(&server.merge(path, body).await.ok()).is_empty());
}

fn replicas(count: i64) -> Value {
    json!({ "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": { "name": "web" },
        "spec": { "replicas": count } })
}

#[tokio::test]
async fn managed_fields_that_a_client_writes_are_kept_and_broken_ones_are_ignored() {
    let server = start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let created =
        server.post(&format!("{CONFIG_MAPS}?fieldManager=old"), config_map("a", json!({ "k": "1" }))).await;
    let mut entries = created.ok()["metadata"]["managedFields"].clone();
    entries[0]["manager"] = json!("new");
    entries[0]["operation"] = json!("Apply");
    let patch = json!([{ "op": "replace", "path": "/metadata/managedFields", "value": entries }]);
    let migrated = server.patch(&path, "json-patch+json", patch).await.ok();
    assert_eq!(managers(&migrated), ["new Apply"]);
    entries[0]["operation"] = json!("Guess");
    let patch = json!([{ "op": "replace", "path": "/metadata/managedFields", "value": entries }]);
    let kept = server.patch(&path, "json-patch+json", patch).await.ok();
    assert_eq!(managers(&kept), ["new Apply"]);
}

#[tokio::test]
async fn an_empty_list_of_managers_forgets_them() {
    let server = start().await;
    server.post(CONFIG_MAPS, config_map("a", json!({ "k": "1" }))).await.ok();
    reset_with(&server, &format!("{CONFIG_MAPS}/a"), json!([])).await;
}

#[tokio::test]
async fn the_time_of_who_applies_is_that_of_the_last_change() {
    let server = start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let mut entries = server.apply(&path, "m", config_map("a", json!({ "k": "1" }))).await.ok()["metadata"]
        ["managedFields"]
        .clone();
    entries[0]["time"] = json!("2020-01-01T00:00:00Z");
    let mut patch = json!([{ "op": "replace", "path": "/metadata/managedFields", "value": entries }]);
    let unchanged = server.patch(&path, "json-patch+json", patch.clone()).await.ok();
    assert_ne!(unchanged["metadata"]["managedFields"], entries, "times alone are no change");
    let label = json!({ "op": "add", "path": "/metadata/labels", "value": { "a": "b" } });
    patch.as_array_mut().unwrap().push(label);
    server.patch(&path, "json-patch+json", patch).await.ok();
    for (value, is_kept) in [("1", true), ("2", false)] {
        let applied = server.apply(&path, "m", config_map("a", json!({ "k": value }))).await.ok();
        let time = &applied["metadata"]["managedFields"][0]["time"];
        assert_eq!(time == "2020-01-01T00:00:00Z", is_kept, "{applied}");
    }
}

#[tokio::test]
async fn an_object_without_managers_stays_so_until_it_is_applied() {
    let server = start().await;
    server.config_map("a", json!({ "k": "1" })).await;
    let path = format!("{CONFIG_MAPS}/a");
    reset(&server, &path).await;
    let changed = server.merge(&path, json!({ "data": { "n": "2" } })).await.ok();
    assert!(managers(&changed).is_empty(), "{changed}");
    let conflict = server.apply(&path, "m", config_map("a", json!({ "k": "other" }))).await;
    let status = conflict.refused(409, "Conflict");
    assert!(status["message"].as_str().unwrap().contains("before-first-apply"), "{status}");
    let applied = server.apply(&path, "m", config_map("a", json!({ "k": "1" }))).await.ok();
    assert_eq!(managers(&applied), ["m Apply", "before-first-apply Update"]);
}

#[tokio::test]
async fn no_more_than_ten_updaters_are_told_apart() {
    let server = start().await;
    server.post(&format!("{CONFIG_MAPS}?fieldManager=m00"), config_map("a", json!({ "m00": "" }))).await.ok();
    let mut last = Value::Null;
    for n in 1..12 {
        let path = format!("{CONFIG_MAPS}/a?fieldManager=m{n:02}");
        last = server.merge(&path, json!({ "data": { format!("m{n:02}"): "" } })).await.ok();
    }
    let managers = managers(&last);
    assert_eq!(managers.len(), 10, "{managers:?}");
    assert!(managers.contains(&"ancient-changes Update".to_owned()), "{managers:?}");
    assert!(!managers.contains(&"m00 Update".to_owned()) && managers.contains(&"m11 Update".to_owned()));
}

#[tokio::test]
async fn a_field_manager_is_short_and_printable() {
    let server = start().await;
    server.config_map("a", json!({})).await;
    let long = format!("{CONFIG_MAPS}/a?fieldManager={}", "m".repeat(129));
    let status = server.merge(&long, json!({})).await.refused(422, "Invalid");
    assert_eq!(
        status["message"],
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes"
    );
    let status = server.post(&format!("{CONFIG_MAPS}?fieldManager=a%0Ab"), config_map("b", json!({}))).await;
    let message = status.refused(422, "Invalid")["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value:"));
    assert!(message.ends_with("invalid character U+000A (at position 1)"), "{message}");
}

#[tokio::test]
async fn an_applied_list_may_not_name_a_key_twice_or_not_at_all() {
    let server = start().await;
    let path = format!("{DEPLOYMENTS}/web");
    let mut twice = deployment("web");
    twice["spec"]["template"]["spec"]["containers"] =
        json!([{ "name": "app", "image": "a" }, { "name": "app", "image": "b" }]);
    let answer = server.apply(&path, "m", twice).await;
    assert_eq!(answer.code, 500, "{}", answer.body);
    assert_eq!(
        answer.body["message"],
        "failed to create typed patch object (/web; apps/v1, Kind=Deployment): \
         .spec.template.spec.containers: duplicate entries for key [name=\"app\"]"
    );
    server.post(CRDS, widget_definition()).await.ok();
    let nameless = widget("w", json!({ "size": "s", "parts": [{ "weight": 1 }] }));
    let answer = server.apply(&format!("{WIDGETS}/w"), "m", nameless).await;
    let message = answer.body["message"].as_str().unwrap();
    let why = ".spec.parts: element 0: associative list with keys has an element that omits all key fields [\"id\"] \
               (and doesn't have default values for any key fields)";
    assert!(message.ends_with(why), "{message}");
}

#[tokio::test]
async fn applying_a_scale_owns_the_replicas() {
    let server = start().await;
    let path = format!("{DEPLOYMENTS}/web");
    server.apply(&path, "owner", deployment("web")).await.ok();
    let scale = format!("{path}/scale");
    server.apply(&scale, "scaler", replicas(7)).await.refused(409, "Conflict");
    let forced = server.apply(&format!("{scale}?force=true"), "scaler", replicas(7)).await.ok();
    assert_eq!((&forced["kind"], &forced["spec"]["replicas"]), (&json!("Scale"), &json!(7)));
    let live = server.get(&path).await.ok();
    // A cluster's controllers have their part in the status.
    let mut appliers = managers(&live);
    appliers.retain(|manager| manager.ends_with("Apply"));
    assert_eq!(appliers, ["scaler Apply", "owner Apply"], "what is written as a Scale has no time");
    let entries = live["metadata"]["managedFields"].as_array().unwrap();
    let mine = entries.iter().find(|entry| entry["manager"] == "scaler").unwrap();
    assert_eq!((&mine["subresource"], mine.get("time")), (&json!("scale"), None));
    assert_eq!(mine["fieldsV1"], json!({ "f:spec": { "f:replicas": {} } }));
    server.apply(&path, "owner", deployment("web")).await.refused(409, "Conflict");
}

#[tokio::test]
async fn defaults_are_the_creator_s_and_what_the_server_adds_is_nobody_s() {
    let server = start().await;
    let core = "/api/v1/namespaces/default";
    let fields = async |list: &str, mut body: Value| {
        body["metadata"] = json!({ "name": "x" });
        let created = server.post(list, body).await.ok();
        created["metadata"]["managedFields"][0]["fieldsV1"].clone()
    };
    let service = json!({ "apiVersion": "v1", "kind": "Service", "spec": { "ports": [{ "port": 80 }] } });
    let service = fields(&format!("{core}/services"), service).await;
    let mut spec = service["f:spec"].as_object().unwrap().clone();
    spec.remove(".");
    let spec: Vec<_> = spec.keys().map(String::as_str).collect();
    assert_eq!(spec, ["f:internalTrafficPolicy", "f:ports", "f:sessionAffinity", "f:type"]);
    assert_eq!(service.get("f:status"), None);
    let pod = fields(&format!("{core}/pods"), crate::support::pod("x")).await;
    assert_eq!(pod["f:spec"]["f:restartPolicy"], json!({}));
    assert_eq!(pod.get("f:status"), None);
    let namespace =
        fields("/api/v1/namespaces?dryRun=All", json!({ "apiVersion": "v1", "kind": "Namespace" })).await;
    assert_eq!(namespace["f:metadata"]["f:labels"]["f:kubernetes.io/metadata.name"], json!({}));
    assert_eq!((namespace.get("f:spec"), namespace.get("f:status")), (None, None));
    let job = json!({ "apiVersion": "batch/v1", "kind": "Job", "spec": { "template": { "spec": {
        "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }] } } } });
    let job = fields("/apis/batch/v1/namespaces/default/jobs", job).await;
    assert_eq!(job["f:spec"]["f:backoffLimit"], json!({}));
    assert_eq!(job["f:spec"].get("f:selector"), None);
    assert_eq!(job["f:spec"]["f:template"].get("f:metadata"), None);
}

/// The fields of the first manager.
fn owned(object: &Value) -> Value {
    object["metadata"]["managedFields"][0]["fieldsV1"].clone()
}

#[tokio::test]
async fn who_creates_an_object_owns_what_it_did_not_have_from_the_beginning() {
    let server = start().await;
    let made = server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let fields = owned(&made);
    let container = json!({ ".": {}, "f:image": {}, "f:imagePullPolicy": {}, "f:name": {}, "f:resources": {},
        "f:terminationMessagePath": {}, "f:terminationMessagePolicy": {} });
    let containers = json!({ "k:{\"name\":\"app\"}": container });
    let spec = &fields["f:spec"];
    assert_eq!(spec["f:template"]["f:spec"]["f:containers"], containers, "{fields}");
    let rolling = json!({ ".": {}, "f:maxSurge": {}, "f:maxUnavailable": {} });
    assert_eq!(spec["f:strategy"], json!({ "f:rollingUpdate": rolling, "f:type": {} }));
    let labels = json!({ ".": {}, "f:app": {} });
    assert_eq!(spec["f:template"]["f:metadata"], json!({ "f:labels": labels }));
    assert_eq!(spec.get("."), None);
    let mut map = config_map("a", json!({ "k": "1" }));
    map["metadata"]["labels"] = json!({ "a": "b" });
    map["metadata"]["finalizers"] = json!(["example.com/f"]);
    let made = server.post(CONFIG_MAPS, map).await.ok();
    let metadata = json!({ "f:labels": { ".": {}, "f:a": {} },
        "f:finalizers": { ".": {}, "v:\"example.com/f\"": {} } });
    assert_eq!(owned(&made), json!({ "f:data": { ".": {}, "f:k": {} }, "f:metadata": metadata }));
    server.merge(&format!("{CONFIG_MAPS}/a"), json!({ "metadata": { "finalizers": null } })).await.ok();
}

#[tokio::test]
async fn who_adds_an_item_owns_all_that_is_in_it() {
    let server = start().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let env = json!([{ "name": "A", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }]);
    let added = json!([{ "name": "app", "env": env },
        { "name": "more", "image": "i", "ports": [{ "containerPort": 80 }], "resources": { "limits": { "cpu": "1" } } }]);
    let patch = json!({ "spec": { "template": { "spec": { "containers": added } } } });
    let path = format!("{DEPLOYMENTS}/web?fieldManager=adder");
    let patched = server.patch(&path, "strategic-merge-patch+json", patch).await.ok();
    let entries = patched["metadata"]["managedFields"].as_array().unwrap();
    let adder = entries.iter().find(|entry| entry["manager"] == "adder").unwrap();
    let containers = &adder["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"];
    let variable = json!({ ".": {}, "f:name": {}, "f:valueFrom": { ".": {}, "f:fieldRef": {} } });
    let app = json!({ "f:env": { ".": {}, "k:{\"name\":\"A\"}": variable } });
    assert_eq!(containers["k:{\"name\":\"app\"}"], app, "{adder}");
    let more = &containers["k:{\"name\":\"more\"}"];
    let port = json!({ ".": {}, "f:containerPort": {}, "f:protocol": {} });
    assert_eq!(more["f:ports"], json!({ ".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": port }));
    assert_eq!(more["f:resources"], json!({ ".": {}, "f:limits": { ".": {}, "f:cpu": {} } }));
}
