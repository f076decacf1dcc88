//! What a resource orders beside its component: how much of it runs at once, and how many revisions are kept.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::plugin_resources::*;
use crate::several::records;
use crate::support::{Host, eventually, wheelhouse};

/// Numbers of the revisions that are kept, the newest first, as an operator sees them.
fn revisions(host: &Host, plugin: &str) -> Vec<String> {
    let output =
        wheelhouse().args(["revisions", plugin, "--admin-addr", host.admin_addr()]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    rows.map(str::to_owned).collect()
}

#[tokio::test]
async fn as_many_former_revisions_are_kept_as_the_spec_says_or_else_the_host() {
    let host = Host::start_with(&[], &["--revision-history-limit", "2"]).await;
    component(&host, "default", "echo", &wasm("echo")).await;
    for (name, limit) in [("ours", Some(1)), ("hosts", None)] {
        let mut of = spec("echo", echo_of("default"));
        (of["config"]["name"], of["allowSharedKind"]) = (json!(name), json!(true));
        if let Some(limit) = limit {
            of["revisionHistoryLimit"] = json!(limit);
        }
        order(&host, "", name, of).await;
        until_ready(&host, "", name).await;
        for swap in 1..=3 {
            change(&host, "", name, json!({"config": {"failures": swap}})).await;
            let ready = until_ready(&host, "", name).await;
            assert_eq!(ready.data["status"]["revision"], swap + 1);
        }
    }
    assert_eq!(revisions(&host, "ours"), ["4", "3"]);
    assert_eq!(revisions(&host, "hosts"), ["4", "3", "2"]);
    // A change of that alone counts for what is kept by now.
    change(&host, "", "hosts", json!({"revisionHistoryLimit": 0})).await;
    eventually("the former ones go", || async { (revisions(&host, "hosts") == ["4"]).then_some(()) }).await;
}

#[tokio::test]
async fn no_more_runs_at_once_than_the_spec_allows_and_no_more_than_the_plugin_asks_for() {
    let host = Host::start(&[]).await;
    namespace(&host, "records").await;
    component(&host, "default", "witness", &wasm("witness")).await;
    let mut of = spec("witness", json!({"pause_ms": 20}));
    of["limits"] = json!({"concurrency": 1});
    order(&host, "", "witness", of).await;
    until_ready(&host, "", "witness").await;
    let most = || host.metric("controller_runtime_max_concurrent_reconciles{controller=\"witness\"}");
    assert_eq!(most(), 1.0);

    let names: BTreeSet<String> = (0..6).map(|number| format!("k{number}")).collect();
    for name in &names {
        host.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"value": "1"},
            "metadata": {"name": name, "namespace": "default"}}))
            .await;
    }
    let records = eventually("all have ended", || async {
        let records = records(&host.api("v1/ConfigMap", "records")).await;
        let ended = records.iter().filter(|record| record.what == "end").map(|record| record.key.clone());
        (ended.collect::<BTreeSet<_>>() == names).then_some(records)
    })
    .await;
    let order: Vec<(&str, &str)> = records.iter().map(|r| (r.run.as_str(), r.what.as_str())).collect();
    let one_by_one = |pair: &[(&str, &str)]| matches!(pair, [(a, "begin"), (b, "end")] if a == b);
    assert!(order.chunks(2).all(one_by_one), "{order:?}");

    // Without a limit, and with one that is further away than it asks for: the limits are another revision's.
    for (limits, revision) in [(Value::Null, 2), (json!({"concurrency": 9}), 3)] {
        change(&host, "", "witness", json!({"limits": limits})).await;
        let ready = until_ready(&host, "", "witness").await;
        assert_eq!((&ready.data["status"]["revision"], most()), (&json!(revision), 4.0));
    }
}
