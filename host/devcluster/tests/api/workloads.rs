//! The opt-in stand-ins for the workload controllers: Deployments, their ReplicaSets and their Pods.

use serde_json::{Value, json};

use crate::support::{DEPLOYMENTS, PODS, Server, alive, deployment, start};

pub(crate) const REPLICA_SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";

pub(crate) async fn list(server: &Server, path: &str) -> Vec<Value> {
    server.get(path).await.ok()["items"].as_array().unwrap().clone()
}

pub(crate) fn condition<'a>(object: &'a Value, of_type: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().find(|condition| condition["type"] == of_type).unwrap_or(&Value::Null)
}

fn at(name: &str) -> String {
    format!("{DEPLOYMENTS}/{name}")
}

/// Waits until a Deployment's rollout is over; returns it.
async fn rolled_out(server: &Server, name: &str) -> Value {
    let is_done = |body: &Value| {
        body["status"]["observedGeneration"] == body["metadata"]["generation"]
            && condition(body, "Progressing")["reason"] == "NewReplicaSetAvailable"
            && body["status"]["availableReplicas"] == body["spec"]["replicas"]
    };
    server.eventually(&at(name), "it is rolled out", |answer| is_done(&answer.body)).await.body
}

async fn set_image(server: &Server, name: &str, image: &str) {
    let template = json!({ "spec": { "containers": [{ "name": "app", "image": image }] } });
    server
        .patch(&at(name), "strategic-merge-patch+json", json!({ "spec": { "template": template } }))
        .await
        .ok();
}

#[tokio::test]
async fn a_deployment_becomes_available_after_each_change() {
    let server = alive().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    server.merge(&at("web"), json!({ "spec": { "replicas": 4 } })).await.ok();
    let is_ready = |body: &serde_json::Value| {
        body["status"]["observedGeneration"] == 2 && body["status"]["availableReplicas"] == 4
    };
    let deployment =
        server.eventually(&at("web"), "it is available", |answer| is_ready(&answer.body)).await.body;
    assert_eq!(deployment["status"]["updatedReplicas"], 4);
    assert_eq!(deployment["status"]["readyReplicas"], 4);
    assert_eq!(condition(&deployment, "Available")["status"], "True");
}

#[tokio::test]
async fn without_the_option_nobody_reports_for_a_deployment() {
    let server = start().await;
    let deployment = server.post(DEPLOYMENTS, deployment("web")).await.ok();
    // A second in which it would long be available.
    let mut watch = server.watch(&format!("{DEPLOYMENTS}?watch=true&timeoutSeconds=1")).await;
    assert_eq!(watch.next().await.unwrap()["object"], deployment);
    assert_eq!(watch.next().await, None);
    server.get("/api/v1/nodes/dev").await.refused(404, "NotFound");
}

#[tokio::test]
async fn a_deployment_has_a_replica_set_and_that_has_running_pods() {
    let server = alive().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let deployment = rolled_out(&server, "web").await;
    assert_eq!(deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
    let sets = list(&server, REPLICA_SETS).await;
    let [set] = sets.as_slice() else { panic!("{sets:?}") };
    let hash = set["metadata"]["labels"]["pod-template-hash"].as_str().unwrap();
    assert_eq!(set["metadata"]["name"], format!("web-{hash}"));
    assert_eq!(set["spec"]["selector"]["matchLabels"]["pod-template-hash"], hash);
    let owner = &set["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["uid"]), (&json!("Deployment"), &deployment["metadata"]["uid"]));
    assert_eq!(set["status"]["readyReplicas"], 2);
    let pods = list(&server, PODS).await;
    assert_eq!(pods.len(), 2);
    for pod in &pods {
        assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], set["metadata"]["uid"]);
        assert_eq!(pod["metadata"]["labels"], json!({ "app": "web", "pod-template-hash": hash }));
        assert!(pod["metadata"]["name"].as_str().unwrap().starts_with(&format!("web-{hash}-")));
        assert_eq!((&pod["spec"]["nodeName"], &pod["status"]["phase"]), (&json!("dev"), &json!("Running")));
        for of_type in ["Initialized", "Ready", "ContainersReady", "PodScheduled"] {
            assert_eq!(condition(pod, of_type)["status"], "True", "{of_type}");
        }
        assert_eq!(pod["status"]["containerStatuses"][0]["ready"], true);
        assert!(pod["status"]["podIP"].is_string() && pod["status"]["startTime"].is_string());
    }
    assert_ne!(pods[0]["status"]["podIP"], pods[1]["status"]["podIP"]);
}

