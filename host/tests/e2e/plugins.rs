//! What the example plugins do for their users.

use serde_json::{Value, json};

use crate::support::{Host, eventually};

const WEB_APP: &str = "examples.wheelhouse.dev/v1alpha1/WebApp";

fn web_app(name: &str) -> Value {
    json!({
        "apiVersion": "examples.wheelhouse.dev/v1alpha1", "kind": "WebApp",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"image": "nginx:1.29", "replicas": 2, "port": 80, "configFiles": {"motd": "one"}}
    })
}

fn condition(object: &kube::api::DynamicObject) -> Value {
    let conditions = object.data["status"]["conditions"].as_array();
    let ready = conditions.and_then(|all| all.iter().find(|c| c["type"] == "Ready"));
    ready.cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_web_app_gets_children_heals_them_rolls_them_and_takes_them_along() {
    let host = Host::start(&["webapp"]).await;
    // It waits for its kind, and comes alive when that is installed.
    host.until("webapp.wasm", "waiting for its kind", |report| {
        report["phase"] == "waiting" && report["error"].as_str().is_some_and(|e| e.contains("WebApp"))
    })
    .await;
    host.install_crd("webapp").await;
    host.until_running("webapp.wasm").await;

    host.create(web_app("shop")).await;
    let apps = host.api(WEB_APP, "default");
    let ready = eventually("the app is ready", || async {
        apps.get("shop").await.ok().filter(|app| condition(app)["status"] == "True")
    })
    .await;
    assert_eq!(condition(&ready)["observedGeneration"], json!(ready.metadata.generation));

    let children = [("apps/v1/Deployment", "shop"), ("v1/Service", "shop"), ("v1/ConfigMap", "shop-config")];
    for (kind, name) in children {
        let child = host.api(kind, "default").get(name).await.unwrap();
        let owners = child.metadata.owner_references.unwrap();
        assert_eq!(
            (owners[0].uid.as_str(), owners[0].controller),
            (ready.metadata.uid.as_deref().unwrap(), Some(true))
        );
    }

    let services = host.api("v1/Service", "default");
    let before = services.get("shop").await.unwrap().metadata.uid;
    services.delete("shop", &Default::default()).await.unwrap();
    eventually("the service is back", || async {
        services.get("shop").await.ok().filter(|service| service.metadata.uid != before)
    })
    .await;

    let deployments = host.api("apps/v1/Deployment", "default");
    let annotations = |deployment: kube::api::DynamicObject| {
        deployment.data["spec"]["template"]["metadata"]["annotations"].clone()
    };
    let before = annotations(deployments.get("shop").await.unwrap());
    host.patch(WEB_APP, "default", "shop", json!({"spec": {"configFiles": {"motd": "two"}}})).await;
    eventually("a new configuration rolls the replicas", || async {
        deployments.get("shop").await.ok().map(annotations).filter(|now| *now != before)
    })
    .await;

    apps.delete("shop", &Default::default()).await.unwrap();
    for (kind, name) in children.into_iter().chain([(WEB_APP, "shop")]) {
        let api = host.api(kind, "default");
        eventually(&format!("{kind} is gone"), || async {
            api.get_opt(name).await.unwrap().is_none().then_some(())
        })
        .await;
    }
    assert_eq!(host.metric("controller_runtime_reconcile_errors_total{controller=\"webapp\"}"), 0.0);
}

#[tokio::test]
async fn a_web_app_that_makes_no_sense_says_so_in_its_status() {
    let host = Host::start(&["webapp"]).await;
    host.install_crd("webapp").await;
    host.until_running("webapp.wasm").await;
    let mut app = web_app("broken");
    app["spec"]["port"] = json!(0);
    host.create(app).await;
    let apps = host.api(WEB_APP, "default");
    let broken = eventually("the condition", || async {
        apps.get("broken").await.ok().filter(|app| condition(app)["status"] == "False")
    })
    .await;
    assert_eq!(condition(&broken)["reason"], "Invalid");
    assert!(host.api("apps/v1/Deployment", "default").get_opt("broken").await.unwrap().is_none());
    // Corrected, it comes up.
    host.patch(WEB_APP, "default", "broken", json!({"spec": {"port": 8080}})).await;
    eventually("ready", || async {
        apps.get("broken").await.ok().filter(|app| condition(app)["status"] == "True")
    })
    .await;
}

fn pod(name: &str, node: Option<&str>) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "main", "image": "nginx"}]}
    });
    if let Some(node) = node {
        pod["spec"]["nodeName"] = json!(node);
    }
    pod
}

#[tokio::test]
async fn the_census_follows_pods_that_come_move_and_go() {
    let host = Host::start(&["node-census"]).await;
    host.until_running("node-census.wasm").await;
    host.create(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})).await;
    host.create(pod("on-n1", Some("n1"))).await;
    host.create(pod("nowhere", None)).await;
    let maps = host.api("v1/ConfigMap", "default");
    let counted = async |pods: &str| {
        eventually(&format!("{pods} pods counted"), || async {
            let map = maps.get_opt("node-census-n1").await.unwrap()?;
            (map.data["data"]["pods"] == pods).then_some(())
        })
        .await;
    };
    counted("1").await;
    // From no node to a node.
    host.bind("default", "nowhere", "n1").await;
    counted("2").await;
    host.api("v1/Pod", "default").delete("on-n1", &Default::default()).await.unwrap();
    counted("1").await;
    host.api("v1/Node", "").delete("n1", &Default::default()).await.unwrap();
    eventually("the census of a node that is gone goes", || async {
        maps.get_opt("node-census-n1").await.unwrap().is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn trap_32_a_plugin_that_traps_fails_alone_and_is_tried_again() {
    let host = Host::start_sharing(&["hostile", "hello"], &[]).await;
    host.until_running("hostile.wasm").await;
    host.until_running("hello.wasm").await;
    host.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "panic", "namespace": "default"}})).await;
    let traps = "controller_runtime_reconcile_total{controller=\"hostile\",result=\"trap\"}";
    eventually("it traps, and is tried again", || async { (host.metric(traps) >= 3.0).then_some(()) }).await;

    host.create(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "greet-me", "namespace": "default", "labels": {"hello": "world"}}}))
        .await;
    let maps = host.api("v1/ConfigMap", "default");
    eventually("the neighbour works", || async {
        let map = maps.get("greet-me").await.ok()?;
        map.metadata.annotations?.get("examples.wheelhouse.dev/greeting").cloned()
    })
    .await;
    let log = host.log();
    let line = log.lines().find(|line| line.contains("trap: ")).unwrap();
    assert!(
        line.contains("hostile") && line.contains("default/panic") && line.contains("reconcile_id"),
        "{line}"
    );
    assert!(log.contains("reconcile panics on purpose"), "the panic's message is in the log");
}

#[tokio::test]
async fn a_permission_that_was_not_declared_is_named_in_the_log() {
    let host = Host::start(&["hostile"]).await;
    host.until_running("hostile.wasm").await;
    let name = "undeclared-kind";
    host.create(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}),
    )
    .await;
    eventually("the denial", || async {
        host.log().contains("plugin hostile may not get v1/Secret in namespace default").then_some(())
    })
    .await;
}
