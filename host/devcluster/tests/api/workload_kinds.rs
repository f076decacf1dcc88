//! The stand-ins for StatefulSets, DaemonSets and Jobs, and what becomes of a Pod.

use serde_json::{Value, json};

use crate::support::{PODS, Server, alive, pod};
use crate::workloads::{condition, list};

const STATEFUL_SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";
const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/default/daemonsets";
const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";

fn workload(kind: &str, name: &str, spec: Value) -> Value {
    let mut body = json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": name },
        "spec": { "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "app", "image": "nginx:1" }] } } } });
    merge(&mut body["spec"], spec);
    body
}

fn job(name: &str, spec: Value) -> Value {
    let mut body = json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name },
        "spec": { "template": { "spec": { "restartPolicy": "Never",
            "containers": [{ "name": "app", "image": "busybox:1" }] } } } });
    merge(&mut body["spec"], spec);
    body
}

fn merge(spec: &mut Value, more: Value) {
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
}

async fn until(server: &Server, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    server
        .eventually(path, "it comes to be so", |answer| answer.code == 200 && is_so(&answer.body))
        .await
        .body
}

fn ready(object: &Value, replicas: i64) -> bool {
    object["status"]["readyReplicas"] == replicas
        && object["status"]["updatedReplicas"] == replicas
        && object["status"]["observedGeneration"] == object["metadata"]["generation"]
}

