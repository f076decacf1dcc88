//! The rules of Pods and of their templates.

use std::collections::HashSet;

use serde_json::Value;

use super::{items, not_negative, one_of, port_number, resources, text};
use crate::error::Cause;
use crate::validate;

/// Checks the specification of a Pod, at this path. Volumes with the names of `claims` will be added to it.
pub(super) fn spec(spec: Option<&Value>, path: &str, claims: &[&str], causes: &mut Vec<Cause>) {
    let Some(spec) = spec else {
        causes.push(Cause::required(format!("{path}.containers"), ""));
        return;
    };
    let mut volumes = HashSet::new();
    names(items(spec, "volumes"), &format!("{path}.volumes"), &mut volumes, causes);
    volumes.extend(claims);
    let list = items(spec, "containers");
    if list.is_empty() {
        causes.push(Cause::required(format!("{path}.containers"), ""));
    }
    let mut taken = HashSet::new();
    for field in ["containers", "initContainers"] {
        let path = format!("{path}.{field}");
        names(items(spec, field), &path, &mut taken, causes);
        for (index, container) in items(spec, field).iter().enumerate() {
            check_container(container, &format!("{path}[{index}]"), &volumes, causes);
        }
    }
    not_negative(spec, "terminationGracePeriodSeconds", path, causes);
    one_of(spec, "restartPolicy", path, &["Always", "Never", "OnFailure"], causes);
    let dns = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
    one_of(spec, "dnsPolicy", path, &dns, causes);
}

/// Adds the names of a list's items, each of which is a label of DNS and there once, to those that are taken.
fn names<'a>(list: &'a [Value], path: &str, seen: &mut HashSet<&'a str>, causes: &mut Vec<Cause>) {
    for (index, item) in list.iter().enumerate() {
        let (name, at) = (text(item, "name"), format!("{path}[{index}].name"));
        if name.is_empty() {
            causes.push(Cause::required(at, ""));
        } else if !validate::is_label(name) {
            causes.push(Cause::invalid(at, &Value::from(name), validate::LABEL));
        } else if seen.contains(name) {
            causes.push(Cause::duplicate(&at, &Value::from(name)));
        }
        seen.insert(name);
    }
}

fn check_container(container: &Value, path: &str, volumes: &HashSet<&str>, causes: &mut Vec<Cause>) {
    if text(container, "image").is_empty() {
        causes.push(Cause::required(format!("{path}.image"), ""));
    }
    one_of(container, "imagePullPolicy", path, &["Always", "IfNotPresent", "Never"], causes);
    for (index, port) in items(container, "ports").iter().enumerate() {
        let path = format!("{path}.ports[{index}]");
        match port.get("containerPort").and_then(Value::as_i64).unwrap_or_default() {
            0 => causes.push(Cause::required(format!("{path}.containerPort"), "")),
            _ => port_number(port, "containerPort", &path, causes),
        }
        one_of(port, "protocol", &path, &["SCTP", "TCP", "UDP"], causes);
    }
    for (index, variable) in items(container, "env").iter().enumerate() {
        if text(variable, "name").is_empty() {
            causes.push(Cause::required(format!("{path}.env[{index}].name"), ""));
        }
        if !text(variable, "value").is_empty() && variable.get("valueFrom").is_some() {
            let why = "may not be specified when `value` is not empty";
            causes.push(Cause::invalid(format!("{path}.env[{index}].valueFrom"), &Value::from(""), why));
        }
    }
    let mut places = HashSet::new();
    for (index, mount) in items(container, "volumeMounts").iter().enumerate() {
        let (name, path) = (text(mount, "name"), format!("{path}.volumeMounts[{index}]"));
        if name.is_empty() {
            causes.push(Cause::required(format!("{path}.name"), ""));
        } else if !volumes.contains(name) {
            causes.push(Cause::not_found(format!("{path}.name"), &Value::from(name)));
        }
        let place = text(mount, "mountPath");
        if place.is_empty() {
            causes.push(Cause::required(format!("{path}.mountPath"), ""));
        } else if !places.insert(place) {
            causes.push(Cause::invalid(format!("{path}.mountPath"), &Value::from(place), "must be unique"));
        }
    }
    resources::check(container, path, causes);
}
