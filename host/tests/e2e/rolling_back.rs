//! What is remembered of rollbacks where something else happens meanwhile: a fix that waits, a grant that is cut, another
//! host, a tag that leads to what was rolled back.

use serde_json::{Value, json};

use crate::docker_registry::Registry;
use crate::plugin_resources::*;
use crate::restarting::{SUCCESS, TRAPS, apply, labelled};
use crate::support::{Host, eventually, wheelhouse, with};

/// A configuration that traps as soon as there is an object that is labelled so, and has nothing to do before.
pub(crate) fn fuse() -> Value {
    json!({"traps": true, "reconciles": {"kind": "v1/ConfigMap", "namespaces": ["default"], "labels": "echo=spark"}})
}

pub(crate) async fn spark(host: &Host) {
    let mut object = labelled("spark");
    object["metadata"]["labels"]["echo"] = json!("spark");
    host.create(object).await;
}

pub(crate) fn revisions(host: &Host) -> Vec<(u64, String)> {
    let all: Value = serde_json::from_str(&host.admin("/plugins/echo/revisions").1).unwrap();
    let of =
        |entry: &Value| (entry["revision"].as_u64().unwrap(), entry["state"].as_str().unwrap().to_owned());
    // It has no name before it is loaded.
    all.as_array().into_iter().flatten().map(of).collect()
}

pub(crate) async fn until_on_probation(host: &Host) {
    until(host, "", "echo", "OnProbation", "True", "Switched").await;
}

/// What runs and what was rolled back, as the status says.
pub(crate) async fn until_back_to(host: &Host, config: &Value, rolled_back: &Value) {
    eventually("the status has what runs and what was rolled back", || async {
        let status = get(host, "", "echo").await.data["status"].clone();
        (&status["configDigest"] == config && &status["rolledBack"]["configDigest"] == rolled_back)
            .then_some(())
    })
    .await;
}

pub(crate) async fn config_digest(host: &Host) -> Value {
    get(host, "", "echo").await.data["status"]["configDigest"].clone()
}

pub(crate) async fn until_other_config(host: &Host, than: &Value) -> Value {
    eventually("another configuration runs", || async {
        Some(config_digest(host).await).filter(|digest| digest != than)
    })
    .await
}

#[tokio::test]
async fn a_fix_that_waits_is_run_once_it_can_be_whatever_is_rolled_back_meanwhile() {
    let mut leader = Host::leading(&[]).await;
    let standby = leader.beside(&[]).await;
    apply(&leader).await;
    standby.until("ClusterPlugin/echo", "standing by", |report| report["phase"] == "standby").await;
    change(&leader, "", "echo", json!({"config": fuse()})).await;
    until_on_probation(&leader).await;
    standby.logged("replaced in").await;

    change(&leader, "", "echo", fix_that_waits()).await;
    until(&leader, "", "echo", "Synced", "False", "KindUnavailable").await;
    let waits = |report: &Value| report["reason"] == "KindUnavailable";
    standby.until("ClusterPlugin/echo", "waiting", waits).await;
    spark(&leader).await;
    eventually("both have gone back", || async {
        let back = |host: &Host| {
            let all = revisions(host);
            all.first().is_some_and(|(number, _)| *number == 3) && all.contains(&(2, "rolledBack".to_owned()))
        };
        (back(&leader) && back(&standby)).then_some(())
    })
    .await;

    succeeds(&leader, "apply -f -", &definition().to_string());
    let ready = until_ready(&leader, "", "echo").await;
    assert_eq!(ready.data["status"].get("rolledBack"), None);
    eventually("so has the other", || async {
        revisions(&standby).first().is_some_and(|(number, _)| *number == 4).then_some(())
    })
    .await;
    leader.signal("-TERM");
    assert!(leader.exit().await.success());
    standby.logged("lease acquired").await;
    until_ready(&standby, "", "echo").await;
    eventually("it works", || async { (standby.metric(SUCCESS) >= 4.0).then_some(()) }).await;
    assert_eq!((standby.metric(TRAPS), revisions(&standby)[0].0), (0.0, 4), "{}", standby.log());
}

