//! The two versions of autoscalers.

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
