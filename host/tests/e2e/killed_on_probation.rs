//! Hosts that are killed while a revision is on probation: what those that follow know of it, and where they go back to.

use serde_json::{Value, json};

use crate::coming_back::{going_back, times_back};
use crate::plugin_resources::*;
use crate::restarting::{SUCCESS, apply};
use crate::rolling_back::*;
use crate::support::{Host, eventually, with};

/// A host that was killed while [`fuse`] was on probation, and begins anew.
async fn killed_amid_a_probation(cache: &str) -> (Host, Host, Value) {
    let flags = ["--leader-election=false", "--cache-dir", cache];
    let mut first = Host::run(with(&[]), &flags).await;
    apply(&first).await;
    let good = config_digest(&first).await;
    change(&first, "", "echo", json!({"config": fuse()})).await;
    until_on_probation(&first).await;
    first.signal("-KILL");
    first.exit().await;
    let again = Host::join(first.server(), &first.file(".kubeconfig"), with(&[]), &flags).await;
    again.logged("it was on probation when another host had it run, and is again").await;
    (first, again, good)
}

#[tokio::test]
async fn a_fix_that_waits_is_run_once_it_can_be_though_what_did_well_had_to_be_fetched_from_the_disk() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("cache").to_str().unwrap().to_owned();
    let (_first, host, good) = killed_amid_a_probation(&cache).await;
    let bad = config_digest(&host).await;
    change(&host, "", "echo", fix_that_waits()).await;
    until(&host, "", "echo", "Synced", "False", "KindUnavailable").await;
    spark(&host).await;
    until_back_to(&host, &good, &bad).await;
    succeeds(&host, "apply -f -", &definition().to_string());
    let ready = until_ready(&host, "", "echo").await;
    assert_eq!(ready.data["status"].get("rolledBack"), None);
}

#[tokio::test]
async fn a_way_back_that_has_too_little_is_gone_once_its_limits_are_put_right() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("cache");
    let flags = ["--leader-election=false", "--cache-dir", cache.to_str().unwrap()];
    let mut host = Host::run(with(&[]), &[&flags[..], &["--probation", "1"]].concat()).await;
    apply(&host).await;
    // What it describes itself with is large.
    let keys: Vec<String> = (0..64).map(|number| format!("default/{number:0>240}")).collect();
    let tick = |number| json!({"name": format!("tick-{number}"), "everySeconds": 3600, "keys": keys});
    let ticks: Vec<Value> = (0..8).map(tick).collect();
    change(&host, "", "echo", json!({"config": {"ticks": ticks}})).await;
    host.logged("probation passed").await;
    host.signal("-TERM");
    host.exit().await;

    let mut first = Host::join(host.server(), &host.file(".kubeconfig"), with(&[]), &flags).await;
    first.until_running("ClusterPlugin/echo").await;
    let good = config_digest(&first).await;
    let mut bad = fuse();
    bad["ticks"] = Value::Null;
    let limits = json!({"hostcallBytes": "64Ki", "argumentBytes": "32Ki"});
    change(&first, "", "echo", json!({"config": bad, "limits": limits})).await;
    let bad = until_other_config(&first, &good).await;
    until_on_probation(&first).await;
    first.signal("-KILL");
    first.exit().await;
    let host = Host::join(host.server(), &host.file(".kubeconfig"), with(&[]), &flags).await;
    host.logged("it was on probation when another host had it run, and is again").await;
    spark(&host).await;
    host.logged("it runs on, as nothing better is known: ").await;
    until(&host, "", "echo", "RolledBack", "True", "RunsAgain").await;
    assert_eq!(config_digest(&host).await, bad);

    change(&host, "", "echo", json!({"limits": null})).await;
    until_back_to(&host, &good, &bad).await;
    until(&host, "", "echo", "RolledBack", "True", "RolledBack").await;
    // It need not do badly once more for that.
    assert!(!host.log().contains("has to prove itself"), "{}", host.log());
}

#[tokio::test]
async fn the_way_back_leads_past_what_was_replaced_amid_its_probation() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("cache").to_str().unwrap().to_owned();
    let (_first, host, good) = killed_amid_a_probation(&cache).await;
    let fused = config_digest(&host).await;
    change(&host, "", "echo", json!({"config": {"resyncSeconds": 3600}})).await;
    let bad = until_other_config(&host, &fused).await;
    spark(&host).await;
    until_back_to(&host, &good, &bad).await;
    let states: Vec<String> = revisions(&host).into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, ["active", "rolledBack", "unproved"]);
}

#[tokio::test]
async fn a_way_back_that_waits_for_the_cluster_holds_up_no_fix() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("cache").to_str().unwrap().to_owned();
    let (_first, third, _) = going_back(&cache).await;
    // One that waits for the same does not make way again for what has waited before.
    let mut waits = wants_more(json!({"traps": false}));
    waits["config"]["reconciles"] = fuse()["reconciles"].clone();
    change(&third, "", "echo", waits).await;
    until(&third, "", "echo", "Synced", "False", "KindUnavailable").await;
    assert_eq!(times_back(&third), 1, "{}", third.log());
    change(&third, "", "echo", json!({"config": {"watches": null}})).await;
    let ready = until_ready(&third, "", "echo").await;
    assert_eq!(ready.data["status"].get("rolledBack"), None);
}

#[tokio::test]
async fn a_kill_amid_a_probation_is_no_end_of_it_and_what_did_well_before_is_what_it_goes_back_to() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("cache");
    let flags = ["--leader-election=false", "--cache-dir", cache.to_str().unwrap()];
    let mut first = Host::run(with(&[]), &flags).await;
    apply(&first).await;
    let good = config_digest(&first).await;
    change(&first, "", "echo", json!({"config": fuse()})).await;
    until_on_probation(&first).await;
    let bad = config_digest(&first).await;
    first.signal("-KILL");
    first.exit().await;

    let again = Host::join(first.server(), &first.file(".kubeconfig"), with(&[]), &flags).await;
    again.logged("it was on probation when another host had it run, and is again").await;
    spark(&again).await;
    until_back_to(&again, &good, &bad).await;
    eventually("it works", || async { (again.metric(SUCCESS) >= 4.0).then_some(()) }).await;
    // Other limits are no reason to try it again, or to forget about it.
    let before = revisions(&again)[0].0;
    change(&again, "", "echo", json!({"limits": {"memory": "48Mi"}})).await;
    eventually("the limits count", || async { (revisions(&again)[0].0 > before).then_some(()) }).await;
    until(&again, "", "echo", "Ready", "False", "RolledBack").await;
    let report = again.report("ClusterPlugin/echo").unwrap();
    assert_eq!(report["reason"], "RolledBack", "{report}");
    until_back_to(&again, &good, &bad).await;
}
