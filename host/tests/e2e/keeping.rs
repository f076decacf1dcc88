//! What runs, while what its resource orders cannot take its place, and what becomes of it once that can.

use serde_json::json;

use crate::plugin_resources::*;
use crate::support::Host;

async fn create_labelled(host: &Host, name: &str) {
    host.create(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "labels": {"echo": ""}}}))
        .await;
}

#[tokio::test]
async fn a_revision_that_needs_more_than_is_granted_leaves_alone_the_one_that_runs() {
    let host = host_with_echo().await;
    let rule = |kinds: &[&str]| json!({"verbs": ["get", "list", "watch"], "kinds": kinds, "namespaces": ["default"]});
    let mut of = spec("echo", echo_of("default"));
    of["grant"] = json!({"rules": [rule(&["v1/ConfigMap"])]});
    order(&host, "", "echo", of).await;
    until_ready(&host, "", "echo").await;
    let watches =
        json!([{"kind": "v1/Service", "namespaces": ["default"], "byAnnotation": "example.com/config"}]);
    change(&host, "", "echo", json!({"config": {"watches": watches}})).await;
    let denied = until(&host, "", "echo", "Granted", "False", "NotGranted").await;
    assert!(message(&denied, "Granted").contains("v1/Service"), "{denied:?}");
    assert!(message(&denied, "Ready").contains("revision 1 runs on"), "{denied:?}");
    assert_eq!(
        (&denied.data["status"]["revision"], &denied.data["status"]["phase"]),
        (&json!(1), &json!("waiting"))
    );
    until_event(&host, "PluginWaiting", "v1/Service").await;
    create_labelled(&host, "meanwhile").await;
    host.logged("asked for default/meanwhile").await;
    assert!(!host.log().contains("stopped plugin=\"echo\""), "{}", host.log());

    change(&host, "", "echo", json!({"grant": {"rules": [rule(&["v1/ConfigMap", "v1/Service"])]}})).await;
    let ready = until_ready(&host, "", "echo").await;
    assert_eq!(ready.data["status"]["revision"], 2);
}
