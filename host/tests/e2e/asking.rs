//! What a plugin is asked for, by what it declares to listen to.

use serde_json::{Value, json};

use crate::support::{Host, eventually, plugin};

/// A host with an echo plugin of this configuration.
async fn echo(config: Value) -> Host {
    let host = Host::start_in(folder(&config), &[]).await;
    host.until_running("echo.wasm").await;
    host
}

fn folder(config: &Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("echo.json"), config.to_string()).unwrap();
    std::fs::copy(plugin("echo"), folder.path().join("echo.wasm")).unwrap();
    folder
}

/// How often it was asked for an object.
fn asked(host: &Host, key: &str) -> usize {
    host.log().matches(&format!("asked for {key}, ")).count()
}

async fn until_asked(host: &Host, key: &str, times: usize) {
    eventually(&format!("asked {times} times for {key}"), || async {
        (asked(host, key) >= times).then_some(())
    })
    .await;
    assert_eq!(asked(host, key), times, "{key}");
}

/// An object of any kind without anything in it.
fn object(kind: &str, namespace: Option<&str>, name: &str) -> Value {
    let (api_version, kind) = kind.rsplit_once('/').unwrap();
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}

fn with(mut object: Value, metadata: Value) -> Value {
    let fields = metadata.as_object().unwrap().clone();
    object["metadata"].as_object_mut().unwrap().extend(fields);
    object
}

const WEB_APP: &str = "examples.wheelhouse.dev/v1alpha1/WebApp";

async fn counted(host: &Host, name: &str, count: u64) {
    let apps = host.api(WEB_APP, "default");
    eventually(&format!("{name} has a count of {count}"), || async {
        let app = apps.get(name).await.ok()?;
        (app.data["status"]["readyReplicas"].as_u64()? >= count).then_some(())
    })
    .await;
}

fn web_app(name: &str) -> Value {
    let mut app = object(WEB_APP, Some("default"), name);
    app["spec"] = json!({"image": "nginx"});
    app
}

#[tokio::test]
async fn trap_34_a_plugin_that_writes_status_in_every_reconcile_comes_to_rest() {
    let when =
        |when: &str| json!({"reconciles": {"kind": WEB_APP, "when": when}, "countIn": "readyReplicas"});
    let host = Host::start_in(folder(&when("generation-changed")), &[]).await;
    host.install_crd("webapp").await;
    host.until_running("echo.wasm").await;
    host.create(web_app("a")).await;
    counted(&host, "a", 1).await;
    host.patch(WEB_APP, "default", "a", json!({"spec": {"replicas": 2}})).await;
    counted(&host, "a", 2).await;
    // Changes come in order, and one worker takes their requests in order: once it was asked for this one,
    // it would have been asked for the other again.
    for other in ["b", "c"] {
        host.create(web_app(other)).await;
        counted(&host, other, 1).await;
    }
    assert_eq!((asked(&host, "default/a"), asked(&host, "default/b")), (2, 1));

    // What it is spared.
    std::fs::write(host.file("echo.json"), when("").to_string()).unwrap();
    counted(&host, "a", 20).await;
}

