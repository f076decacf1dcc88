//! What was stopped, or gone back from, while its terms change: what comes back when, and what is said of it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::plugin_resources::*;
use crate::restarting::{SUCCESS, apply};
use crate::rolling_back::*;
use crate::support::{Host, eventually, plugin, wheelhouse, with};

const DEFINITIONS: &str = "apiextensions.k8s.io/v1/CustomResourceDefinition";

pub(crate) fn runs(report: &Value) -> bool {
    report["plugin"].is_object()
}

pub(crate) fn rollback(host: &Host, revision: &str) {
    let mut command = wheelhouse();
    command.args(["rollback", "echo", revision, "--admin-addr", host.admin_addr()]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn a_probation_outlives_restarts_that_wait_for_the_cluster() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("cache").to_str().unwrap().to_owned();
    let flags = ["--leader-election=false", "--cache-dir", &cache];
    let mut first = Host::run(with(&[]), &flags).await;
    apply(&first).await;
    let good = config_digest(&first).await;
    succeeds(&first, "apply -f -", &definition().to_string());
    change(&first, "", "echo", wants_more(fuse())).await;
    until_on_probation(&first).await;
    let bad = config_digest(&first).await;
    first.signal("-KILL");
    first.exit().await;
    delete(&first, DEFINITIONS, "", "laters.example.com").await;

    let kubeconfig = first.file(".kubeconfig");
    for _ in 0..2 {
        let mut waits = Host::join(first.server(), &kubeconfig, with(&[]), &flags).await;
        waits.logged("KindUnavailable").await;
        let waiting = until(&waits, "", "echo", "Synced", "False", "KindUnavailable").await;
        assert_eq!(condition(&waiting, "OnProbation").unwrap()["status"], "True", "{waiting:?}");
        waits.signal("-KILL");
        waits.exit().await;
    }
    let last = Host::join(first.server(), &kubeconfig, with(&[]), &flags).await;
    last.logged("KindUnavailable").await;
    succeeds(&first, "apply -f -", &definition().to_string());
    last.logged("it was on probation when another host had it run, and is again").await;
    spark(&last).await;
    until_back_to(&last, &good, &bad).await;
}

#[tokio::test]
async fn what_was_stopped_comes_back_though_its_grant_comes_along_with_another_change_that_waits() {
    let host = Host::run(with(&[]), &["--leader-election=false"]).await;
    apply(&host).await;
    change(&host, "", "echo", json!({"grant": {"rules": []}})).await;
    until(&host, "", "echo", "Granted", "False", "NotGranted").await;
    assert!(!runs(&host.report("ClusterPlugin/echo").unwrap()));
    change(&host, "", "echo", wants_more(json!({}))).await;
    let back = |report: &Value| runs(report) && report["reason"] == "KindUnavailable";
    host.until("ClusterPlugin/echo", "running, and waiting", back).await;
    succeeds(&host, "apply -f -", &definition().to_string());
    until_ready(&host, "", "echo").await;
}

#[tokio::test]
async fn what_was_stopped_comes_back_with_its_grant_though_what_was_rolled_back_is_wanted_again() {
    let host = Host::run(with(&[]), &["--leader-election=false"]).await;
    apply(&host).await;
    let (good, spec) = (config_digest(&host).await, get(&host, "", "echo").await.data["spec"].clone());
    change(&host, "", "echo", json!({"config": fuse()})).await;
    until_on_probation(&host).await;
    let bad = config_digest(&host).await;
    spark(&host).await;
    until_back_to(&host, &good, &bad).await;
    let mut waits = fix_that_waits();
    waits["grant"]["rules"] = json!([]);
    change(&host, "", "echo", waits).await;
    host.until("ClusterPlugin/echo", "stopped", |report| !runs(report)).await;
    until(&host, "", "echo", "Granted", "False", "NotGranted").await;

    let mut config = fuse();
    config["watches"] = Value::Null;
    // And under other limits, which count for what there is.
    let limits = json!({"memory": "48Mi"});
    change(&host, "", "echo", json!({"config": config, "grant": spec["grant"], "limits": limits})).await;
    let back = |report: &Value| runs(report) && report["reason"] == "RolledBack";
    host.until("ClusterPlugin/echo", "running, and not what is wanted", back).await;
    until_back_to(&host, &good, &bad).await;
    until(&host, "", "echo", "Ready", "False", "RolledBack").await;
}

pub(crate) fn put(file: &Path, text: &str) {
    let part = file.with_extension("part");
    fs::write(&part, text).unwrap();
    fs::rename(part, file).unwrap();
}

/// A host with an echo in its folder, which is there with the objects that it reconciles, and its grant.
async fn with_grant(config: &Value, rules: &Value) -> (Host, tempfile::TempDir) {
    let (folder, grants) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::copy(plugin("echo"), folder.path().join("echo.wasm")).unwrap();
    put(&folder.path().join("echo.json"), &config.to_string());
    grant(&grants, rules, json!({}));
    let flags = ["--leader-election=false", "--grants", grants.path().to_str().unwrap()];
    let host = Host::run(folder, &flags).await;
    host.until_running("echo.wasm").await;
    (host, grants)
}

pub(crate) fn grant(grants: &tempfile::TempDir, rules: &Value, limits: Value) {
    let grant = json!({"plugin": "echo", "component": "echo.wasm", "rules": rules, "limits": limits});
    put(&grants.path().join("echo.yaml"), &grant.to_string());
}

#[tokio::test]
async fn hostile_what_is_gone_back_to_has_nothing_that_it_is_granted_no_more() {
    let rule = |kind: &str| json!({"verbs": ["get", "list", "watch"], "kinds": [kind], "namespaces": ["*"]});
    let mut watches = fuse();
    watches["traps"] = json!(false);
    watches["watches"] = json!([{"kind": "v1/Secret", "byAnnotation": "example.com/of"}]);
    let (host, grants) = with_grant(&watches, &json!([rule("v1/ConfigMap"), rule("v1/Secret")])).await;
    put(&host.file("echo.json"), &fuse().to_string());
    host.until("echo.wasm", "another revision", |report| report["plugin"]["revision"] == 2).await;
    // What runs now does not need it.
    grant(&grants, &json!([rule("v1/ConfigMap")]), json!({}));
    host.logged("its grant has changed, and counts from now on").await;
    spark(&host).await;
    host.logged("rolled back: ").await;
    host.logged("it is stopped until it is granted again what it needs").await;
    host.until("echo.wasm", "stopped", |report| !runs(report)).await;
    grant(&grants, &json!([rule("v1/ConfigMap"), rule("v1/Secret")]), json!({}));
    let back = |report: &Value| runs(report) && report["reason"] == "RolledBack";
    host.until("echo.wasm", "running again, and not what is wanted", back).await;
}

#[tokio::test]
async fn a_new_file_is_loaded_though_what_ran_is_stopped_as_the_grant_is_for_the_new_one() {
    let rules = json!([{"verbs": ["get", "list", "watch"], "kinds": ["v1/ConfigMap"], "namespaces": ["*"]}]);
    let (host, grants) = with_grant(&fuse(), &rules).await;
    let new = other(&wasm("echo"));
    let digest: String = Sha256::digest(&new).iter().map(|byte| format!("{byte:02x}")).collect();
    let pinned = json!({
        "plugin": "echo", "component": "echo.wasm", "digest": format!("sha256:{digest}"), "rules": rules,
    });
    put(&grants.path().join("echo.yaml"), &pinned.to_string());
    let stopped = |report: &Value| !runs(report) && report["reason"] == "NotGranted";
    host.until("echo.wasm", "stopped", stopped).await;
    let part = host.file("echo.part");
    fs::write(&part, new).unwrap();
    fs::rename(part, host.file("echo.wasm")).unwrap();
    let report = host.until_running("echo.wasm").await;
    assert_eq!(report["plugin"]["digest"], pinned["digest"]);
}

#[tokio::test]
async fn why_nothing_runs_is_said_rather_than_that_what_is_wanted_was_rolled_back() {
    let host = Host::run(with(&[]), &["--leader-election=false"]).await;
    apply(&host).await;
    let grant = get(&host, "", "echo").await.data["spec"]["grant"].clone();
    change(&host, "", "echo", json!({"config": fuse()})).await;
    until_on_probation(&host).await;
    spark(&host).await;
    until(&host, "", "echo", "Ready", "False", "RolledBack").await;
    change(&host, "", "echo", json!({"grant": {"rules": []}})).await;
    until(&host, "", "echo", "Ready", "False", "NotGranted").await;
    change(&host, "", "echo", json!({"grant": grant, "limits": {"memory": "64Ki"}})).await;
    until(&host, "", "echo", "Ready", "False", "DescribeFailed").await;
    change(&host, "", "echo", json!({"limits": null})).await;
    host.until("ClusterPlugin/echo", "running", runs).await;
    until(&host, "", "echo", "Ready", "False", "RolledBack").await;
}

#[tokio::test]
async fn a_standby_stands_by_again_once_its_source_wants_what_it_has() {
    let leader = Host::leading(&[]).await;
    let standby = leader.beside(&[]).await;
    apply(&leader).await;
    let stands_by = |report: &Value| report["phase"] == "standby";
    standby.until("ClusterPlugin/echo", "standing by", stands_by).await;
    change(&leader, "", "echo", json!({"config": {"failurez": 1}})).await;
    let fails = |report: &Value| report["reason"] == "ConfigRejected";
    standby.until("ClusterPlugin/echo", "failing", fails).await;
    change(&leader, "", "echo", json!({"config": {"failurez": null}})).await;
    standby.until("ClusterPlugin/echo", "standing by again", stands_by).await;
}

#[tokio::test]
async fn a_plugin_whose_limits_were_too_low_and_are_put_right_is_not_said_to_fail() {
    let rules = json!([{"verbs": ["get", "list", "watch"], "kinds": ["v1/ConfigMap"], "namespaces": ["*"]}]);
    let (host, grants) = with_grant(&fuse(), &rules).await;
    grant(&grants, &rules, json!({"memory": "64Ki"}));
    let fails = |report: &Value| report["phase"] == "failed" && report["reason"] == "DescribeFailed";
    let report = host.until("echo.wasm", "failing", fails).await;
    assert!(runs(&report), "{report}");
    grant(&grants, &rules, json!({}));
    let report = host.until_running("echo.wasm").await;
    assert_eq!(report["plugin"]["revision"], 1, "{report}");
    until_event(&host, "PluginReady", "revision 1, which runs, is what its source wants").await;
}

#[tokio::test]
async fn a_rollback_by_its_operator_that_has_to_wait_is_not_given_up_for_what_he_does_not_want() {
    let host = Host::run(with(&[]), &["--leader-election=false"]).await;
    succeeds(&host, "apply -f -", &definition().to_string());
    apply(&host).await;
    change(&host, "", "echo", wants_more(json!({}))).await;
    let first = until_ready(&host, "", "echo").await.data["status"]["configDigest"].clone();
    change(&host, "", "echo", json!({"config": {"watches": null}})).await;
    until_ready(&host, "", "echo").await;
    delete(&host, DEFINITIONS, "", "laters.example.com").await;
    let mut unwanted = wants_more(json!({"resyncSeconds": 3600}));
    unwanted["config"]["reconciles"] = echo_of("default")["reconciles"].clone();
    change(&host, "", "echo", unwanted).await;
    until(&host, "", "echo", "Synced", "False", "KindUnavailable").await;
    rollback(&host, "2");
    // What it goes back to has to wait, too.
    let waits = || host.log().matches("cannot be loaded yet").count() >= 2;
    eventually("both have waited", || async { waits().then_some(()) }).await;
    succeeds(&host, "apply -f -", &definition().to_string());
    eventually("it went back", || async { (config_digest(&host).await == first).then_some(()) }).await;
    until_event(&host, "PluginRolledBack", "by its operator").await;
    until(&host, "", "echo", "RolledBack", "True", "RolledBack").await;
    assert_eq!(revisions(&host)[0].0, 4, "{}", host.log());
}

/// A server, and a host on it where what was on probation was rolled back after a restart, and what did well before
/// waits for its kind.
pub(crate) async fn going_back(cache: &str) -> (Host, Host, Value) {
    let flags = ["--leader-election=false", "--cache-dir", cache];
    let mut first = Host::run(with(&[]), &[&flags[..], &["--probation", "1"]].concat()).await;
    succeeds(&first, "apply -f -", &definition().to_string());
    apply(&first).await;
    change(&first, "", "echo", wants_more(json!({}))).await;
    let good = eventually("it has passed its probation", || async {
        let resource = get(&first, "", "echo").await;
        let is_over =
            condition(&resource, "OnProbation").is_none() && resource.data["status"]["revision"] == 2;
        is_over.then(|| resource.data["status"]["configDigest"].clone())
    })
    .await;
    first.signal("-TERM");
    assert!(first.exit().await.success());
    let kubeconfig = first.file(".kubeconfig");
    let join = || Host::join(first.server(), &kubeconfig, with(&[]), &flags);
    let mut second = join().await;
    // What it has begun with does not run into what comes now.
    eventually("all is done", || async { (second.metric(SUCCESS) >= 4.0).then_some(()) }).await;
    let mut bad = fuse();
    bad["watches"] = Value::Null;
    change(&second, "", "echo", json!({"config": bad})).await;
    until_other_config(&second, &good).await;
    until_on_probation(&second).await;
    second.signal("-KILL");
    second.exit().await;

    delete(&first, DEFINITIONS, "", "laters.example.com").await;
    let third = join().await;
    third.logged("it was on probation when another host had it run, and is again").await;
    spark(&third).await;
    until(&third, "", "echo", "Synced", "False", "KindUnavailable").await;
    (first, third, good)
}

pub(crate) fn times_back(host: &Host) -> usize {
    host.log().matches("rolled back to what did well last").count()
}

#[tokio::test]
async fn a_fix_is_not_measured_against_what_was_rolled_back() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("cache").to_str().unwrap().to_owned();
    let (_first, host, good) = going_back(&cache).await;
    assert_eq!(times_back(&host), 1, "{}", host.log());
    // It fails just as often.
    change(&host, "", "echo", json!({"config": {"resyncSeconds": 3600}})).await;
    eventually("it is rolled back as well", || async { (times_back(&host) == 2).then_some(()) }).await;
    succeeds(&host, "apply -f -", &definition().to_string());
    eventually("what did well runs", || async { (config_digest(&host).await == good).then_some(()) }).await;
}

#[tokio::test]
async fn the_reason_of_a_rollback_is_the_one_that_there_was_whatever_else_was_tried_meanwhile() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("cache").to_str().unwrap().to_owned();
    let (_first, host, _) = going_back(&cache).await;
    change(&host, "", "echo", json!({"config": {"failurez": 1}})).await;
    host.logged("ConfigRejected").await;
    host.logged("KindUnavailable").await;
    succeeds(&host, "apply -f -", &definition().to_string());
    until_event(&host, "PluginRolledBack", "trapped").await;
    assert_eq!(times_back(&host), 1, "{}", host.log());
    until(&host, "", "echo", "Described", "False", "ConfigRejected").await;
}

#[tokio::test]
async fn what_is_stopped_is_not_said_to_run_because_nothing_better_is_known() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("cache").to_str().unwrap().to_owned();
    let (_first, host, _) = going_back(&cache).await;
    change(&host, "", "echo", json!({"grant": {"rules": []}, "limits": {"memory": "64Ki"}})).await;
    until(&host, "", "echo", "Ready", "False", "DescribeFailed").await;
    assert!(!runs(&host.report("ClusterPlugin/echo").unwrap()));
}
