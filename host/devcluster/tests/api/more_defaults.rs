//! What the server fills in of scaling, limits, Jobs, Services and of what others register.

use serde_json::{Value, json};

use crate::support::{Server, start};

/// What is made of an object that is not stored. One of the whole cluster has a name that no other test gives.
async fn made(server: &Server, list: &str, mut body: Value) -> Value {
    body["metadata"]["name"] = json!(if list.contains("/namespaces/") { "x" } else { "x.example.com" });
    server.post(&format!("{list}?dryRun=All"), body).await.ok()
}

#[tokio::test]
async fn an_autoscaler_without_metrics_aims_at_the_cpu() {
    let server = start().await;
    let list =
        |version: &str| format!("/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers");
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" });
    let body = json!({ "spec": { "scaleTargetRef": target, "maxReplicas": 3,
        "behavior": { "scaleDown": { "stabilizationWindowSeconds": 3 } } } });
    let new = made(&server, &list("v2"), body.clone()).await;
    let cpu = json!({ "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } });
    assert_eq!(new["spec"]["metrics"], json!([{ "type": "Resource", "resource": cpu }]));
    let all = json!({ "type": "Percent", "value": 100, "periodSeconds": 15 });
    let four = json!({ "type": "Pods", "value": 4, "periodSeconds": 15 });
    let behavior = json!({
        "scaleUp": { "stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [four, all] },
        "scaleDown": { "stabilizationWindowSeconds": 3, "selectPolicy": "Max", "policies": [all] } });
    assert_eq!(new["spec"]["behavior"], behavior);
    let body = json!({ "spec": { "scaleTargetRef": target, "maxReplicas": 3 } });
    let old = made(&server, &list("v1"), body).await;
    assert_eq!(old["spec"]["targetCPUUtilizationPercentage"], 80);
}

#[tokio::test]
async fn a_container_may_have_as_much_as_the_most_and_asks_for_that() {
    let server = start().await;
    let list = "/api/v1/namespaces/default/limitranges";
    let limits = async |limit: Value| {
        made(&server, list, json!({ "spec": { "limits": [limit] } })).await["spec"]["limits"][0].clone()
    };
    let most = json!({ "type": "Container", "max": { "cpu": "2" }, "min": { "cpu": "1", "memory": "1Gi" } });
    let most = limits(most).await;
    assert_eq!(most["default"], json!({ "cpu": "2" }));
    assert_eq!(most["defaultRequest"], json!({ "cpu": "2", "memory": "1Gi" }));
    let pods = json!({ "type": "Pod", "max": { "cpu": "2" } });
    assert_eq!(limits(pods.clone()).await, pods);
}

#[tokio::test]
async fn a_job_has_the_labels_of_its_pods_unless_it_has_others() {
    let server = start().await;
    let list = "/apis/batch/v1/namespaces/default/jobs";
    let spec = |labels: Value| {
        json!({ "completionMode": "Indexed", "completions": 2, "backoffLimitPerIndex": 1,
            "template": { "metadata": { "labels": labels }, "spec": { "restartPolicy": "Never",
                "containers": [{ "name": "c", "image": "i:1" }] } } })
    };
    let job = made(&server, list, json!({ "spec": spec(json!({ "a": "b" })) })).await;
    assert_eq!(job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]);
    assert_eq!(job["metadata"]["labels"]["batch.kubernetes.io/job-name"], "x");
    assert_eq!(
        (&job["spec"]["manualSelector"], &job["spec"]["backoffLimit"]),
        (&json!(false), &json!(i32::MAX))
    );
    let owned = &job["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"]["f:labels"];
    assert_eq!(*owned, json!({ ".": {}, "f:a": {} }));
    let own = json!({ "metadata": { "labels": { "q": "r" } }, "spec": spec(json!({})) });
    assert_eq!(made(&server, list, own).await["metadata"]["labels"], json!({ "q": "r" }));
    let manual = json!({ "manualSelector": true, "selector": { "matchLabels": { "a": "b" } },
        "template": spec(json!({ "a": "b" }))["template"] });
    let manual = made(&server, list, json!({ "spec": manual })).await;
    assert_eq!(manual["metadata"]["labels"], json!({ "a": "b" }));
    let controllers = "/api/v1/namespaces/default/replicationcontrollers";
    let template = json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [
        { "name": "c", "image": "i:1", "lifecycle": { "preStop": { "httpGet": { "port": 80 } } } }] } });
    let made = made(&server, controllers, json!({ "spec": { "template": template } })).await;
    assert_eq!(made["metadata"]["labels"], json!({ "a": "b" }));
    assert_eq!(made["spec"]["selector"], json!({ "a": "b" }));
    let hook = &made["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]["httpGet"];
    assert_eq!(*hook, json!({ "port": 80, "path": "/", "scheme": "HTTP" }));
}

