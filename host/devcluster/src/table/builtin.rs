//! The rows of the built-in kinds, and name and age for all others.

use serde_json::{Value, json};

use super::text::{age_of, containers, field, human, items, labels, number, or_none, selector, text_or};
use super::{event, network, pod, setup, storage, workload};
use crate::kind::Kind;
use crate::object::{self, Json};

/// The cells of an object, in the order of its kind's columns.
pub(super) fn row(kind: &Kind, json: &Json) -> Vec<Value> {
    let created = object::meta_text(json, "creationTimestamp");
    let age = json!(age_of(created));
    let at = |path: &[&str]| object::at(json, path);
    let text = |path: &[&str]| json!(object::text(json, path));
    let cells = match (kind.group.as_str(), kind.kind.as_str()) {
        _ if kind.is_custom() => vec![age],
        ("" | "events.k8s.io", "Event") => return event::cells(json),
        ("storage.k8s.io", "StorageClass") => return storage::class(json, age),
        ("", "Pod") => pod::cells(json, age),
        ("", "PodTemplate") => {
            let [names, images] = containers(json, &["template", "spec"]);
            vec![names, images, labels(at(&["template", "metadata", "labels"]))]
        }
        ("", "Service") => network::service(json, age),
        ("", "Node") => node(json, age),
        ("", "Namespace") => vec![text_or(json, &["status", "phase"], "<none>"), age],
        ("", "ConfigMap") => vec![json!(count(json, "data").saturating_add(count(json, "binaryData"))), age],
        ("", "Secret") => vec![text(&["type"]), json!(count(json, "data")), age],
        ("", "Endpoints") => network::endpoints(json, age),
        ("", "ReplicationController") => workload::replica_set(json, age, true),
        ("", "PersistentVolume") => storage::volume(json, age),
        ("", "PersistentVolumeClaim") => storage::claim(json, age),
        ("", "ResourceQuota") => quota(json, age),
        ("apps", "Deployment") => workload::deployment(json, age),
        ("apps", "ReplicaSet") => workload::replica_set(json, age, false),
        ("apps", "StatefulSet") => workload::stateful_set(json, age),
        ("apps", "DaemonSet") => workload::daemon_set(json, age),
        ("batch", "Job") => workload::job(json, age),
        ("batch", "CronJob") => workload::cron_job(json, age),
        ("autoscaling", "HorizontalPodAutoscaler") => workload::autoscaler(json, age),
        ("autoscaling", "Scale") => {
            let count = |part: &str| json!(number(json, &[part, "replicas"]));
            vec![count("spec"), count("status"), age]
        }
        ("policy", "PodDisruptionBudget") => workload::disruption_budget(json, age),
        ("networking.k8s.io", "Ingress") => network::ingress(json, age),
        ("networking.k8s.io", "IngressClass") => network::ingress_class(json, age),
        ("networking.k8s.io", "NetworkPolicy") => vec![selector(at(&["spec", "podSelector"])), age],
        ("discovery.k8s.io", "EndpointSlice") => network::endpoint_slice(json, age),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole")
        | ("apiextensions.k8s.io", "CustomResourceDefinition")
        | ("", "LimitRange")
        | ("storage.k8s.io", "CSIStorageCapacity") => vec![json!(created)],
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => binding(json, age),
        ("certificates.k8s.io", "CertificateSigningRequest") => signing_request(json, age),
        ("scheduling.k8s.io", "PriorityClass") => vec![
            json!(number(json, &["value"])),
            json!(at(&["globalDefault"]) == Some(&Value::Bool(true))),
            age,
            text_or(json, &["preemptionPolicy"], "PreemptLowerPriority"),
        ],
        ("node.k8s.io", "RuntimeClass") => vec![text(&["handler"]), age],
        ("coordination.k8s.io", "Lease") => vec![text(&["spec", "holderIdentity"]), age],
        ("apps", "ControllerRevision") => setup::controller_revision(json, age),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => setup::policy(json, age),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding") => {
            setup::policy_binding(json, age)
        }
        ("admissionregistration.k8s.io", _) => setup::webhooks(json, age),
        ("apiregistration.k8s.io", "APIService") => setup::api_service(json, age),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => setup::flow_schema(json, age),
        ("flowcontrol.apiserver.k8s.io", _) => setup::priority_level(json, age),
        ("storage.k8s.io", "CSIDriver") => storage::driver(json, age),
        ("storage.k8s.io", "CSINode") => vec![json!(items(json, &["spec", "drivers"]).len()), age],
        ("storage.k8s.io", "VolumeAttachment") => storage::attachment(json, age),
        ("storage.k8s.io", "VolumeAttributesClass") => vec![text(&["driverName"]), age],
        ("networking.k8s.io", "ServiceCIDR") => vec![json!(joined(json, &["spec", "cidrs"])), age],
        _ => vec![age],
    };
    std::iter::once(json!(object::name(json))).chain(cells).collect()
}

