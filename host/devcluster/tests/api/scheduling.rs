//! What may still change of Pods that wait for their scheduling gates, and of Jobs whose Pods are numbered.

use serde_json::{Value, json};

use crate::support::{PODS, Server, pod, start};

const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";

fn gated(name: &str, mut rest: Value) -> Value {
    let mut pod = pod(name);
    rest["schedulingGates"] = json!([{ "name": "example.com/wait" }]);
    pod["spec"].as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    pod
}

fn required(terms: Value) -> Value {
    json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } })
}

fn zone(values: &[&str]) -> Value {
    json!({ "key": "zone", "operator": "In", "values": values })
}

/// The message of the refusal of a merge patch of a specification.
async fn refusal(server: &Server, path: &str, spec: Value) -> String {
    let status = server.merge(path, json!({ "spec": spec })).await.refused(422, "Invalid");
    status["details"]["causes"][0]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_gated_pod_may_be_told_more_of_where_it_goes() {
    let server = start().await;
    server.post(PODS, gated("p", json!({ "nodeSelector": { "a": "1" } }))).await.ok();
    let path = format!("{PODS}/p");
    server.merge(&path, json!({ "spec": { "nodeSelector": { "b": "2" } } })).await.ok();
    let affinity = |expressions: Value| required(json!([{ "matchExpressions": expressions }]));
    let first = affinity(json!([zone(&["x", "y"])]));
    server.merge(&path, json!({ "spec": { "affinity": first } })).await.ok();
    let more = affinity(json!([zone(&["x", "y"]), zone(&["x"])]));
    let with_gate_gone = json!({ "spec": { "affinity": more, "schedulingGates": [] } });
    let opened = server.merge(&path, with_gate_gone).await.ok();
    assert_eq!(opened["spec"]["nodeSelector"], json!({ "a": "1", "b": "2" }));
    assert_eq!(opened["spec"]["affinity"], more);
    assert_eq!(opened["spec"].get("schedulingGates"), None);
    let late = refusal(&server, &path, json!({ "nodeSelector": { "c": "3" } })).await;
    assert!(late.starts_with("Forbidden: pod updates may not change fields other than"), "{late}");
}

#[tokio::test]
async fn a_gated_pod_may_not_be_told_otherwise() {
    let server = start().await;
    let affinity = required(json!([{ "matchExpressions": [zone(&["x"])] }]));
    server.post(PODS, gated("p", json!({ "nodeSelector": { "a": "1" }, "affinity": affinity }))).await.ok();
    let path = format!("{PODS}/p");
    let message = refusal(&server, &path, json!({ "nodeSelector": { "a": "2" } })).await;
    assert_eq!(
        message,
        "Invalid value: {\"a\":\"2\"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)"
    );
    let emptied = json!({ "spec": { "affinity": required(json!([])) } });
    let status = server.merge(&path, emptied).await.refused(422, "Invalid");
    let terms = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let needed = "Required value: must have at least one node selector term";
    assert_eq!(status["details"]["causes"][0]["message"], needed);
    assert_eq!(status["details"]["causes"][1]["field"], terms);
    let message = status["details"]["causes"][1]["message"].as_str().unwrap();
    assert!(message.ends_with("no additions/deletions to non-empty NodeSelectorTerms list are allowed"));
    let other = required(json!([{ "matchExpressions": [zone(&["y"])] }]));
    let message = refusal(&server, &path, json!({ "affinity": other })).await;
    assert!(message.ends_with("only additions are allowed (no mutations or deletions)"), "{message}");
    let apart = json!({ "affinity": { "podAntiAffinity": {} } });
    let message = refusal(&server, &path, apart).await;
    assert!(message.starts_with("Forbidden: pod updates may not change fields other than"), "{message}");
}

#[tokio::test]
async fn an_indexed_job_grows_and_shrinks_with_its_parallelism() {
    let server = start().await;
    let template =
        json!({ "spec": { "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }] } });
    let job = json!({ "metadata": { "name": "j" }, "spec": { "completionMode": "Indexed", "completions": 2,
        "parallelism": 2, "template": template } });
    server.post(JOBS, job).await.ok();
    let path = format!("{JOBS}/j");
    let grown = server.merge(&path, json!({ "spec": { "completions": 3, "parallelism": 3 } })).await.ok();
    assert_eq!(grown["spec"]["completions"], 3);
    let message = refusal(&server, &path, json!({ "completions": 4 })).await;
    assert_eq!(message, "Invalid value: 4: can only be modified in tandem with spec.parallelism");
    server.merge(&path, json!({ "spec": { "parallelism": 1 } })).await.ok();
    let shrunk = server.merge(&path, json!({ "spec": { "completions": 1 } })).await.ok();
    assert_eq!(shrunk["spec"]["completions"], 1, "they are as many again");
}
