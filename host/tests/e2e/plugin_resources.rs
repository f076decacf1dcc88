//! `Plugin` and `ClusterPlugin` resources, and how a test makes and asks them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::support::{Host, eventually, plugin, wheelhouse};

pub(crate) const PLUGIN: &str = "wheelhouse.dev/v1alpha1/Plugin";
pub(crate) const CLUSTER: &str = "wheelhouse.dev/v1alpha1/ClusterPlugin";
pub(crate) const GREETING: &str = "examples.wheelhouse.dev/greeting";

/// Runs kubectl against the host's API server; what it printed.
pub(crate) fn kubectl(host: &Host, line: &str, input: &str) -> (bool, String) {
    let mut child = Command::new("kubectl")
        .arg(format!("--server=http://{}", host.server()))
        .arg(format!("--cache-dir={}", host.file(".kube-cache").display()))
        .args(line.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs kubectl 1.32 or newer on the PATH: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    (output.status.success(), text)
}

pub(crate) fn succeeds(host: &Host, line: &str, input: &str) -> String {
    let (success, text) = kubectl(host, line, input);
    assert!(success, "kubectl {line}: {text}");
    text
}

/// A ConfigMap with a component under the key `plugin.wasm`.
pub(crate) async fn component(host: &Host, namespace: &str, name: &str, bytes: &[u8]) {
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace},
        "binaryData": {"plugin.wasm": STANDARD.encode(bytes)},
    });
    host.create(map).await;
}

pub(crate) fn wasm(name: &str) -> Vec<u8> {
    std::fs::read(plugin(name)).unwrap()
}

/// The same plugin as another component: with a custom section of no meaning at its end.
pub(crate) fn other(wasm: &[u8]) -> Vec<u8> {
    [wasm, &[0, 2, 1, b'x']].concat()
}

pub(crate) async fn namespace(host: &Host, name: &str) {
    host.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await;
}

/// Creates a resource; of a cluster's, the namespace is "".
pub(crate) async fn order(host: &Host, namespace: &str, name: &str, spec: Value) {
    let kind = if namespace.is_empty() { "ClusterPlugin" } else { "Plugin" };
    let mut resource = json!({
        "apiVersion": "wheelhouse.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
    });
    if !namespace.is_empty() {
        resource["metadata"]["namespace"] = json!(namespace);
    }
    host.create(resource).await;
}

/// A spec of what a ConfigMap in the default namespace has, configured so.
pub(crate) fn spec(map: &str, config: Value) -> Value {
    let place = json!({"namespace": "default", "name": map, "key": "plugin.wasm"});
    json!({"component": {"configMap": place}, "config": config})
}

/// Of an echo that reconciles ConfigMaps of a namespace, but for those that have components.
pub(crate) fn echo_of(namespace: &str) -> Value {
    json!({"reconciles": {"kind": "v1/ConfigMap", "namespaces": [namespace], "labels": "echo"}})
}

pub(crate) fn kind_of(namespace: &str) -> &'static str {
    if namespace.is_empty() { CLUSTER } else { PLUGIN }
}

pub(crate) async fn get(host: &Host, namespace: &str, name: &str) -> DynamicObject {
    host.api(kind_of(namespace), namespace).get(name).await.unwrap()
}

pub(crate) fn condition(resource: &DynamicObject, of: &str) -> Option<Value> {
    let conditions = resource.data["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == of).cloned()
}

/// Waits until a condition of the newest generation has this status and reason.
pub(crate) async fn until(
    host: &Host,
    namespace: &str,
    name: &str,
    of: &str,
    status: &str,
    reason: &str,
) -> DynamicObject {
    eventually(&format!("{of} of {name} is {status} by {reason}"), || async {
        let resource = get(host, namespace, name).await;
        let condition = condition(&resource, of)?;
        let newest = condition["observedGeneration"].as_i64() == resource.metadata.generation;
        (newest && condition["status"] == status && condition["reason"] == reason).then_some(resource)
    })
    .await
}

pub(crate) async fn until_ready(host: &Host, namespace: &str, name: &str) -> DynamicObject {
    until(host, namespace, name, "Ready", "True", "Running").await
}

pub(crate) async fn change(host: &Host, namespace: &str, name: &str, spec: Value) {
    host.patch(kind_of(namespace), namespace, name, json!({"spec": spec})).await;
}

pub(crate) async fn delete(host: &Host, kind: &str, namespace: &str, name: &str) {
    host.api(kind, namespace).delete(name, &Default::default()).await.unwrap();
}

/// Waits for an Event about a resource of the default namespace, or of none.
pub(crate) async fn until_event(host: &Host, reason: &str, note: &str) {
    eventually(&format!("an Event {reason} with {note}"), || async {
        let events = host.api("events.k8s.io/v1/Event", "default").list(&Default::default()).await.unwrap();
        let told = |event: &DynamicObject| {
            event.data["reason"] == reason
                && event.data["note"].as_str().is_some_and(|text| text.contains(note))
        };
        events.items.iter().any(told).then_some(())
    })
    .await;
}

pub(crate) fn message(resource: &DynamicObject, of: &str) -> String {
    condition(resource, of).unwrap()["message"].as_str().unwrap().to_owned()
}

pub(crate) async fn until_gone(host: &Host, id: &str) {
    eventually(&format!("{id} is gone"), || async { host.report(id).is_none().then_some(()) }).await;
}

/// A host with an echo in a ConfigMap, and nothing in its folder.
pub(crate) async fn host_with_echo() -> Host {
    let host = Host::start(&[]).await;
    component(&host, "default", "echo", &wasm("echo")).await;
    host
}

pub(crate) fn friend(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": {"hello": "world"}}})
}

pub(crate) async fn greeted(host: &Host, namespace: &str, name: &str) -> bool {
    let map = host.api("v1/ConfigMap", namespace).get(name).await.unwrap();
    map.metadata.annotations.is_some_and(|annotations| annotations.contains_key(GREETING))
}

pub(crate) async fn until_greeted(host: &Host, namespace: &str, name: &str) {
    eventually(&format!("{name} is greeted"), || async {
        greeted(host, namespace, name).await.then_some(())
    })
    .await;
}

pub(crate) fn crds() -> String {
    let output = wheelhouse().arg("crds").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The spec of a namespaced Plugin, with a grant of all of the cluster.
pub(crate) fn namespaced(config: Value) -> Value {
    let rules =
        json!([{"verbs": ["*"], "kinds": ["v1/ConfigMap", "v1/Node", "v1/Secret"], "namespaces": ["*"]}]);
    let place = json!({"name": "component", "key": "plugin.wasm"});
    json!({"component": {"configMap": place}, "config": config, "grant": {"rules": rules}})
}
