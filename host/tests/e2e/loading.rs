//! Plugins that come, change, break and go while the host runs.

use std::time::Duration;

use serde_json::json;

use crate::support::{Host, eventually, plugin};

/// Puts a file into the folder in one step, as a careful deployment would.
fn put(host: &Host, name: &str, bytes: &[u8]) {
    let new = host.file(&format!(".{name}.new"));
    std::fs::write(&new, bytes).unwrap();
    std::fs::rename(new, host.file(name)).unwrap();
}

async fn census(host: &Host, namespace: &str) {
    let maps = host.api("v1/ConfigMap", namespace);
    eventually(&format!("a census in {namespace}"), || async {
        maps.get_opt("node-census-n1").await.unwrap().map(|_| ())
    })
    .await;
}

#[tokio::test]
async fn a_change_is_a_new_revision_and_a_broken_one_changes_nothing() {
    let host = Host::start(&["node-census"]).await;
    let first = host.until_running("node-census.wasm").await;
    assert_eq!(first["plugin"]["revision"], 1);
    host.create(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})).await;
    census(&host, "default").await;

    // Another configuration: every known object is judged by the new revision.
    put(&host, "node-census.json", br#"{"namespace": "kube-system"}"#);
    host.until("node-census.wasm", "revision 2", |report| report["plugin"]["revision"] == 2).await;
    census(&host, "kube-system").await;

    // A configuration that it rejects, and one that is no JSON.
    for (config, error) in [(&br#"{"namspace": "x"}"#[..], "namspace"), (b"{", "is no JSON object")] {
        put(&host, "node-census.json", config);
        let report = host
            .until("node-census.wasm", error, |report| {
                report["error"].as_str().is_some_and(|e| e.contains(error))
            })
            .await;
        assert_eq!((&report["phase"], &report["plugin"]["revision"]), (&json!("failed"), &json!(2)));
    }

    // A component that is cut off.
    let whole = std::fs::read(plugin("node-census")).unwrap();
    put(&host, "node-census.wasm", &whole[..whole.len() / 2]);
    put(&host, "node-census.json", br#"{"namespace": "kube-system"}"#);
    let report = host
        .until("node-census.wasm", "damaged", |report| {
            report["error"].as_str().is_some_and(|e| e.contains("damaged"))
        })
        .await;
    assert_eq!(report["plugin"]["revision"], 2);
    host.api("v1/ConfigMap", "kube-system").delete("node-census-n1", &Default::default()).await.unwrap();
    census(&host, "kube-system").await;

    // The whole one again is what runs already: no trouble any more, and no other revision. And none.
    put(&host, "node-census.wasm", &whole);
    let report = host.until_running("node-census.wasm").await;
    assert_eq!((&report["plugin"]["revision"], report.get("error")), (&json!(2), None));
    std::fs::remove_file(host.file("node-census.wasm")).unwrap();
    eventually("it is stopped", || async { host.report("node-census.wasm").is_none().then_some(()) }).await;
    assert!(host.log().contains("stopped"));
}

#[tokio::test]
async fn a_change_that_the_old_revision_has_heard_of_is_not_lost_in_the_switch() {
    // What is mapped goes where nobody waits for it: on a busy machine that takes its time, and is not to be cut off.
    let flags = ["--log", "info,wheelhouse_controller=debug", "--grace", "60"];
    let host = Host::start_with(&["hostile"], &flags).await;
    host.until_running("hostile.wasm").await;
    let service = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
        "spec": {"ports": [{"port": 80}]}})
    };
    let reconciled = || host.log().matches("object=default/later").count();
    host.create(service("later")).await;
    eventually("the service is mapped", || async { (reconciled() > 0).then_some(()) }).await;
    let before = reconciled();
    // map() is kept busy by the first; the end of the second waits behind it, and no object is left
    // to tell the next revision of it.
    host.create(service("spin")).await;
    host.api("v1/Service", "default").delete("later", &Default::default()).await.unwrap();
    put(&host, "hostile.json", br#"{"concurrency": 2}"#);
    host.until("hostile.wasm", "revision 2", |report| report["plugin"]["revision"] == 2).await;
    eventually("the end of the service is mapped", || async { (reconciled() > before).then_some(()) }).await;
}

#[tokio::test]
async fn files_that_are_no_plugin_are_reported_and_the_rest_runs() {
    let host = Host::start(&[]).await;
    let module = wat::parse_str("(module)").unwrap();
    let other = wat::parse_str("(component)").unwrap();
    let version = wat::parse_str(
        r#"(component (instance $i) (export "wheelhouse:controller/reconciler@7.0.0" (instance $i)))"#,
    )
    .unwrap();
    for (name, bytes, error) in [
        ("text.wasm", &b"hello"[..], "not a WebAssembly component"),
        ("module.wasm", &module, "a core WebAssembly module"),
        ("other.wasm", &other, "a component that is no plugin"),
        ("version.wasm", &version, "API version 7.0.0; this host supports 0.1.0"),
    ] {
        put(&host, name, bytes);
        let report = host.until(name, "failed", |report| report["phase"] == "failed").await;
        assert!(report["error"].as_str().unwrap().contains(error), "{report}");
        let lines = || {
            let log = host.log();
            log.lines().filter(|line| line.contains(name) && line.contains("cannot be loaded")).count()
        };
        // What the host has written takes a moment to be read here.
        eventually("a line", || async { (lines() > 0).then_some(()) }).await;
        assert_eq!(lines(), 1, "one line for {name}");
    }
    put(&host, "hello.wasm", &std::fs::read(plugin("hello")).unwrap());
    host.until_running("hello.wasm").await;
    // A second file with a plugin of that name waits, and names the first.
    put(&host, "hello-again.wasm", &std::fs::read(plugin("hello")).unwrap());
    let report = host.until("hello-again.wasm", "waiting", |report| report["reason"] == "NameTaken").await;
    assert!(report["error"].as_str().unwrap().contains("already loaded from"), "{report}");
    // Once the first is gone, the second is loaded.
    std::fs::remove_file(host.file("hello.wasm")).unwrap();
    eventually("stopped", || async { host.report("/hello.wasm").is_none().then_some(()) }).await;
    host.until_running("hello-again.wasm").await;
}

