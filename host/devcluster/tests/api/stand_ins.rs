//! The corners of the stand-ins: what would have them work without end, and what they wait for.

use serde_json::{Value, json};

use crate::support::{DEPLOYMENTS, PODS, alive, deployment};
use crate::workloads::{REPLICA_SETS, condition, list};

const STATEFUL_SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";

#[tokio::test]
async fn a_template_that_brings_a_hash_of_its_own_is_rolled_out_once() {
    let server = alive().await;
    let mut body = deployment("web");
    body["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] = json!("mine");
    server.post(DEPLOYMENTS, body).await.ok();
    let path = format!("{DEPLOYMENTS}/web");
    let is_available = |body: &Value| body["status"]["availableReplicas"] == 2;
    let made = server.eventually(&path, "it is available", |answer| is_available(&answer.body)).await.body;
    assert_eq!(made["status"].get("collisionCount"), None, "{made}");
    let sets = list(&server, REPLICA_SETS).await;
    assert_eq!(sets.len(), 1, "{sets:?}");
    assert_ne!(sets[0]["metadata"]["labels"]["pod-template-hash"], "mine");
}

#[tokio::test]
async fn a_pod_with_readiness_gates_is_ready_when_they_are_open() {
    let server = alive().await;
    let mut body = deployment("web");
    body["spec"]["replicas"] = json!(1);
    body["spec"]["template"]["spec"]["readinessGates"] = json!([{ "conditionType": "example.com/open" }]);
    server.post(DEPLOYMENTS, body).await.ok();
    let waits = |pod: &Value| condition(pod, "ContainersReady")["status"] == "True";
    let pods =
        server.eventually(PODS, "its containers are ready", |answer| waits(&answer.body["items"][0])).await;
    let pod = &pods.body["items"][0];
    let ready = condition(pod, "Ready");
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("ReadinessGatesNotReady")));
    assert_eq!(
        ready["message"],
        "corresponding condition of pod readiness gate \"example.com/open\" does not exist."
    );
    let path = format!("{PODS}/{}", pod["metadata"]["name"].as_str().unwrap());
    for (status, expected) in [("False", "False"), ("True", "True"), ("False", "False")] {
        let open = json!({ "status": { "conditions": [{ "type": "example.com/open", "status": status }] } });
        server.patch(&format!("{path}/status"), "strategic-merge-patch+json", open).await.ok();
        let follows = |pod: &Value| {
            condition(pod, "Ready")["status"] == expected
                && condition(pod, "example.com/open")["status"] == status
        };
        server.eventually(&path, "it follows its gate", |answer| follows(&answer.body)).await;
    }
}

#[tokio::test]
async fn a_stateful_set_makes_a_pod_anew_that_has_failed() {
    let server = alive().await;
    let body = json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "db" },
        "spec": { "replicas": 1, "serviceName": "db", "selector": { "matchLabels": { "app": "db" } },
            "template": deployment("db")["spec"]["template"] } });
    server.post(STATEFUL_SETS, body).await.ok();
    let path = format!("{PODS}/db-0");
    let is_ready = |pod: &Value| condition(pod, "Ready")["status"] == "True";
    let first = server.eventually(&path, "it is ready", |answer| is_ready(&answer.body)).await.body;
    let failed =
        json!({ "status": { "phase": "Failed", "conditions": [{ "type": "Ready", "status": "False" }] } });
    server.patch(&format!("{path}/status"), "strategic-merge-patch+json", failed).await.ok();
    let is_another = |pod: &Value| is_ready(pod) && pod["metadata"]["uid"] != first["metadata"]["uid"];
    server.eventually(&path, "another takes its place", |answer| is_another(&answer.body)).await;
}

