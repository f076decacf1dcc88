//! Dependency tracking, as a plugin has it that declares what it caches and maps nothing.

use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::support::{Host, eventually};

const REQUEUES: &str = "wheelhouse_dependency_requeues_total{controller=\"service-notes\"}";
const DEPENDENCIES: &str = "wheelhouse_dependencies{controller=\"service-notes\"}";

fn service(name: &str, message_from: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default",
            "annotations": {"examples.wheelhouse.dev/message-from": message_from}},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}]}})
}

fn config_map(name: &str, message: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"},
        "data": {"message": message}})
}

fn pod(name: &str, app: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": app}},
        "spec": {"containers": [{"name": "main", "image": "nginx"}]}})
}

/// What is noted on a Service: the message, and how many Pods.
fn notes(service: DynamicObject) -> (Option<String>, Option<String>) {
    let mut annotations = service.metadata.annotations.unwrap_or_default();
    let mut take = |name: &str| annotations.remove(&format!("examples.wheelhouse.dev/{name}"));
    (take("message"), take("pods"))
}

async fn until_noted(host: &Host, service: &str, message: Option<&str>, pods: &str) {
    let services = host.api("v1/Service", "default");
    let expected = (message.map(str::to_owned), Some(pods.to_owned()));
    eventually(&format!("{service}: {message:?}, {pods} Pods"), || async {
        let found = services.get(service).await.ok().map(notes);
        (found.as_ref() == Some(&expected)).then_some(())
    })
    .await;
}

async fn until_metric(host: &Host, series: &str, expected: f64) {
    eventually(&format!("{series} {expected}"), || async {
        #[allow(clippy::float_cmp, reason = "it counts")]
        (host.metric(series) == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_reconcile_runs_again_when_something_that_it_read_changes_and_not_otherwise() {
    let host = Host::start(&["service-notes"]).await;
    host.until_running("service-notes.wasm").await;
    host.create(service("shop", "motd")).await;
    until_noted(&host, "shop", None, "0").await;
    // The ConfigMap that is not there, and the Pods.
    until_metric(&host, DEPENDENCIES, 2.0).await;
    assert_eq!(host.metric(REQUEUES), 0.0, "its own writes are left to the source");

    host.create(config_map("motd", "hello")).await;
    until_noted(&host, "shop", Some("hello"), "0").await;
    assert_eq!(host.metric(REQUEUES), 1.0);

    // Changes are told in order: when the last has had its effect, so have those before, if they have any.
    host.create(config_map("other", "none of its business")).await;
    host.patch("v1/ConfigMap", "default", "other", json!({"data": {"message": "still not"}})).await;
    // Nothing that the plugin has declared to read.
    host.patch("v1/ConfigMap", "default", "motd", json!({"data": {"else": "unread"}})).await;
    host.patch("v1/ConfigMap", "default", "motd", json!({"data": {"message": "changed"}})).await;
    until_noted(&host, "shop", Some("changed"), "0").await;
    assert_eq!(host.metric(REQUEUES), 2.0);

    host.create(pod("other", "other")).await;
    host.create(pod("one", "shop")).await;
    until_noted(&host, "shop", Some("changed"), "1").await;
    host.patch("v1/Pod", "default", "other", json!({"metadata": {"labels": {"app": "shop"}}})).await;
    until_noted(&host, "shop", Some("changed"), "2").await;
    host.patch("v1/Pod", "default", "one", json!({"metadata": {"labels": {"app": null}}})).await;
    until_noted(&host, "shop", Some("changed"), "1").await;
    assert_eq!(host.metric(REQUEUES), 5.0);

    host.api("v1/ConfigMap", "default").delete("motd", &Default::default()).await.unwrap();
    until_noted(&host, "shop", None, "1").await;
    host.api("v1/Service", "default").delete("shop", &Default::default()).await.unwrap();
    until_metric(&host, DEPENDENCIES, 0.0).await;
    assert_eq!(host.metric("controller_runtime_reconcile_errors_total{controller=\"service-notes\"}"), 0.0);
}

#[tokio::test]
async fn what_is_read_is_what_counts_from_the_next_reconcile_on() {
    let host = Host::start(&["service-notes", "hello"]).await;
    host.until_running("service-notes.wasm").await;
    host.create(config_map("one", "1")).await;
    host.create(config_map("two", "2")).await;
    host.create(service("shop", "one")).await;
    until_noted(&host, "shop", Some("1"), "0").await;
    let other = json!({"metadata": {"annotations": {"examples.wheelhouse.dev/message-from": "two"}}});
    host.patch("v1/Service", "default", "shop", other).await;
    until_noted(&host, "shop", Some("2"), "0").await;
    // The last reconcile, after the plugin's own write, has ended.
    let success = "controller_runtime_reconcile_total{controller=\"service-notes\",result=\"success\"}";
    eventually("it has come to rest", || async {
        let idle = host.is_idle("service-notes");
        (idle && host.metric(DEPENDENCIES) < 3.0 && host.metric(success) >= 2.0).then_some(())
    })
    .await;
    let before = host.metric(REQUEUES);
    host.patch("v1/ConfigMap", "default", "one", json!({"data": {"message": "not any more"}})).await;
    host.patch("v1/ConfigMap", "default", "two", json!({"data": {"message": "this"}})).await;
    until_noted(&host, "shop", Some("this"), "0").await;
    assert_eq!(host.metric(REQUEUES), before + 1.0);
    // A plugin that does not track has nothing to count.
    assert!(!host.admin("/metrics").1.contains("wheelhouse_dependencies{controller=\"hello\"}"));
}

#[tokio::test]
async fn a_new_revision_follows_what_the_one_before_has_read() {
    let host = Host::start(&["service-notes"]).await;
    host.until_running("service-notes.wasm").await;
    host.create(service("shop", "motd")).await;
    until_noted(&host, "shop", None, "0").await;
    std::fs::write(host.file("service-notes.json"), r#"{"another": "revision"}"#).unwrap();
    host.until("service-notes.wasm", "the second revision", |report| report["plugin"]["revision"] == 2).await;
    host.create(config_map("motd", "hello")).await;
    until_noted(&host, "shop", Some("hello"), "0").await;
    until_metric(&host, DEPENDENCIES, 2.0).await;
}
