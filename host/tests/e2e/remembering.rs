//! What a host that is started anew knows of its resources while the API server, or the registry, is down.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::docker_registry::Registry;
use crate::fetching::push;
use crate::plugin_resources::*;
use crate::restarting::PLUGINS;
use crate::support::{Host, Process, address, eventually, wheelhouse, with};

/// A server whose objects are in a folder.
fn server(port: &str, files: &Path) -> Process {
    let flags = ["devcluster", "--port", port, "--kubeconfig-out"];
    let data = files.join("data");
    Process::start(wheelhouse().args(flags).arg(files.join("kubeconfig")).arg("--data-dir").arg(data))
}

/// A ClusterPlugin of its own name, which reconciles ConfigMaps of a namespace of its own.
fn numbered(number: usize, component: &Value) -> Value {
    let (name, namespace) = (format!("echo-{number}"), format!("n{number}"));
    let rule =
        json!({"verbs": ["get", "list", "watch"], "kinds": ["v1/ConfigMap"], "namespaces": [namespace]});
    let config = json!({"name": name, "reconciles": {"kind": "v1/ConfigMap", "namespaces": [namespace]}});
    json!({"component": component, "config": config, "grant": {"rules": [rule]}})
}

fn reports(host: &Host) -> Vec<Value> {
    serde_json::from_str(&host.admin("/plugins").1).unwrap()
}

async fn until_all(host: &Host, what: &str, holds: impl Fn(&Value) -> bool) {
    eventually(&format!("all are {what}"), || async {
        let reports = reports(host);
        (reports.len() == PLUGINS && reports.iter().all(&holds)).then_some(())
    })
    .await;
}

fn runs(report: &Value) -> bool {
    report["phase"] == "running"
}

#[tokio::test]
async fn fifty_plugins_of_resources_are_made_ready_without_an_api_server_and_run_as_it_has_them_then() {
    let files = tempfile::tempdir().unwrap();
    let (kubeconfig, cache) = (files.path().join("kubeconfig"), files.path().join("cache"));
    let first_server = server("0", files.path());
    let at = address(first_server.logged("url=\"http://").await);
    let flags = ["--leader-election=false", "--grace", "3", "--cache-dir", cache.to_str().unwrap()];
    let mut first = Host::join(&at, &kubeconfig, with(&[]), &flags).await;
    succeeds(&first, "apply --server-side -f -", &crds());
    for variant in 0..5_u8 {
        // A custom section without a meaning.
        let bytes = [&wasm("echo")[..], &[0, 2, 1, b'a' + variant]].concat();
        component(&first, "default", &format!("echo-{variant}"), &bytes).await;
    }
    for number in 0..PLUGINS {
        let place =
            json!({"namespace": "default", "name": format!("echo-{}", number % 5), "key": "plugin.wasm"});
        order(&first, "", &format!("echo-{number}"), numbered(number, &json!({"configMap": place}))).await;
    }
    until_all(&first, "running", runs).await;
    first.signal("-TERM");
    assert!(first.exit().await.success());
    // Nobody is there to see that.
    delete(&first, CLUSTER, "", "echo-0").await;
    change(&first, "", "echo-1", json!({"config": {"name": "renamed"}})).await;
    change(&first, "", "echo-2", json!({"paused": true})).await;
    change(&first, "", "echo-3", json!({"grant": {"rules": []}})).await;
    drop(first_server);

    let begun = Instant::now();
    let second = Host::join(&at, &kubeconfig, with(&[]), &flags).await;
    until_all(&second, "made ready", |report| {
        report["phase"] == "waiting" && report["reason"] == "Unconfirmed" && report.get("plugin").is_none()
    })
    .await;
    // A second is what it may take; a busy machine takes longer, and to compile them all takes longer yet.
    assert!(begun.elapsed().as_secs_f64() < 5.0, "{:?}: {}", begun.elapsed(), second.log());
    assert_eq!(second.log().matches("loaded from the compile cache").count(), PLUGINS, "{}", second.log());
    let because = second.report("ClusterPlugin/echo-7").unwrap();
    assert!(
        because["error"].as_str().unwrap().contains("once that has said that its resource still wants it")
    );

    let _second_server = server(at.rsplit(':').next().unwrap(), files.path());
    until_gone(&second, "ClusterPlugin/echo-0").await;
    eventually("the others run", || async {
        let running = reports(&second).iter().filter(|report| runs(report)).count();
        (running == PLUGINS - 3).then_some(())
    })
    .await;
    let renamed = second.until("ClusterPlugin/echo-1", "another by now", runs).await;
    assert_eq!(renamed["plugin"]["name"], "renamed");
    second.until("ClusterPlugin/echo-2", "paused", |report| report["phase"] == "paused").await;
    until(&second, "", "echo-3", "Granted", "False", "NotGranted").await;
    until_ready(&second, "", "echo-4").await;
    let log = second.log();
    for never in ["echo-0", "echo-1", "echo-3"] {
        assert!(!log.contains(&format!("running plugin=\"{never}\"")), "{never}: {log}");
    }
    assert!(log.contains("running plugin=\"echo-4\""), "that is how it would be said: {log}");
}

#[tokio::test]
async fn fifty_plugins_run_from_what_was_fetched_last_while_the_registry_is_down() {
    let registry = Registry::start();
    let files = tempfile::tempdir().unwrap();
    let cache = files.path().join("cache");
    let flags = ["--leader-election=false", "--cache-dir", cache.to_str().unwrap()];
    let mut first = Host::run(with(&[]), &flags).await;
    succeeds(&first, "apply --server-side -f -", &crds());
    for variant in 0..5_u8 {
        let bytes = [&wasm("echo")[..], &[0, 2, 1, b'a' + variant]].concat();
        push(&registry.at(&format!("echo-{variant}:latest")), &bytes);
    }
    for number in 0..PLUGINS {
        let reference = registry.at(&format!("echo-{}:latest", number % 5));
        order(&first, "", &format!("echo-{number}"), numbered(number, &json!({"oci": reference}))).await;
    }
    until_all(&first, "running", runs).await;
    first.signal("-TERM");
    assert!(first.exit().await.success());
    drop(registry);

    let begun = Instant::now();
    let again = Host::join(first.server(), &first.file(".kubeconfig"), with(&[]), &flags).await;
    until_all(&again, "running", runs).await;
    assert!(begun.elapsed().as_secs_f64() < 5.0, "{:?}: {}", begun.elapsed(), again.log());
    assert_eq!(again.log().matches("loaded from the compile cache").count(), PLUGINS, "{}", again.log());
    let stale = until(&again, "", "echo-7", "Fetched", "True", "Unreachable").await;
    assert!(message(&stale, "Fetched").contains("what was fetched before still counts"), "{stale:?}");
    // Another spec makes it no newer.
    change(&again, "", "echo-7", json!({"revisionHistoryLimit": 5})).await;
    until(&again, "", "echo-7", "Fetched", "True", "Unreachable").await;
}
