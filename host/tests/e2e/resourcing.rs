//! `Plugin` and `ClusterPlugin` resources, as an operator uses them.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::api::{DynamicObject, ListParams};
use serde_json::{Value, json};

use crate::support::{Host, eventually, plugin, wheelhouse, with};

const PLUGIN: &str = "wheelhouse.dev/v1alpha1/Plugin";
const CLUSTER: &str = "wheelhouse.dev/v1alpha1/ClusterPlugin";
const GREETING: &str = "examples.wheelhouse.dev/greeting";

/// Runs kubectl against the host's API server; what it printed.
fn kubectl(host: &Host, line: &str, input: &str) -> (bool, String) {
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

fn succeeds(host: &Host, line: &str, input: &str) -> String {
    let (success, text) = kubectl(host, line, input);
    assert!(success, "kubectl {line}: {text}");
    text
}

/// A ConfigMap with a component under the key `plugin.wasm`.
async fn component(host: &Host, namespace: &str, name: &str, bytes: &[u8]) {
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace},
        "binaryData": {"plugin.wasm": STANDARD.encode(bytes)},
    });
    host.create(map).await;
}

fn wasm(name: &str) -> Vec<u8> {
    std::fs::read(plugin(name)).unwrap()
}

/// The same plugin as another component: with a custom section of no meaning at its end.
fn other(wasm: &[u8]) -> Vec<u8> {
    [wasm, &[0, 2, 1, b'x']].concat()
}

async fn namespace(host: &Host, name: &str) {
    host.create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await;
}

/// Creates a resource; of a cluster's, the namespace is "".
async fn order(host: &Host, namespace: &str, name: &str, spec: Value) {
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
fn spec(map: &str, config: Value) -> Value {
    let place = json!({"namespace": "default", "name": map, "key": "plugin.wasm"});
    json!({"component": {"configMap": place}, "config": config})
}

/// Of an echo that reconciles ConfigMaps of a namespace, but for those that have components.
fn echo_of(namespace: &str) -> Value {
    json!({"reconciles": {"kind": "v1/ConfigMap", "namespaces": [namespace], "labels": "echo"}})
}

fn kind_of(namespace: &str) -> &'static str {
    if namespace.is_empty() { CLUSTER } else { PLUGIN }
}

async fn get(host: &Host, namespace: &str, name: &str) -> DynamicObject {
    host.api(kind_of(namespace), namespace).get(name).await.unwrap()
}

