//! What is put right, or lost, while something else goes on: which one it ends, and what is said of it.

use std::fs;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::coming_back::{going_back, grant, put, rollback, runs};
use crate::plugin_resources::*;
use crate::restarting::apply;
use crate::rolling_back::*;
use crate::support::{Host, eventually, plugin};

const MAPS: &str = "v1/ConfigMap";

fn rules(kind: &str, verbs: &[&str]) -> Value {
    json!([{"verbs": verbs, "kinds": [kind], "subresources": ["", "status"], "namespaces": ["*"]}])
}

#[tokio::test]
async fn limits_that_came_while_it_waited_for_a_grant_and_are_put_right_let_it_run() {
    let (folder, grants) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::copy(plugin("echo"), folder.path().join("echo.wasm")).unwrap();
    let flags = ["--leader-election=false", "--grants", grants.path().to_str().unwrap()];
    let host = Host::run(folder, &flags).await;
    let because = |reason: &'static str| move |report: &Value| report["reason"] == reason;
    host.until("echo.wasm", "waiting for a grant", because("NotGranted")).await;
    let rules = rules(MAPS, &["get", "list", "watch"]);
    grant(&grants, &rules, json!({"memory": "64Ki"}));
    host.until("echo.wasm", "without enough memory", because("DescribeFailed")).await;
    grant(&grants, &rules, json!({}));
    host.until_running("echo.wasm").await;
}

#[tokio::test]
async fn that_its_component_is_gone_is_said_after_a_rollback_too() {
    let host = Host::run(with_nothing(), &["--leader-election=false"]).await;
    apply(&host).await;
    change(&host, "", "echo", json!({"config": fuse()})).await;
    until_on_probation(&host).await;
    delete(&host, MAPS, "default", "echo").await;
    until(&host, "", "echo", "Fetched", "False", "ConfigMapNotFound").await;
    spark(&host).await;
    let back = eventually("it is on record", || async {
        let resource = get(&host, "", "echo").await;
        resource.data["status"]["rolledBack"].is_object().then_some(resource)
    })
    .await;
    assert_eq!(condition(&back, "Fetched").unwrap()["reason"], "ConfigMapNotFound", "{back:?}");
}

#[tokio::test]
async fn that_its_component_is_gone_is_said_when_it_is_granted_again_what_it_needs_too() {
    let host = Host::run(with_nothing(), &["--leader-election=false"]).await;
    apply(&host).await;
    let granted = get(&host, "", "echo").await.data["spec"]["grant"].clone();
    delete(&host, MAPS, "default", "echo").await;
    until(&host, "", "echo", "Fetched", "False", "ConfigMapNotFound").await;
    change(&host, "", "echo", json!({"grant": {"rules": []}})).await;
    host.until("ClusterPlugin/echo", "stopped", |report| !runs(report)).await;
    change(&host, "", "echo", json!({"grant": granted})).await;
    let both = |report: &Value| runs(report) && report["reason"] == "ConfigMapNotFound";
    host.until("ClusterPlugin/echo", "running without its component", both).await;
    until(&host, "", "echo", "Fetched", "False", "ConfigMapNotFound").await;
}

fn with_nothing() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn what_was_rolled_back_is_so_under_other_limits_as_well() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("cache").to_str().unwrap().to_owned();
    let (_first, host, _) = going_back(&cache).await;
    change(&host, "", "echo", wants_more(json!({"resyncSeconds": 3600}))).await;
    until(&host, "", "echo", "Synced", "False", "KindUnavailable").await;
    let (number, state) = revisions(&host)[0].clone();
    assert_eq!(state, "rolledBack");
    change(&host, "", "echo", json!({"limits": {"memory": "48Mi"}})).await;
    let again = || revisions(&host)[0].clone();
    eventually("it has its limits", || async { (again().0 == number + 1).then_some(()) }).await;
    assert_eq!(again().1, "rolledBack", "{}", host.log());
}

