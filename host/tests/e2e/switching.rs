//! What another revision takes over from the one before, and what it does not.

use serde_json::{Value, json};

use crate::support::{Host, eventually, plugin};

/// Of ConfigMaps that are labelled so, in the default namespace.
fn configure(host: &Host, mut config: Value) {
    config["reconciles"] = json!({"kind": "v1/ConfigMap", "namespaces": ["default"], "labels": "echo"});
    let new = host.file(".echo.json.new");
    std::fs::write(&new, config.to_string()).unwrap();
    std::fs::rename(new, host.file("echo.json")).unwrap();
}

async fn echo(config: Value) -> Host {
    let host = Host::start(&[]).await;
    configure(&host, config);
    std::fs::copy(plugin("echo"), host.file("echo.wasm")).unwrap();
    host.until_running("echo.wasm").await;
    host
}

async fn until_revision(host: &Host, revision: u64) {
    let runs = |report: &Value| report["plugin"]["revision"] == revision && report["phase"] == "running";
    host.until("echo.wasm", &format!("revision {revision}"), runs).await;
}

fn service(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}]}, "metadata": {
        "name": name, "namespace": "default", "annotations": {"example.com/config": name},
    }})
}

#[tokio::test]
async fn what_is_to_be_asked_again_later_is_asked_of_the_revision_that_runs_then() {
    let watches = json!([{"kind": "v1/Service", "byAnnotation": "example.com/config"}]);
    let host = echo(json!({"watches": watches, "againAfterMs": 4000})).await;
    // There is no such object, and the next revision does not watch what names it: only its own time requests it.
    host.create(service("absent")).await;
    host.logged("asked for default/absent, which is absent").await;
    configure(&host, json!({"againAfterMs": 3_600_000}));
    until_revision(&host, 2).await;
    let before = host.log().matches("asked for default/absent").count();
    assert_eq!(before, 1, "it was early, or the switch was late: {}", host.log());
    eventually("its time comes", || async {
        (host.log().matches("asked for default/absent").count() == 2).then_some(())
    })
    .await;
    let log = host.log();
    let (_, after) = log.split_once("replaced in").unwrap();
    assert!(after.contains("asked for default/absent"), "{log}");
}

#[tokio::test]
async fn a_revision_has_the_watches_that_it_declares_and_those_of_the_one_before_end() {
    let host = echo(json!({})).await;
    let nodes = "wheelhouse_cache_objects{kind=\"v1/Service\"";
    let exposed = || host.admin("/metrics").1.contains(nodes);
    assert!(!exposed());
    configure(&host, json!({"watches": [{"kind": "v1/Service", "byAnnotation": "example.com/config"}]}));
    until_revision(&host, 2).await;
    assert!(exposed(), "it runs only when its kinds are synced");
    host.create(service("one")).await;
    host.logged("asked for default/one").await;
    configure(&host, json!({}));
    until_revision(&host, 3).await;
    eventually("nobody watches them", || async { (!exposed()).then_some(()) }).await;
    host.create(service("two")).await;
    // Had anybody heard of it, the request would have been before this one.
    host.create(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "after", "namespace": "default", "labels": {"echo": ""}}}))
        .await;
    host.logged("asked for default/after").await;
    assert!(!host.log().contains("asked for default/two"), "{}", host.log());
}

#[tokio::test]
async fn a_revision_has_the_indexes_that_it_declares_and_those_of_the_one_before_end() {
    let host = echo(json!({})).await;
    let entries = |field: &str| {
        let metrics = host.admin("/metrics").1;
        let of = |line: &&str| {
            line.starts_with("wheelhouse_cache_index_entries{kind=\"v1/ConfigMap\"")
                && line.contains(&format!("index=\"{field}\""))
        };
        metrics.lines().find(of).and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
    };
    for name in ["one", "two"] {
        host.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"colour": "red", "size": "s"},
            "metadata": {"name": name, "namespace": "default", "labels": {"echo": ""}}}))
            .await;
    }
    let (colour, size) = (".data.colour", ".data.size");
    assert_eq!((entries(colour), entries(size)), (None, None));
    // What is there already is in it, and nothing that runs was without it.
    configure(&host, json!({"indexes": [{"kind": "v1/ConfigMap", "field": colour}]}));
    until_revision(&host, 2).await;
    eventually("it is kept", || async { (entries(colour) == Some(2.0)).then_some(()) }).await;
    configure(&host, json!({"indexes": [{"kind": "v1/ConfigMap", "field": size}]}));
    until_revision(&host, 3).await;
    eventually("another one is, and the first is not", || async {
        (entries(size) == Some(2.0) && entries(colour).is_none()).then_some(())
    })
    .await;
}