#[tokio::test]
async fn a_describe_that_misbehaves_is_reported_and_the_rest_runs() {
    let host = Host::start(&["node-census"]).await;
    let component = std::fs::read(plugin("hostile")).unwrap();
    for (describe, error) in [
        ("spin", "it was stopped"),
        ("panic", "describe() failed: trap"),
        ("read", "describe and index may use no import"),
    ] {
        put(&host, "hostile.json", format!(r#"{{"describe": "{describe}"}}"#).as_bytes());
        put(&host, "hostile.wasm", &component);
        let report = host
            .until("hostile.wasm", describe, |report| {
                report["error"].as_str().is_some_and(|e| e.contains(error))
            })
            .await;
        assert_eq!(report["phase"], "failed");
    }
    put(&host, "hostile.json", br#"{"kind": "no.such.group/v1/Thing"}"#);
    let report = host.until("hostile.wasm", "waiting", |report| report["phase"] == "waiting").await;
    let error = report["error"].as_str().unwrap();
    assert!(
        error.contains("no.such.group/v1/Thing") && error.contains("CustomResourceDefinition"),
        "{error}"
    );
    host.until_running("node-census.wasm").await;
    put(&host, "hostile.json", b"{}");
    host.until_running("hostile.wasm").await;
}

#[tokio::test]
async fn the_admin_endpoints_tell_how_the_host_is() {
    let host = Host::start(&["hello"]).await;
    assert!(host.admin("/healthz").0.contains("200"));
    eventually("ready", || async { host.admin("/readyz").0.contains("200").then_some(()) }).await;
    let report = host.report("hello.wasm").unwrap();
    assert_eq!((&report["phase"], &report["plugin"]["name"]), (&json!("running"), &json!("hello")));
    let metrics = host.admin("/metrics").1;
    for name in [
        "controller_runtime_reconcile_total{controller=\"hello\",result=\"success\"}",
        "workqueue_depth{name=\"hello\",controller=\"hello\",priority=\"0\"}",
        "wheelhouse_cache_objects{kind=\"v1/ConfigMap\",scope=\"hello=world\"}",
        "wheelhouse_cache_synced{kind=\"v1/ConfigMap\",scope=\"hello=world\"} 1",
    ] {
        assert!(metrics.contains(name), "{name} in\n{metrics}");
    }
    assert!(metrics.ends_with("# EOF\n"));
    assert!(host.admin("/no-such-page").0.contains("404"));
}

#[tokio::test]
async fn a_host_ends_in_order_on_the_first_signal() {
    let mut host = Host::start(&["hello"]).await;
    host.until_running("hello.wasm").await;
    host.signal("-TERM");
    let status = host.exit().await;
    assert_eq!(status.code(), Some(0), "{}", host.log());
    assert!(host.log().contains("stopped"));
}

#[tokio::test]
async fn trap_35_what_runs_gets_its_grace_and_a_second_signal_ends_at_once() {
    // A reconcile that sleeps until its deadline of 30 s: longer than the grace of 3 s.
    let sleeping = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sleep", "namespace": "default"}});
    let mut host = Host::start(&["hostile"]).await;
    host.until_running("hostile.wasm").await;
    host.create(sleeping.clone()).await;
    let active = "controller_runtime_active_workers{controller=\"hostile\"}";
    eventually("it sleeps", || async { (host.metric(active) == 1.0).then_some(()) }).await;
    let begun = std::time::Instant::now();
    host.signal("-INT");
    let status = host.exit().await;
    assert_eq!(status.code(), Some(0), "{}", host.log());
    let took = begun.elapsed();
    assert!((Duration::from_millis(2_900)..Duration::from_secs(25)).contains(&took), "{took:?}");
    assert!(host.log().contains("did not end within the grace"), "{}", host.log());

    let mut host = Host::start(&["hostile"]).await;
    host.until_running("hostile.wasm").await;
    host.create(sleeping).await;
    eventually("it sleeps", || async { (host.metric(active) == 1.0).then_some(()) }).await;
    host.signal("-INT");
    eventually("it is stopping", || async { host.log().contains("stopping").then_some(()) }).await;
    host.signal("-INT");
    assert_eq!(host.exit().await.code(), Some(130), "{}", host.log());
}
