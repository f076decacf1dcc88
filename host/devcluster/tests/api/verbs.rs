//! Which methods a path takes, in which form a body may come, and that nothing happens to who is refused.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, LEASES, PODS, config_map, pod, start};

const WATCHED: &str = "/api/v1/watch/namespaces/default/configmaps";

#[tokio::test]
async fn what_is_in_all_namespaces_is_listed_and_not_deleted() {
    let server = start().await;
    server.config_map("a", json!({})).await;
    for path in ["/api/v1/configmaps", "/api/v1/namespaces"] {
        let status = server.delete(path).await.refused(405, "MethodNotAllowed");
        assert_eq!(status["message"], "the server does not allow this method on the requested resource");
    }
    server.post("/api/v1/configmaps", config_map("b", json!({}))).await.refused(405, "MethodNotAllowed");
    server.get(&format!("{CONFIG_MAPS}/a")).await.ok();
    let resources = server.get("/api/v1").await.ok()["resources"].clone();
    let offers = |name: &str| {
        let resource = resources.as_array().unwrap().iter().find(|resource| resource["name"] == name);
        resource.unwrap()["verbs"].as_array().unwrap().contains(&json!("deletecollection"))
    };
    assert_eq!((offers("configmaps"), offers("namespaces")), (true, false));
}

#[tokio::test]
async fn the_old_form_of_a_watch_is_for_reading_alone() {
    let server = start().await;
    server.config_map("a", json!({})).await;
    server.post(WATCHED, config_map("b", json!({}))).await.refused(405, "MethodNotAllowed");
    server.delete(WATCHED).await.refused(405, "MethodNotAllowed");
    let one = format!("{WATCHED}/a");
    server.put(&one, config_map("a", json!({ "x": "1" }))).await.refused(405, "MethodNotAllowed");
    server.merge(&one, json!({ "data": { "x": "1" } })).await.refused(405, "MethodNotAllowed");
    server.delete(&one).await.refused(405, "MethodNotAllowed");
    assert_eq!(server.get(&format!("{CONFIG_MAPS}/a")).await.ok()["data"]["x"], Value::Null);
    server.watch(&one).await.expect("ADDED", "a").await;
}

#[tokio::test]
async fn one_object_is_read_by_its_name_even_by_who_asks_to_watch() {
    let server = start().await;
    server.config_map("a", json!({})).await;
    let object = server.get(&format!("{CONFIG_MAPS}/a?watch=true&timeoutSeconds=1")).await.ok();
    assert_eq!((&object["kind"], &object["metadata"]["name"]), (&json!("ConfigMap"), &json!("a")));
}

#[tokio::test]
async fn a_subresource_takes_the_methods_that_discovery_says() {
    let server = start().await;
    server.post(PODS, pod("p")).await.ok();
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    server.post(accounts, json!({ "metadata": { "name": "robot" } })).await.ok();
    let made_only =
        [format!("{PODS}/p/eviction"), format!("{PODS}/p/binding"), format!("{accounts}/robot/token")];
    for path in made_only {
        server.get(&path).await.refused(405, "MethodNotAllowed");
        server.put(&path, pod("p")).await.refused(405, "MethodNotAllowed");
        server.merge(&path, json!({})).await.refused(405, "MethodNotAllowed");
        server.delete(&path).await.refused(405, "MethodNotAllowed");
    }
    let finalize = "/api/v1/namespaces/default/finalize";
    server.get(finalize).await.refused(405, "MethodNotAllowed");
    server.merge(finalize, json!({ "spec": { "finalizers": [] } })).await.refused(405, "MethodNotAllowed");
    server.post(&format!("{PODS}/p/status"), pod("p")).await.refused(405, "MethodNotAllowed");
    server.delete(&format!("{PODS}/p/status")).await.refused(405, "MethodNotAllowed");
    server.get(&format!("{PODS}/p/status")).await.ok();
}

#[tokio::test]
async fn a_body_is_in_a_form_that_the_server_knows() {
    let server = start().await;
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/merge-patch+json"] {
        let body = config_map("a", json!({})).to_string();
        let answer = server.send("POST", CONFIG_MAPS, &[("content-type", media_type)], body).await;
        let status = answer.refused(415, "UnsupportedMediaType");
        assert!(
            status["message"].as_str().unwrap().contains("application/json, application/yaml"),
            "{status}"
        );
    }
    server.get(&format!("{CONFIG_MAPS}/a")).await.refused(404, "NotFound");
    let json = [("content-type", "application/json; charset=utf-8")];
    server.send("POST", CONFIG_MAPS, &json, config_map("a", json!({})).to_string()).await.ok();
    server.send("POST", CONFIG_MAPS, &[], config_map("b", json!({})).to_string()).await.ok();
    for media_type in ["application/json", "text/plain", ""] {
        let path = format!("{CONFIG_MAPS}/a");
        let answer = server.send("PATCH", &path, &[("content-type", media_type)], "{}").await;
        answer.refused(415, "UnsupportedMediaType");
    }
}

#[tokio::test]
async fn nothing_is_written_for_who_cannot_be_answered() {
    let server = start().await;
    let json = ("content-type", "application/json");
    let unknown = [json, ("accept", "text/plain")];
    let body = config_map("a", json!({})).to_string();
    server.send("POST", CONFIG_MAPS, &unknown, body.clone()).await.refused(406, "NotAcceptable");
    let path = format!("{CONFIG_MAPS}/a");
    server.get(&path).await.refused(404, "NotFound");
    server.config_map("a", json!({})).await;
    let changed = config_map("a", json!({ "x": "1" })).to_string();
    server.send("PUT", &path, &unknown, changed).await.refused(406, "NotAcceptable");
    let merge = [("content-type", "application/merge-patch+json"), ("accept", "text/plain")];
    server.send("PATCH", &path, &merge, r#"{"data":{"x":"1"}}"#).await.refused(406, "NotAcceptable");
    server.send("DELETE", &path, &unknown, "").await.refused(406, "NotAcceptable");
    server.send("DELETE", CONFIG_MAPS, &unknown, "").await.refused(406, "NotAcceptable");
    assert_eq!(server.get(&path).await.ok()["data"]["x"], Value::Null);
}

#[tokio::test]
async fn a_flag_that_is_there_is_set_unless_it_says_no() {
    let server = start().await;
    server.lease("a").await;
    for query in ["watch", "watch=", "watch=TRUE", "watch=yes"] {
        server.watch(&format!("{LEASES}?{query}")).await.expect("ADDED", "a").await;
    }
    for query in ["watch=false", "watch=False", "watch=0"] {
        let list = server.get(&format!("{LEASES}?{query}")).await.ok();
        assert_eq!(list["kind"], "LeaseList", "{query}");
    }
}