async fn names(server: &Server) -> Vec<String> {
    let pods = list(server, PODS).await;
    pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn there_is_one_node_and_it_is_ready() {
    let server = alive().await;
    let node = until(&server, "/api/v1/nodes/dev", |node| node["status"].is_object()).await;
    assert_eq!(condition(&node, "Ready")["status"], "True");
}

#[tokio::test]
async fn a_stateful_set_starts_its_pods_in_order_and_ends_them_in_reverse() {
    let server = alive().await;
    let mut watch = server.watch(&format!("{PODS}?watch=true")).await;
    server.post(STATEFUL_SETS, workload("StatefulSet", "db", json!({ "replicas": 3 }))).await.ok();
    let mut order = Vec::new();
    while order.len() < 3 {
        let event = watch.next().await.unwrap();
        let name = event["object"]["metadata"]["name"].as_str().unwrap().to_owned();
        if event["type"] == "ADDED" {
            assert_eq!(name, format!("db-{}", order.len()), "the one before it is ready");
        }
        if condition(&event["object"], "Ready")["status"] == "True" {
            order.push(name);
        }
    }
    let path = format!("{STATEFUL_SETS}/db");
    until(&server, &path, |set| ready(set, 3)).await;
    server.merge(&path, json!({ "spec": { "replicas": 1 } })).await.ok();
    for name in ["db-2", "db-1"] {
        while watch.event().await != ("DELETED".to_owned(), name.to_owned()) {}
    }
    until(&server, &path, |set| ready(set, 1)).await;
    assert_eq!(names(&server).await, ["db-0"]);
}

#[tokio::test]
async fn a_stateful_set_with_a_new_template_replaces_each_pod_under_its_name() {
    let server = alive().await;
    server.post(STATEFUL_SETS, workload("StatefulSet", "db", json!({ "replicas": 2 }))).await.ok();
    let path = format!("{STATEFUL_SETS}/db");
    let before = until(&server, &path, |set| ready(set, 2)).await;
    let containers = json!([{ "name": "app", "image": "nginx:2" }]);
    let template = json!({ "spec": { "template": { "spec": { "containers": containers } } } });
    server.merge(&path, template).await.ok();
    let is_done =
        |set: &Value| ready(set, 2) && set["status"]["currentRevision"] == set["status"]["updateRevision"];
    let after = until(&server, &path, is_done).await;
    assert_ne!(before["status"]["currentRevision"], after["status"]["currentRevision"]);
    assert_eq!(names(&server).await, ["db-0", "db-1"]);
    for pod in list(&server, PODS).await {
        assert_eq!(pod["spec"]["containers"][0]["image"], "nginx:2");
        assert_eq!(pod["spec"]["hostname"], pod["metadata"]["name"]);
    }
}

#[tokio::test]
async fn a_daemon_set_has_one_pod_on_the_one_node_if_that_suits() {
    let server = alive().await;
    server.post(DAEMON_SETS, workload("DaemonSet", "agent", json!({}))).await.ok();
    let path = format!("{DAEMON_SETS}/agent");
    let set = until(&server, &path, |set| set["status"]["numberReady"] == 1).await;
    assert_eq!(set["status"]["desiredNumberScheduled"], 1);
    let pod = list(&server, PODS).await[0].clone();
    assert_eq!(pod["spec"]["nodeName"], "dev");
    assert_eq!(pod["metadata"]["labels"]["pod-template-generation"], "1");
    let tolerated = pod["spec"]["tolerations"].as_array().unwrap();
    assert_eq!(tolerated.len(), 6, "{tolerated:?}");
    assert!(
        tolerated.iter().all(|one| one["operator"] == "Exists" && one.get("tolerationSeconds").is_none())
    );
    let required = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let of_name = json!({ "key": "metadata.name", "operator": "In", "values": ["dev"] });
    assert_eq!(required["nodeSelectorTerms"], json!([{ "matchFields": [of_name] }]));
    let elsewhere =
        json!({ "spec": { "template": { "spec": { "nodeSelector": { "kubernetes.io/os": "windows" } } } } });
    server.merge(&path, elsewhere).await.ok();
    until(&server, &path, |set| {
        set["status"]["observedGeneration"] == 2 && set["status"]["desiredNumberScheduled"] == 0
    })
    .await;
    until(&server, PODS, |pods| pods["items"].as_array().unwrap().is_empty()).await;
}

#[tokio::test]
async fn a_job_runs_as_many_pods_as_it_says_and_completes() {
    let server = alive().await;
    let mut watch = server.watch(&format!("{JOBS}?watch=true")).await;
    server.post(JOBS, job("sum", json!({ "completions": 5, "parallelism": 2 }))).await.ok();
    let (mut was_active, mut most) = (false, 0);
    let done = loop {
        let job = watch.next().await.unwrap()["object"].clone();
        most = most.max(job["status"]["active"].as_i64().unwrap_or(0));
        was_active |= most > 0 && condition(&job, "Complete").is_null();
        if condition(&job, "Complete")["status"] == "True" {
            break job;
        }
    };
    assert!(was_active);
    assert_eq!(most, 2, "no more than may run at once");
    assert_eq!((&done["status"]["succeeded"], done["status"].get("active")), (&json!(5), None));
    assert!(done["status"]["startTime"].is_string() && done["status"]["completionTime"].is_string());
    let pods = list(&server, PODS).await;
    assert_eq!(pods.len(), 5);
    for pod in &pods {
        assert_eq!(pod["status"]["phase"], "Succeeded");
        assert_eq!(pod["metadata"]["labels"]["batch.kubernetes.io/job-name"], "sum");
        assert_eq!(pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
    }
}

#[tokio::test]
async fn an_indexed_job_gives_each_pod_an_index_and_a_suspended_one_waits() {
    let server = alive().await;
    let spec = json!({ "completions": 3, "parallelism": 3, "completionMode": "Indexed", "suspend": true });
    server.post(JOBS, job("parts", spec)).await.ok();
    let path = format!("{JOBS}/parts");
    until(&server, &path, |job| condition(job, "Suspended")["status"] == "True").await;
    assert!(list(&server, PODS).await.is_empty());
    server.merge(&path, json!({ "spec": { "suspend": false } })).await.ok();
    let job = until(&server, &path, |job| condition(job, "Complete")["status"] == "True").await;
    assert_eq!(job["status"]["completedIndexes"], "0-2");
    let pods = list(&server, PODS).await;
    let variable = &pods[0]["spec"]["containers"][0]["env"][0];
    assert_eq!(variable["name"], "JOB_COMPLETION_INDEX");
    let path = "metadata.labels['batch.kubernetes.io/job-completion-index']";
    assert_eq!(variable["valueFrom"]["fieldRef"]["fieldPath"], path);
    let mut indexes: Vec<&str> = pods
        .iter()
        .map(|pod| {
            pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"].as_str().unwrap()
        })
        .collect();
    indexes.sort_unstable();
    assert_eq!(indexes, ["0", "1", "2"]);
}

#[tokio::test]
async fn a_job_that_counts_no_completions_lets_all_its_pods_end() {
    let server = alive().await;
    server.post(JOBS, job("queue", json!({ "parallelism": 3 }))).await.ok();
    let path = format!("{JOBS}/queue");
    let job = until(&server, &path, |job| condition(job, "Complete")["status"] == "True").await;
    assert_eq!(job["status"]["succeeded"], 3);
}

#[tokio::test]
async fn a_partition_is_counted_from_the_first_pod_of_a_stateful_set() {
    let server = alive().await;
    let spec = json!({ "replicas": 3, "podManagementPolicy": "Parallel", "ordinals": { "start": 5 },
        "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 2 } } });
    server.post(STATEFUL_SETS, workload("StatefulSet", "db", spec)).await.ok();
    let path = format!("{STATEFUL_SETS}/db");
    until(&server, &path, |set| ready(set, 3)).await;
    let image = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "app", "image": "nginx:2" }] } } } });
    server.merge(&path, image).await.ok();
    let is_so = |set: &Value| {
        set["status"]["updatedReplicas"] == 1
            && set["status"]["readyReplicas"] == 3
            && set["status"]["observedGeneration"] == 2
    };
    let set = until(&server, &path, is_so).await;
    assert_eq!(set["status"]["currentReplicas"], 2);
    for pod in list(&server, PODS).await {
        let expected = if pod["metadata"]["name"] == "db-7" { "nginx:2" } else { "nginx:1" };
        assert_eq!(pod["spec"]["containers"][0]["image"], expected);
        assert_eq!(pod["metadata"]["generateName"], "db-");
    }
}

