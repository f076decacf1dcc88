//! What the host watches and keeps, as its operator sees it.

use serde_json::{Value, json};

use crate::support::{Host, eventually, plugin};

fn config_map(name: &str, labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "labels": labels}, "data": {"text": "much"}})
}

async fn until_metric(host: &Host, series: &str, expected: impl Fn(f64) -> bool) {
    eventually(series, || async { expected(host.metric(series)).then_some(()) }).await;
}

#[tokio::test]
async fn no_more_of_a_kind_is_kept_than_its_plugins_select() {
    let host = Host::start(&["hello"]).await;
    host.until_running("hello.wasm").await;
    for n in 0..5 {
        host.create(config_map(&format!("other-{n}"), json!({}))).await;
    }
    host.create(config_map("friend", json!({"hello": "world"}))).await;
    let maps = host.api("v1/ConfigMap", "default");
    eventually("it is greeted", || async {
        let friend = maps.get("friend").await.ok()?;
        friend.metadata.annotations?.get("examples.wheelhouse.dev/greeting").cloned()
    })
    .await;
    let of = |name: &str, more: &str| format!("{name}{{kind=\"v1/ConfigMap\"{more}}}");
    let scope = ",scope=\"hello=world\"";
    assert_eq!(host.metric(&of("wheelhouse_cache_objects", scope)), 1.0);
    assert_eq!(host.metric(&of("wheelhouse_cache_synced", scope)), 1.0);
    assert!(host.metric(&of("wheelhouse_cache_sync_seconds", scope)) > 0.0);
    assert!(host.metric(&of("wheelhouse_watch_events_total", &format!("{scope},type=\"ADDED\""))) >= 1.0);
    assert!(host.metric(&of("wheelhouse_reads_total", ",source=\"cache\"")) >= 1.0);
    assert!(host.metric("wheelhouse_read_seconds_count{kind=\"v1/ConfigMap\",source=\"cache\"}") >= 1.0);
    assert_eq!(host.metric(&of("wheelhouse_reads_total", ",source=\"live\"")), 0.0);

    // Without its label it is none of the plugin's, and out of the cache; the plugin looks once more.
    host.patch("v1/ConfigMap", "default", "friend", json!({"metadata": {"labels": {"hello": null}}})).await;
    until_metric(&host, &of("wheelhouse_cache_objects", scope), |objects| objects == 0.0).await;
    until_metric(&host, &of("wheelhouse_reads_total", ",source=\"live\""), |reads| reads >= 1.0).await;
    // With it, it is back.
    host.patch("v1/ConfigMap", "default", "other-1", json!({"metadata": {"labels": {"hello": "world"}}}))
        .await;
    until_metric(&host, &of("wheelhouse_cache_objects", scope), |objects| objects == 1.0).await;
    assert_eq!(host.metric("controller_runtime_reconcile_errors_total{controller=\"hello\"}"), 0.0);
}

#[tokio::test]
async fn no_more_of_an_object_is_kept_than_its_plugins_read() {
    let host = Host::start(&["node-census"]).await;
    host.until_running("node-census.wasm").await;
    let pods = "wheelhouse_cache_object_bytes{kind=\"v1/Pod\",scope=\"everything\"}";
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "large", "namespace": "default"},
        "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "nginx", "args": ["x".repeat(20_000)]}]}
    });
    host.create(pod.clone()).await;
    until_metric(&host, pods, |bytes| bytes > 0.0).await;
    assert!(host.metric(pods) < 1_000.0, "{} bytes are kept of a Pod's node and phase", host.metric(pods));

    // One that reads everything comes and goes: what it reads is there for as long as it is.
    std::fs::write(host.file("reader.json"), r#"{"name": "reader", "kind": "v1/Pod"}"#).unwrap();
    std::fs::copy(plugin("hostile"), host.file("reader.wasm")).unwrap();
    host.until_running("reader.wasm").await;
    until_metric(&host, pods, |bytes| bytes > 20_000.0).await;
    pod["metadata"]["name"] = json!("another");
    host.create(pod).await;
    until_metric(&host, pods, |bytes| bytes > 40_000.0).await;
    std::fs::remove_file(host.file("reader.wasm")).unwrap();
    until_metric(&host, pods, |bytes| bytes < 2_000.0).await;
    let relists = "wheelhouse_watch_relists_total{kind=\"v1/Pod\",scope=\"everything\"}";
    assert_eq!(host.metric(relists), 1.0, "it takes a list to have more, and none to have less");
    let errors = "controller_runtime_reconcile_errors_total{controller=\"node-census\"}";
    assert_eq!(host.metric(errors), 0.0);
}