#[tokio::test]
async fn a_deployment_is_seen_unavailable_before_it_is_available() {
    let server = alive().await;
    let mut watch = server.watch(&format!("{DEPLOYMENTS}?watch=true")).await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != "MinimumReplicasAvailable") {
        let event = watch.next().await.unwrap();
        let reason =
            condition(&event["object"], "Available")["reason"].as_str().unwrap_or_default().to_owned();
        seen.push(reason);
    }
    seen.dedup();
    assert_eq!(seen, ["", "MinimumReplicasUnavailable", "MinimumReplicasAvailable"]);
}

#[tokio::test]
async fn a_new_template_replaces_the_old_pods_within_surge_and_availability() {
    let server = alive().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    rolled_out(&server, "web").await;
    let mut watch = server.watch(&format!("{DEPLOYMENTS}?watch=true")).await;
    set_image(&server, "web", "nginx:2").await;
    loop {
        let event = watch.next().await.unwrap();
        let status = &event["object"]["status"];
        assert!(status["replicas"].as_i64().unwrap_or(0) <= 3, "one more than wanted: {status}");
        assert!(status["availableReplicas"].as_i64().unwrap_or(0) >= 2, "none less than wanted: {status}");
        if status["observedGeneration"] == 2
            && condition(&event["object"], "Progressing")["reason"] == "NewReplicaSetAvailable"
        {
            break;
        }
    }
    // The last of the old ones may be on its way out.
    let is_left = |body: &Value| body["items"].as_array().unwrap().len() == 2;
    let pods = server.eventually(PODS, "two are left", |answer| is_left(&answer.body)).await.body;
    let are_new = |pod: &Value| pod["spec"]["containers"][0]["image"] == "nginx:2";
    assert!(pods["items"].as_array().unwrap().iter().all(are_new), "{pods}");
    let mut replicas: Vec<Value> =
        list(&server, REPLICA_SETS).await.iter().map(|set| set["spec"]["replicas"].clone()).collect();
    replicas.sort_by_key(Value::as_i64);
    assert_eq!(replicas, [json!(0), json!(2)], "the old replica set is kept");
}

#[tokio::test]
async fn going_back_to_an_earlier_template_uses_its_replica_set_as_the_newest_revision() {
    let server = alive().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    rolled_out(&server, "web").await;
    let first = list(&server, REPLICA_SETS).await.remove(0);
    for image in ["nginx:2", "nginx:1"] {
        set_image(&server, "web", image).await;
        rolled_out(&server, "web").await;
    }
    assert_eq!(list(&server, REPLICA_SETS).await.len(), 2);
    let path = format!("{REPLICA_SETS}/{}", first["metadata"]["name"].as_str().unwrap());
    let annotations = server.get(&path).await.ok()["metadata"]["annotations"].clone();
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "3");
    assert_eq!(annotations["deployment.kubernetes.io/revision-history"], "1");
    let deployment = server.get(&at("web")).await.ok();
    assert_eq!(deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
}

#[tokio::test]
async fn no_more_old_replica_sets_are_kept_than_the_deployment_says() {
    let server = alive().await;
    let mut body = deployment("web");
    body["spec"]["revisionHistoryLimit"] = json!(1);
    server.post(DEPLOYMENTS, body).await.ok();
    for image in ["nginx:1", "nginx:2", "nginx:3", "nginx:4"] {
        set_image(&server, "web", image).await;
        rolled_out(&server, "web").await;
    }
    let is_tidy = |body: &Value| body["items"].as_array().unwrap().len() == 2;
    server.eventually(REPLICA_SETS, "the oldest go", |answer| is_tidy(&answer.body)).await;
}

#[tokio::test]
async fn recreate_ends_all_old_pods_before_it_starts_new_ones() {
    let server = alive().await;
    let mut body = deployment("web");
    body["spec"]["strategy"] = json!({ "type": "Recreate" });
    server.post(DEPLOYMENTS, body).await.ok();
    rolled_out(&server, "web").await;
    let version = server.get(PODS).await.ok()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let mut watch = server.watch(&format!("{PODS}?watch=true&resourceVersion={version}")).await;
    set_image(&server, "web", "nginx:2").await;
    // Each is on its way out, and gone, before the first new one comes.
    let mut before = Vec::new();
    loop {
        match watch.event().await.0.as_str() {
            "ADDED" => break,
            event => before.push(event.to_owned()),
        }
    }
    assert_eq!(before.iter().filter(|event| *event == "DELETED").count(), 2, "{before:?}");
    rolled_out(&server, "web").await;
}

