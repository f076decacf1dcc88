//! Garbage collection by owner reference, and namespace deletion.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, CRDS, Server, WIDGETS, config_map, start, widget, widget_definition};

async fn owned(server: &Server, name: &str, owners: &[&Value], blocks: bool) -> Value {
    let references: Vec<Value> = owners
        .iter()
        .map(|owner| {
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"], "blockOwnerDeletion": blocks })
        })
        .collect();
    let mut body = config_map(name, json!({}));
    body["metadata"]["ownerReferences"] = json!(references);
    server.post(CONFIG_MAPS, body).await.ok()
}

fn at(name: &str) -> String {
    format!("{CONFIG_MAPS}/{name}")
}

#[tokio::test]
async fn dependents_go_after_their_owner_through_all_generations() {
    let server = start().await;
    let owner = server.config_map("owner", json!({})).await;
    let child = owned(&server, "child", &[&owner], false).await;
    owned(&server, "grandchild", &[&child], false).await;
    server.delete(&at("owner")).await.ok();
    server.eventually_gone(&at("child")).await;
    server.eventually_gone(&at("grandchild")).await;
}

#[tokio::test]
async fn a_dependent_of_two_owners_stays_with_the_one_that_is_left() {
    let server = start().await;
    let one = server.config_map("one", json!({})).await;
    let two = server.config_map("two", json!({})).await;
    owned(&server, "child", &[&one, &two], false).await;
    server.delete(&at("one")).await.ok();
    let child = server
        .eventually(&at("child"), "the reference to the first owner goes", |answer| {
            answer.body["metadata"]["ownerReferences"].as_array().is_some_and(|list| list.len() == 1)
        })
        .await;
    assert_eq!(child.body["metadata"]["ownerReferences"][0]["name"], "two");
}

