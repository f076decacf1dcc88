//! The rules of Services.

use std::collections::HashSet;
use std::net::IpAddr;

use serde_json::Value;

use super::{checks, items, one_of, port_number, text};
use crate::error::Cause;
use crate::object::{self, Json};
use crate::validate;

/// For how many seconds at most a client keeps to one Pod: a day.
const LONGEST_AFFINITY: i64 = 86_400;

pub(super) fn validate(json: &Json, causes: &mut Vec<Cause>) {
    let empty = Value::Object(Json::new());
    let spec = json.get("spec").unwrap_or(&empty);
    one_of(spec, "type", "spec", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], causes);
    one_of(spec, "sessionAffinity", "spec", &["ClientIP", "None"], causes);
    let ports = items(spec, "ports");
    let is_external = text(spec, "type") == "ExternalName";
    if is_external && text(spec, "externalName").is_empty() {
        causes.push(Cause::required("spec.externalName", ""));
    }
    let outside = text(spec, "externalName");
    if is_external && !outside.is_empty() {
        let problems = validate::subdomain_problems(outside.strip_suffix('.').unwrap_or(outside)).into_iter();
        let refused = |why| Cause::invalid("spec.externalName", &Value::from(outside), why);
        causes.extend(problems.map(refused));
    }
    let address = text(spec, "clusterIP");
    if !matches!(address, "" | "None") && address.parse::<IpAddr>().is_err() {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        causes.push(Cause::invalid("spec.clusterIPs[0]", &Value::from(address), why));
    }
    let of_type = text(spec, "type");
    if of_type != "LoadBalancer" {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass", "LoadBalancerSourceRanges"] {
            let written = if field.starts_with('L') { "loadBalancerSourceRanges" } else { field };
            if spec.get(written).is_some() {
                let why = "may only be used when `type` is 'LoadBalancer'";
                causes.push(Cause::forbidden(format!("spec.{field}"), why));
            }
        }
    }
    for (index, range) in items(spec, "loadBalancerSourceRanges").iter().enumerate() {
        if of_type == "LoadBalancer" && !range.as_str().is_some_and(|range| checks::is_network(range.trim()))
        {
            let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            causes.push(Cause::invalid(format!("spec.LoadBalancerSourceRanges[{index}]"), range, why));
        }
    }
    let policy = text(spec, "externalTrafficPolicy");
    let is_exposed = matches!(of_type, "LoadBalancer" | "NodePort")
        || (of_type == "ClusterIP" && !items(spec, "externalIPs").is_empty());
    if !policy.is_empty() && !is_exposed {
        let why = "may only be set for externally-accessible services";
        causes.push(Cause::invalid("spec.externalTrafficPolicy", &Value::from(policy), why));
    }
    let needs_health = of_type == "LoadBalancer" && policy == "Local";
    if let Some(port) = spec.get("healthCheckNodePort").filter(|_| !needs_health) {
        let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        causes.push(Cause::invalid("spec.healthCheckNodePort", port, why));
    }
    if ports.is_empty() && !is_external && text(spec, "clusterIP") != "None" {
        causes.push(Cause::required("spec.ports", ""));
    }
    if let Some(seconds) = object::at(json, &["spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"])
        && !seconds.as_i64().is_some_and(|seconds| (1..=LONGEST_AFFINITY).contains(&seconds))
    {
        let path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
        causes.push(Cause::invalid(path, seconds, "must be greater than 0 and less than 86400"));
    }
    let (mut seen, mut seen_outside, mut taken) = (HashSet::new(), HashSet::new(), HashSet::new());
    for (index, port) in ports.iter().enumerate() {
        let (name, path) = (text(port, "name"), format!("spec.ports[{index}]"));
        if name.is_empty() && ports.len() > 1 {
            causes.push(Cause::required(format!("{path}.name"), ""));
        } else if !name.is_empty() && seen.contains(name) {
            causes.push(Cause::duplicate(&format!("{path}.name"), &Value::from(name)));
        }
        seen.insert(name);
        let number = port.get("port").is_some();
        match number {
            true => port_number(port, "port", &path, causes),
            false => {
                let why = "must be between 1 and 65535, inclusive";
                causes.push(Cause::invalid(format!("{path}.port"), &Value::from(0), why));
            }
        }
        one_of(port, "protocol", &path, &["SCTP", "TCP", "UDP"], causes);
        if let Some(number) = port.get("nodePort") {
            if text(spec, "type") == "ClusterIP" {
                let why = "may not be used when `type` is 'ClusterIP'";
                causes.push(Cause::forbidden(format!("{path}.nodePort"), why));
            }
            let outside = (number, text(port, "protocol"));
            if !seen_outside.insert(outside) {
                causes.push(Cause::duplicate(&format!("{path}.nodePort"), number));
            }
        }
        let (number, protocol) = (port.get("port").and_then(Value::as_i64), text(port, "protocol"));
        if let Some(number) = number.filter(|_| !taken.insert((number, protocol))) {
            causes.push(taken_port(&path, number, protocol));
        }
    }
}

/// Two ports of one number, which Go's struct tells of.
fn taken_port(path: &str, number: i64, protocol: &str) -> Cause {
    let port = format!(
        "{{\"Name\":\"\",\"Protocol\":{protocol:?},\"AppProtocol\":null,\"Port\":{number},\"TargetPort\":0,\"NodePort\":0}}"
    );
    Cause {
        reason: "FieldValueDuplicate",
        field: path.to_owned(),
        message: format!("Duplicate value: {port}"),
    }
}
