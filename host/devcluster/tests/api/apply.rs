//! Server-side apply and field ownership.

use serde_json::{Value, json};

use crate::support::{
    CONFIG_MAPS, CRDS, DEPLOYMENTS, WIDGETS, config_map, deployment, start, widget, widget_definition,
};

fn managers(object: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    entries.iter().map(|entry| (text(&entry["manager"]), text(&entry["operation"]))).collect()
}

#[tokio::test]
async fn apply_creates_then_updates_and_records_its_manager() {
    let server = start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let created = server.apply(&path, "m", config_map("a", json!({ "k": "1" }))).await;
    assert_eq!(created.code, 201);
    assert_eq!(managers(&created.body), [("m".to_owned(), "Apply".to_owned())]);
    assert_eq!(created.body["metadata"]["managedFields"][0]["fieldsV1"], json!({ "f:data": { "f:k": {} } }));
    let updated = server.apply(&path, "m", config_map("a", json!({ "k": "2" }))).await;
    assert_eq!((updated.code, &updated.body["data"]["k"]), (200, &json!("2")));
}

#[tokio::test]
async fn applying_the_same_again_keeps_the_version() {
    let server = start().await;
    // No controller writes to what is only a template.
    let path = "/api/v1/namespaces/default/podtemplates/web";
    let template = json!({ "apiVersion": "v1", "kind": "PodTemplate", "metadata": { "name": "web" },
        "template": deployment("web")["spec"]["template"] });
    let first = server.apply(path, "m", template.clone()).await.ok();
    let second = server.apply(path, "m", template).await.ok();
    assert_eq!(first, second);
}

#[tokio::test]
async fn apply_takes_yaml_and_needs_a_manager() {
    let server = start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: \"1\"}\n";
    let apply = [("content-type", "application/apply-patch+yaml")];
    server.send("PATCH", &path, &apply, yaml).await.refused(422, "Invalid");
    let answer = server.send("PATCH", &format!("{path}?fieldManager=m"), &apply, yaml).await;
    assert_eq!(answer.ok()["data"]["a"], "1");
}

#[tokio::test]
async fn a_field_no_longer_applied_goes_and_what_others_set_stays() {
    let server = start().await;
    let path = format!("{CONFIG_MAPS}/a");
    server.apply(&path, "m", config_map("a", json!({ "mine": "1", "gone": "1" }))).await.ok();
    server.merge(&format!("{path}?fieldManager=other"), json!({ "data": { "theirs": "2" } })).await.ok();
    let applied = server.apply(&path, "m", config_map("a", json!({ "mine": "1" }))).await.ok();
    assert_eq!(applied["data"], json!({ "mine": "1", "theirs": "2" }));
}

#[tokio::test]
async fn a_conflict_names_fields_and_managers_and_force_settles_it() {
    let server = start().await;
    let path = format!("{CONFIG_MAPS}/a");
    server.apply(&path, "one", config_map("a", json!({ "k": "1" }))).await.ok();
    let status =
        server.apply(&path, "two", config_map("a", json!({ "k": "2" }))).await.refused(409, "Conflict");
    let cause = &status["details"]["causes"][0];
    assert_eq!((&cause["reason"], &cause["field"]), (&json!("FieldManagerConflict"), &json!(".data.k")));
    assert!(cause["message"].as_str().unwrap().contains("\"one\""));
    let forced =
        server.apply(&format!("{path}?force=true"), "two", config_map("a", json!({ "k": "2" }))).await.ok();
    assert_eq!(managers(&forced), [("two".to_owned(), "Apply".to_owned())]);
    server.apply(&path, "one", config_map("a", json!({}))).await.ok();
    assert_eq!(server.get(&path).await.ok()["data"]["k"], "2", "one owns it no more, so it cannot remove it");
}

#[tokio::test]
async fn the_same_value_is_shared_without_conflict() {
    let server = start().await;
    let path = format!("{CONFIG_MAPS}/a");
    server.apply(&path, "one", config_map("a", json!({ "k": "1" }))).await.ok();
    server.apply(&path, "two", config_map("a", json!({ "k": "1" }))).await.ok();
    let left = server.apply(&path, "one", config_map("a", json!({}))).await.ok();
    assert_eq!(left["data"]["k"], "1");
}

#[tokio::test]
async fn a_plain_update_takes_ownership_of_what_it_changes() {
    let server = start().await;
    let path = format!("{CONFIG_MAPS}/a");
    server.apply(&path, "m", config_map("a", json!({ "k": "1" }))).await.ok();
    let patch = json!({ "data": { "k": "2" } });
    let patched = server.merge(&format!("{path}?fieldManager=editor"), patch).await.ok();
    assert_eq!(managers(&patched), [("editor".to_owned(), "Update".to_owned())]);
    server.apply(&path, "m", config_map("a", json!({ "k": "1" }))).await.refused(409, "Conflict");
}

