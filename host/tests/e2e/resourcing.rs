//! `Plugin` and `ClusterPlugin` resources, as an operator uses them: from the spec to the status.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::api::{DynamicObject, ListParams};
use serde_json::json;

use crate::plugin_resources::*;
use crate::support::{Host, eventually, plugin, wheelhouse, with};

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
    assert_eq!(columns, ["NAME", "REVISION", "DIGEST", "READY", "ERRORS", "PHASE", "RECONCILES", "AGE"]);
    let row: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(
        [row[0], row[1], row[3], row[4], row[5], row[6]],
        ["hello", "1", "True", "0", "running", "v1/ConfigMap"]
    );
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
    let head = "apiVersion: wheelhouse.dev/v1alpha1\nkind: ClusterPlugin\nmetadata: {name: p}\nspec: ";
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
        let (success, text) = kubectl(&host, "apply -f -", &format!("{head}{spec}\n"));
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
    for of in ["Fetched", "Compiled", "Described", "Granted", "Synced", "Switched"] {
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

    // Other limits are tried with what is wanted first, and count for what runs.
    change(&host, "", "echo", json!({"limits": {"memory": "48Mi"}})).await;
    let rejected = until(&host, "", "echo", "Described", "False", "ConfigRejected").await;
    assert_eq!(condition(&rejected, "Ready").unwrap()["status"], "False");
    change(&host, "", "echo", json!({"limits": null})).await;
    until(&host, "", "echo", "Described", "False", "ConfigRejected").await;

    change(&host, "", "echo", json!({"config": {"failurez": null}})).await;
    let again = until_ready(&host, "", "echo").await;
    assert_eq!(again.data["status"]["revision"], 4, "it is what runs already");
    until_event(&host, "PluginReady", "revision 4, which runs, is what its source wants").await;
}

#[tokio::test]
async fn a_revision_that_reconciles_another_kind_is_another_plugin_and_that_is_said() {
    let host = host_with_echo().await;
    order(&host, "", "echo", spec("echo", echo_of("default"))).await;
    until_ready(&host, "", "echo").await;
    let reconciles = json!({"kind": "v1/Namespace", "namespaces": null, "labels": null});
    change(&host, "", "echo", json!({"config": {"reconciles": reconciles}})).await;
    let ready = until_ready(&host, "", "echo").await;
    assert_eq!(
        (&ready.data["status"]["revision"], &ready.data["status"]["reconciles"]),
        (&json!(2), &json!("v1/Namespace"))
    );
    let switched = condition(&ready, "Switched").unwrap();
    assert_eq!((&switched["status"], &switched["reason"]), (&json!("True"), &json!("KindChanged")));
    assert!(message(&ready, "Switched").contains("reconciled v1/ConfigMap"), "{ready:?}");
    host.logged("reconciles v1/Namespace, where this one reconciles v1/ConfigMap").await;
    until_event(&host, "PluginReplaced", "as revision 2, and reconciles v1/Namespace").await;
    until_event(
        &host,
        "PluginChanged",
        "plugin echo ends: what comes now is called echo and reconciles v1/Namespace",
    )
    .await;
    host.logged("asked for default, which is there").await;
}

#[tokio::test]
async fn reconciles_that_fail_are_counted_in_the_status() {
    let host = host_with_echo().await;
    let mut of = spec("echo", echo_of("default"));
    of["config"]["failures"] = json!(3);
    order(&host, "", "echo", of).await;
    let ready = until_ready(&host, "", "echo").await;
    assert_eq!(ready.data["status"]["errors"], 0);
    let labelled = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "one", "namespace": "default", "labels": {"echo": ""}}});
    host.create(labelled).await;
    let series = "controller_runtime_reconcile_total{controller=\"echo\",result=\"success\"}";
    eventually("it has succeeded in the end", || async { (host.metric(series) >= 1.0).then_some(()) }).await;
    // Whatever else is to be written brings the count up to date.
    change(&host, "", "echo", json!({"revisionHistoryLimit": 5})).await;
    let ready = until_ready(&host, "", "echo").await;
    assert_eq!(ready.data["status"]["errors"], 3);
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
    until_event(&host, "PluginLoadFailed", "the spec is for sha256:000").await;
    assert!(host.report("ClusterPlugin/echo").unwrap().get("plugin").is_none());
    let digest = message.split("is ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    change(&host, "", "echo", json!({"component": {"digest": digest}})).await;
    let ready = until_ready(&host, "", "echo").await;
    assert_eq!(ready.data["status"]["digest"], json!(digest));
}

#[tokio::test]
async fn a_deleted_resource_that_somebody_holds_back_says_that_nothing_of_it_runs() {
    let host = host_with_echo().await;
    order(&host, "", "echo", spec("echo", echo_of("default"))).await;
    until_ready(&host, "", "echo").await;
    let held = |by: &[&str]| json!({"metadata": {"finalizers": by}});
    host.patch(CLUSTER, "", "echo", held(&["example.com/held"])).await;
    delete(&host, CLUSTER, "", "echo").await;
    until_gone(&host, "ClusterPlugin/echo").await;
    // Its deletion is another generation.
    let ended = until(&host, "", "echo", "Ready", "False", "Deleted").await;
    let status = &ended.data["status"];
    assert_eq!((&status["phase"], &status["ready"]), (&json!("ended"), &json!(false)), "{status}");
    assert_eq!((status.get("revision"), status.get("digest")), (None, None), "{status}");
    until_event(&host, "PluginRemoved", "ClusterPlugin/echo is gone").await;
    host.patch(CLUSTER, "", "echo", held(&[])).await;
    order(&host, "", "echo", spec("echo", echo_of("default"))).await;
    until_ready(&host, "", "echo").await;
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
    until_event(&host, "PluginWaiting", "add them to spec.grant.rules of ClusterPlugin/hello").await;
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
async fn what_was_rolled_back_by_itself_is_ready_again_when_its_spec_is_as_it_was() {
    let host = host_with_echo().await;
    order(&host, "", "echo", spec("echo", echo_of("default"))).await;
    until_ready(&host, "", "echo").await;
    for name in ["a", "b", "c", "d"] {
        host.create(json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "default", "labels": {"echo": ""}}}))
            .await;
    }
    let reconciles = "controller_runtime_reconcile_total{controller=\"echo\",result=\"success\"}";
    eventually("they are reconciled", || async { (host.metric(reconciles) >= 4.0).then_some(()) }).await;
    change(&host, "", "echo", json!({"config": {"traps": true}})).await;
    let back = until(&host, "", "echo", "Ready", "False", "RolledBack").await;
    assert_eq!(back.data["status"]["revision"], 3);
    change(&host, "", "echo", json!({"config": {"traps": null}})).await;
    let ready = until_ready(&host, "", "echo").await;
    assert_eq!((condition(&ready, "RolledBack"), &ready.data["status"]["revision"]), (None, &json!(3)));
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
