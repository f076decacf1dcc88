//! What a resource orders beside its component: how many revisions are kept.

use serde_json::json;

use crate::plugin_resources::*;
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
