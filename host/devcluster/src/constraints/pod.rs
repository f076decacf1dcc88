//! The rules of Pods and of their templates.

use std::collections::HashSet;

use serde_json::Value;

use super::{checks, items, one_of, port_number, resources, tables, text};
use crate::error::Cause;
use crate::object::Json;
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
    one_of(spec, "restartPolicy", path, &["Always", "OnFailure", "Never"], causes);
    let dns = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    one_of(spec, "dnsPolicy", path, &dns, causes);
    if text(spec, "dnsPolicy") == "None" && spec.get("dnsConfig").is_none() {
        let why = "must provide `dnsConfig` when `dnsPolicy` is None";
        causes.push(Cause::required(format!("{path}.dnsConfig"), why));
    }
    checks::check(spec, path, tables::POD, causes);
    let is_set = |field: &str| spec.get(field) == Some(&Value::Bool(true));
    if is_set("shareProcessNamespace") && is_set("hostPID") {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        let at = format!("{path}.securityContext.shareProcessNamespace");
        causes.push(Cause::invalid(at, &Value::Bool(true), why));
    }
    for (index, container) in items(spec, "initContainers").iter().enumerate() {
        let given = ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"].into_iter();
        for field in given
            .filter(|field| container.get(field).is_some() && text(container, "restartPolicy") != "Always")
        {
            let why = "may not be set for init containers without restartPolicy=Always";
            causes.push(Cause::forbidden(format!("{path}.initContainers[{index}].{field}"), why));
        }
    }
    for (index, container) in items(spec, "containers").iter().enumerate().filter(|_| is_set("hostNetwork")) {
        for (port, found) in items(container, "ports").iter().enumerate() {
            let outside = found.get("hostPort").filter(|outside| found.get("containerPort") != Some(outside));
            if let Some(outside) = outside {
                let why = "must match `containerPort` when `hostNetwork` is true";
                let at = format!("{path}.containers[{index}].ports[{port}].hostPort");
                causes.push(Cause::invalid(at, outside, why));
            }
        }
    }
    for (index, volume) in items(spec, "volumes").iter().enumerate() {
        one_only(volume, &["name"], &format!("{path}.volumes[{index}]"), "volume", causes);
    }
    for (index, toleration) in items(spec, "tolerations").iter().enumerate() {
        check_toleration(toleration, &format!("{path}.tolerations[{index}]"), causes);
    }
    let mut gates = HashSet::new();
    for (index, gate) in items(spec, "schedulingGates").iter().enumerate() {
        let (name, at) = (text(gate, "name"), format!("{path}.schedulingGates[{index}]"));
        let problems = validate::label_key_problems(name).into_iter();
        causes.extend(problems.map(|why| Cause::invalid(&at, &Value::from(name), why)));
        if !gates.insert(name) {
            causes.push(Cause::duplicate(&at, &Value::from(name)));
        }
    }
}

/// Of the alternatives that a value has, there is one at most: all its fields but those that are apart.
fn one_only(value: &Value, apart: &[&str], path: &str, what: &str, causes: &mut Vec<Cause>) {
    let is_alternative = |(field, value): &(&String, &Value)| {
        !apart.contains(&field.as_str()) && (value.is_object() || value.is_array())
    };
    let alternatives = value.as_object().into_iter().flatten().filter(is_alternative);
    for (field, _) in alternatives.skip(1) {
        let why = format!("may not specify more than 1 {what} type");
        causes.push(Cause::forbidden(format!("{path}.{field}"), &why));
    }
}

fn check_toleration(toleration: &Value, path: &str, causes: &mut Vec<Cause>) {
    let (key, operator, value) =
        (text(toleration, "key"), text(toleration, "operator"), text(toleration, "value"));
    let mut refuse = |field: &str, found: &str, why: &str| {
        causes.push(Cause::invalid(format!("{path}.{field}"), &Value::from(found), why));
    };
    if !key.is_empty() {
        validate::label_key_problems(key).into_iter().for_each(|why| refuse("key", key, why));
    } else if operator != "Exists" {
        let why =
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        refuse("operator", operator, why);
    }
    if toleration.get("tolerationSeconds").is_some() && text(toleration, "effect") != "NoExecute" {
        let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        refuse("effect", text(toleration, "effect"), why);
    }
    match operator {
        "Exists" if !value.is_empty() => {
            refuse("operator", value, "value must be empty when `operator` is 'Exists'");
        }
        "" | "Equal" => {
            if let Some(why) = validate::label_value_problem(value) {
                refuse("operator", value, why);
            }
        }
        "Exists" => {}
        _ => one_of(toleration, "operator", path, &["Equal", "Exists"], causes),
    }
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
        if variable.get("valueFrom").and_then(Value::as_object).is_some_and(Json::is_empty) {
            let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or \
                       `fileKeyRef`";
            causes.push(Cause::invalid(format!("{path}.env[{index}].valueFrom"), &Value::from(""), why));
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
        }
        if !volumes.contains(name) {
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
    checks::check(container, path, tables::CONTAINER, causes);
    let (mut ports, mut outside) = (HashSet::new(), HashSet::new());
    for (index, port) in items(container, "ports").iter().enumerate() {
        let (name, path) = (text(port, "name"), format!("{path}.ports[{index}]"));
        if !name.is_empty() && !ports.insert(name) {
            causes.push(Cause::duplicate(&format!("{path}.name"), &Value::from(name)));
        }
        if let Some(number) = port.get("hostPort").and_then(Value::as_i64).filter(|number| *number > 0) {
            let taken = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
            if outside.contains(&taken) {
                causes.push(Cause::duplicate(&format!("{path}.hostPort"), &Value::from(taken.as_str())));
            }
            outside.insert(taken);
        }
    }
    for source in items(container, "envFrom") {
        if !["configMapRef", "secretRef"].iter().any(|one| source.get(one).is_some()) {
            let why = "must specify one of: `configMapRef` or `secretRef`";
            causes.push(Cause::invalid(format!("{path}.envFrom"), &Value::from(""), why));
        }
    }
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get(field) {
            check_probe(probe, field, &format!("{path}.{field}"), causes);
        }
    }
    for field in ["preStop", "postStart"] {
        if let Some(hook) = container.get("lifecycle").and_then(|lifecycle| lifecycle.get(field)) {
            check_handler(
                hook,
                &["exec", "httpGet", "tcpSocket", "sleep"],
                &format!("{path}.lifecycle.{field}"),
                causes,
            );
        }
    }
}

fn check_probe(probe: &Value, field: &str, path: &str, causes: &mut Vec<Cause>) {
    check_handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], path, causes);
    checks::check(probe, path, tables::PROBE, causes);
    let successes =
        probe.get("successThreshold").filter(|found| found.as_i64().is_some_and(|found| found > 1));
    if let Some(successes) = successes.filter(|_| field != "readinessProbe") {
        causes.push(Cause::invalid(format!("{path}.successThreshold"), successes, "must be 1"));
    }
}

/// There is one way, and one alone, in which a probe or a hook does what it does.
fn check_handler(value: &Value, ways: &[&str], path: &str, causes: &mut Vec<Cause>) {
    let mut found = ways.iter().filter(|way| value.get(**way).is_some());
    if found.next().is_none() {
        causes.push(Cause::required(path, "must specify a handler type"));
    }
    for way in found {
        causes.push(Cause::forbidden(format!("{path}.{way}"), "may not specify more than 1 handler type"));
    }
}
