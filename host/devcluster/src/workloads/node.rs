//! The only Node: there for Pods to have a place.

use std::sync::Arc;

use serde_json::{Value, json};

use super::act;
use crate::cluster::Cluster;
use crate::object::{self, Json, Object};
use crate::store::{Key, Place};
use crate::write::{self, Write};

pub(super) const NAME: &str = "dev";
pub(super) const ADDRESS: &str = "192.0.2.1";
pub(super) const NODES: &str = "nodes";
const KUBELET: &str = "kubelet";

/// Adds the Node, and says that it is ready.
pub(super) fn register(cluster: &Cluster) {
    let Some(kind) = cluster.kind_of(NODES) else { return };
    let place: Place = (NODES.into(), Key::new("", NAME));
    let write = Write::by(kind, place.1.clone(), KUBELET, "");
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": NAME, "labels": labels() },
        "spec": { "podCIDR": "10.244.0.0/16", "podCIDRs": ["10.244.0.0/16"] },
    });
    match write::create(cluster, &write, node.as_object().cloned().unwrap_or_default()) {
        Ok(_) => {}
        // From an earlier start, which may not have come further.
        Err(error) if error.reason == "AlreadyExists" => {}
        Err(error) => return tracing::error!(%error, "cannot add the node"),
    }
    let Some(node) = cluster.store.get(NODES, &place.1) else { return };
    act::change(cluster, &place, object::uid(&node.json), (KUBELET, "status"), |json| {
        // From an earlier start, it may have one.
        if object::items(json, &["status", "conditions"]).is_empty() {
            json.insert("status".to_owned(), status());
        }
    });
}

fn current(cluster: &Cluster) -> Option<Arc<Object>> {
    cluster.store.get(NODES, &Key::new("", NAME))
}

/// Whether the Node is one that the specification of a Pod selects.
fn is_selected(node: &Json, spec: Option<&Json>) -> bool {
    let wanted = spec.and_then(|spec| spec.get("nodeSelector")).and_then(Value::as_object);
    wanted
        .into_iter()
        .flatten()
        .all(|(label, value)| object::at(node, &["metadata", "labels", label]) == Some(value))
}

/// Whether Pods of a template may run on the Node, as far as their node selector says.
pub(super) fn suits(cluster: &Cluster, json: &Json) -> bool {
    let spec = object::at(json, &["spec", "template", "spec"]).and_then(Value::as_object);
    current(cluster).is_some_and(|node| is_selected(&node.json, spec))
}

/// Why a Pod is not placed on the Node, in the scheduler's words: the Node is cordoned, or not one that the Pod selects.
pub(super) fn obstacle(cluster: &Cluster, pod: &Json) -> Option<String> {
    let Some(node) = current(cluster) else { return Some("no nodes available to schedule pods".to_owned()) };
    let is_cordoned = object::at(&node.json, &["spec", "unschedulable"]) == Some(&Value::Bool(true));
    let why = match is_selected(&node.json, pod.get("spec").and_then(Value::as_object)) {
        true if !is_cordoned => return None,
        true => "1 node(s) were unschedulable",
        false => "1 node(s) didn't match Pod's node affinity/selector",
    };
    Some(format!("0/1 nodes are available: {why}."))
}

fn labels() -> Value {
    json!({ "kubernetes.io/hostname": NAME, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64" })
}

fn status() -> Value {
    let now = object::now();
    let condition = |of_type: &str, status: &str, reason: &str, message: &str| {
        json!({ "type": of_type, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now })
    };
    let resources = json!({ "cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "10000" });
    json!({
        "capacity": resources, "allocatable": resources,
        "addresses": [
            { "type": "InternalIP", "address": ADDRESS }, { "type": "Hostname", "address": NAME },
        ],
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory",
                "kubelet has sufficient memory available"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": 10250 } },
        "nodeInfo": {
            "architecture": "amd64", "operatingSystem": "linux", "osImage": "Wheelhouse development cluster",
            "kubeletVersion": "v1.32.0", "kubeProxyVersion": "v1.32.0", "kernelVersion": "none",
            "containerRuntimeVersion": "none://0", "machineID": "", "systemUUID": "", "bootID": "",
        },
    })
}
