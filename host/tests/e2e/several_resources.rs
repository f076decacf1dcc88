//! Several `Plugin` and `ClusterPlugin` resources, namespaces and hosts beside each other.

use std::time::SystemTime;

use kube::api::{DynamicObject, ListParams};
use serde_json::json;

use crate::plugin_resources::*;
use crate::support::{Host, eventually, plugin, wheelhouse, with};

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
        // What another has of it is not for it to know.
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
    // The API server notes when a resource is created by the second, and of one second's two neither is the older.
    let second = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let of_first = second();
    eventually("another second", || async { (second() > of_first).then_some(()) }).await;
    order(&host, "", "second", named("second")).await;
    let taken = until(&host, "", "second", "Granted", "False", "KindTaken").await;
    let text = message(&taken, "Granted");
    assert!(text.contains("v1/ConfigMap is reconciled by the plugin first of ClusterPlugin/first"), "{text}");
    assert!(text.contains("or the spec of a resource"), "{text}");
    until_event(&host, "PluginWaiting", "v1/ConfigMap is reconciled by the plugin first").await;
    // Another that calls itself so waits for the name.
    order(&host, "", "namesake", named("first")).await;
    until(&host, "", "namesake", "Granted", "False", "NameTaken").await;

    change(&host, "", "second", json!({"allowSharedKind": true})).await;
    until_ready(&host, "", "second").await;
    host.logged("two plugins reconcile the same kind").await;
    until_event(&host, "PluginSharesKind", "in the same namespaces as plugin").await;
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
    let host = Host::start_with(&[], &["--probation", "0.5"]).await;
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
    event("PluginProven", "revision 2").await;
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

#[tokio::test]
async fn a_resource_that_is_created_anew_has_nothing_of_what_ends_yet_of_the_old_one() {
    let host = host_with_echo().await;
    let mut of = spec("echo", echo_of("default"));
    of["config"]["takesMs"] = json!(60_000);
    order(&host, "", "echo", of.clone()).await;
    until_ready(&host, "", "echo").await;
    host.create(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "one", "namespace": "default", "labels": {"echo": ""}}}))
        .await;
    let active = "controller_runtime_active_workers{controller=\"echo\"}";
    eventually("it is at it", || async { (host.metric(active) == 1.0).then_some(()) }).await;
    delete(&host, CLUSTER, "", "echo").await;
    order(&host, "", "echo", of).await;
    // For as long as its grace, the old one ends.
    let mut looks = 0;
    while !host.log().contains("stopped plugin=\"echo\"") {
        let resource = get(&host, "", "echo").await;
        let ended = host.log().contains("stopped plugin=\"echo\"");
        assert!(ended || resource.data["status"]["ready"] != true, "{resource:?}");
        looks += 1;
    }
    assert!(looks > 0, "it had ended already");
    let ready = until_ready(&host, "", "echo").await;
    assert_eq!(ready.data["status"]["revision"], 1);
    until_event(&host, "PluginRemoved", "ClusterPlugin/echo is gone").await;
}

#[tokio::test]
async fn hostile_a_grant_of_a_resource_is_nothing_to_what_runs_yet_of_another_under_its_name() {
    let host = host_with_echo().await;
    let mut of = spec("echo", echo_of("default"));
    of["config"]["takesMs"] = json!(60_000);
    of["grant"] = json!({"rules": [{"verbs": ["get", "list", "watch"], "kinds": ["v1/ConfigMap"], "namespaces": ["default"]}]});
    order(&host, "", "echo", of.clone()).await;
    let old = until_ready(&host, "", "echo").await.metadata.uid;
    host.create(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "one", "namespace": "default", "labels": {"echo": ""}}}))
        .await;
    let active = "controller_runtime_active_workers{controller=\"echo\"}";
    eventually("it is at it", || async { (host.metric(active) == 1.0).then_some(()) }).await;
    // A revision that waits for it keeps its task busy, for as long as the grace.
    change(&host, "", "echo", json!({"config": {"failures": 0}})).await;
    eventually("another revision is ready", || async {
        let resource = get(&host, "", "echo").await;
        let switched = condition(&resource, "Switched")?;
        (switched["observedGeneration"] == 2 && switched["reason"] == "Draining").then_some(())
    })
    .await;
    delete(&host, CLUSTER, "", "echo").await;
    of["grant"]["rules"][0]["namespaces"] = json!(["*"]);
    order(&host, "", "echo", of).await;
    change(&host, "", "echo", json!({"revisionHistoryLimit": 3})).await;
    host.logged("stopped plugin=\"echo\"").await;
    let log = host.log();
    let events = host.api("events.k8s.io/v1/Event", "default").list(&Default::default()).await.unwrap();
    let cut_off = events.items.iter().find(|event| event.data["reason"] == "PluginGraceExceeded").unwrap();
    assert_eq!(cut_off.data["regarding"]["uid"], json!(old), "it is said of the old one");
    let (before, _) = log.split_once("stopped plugin=\"echo\"").unwrap();
    assert!(before.contains("did not end within the grace"), "its task was not busy: {log}");
    assert!(!before.contains("its grant has changed"), "{log}");
    let ready = until_ready(&host, "", "echo").await;
    assert_eq!(ready.data["status"]["revision"], 1);
}
