//! The corners of the stand-ins: what would have them work without end, and what they wait for.

use serde_json::{Value, json};

use crate::support::{DEPLOYMENTS, PODS, deployment};
use crate::workloads::{REPLICA_SETS, alive, condition, list};

const STATEFUL_SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";

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
