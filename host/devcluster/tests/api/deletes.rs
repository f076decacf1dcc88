//! Grace periods, options and defaults of deletion, and namespaces that go.

use serde_json::{Value, json};

use crate::support::{Answer, CONFIG_MAPS, PODS, Server, config_map, pod, start};

const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";

async fn scheduled(server: &Server, name: &str) {
    let mut body = pod(name);
    body["spec"]["nodeName"] = json!("n1");
    server.post(PODS, body).await.ok();
}

async fn delete_with(server: &Server, path: &str, options: Value) -> Answer {
    server.send("DELETE", path, &[("content-type", "application/json")], options.to_string()).await
}

#[tokio::test]
async fn a_scheduled_pod_waits_for_its_grace_period_and_a_second_delete_ends_it() {
    let server = start().await;
    scheduled(&server, "p").await;
    let path = format!("{PODS}/p");
    let pending = server.delete(&path).await.ok();
    assert_eq!(pending["metadata"]["deletionGracePeriodSeconds"], 30);
    assert!(pending["metadata"]["deletionTimestamp"].is_string());
    let shorter = server.delete(&format!("{path}?gracePeriodSeconds=5")).await.ok();
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    let longer = delete_with(&server, &path, json!({ "gracePeriodSeconds": 20 })).await.ok();
    assert_eq!(longer, shorter);
    server.merge(&path, json!({ "metadata": { "labels": { "a": "b" } } })).await.ok();
    server.get(&path).await.ok();
    server.delete(&format!("{path}?gracePeriodSeconds=0")).await.ok();
    server.get(&path).await.refused(404, "NotFound");
}

#[tokio::test]
async fn a_pod_without_a_node_or_that_has_ended_goes_at_once() {
    let server = start().await;
    server.post(PODS, pod("unscheduled")).await.ok();
    server.delete(&format!("{PODS}/unscheduled?gracePeriodSeconds=60")).await.ok();
    server.get(&format!("{PODS}/unscheduled")).await.refused(404, "NotFound");
    scheduled(&server, "ended").await;
    let path = format!("{PODS}/ended");
    server.merge(&format!("{path}/status"), json!({ "status": { "phase": "Succeeded" } })).await.ok();
    server.delete(&path).await.ok();
    server.get(&path).await.refused(404, "NotFound");
}

#[tokio::test]
async fn preconditions_and_policies_can_be_in_the_query() {
    let server = start().await;
    let created = server.config_map("a", json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    server.delete(&format!("{path}?uid=other")).await.refused(409, "Conflict");
    server.delete(&format!("{path}?resourceVersion=1")).await.refused(409, "Conflict");
    let both = format!("{path}?orphanDependents=true&propagationPolicy=Foreground");
    let status = server.delete(&both).await.refused(422, "Invalid");
    assert_eq!(
        status["message"],
        "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"Foreground\": \
         orphanDependents and deletionPropagation cannot be both set"
    );
    let both = json!({ "orphanDependents": false, "propagationPolicy": "Orphan" });
    delete_with(&server, &path, both).await.refused(422, "Invalid");
    server.delete(&format!("{path}?propagationPolicy=Sideways")).await.refused(422, "Invalid");
    server.delete(&format!("{path}?uid={}", created["metadata"]["uid"].as_str().unwrap())).await.ok();
}

#[tokio::test]
async fn the_pods_of_a_job_are_kept_by_default_and_the_client_is_warned() {
    let server = start().await;
    let job = json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "j" },
        "spec": { "template": { "spec": { "restartPolicy": "Never",
            "containers": [{ "name": "c", "image": "i" }] } } } });
    let job = server.post(JOBS, job).await.ok();
    let mut child = pod("child");
    child["metadata"]["ownerReferences"] = json!([{ "apiVersion": "batch/v1", "kind": "Job", "name": "j",
        "uid": job["metadata"]["uid"] }]);
    server.post(PODS, child).await.ok();
    let answer = server.delete(&format!("{JOBS}/j")).await;
    assert!(answer.warnings[0].contains("child pods are preserved by default"), "{:?}", answer.warnings);
    server.eventually_gone(&format!("{JOBS}/j")).await;
    let child = server.get(&format!("{PODS}/child")).await.ok();
    assert_eq!(child["metadata"].get("ownerReferences"), None);
}

