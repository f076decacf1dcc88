//! A host that is started anew, or takes over from another: without an API server, and with a revision that was
//! rolled back.

use std::path::Path;

use serde_json::json;

use crate::plugin_resources::*;
use crate::support::{Host, Process, address, eventually, wheelhouse, with};

pub(crate) const PLUGINS: usize = 50;

/// A folder of so many plugins, of which some are the same component, and a grant for each.
fn folder(grants: &Path) -> tempfile::TempDir {
    let (folder, echo) = (tempfile::tempdir().unwrap(), wasm("echo"));
    for number in 0..PLUGINS {
        let name = format!("echo-{number}");
        // A custom section without a meaning.
        let component = [&echo[..], &[0, 2, 1, b'a' + (number % 5) as u8]].concat();
        std::fs::write(folder.path().join(format!("{name}.wasm")), component).unwrap();
        let config = json!({"name": name, "reconciles": {"kind": "v1/ConfigMap", "namespaces": [format!("n{number}")]}});
        std::fs::write(folder.path().join(format!("{name}.json")), config.to_string()).unwrap();
        let rules = json!([{"verbs": ["get", "list", "watch"], "kinds": ["v1/ConfigMap"], "namespaces": [format!("n{number}")]}]);
        let grant = json!({"plugin": name, "component": format!("{name}.wasm"), "rules": rules});
        std::fs::write(grants.join(format!("{name}.yaml")), grant.to_string()).unwrap();
    }
    folder
}

fn server(port: &str, kubeconfig: &Path) -> Process {
    Process::start(wheelhouse().args(["devcluster", "--port", port, "--kubeconfig-out"]).arg(kubeconfig))
}

async fn until_all_run(host: &Host) {
    eventually("all of them run", || async {
        let reports: Vec<serde_json::Value> = serde_json::from_str(&host.admin("/plugins").1).unwrap();
        let running = reports.iter().filter(|report| report["phase"] == "running").count();
        (running == PLUGINS).then_some(())
    })
    .await;
}

#[tokio::test]
async fn fifty_plugins_are_loaded_from_the_cache_without_an_api_server_and_begin_when_it_is_there() {
    let (grants, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let kubeconfig = files.path().join("kubeconfig");
    let first_server = server("0", &kubeconfig);
    let at = address(first_server.logged("url=\"http://").await);
    // Of its own: what another test's server had at this address is no business of this one's.
    let cache = files.path().join("cache");
    let flags = ["--leader-election=false", "--grace", "3", "--grants", grants.path().to_str().unwrap()];
    let flags = [&flags[..], &["--cache-dir", cache.to_str().unwrap()]].concat();
    let mut first = Host::join(&at, &kubeconfig, folder(grants.path()), &flags).await;
    until_all_run(&first).await;
    first.signal("-TERM");
    assert!(first.exit().await.success());
    drop(first_server);

    let plugins = std::mem::replace(&mut first.folder, tempfile::tempdir().unwrap());
    let second = Host::join(&at, &kubeconfig, plugins, &flags).await;
    second.logged("cannot be reached: is it up").await;
    assert!(!second.log().contains("ERROR"), "it is no error of anybody's: {}", second.log());
    second.logged(&format!("ready: 0 of {PLUGINS} plugins are loaded")).await;
    let log = second.log();
    assert_eq!(log.matches("loaded from the compile cache").count(), PLUGINS, "{log}");
    // A second is what it may take; a busy machine takes longer, and to compile them all takes longer yet.
    let took =
        log.split("plugins are loaded, after ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(took.parse::<f64>().unwrap() < 5.0, "{log}");
    let waiting = second.report("echo-7.wasm").unwrap();
    assert_eq!((&waiting["phase"], &waiting["reason"]), (&json!("waiting"), &json!("KindUnavailable")));

    let _second_server = server(at.rsplit(':').next().unwrap(), &kubeconfig);
    second.logged("connected").await;
    until_all_run(&second).await;
}

/// Applies a plugin that does well with the four objects that there are.
pub(crate) async fn apply(host: &Host) {
    apply_what_waits(host).await;
    until_ready(host, "", "echo").await;
    eventually("they are reconciled", || async { (host.metric(SUCCESS) >= 4.0).then_some(()) }).await;
}

/// Likewise, whether or not it can run.
pub(crate) async fn apply_what_waits(host: &Host) {
    succeeds(host, "apply --server-side -f -", &crds());
    component(host, "default", "echo", &wasm("echo")).await;
    for name in ["a", "b", "c", "d"] {
        host.create(labelled(name)).await;
    }
    let mut of = spec("echo", echo_of("default"));
    of["grant"] = json!({"rules": [{"verbs": ["get", "list", "watch"], "kinds": ["v1/ConfigMap"], "namespaces": ["default"]}]});
    order(host, "", "echo", of).await;
}

/// And then a configuration with which it traps.
pub(crate) async fn break_it(host: &Host) {
    change(host, "", "echo", json!({"config": {"traps": true}})).await;
    let back = until(host, "", "echo", "Ready", "False", "RolledBack").await;
    assert_eq!(back.data["status"]["rolledBack"]["digest"], back.data["status"]["digest"]);
}

pub(crate) const SUCCESS: &str = "controller_runtime_reconcile_total{controller=\"echo\",result=\"success\"}";
pub(crate) const TRAPS: &str = "controller_runtime_reconcile_total{controller=\"echo\",result=\"trap\"}";

pub(crate) fn labelled(name: &str) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "labels": {"echo": ""}}})
}