#[tokio::test]
async fn two_managers_share_the_containers_of_a_pod_template() {
    let server = start().await;
    let path = format!("{DEPLOYMENTS}/web");
    server.apply(&path, "one", deployment("web")).await.ok();
    let containers = |list: Value| {
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
            "spec": { "template": { "spec": { "containers": list } } } })
    };
    let both = server.apply(&path, "two", containers(json!([{ "name": "side", "image": "s:1" }]))).await.ok();
    assert_eq!(both["spec"]["template"]["spec"]["containers"].as_array().unwrap().len(), 2);
    let again = server.apply(&path, "one", deployment("web")).await.ok();
    assert_eq!(again["spec"]["template"]["spec"]["containers"].as_array().unwrap().len(), 2);
    let without = server.apply(&path, "two", containers(json!([]))).await;
    let without = without.ok();
    let left = without["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    assert_eq!((left.len(), &left[0]["name"]), (1, &json!("app")));
}

#[tokio::test]
async fn a_schema_says_how_a_custom_resources_lists_merge() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let path = format!("{WIDGETS}/w");
    let parts = |list: Value| widget("w", json!({ "size": "s", "parts": list }));
    server.apply(&path, "one", parts(json!([{ "id": "a", "weight": 1 }]))).await.ok();
    let both = server.apply(&path, "two", parts(json!([{ "id": "b" }]))).await.ok();
    assert_eq!(both["spec"]["parts"], json!([{ "id": "a", "weight": 1 }, { "id": "b" }]));
    let status = server.apply(&path, "two", parts(json!([{ "id": "a", "weight": 2 }]))).await;
    let status = status.refused(409, "Conflict");
    assert_eq!(status["details"]["causes"][0]["field"], ".spec.parts[id=\"a\"].weight");
}

#[tokio::test]
async fn status_is_applied_by_its_subresource_alone() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let path = format!("{WIDGETS}/w");
    let mut body = widget("w", json!({ "size": "s" }));
    body["status"] = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
    let main = server.apply(&path, "m", body).await.ok();
    assert_eq!(main.get("status"), None);
    let status = json!({ "apiVersion": "example.com/v1", "kind": "Widget", "metadata": { "name": "w" },
        "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
    let applied = server.apply(&format!("{path}/status"), "m", status.clone()).await.ok();
    assert_eq!(applied["status"]["conditions"][0]["status"], "True");
    assert_eq!(applied["spec"]["size"], "s");
    assert_eq!(applied["metadata"]["managedFields"].as_array().unwrap().len(), 2);
    let again = server.apply(&format!("{path}/status"), "m", status).await.ok();
    assert_eq!(again["metadata"]["resourceVersion"], applied["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn owner_references_and_labels_of_two_managers_add_up() {
    let server = start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let owner = server.config_map("owner", json!({})).await;
    let mut one = config_map("a", json!({ "k": "1" }));
    one["metadata"]["labels"] = json!({ "one": "1" });
    one["metadata"]["ownerReferences"] = json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"] }]);
    let mut two = config_map("a", json!({ "k": "1" }));
    two["metadata"]["labels"] = json!({ "two": "2" });
    server.apply(&path, "one", one).await.ok();
    let both = server.apply(&path, "two", two).await.ok();
    assert_eq!(both["metadata"]["labels"], json!({ "one": "1", "two": "2" }));
    assert_eq!(both["metadata"]["ownerReferences"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn several_conflicts_are_told_manager_by_manager() {
    let server = start().await;
    let path = format!("{CONFIG_MAPS}/a");
    server.apply(&path, "m1", config_map("a", json!({ "x": "1", "y": "1" }))).await.ok();
    let one = server.apply(&path, "m3", config_map("a", json!({ "x": "2" }))).await.refused(409, "Conflict");
    assert_eq!(one["message"], "Apply failed with 1 conflict: conflict with \"m1\": .data.x");
    let two = server.apply(&path, "m3", config_map("a", json!({ "x": "2", "y": "2" }))).await;
    let message = "Apply failed with 2 conflicts: conflicts with \"m1\":\n- .data.x\n- .data.y";
    assert_eq!(two.refused(409, "Conflict")["message"], message);
    server.apply(&path, "m2", config_map("a", json!({ "x": "1", "z": "1" }))).await.ok();
    server.merge(&format!("{path}?fieldManager=u1"), json!({ "data": { "w": "1" } })).await.ok();
    let wanted = config_map("a", json!({ "w": "9", "x": "9", "y": "9", "z": "9" }));
    let five = server.apply(&path, "m3", wanted).await.refused(409, "Conflict");
    let message = "Apply failed with 5 conflicts: conflicts with \"m1\":\n- .data.x\n- .data.y\nconflicts with \
                   \"m2\":\n- .data.x\n- .data.z\nconflicts with \"u1\" using v1:\n- .data.w";
    assert_eq!(five["message"], message);
    let causes = five["details"]["causes"].as_array().unwrap();
    assert_eq!((causes.len(), &causes[1]["message"]), (5, &json!("conflict with \"m1\"")));
}