#[tokio::test]
async fn kinds_with_and_without_namespaces_each_lead_to_what_their_source_says() {
    let host = echo(json!({
        "reconciles": {"kind": "v1/ConfigMap", "namespaces": ["a", "b"], "labels": "app", "when": "labels-changed"},
        "owns": [
            {"kind": "v1/Pod", "namespaces": ["a"], "when": "created || field-changed(.spec.nodeName)", "anyOwner": true,
             "read": ["status"]},
            {"kind": "v1/Service", "namespaces": ["b"], "fields": "spec.type!=ExternalName"},
        ],
        "watches": [
            {"kind": "v1/Node", "byAnnotation": "example.com/map", "when": "!deleted"},
            {"kind": "v1/Namespace", "byLabel": "map"},
            {"kind": "apps/v1/Deployment", "namespaces": ["b"], "byField": ".spec.paused", "read": ["status"],
             "when": "generation-changed"},
        ],
    }))
    .await;
    for namespace in ["a", "b", "c"] {
        host.create(object("v1/Namespace", None, namespace)).await;
    }
    let map = |namespace, name| {
        with(object("v1/ConfigMap", Some(namespace), name), json!({"labels": {"app": "x"}}))
    };

    // The reconciled kind, by namespaces, labels and the predicate.
    host.create(object("v1/ConfigMap", Some("a"), "other")).await;
    host.create(map("c", "one")).await;
    let one = host.create(map("a", "one")).await;
    until_asked(&host, "a/one", 1).await;
    host.patch("v1/ConfigMap", "a", "one", json!({"data": {"x": "y"}})).await;
    host.patch("v1/ConfigMap", "a", "one", json!({"metadata": {"labels": {"more": "y"}}})).await;
    until_asked(&host, "a/one", 2).await;
    let two = host.create(map("b", "two")).await;
    until_asked(&host, "b/two", 1).await;

    // Owned, by any owner and by the controller.
    let owner = |name: &str, of: &kube::api::DynamicObject, controller| {
        let uid = &of.metadata.uid;
        json!({"ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid, "controller": controller}]})
    };
    let mut pod = with(object("v1/Pod", Some("a"), "pod"), owner("one", &one, false));
    pod["spec"] = json!({"containers": [{"name": "main", "image": "nginx"}]});
    host.create(pod).await;
    until_asked(&host, "a/one", 3).await;
    host.patch("v1/Pod", "a", "pod", json!({"metadata": {"labels": {"x": "y"}}})).await;
    host.bind("a", "pod", "n1").await;
    until_asked(&host, "a/one", 4).await;
    let service = |namespace, name: &str, kind: &str, metadata| {
        let mut service = with(object("v1/Service", Some(namespace), name), metadata);
        service["spec"] = json!({"type": kind, "externalName": "x.example.com", "ports": [{"port": 80}]});
        service
    };
    for (name, kind, metadata) in [
        ("external", "ExternalName", owner("not-one", &two, true)),
        ("shared", "ClusterIP", owner("nor-two", &two, false)),
        ("owned", "ClusterIP", owner("two", &two, true)),
    ] {
        host.create(service("b", name, kind, metadata)).await;
    }
    until_asked(&host, "b/two", 2).await;
    assert_eq!(asked(&host, "b/not-one") + asked(&host, "b/nor-two"), 0);

    // Cluster-scoped objects name namespaced ones, if they say in which namespace, and one that is theirs.
    let node = |name, map: &str| {
        with(object("v1/Node", None, name), json!({"annotations": {"example.com/map": map}}))
    };
    for (name, map) in [("n1", "kube-system/x"), ("n2", "x"), ("n3", "b/by-node")] {
        host.create(node(name, map)).await;
    }
    until_asked(&host, "b/by-node", 1).await;
    host.api("v1/Node", "").delete("n3", &Default::default()).await.unwrap();
    host.patch("v1/Node", "", "n2", json!({"metadata": {"annotations": {"example.com/map": "a/moved"}}}))
        .await;
    until_asked(&host, "a/moved", 1).await;
    assert_eq!((asked(&host, "b/by-node"), asked(&host, "kube-system/x")), (1, 0));

    // By a field that is not among what is read otherwise.
    let mut deployment = object("apps/v1/Deployment", Some("b"), "d");
    deployment["spec"] = json!({"paused": true, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "main", "image": "nginx"}]}}});
    host.create(deployment).await;
    until_asked(&host, "b/true", 1).await;
    assert_eq!(asked(&host, "a/other") + asked(&host, "c/one"), 0, "neither was selected");
}

#[tokio::test]
async fn a_tick_asks_for_what_may_not_exist_again_and_again() {
    let config = |key: &str| json!({"ticks": [{"everySeconds": 1, "keys": [key]}]});
    let host = echo(config("default/ghost")).await;
    eventually("asked again and again", || async { (asked(&host, "default/ghost") >= 3).then_some(()) })
        .await;
    assert!(host.log().contains("asked for default/ghost, which is absent; attempt 1"));
    // A key that the kind cannot have: the plugin that runs goes on.
    std::fs::write(host.file("echo.json"), config("ghost").to_string()).unwrap();
    let refused = host
        .until("echo.wasm", "refused", |report| report["error"].as_str().is_some_and(|e| e.contains("tick")))
        .await;
    let why = "tick \"echo\" requests ghost, and objects of v1/ConfigMap have a namespace";
    assert!(refused["error"].as_str().unwrap().contains(why), "{refused}");
    let before = asked(&host, "default/ghost");
    eventually("it goes on", || async { (asked(&host, "default/ghost") > before).then_some(()) }).await;
}

