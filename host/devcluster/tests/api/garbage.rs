//! Garbage collection by owner reference, and namespace deletion.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, Server, config_map, start};

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
    server.post("/api/v1/namespaces", json!({ "metadata": { "name": "team" } })).await.ok();
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
