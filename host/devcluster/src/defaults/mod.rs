//! The defaults of the built-in kinds that clients rely on, which are owned by whoever left them out.
//!
//! Not all defaults of the real server: those that another object or a client's logic depends on.

mod pod;
mod registration;
mod scaling;
mod workload;

pub(crate) use self::workload::template_generation;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::access::shape;
use crate::admission;
use crate::kind::Kind;
use crate::object::{self, Json};

/// For how many seconds a client keeps to one Pod: three hours.
const AFFINITY: u16 = 10_800;

/// Fills in what the real server would.
pub(crate) fn fill(kind: &Kind, json: &mut Json) {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Namespace") => {
            let name = object::name(json).to_owned();
            object::edit_meta(json, |meta| {
                object::set(meta, &["labels", "kubernetes.io/metadata.name"], name.into());
            });
        }
        ("", "Pod") => object::edit(json, "spec", |spec| {
            pod::spec(spec);
            pod::requests(spec);
            default(spec, "enableServiceLinks", json!(true));
        }),
        ("", "Endpoints") => {
            for subset in maps(json, "subsets") {
                maps(subset, "ports").for_each(|port| default(port, "protocol", json!("TCP")));
            }
        }
        ("discovery.k8s.io", "EndpointSlice") => {
            for port in maps(json, "ports") {
                default(port, "name", json!(""));
                default(port, "protocol", json!("TCP"));
            }
        }
        ("", "Node") => node(json),
        ("", "Service") => object::edit(json, "spec", service),
        ("", "Secret") => secret(json),
        ("", "PersistentVolumeClaim" | "PersistentVolume") => object::edit(json, "spec", |spec| {
            default(spec, "volumeMode", json!("Filesystem"));
            if kind.kind == "PersistentVolume" {
                default(spec, "persistentVolumeReclaimPolicy", json!("Retain"));
                pod::host_path(spec);
            }
        }),
        ("apps", "Deployment") => object::edit(json, "spec", workload::deployment),
        ("apps", "StatefulSet") => object::edit(json, "spec", workload::stateful_set),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => {
            object::edit(json, "spec", |spec| {
                default(spec, "replicas", json!(1));
                template(spec);
            });
            if kind.kind == "ReplicationController" {
                workload::labels(json);
                workload::selector(json);
            }
        }
        ("", "PodTemplate") => template(json),
        ("", "LimitRange") => object::edit(json, "spec", scaling::limit_range),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration") => {
            registration::webhooks(json, true)
        }
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration") => {
            registration::webhooks(json, false)
        }
        ("admissionregistration.k8s.io", _) => {
            registration::policy(json, kind.kind == "ValidatingAdmissionPolicyBinding");
        }
        ("apiregistration.k8s.io", _) => object::edit(json, "spec", registration::service),
        ("storage.k8s.io", "CSIDriver") => object::edit(json, "spec", registration::driver),
        ("apps", "DaemonSet") => object::edit(json, "spec", workload::daemon_set),
        ("batch", "Job") => {
            object::edit(json, "spec", |spec| {
                workload::job(spec);
                default(spec, "manualSelector", json!(false));
            });
            workload::labels(json);
        }
        ("batch", "CronJob") => object::edit(json, "spec", workload::cron_job),
        ("autoscaling", "HorizontalPodAutoscaler") => {
            object::edit(json, "spec", |spec| scaling::autoscaler(spec, &kind.version));
        }
        ("networking.k8s.io", "NetworkPolicy") => object::edit(json, "spec", network_policy),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => shape::fill_binding(json),
        ("scheduling.k8s.io", "PriorityClass") => {
            default(json, "value", json!(0));
            default(json, "preemptionPolicy", json!(admission::POLICY));
        }
        ("storage.k8s.io", "StorageClass") => {
            default(json, "reclaimPolicy", json!("Delete"));
            default(json, "volumeBindingMode", json!("Immediate"));
        }
        _ => {}
    }
}

