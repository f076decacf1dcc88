//! The rows of Services and of what leads to them.

use serde_json::{Value, json};

use super::text::{few, field, items, labels, or_none, text_or};
use crate::object::{self, Json};

pub(super) fn service(json: &Json, age: Value) -> Vec<Value> {
    let ports: Vec<String> = items(json, &["spec", "ports"])
        .iter()
        .map(|port| {
            let number = |field: &str| port.get(field).and_then(Value::as_i64);
            let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
            match number("nodePort") {
                Some(node) => format!("{}:{node}/{protocol}", number("port").unwrap_or(0)),
                None => format!("{}/{protocol}", number("port").unwrap_or(0)),
            }
        })
        .collect();
    vec![
        json!(or_none(object::text(json, &["spec", "type"]))),
        json!(or_none(object::text(json, &["spec", "clusterIP"]))),
        json!(external_address(json)),
        json!(or_none(&ports.join(","))),
        age,
        labels(object::at(json, &["spec", "selector"])),
    ]
}

/// Where a Service is reached from outside.
fn external_address(json: &Json) -> String {
    let given: Vec<&str> = items(json, &["spec", "externalIPs"]).iter().filter_map(Value::as_str).collect();
    match object::text(json, &["spec", "type"]) {
        "ExternalName" => object::text(json, &["spec", "externalName"]).to_owned(),
        "LoadBalancer" => {
            let balanced = balanced(json);
            let all: Vec<&str> = balanced.iter().map(String::as_str).chain(given).collect();
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        _ => or_none(&given.join(",")).to_owned(),
    }
}

/// The addresses that a load balancer reports.
fn balanced(json: &Json) -> Vec<String> {
    let entries = items(json, &["status", "loadBalancer", "ingress"]).iter();
    let address = |entry: &Value| match field(entry, "ip") {
        "" => field(entry, "hostname").to_owned(),
        ip => ip.to_owned(),
    };
    entries.map(address).filter(|address| !address.is_empty()).collect()
}

pub(super) fn ingress(json: &Json, age: Value) -> Vec<Value> {
    let hosts = items(json, &["spec", "rules"]).iter().map(|rule| field(rule, "host").to_owned());
    let hosts: Vec<String> = hosts.filter(|host| !host.is_empty()).collect();
    let ports = if items(json, &["spec", "tls"]).is_empty() { "80" } else { "80, 443" };
    vec![
        text_or(json, &["spec", "ingressClassName"], "<none>"),
        json!(few(&hosts, "*")),
        json!(balanced(json).join(",")),
        json!(ports),
        age,
    ]
}

pub(super) fn ingress_class(json: &Json, age: Value) -> Vec<Value> {
    let parameters = object::at(json, &["spec", "parameters"]).map(|parameters| {
        let group = match field(parameters, "apiGroup") {
            "" => String::new(),
            group => format!(".{group}"),
        };
        format!("{}{group}/{}", field(parameters, "kind"), field(parameters, "name"))
    });
    let parameters = parameters.unwrap_or_else(|| "<none>".to_owned());
    vec![json!(object::text(json, &["spec", "controller"])), json!(parameters), age]
}

fn list<'a>(item: &'a Value, name: &str) -> &'a [Value] {
    item.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn endpoints(json: &Json, age: Value) -> Vec<Value> {
    let mut found = Vec::new();
    for subset in items(json, &["subsets"]) {
        let addresses: Vec<&str> = list(subset, "addresses").iter().map(|a| field(a, "ip")).collect();
        let ports = list(subset, "ports");
        if ports.is_empty() {
            found.extend(addresses.iter().map(|&address| address.to_owned()));
        }
        for port in ports {
            let port = port.get("port").and_then(Value::as_i64).unwrap_or(0);
            found.extend(addresses.iter().map(|address| format!("{address}:{port}")));
        }
    }
    vec![json!(few(&found, "<none>")), age]
}

pub(super) fn endpoint_slice(json: &Json, age: Value) -> Vec<Value> {
    let port = |port: &Value| match port.get("port").and_then(Value::as_i64) {
        Some(number) => number.to_string(),
        None => "*".to_owned(),
    };
    let ports: Vec<String> = items(json, &["ports"]).iter().map(port).collect();
    let endpoints = items(json, &["endpoints"]).iter();
    let addresses: Vec<String> = endpoints
        .flat_map(|endpoint| list(endpoint, "addresses"))
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect();
    vec![
        json!(object::text(json, &["addressType"])),
        json!(few(&ports, "<unset>")),
        json!(few(&addresses, "<unset>")),
        age,
    ]
}
