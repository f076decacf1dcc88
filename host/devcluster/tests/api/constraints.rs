//! What a cluster refuses of built-in kinds though their types allow it, word by word.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, DEPLOYMENTS, PODS, Server, config_map, deployment, event, pod, start};

async fn invalid(server: &Server, path: &str, body: Value, message: &str) {
    assert_eq!(server.post(path, body).await.refused(422, "Invalid")["message"], message);
}

/// A named object of a kind in the namespace, from its other fields.
fn object(api: &str, kind: &str, mut rest: Value) -> Value {
    rest["apiVersion"] = json!(api);
    rest["kind"] = json!(kind);
    rest["metadata"] = json!({ "name": "x" });
    rest
}

fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[field] = value;
    body
}

#[tokio::test]
async fn a_selector_is_there_selects_something_and_matches_the_template() {
    let server = start().await;
    let start = "Deployment.apps \"x\" is invalid: spec.";
    let other = with(deployment("x"), "/spec/selector/matchLabels", json!({ "app": "y" }));
    let message = format!(
        "{start}template.metadata.labels: Invalid value: {{\"app\":\"x\"}}: `selector` does not match template `labels`"
    );
    invalid(&server, DEPLOYMENTS, other, &message).await;
    let none = with(deployment("x"), "/spec/selector", Value::Null);
    let message = "Deployment.apps \"x\" is invalid: [spec.selector: Required value, spec.template.metadata.labels: \
                   Invalid value: {\"app\":\"x\"}: `selector` does not match template `labels`]";
    invalid(&server, DEPLOYMENTS, none, message).await;
    let empty = with(deployment("x"), "/spec/selector", json!({}));
    let message = format!("{start}selector: Invalid value: {{}}: empty selector is invalid for deployment");
    invalid(&server, DEPLOYMENTS, empty, &message).await;
    let negative = with(deployment("x"), "/spec/replicas", json!(-1));
    let message = format!("{start}replicas: Invalid value: -1: must be greater than or equal to 0");
    invalid(&server, DEPLOYMENTS, negative, &message).await;
}

#[tokio::test]
async fn containers_have_names_and_images_and_mount_what_there_is() {
    let server = start().await;
    let broken = |containers: Value| with(pod("x"), "/spec/containers", containers);
    let start = "Pod \"x\" is invalid: ";
    invalid(&server, PODS, broken(json!([])), &format!("{start}spec.containers: Required value")).await;
    let message =
        format!("{start}[spec.containers[0].name: Required value, spec.containers[0].image: Required value]");
    invalid(&server, PODS, broken(json!([{}])), &message).await;
    let twice = json!([{ "name": "a", "image": "i" }, { "name": "a", "image": "i" }]);
    let message = format!("{start}spec.containers[1].name: Duplicate value: \"a\"");
    invalid(&server, PODS, broken(twice), &message).await;
    let mount = json!([{ "name": "a", "image": "i", "volumeMounts": [{ "name": "v", "mountPath": "/v" }] }]);
    let message = format!("{start}spec.containers[0].volumeMounts[0].name: Not found: \"v\"");
    invalid(&server, PODS, broken(mount), &message).await;
    let port = json!([{ "name": "a", "image": "i", "ports": [{ "containerPort": 70_000 }] }]);
    let message = format!(
        "{start}spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"
    );
    invalid(&server, PODS, broken(port), &message).await;
    let policy = json!([{ "name": "a", "image": "i", "imagePullPolicy": "Maybe" }]);
    let message = format!(
        "{start}spec.containers[0].imagePullPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \
         \"IfNotPresent\", \"Never\""
    );
    invalid(&server, PODS, broken(policy), &message).await;
}

#[tokio::test]
async fn a_stateful_set_mounts_the_claims_that_it_makes() {
    let server = start().await;
    let mut body = with(deployment("x"), "/kind", json!("StatefulSet"));
    body["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{ "name": "data", "mountPath": "/data" }]);
    let path = "/apis/apps/v1/namespaces/default/statefulsets";
    let message = "StatefulSet.apps \"x\" is invalid: spec.template.spec.containers[0].volumeMounts[0].name: Not \
                   found: \"data\"";
    invalid(&server, path, body.clone(), message).await;
    body["spec"]["volumeClaimTemplates"] = json!([{ "metadata": { "name": "data" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } } }]);
    server.post(path, body).await.ok();
}

#[tokio::test]
async fn jobs_end_and_deployments_go_on() {
    let server = start().await;
    let template = json!({ "spec": { "containers": [{ "name": "a", "image": "i" }] } });
    let job = object("batch/v1", "Job", json!({ "spec": { "template": template } }));
    let message = "Job.batch \"x\" is invalid: spec.template.spec.restartPolicy: Required value: valid values: \
                   \"OnFailure\", \"Never\"";
    invalid(&server, "/apis/batch/v1/namespaces/default/jobs", job, message).await;
    let never = with(deployment("x"), "/spec/template/spec/restartPolicy", json!("Never"));
    let message = "Deployment.apps \"x\" is invalid: spec.template.spec.restartPolicy: Unsupported value: \"Never\": \
                   supported values: \"Always\"";
    invalid(&server, DEPLOYMENTS, never, message).await;
}