fn condition(resource: &DynamicObject, of: &str) -> Option<Value> {
    let conditions = resource.data["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == of).cloned()
}

/// Waits until a condition of the newest generation has this status and reason.
async fn until(
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

async fn until_ready(host: &Host, namespace: &str, name: &str) -> DynamicObject {
    until(host, namespace, name, "Ready", "True", "Running").await
}

async fn change(host: &Host, namespace: &str, name: &str, spec: Value) {
    host.patch(kind_of(namespace), namespace, name, json!({"spec": spec})).await;
}

async fn delete(host: &Host, kind: &str, namespace: &str, name: &str) {
    host.api(kind, namespace).delete(name, &Default::default()).await.unwrap();
}

fn message(resource: &DynamicObject, of: &str) -> String {
    condition(resource, of).unwrap()["message"].as_str().unwrap().to_owned()
}

async fn until_gone(host: &Host, id: &str) {
    eventually(&format!("{id} is gone"), || async { host.report(id).is_none().then_some(()) }).await;
}

/// A host with an echo in a ConfigMap, and nothing in its folder.
async fn host_with_echo() -> Host {
    let host = Host::start(&[]).await;
    component(&host, "default", "echo", &wasm("echo")).await;
    host
}

/// The first example of the documentation.
fn documented() -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/resources.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let (_, after) = docs.split_once("```yaml\n").unwrap();
    after.split_once("```").unwrap().0.to_owned()
}

#[tokio::test]
async fn the_documented_example_is_applied_with_kubectl_runs_and_is_listed() {
    let host = Host::start(&[]).await;
    let map = format!("create configmap hello --from-file=plugin.wasm={}", plugin("hello").display());
    succeeds(&host, &map, "");
    let applied = succeeds(&host, "apply -f -", &documented());
    assert!(applied.contains("clusterplugin.wheelhouse.dev/hello created"), "{applied}");
    succeeds(&host, "wait --for=condition=Ready --timeout=60s clusterplugin/hello", "");
    let listed = succeeds(&host, "get clusterplugins", "");
    let (head, row) = listed.trim().split_once('\n').unwrap();
    let columns: Vec<&str> = head.split_whitespace().collect();
    assert_eq!(columns, ["NAME", "REVISION", "DIGEST", "READY", "PHASE", "RECONCILES", "AGE"]);
    let row: Vec<&str> = row.split_whitespace().collect();
    assert_eq!((row[0], row[1], row[3], row[4], row[5]), ("hello", "1", "True", "running", "v1/ConfigMap"));
    assert_eq!(row[2].len(), 12, "{listed}");
    for names in ["cwp", "wheelhouse", "clusterplugin.v1alpha1.wheelhouse.dev"] {
        assert!(succeeds(&host, &format!("get {names}"), "").contains("hello"));
    }
    let wide = succeeds(&host, "get cwp -o wide", "");
    assert!(wide.contains("VERSION") && wide.contains("REASON") && wide.contains("Running"), "{wide}");
    let explained = succeeds(&host, "explain clusterplugin.spec.component", "");
    assert!(explained.contains("exactly one of configMap"), "{explained}");

    // Nothing changes with every reconcile: what is written is written once.
    let version = |text: &str| text.trim().to_owned();
    let before = version(&succeeds(&host, "get cwp hello -o jsonpath={.metadata.resourceVersion}", ""));
    for i in 0..20 {
        let friend = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": format!("friend-{i}"), "namespace": "default", "labels": {"hello": "world"}}});
        host.create(friend).await;
    }
    eventually("all are greeted", || async {
        let all = host
            .api("v1/ConfigMap", "default")
            .list(&ListParams::default().labels("hello=world"))
            .await
            .unwrap();
        let greeted =
            |map: &DynamicObject| map.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(GREETING));
        all.items.iter().all(greeted).then_some(())
    })
    .await;
    assert_eq!(
        before,
        version(&succeeds(&host, "get cwp hello -o jsonpath={.metadata.resourceVersion}", ""))
    );
}

#[tokio::test]
async fn a_resource_that_breaks_the_schema_is_refused_with_the_field() {
    let host = Host::start(&[]).await;
    let head = "{apiVersion: wheelhouse.dev/v1alpha1, kind: ClusterPlugin, metadata: {name: p}, spec: ";
    for (spec, part) in [
        ("{}", "spec.component"),
        ("{component: {}}", "spec.component"),
        ("{component: {oci: a, url: 'https://b'}}", "spec.component"),
        (
            "{component: {oci: a}, grant: {rules: [{verbs: [get], kinds: [v1/Pod], namespaces: []}]}}",
            "namespaces",
        ),
        ("{component: {oci: a, digest: 'sha256:1'}}", "spec.component.digest"),
        ("{component: {oci: a}, limits: {isolation: none}}", "spec.limits.isolation"),
        ("{component: {oci: a}, limits: {memroy: 1}}", "memroy"),
        ("{component: {oci: a}, revisionHistoryLimit: -1}", "revisionHistoryLimit"),
    ] {
        let (success, text) = kubectl(&host, "apply -f -", &format!("{head}{spec}}}"));
        assert!(!success && text.contains(part), "{spec}: {text}");
    }
}