#[tokio::test]
async fn what_was_rolled_back_is_not_tried_again_after_a_restart_and_what_did_well_runs_instead() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("cache");
    let flags = ["--leader-election=false", "--cache-dir", cache.to_str().unwrap()];
    let mut first = Host::run(with(&[]), &flags).await;
    apply(&first).await;
    break_it(&first).await;
    first.signal("-TERM");
    assert!(first.exit().await.success());

    let again = Host::join(first.server(), &first.file(".kubeconfig"), with(&[]), &flags).await;
    again.logged("what did well last is run instead").await;
    let rolled_back = |report: &serde_json::Value| report["reason"] == "RolledBack";
    let report = again.until("ClusterPlugin/echo", "rolled back", rolled_back).await;
    assert_eq!(report["plugin"]["revision"], 1);
    eventually("it works", || async { (again.metric(SUCCESS) >= 4.0).then_some(()) }).await;
    assert_eq!(again.metric(TRAPS), 0.0, "{}", again.log());
    let resource = until(&again, "", "echo", "RolledBack", "True", "RolledBack").await;
    assert_eq!(resource.data["status"]["rolledBack"]["digest"], resource.data["status"]["digest"]);
    // Another configuration is tried.
    change(&again, "", "echo", json!({"config": {"traps": null, "failures": 0}})).await;
    let ready = until_ready(&again, "", "echo").await;
    let status = &ready.data["status"];
    assert_eq!((&status["revision"], status.get("rolledBack")), (&json!(2), None));
}

#[tokio::test]
async fn what_an_operator_has_rolled_back_stays_so_after_a_restart_whatever_else_of_the_spec_changes() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("cache");
    let flags = ["--leader-election=false", "--probation", "0", "--cache-dir", cache.to_str().unwrap()];
    let mut first = Host::run(with(&[]), &flags).await;
    apply(&first).await;
    component(&first, "default", "other", &other(&wasm("echo"))).await;
    let good = until_ready(&first, "", "echo").await.data["status"]["digest"].clone();
    change(&first, "", "echo", json!({"component": {"configMap": {"name": "other"}}})).await;
    let second = until_ready(&first, "", "echo").await;
    assert_ne!(second.data["status"]["digest"], good);
    let output =
        wheelhouse().args(["rollback", "echo", "--admin-addr", first.admin_addr()]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let back = until(&first, "", "echo", "RolledBack", "True", "RolledBack").await;
    assert_eq!(back.data["status"]["digest"], good);
    first.signal("-TERM");
    assert!(first.exit().await.success());

    change(&first, "", "echo", json!({"revisionHistoryLimit": 5})).await;
    let again = Host::join(first.server(), &first.file(".kubeconfig"), with(&[]), &flags).await;
    again.logged("what did well last is run instead").await;
    let resource = until(&again, "", "echo", "RolledBack", "True", "RolledBack").await;
    assert_eq!(resource.data["status"]["digest"], good);
    assert_eq!(resource.data["status"]["rolledBack"]["digest"], second.data["status"]["digest"]);
}

#[tokio::test]
async fn a_host_that_takes_over_runs_what_did_well_and_not_what_the_other_has_rolled_back() {
    let mut leader = Host::leading(&[]).await;
    let standby = leader.beside(&[]).await;
    apply(&leader).await;
    standby.until("ClusterPlugin/echo", "standing by", |report| report["phase"] == "standby").await;
    break_it(&leader).await;
    // Whether it has had the broken one or not.
    eventually("it has the good one, and knows of the other", || async {
        let revisions: serde_json::Value =
            serde_json::from_str(&standby.admin("/plugins/echo/revisions").1).unwrap();
        (revisions[0]["revision"] != 2 && standby.log().contains("rolled back")).then_some(())
    })
    .await;
    leader.signal("-TERM");
    assert!(leader.exit().await.success());
    standby.logged("lease acquired").await;
    eventually("it works", || async { (standby.metric(SUCCESS) >= 4.0).then_some(()) }).await;
    assert_eq!(standby.metric(TRAPS), 0.0, "{}", standby.log());
}

#[tokio::test]
async fn a_host_that_knows_of_nothing_that_did_well_runs_what_there_is() {
    let caches = tempfile::tempdir().unwrap();
    let cache = |name: &str| caches.path().join(name).to_str().unwrap().to_owned();
    let (one, two) = (cache("one"), cache("two"));
    let mut first = Host::run(with(&[]), &["--leader-election=false", "--cache-dir", &one]).await;
    apply(&first).await;
    break_it(&first).await;
    first.signal("-TERM");
    assert!(first.exit().await.success());
    let flags = ["--leader-election=false", "--cache-dir", &two];
    let again = Host::join(first.server(), &first.file(".kubeconfig"), with(&[]), &flags).await;
    again.logged("is run all the same").await;
    again.until_running("ClusterPlugin/echo").await;
    eventually("it is at it", || async { (again.metric(TRAPS) >= 1.0).then_some(()) }).await;
}
