//! What runs, while what its resource orders cannot take its place, and what becomes of it once that can.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::plugin_resources::*;
use crate::support::{Host, eventually};

/// Of Services, so that ConfigMaps may be out of reach.
fn of_services() -> Value {
    json!({"reconciles": {"kind": "v1/Service", "namespaces": ["default"]}})
}

async fn create_service(host: &Host, name: &str) {
    host.create(json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}]},
        "metadata": {"name": name, "namespace": "default"}}))
        .await;
}

async fn create_labelled(host: &Host, name: &str) {
    host.create(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "labels": {"echo": ""}}}))
        .await;
}

/// Has something go wrong on the API server, or nothing any more.
async fn faults(host: &Host, method: &str, fault: Value) {
    let request = http::Request::builder().method(method).uri("/faults").body(fault.to_string().into_bytes());
    let _: Value = host.client.request(request.unwrap()).await.unwrap();
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

#[tokio::test]
async fn a_revision_whose_kinds_do_not_sync_in_time_leaves_alone_the_one_that_runs() {
    let host = Host::start_with(&[], &["--faults", "--sync-timeout", "2"]).await;
    component(&host, "default", "echo", &wasm("echo")).await;
    order(&host, "", "echo", spec("echo", echo_of("default"))).await;
    until_ready(&host, "", "echo").await;
    let refused = json!({"fault": "refuse", "code": 503, "method": "GET", "resource": "services"});
    faults(&host, "POST", refused).await;
    let watches = json!([{"kind": "v1/Service", "byAnnotation": "example.com/config"}]);
    change(&host, "", "echo", json!({"config": {"watches": watches}})).await;
    let late = until(&host, "", "echo", "Synced", "False", "SyncTimeout").await;
    let told = message(&late, "Synced");
    assert!(told.contains("v1/Service") && told.contains("within 2s"), "{told}");
    assert!(!told.contains("v1/ConfigMap"), "that has synced: {told}");
    assert!(message(&late, "Ready").contains("revision 1 runs on"), "{late:?}");
    create_labelled(&host, "meanwhile").await;
    host.logged("asked for default/meanwhile").await;

    faults(&host, "DELETE", json!({})).await;
    let ready = until_ready(&host, "", "echo").await;
    assert_eq!(ready.data["status"]["revision"], 2);
}

#[tokio::test]
async fn a_component_whose_config_map_is_out_of_reach_runs_on_and_is_followed_afterwards() {
    let host = Host::start_with(&[], &["--faults"]).await;
    component(&host, "default", "echo", &wasm("echo")).await;
    order(&host, "", "echo", spec("echo", of_services())).await;
    until_ready(&host, "", "echo").await;
    let refused = json!({"fault": "refuse", "code": 503, "method": "GET", "resource": "configmaps"});
    faults(&host, "POST", refused).await;
    let problem = "ConfigMap default/echo cannot be read";
    host.logged(problem).await;
    let log = host.log();
    let line = log.lines().find(|line| line.contains(problem)).unwrap();
    assert!(line.contains("what was fetched before still counts"), "{line}");
    create_service(&host, "meanwhile").await;
    host.logged("asked for default/meanwhile").await;
    // A new spec is another matter to look at, and of the same component.
    change(&host, "", "echo", json!({"config": {"failures": 0}})).await;
    let ready = until_ready(&host, "", "echo").await;
    assert_eq!(ready.data["status"]["revision"], 2);

    faults(&host, "DELETE", json!({})).await;
    let data = json!({"binaryData": {"plugin.wasm": STANDARD.encode(other(&wasm("echo")))}});
    host.patch("v1/ConfigMap", "default", "echo", data).await;
    eventually("it is followed", || async {
        (get(&host, "", "echo").await.data["status"]["revision"] == 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn reconciles_that_were_cut_off_by_the_switch_are_said_to_have_been() {
    let host = Host::start_with(&[], &["--grace", "0.5"]).await;
    component(&host, "default", "echo", &wasm("echo")).await;
    let mut of = spec("echo", echo_of("default"));
    of["config"]["takesMs"] = json!(60_000);
    order(&host, "", "echo", of).await;
    until_ready(&host, "", "echo").await;
    create_labelled(&host, "one").await;
    host.logged("asked for default/one").await;
    change(&host, "", "echo", json!({"config": {"takesMs": 0}})).await;
    let cut = until(&host, "", "echo", "Switched", "True", "GraceExceeded").await;
    assert!(message(&cut, "Switched").contains("did not end within the grace"), "{cut:?}");
    assert_eq!((&cut.data["status"]["revision"], &cut.data["status"]["ready"]), (&json!(2), &json!(true)));
    // Of the next switch, which finds none at work, there is nothing to say.
    let active = "controller_runtime_active_workers{controller=\"echo\"}";
    eventually("none runs any more", || async { (host.metric(active) == 0.0).then_some(()) }).await;
    change(&host, "", "echo", json!({"config": {"failures": 0}})).await;
    until(&host, "", "echo", "Switched", "True", "Done").await;
}

#[tokio::test]
async fn a_resource_that_goes_before_it_has_run_is_said_to_be_gone() {
    let host = Host::start(&[]).await;
    order(&host, "", "waits", spec("nothing", echo_of("default"))).await;
    until(&host, "", "waits", "Fetched", "False", "ConfigMapNotFound").await;
    delete(&host, CLUSTER, "", "waits").await;
    until_event(&host, "PluginRemoved", "ClusterPlugin/waits is gone").await;
    // Its kind is not served yet.
    component(&host, "default", "echo", &wasm("echo")).await;
    order(&host, "", "lacks", spec("echo", json!({"reconciles": {"kind": "example.com/v1/Thing"}}))).await;
    until(&host, "", "lacks", "Synced", "False", "KindUnavailable").await;
    delete(&host, CLUSTER, "", "lacks").await;
    until_event(&host, "PluginRemoved", "ClusterPlugin/lacks is gone").await;
}
