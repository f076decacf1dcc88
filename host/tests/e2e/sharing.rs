//! Plugins that reconcile the same kind: only where it is asked for.

use serde_json::{Value, json};

use crate::plugin_resources::*;
use crate::restarting::{apply, apply_what_waits};
use crate::support::{Host, eventually, plugin, with};

/// Of leases: what is held by a host that was killed is soon another's.
const FLAGS: [&str; 8] = [
    "--lease-per-plugin",
    "--lease-duration",
    "3",
    "--renew-deadline",
    "2",
    "--retry-period",
    "0.3",
    "--identity",
];

/// Writes down what an echo in the folder is granted.
fn grant(folder: &tempfile::TempDir, name: &str, shares: bool) {
    let all = "{verbs: ['*'], kinds: [v1/ConfigMap], namespaces: ['*']}";
    let text = format!("plugin: {name}\nallowSharedKind: {shares}\nrules: [{all}]\n");
    std::fs::write(folder.path().join(format!("{name}.yaml")), text).unwrap();
}

/// Puts an echo of all ConfigMaps into the host's folder, which is given its name by its configuration.
fn put(host: &Host, name: &str) {
    let config = json!({"name": name, "reconciles": {"kind": "v1/ConfigMap"}});
    std::fs::write(host.file(&format!("{name}.json")), config.to_string()).unwrap();
    std::fs::copy(plugin("echo"), host.file(&format!("{name}.wasm"))).unwrap();
}

async fn until_taken(host: &Host, of: &str) -> String {
    let is_taken = |report: &Value| {
        report["phase"] == "waiting" && report["reason"] == "KindTaken" && report.get("plugin").is_none()
    };
    let report = host.until(of, "its kind is taken", is_taken).await;
    report["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn two_files_reconcile_the_same_kind_only_while_the_grant_of_one_allows_it() {
    let grants = tempfile::tempdir().unwrap();
    grant(&grants, "first", false);
    grant(&grants, "second", false);
    let host = Host::start_with(&[], &["--grants", grants.path().to_str().unwrap()]).await;
    put(&host, "first");
    host.until_running("first.wasm").await;
    put(&host, "second");
    let why = until_taken(&host, "second.wasm").await;
    assert!(why.contains("v1/ConfigMap is reconciled by the plugin first of "), "{why}");
    assert!(why.contains("allowSharedKind: true in the grant of a file"), "{why}");

    grant(&grants, "second", true);
    host.until_running("second.wasm").await;
    host.logged("two plugins reconcile the same kind").await;
    // Once it is not allowed any more, who came last waits again.
    grant(&grants, "second", false);
    until_taken(&host, "second.wasm").await;
    host.until_running("first.wasm").await;
    grant(&grants, "first", true);
    host.until_running("second.wasm").await;
    grant(&grants, "first", false);
    until_taken(&host, "second.wasm").await;
    std::fs::remove_file(host.file("first.wasm")).unwrap();
    host.until_running("second.wasm").await;
}

#[tokio::test]
async fn a_plugin_of_a_namespace_gives_way_to_one_of_the_cluster_until_that_is_gone() {
    let host = host_with_echo().await;
    namespace(&host, "team-a").await;
    component(&host, "team-a", "component", &wasm("echo")).await;
    order(&host, "team-a", "tenant", namespaced(echo_of("team-a"))).await;
    until_ready(&host, "team-a", "tenant").await;
    let mut config = echo_of("team-a");
    config["name"] = json!("operator");
    order(&host, "", "operator", spec("echo", config)).await;
    until_ready(&host, "", "operator").await;
    let taken = until(&host, "team-a", "tenant", "Granted", "False", "KindTaken").await;
    assert!(message(&taken, "Granted").contains("by the plugin operator of ClusterPlugin/operator"));
    until_taken(&host, "Plugin/team-a/tenant").await;

    // Not to one that does not run, either.
    change(&host, "", "operator", json!({"grant": {"rules": []}})).await;
    until_ready(&host, "team-a", "tenant").await;
    until(&host, "", "operator", "Granted", "False", "NotGranted").await;
    change(&host, "", "operator", json!({"grant": null})).await;
    until_ready(&host, "", "operator").await;
    until_taken(&host, "Plugin/team-a/tenant").await;
    change(&host, "", "operator", json!({"allowSharedKind": true})).await;
    until_ready(&host, "team-a", "tenant").await;
    change(&host, "", "operator", json!({"allowSharedKind": false})).await;
    until_taken(&host, "Plugin/team-a/tenant").await;
    until_ready(&host, "", "operator").await;
    delete(&host, CLUSTER, "", "operator").await;
    until_ready(&host, "team-a", "tenant").await;
}

#[tokio::test]
async fn what_one_host_runs_has_its_kind_on_a_host_that_does_not_know_of_it_too() {
    let grants = tempfile::tempdir().unwrap();
    grant(&grants, "elder", false);
    let flags = |identity| [&FLAGS[..], &[identity, "--grants", grants.path().to_str().unwrap()]].concat();
    let without = Host::run(with(&[]), &flags("without")).await;
    apply(&without).await;
    let mut knows =
        Host::join(without.server(), &without.file(".kubeconfig"), with(&[]), &flags("knows")).await;
    knows.until("ClusterPlugin/echo", "standing by", |report| report["phase"] == "standby").await;
    put(&knows, "elder");
    knows.until_running("elder.wasm").await;
    // It makes room where it runs, which is where nothing else is known to reconcile that.
    let why = until_taken(&without, "ClusterPlugin/echo").await;
    assert!(why.contains("v1/ConfigMap is reconciled by the plugin elder of "), "{why}");
    until_taken(&knows, "ClusterPlugin/echo").await;
    until(&without, "", "echo", "Granted", "False", "KindTaken").await;

    change(&without, "", "echo", json!({"allowSharedKind": true})).await;
    until_ready(&without, "", "echo").await;
    eventually("both hosts have heard of it", || async {
        let said = |host: &Host| host.log().contains("two plugins reconcile the same kind");
        (said(&without) || said(&knows)).then_some(())
    })
    .await;
    change(&without, "", "echo", json!({"allowSharedKind": false})).await;
    until_taken(&without, "ClusterPlugin/echo").await;
    until_taken(&knows, "ClusterPlugin/echo").await;

    // Nobody says that it has ended: its lease runs out.
    knows.signal("-KILL");
    knows.exit().await;
    without.until_running("ClusterPlugin/echo").await;
}

#[tokio::test]
async fn a_host_that_joins_does_not_begin_what_another_one_has_for_a_moment() {
    let grants = tempfile::tempdir().unwrap();
    grant(&grants, "elder", false);
    let flags = |identity| [&FLAGS[..], &[identity, "--grants", grants.path().to_str().unwrap()]].concat();
    let knows = Host::run(with(&[]), &flags("knows")).await;
    put(&knows, "elder");
    knows.until_running("elder.wasm").await;
    apply_what_waits(&knows).await;
    until_taken(&knows, "ClusterPlugin/echo").await;
    let without = Host::join(knows.server(), &knows.file(".kubeconfig"), with(&[]), &flags("without")).await;
    until_taken(&without, "ClusterPlugin/echo").await;
    let began = without.log().contains("lease acquired");
    assert!(!began, "{}", without.log());
}