#[tokio::test]
async fn a_pod_made_by_hand_is_left_alone_until_it_is_on_the_node() {
    let server = alive().await;
    server.post(PODS, pod("alone")).await.ok();
    let mut placed = pod("placed");
    placed["spec"]["nodeName"] = json!("dev");
    placed["spec"]["containers"][0]["resources"] = json!({ "requests": { "cpu": "1" } });
    server.post(PODS, placed).await.ok();
    let path = format!("{PODS}/placed");
    let placed = until(&server, &path, |pod| condition(pod, "Ready")["status"] == "True").await;
    assert_eq!(placed["status"]["qosClass"], "Burstable");
    let alone = server.get(&format!("{PODS}/alone")).await.ok();
    assert_eq!((&alone["status"]["phase"], alone["spec"].get("nodeName")), (&json!("Pending"), None));
    // What a test makes of a Pod that is ready stays.
    let failed = json!({ "status": { "phase": "Failed" } });
    server.merge(&format!("{path}/status"), failed).await.ok();
    server.post(PODS, pod("later")).await.ok();
    assert_eq!(server.get(&path).await.ok()["status"]["phase"], "Failed");
}

#[tokio::test]
async fn a_job_whose_pods_fail_too_often_fails() {
    let server = alive().await;
    let mut body = job("sum", json!({ "backoffLimit": 1 }));
    // Held back, so that it is the test that says what becomes of the Pods.
    body["spec"]["template"]["spec"]["schedulingGates"] = json!([{ "name": "example.com/hold" }]);
    server.post(JOBS, body).await.ok();
    for failed in 1..=2 {
        let pending = |pods: &Value| pods["items"].as_array().unwrap().len() == failed;
        let pods = until(&server, PODS, pending).await;
        let all = pods["items"].as_array().unwrap();
        let open = all.iter().find(|pod| pod["status"]["phase"] == "Pending").unwrap();
        let path = format!("{PODS}/{}/status", open["metadata"]["name"].as_str().unwrap());
        server.merge(&path, json!({ "status": { "phase": "Failed" } })).await.ok();
    }
    let job = until(&server, &format!("{JOBS}/sum"), |job| !condition(job, "Failed").is_null()).await;
    assert_eq!(condition(&job, "Failed")["reason"], "BackoffLimitExceeded");
    assert_eq!(job["status"]["failed"], 2);
}