#[tokio::test]
async fn a_service_that_keeps_to_a_client_does_so_for_three_hours() {
    let server = start().await;
    let service = |config: Value| {
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s" }, "spec": {
            "ports": [{ "port": 80 }], "sessionAffinity": "ClientIP", "sessionAffinityConfig": config } })
    };
    let list = "/api/v1/namespaces/default/services";
    let made = server.post(list, service(json!({}))).await.ok();
    let config = json!({ "clientIP": { "timeoutSeconds": 10_800 } });
    assert_eq!(made["spec"]["sessionAffinityConfig"], config);
    let none = json!({ "spec": { "sessionAffinity": "None" } });
    let none = server.merge(&format!("{list}/s"), none).await.ok();
    assert_eq!(none["spec"].get("sessionAffinityConfig"), None);
    let zero = service(json!({ "clientIP": { "timeoutSeconds": 0 } }));
    let status = server.post(list, zero).await.refused(422, "Invalid");
    let message = "Invalid value: 0: must be greater than 0 and less than 86400";
    assert_eq!(status["details"]["causes"][0]["message"], message);
}

#[tokio::test]
async fn webhooks_and_policies_are_about_all_that_they_do_not_except() {
    let server = start().await;
    let rules = json!([{ "apiGroups": ["zz.example.com"], "apiVersions": ["v1"], "operations": ["CREATE"],
        "resources": ["zz"] }]);
    let list = |plural: &str| format!("/apis/admissionregistration.k8s.io/v1/{plural}");
    let webhook = json!({ "name": "a.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "rules": rules,
        "clientConfig": { "service": { "namespace": "d", "name": "s" } } });
    let hooks = json!({ "webhooks": [webhook] });
    let mutating = made(&server, &list("mutatingwebhookconfigurations"), hooks.clone()).await;
    let mut expected = webhook.clone();
    for (field, value) in [
        ("failurePolicy", json!("Fail")),
        ("matchPolicy", json!("Equivalent")),
        ("namespaceSelector", json!({})),
        ("objectSelector", json!({})),
        ("timeoutSeconds", json!(10)),
    ] {
        expected[field] = value;
    }
    expected["rules"][0]["scope"] = json!("*");
    expected["clientConfig"]["service"]["port"] = json!(443);
    let validating = made(&server, &list("validatingwebhookconfigurations"), hooks).await;
    assert_eq!(validating["webhooks"][0], expected);
    expected["reinvocationPolicy"] = json!("Never");
    assert_eq!(mutating["webhooks"][0], expected);
    let policy =
        json!({ "matchConstraints": { "resourceRules": rules }, "validations": [{ "expression": "true" }] });
    let policy = made(&server, &list("validatingadmissionpolicies"), json!({ "spec": policy })).await;
    assert_eq!(policy["spec"]["failurePolicy"], "Fail");
    let matched = &policy["spec"]["matchConstraints"];
    assert_eq!((&matched["matchPolicy"], &matched["objectSelector"]), (&json!("Equivalent"), &json!({})));
    assert_eq!(matched["resourceRules"][0]["scope"], "*");
}
