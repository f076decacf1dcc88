//! The defaults of the built-in kinds that clients rely on.
//!
//! Not all defaults of the real server: those that another object or a client's logic depends on.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::kind::Kind;
use crate::object::{self, Json};
use crate::{emptying, naming, qos};

/// Fills in what the real server would; `old` is the live object of an update.
pub(crate) fn fill(kind: &Kind, json: &mut Json, old: Option<&Json>) {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Namespace") => {
            let name = object::name(json).to_owned();
            object::edit_meta(json, |meta| {
                object::set(meta, &["labels", "kubernetes.io/metadata.name"], name.into());
            });
            if old.is_none() {
                let given = object::at(json, &["spec", "finalizers"]).and_then(Value::as_array).cloned();
                let mut finalizers = given.unwrap_or_default();
                if !finalizers.contains(&json!(emptying::FINALIZER)) {
                    finalizers.push(emptying::FINALIZER.into());
                }
                object::set(json, &["spec", "finalizers"], finalizers.into());
                json.insert("status".to_owned(), json!({ "phase": "Active" }));
            }
        }
        ("", "Pod") => {
            object::edit(json, "spec", pod_spec);
            if old.is_none() {
                json.insert("status".to_owned(), json!({ "phase": "Pending", "qosClass": qos::class(json) }));
            }
        }
        ("", "Service") => service(json, old),
        ("", "Secret") => secret(json),
        ("", "PersistentVolumeClaim" | "PersistentVolume") if old.is_none() => {
            json.insert("status".to_owned(), json!({ "phase": "Pending" }));
        }
        ("apps", "Deployment") => object::edit(json, "spec", |spec| {
            default(spec, "replicas", json!(1));
            default(spec, "revisionHistoryLimit", json!(10));
            default(spec, "progressDeadlineSeconds", json!(600));
            let rolling = json!({ "type": "RollingUpdate",
                "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } });
            default(spec, "strategy", rolling);
            template(spec);
        }),
        ("apps", "StatefulSet") => object::edit(json, "spec", |spec| {
            default(spec, "replicas", json!(1));
            default(spec, "revisionHistoryLimit", json!(10));
            default(spec, "podManagementPolicy", json!("OrderedReady"));
            default(
                spec,
                "updateStrategy",
                json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } }),
            );
            template(spec);
        }),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => object::edit(json, "spec", |spec| {
            default(spec, "replicas", json!(1));
            template(spec);
        }),
        ("apps", "DaemonSet") => object::edit(json, "spec", |spec| {
            default(spec, "revisionHistoryLimit", json!(10));
            let rolling =
                json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } });
            default(spec, "updateStrategy", rolling);
            template(spec);
        }),
        ("batch", "Job") => {
            object::edit(json, "spec", job_spec);
            if old.is_none() {
                select_own_pods(json);
            }
        }
        ("batch", "CronJob") => object::edit(json, "spec", |spec| {
            default(spec, "concurrencyPolicy", json!("Allow"));
            default(spec, "suspend", json!(false));
            default(spec, "successfulJobsHistoryLimit", json!(3));
            default(spec, "failedJobsHistoryLimit", json!(1));
        }),
        _ => {}
    }
}

fn default(map: &mut Json, field: &str, value: Value) {
    // Clients written in Go send an empty map for a struct that was not set.
    let is_unset = |value: &Value| value.as_object().is_some_and(Json::is_empty);
    if map.get(field).is_none_or(is_unset) {
        map.insert(field.to_owned(), value);
    }
}

fn template(spec: &mut Json) {
    if spec.contains_key("template") {
        object::edit(spec, "template", |template| object::edit(template, "spec", pod_spec));
    }
}

fn pod_spec(spec: &mut Json) {
    default(spec, "restartPolicy", json!("Always"));
    default(spec, "dnsPolicy", json!("ClusterFirst"));
    default(spec, "schedulerName", json!("default-scheduler"));
    default(spec, "terminationGracePeriodSeconds", json!(30));
    default(spec, "securityContext", json!({}));
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(container) = container.as_object_mut() else { continue };
            let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
            let is_latest = !image.contains('@')
                && image
                    .rsplit('/')
                    .next()
                    .is_none_or(|last| !last.contains(':') || last.ends_with(":latest"));
            default(container, "imagePullPolicy", json!(if is_latest { "Always" } else { "IfNotPresent" }));
            default(container, "terminationMessagePath", json!("/dev/termination-log"));
            default(container, "terminationMessagePolicy", json!("File"));
            default(container, "resources", json!({}));
            for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(port) = port.as_object_mut() {
                    default(port, "protocol", json!("TCP"));
                }
            }
        }
    }
}

fn job_spec(spec: &mut Json) {
    default(spec, "backoffLimit", json!(6));
    default(spec, "completionMode", json!("NonIndexed"));
    default(spec, "suspend", json!(false));
    if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
        default(spec, "completions", json!(1));
    }
    default(spec, "parallelism", json!(1));
    template(spec);
}

/// A Job selects the Pods that carry its uid, unless it says itself what it selects.
fn select_own_pods(json: &mut Json) {
    if object::at(json, &["spec", "manualSelector"]) == Some(&Value::Bool(true)) {
        return;
    }
    let (uid, name) = (object::uid(json).to_owned(), object::name(json).to_owned());
    let label = "batch.kubernetes.io/controller-uid";
    object::set(json, &["spec", "selector", "matchLabels", label], uid.clone().into());
    for (label, value) in [
        (label, &uid),
        ("controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("job-name", &name),
    ] {
        object::set(json, &["spec", "template", "metadata", "labels", label], value.clone().into());
    }
}

fn service(json: &mut Json, old: Option<&Json>) {
    let kept = old.and_then(|old| object::at(old, &["spec", "clusterIP"])).cloned();
    let address = naming::address("10.96", object::uid(json));
    object::edit(json, "spec", |spec| {
        default(spec, "type", json!("ClusterIP"));
        default(spec, "sessionAffinity", json!("None"));
        default(spec, "internalTrafficPolicy", json!("Cluster"));
        default(spec, "ipFamilies", json!(["IPv4"]));
        default(spec, "ipFamilyPolicy", json!("SingleStack"));
        if spec.get("type").and_then(Value::as_str) != Some("ExternalName") {
            default(spec, "clusterIP", kept.unwrap_or_else(|| address.into()));
            let first = spec.get("clusterIP").cloned().unwrap_or_default();
            default(spec, "clusterIPs", json!([first]));
        }
        for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(port) = port.as_object_mut() {
                default(port, "protocol", json!("TCP"));
                let number = port.get("port").cloned().unwrap_or_default();
                default(port, "targetPort", number);
            }
        }
    });
    if !json.contains_key("status") {
        json.insert("status".to_owned(), json!({ "loadBalancer": {} }));
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
