//! Which options of lists and watches go together, and what they mean together.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, LEASES, Server, start};

async fn causes(server: &Server, query: &str) -> Vec<Value> {
    let status = server.get(&format!("{CONFIG_MAPS}?{query}")).await.refused(422, "Invalid");
    assert_eq!(
        (&status["details"]["group"], &status["details"]["kind"]),
        (&json!("meta.k8s.io"), &json!("ListOptions"))
    );
    let causes = status["details"]["causes"].as_array().unwrap();
    causes.iter().map(|cause| cause["message"].clone()).collect()
}

#[tokio::test]
async fn options_that_do_not_go_together_are_invalid_with_their_causes() {
    let server = start().await;
    assert_eq!(
        causes(&server, "watch=true&sendInitialEvents=true").await,
        ["Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"]
    );
    assert_eq!(
        causes(&server, "watch=true&resourceVersionMatch=NotOlderThan").await,
        ["Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"]
    );
    assert_eq!(
        causes(&server, "watch=true&sendInitialEvents=true&resourceVersionMatch=Exact").await,
        [
            "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            "Unsupported value: \"Exact\": supported values: \"NotOlderThan\""
        ]
    );
    assert_eq!(
        causes(&server, "sendInitialEvents=true").await,
        ["Forbidden: sendInitialEvents is forbidden for list"]
    );
}

#[tokio::test]
async fn initial_events_end_with_a_mark_for_who_takes_bookmarks_alone() {
    let server = start().await;
    server.lease("a").await;
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let mut watch = server.watch(&format!("{LEASES}?{query}")).await;
    watch.expect("ADDED", "a").await;
    server.lease("b").await;
    watch.expect("ADDED", "b").await;
}

#[tokio::test]
async fn pages_from_a_version_are_as_of_that_version() {
    let server = start().await;
    let first = server.config_map("a", json!({})).await;
    server.config_map("b", json!({})).await;
    let version = first["metadata"]["resourceVersion"].as_str().unwrap();
    let list = server.get(&format!("{CONFIG_MAPS}?limit=5&resourceVersion={version}")).await.ok();
    assert_eq!(list["metadata"]["resourceVersion"], version);
    let names: Vec<&Value> =
        list["items"].as_array().unwrap().iter().map(|item| &item["metadata"]["name"]).collect();
    assert!(names.contains(&&json!("a")) && !names.contains(&&json!("b")), "{names:?}");
    let list = server.get(&format!("{CONFIG_MAPS}?limit=5&resourceVersion=0")).await.ok();
    assert!(list["items"].as_array().unwrap().iter().any(|item| item["metadata"]["name"] == "b"));
}

#[tokio::test]
async fn a_list_of_a_version_that_is_forgotten_says_so() {
    let server = start().await;
    let query = "resourceVersion=1&resourceVersionMatch=Exact";
    let status = server.get(&format!("{CONFIG_MAPS}?{query}")).await.refused(410, "Expired");
    assert_eq!(status["message"], "The resourceVersion for the provided list is too old.");
}

#[tokio::test]
async fn a_token_of_a_version_that_was_never_given_is_refused() {
    let server = start().await;
    for name in ["a", "b"] {
        server.lease(name).await;
    }
    let first = server.get(&format!("{LEASES}?limit=1")).await.ok();
    let token = URL_SAFE_NO_PAD.decode(first["metadata"]["continue"].as_str().unwrap()).unwrap();
    let mut token: serde_json::Value = serde_json::from_slice(&token).unwrap();
    token["rv"] = json!(i64::MAX / 2);
    let token = URL_SAFE_NO_PAD.encode(token.to_string());
    server.get(&format!("{LEASES}?limit=1&continue={token}")).await.refused(504, "Timeout");
}

#[tokio::test]
async fn what_was_before_the_server_began_is_forgotten() {
    let server = start().await;
    let mut watch = server.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion=5")).await;
    assert_eq!(watch.next().await.unwrap()["object"]["code"], 410);
}