const TOTAL: &str = "controller_runtime_reconcile_total{controller=\"echo\",result=";

#[tokio::test]
async fn how_a_reconcile_ends_decides_whether_it_is_asked_for_again() {
    let reconciles = json!({"kind": "v1/ConfigMap", "namespaces": ["default"]});
    let configured = |more: Value| {
        let mut config = json!({"reconciles": reconciles});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    let host = echo(configured(json!({"againAfterMs": 100}))).await;
    host.create(object("v1/ConfigMap", Some("default"), "a")).await;
    eventually("again and again", || async { (asked(&host, "default/a") >= 4).then_some(()) }).await;
    assert!(host.metric(&format!("{TOTAL}\"requeue_after\"}}")) >= 3.0);
    assert!(!host.log().contains("which is there; attempt 2"), "none of them failed: {}", host.log());

    // What fails for good is not asked for until it changes.
    let configure = |config: Value| std::fs::write(host.file("echo.json"), config.to_string()).unwrap();
    configure(configured(json!({"terminal": true})));
    host.until("echo.wasm", "revision 2", |report| report["plugin"]["revision"] == 2).await;
    let terminal = || host.metric(&format!("{TOTAL}\"terminal_error\"}}"));
    eventually("it fails", || async { (terminal() >= 1.0).then_some(()) }).await;
    host.create(object("v1/ConfigMap", Some("default"), "b")).await;
    eventually("b fails", || async { (terminal() >= 2.0).then_some(()) }).await;
    // By now, with one worker, the first would have been retried.
    assert_eq!(terminal(), 2.0, "{}", host.log());
    assert_eq!(host.report("echo.wasm").unwrap()["plugin"]["delayed"], 0);

    // What takes longer than the plugin itself allows is stopped, and tried again.
    configure(configured(json!({"takesMs": 20_000, "timeoutMs": 200})));
    host.until("echo.wasm", "revision 3", |report| report["plugin"]["revision"] == 3).await;
    let timeouts = || host.metric(&format!("{TOTAL}\"timeout\"}}"));
    eventually("it is stopped", || async { (timeouts() >= 2.0).then_some(()) }).await;
    host.logged("which is there; attempt 2").await;
}

#[tokio::test]
async fn a_resync_asks_for_everything_again() {
    let config =
        json!({"resyncSeconds": 1, "reconciles": {"kind": "v1/ConfigMap", "namespaces": ["default"]}});
    let host = echo(config).await;
    for name in ["a", "b"] {
        host.create(object("v1/ConfigMap", Some("default"), name)).await;
    }
    for key in ["default/a", "default/b"] {
        eventually("again and again", || async { (asked(&host, key) >= 3).then_some(()) }).await;
    }
}

#[tokio::test]
async fn trap_30_what_is_live_is_asked_for_before_what_was_there_already() {
    let folder =
        folder(&json!({"takesMs": 30, "reconciles": {"kind": "v1/ConfigMap", "namespaces": ["default"]}}));
    let file = folder.path().join("echo.wasm");
    let aside = folder.path().join("echo.aside");
    std::fs::rename(&file, &aside).unwrap();
    let host = Host::start_in(folder, &[]).await;
    for number in 0..100 {
        host.create(object("v1/ConfigMap", Some("default"), &format!("old-{number}"))).await;
    }
    std::fs::rename(&aside, &file).unwrap();
    host.logged("asked for default/old-").await;
    host.create(object("v1/ConfigMap", Some("default"), "new")).await;
    host.logged("asked for default/new, ").await;
    let log = host.log();
    let before =
        log.split("asked for default/new, ").next().unwrap().matches("asked for default/old-").count();
    assert!(before < 90, "{before} of 100 came first");
}

#[tokio::test]
async fn what_is_live_is_asked_for_before_what_a_switch_asks_for_again() {
    let config =
        |ms| json!({"takesMs": ms, "reconciles": {"kind": "v1/ConfigMap", "namespaces": ["default"]}});
    let host = echo(config(0)).await;
    for number in 0..100 {
        host.create(object("v1/ConfigMap", Some("default"), &format!("old-{number}"))).await;
    }
    let old = |log: &str| log.matches("asked for default/old-").count();
    eventually("all are there", || async { (old(&host.log()) >= 100).then_some(()) }).await;
    let before = old(&host.log());
    // Each takes so long that what is created next comes in the midst of them.
    std::fs::write(host.file("echo.json"), config(200).to_string()).unwrap();
    eventually("the switch asks again", || async { (old(&host.log()) > before).then_some(()) }).await;
    host.create(object("v1/ConfigMap", Some("default"), "new")).await;
    host.logged("asked for default/new, ").await;
    let log = host.log();
    let again = old(log.split("asked for default/new, ").next().unwrap()) - before;
    assert!(again < 90, "{again} of 100 came first");
}

#[tokio::test]
async fn trap_33_what_was_mapped_and_who_was_an_owner_is_asked_for_beside_what_is() {
    let host = echo(json!({
        "reconciles": {"kind": "v1/ConfigMap", "namespaces": ["default"], "when": "created"},
        "watches": [{"kind": "v1/Node", "byPlugin": "example.com/config"}],
        "owns": [{"kind": "v1/Service", "namespaces": ["default"], "anyOwner": true}],
    }))
    .await;
    let mut uids = Vec::new();
    for name in ["a", "b"] {
        let created = host.create(object("v1/ConfigMap", Some("default"), name)).await;
        uids.push(created.metadata.uid.unwrap());
        until_asked(&host, &format!("default/{name}"), 1).await;
    }
    let annotated = |name: &str| json!({"annotations": {"example.com/config": format!("default/{name}")}});
    host.create(with(object("v1/Node", None, "n"), annotated("a"))).await;
    until_asked(&host, "default/a", 2).await;
    // From one to the other: both are asked for.
    host.patch("v1/Node", "", "n", json!({"metadata": annotated("b")})).await;
    until_asked(&host, "default/a", 3).await;
    until_asked(&host, "default/b", 2).await;

    let owners = |name: &str, uid: &str| json!({"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid}]});
    let mut service = with(object("v1/Service", Some("default"), "s"), owners("a", &uids[0]));
    service["spec"] = json!({"ports": [{"port": 80}]});
    host.create(service).await;
    until_asked(&host, "default/a", 4).await;
    host.patch("v1/Service", "default", "s", json!({"metadata": owners("b", &uids[1])})).await;
    until_asked(&host, "default/a", 5).await;
    until_asked(&host, "default/b", 3).await;
}

#[tokio::test]
async fn all_attempts_are_told_the_same_moment_until_one_succeeds() {
    let host =
        echo(json!({"failures": 3, "reconciles": {"kind": "v1/ConfigMap", "namespaces": ["default"]}})).await;
    let began = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    host.create(object("v1/ConfigMap", Some("default"), "a")).await;
    let attempts = async |times| {
        eventually("four attempts", || async { (asked(&host, "default/a") == times).then_some(()) }).await;
        let log = host.log();
        let after = log.split("asked for default/a, which is there; attempt ").skip(1);
        let told = after.map(|text| {
            let (attempt, rest) = text.split_once(", first seen at ").unwrap();
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            (attempt.parse().unwrap(), digits.parse().unwrap())
        });
        told.collect::<Vec<(u32, u128)>>().split_off(times - 4)
    };
    let first = attempts(4).await;
    let since = first[0].1;
    assert_eq!(first, [1, 2, 3, 4].map(|attempt| (attempt, since)));
    assert!((began..began + 60_000).contains(&since), "{since}, and it was created after {began}");
    host.patch("v1/ConfigMap", "default", "a", json!({"data": {"x": "y"}})).await;
    let second = attempts(8).await;
    let again = second[0].1;
    assert!(again > since, "after a success it begins anew: {first:?} {second:?}");
    assert_eq!(second, [1, 2, 3, 4].map(|attempt| (attempt, again)));
}