#[tokio::test]
async fn another_configuration_is_another_revision_and_a_rejected_one_changes_nothing() {
    let host = host_with_echo().await;
    order(&host, "", "echo", spec("echo", echo_of("default"))).await;
    let first = until_ready(&host, "", "echo").await;
    let status = &first.data["status"];
    assert_eq!(
        (&status["revision"], &status["plugin"], &status["observedGeneration"]),
        (&json!(1), &json!("echo"), &json!(1))
    );
    assert_eq!(status["reconciles"], "v1/ConfigMap");
    for of in ["Fetched", "Compiled", "Described", "Granted", "Synced"] {
        let condition = condition(&first, of).unwrap();
        assert_eq!(
            (&condition["status"], &condition["observedGeneration"]),
            (&json!("True"), &json!(1)),
            "{of}"
        );
    }
    let since =
        |resource: &DynamicObject, of: &str| condition(resource, of).unwrap()["lastTransitionTime"].clone();

    change(&host, "", "echo", json!({"config": {"failures": 0}})).await;
    let second = until_ready(&host, "", "echo").await;
    assert_eq!(
        (&second.data["status"]["revision"], &second.data["status"]["observedGeneration"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(since(&first, "Fetched"), since(&second, "Fetched"), "that is as it was");

    change(&host, "", "echo", json!({"config": {"failurez": 1}})).await;
    let rejected = until(&host, "", "echo", "Described", "False", "ConfigRejected").await;
    assert!(message(&rejected, "Described").contains("failurez"), "{rejected:?}");
    assert_eq!(condition(&rejected, "Compiled").unwrap()["status"], "True");
    assert_eq!(condition(&rejected, "Granted").unwrap()["status"], "Unknown");
    assert!(message(&rejected, "Ready").contains("revision 2 runs on"));
    assert_eq!(
        (&rejected.data["status"]["phase"], &rejected.data["status"]["revision"]),
        (&json!("failed"), &json!(2))
    );

    change(&host, "", "echo", json!({"config": {"failurez": null}})).await;
    let again = until_ready(&host, "", "echo").await;
    assert_eq!(again.data["status"]["revision"], 2, "it is what runs already");
}

#[tokio::test]
async fn a_component_comes_changes_and_goes_with_its_config_map() {
    let host = Host::start(&[]).await;
    order(&host, "", "echo", spec("echo", echo_of("default"))).await;
    let missing = until(&host, "", "echo", "Fetched", "False", "ConfigMapNotFound").await;
    assert_eq!(message(&missing, "Fetched"), "there is no ConfigMap default/echo");
    assert_eq!(
        (&missing.data["status"]["phase"], &missing.data["status"]["ready"]),
        (&json!("waiting"), &json!(false))
    );

    component(&host, "default", "echo", &wasm("echo")).await;
    let first = until_ready(&host, "", "echo").await;
    // Another label is another version of the object, and not of the component.
    host.patch("v1/ConfigMap", "default", "echo", json!({"metadata": {"labels": {"a": "b"}}})).await;
    let data = json!({"binaryData": {"plugin.wasm": STANDARD.encode(other(&wasm("echo")))}});
    host.patch("v1/ConfigMap", "default", "echo", data).await;
    let second = eventually("revision 2", || async {
        let resource = get(&host, "", "echo").await;
        (resource.data["status"]["revision"] == 2).then_some(resource)
    })
    .await;
    assert_ne!(first.data["status"]["digest"], second.data["status"]["digest"]);

    let data = json!({"binaryData": {"plugin.wasm": null, "other.wasm": "AA=="}});
    host.patch("v1/ConfigMap", "default", "echo", data).await;
    let lacking = until(&host, "", "echo", "Fetched", "False", "KeyNotFound").await;
    assert!(message(&lacking, "Fetched").contains("has no binaryData \"plugin.wasm\""), "{lacking:?}");
    delete(&host, "v1/ConfigMap", "default", "echo").await;
    let gone = until(&host, "", "echo", "Fetched", "False", "ConfigMapNotFound").await;
    assert!(message(&gone, "Ready").contains("revision 2 runs on"), "{gone:?}");
    assert!(host.report("ClusterPlugin/echo").unwrap()["plugin"].is_object());

    component(&host, "default", "echo", &other(&wasm("echo"))).await;
    let back = until_ready(&host, "", "echo").await;
    assert_eq!(back.data["status"]["revision"], 2, "it is what runs already");
}

#[tokio::test]
async fn a_component_in_a_secret_is_taken_and_nothing_of_it_is_shown() {
    let host = Host::start(&[]).await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "echo", "namespace": "default"},
        "data": {"plugin.wasm": STANDARD.encode(wasm("echo")), "password": STANDARD.encode("hunter2")},
    });
    host.create(secret).await;
    let place = |key: &str| json!({"component": {"secret": {"namespace": "default", "name": "echo", "key": key}}, "config": echo_of("default")});
    order(&host, "", "echo", place("plugin.wasm")).await;
    until_ready(&host, "", "echo").await;
    change(&host, "", "echo", place("password")).await;
    let failed = until(&host, "", "echo", "Compiled", "False", "CompileFailed").await;
    let told = format!("{:?}{}{}", failed.data, host.log(), host.admin("/plugins").1);
    assert!(!told.contains("hunter2") && !told.contains(&STANDARD.encode("hunter2")));
    assert!(!host.admin("/metrics").1.contains("kind=\"v1/Secret\""), "no Secret is in the cache");
}