/// What wants a kind that is not there before [`definition`] is.
pub(crate) fn wants_more(mut config: Value) -> Value {
    config["watches"] = json!([{"kind": "example.com/v1/Later", "byAnnotation": "example.com/of"}]);
    let rule = json!({"verbs": ["get", "list", "watch"], "kinds": ["v1/ConfigMap", "example.com/v1/Later"], "namespaces": ["*"]});
    json!({"config": config, "grant": {"rules": [rule]}})
}

/// Instead of [`fuse`].
pub(crate) fn fix_that_waits() -> Value {
    let mut reconciles = fuse()["reconciles"].clone();
    reconciles["labels"] = json!("echo");
    wants_more(json!({"traps": false, "reconciles": reconciles}))
}

pub(crate) fn definition() -> Value {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "laters.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"kind": "Later", "plural": "laters"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
    })
}

#[tokio::test]
async fn a_standby_goes_back_to_the_configuration_that_the_other_runs_and_to_no_other_of_that_component() {
    let leader = Host::leading(&[]).await;
    let standby = leader.beside(&[]).await;
    apply(&leader).await;
    let good = config_digest(&leader).await;
    standby.until("ClusterPlugin/echo", "standing by", |report| report["phase"] == "standby").await;
    // One that nothing is wrong with yet.
    change(&leader, "", "echo", json!({"config": {"resyncSeconds": 3600}})).await;
    until_on_probation(&leader).await;
    standby.logged("replaced in").await;
    change(&leader, "", "echo", json!({"config": {"traps": true}})).await;
    eventually("it went back past both", || async {
        let status = get(&leader, "", "echo").await.data["status"].clone();
        (status["configDigest"] == good && status["rolledBack"].is_object()).then_some(())
    })
    .await;
    eventually("so has the other", || async {
        let numbers: Vec<u64> = revisions(&standby).iter().map(|(number, _)| *number).collect();
        (numbers.contains(&2) && !numbers.contains(&1) && numbers[0] > 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_grant_that_is_cut_along_with_a_change_that_cannot_be_loaded_stops_what_runs_until_it_returns() {
    let host = Host::run(with(&[]), &["--leader-election=false"]).await;
    apply(&host).await;
    let grant = get(&host, "", "echo").await.data["spec"]["grant"].clone();
    change(&host, "", "echo", json!({"grant": {"rules": []}, "config": {"pause_ms": "soon"}})).await;
    host.logged("it is stopped until it is granted again").await;
    let runs = |report: &Value| report["plugin"].is_object();
    host.until("ClusterPlugin/echo", "stopped", |report| !runs(report)).await;
    change(&host, "", "echo", json!({"grant": grant})).await;
    let report = host.until("ClusterPlugin/echo", "running again", runs).await;
    assert_eq!(report["plugin"]["revision"], 2, "{report}");
    until(&host, "", "echo", "Described", "False", "ConfigRejected").await;
}

#[tokio::test]
async fn what_was_stopped_runs_again_with_its_grant_though_what_is_wanted_by_now_waits() {
    let host = Host::run(with(&[]), &["--leader-election=false"]).await;
    apply(&host).await;
    let wanted = wants_more(json!({}));
    change(&host, "", "echo", json!({"grant": {"rules": []}, "config": wanted["config"]})).await;
    host.logged("it is stopped until it is granted again").await;
    until(&host, "", "echo", "Granted", "False", "NotGranted").await;
    change(&host, "", "echo", json!({"grant": wanted["grant"]})).await;
    let runs = |report: &Value| report["plugin"].is_object() && report["reason"] == "KindUnavailable";
    host.until("ClusterPlugin/echo", "running, and waiting", runs).await;
    succeeds(&host, "apply -f -", &definition().to_string());
    until_ready(&host, "", "echo").await;
}

#[tokio::test]
async fn a_grant_that_is_cut_amid_a_probation_is_no_end_of_it() {
    let host = Host::run(with(&[]), &["--leader-election=false"]).await;
    apply(&host).await;
    let good = config_digest(&host).await;
    let grant = get(&host, "", "echo").await.data["spec"]["grant"].clone();
    change(&host, "", "echo", json!({"config": fuse()})).await;
    until_on_probation(&host).await;
    let bad = config_digest(&host).await;
    change(&host, "", "echo", json!({"grant": {"rules": []}})).await;
    host.logged("it is stopped until it is granted again").await;
    change(&host, "", "echo", json!({"grant": grant})).await;
    until_ready(&host, "", "echo").await;
    spark(&host).await;
    until_back_to(&host, &good, &bad).await;
}

/// Whether something counts as good in a cache folder.
fn has_good(cache: &str) -> bool {
    let files =
        std::fs::read_dir(std::path::Path::new(cache).join("components")).into_iter().flatten().flatten();
    files.map(|file| file.file_name()).any(|name| name.to_string_lossy().ends_with(".good"))
}

#[tokio::test]
async fn what_was_at_work_long_enough_is_good_and_what_stands_by_is_not() {
    let caches = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| caches.path().join(name).to_str().unwrap().to_owned());
    let leader = Host::leading(&["--probation", "1", "--cache-dir", &one]).await;
    let standby = leader.beside(&["--probation", "1", "--cache-dir", &two]).await;
    apply(&leader).await;
    standby.until("ClusterPlugin/echo", "standing by", |report| report["phase"] == "standby").await;
    eventually("it is noted", || async { has_good(&one).then_some(()) }).await;
    // The other has stood by for longer than that takes.
    eventually("it has stood by for long", || async {
        let all: Value = serde_json::from_str(&standby.admin("/plugins/echo/revisions").1).unwrap();
        let since = std::time::UNIX_EPOCH + std::time::Duration::from_secs(all[0]["since"].as_u64()?);
        (since.elapsed().ok()?.as_secs() >= 3).then_some(())
    })
    .await;
    assert!(!has_good(&two), "it has done nothing yet");
}

#[tokio::test]
async fn other_limits_are_no_proof() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("cache").to_str().unwrap().to_owned();
    let host = Host::run(with(&[]), &["--leader-election=false", "--cache-dir", &cache]).await;
    apply(&host).await;
    change(&host, "", "echo", json!({"limits": {"memory": "48Mi"}})).await;
    host.logged("replaced in").await;
    // What the host is asked now it does when it is through with that.
    let output =
        wheelhouse().args(["rollback", "echo", "7", "--admin-addr", host.admin_addr()]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("no former revision"), "{output:?}");
    assert!(!has_good(&cache), "{}", host.log());
}

#[tokio::test]
async fn a_host_that_joined_amid_a_probation_goes_back_once_it_leads_to_what_did_well() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("cache").to_str().unwrap().to_owned();
    let mut leader = Host::leading(&["--cache-dir", &cache]).await;
    apply(&leader).await;
    let good = config_digest(&leader).await;
    change(&leader, "", "echo", json!({"config": fuse()})).await;
    until_on_probation(&leader).await;
    let bad = config_digest(&leader).await;
    let standby = leader.beside(&["--cache-dir", &cache]).await;
    standby.until("ClusterPlugin/echo", "standing by", |report| report["phase"] == "standby").await;
    spark(&leader).await;
    standby.logged("rolled back by the host that had it run").await;
    leader.signal("-TERM");
    assert!(leader.exit().await.success());
    standby.logged("rolled back to what did well last").await;
    until_back_to(&standby, &good, &bad).await;
    eventually("it works", || async { (standby.metric(SUCCESS) >= 4.0).then_some(()) }).await;
}

#[tokio::test]
async fn a_resource_that_is_created_anew_knows_nothing_of_what_was_rolled_back_of_the_old_one() {
    let host = Host::run(with(&[]), &["--leader-election=false"]).await;
    apply(&host).await;
    change(&host, "", "echo", json!({"config": fuse()})).await;
    until_on_probation(&host).await;
    spark(&host).await;
    until(&host, "", "echo", "RolledBack", "True", "RolledBack").await;
    let old = get(&host, "", "echo").await;
    let spec = old.data["spec"].clone();
    delete(&host, "v1/ConfigMap", "default", "spark").await;
    delete(&host, CLUSTER, "", "echo").await;
    order(&host, "", "echo", spec).await;
    let ready = until_ready(&host, "", "echo").await;
    assert_eq!(ready.data["status"].get("rolledBack"), None);
    assert!(!host.log().contains("is run all the same"), "{}", host.log());
    until_event(&host, "PluginRemoved", "is gone").await;
    let events = host.api("events.k8s.io/v1/Event", "default").list(&Default::default()).await.unwrap();
    let removed = events.items.iter().find(|event| event.data["reason"] == "PluginRemoved").unwrap();
    assert_eq!(removed.data["regarding"]["uid"], json!(old.metadata.uid), "it is of the old one");
}

#[tokio::test]
async fn what_a_tag_leads_to_is_not_tried_again_after_a_restart_if_it_was_rolled_back() {
    let (registry, cache) = (Registry::start(), tempfile::tempdir().unwrap());
    let (reference, cache) = (registry.at("echo:latest"), cache.path().join("cache"));
    let flags = [
        "--leader-election=false",
        "--probation",
        "0",
        "--pull-interval",
        "1",
        "--cache-dir",
        cache.to_str().unwrap(),
    ];
    let push = |bytes: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("echo.wasm");
        std::fs::write(&file, bytes).unwrap();
        assert!(wheelhouse().args(["push", &reference]).arg(&file).status().unwrap().success());
    };
    push(&wasm("echo"));
    let mut first = Host::run(with(&[]), &flags).await;
    succeeds(&first, "apply --server-side -f -", &crds());
    let rule =
        json!({"verbs": ["get", "list", "watch"], "kinds": ["v1/ConfigMap"], "namespaces": ["default"]});
    let spec =
        json!({"component": {"oci": reference}, "config": echo_of("default"), "grant": {"rules": [rule]}});
    order(&first, "", "echo", spec).await;
    let good = until_ready(&first, "", "echo").await.data["status"]["digest"].clone();
    push(&other(&wasm("echo")));
    let second = eventually("the second one", || async {
        let status = get(&first, "", "echo").await.data["status"].clone();
        (status["digest"] != good && status["ready"] == true).then(|| status["digest"].clone())
    })
    .await;
    let output =
        wheelhouse().args(["rollback", "echo", "--admin-addr", first.admin_addr()]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    until(&first, "", "echo", "RolledBack", "True", "RolledBack").await;
    // How it is fetched is no reason either.
    change(&first, "", "echo", json!({"component": {"pullPolicy": "Always"}})).await;
    let rolled_back = |status: &Value| status["digest"] == good && status["rolledBack"]["digest"] == second;
    until(&first, "", "echo", "RolledBack", "True", "RolledBack").await;
    first.signal("-TERM");
    assert!(first.exit().await.success());

    let mut again = Host::join(first.server(), &first.file(".kubeconfig"), with(&[]), &flags).await;
    let reason = |report: &Value| report["reason"] == "RolledBack";
    again.until("ClusterPlugin/echo", "the tag was looked at", reason).await;
    let status = until(&again, "", "echo", "RolledBack", "True", "RolledBack").await.data["status"].clone();
    assert!(rolled_back(&status), "{status}");
    assert_eq!(again.log().matches("replaced in").count(), 0, "{}", again.log());
    again.signal("-TERM");
    assert!(again.exit().await.success());

    // A tag that leads elsewhere by now leaves nothing to remember.
    push(&wasm("echo"));
    let third = Host::join(first.server(), &first.file(".kubeconfig"), with(&[]), &flags).await;
    let ready = until_ready(&third, "", "echo").await.data["status"].clone();
    assert!(ready["digest"] == good && ready.get("rolledBack").is_none(), "{ready}");
    push(&other(&wasm("echo")));
    eventually("it is tried again", || async {
        let status = get(&third, "", "echo").await.data["status"].clone();
        (status["digest"] == second && status["ready"] == true).then_some(())
    })
    .await;
}