#[tokio::test]
async fn in_the_foreground_the_owner_goes_last() {
    let server = start().await;
    let owner = server.config_map("owner", json!({})).await;
    let mut child = owned(&server, "child", &[&owner], true).await;
    child["metadata"]["finalizers"] = json!(["example.com/hold"]);
    server.put(&at("child"), child).await.ok();
    let pending = server.delete(&format!("{}?propagationPolicy=Foreground", at("owner"))).await.ok();
    assert_eq!(pending["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    server
        .eventually(&at("child"), "it is being deleted", |a| {
            a.body["metadata"]["deletionTimestamp"].is_string()
        })
        .await;
    server.get(&at("owner")).await.ok();
    server.merge(&at("child"), json!({ "metadata": { "finalizers": [] } })).await.ok();
    server.eventually_gone(&at("owner")).await;
}

#[tokio::test]
async fn orphans_stay_without_their_owner() {
    let server = start().await;
    let owner = server.config_map("owner", json!({})).await;
    owned(&server, "child", &[&owner], false).await;
    server.delete(&format!("{}?propagationPolicy=Orphan", at("owner"))).await.ok();
    server.eventually_gone(&at("owner")).await;
    let child = server.get(&at("child")).await.ok();
    assert_eq!(child["metadata"].get("ownerReferences"), None);
}

#[tokio::test]
async fn an_object_whose_owner_does_not_exist_is_collected() {
    let server = start().await;
    let ghost = json!({ "metadata": { "name": "ghost", "uid": "00000000-0000-0000-0000-000000000000" } });
    owned(&server, "child", &[&ghost], false).await;
    server.eventually_gone(&at("child")).await;
}

#[tokio::test]
async fn deleting_a_namespace_deletes_its_content_and_then_itself() {
    let server = start().await;
    server.team().await;
    let path = "/api/v1/namespaces/team/configmaps";
    let mut held = config_map("held", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    server.post(path, held).await.ok();
    server.post(path, config_map("free", json!({}))).await.ok();
    let deleted = server.delete("/api/v1/namespaces/team").await.ok();
    assert_eq!(deleted["status"]["phase"], "Terminating");
    server.eventually_gone(&format!("{path}/free")).await;
    let status = server.post(path, config_map("late", json!({}))).await.refused(403, "Forbidden");
    assert_eq!(status["details"]["causes"][0]["reason"], "NamespaceTerminating");
    server.get("/api/v1/namespaces/team").await.ok();
    server.merge(&format!("{path}/held"), json!({ "metadata": { "finalizers": [] } })).await.ok();
    server.eventually_gone("/api/v1/namespaces/team").await;
}

async fn eventually_ordered(server: &Server) {
    // The collector works in order: once this is gone, it has judged all that came before.
    let ghost = json!({ "metadata": { "name": "ghost", "uid": "00000000-0000-0000-0000-000000000001" } });
    owned(server, "marker", &[&ghost], false).await;
    server.eventually_gone(&at("marker")).await;
}

#[tokio::test]
async fn an_owner_that_nobody_can_look_for_keeps_its_dependent() {
    let server = start().await;
    let mut body = config_map("child", json!({}));
    body["metadata"]["ownerReferences"] = json!([{ "apiVersion": "example.com/v1", "kind": "Unheard",
        "name": "o", "uid": "00000000-0000-0000-0000-000000000002" }]);
    server.post(CONFIG_MAPS, body).await.ok();
    eventually_ordered(&server).await;
    server.get(&at("child")).await.ok();
}

#[tokio::test]
async fn an_owner_is_looked_for_once_its_kind_is_served() {
    let server = start().await;
    let mut body = config_map("child", json!({}));
    body["metadata"]["ownerReferences"] = json!([{ "apiVersion": "example.com/v1", "kind": "Widget",
        "name": "o", "uid": "00000000-0000-0000-0000-000000000003" }]);
    server.post(CONFIG_MAPS, body).await.ok();
    eventually_ordered(&server).await;
    server.get(&at("child")).await.ok();
    server.post(CRDS, widget_definition()).await.ok();
    server.eventually_gone(&at("child")).await;
}

#[tokio::test]
async fn what_is_in_no_namespace_cannot_be_owned_from_within_one() {
    let server = start().await;
    let owner = server.config_map("owner", json!({})).await;
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let path = format!("{roles}/owned.example.com");
    let role = json!({ "metadata": { "name": "owned.example.com", "ownerReferences": [{ "apiVersion": "v1",
        "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"] }] }, "rules": [] });
    server.post(roles, role).await.ok();
    server.delete(&at("owner")).await.ok();
    eventually_ordered(&server).await;
    server.get(&path).await.ok();
    server.delete(&path).await.ok();
}

#[tokio::test]
async fn a_reference_with_the_right_uid_and_another_name_is_to_nobody() {
    let server = start().await;
    let mut owner = server.config_map("owner", json!({})).await;
    owner["metadata"]["name"] = json!("another");
    owned(&server, "child", &[&owner], false).await;
    server.eventually_gone(&at("child")).await;
    server.get(&at("owner")).await.ok();
}

#[tokio::test]
async fn dependents_of_custom_objects_go_when_the_definition_goes() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let mut owners = Vec::new();
    for name in ["one", "two", "seen"] {
        let widget = server.post(WIDGETS, widget(name, json!({ "size": "s" }))).await.ok();
        owners.push(json!({ "apiVersion": "example.com/v1", "kind": "Widget", "name": name,
            "uid": widget["metadata"]["uid"] }));
    }
    // A cluster's collector has seen the kind once it collects for one of it that goes.
    for (name, owners) in [("of-seen", &owners[2..]), ("child", &owners[..2])] {
        let mut body = config_map(name, json!({}));
        body["metadata"]["ownerReferences"] = json!(owners);
        server.post(CONFIG_MAPS, body).await.ok();
    }
    server.delete(&format!("{WIDGETS}/seen")).await.ok();
    server.eventually_gone(&at("of-seen")).await;
    server.delete(&format!("{CRDS}/widgets.example.com")).await.ok();
    server.eventually_gone(&at("child")).await;
}

#[tokio::test]
async fn owners_in_a_circle_go_in_the_foreground_too() {
    let server = start().await;
    let one = server.config_map("one", json!({})).await;
    let two = owned(&server, "two", &[&one], true).await;
    let reference = json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "two",
        "uid": two["metadata"]["uid"], "blockOwnerDeletion": true }]);
    server.merge(&at("one"), json!({ "metadata": { "ownerReferences": reference } })).await.ok();
    server.delete(&format!("{}?propagationPolicy=Foreground", at("one"))).await.ok();
    server.eventually_gone(&at("one")).await;
    server.eventually_gone(&at("two")).await;
}

#[tokio::test]
async fn a_dependent_that_is_to_leave_orphans_leaves_them() {
    let server = start().await;
    let owner = server.config_map("owner", json!({})).await;
    let child = owned(&server, "child", &[&owner], false).await;
    owned(&server, "grandchild", &[&child], false).await;
    server.merge(&at("child"), json!({ "metadata": { "finalizers": ["orphan"] } })).await.ok();
    server.delete(&at("owner")).await.ok();
    server.eventually_gone(&at("child")).await;
    eventually_ordered(&server).await;
    let grandchild = server.get(&at("grandchild")).await.ok();
    assert_eq!(grandchild["metadata"].get("ownerReferences"), None);
}