#[tokio::test]
async fn a_pod_that_is_deleted_is_replaced_and_one_whose_label_changes_is_let_go() {
    let server = alive().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    rolled_out(&server, "web").await;
    let pods = list(&server, PODS).await;
    let path = |pod: &Value| format!("{PODS}/{}", pod["metadata"]["name"].as_str().unwrap());
    server.delete(&path(&pods[0])).await.ok();
    server.merge(&path(&pods[1]), json!({ "metadata": { "labels": { "app": "other" } } })).await.ok();
    let running = format!("{PODS}?labelSelector=app%3Dweb&fieldSelector=status.phase%3DRunning");
    let is_whole = |body: &Value| body["items"].as_array().unwrap().len() == 2;
    let replaced =
        server.eventually(&running, "there are two again", |answer| is_whole(&answer.body)).await.body;
    for pod in replaced["items"].as_array().unwrap() {
        assert!(pods.iter().all(|old| old["metadata"]["uid"] != pod["metadata"]["uid"]));
    }
    let freed = path(&pods[1]);
    let freed = server.eventually(&freed, "it has no owner", |answer| {
        answer.body["metadata"].get("ownerReferences").is_none()
    });
    freed.await;
}

#[tokio::test]
async fn scaling_to_zero_ends_all_pods_and_deleting_takes_everything_along() {
    let server = alive().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    rolled_out(&server, "web").await;
    let is_empty = |body: &Value| body["items"].as_array().unwrap().is_empty();
    server.merge(&at("web"), json!({ "spec": { "replicas": 0 } })).await.ok();
    server.eventually(PODS, "no pod is left", |answer| is_empty(&answer.body)).await;
    server.merge(&at("web"), json!({ "spec": { "replicas": 3 } })).await.ok();
    rolled_out(&server, "web").await;
    server.delete(&at("web")).await.ok();
    for path in [REPLICA_SETS, PODS] {
        server.eventually(path, "nothing is left", |answer| is_empty(&answer.body)).await;
    }
}

#[tokio::test]
async fn a_paused_deployment_rolls_nothing_out_but_scales() {
    let server = alive().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    rolled_out(&server, "web").await;
    server.merge(&at("web"), json!({ "spec": { "paused": true, "replicas": 3 } })).await.ok();
    set_image(&server, "web", "nginx:2").await;
    let is_scaled =
        |body: &Value| body["status"]["observedGeneration"] == 3 && body["status"]["availableReplicas"] == 3;
    let paused = server.eventually(&at("web"), "it has scaled", |answer| is_scaled(&answer.body)).await.body;
    assert_eq!(condition(&paused, "Progressing")["reason"], "DeploymentPaused");
    assert_eq!(list(&server, REPLICA_SETS).await.len(), 1);
    server.merge(&at("web"), json!({ "spec": { "paused": false } })).await.ok();
    rolled_out(&server, "web").await;
    assert_eq!(list(&server, REPLICA_SETS).await.len(), 2);
}

#[tokio::test]
async fn a_replica_set_whose_name_is_taken_gets_another() {
    let server = alive().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    rolled_out(&server, "web").await;
    let name = list(&server, REPLICA_SETS).await[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let hold = json!({ "metadata": { "finalizers": ["example.com/hold"] } });
    server.merge(&format!("{REPLICA_SETS}/{name}"), hold).await.ok();
    server.delete(&at("web")).await.ok();
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let deployment = rolled_out(&server, "web").await;
    assert_eq!(deployment["status"]["collisionCount"], 1);
    let released = json!({ "metadata": { "finalizers": null } });
    server.merge(&format!("{REPLICA_SETS}/{name}"), released).await.ok();
}

#[tokio::test]
async fn a_new_deployment_adopts_what_an_orphaning_deletion_left() {
    let server = alive().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    rolled_out(&server, "web").await;
    let uids =
        |pods: &[Value]| -> Vec<Value> { pods.iter().map(|pod| pod["metadata"]["uid"].clone()).collect() };
    let (sets, pods) = (list(&server, REPLICA_SETS).await, list(&server, PODS).await);
    server.delete(&format!("{}?propagationPolicy=Orphan", at("web"))).await.ok();
    server.eventually_gone(&at("web")).await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let deployment = rolled_out(&server, "web").await;
    assert_eq!(deployment["status"].get("collisionCount"), None);
    let after = list(&server, REPLICA_SETS).await;
    assert_eq!(uids(&after), uids(&sets));
    assert_eq!(after[0]["metadata"]["ownerReferences"][0]["uid"], deployment["metadata"]["uid"]);
    assert_eq!(uids(&list(&server, PODS).await), uids(&pods));
}

#[tokio::test]
async fn a_pod_on_any_node_ends_within_its_grace_where_workloads_look_alive() {
    let server = alive().await;
    let mut pod =
        json!({ "metadata": { "name": "a" }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    pod["spec"]["nodeName"] = json!("elsewhere");
    server.post(PODS, pod).await.ok();
    let leaving = server.delete(&format!("{PODS}/a")).await.ok();
    assert_eq!(leaving["metadata"]["deletionGracePeriodSeconds"], 30);
    server.eventually(&format!("{PODS}/a"), "it is gone", |answer| answer.code == 404).await;
}