/// The texts of a list.
pub(super) fn joined(json: &Json, path: &[&str]) -> String {
    let texts: Vec<&str> = items(json, path).iter().filter_map(Value::as_str).collect();
    texts.join(",")
}

fn count(json: &Json, field: &str) -> usize {
    json.get(field).and_then(Value::as_object).map_or(0, Json::len)
}

/// Used and allowed amounts: requests and counts, then limits.
fn quota(json: &Json, age: Value) -> Vec<Value> {
    let hard = object::at(json, &["status", "hard"]).and_then(Value::as_object);
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, allowed) in hard.into_iter().flatten() {
        let used = object::text(json, &["status", "used", resource]);
        let used = if used.is_empty() { "0" } else { used };
        let line = format!("{resource}: {used}/{}", allowed.as_str().unwrap_or_default());
        if resource.starts_with("limits.") { limits.push(line) } else { requests.push(line) }
    }
    vec![json!(requests.join(", ")), json!(limits.join(", ")), age]
}

fn binding(json: &Json, age: Value) -> Vec<Value> {
    let role = |name: &str| object::text(json, &["roleRef", name]);
    let subjects = |kind: &str| {
        let of_kind = items(json, &["subjects"]).iter().filter(|subject| field(subject, "kind") == kind);
        let name = |subject: &Value| match kind {
            "ServiceAccount" => format!("{}/{}", field(subject, "namespace"), field(subject, "name")),
            _ => field(subject, "name").to_owned(),
        };
        let names: Vec<String> = of_kind.map(name).collect();
        json!(names.join(", "))
    };
    let role = json!(format!("{}/{}", role("kind"), role("name")));
    vec![role, age, subjects("User"), subjects("Group"), subjects("ServiceAccount")]
}

fn signing_request(json: &Json, age: Value) -> Vec<Value> {
    let has = |of_type: &str| {
        items(json, &["status", "conditions"]).iter().any(|condition| field(condition, "type") == of_type)
    };
    let mut status = match (has("Approved"), has("Denied")) {
        (_, true) => "Denied",
        (true, false) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if has("Failed") {
        status.push_str(",Failed");
    }
    if !object::text(json, &["status", "certificate"]).is_empty() {
        status.push_str(",Issued");
    }
    let duration = object::at(json, &["spec", "expirationSeconds"]).and_then(Value::as_i64);
    vec![
        age,
        text_or(json, &["spec", "signerName"], "<none>"),
        json!(object::text(json, &["spec", "username"])),
        json!(duration.map_or_else(|| "<none>".to_owned(), human)),
        json!(status),
    ]
}

fn node(json: &Json, age: Value) -> Vec<Value> {
    let info = |field: &str| text_or(json, &["status", "nodeInfo", field], "<unknown>");
    let address = |of_type: &str| {
        let found = items(json, &["status", "addresses"]).iter().find(|a| field(a, "type") == of_type);
        json!(or_none(found.map(|found| field(found, "address")).unwrap_or_default()))
    };
    vec![
        json!(node_status(json)),
        json!(node_roles(json)),
        age,
        json!(object::text(json, &["status", "nodeInfo", "kubeletVersion"])),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn node_status(json: &Json) -> String {
    let ready = items(json, &["status", "conditions"])
        .iter()
        .find(|condition| condition.get("type").and_then(Value::as_str) == Some("Ready"))
        .and_then(|condition| condition.get("status").and_then(Value::as_str));
    let mut status = match ready {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if object::at(json, &["spec", "unschedulable"]) == Some(&Value::Bool(true)) {
        status.push_str(",SchedulingDisabled");
    }
    status
}

fn node_roles(json: &Json) -> String {
    let labels = object::meta(json, "labels").and_then(Value::as_object);
    let roles = labels.into_iter().flat_map(|labels| labels.keys());
    let roles: Vec<&str> = roles.filter_map(|key| key.strip_prefix("node-role.kubernetes.io/")).collect();
    or_none(&roles.join(",")).to_owned()
}