#[tokio::test]
async fn hostile_another_content_than_the_digest_is_for_is_not_loaded() {
    let host = host_with_echo().await;
    let mut of = spec("echo", echo_of("default"));
    of["component"]["digest"] = json!(format!("sha256:{}", "0".repeat(64)));
    order(&host, "", "echo", of).await;
    let mismatch = until(&host, "", "echo", "Fetched", "False", "DigestMismatch").await;
    let message = message(&mismatch, "Fetched");
    assert!(message.contains("is sha256:") && message.contains("the spec is for sha256:000"), "{message}");
    assert!(host.report("ClusterPlugin/echo").unwrap().get("plugin").is_none());
    let digest = message.split("is ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    change(&host, "", "echo", json!({"component": {"digest": digest}})).await;
    let ready = until_ready(&host, "", "echo").await;
    assert_eq!(ready.data["status"]["digest"], json!(digest));
}

#[tokio::test]
async fn a_resource_is_deleted_in_mid_load_and_while_it_runs() {
    let host = Host::start(&[]).await;
    // It waits for its component.
    order(&host, "", "echo", spec("echo", echo_of("default"))).await;
    until(&host, "", "echo", "Fetched", "False", "ConfigMapNotFound").await;
    delete(&host, CLUSTER, "", "echo").await;
    until_gone(&host, "ClusterPlugin/echo").await;
    // It waits for a kind.
    component(&host, "default", "echo", &wasm("echo")).await;
    let of = |kind: &str| json!({"reconciles": {"kind": kind, "namespaces": ["default"]}});
    order(&host, "", "echo", spec("echo", of("example.com/v1/Thing"))).await;
    until(&host, "", "echo", "Synced", "False", "KindUnavailable").await;
    delete(&host, CLUSTER, "", "echo").await;
    until_gone(&host, "ClusterPlugin/echo").await;
    // At once, whatever it is at.
    order(&host, "", "echo", spec("echo", echo_of("default"))).await;
    delete(&host, CLUSTER, "", "echo").await;
    order(&host, "", "echo", spec("echo", echo_of("default"))).await;
    let ready = until_ready(&host, "", "echo").await;
    assert_eq!(ready.data["status"]["revision"], 1, "another resource begins anew");
    delete(&host, CLUSTER, "", "echo").await;
    until_gone(&host, "ClusterPlugin/echo").await;
    host.logged("stopped plugin=\"echo\"").await;
    assert!(!host.log().contains("its status cannot be written"), "{}", host.log());
}

#[tokio::test]
async fn what_is_granted_too_little_waits_and_a_change_counts_from_the_next_call_on() {
    let host = Host::run(with(&[]), &["--leader-election=false"]).await;
    succeeds(&host, "apply -f -", &crds());
    component(&host, "default", "hello", &wasm("hello")).await;
    order(&host, "", "hello", spec("hello", json!({}))).await;
    let waiting = until(&host, "", "hello", "Granted", "False", "NotGranted").await;
    let message = message(&waiting, "Granted");
    assert!(message.contains("add them to spec.grant.rules of ClusterPlugin/hello"), "{message}");
    let rules = |verbs: &[&str]| json!({"grant": {"rules": [{"verbs": verbs, "kinds": ["v1/ConfigMap"], "namespaces": ["*"]}]}});
    change(&host, "", "hello", rules(&["get", "list"])).await;
    until(&host, "", "hello", "Granted", "False", "NotGranted").await;
    change(&host, "", "hello", rules(&["get", "list", "watch", "patch"])).await;
    until_ready(&host, "", "hello").await;
    host.create(friend("default", "one")).await;
    until_greeted(&host, "default", "one").await;

    // Cut: what runs is denied it, and is no other revision.
    change(&host, "", "hello", rules(&["get", "list", "watch"])).await;
    host.logged("its grant has changed").await;
    host.create(friend("default", "two")).await;
    let denials = "wheelhouse_gate_denials_total{controller=\"hello\",verb=\"patch\",kind=\"v1/ConfigMap\"}";
    eventually("a denial", || async { (host.metric(denials) >= 1.0).then_some(()) }).await;
    let ready = until_ready(&host, "", "hello").await;
    assert_eq!(ready.data["status"]["revision"], 1);
    // Below what it needs to run at all, it is stopped.
    change(&host, "", "hello", rules(&["patch"])).await;
    let stopped = until(&host, "", "hello", "Granted", "False", "NotGranted").await;
    assert_eq!(stopped.data["status"].get("revision"), None, "{stopped:?}");
    change(&host, "", "hello", rules(&["get", "list", "watch", "patch"])).await;
    until_ready(&host, "", "hello").await;
    until_greeted(&host, "default", "two").await;
    // Other limits are another revision.
    change(&host, "", "hello", json!({"limits": {"memory": "32Mi"}})).await;
    eventually("a revision with them", || async {
        let revision = get(&host, "", "hello").await.data["status"]["revision"].as_i64();
        revision.is_some_and(|revision| revision > 1).then_some(())
    })
    .await;
}

fn friend(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": {"hello": "world"}}})
}

async fn greeted(host: &Host, namespace: &str, name: &str) -> bool {
    let map = host.api("v1/ConfigMap", namespace).get(name).await.unwrap();
    map.metadata.annotations.is_some_and(|annotations| annotations.contains_key(GREETING))
}

async fn until_greeted(host: &Host, namespace: &str, name: &str) {
    eventually(&format!("{name} is greeted"), || async {
        greeted(host, namespace, name).await.then_some(())
    })
    .await;
}

fn crds() -> String {
    let output = wheelhouse().arg("crds").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The spec of a namespaced Plugin, with a grant of all of the cluster.
fn namespaced(config: Value) -> Value {
    let rules =
        json!([{"verbs": ["*"], "kinds": ["v1/ConfigMap", "v1/Node", "v1/Secret"], "namespaces": ["*"]}]);
    let place = json!({"name": "component", "key": "plugin.wasm"});
    json!({"component": {"configMap": place}, "config": config, "grant": {"rules": rules}})
}

#[tokio::test]
async fn hostile_a_plugin_of_a_namespace_reaches_nothing_of_another() {
    let host = Host::start(&[]).await;
    namespace(&host, "team-a").await;
    component(&host, "team-a", "component", &wasm("hello")).await;
    host.create(friend("team-a", "mine")).await;
    host.create(friend("default", "theirs")).await;
    // It declares all namespaces, and is granted them.
    order(&host, "team-a", "hello", namespaced(json!({}))).await;
    let ready = until_ready(&host, "team-a", "hello").await;
    assert_eq!(ready.data["status"]["plugin"], "team-a.hello");
    until_greeted(&host, "team-a", "mine").await;
    host.create(friend("team-a", "later")).await;
    until_greeted(&host, "team-a", "later").await;
    assert!(!greeted(&host, "default", "theirs").await);
    let scope = "wheelhouse_cache_objects{kind=\"v1/ConfigMap\",scope=\"namespace team-a; hello=world\"}";
    assert_eq!(host.metric(scope), 2.0, "no other namespace is watched: {}", host.admin("/metrics").1);

    // What it names of another namespace, or of none, it does not get.
    component(&host, "team-a", "echo", &wasm("echo")).await;
    for (name, reconciles) in [
        ("other", json!({"kind": "v1/ConfigMap", "namespaces": ["default"]})),
        ("both", json!({"kind": "v1/ConfigMap", "namespaces": ["team-a", "default"]})),
        ("nodes", json!({"kind": "v1/Node"})),
    ] {
        let mut of = namespaced(json!({"name": name, "reconciles": reconciles}));
        of["component"]["configMap"]["name"] = json!("echo");
        of["allowSharedKind"] = json!(true);
        order(&host, "team-a", name, of).await;
        let denied = until(&host, "team-a", name, "Granted", "False", "NotGranted").await;
        assert_eq!(denied.data["status"].get("revision"), None);
    }
    // Nor a component, or credentials, that are elsewhere.
    let elsewhere = json!({"component": {"configMap": {"name": "component", "key": "plugin.wasm", "namespace": "team-a"}}});
    namespace(&host, "team-b").await;
    order(&host, "team-b", "thief", elsewhere).await;
    let refused = until(&host, "team-b", "thief", "Fetched", "False", "NamespaceNotAllowed").await;
    assert!(message(&refused, "Fetched").contains("its own namespace team-b only, and not team-a"));
}

#[tokio::test]
async fn two_namespaces_have_a_plugin_of_the_same_name_each() {
    let host = Host::start(&[]).await;
    for team in ["team-a", "team-b"] {
        namespace(&host, team).await;
        component(&host, team, "component", &wasm("hello")).await;
        order(&host, team, "hello", namespaced(json!({}))).await;
        host.create(friend(team, "friend")).await;
    }
    // And the cluster has one by that name, which reconciles the same.
    component(&host, "default", "hello", &wasm("hello")).await;
    for team in ["team-a", "team-b"] {
        until_ready(&host, team, "hello").await;
        until_greeted(&host, team, "friend").await;
        let series =
            format!("controller_runtime_reconcile_total{{controller=\"{team}.hello\",result=\"success\"}}");
        eventually("it is counted by its name", || async { (host.metric(&series) >= 1.0).then_some(()) })
            .await;
        let map = host.api("v1/ConfigMap", team).get("friend").await.unwrap();
        let managers: Vec<_> =
            map.metadata.managed_fields.unwrap().into_iter().filter_map(|m| m.manager).collect();
        assert!(managers.contains(&format!("{team}.hello")), "{managers:?}");
    }
    let output =
        wheelhouse().args(["revisions", "team-b.hello", "--admin-addr", host.admin_addr()]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    delete(&host, PLUGIN, "team-a", "hello").await;
    until_gone(&host, "Plugin/team-a/hello").await;
    host.create(friend("team-b", "later")).await;
    until_greeted(&host, "team-b", "later").await;
}

#[tokio::test]
async fn two_plugins_reconcile_the_same_kind_only_where_one_of_them_allows_it() {
    let host = host_with_echo().await;
    let named = |name: &str| {
        let mut config = echo_of("default");
        config["name"] = json!(name);
        spec("echo", config)
    };
    order(&host, "", "first", named("first")).await;
    until_ready(&host, "", "first").await;
    order(&host, "", "second", named("second")).await;
    let taken = until(&host, "", "second", "Granted", "False", "KindTaken").await;
    let text = message(&taken, "Granted");
    assert!(text.contains("v1/ConfigMap is reconciled by the plugin first of ClusterPlugin/first"), "{text}");
    assert!(text.contains("spec.allowSharedKind"), "{text}");
    // Another that calls itself so waits for the name.
    order(&host, "", "namesake", named("first")).await;
    until(&host, "", "namesake", "Granted", "False", "NameTaken").await;

    change(&host, "", "second", json!({"allowSharedKind": true})).await;
    until_ready(&host, "", "second").await;
    host.logged("two plugins reconcile the same kind").await;
    delete(&host, CLUSTER, "", "first").await;
    until_ready(&host, "", "namesake").await;
}

#[tokio::test]
async fn hostile_a_resource_takes_no_name_that_a_grant_is_for() {
    let grants = tempfile::tempdir().unwrap();
    let file = grants.path().join("grants.yaml");
    let rules = "{verbs: ['*'], kinds: [v1/ConfigMap], namespaces: ['*']}";
    std::fs::write(&file, format!("plugin: echo\ncomponent: trusted.wasm\nrules: [{rules}]\n")).unwrap();
    let host = Host::start_with(&[], &["--grants", file.to_str().unwrap()]).await;
    component(&host, "default", "echo", &wasm("echo")).await;
    order(&host, "", "echo", spec("echo", echo_of("default"))).await;
    let refused = until(&host, "", "echo", "Granted", "False", "NotGranted").await;
    assert!(message(&refused, "Granted").contains("which is the plugin that trusted.wasm has the grant for"));
    // The file's own grant is not mixed into a resource's: it is granted what it says, which is nothing.
    let mut of = spec("echo", json!({"name": "other"}));
    of["grant"] = json!({"rules": []});
    order(&host, "", "other", of).await;
    until(&host, "", "other", "Granted", "False", "NotGranted").await;
}

#[tokio::test]
async fn each_transition_is_an_event_on_the_resource() {
    let host = Host::start(&[]).await;
    namespace(&host, "team-a").await;
    let mut of = namespaced(echo_of("team-a"));
    of["component"]["configMap"]["name"] = json!("echo");
    order(&host, "team-a", "echo", of).await;
    let event = |reason: &'static str, note: &'static str| {
        let host = &host;
        eventually(reason, move || async move {
            let events =
                host.api("events.k8s.io/v1/Event", "team-a").list(&ListParams::default()).await.unwrap();
            let told = |event: &DynamicObject| {
                event.data["reason"] == reason
                    && event.data["note"].as_str().is_some_and(|text| text.contains(note))
            };
            events.items.into_iter().find(told)
        })
    };
    let waiting = event("PluginWaiting", "there is no ConfigMap team-a/echo").await;
    let resource = get(&host, "team-a", "echo").await;
    let regarding = json!({
        "apiVersion": "wheelhouse.dev/v1alpha1", "kind": "Plugin", "namespace": "team-a", "name": "echo",
        "uid": resource.metadata.uid,
    });
    assert_eq!(waiting.data["regarding"], regarding);
    component(&host, "team-a", "echo", &wasm("echo")).await;
    event("PluginLoaded", "plugin team-a.echo").await;
    change(&host, "team-a", "echo", json!({"config": {"failures": 0}})).await;
    event("PluginReplaced", "as revision 2").await;
    change(&host, "team-a", "echo", json!({"config": {"failurez": 0}})).await;
    event("PluginLoadFailed", "failurez").await;
    change(&host, "team-a", "echo", json!({"paused": true})).await;
    event("PluginPaused", "plugin team-a.echo").await;
    change(&host, "team-a", "echo", json!({"paused": false})).await;
    event("PluginResumed", "plugin team-a.echo").await;
    let described = succeeds(&host, "describe plugin -n team-a echo", "");
    assert!(described.contains("PluginReplaced"), "{described}");
}

#[tokio::test]
async fn the_spec_says_whether_it_is_paused_and_the_command_says_so() {
    let host = host_with_echo().await;
    let mut of = spec("echo", echo_of("default"));
    of["paused"] = json!(true);
    order(&host, "", "echo", of).await;
    let paused = until(&host, "", "echo", "Ready", "False", "Paused").await;
    assert_eq!(condition(&paused, "Paused").unwrap()["status"], "True");
    assert_eq!(
        (&paused.data["status"]["phase"], &paused.data["status"]["revision"]),
        (&json!("paused"), &json!(1))
    );
    let labelled = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "one", "namespace": "default", "labels": {"echo": ""}}});
    host.create(labelled).await;
    let objects = "wheelhouse_cache_objects{kind=\"v1/ConfigMap\",scope=\"namespace default; echo\"}";
    eventually("its cache has the object", || async { (host.metric(objects) == 1.0).then_some(()) }).await;
    let reconciles = "controller_runtime_reconcile_total{controller=\"echo\",result=\"success\"}";
    assert_eq!(host.metric(reconciles), 0.0);

    let output = wheelhouse().args(["resume", "echo", "--admin-addr", host.admin_addr()]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let advice = "kubectl patch clusterplugin echo --type merge -p '{\"spec\":{\"paused\":false}}'";
    assert!(!output.status.success() && text.contains(advice), "{text}");
    change(&host, "", "echo", json!({"paused": false})).await;
    let ready = until_ready(&host, "", "echo").await;
    assert_eq!(condition(&ready, "Paused"), None);
    assert_eq!(ready.data["status"]["revision"], 1, "that is no other revision");
    eventually("it goes on", || async { (host.metric(reconciles) >= 1.0).then_some(()) }).await;
}

#[tokio::test]
async fn a_rollback_is_in_the_status_and_the_next_change_of_the_configuration_undoes_it() {
    let host = host_with_echo().await;
    order(&host, "", "echo", spec("echo", echo_of("default"))).await;
    until_ready(&host, "", "echo").await;
    change(&host, "", "echo", json!({"config": {"failures": 0}})).await;
    until_ready(&host, "", "echo").await;
    let output = wheelhouse().args(["rollback", "echo", "--admin-addr", host.admin_addr()]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let back = until(&host, "", "echo", "RolledBack", "True", "RolledBack").await;
    assert_eq!((&back.data["status"]["ready"], &back.data["status"]["revision"]), (&json!(false), &json!(3)));
    // What says nothing of what runs leaves it.
    change(&host, "", "echo", json!({"revisionHistoryLimit": 5})).await;
    let back = until(&host, "", "echo", "RolledBack", "True", "RolledBack").await;
    assert_eq!(back.data["status"]["revision"], 3);
    change(&host, "", "echo", json!({"config": {"failures": 1}})).await;
    let ready = until_ready(&host, "", "echo").await;
    assert_eq!(ready.data["status"]["revision"], 4);
    assert_eq!(condition(&ready, "RolledBack"), None);
}

#[tokio::test]
async fn a_host_goes_on_without_the_definitions_and_notices_when_they_come() {
    let folder = with(&["hello"]);
    let grant = wheelhouse().arg("inspect").arg(plugin("hello")).arg("--grant").output().unwrap();
    let grants = tempfile::tempdir().unwrap();
    std::fs::write(grants.path().join("hello.yaml"), grant.stdout).unwrap();
    let flags = ["--leader-election=false", "--grants", grants.path().to_str().unwrap()];
    let host = Host::run(folder, &flags).await;
    host.until_running("hello.wasm").await;
    eventually("ready", || async { host.admin("/readyz").0.contains("200").then_some(()) }).await;
    let said = || host.log().matches("`wheelhouse crds | kubectl apply -f -` installs it").count();
    assert_eq!(said(), 1, "{}", host.log());

    succeeds(&host, "apply -f -", &crds());
    component(&host, "default", "echo", &wasm("echo")).await;
    let mut of = spec("echo", echo_of("default"));
    let rules =
        json!([{"verbs": ["get", "list", "watch"], "kinds": ["v1/ConfigMap"], "namespaces": ["default"]}]);
    (of["grant"], of["allowSharedKind"]) = (json!({"rules": rules}), json!(true));
    order(&host, "", "echo", of).await;
    until_ready(&host, "", "echo").await;
    assert_eq!(said(), 1, "{}", host.log());
    assert!(!host.log().contains("cannot be written"), "{}", host.log());
}

#[tokio::test]
async fn a_host_takes_its_plugins_from_resources_alone_and_needs_one_of_the_two() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = wheelhouse();
    command.args(["dev", "--admin-addr", "127.0.0.1:0", "--grace", "3"]);
    let host = Host::of_command(&mut command, folder).await;
    component(&host, "default", "echo", &wasm("echo")).await;
    order(&host, "", "echo", spec("echo", echo_of("default"))).await;
    until_ready(&host, "", "echo").await;
    let output = wheelhouse().args(["dev", "--plugin-resources=false"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("nowhere to take plugins from"), "{text}");
}

#[tokio::test]
async fn a_host_that_stands_by_writes_no_status() {
    let host = Host::run(with(&[]), &["--identity", "one"]).await;
    succeeds(&host, "apply -f -", &crds());
    host.logged("lease acquired").await;
    let standby =
        Host::join(host.server(), &host.file(".kubeconfig"), with(&[]), &["--identity", "two"]).await;
    component(&host, "default", "echo", &wasm("echo")).await;
    let mut of = spec("echo", echo_of("default"));
    of["grant"] = json!({"rules": [{"verbs": ["get", "list", "watch"], "kinds": ["v1/ConfigMap"], "namespaces": ["default"]}]});
    order(&host, "", "echo", of).await;
    until_ready(&host, "", "echo").await;
    standby.until("ClusterPlugin/echo", "standing by", |report| report["phase"] == "standby").await;
    let patches = standby.metric("rest_client_requests_total{code=\"200\",method=\"PATCH\"");
    assert_eq!(patches, 0.0, "{}", standby.admin("/metrics").1);
}