#[tokio::test]
async fn the_first_namespaces_are_protected() {
    let server = start().await;
    for name in ["default", "kube-system", "kube-public"] {
        let status = server.delete(&format!("/api/v1/namespaces/{name}")).await.refused(403, "Forbidden");
        let expected = format!("namespaces \"{name}\" is forbidden: this namespace may not be deleted");
        assert_eq!(status["message"], expected);
    }
}

#[tokio::test]
async fn a_namespace_that_cannot_go_says_what_it_waits_for() {
    let server = start().await;
    server.team().await;
    let path = "/api/v1/namespaces/team/configmaps";
    let mut held = config_map("held", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    server.post(path, held).await.ok();
    server.delete("/api/v1/namespaces/team").await.ok();
    let has_conditions = |answer: &Answer| answer.body["status"]["conditions"].is_array();
    let answer = server.eventually("/api/v1/namespaces/team", "it says why", has_conditions).await;
    let conditions = answer.body["status"]["conditions"].as_array().unwrap();
    let find = |kind: &str| conditions.iter().find(|condition| condition["type"] == kind).unwrap();
    assert_eq!(find("NamespaceDeletionContentFailure")["status"], "False");
    let remaining = find("NamespaceContentRemaining");
    assert_eq!(remaining["status"], "True");
    assert_eq!(remaining["message"], "Some resources are remaining: configmaps. has 1 resource instances");
    assert_eq!(
        find("NamespaceFinalizersRemaining")["message"],
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    );
    server.merge(&format!("{path}/held"), json!({ "metadata": { "finalizers": [] } })).await.ok();
    server.eventually_gone("/api/v1/namespaces/team").await;
}

#[tokio::test]
async fn a_namespace_waits_for_no_grace_period_of_its_pods() {
    let server = start().await;
    server.team().await;
    let pods = "/api/v1/namespaces/team/pods";
    for name in ["runs", "ends"] {
        let mut body = pod(name);
        body["spec"]["nodeName"] = json!("n1");
        server.post(pods, body).await.ok();
    }
    server.delete(&format!("{pods}/ends")).await.ok();
    server.get(&format!("{pods}/ends")).await.ok();
    server.delete("/api/v1/namespaces/team").await.ok();
    server.eventually_gone("/api/v1/namespaces/team").await;
    server.get(&format!("{pods}/runs")).await.refused(404, "NotFound");
}

#[tokio::test]
async fn a_pod_with_a_finalizer_and_a_grace_period_waits_for_both() {
    let server = start().await;
    let mut body = pod("p");
    body["metadata"]["finalizers"] = json!(["example.com/hold"]);
    body["spec"]["nodeName"] = json!("n1");
    server.post(PODS, body).await.ok();
    let path = format!("{PODS}/p");
    server.delete(&path).await.ok();
    server.merge(&path, json!({ "metadata": { "finalizers": [] } })).await.ok();
    server.get(&path).await.ok();
    server.delete(&format!("{path}?gracePeriodSeconds=0")).await.ok();
    server.get(&path).await.refused(404, "NotFound");
}

#[tokio::test]
async fn a_dry_run_in_the_body_is_of_all_or_refused() {
    let server = start().await;
    server.config_map("a", json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    delete_with(&server, &path, json!({ "dryRun": ["Some"] })).await.refused(422, "Invalid");
    delete_with(&server, &path, json!({ "dryRun": ["All"] })).await.ok();
    server.get(&path).await.ok();
}