#[tokio::test]
async fn hostile_what_is_granted_nothing_any_more_has_nothing_of_what_the_next_one_is_granted() {
    let config = json!({"reconciles": {"kind": "v1/Service", "namespaces": ["default"], "labels": "echo"},
        "countIn": "count", "takesMs": 4000});
    let rules = rules("v1/Service", &["get", "list", "watch", "patch"]);
    let (folder, grants) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (old, new) = (wasm("echo"), other(&wasm("echo")));
    fs::write(folder.path().join("echo.wasm"), &old).unwrap();
    fs::write(folder.path().join("echo.json"), config.to_string()).unwrap();
    let pin = |of: &[u8]| {
        let digest: String = Sha256::digest(of).iter().map(|byte| format!("{byte:02x}")).collect();
        let grant = json!({"plugin": "echo", "digest": format!("sha256:{digest}"), "rules": rules});
        put(&grants.path().join("echo.yaml"), &grant.to_string());
    };
    pin(&old);
    let flags = ["--leader-election=false", "--grace", "25", "--grants", grants.path().to_str().unwrap()];
    let host = Host::run(folder, &flags).await;
    host.until_running("echo.wasm").await;
    let part = host.file("echo.part");
    fs::write(&part, &new).unwrap();
    fs::rename(part, host.file("echo.wasm")).unwrap();
    host.until("echo.wasm", "waiting", |report| report["reason"] == "NotGranted").await;
    let service = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "one", "namespace": "default", "labels": {"echo": ""}},
        "spec": {"ports": [{"port": 1}]}});
    host.create(service).await;
    let active = "controller_runtime_active_workers{controller=\"echo\"}";
    eventually("it is at it", || async { (host.metric(active) == 1.0).then_some(()) }).await;
    pin(&new);
    host.logged("it is stopped until it is granted again what it needs").await;
    // The next one is made ready while this one has its grace.
    host.until_running("echo.wasm").await;
    let denials = "wheelhouse_gate_denials_total{controller=\"echo\",verb=\"patch\",kind=\"v1/Service\"}";
    assert_eq!(host.metric(denials), 1.0, "what was at work when it lost its grant: {}", host.log());
}

#[tokio::test]
async fn what_was_stopped_and_waits_for_its_kind_runs_once_it_has_that_whatever_failed_meanwhile() {
    let host = host_with_echo().await;
    namespace(&host, "team-a").await;
    component(&host, "team-a", "component", &wasm("echo")).await;
    order(&host, "team-a", "tenant", namespaced(echo_of("team-a"))).await;
    let ready = until_ready(&host, "team-a", "tenant").await;
    let mut config = echo_of("team-a");
    config["name"] = json!("operator");
    order(&host, "", "operator", spec("echo", config)).await;
    until(&host, "team-a", "tenant", "Granted", "False", "KindTaken").await;
    change(&host, "team-a", "tenant", json!({"config": {"failurez": 1}})).await;
    // That nothing runs is for another reason, which is what is said.
    host.logged("the plugin rejects its configuration").await;
    until(&host, "team-a", "tenant", "Granted", "False", "KindTaken").await;
    delete(&host, CLUSTER, "", "operator").await;
    host.until("Plugin/team-a/tenant", "running again", runs).await;
    let fails = until(&host, "team-a", "tenant", "Described", "False", "ConfigRejected").await;
    assert_eq!(fails.data["status"]["configDigest"], ready.data["status"]["configDigest"]);
}

#[tokio::test]
async fn what_is_gone_back_to_has_the_limits_that_there_are_by_now() {
    let host = Host::run(with_nothing(), &["--leader-election=false"]).await;
    apply(&host).await;
    let good = config_digest(&host).await;
    change(&host, "", "echo", json!({"config": fuse()})).await;
    until_on_probation(&host).await;
    let bad = until_other_config(&host, &good).await;
    change(&host, "", "echo", json!({"limits": {"memory": "48Mi"}})).await;
    let number = |expected: u64| {
        let is_it = move |host: &Host| revisions(host)[0].0 == expected;
        let host = &host;
        eventually("another revision", move || async move { is_it(host).then_some(()) })
    };
    number(3).await;
    spark(&host).await;
    until_back_to(&host, &good, &bad).await;
    // The fourth had its old ones, and is taken over by itself under the new ones.
    number(5).await;
    until_back_to(&host, &good, &bad).await;
    assert_eq!(revisions(&host)[0].1, "active", "{}", host.log());
}

#[tokio::test]
async fn a_rollback_of_what_is_stopped_is_told_of_under_a_lease_too() {
    let host = Host::leading(&[]).await;
    apply(&host).await;
    let granted = get(&host, "", "echo").await.data["spec"]["grant"].clone();
    change(&host, "", "echo", json!({"config": {"resyncSeconds": 3600}})).await;
    until_ready(&host, "", "echo").await;
    change(&host, "", "echo", json!({"grant": {"rules": []}})).await;
    host.until("ClusterPlugin/echo", "stopped", |report| !runs(report)).await;
    rollback(&host, "1");
    change(&host, "", "echo", json!({"grant": granted})).await;
    until_event(&host, "PluginRolledBack", "by its operator").await;
    until(&host, "", "echo", "RolledBack", "True", "RolledBack").await;
}
