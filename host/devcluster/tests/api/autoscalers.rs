//! Autoscalers, and their two versions.

use serde_json::json;

use crate::support::start;

#[tokio::test]
async fn the_cpu_target_of_v1_is_a_metric_of_v2_and_back() {
    let server = start().await;
    let path =
        |version: &str| format!("/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers");
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" });
    let old = json!({ "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "web" },
        "spec": { "minReplicas": 2, "maxReplicas": 5, "scaleTargetRef": target, "targetCPUUtilizationPercentage": 80 } });
    let created = server.post(&path("v1"), old.clone()).await.ok();
    assert_eq!((&created["apiVersion"], &created["spec"]), (&old["apiVersion"], &old["spec"]));
    let new = server.get(&format!("{}/web", path("v2"))).await.ok();
    let cpu = json!({ "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } });
    assert_eq!(new["spec"]["metrics"], json!([{ "type": "Resource", "resource": cpu }]));
    assert_eq!(new["spec"].get("targetCPUUtilizationPercentage"), None);
    let change = json!({ "spec": { "targetCPUUtilizationPercentage": 60 } });
    let patched = server.merge(&format!("{}/web", path("v1")), change).await.ok();
    assert_eq!(patched["spec"]["targetCPUUtilizationPercentage"], 60);
    let list = server.get(&path("v2")).await.ok();
    assert_eq!(list["items"][0]["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 60);
}

#[tokio::test]
async fn bounds_that_are_none_are_told_with_all_that_is_wrong() {
    let server = start().await;
    let path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
    let metrics = "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to \
                   zero replicas";
    let least =
        |value: i64| format!("spec.minReplicas: Invalid value: {value}: must be greater than or equal to 1");
    let most =
        |value: i64| format!("spec.maxReplicas: Invalid value: {value}: must be greater than or equal to 1");
    let less = |value: i64| {
        format!("spec.maxReplicas: Invalid value: {value}: must be greater than or equal to `minReplicas`")
    };
    let none = "spec.maxReplicas: Required value: must be set and greater than 0";
    for (bounds, expected) in [
        (json!({}), format!("[{none}, {}]", less(0))),
        (json!({ "maxReplicas": 0 }), format!("[{none}, {}]", less(0))),
        (json!({ "minReplicas": 5, "maxReplicas": 3 }), less(3)),
        (json!({ "minReplicas": 0, "maxReplicas": 3 }), format!("[{}, {metrics}]", least(0))),
        (json!({ "minReplicas": 0, "maxReplicas": 0 }), format!("[{}, {none}, {metrics}]", least(0))),
        (
            json!({ "minReplicas": -1, "maxReplicas": -3 }),
            format!("[{}, {}, {}]", least(-1), most(-3), less(-3)),
        ),
    ] {
        let mut spec = bounds;
        spec["scaleTargetRef"] = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" });
        let body = json!({ "metadata": { "name": "h" }, "spec": spec });
        let status = server.post(path, body).await.refused(422, "Invalid");
        let expected = format!("HorizontalPodAutoscaler.autoscaling \"h\" is invalid: {expected}");
        assert_eq!(status["message"], expected);
    }
}