#[tokio::test]
async fn a_workload_of_absurdly_many_replicas_holds_nobody_up() {
    let server = alive().await;
    let mut body = deployment("web");
    body["spec"]["replicas"] = json!(2_000_000_000);
    server.post(DEPLOYMENTS, body).await.ok();
    let some = format!("{PODS}?limit=1");
    server.eventually(&some, "there is a pod", |answer| answer.body["items"][0].is_object()).await;
    let started = std::time::Instant::now();
    server.cluster.shutdown().await;
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

#[tokio::test]
async fn each_pod_of_a_stateful_set_has_a_claim_of_each_template_and_keeps_it() {
    let server = alive().await;
    let mut template = deployment("db")["spec"]["template"].clone();
    template["spec"]["volumes"] = json!([{ "name": "own", "emptyDir": {} }]);
    template["spec"]["containers"][0]["volumeMounts"] =
        json!([{ "name": "data", "mountPath": "/data" }, { "name": "own", "mountPath": "/own" }]);
    let claim =
        json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } });
    let body = json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "db" },
        "spec": { "replicas": 2, "serviceName": "db", "selector": { "matchLabels": { "app": "db" } },
            "template": template,
            "volumeClaimTemplates": [{ "metadata": { "name": "data", "labels": { "of": "db" } }, "spec": claim }] } });
    server.post(STATEFUL_SETS, body).await.ok();
    let path = format!("{STATEFUL_SETS}/db");
    let are_ready = |body: &Value, count: i64| body["status"]["readyReplicas"] == count;
    server.eventually(&path, "both are ready", |answer| are_ready(&answer.body, 2)).await;
    for (pod, name) in [("db-0", "data-db-0"), ("db-1", "data-db-1")] {
        let pod = server.get(&format!("{PODS}/{pod}")).await.ok();
        let mounted = json!({ "name": "data", "persistentVolumeClaim": { "claimName": name } });
        assert_eq!(pod["spec"]["volumes"], json!([mounted, { "name": "own", "emptyDir": {} }]));
        let made = server.get(&format!("{CLAIMS}/{name}")).await.ok();
        assert_eq!(made["metadata"]["labels"], json!({ "app": "db", "of": "db" }));
        assert_eq!(made["metadata"].get("ownerReferences"), None, "it outlives the pod and the set");
        assert_eq!(made["spec"]["resources"], claim["resources"]);
    }
    let claim = format!("{CLAIMS}/data-db-0");
    let is_bound = |claim: &Value| claim["status"]["phase"] == "Bound";
    let first = server.eventually(&claim, "it is bound", |answer| is_bound(&answer.body)).await.body;
    let volume = format!("/api/v1/persistentvolumes/{}", first["spec"]["volumeName"].as_str().unwrap());
    let bound = server.eventually(&volume, "so is its volume", |answer| is_bound(&answer.body)).await.body;
    assert_eq!(bound["spec"]["claimRef"]["uid"], first["metadata"]["uid"]);
    assert_eq!(first["status"]["capacity"], bound["spec"]["capacity"]);
    let pod = server.get(&format!("{PODS}/db-0")).await.ok();
    server.delete(&format!("{PODS}/db-0")).await.ok();
    let is_another = |body: &Value| {
        condition(body, "Ready")["status"] == "True" && body["metadata"]["uid"] != pod["metadata"]["uid"]
    };
    server.eventually(&format!("{PODS}/db-0"), "it is there again", |answer| is_another(&answer.body)).await;
    let kept = server.get(&format!("{CLAIMS}/data-db-0")).await.ok();
    assert_eq!(kept["metadata"]["uid"], first["metadata"]["uid"]);
    server.delete(&claim).await.ok();
    server.eventually_gone(&volume).await;
}

#[tokio::test]
async fn a_pod_waits_until_its_node_takes_pods_and_is_one_that_it_selects() {
    let server = alive().await;
    let node = "/api/v1/nodes/dev";
    server.eventually(node, "there is a node", |answer| answer.code == 200).await;
    server.merge(node, json!({ "spec": { "unschedulable": true } })).await.ok();
    let mut body = deployment("web");
    body["spec"]["replicas"] = json!(1);
    body["spec"]["template"]["spec"]["nodeSelector"] = json!({ "disk": "fast" });
    server.post(DEPLOYMENTS, body).await.ok();
    let waits = async |why: &str| {
        let message = format!("0/1 nodes are available: {why}.");
        let is_told = |pod: &Value| {
            let scheduled = condition(pod, "PodScheduled");
            scheduled["reason"] == "Unschedulable" && scheduled["message"] == message.as_str()
        };
        let pods = server.eventually(PODS, why, |answer| is_told(&answer.body["items"][0])).await;
        assert_eq!(pods.body["items"][0]["status"]["phase"], "Pending");
        assert_eq!(pods.body["items"][0]["spec"].get("nodeName"), None);
    };
    waits("1 node(s) didn't match Pod's node affinity/selector").await;
    server.merge(node, json!({ "metadata": { "labels": { "disk": "fast" } } })).await.ok();
    waits("1 node(s) were unschedulable").await;
    server.merge(node, json!({ "spec": { "unschedulable": null } })).await.ok();
    let is_ready = |pod: &Value| condition(pod, "Ready")["status"] == "True";
    let pods = server.eventually(PODS, "it runs", |answer| is_ready(&answer.body["items"][0])).await;
    assert_eq!(condition(&pods.body["items"][0], "PodScheduled")["status"], "True");
}
