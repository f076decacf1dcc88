//! The defaults of Pods and of their templates.

use serde_json::{Value, json};

use super::{default, maps};
use crate::object::{self, Json};

/// As the real server writes the mode of files that nobody gave one: 0644.
const FILE_MODE: u16 = 420;

/// Fills in the specification of a Pod.
pub(super) fn spec(spec: &mut Json) {
    default(spec, "restartPolicy", json!("Always"));
    default(spec, "dnsPolicy", json!("ClusterFirst"));
    default(spec, "schedulerName", json!("default-scheduler"));
    default(spec, "terminationGracePeriodSeconds", json!(30));
    default(spec, "securityContext", json!({}));
    // Its old name is written, too.
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        default(spec, "serviceAccount", account);
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        maps(spec, list).for_each(container);
    }
    maps(spec, "volumes").for_each(volume);
}

/// Whoever has a limit and no request asks for as much. A template leaves that to its Pods.
pub(super) fn requests(spec: &mut Json) {
    for list in ["containers", "initContainers"] {
        maps(spec, list).for_each(|container| object::edit(container, "resources", requested));
    }
}

fn container(container: &mut Json) {
    let image = object::text(container, &["image"]);
    let is_latest = !image.contains('@')
        && image.rsplit('/').next().is_none_or(|last| !last.contains(':') || last.ends_with(":latest"));
    default(container, "imagePullPolicy", json!(if is_latest { "Always" } else { "IfNotPresent" }));
    default(container, "terminationMessagePath", json!("/dev/termination-log"));
    default(container, "terminationMessagePolicy", json!("File"));
    default(container, "resources", json!({}));
    maps(container, "ports").for_each(|port| default(port, "protocol", json!("TCP")));
    for variable in maps(container, "env") {
        if variable.contains_key("valueFrom") {
            object::edit(variable, "valueFrom", references);
        }
    }
    if container.contains_key("lifecycle") {
        object::edit(container, "lifecycle", |lifecycle| {
            for hook in ["postStart", "preStop"] {
                if lifecycle.contains_key(hook) {
                    object::edit(lifecycle, hook, http_get);
                }
            }
        });
    }
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if container.contains_key(field) {
            object::edit(container, field, probe);
        }
    }
}

/// What refers to a field of the Pod, or to a resource of a container.
fn references(source: &mut Json) {
    if source.contains_key("fieldRef") {
        object::edit(source, "fieldRef", |field| default(field, "apiVersion", json!("v1")));
    }
    if source.contains_key("resourceFieldRef") {
        object::edit(source, "resourceFieldRef", |field| default(field, "divisor", json!("0")));
    }
}

fn probe(probe: &mut Json) {
    default(probe, "timeoutSeconds", json!(1));
    default(probe, "periodSeconds", json!(10));
    default(probe, "successThreshold", json!(1));
    default(probe, "failureThreshold", json!(3));
    if probe.contains_key("grpc") {
        object::edit(probe, "grpc", |grpc| default(grpc, "service", json!("")));
    }
    http_get(probe);
}

/// What is asked for over HTTP, in a probe or when a container begins or ends.
fn http_get(handler: &mut Json) {
    if handler.contains_key("httpGet") {
        object::edit(handler, "httpGet", |get| {
            default(get, "path", json!("/"));
            default(get, "scheme", json!("HTTP"));
        });
    }
}

fn requested(resources: &mut Json) {
    let limits = resources.get("limits").and_then(Value::as_object).cloned().unwrap_or_default();
    if !limits.is_empty() {
        object::edit(resources, "requests", |requests| {
            limits.into_iter().for_each(|(name, limit)| default(requests, &name, limit));
        });
    }
}

fn volume(volume: &mut Json) {
    if volume.keys().all(|field| field == "name") {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for source in ["configMap", "downwardAPI", "projected", "secret"] {
        if volume.contains_key(source) {
            object::edit(volume, source, |source| {
                default(source, "defaultMode", json!(FILE_MODE));
                // Those of `downwardAPI` alone refer to anything.
                maps(source, "items").for_each(references);
            });
        }
    }
    host_path(volume);
}

/// The type of a folder that is the node's, if there is one.
pub(super) fn host_path(source: &mut Json) {
    if source.contains_key("hostPath") {
        object::edit(source, "hostPath", |path| default(path, "type", json!("")));
    }
}
