//! The Events of workload controllers, and what they say of Pods that cannot be made.

use serde_json::{Value, json};

use crate::support::{DEPLOYMENTS, Server, alive, deployment};
use crate::workloads::{REPLICA_SETS, condition, list};

const EVENTS: &str = "/api/v1/namespaces/default/events";
const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";

/// Waits for the Event of a kind of object with such a message.
async fn told(server: &Server, kind: &str, reason: &str, begins: &str) -> Value {
    let find = |body: &Value| -> Option<Value> {
        let is_it = |event: &&Value| {
            event["involvedObject"]["kind"] == kind
                && event["reason"] == reason
                && event["message"].as_str().is_some_and(|message| message.starts_with(begins))
        };
        body["items"].as_array()?.iter().find(is_it).cloned()
    };
    let answer = server.eventually(EVENTS, "it is told", |answer| find(&answer.body).is_some()).await;
    find(&answer.body).unwrap()
}

#[tokio::test]
async fn a_deployment_tells_how_it_scales_and_its_replica_set_of_its_pods() {
    let server = alive().await;
    let made = server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let scaled = told(&server, "Deployment", "ScalingReplicaSet", "Scaled up replica set web-").await;
    assert!(scaled["message"].as_str().unwrap().ends_with(" from 0 to 2"), "{scaled}");
    assert_eq!((&scaled["type"], &scaled["count"]), (&json!("Normal"), &json!(1)));
    assert_eq!(scaled["source"], json!({ "component": "deployment-controller" }));
    assert_eq!(scaled["reportingComponent"], "deployment-controller");
    assert_eq!(scaled["involvedObject"]["uid"], made["metadata"]["uid"]);
    assert_eq!(scaled["involvedObject"]["apiVersion"], "apps/v1");
    assert!(
        scaled["firstTimestamp"].is_string()
            && scaled["lastTimestamp"].is_string()
            && scaled["eventTime"].is_null()
    );
    let created = told(&server, "ReplicaSet", "SuccessfulCreate", "Created pod: web-").await;
    assert_eq!(created["source"]["component"], "replicaset-controller");
    let path = format!("{DEPLOYMENTS}/web");
    server.eventually(&path, "it is ready", |answer| answer.body["status"]["readyReplicas"] == 2).await;
    server.merge(&path, json!({ "spec": { "replicas": 0 } })).await.ok();
    let scaled = told(&server, "Deployment", "ScalingReplicaSet", "Scaled down replica set web-").await;
    assert!(scaled["message"].as_str().unwrap().ends_with(" from 2 to 0"), "{scaled}");
    told(&server, "ReplicaSet", "SuccessfulDelete", "Deleted pod: web-").await;
    let newer = format!(
        "/apis/events.k8s.io/v1/namespaces/default/events/{}",
        scaled["metadata"]["name"].as_str().unwrap()
    );
    let newer = server.get(&newer).await.ok();
    assert_eq!((&newer["note"], &newer["regarding"]["kind"]), (&scaled["message"], &json!("Deployment")));
    assert_eq!(newer["reportingController"], "deployment-controller");
}

#[tokio::test]
async fn a_job_tells_when_it_waits_goes_on_and_is_done() {
    let server = alive().await;
    let containers = json!([{ "name": "app", "image": "busybox:1" }]);
    let job = json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "sum" }, "spec": {
        "suspend": true, "template": { "spec": { "restartPolicy": "Never", "containers": containers } } } });
    server.post(JOBS, job).await.ok();
    told(&server, "Job", "Suspended", "Job suspended").await;
    server.merge(&format!("{JOBS}/sum"), json!({ "spec": { "suspend": false } })).await.ok();
    told(&server, "Job", "Resumed", "Job resumed").await;
    told(&server, "Job", "SuccessfulCreate", "Created pod: sum-").await;
    told(&server, "Job", "Completed", "Job completed").await;
}

#[tokio::test]
async fn pods_that_are_refused_are_a_condition_and_events_that_are_counted() {
    let server = alive().await;
    let mut body = deployment("web");
    body["spec"]["template"]["spec"]["priorityClassName"] = json!("nope");
    server.post(DEPLOYMENTS, body).await.ok();
    let path = format!("{DEPLOYMENTS}/web");
    let is_told = |body: &Value| condition(body, "ReplicaFailure")["status"] == "True";
    let failed = server.eventually(&path, "it fails", |answer| is_told(&answer.body)).await.body;
    let failure = condition(&failed, "ReplicaFailure");
    assert_eq!(failure["reason"], "FailedCreate");
    let why = failure["message"].as_str().unwrap();
    assert!(why.ends_with("no PriorityClass with name nope was found"), "{why}");
    assert_eq!(condition(&failed, "Progressing")["reason"], "NewReplicaSetCreated");
    let set = list(&server, REPLICA_SETS).await[0].clone();
    assert_eq!(condition(&set, "ReplicaFailure")["message"], failure["message"]);
    let event = told(&server, "ReplicaSet", "FailedCreate", "Error creating: pods \"web-").await;
    assert_eq!(event["type"], "Warning");
    let path = format!("{EVENTS}/{}", event["metadata"]["name"].as_str().unwrap());
    server
        .merge(
            &format!("{REPLICA_SETS}/{}", set["metadata"]["name"].as_str().unwrap()),
            json!({ "metadata": { "labels": { "a": "b" } } }),
        )
        .await
        .ok();
    server.eventually(&path, "it is counted", |answer| answer.body["count"].as_i64() > Some(1)).await;
}