#[tokio::test]
async fn services_have_ports_that_can_be_told_apart() {
    let server = start().await;
    let services = "/api/v1/namespaces/default/services";
    let service = |spec: Value| object("v1", "Service", json!({ "spec": spec }));
    let start = "Service \"x\" is invalid: spec.";
    invalid(&server, services, service(json!({})), &format!("{start}ports: Required value")).await;
    let unnamed = json!({ "ports": [{ "name": "a", "port": 80 }, { "port": 81 }] });
    invalid(&server, services, service(unnamed), &format!("{start}ports[1].name: Required value")).await;
    let twice = json!({ "ports": [{ "name": "a", "port": 80 }, { "name": "a", "port": 81 }] });
    let message = format!("{start}ports[1].name: Duplicate value: \"a\"");
    invalid(&server, services, service(twice), &message).await;
    let large = json!({ "ports": [{ "port": 65_536, "targetPort": 80 }] });
    let message =
        format!("{start}ports[0].port: Invalid value: 65536: must be between 1 and 65535, inclusive");
    invalid(&server, services, service(large), &message).await;
    let headless = service(json!({ "clusterIP": "None" }));
    server.post(services, headless).await.ok();
}

#[tokio::test]
async fn keys_of_data_become_files_and_rules_name_verbs() {
    let server = start().await;
    let message = "ConfigMap \"x\" is invalid: data[a b]: Invalid value: \"a b\": a valid config key must consist of \
                   alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex \
                   used for validation is '[-._a-zA-Z0-9]+')";
    invalid(&server, CONFIG_MAPS, config_map("x", json!({ "a b": "1" })), message).await;
    let role =
        object("rbac.authorization.k8s.io/v1", "Role", json!({ "rules": [{ "resources": ["pods"] }] }));
    let message = "Role.rbac.authorization.k8s.io \"x\" is invalid: [rules[0].verbs: Required value: verbs must \
                   contain at least one value, rules[0].apiGroups: Required value: resource rules must supply at \
                   least one api group]";
    invalid(&server, "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles", role, message).await;
    let claim = object("v1", "PersistentVolumeClaim", json!({ "spec": {} }));
    let message = "PersistentVolumeClaim \"x\" is invalid: [spec.accessModes: Required value: at least 1 access mode \
                   is required, spec.resources[storage]: Required value]";
    invalid(&server, "/api/v1/namespaces/default/persistentvolumeclaims", claim, message).await;
}

#[tokio::test]
async fn an_update_is_judged_by_what_it_changes() {
    let server = start().await;
    server.post(DEPLOYMENTS, deployment("x")).await.ok();
    let path = format!("{DEPLOYMENTS}/x");
    let change = json!({ "spec": { "replicas": -2 } });
    let message = "Deployment.apps \"x\" is invalid: spec.replicas: Invalid value: -2: must be greater than or equal \
                   to 0";
    assert_eq!(server.merge(&path, change).await.refused(422, "Invalid")["message"], message);
    let labels = json!({ "metadata": { "labels": { "a": "b" } } });
    server.merge(&path, labels).await.ok();
}

#[tokio::test]
async fn events_say_where_when_and_by_whom() {
    let server = start().await;
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    let fields = async |path: &str, body: Value| -> Vec<String> {
        let status = server.post(path, body).await.refused(422, "Invalid");
        let causes = status["details"]["causes"].as_array().unwrap().clone();
        causes.iter().map(|cause| cause["field"].as_str().unwrap().to_owned()).collect()
    };
    let elsewhere = json!({ "kind": "Pod", "name": "p", "namespace": "elsewhere" });
    let bare = json!({ "metadata": { "name": "e" }, "regarding": elsewhere, "note": "n" });
    assert_eq!(fields(events, bare).await, ["involvedObject.namespace", "eventTime", "type"]);
    let mut anonymous = event("e", "", "n");
    for field in ["action", "reportingInstance"] {
        anonymous.as_object_mut().unwrap().remove(field);
    }
    assert_eq!(fields(events, anonymous).await, ["reportingInstance", "action", "reason"]);
    let old = json!({ "metadata": { "name": "e" }, "involvedObject": elsewhere, "message": "n" });
    assert_eq!(fields("/api/v1/namespaces/default/events", old).await, ["involvedObject.namespace"]);
}

#[tokio::test]
async fn an_autoscaler_has_a_target_of_a_group() {
    let server = start().await;
    let path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
    let rest = json!({ "spec": { "maxReplicas": 2, "scaleTargetRef": { "kind": "", "name": "" } } });
    let message = "HorizontalPodAutoscaler.autoscaling \"x\" is invalid: [spec.scaleTargetRef.kind: Required value, \
                   spec.scaleTargetRef.name: Required value, spec.scaleTargetRef.apiVersion: Invalid value: \"\": \
                   apiVersion must specify API group]";
    invalid(&server, path, object("autoscaling/v2", "HorizontalPodAutoscaler", rest), message).await;
}
