//! What a plugin may use, and what the log and the metrics say of one that wants more.

use serde_json::json;

use crate::plugin_resources::{friend, until_greeted};
use crate::support::{Host, eventually, grant_of, plugin, with};

/// A host with the hostile plugin, granted what it declares, with these limits.
async fn limited(limits: &str) -> (Host, tempfile::TempDir) {
    let (host, grants) = without(limits).await;
    std::fs::copy(plugin("hostile"), host.file("hostile.wasm")).unwrap();
    host.until_running("hostile.wasm").await;
    (host, grants)
}

/// Likewise, before the plugin comes.
async fn without(limits: &str) -> (Host, tempfile::TempDir) {
    let grants = tempfile::tempdir().unwrap();
    let limits = format!("limits: {limits}\nallowSharedKind: true\n");
    for (name, more) in [("hostile", limits), ("hello", String::new())] {
        let grant = grant_of(&plugin(name)) + &more;
        std::fs::write(grants.path().join(name).with_extension("yaml"), grant).unwrap();
    }
    let flags = ["--grants", grants.path().to_str().unwrap()];
    (Host::start_in(with(&["hello"]), &flags).await, grants)
}

/// What the neighbour is asked for while an attack goes on is done.
async fn neighbour_works(host: &Host, name: &str) {
    host.create(friend("default", name)).await;
    until_greeted(host, "default", name).await;
    let failed = |result: &str| {
        host.metric(&format!(
            "controller_runtime_reconcile_total{{controller=\"hello\",result=\"{result}\"}}"
        ))
    };
    assert_eq!([failed("error"), failed("trap")], [0.0, 0.0]);
}

fn breaches(host: &Host, limit: &str) -> f64 {
    host.metric(&format!("wheelhouse_limit_breaches_total{{controller=\"hostile\",limit=\"{limit}\"}}"))
}

fn reconciles(host: &Host, result: &str) -> f64 {
    host.metric(&format!("controller_runtime_reconcile_total{{controller=\"hostile\",result=\"{result}\"}}"))
}

#[tokio::test]
async fn hostile_keys_without_end_wait_for_room_in_the_queue_and_none_is_lost() {
    let (host, _grants) = limited("{queuedKeys: 50, concurrency: 1}").await;
    let before = reconciles(&host, "success");
    // Each of these maps to 200 keys of its own, which take a while.
    for i in 0..3 {
        host.create(json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": format!("flood-{i}"), "namespace": "default"}, "spec": {"ports": [{"port": 80}]}}))
            .await;
    }
    eventually("map has to wait", || async { (breaches(&host, "queuedKeys") >= 1.0).then_some(()) }).await;
    neighbour_works(&host, "meanwhile").await;
    assert!(host.metric("workqueue_depth{name=\"hostile\",controller=\"hostile\",priority=\"0\"}") < 450.0);
    eventually("all are reconciled", || async {
        (reconciles(&host, "success") >= before + 600.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_plugin_starts_with_more_objects_than_its_queue_should_hold() {
    let (host, _grants) = without("{queuedKeys: 20, concurrency: 1}").await;
    for i in 0..60 {
        let metadata = json!({"name": format!("m-{i}"), "namespace": "default"});
        host.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).await;
    }
    // It is mapped by the plugin itself, for which there is no room until somebody takes keys from the queue.
    host.create(json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "mapped", "namespace": "default"}, "spec": {"ports": [{"port": 80}]}}))
        .await;
    std::fs::copy(plugin("hostile"), host.file("hostile.wasm")).unwrap();
    eventually("all are reconciled", || async { (reconciles(&host, "success") >= 60.0).then_some(()) }).await;
    host.until_running("hostile.wasm").await;
}

#[tokio::test]
async fn hostile_a_trap_is_told_of_once_with_the_plugins_own_frames() {
    let (host, _grants) = limited("{}").await;
    let map = |name: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"},
            "data": {"password": "hunter2"}})
    };
    host.create(map("panic-with-contents")).await;
    eventually("it traps again and again", || async { (reconciles(&host, "trap") >= 4.0).then_some(()) })
        .await;
    neighbour_works(&host, "meanwhile").await;
    let log = host.log();
    let reports: Vec<&str> =
        log.lines().filter(|line| line.contains("reconcile failed, it is retried")).collect();
    assert_eq!(reports.len(), 1, "{log}");
    for part in ["ERROR", "plugin=\"hostile\"", "revision=", "object=default/panic-with-contents", "trap: "] {
        assert!(reports[0].contains(part), "{part}: {}", reports[0]);
    }
    assert!(reports[0].contains("Reconciler>::reconcile"), "the component's names: {}", reports[0]);
    assert!(!reports[0].contains("hunter2"), "{}", reports[0]);
    assert!(host.metric("wheelhouse_plugin_cpu_seconds_total{controller=\"hostile\"}") > 0.0);
}