pub(crate) fn default(map: &mut Json, field: &str, value: Value) {
    // Clients written in Go send an empty map for a struct that was not set.
    let is_unset = |value: &Value| value.as_object().is_some_and(Json::is_empty);
    if map.get(field).is_none_or(is_unset) {
        map.insert(field.to_owned(), value);
    }
}

/// Networks are said in two ways, and Pods may have all that there is.
fn node(json: &mut Json) {
    let network = object::at(json, &["spec", "podCIDR"]).cloned();
    let networks = object::items(json, &["spec", "podCIDRs"]);
    match (network, networks.first().cloned()) {
        (Some(network), None) => object::set(json, &["spec", "podCIDRs"], json!([network])),
        (None, Some(first)) => object::set(json, &["spec", "podCIDR"], first),
        _ => {}
    }
    if let Some(capacity) = object::at(json, &["status", "capacity"]).cloned() {
        object::edit(json, "status", |status| default(status, "allocatable", capacity));
    }
}

fn template(spec: &mut Json) {
    if spec.contains_key("template") {
        object::edit(spec, "template", |template| object::edit(template, "spec", pod::spec));
    }
}

/// The maps in a list.
pub(crate) fn maps<'a>(map: &'a mut Json, list: &str) -> impl Iterator<Item = &'a mut Json> {
    let list = map.get_mut(list).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

/// What is meant by a policy that does not say which directions it is about.
fn network_policy(spec: &mut Json) {
    default(spec, "podSelector", json!({}));
    let mut types = vec!["Ingress"];
    if spec.contains_key("egress") {
        types.push("Egress");
    }
    default(spec, "policyTypes", json!(types));
    for direction in ["ingress", "egress"] {
        for rule in maps(spec, direction) {
            maps(rule, "ports").for_each(|port| default(port, "protocol", json!("TCP")));
        }
    }
}

fn service(spec: &mut Json) {
    default(spec, "type", json!("ClusterIP"));
    default(spec, "sessionAffinity", json!("None"));
    match object::text(spec, &["sessionAffinity"]) {
        "ClientIP" => object::edit(spec, "sessionAffinityConfig", |config| {
            object::edit(config, "clientIP", |client| default(client, "timeoutSeconds", json!(AFFINITY)));
        }),
        "None" => drop(spec.remove("sessionAffinityConfig")),
        _ => {}
    }
    let service_type = object::text(spec, &["type"]).to_owned();
    let is_outside = matches!(service_type.as_str(), "LoadBalancer" | "NodePort");
    if service_type != "ExternalName" {
        default(spec, "internalTrafficPolicy", json!("Cluster"));
    }
    if is_outside || (service_type == "ClusterIP" && spec.contains_key("externalIPs")) {
        default(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if service_type == "LoadBalancer" {
        default(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
    for port in maps(spec, "ports") {
        default(port, "protocol", json!("TCP"));
        let number = port.get("port").cloned().unwrap_or_default();
        if port.get("targetPort").is_some_and(|target| target == 0 || target == "") {
            port.remove("targetPort");
        }
        default(port, "targetPort", number);
    }
}

fn secret(json: &mut Json) {
    default(json, "type", json!("Opaque"));
    if let Some(Value::Object(plain)) = json.remove("stringData") {
        object::edit(json, "data", |data| {
            for (key, value) in plain {
                data.insert(key, STANDARD.encode(value.as_str().unwrap_or_default()).into());
            }
        });
    }
}

/// A null reads as absent, as when the real server decodes into its types.
pub(crate) fn drop_nulls(json: &mut Json) {
    json.retain(|_, value| !value.is_null());
    json.values_mut().for_each(drop_nulls_below);
}

fn drop_nulls_below(value: &mut Value) {
    match value {
        Value::Object(map) => drop_nulls(map),
        Value::Array(items) => items.iter_mut().for_each(drop_nulls_below),
        _ => {}
    }
}
