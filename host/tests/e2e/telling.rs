//! The host's own Events: what `kubectl events -n default` shows of plugins.

use kube::api::ListParams;
use serde_json::{Value, json};

use crate::support::{Host, eventually, wheelhouse, with};

/// The host's own Events with this reason; in the namespace `default`.
async fn events(host: &Host, reason: &str) -> Vec<Value> {
    let all = host.api("events.k8s.io/v1/Event", "default").list(&ListParams::default()).await.unwrap();
    let all = all.items.into_iter().map(|event| event.data);
    all.filter(|event| event["reportingController"] == "wheelhouse.dev" && event["reason"] == reason)
        .collect()
}

async fn event(host: &Host, reason: &str, note: &str) -> Value {
    eventually(&format!("an Event {reason} with {note:?}"), || async {
        let with_note = |event: &Value| event["note"].as_str().is_some_and(|text| text.contains(note));
        events(host, reason).await.into_iter().find(with_note)
    })
    .await
}

fn put(host: &Host, name: &str, bytes: &[u8]) {
    let new = host.file(".new");
    std::fs::write(&new, bytes).unwrap();
    std::fs::rename(new, host.file(name)).unwrap();
}

#[tokio::test]
async fn that_a_plugin_runs_is_replaced_or_does_not_load_is_an_event() {
    let host = Host::start(&["hello"]).await;
    let loaded = event(&host, "PluginLoaded", "plugin hello ").await;
    assert_eq!((&loaded["type"], &loaded["action"]), (&json!("Normal"), &json!("Load")));
    // There is no Pod that it knows of.
    assert_eq!(loaded["regarding"], json!({"apiVersion": "v1", "kind": "Namespace", "name": "default"}));
    assert!(loaded["note"].as_str().unwrap().contains("as revision 1"), "{loaded}");

    let wasm = std::fs::read(host.file("hello.wasm")).unwrap();
    // The same plugin as another component: a custom section of no meaning at its end.
    put(&host, "hello.wasm", &[wasm.as_slice(), &[0, 2, 1, b'x']].concat());
    event(&host, "PluginReplaced", "as revision 2").await;

    put(&host, "broken.wasm", b"no component");
    put(&host, "worse.wasm", b"no component either");
    let failed = event(&host, "PluginLoadFailed", "broken.wasm: ").await;
    assert_eq!(failed["type"], "Warning");
    event(&host, "PluginLoadFailed", "worse.wasm: ").await;
    // Again: no other Event, but a series.
    put(&host, "broken.wasm", b"still no component");
    eventually("a series", || async {
        let events = events(&host, "PluginLoadFailed").await;
        assert_eq!(events.len(), 2, "{events:?}");
        events.iter().any(|event| event["series"]["count"] == 2).then_some(())
    })
    .await;
    assert!(host.metric("wheelhouse_host_events_total{result=\"sent\"}") >= 5.0);
}

#[tokio::test]
async fn a_plugin_that_fails_again_and_again_is_an_event_without_anything_of_its_objects() {
    let host = Host::start(&["hostile"]).await;
    host.until_running("hostile.wasm").await;
    host.create(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "panic-with-contents", "namespace": "default"}, "data": {"password": "hunter2"}}))
        .await;
    let failing = event(&host, "PluginFailing", "plugin hostile: ").await;
    assert_eq!((&failing["type"], &failing["action"]), (&json!("Warning"), &json!("Reconcile")));
    let text = failing.to_string();
    assert!(!text.contains("hunter2") && !text.contains("panic-with-contents"), "{text}");
}

#[tokio::test]
async fn in_a_pod_the_events_are_on_the_pod() {
    let folder = with(&["hello"]);
    let mut command = wheelhouse();
    command.args(["dev", "--admin-addr", "127.0.0.1:0", "--plugin-dir"]).arg(folder.path());
    command.env("POD_NAMESPACE", "default").env("POD_NAME", "wheelhouse-0").env("POD_UID", "u-1");
    let host = Host::of_command(&mut command, folder).await;
    let loaded = event(&host, "PluginLoaded", "plugin hello ").await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "wheelhouse-0", "uid": "u-1"});
    assert_eq!(loaded["regarding"], pod);
}

#[tokio::test]
async fn a_host_that_may_not_record_events_says_so_once_and_goes_on() {
    let folder = with(&["hello"]);
    std::fs::write(folder.path().join("broken.wasm"), "no component").unwrap();
    let mut command = wheelhouse();
    command.args(["dev", "--admin-addr", "127.0.0.1:0", "--plugin-dir"]).arg(folder.path());
    // The server refuses what is to go there.
    command.env("POD_NAMESPACE", "nowhere").env("POD_NAME", "wheelhouse-0");
    let host = Host::of_command(&mut command, folder).await;
    host.until_running("hello.wasm").await;
    let lost = "wheelhouse_host_events_total{result=\"lost\"}";
    eventually("both are lost", || async { (host.metric(lost) >= 2.0).then_some(()) }).await;
    host.logged("Events of the host itself are lost").await;
    let log = host.log();
    assert_eq!(log.matches("Events of the host itself are lost").count(), 1, "{log}");
}
