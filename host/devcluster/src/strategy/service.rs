//! What the server itself makes of a Service: its addresses and ports, and what is left of it when its type changes.
//!
//! Follows `pkg/registry/core/service/strategy.go`: what a client does not hand on stays as long as the type has a use
//! for it, and what the type has no use for goes unless a client has changed it as well.

mod addresses;
mod node_ports;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::defaults::{default, maps};
use crate::error::ApiError;
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::store::Store;

/// A Service's type and what follows from it.
#[derive(Clone, Copy)]
struct Needs {
    address: bool,
    node_ports: bool,
    is_load_balancer: bool,
    external_policy: bool,
    health_port: bool,
}

impl Needs {
    fn of(json: &Json) -> Self {
        let text = |field: &str| object::text(json, &["spec", field]);
        let service_type = text("type");
        let is_load_balancer = service_type == "LoadBalancer";
        let node_ports = is_load_balancer || service_type == "NodePort";
        let is_exposed =
            service_type == "ClusterIP" && !object::items(json, &["spec", "externalIPs"]).is_empty();
        Self {
            address: service_type != "ExternalName",
            node_ports,
            is_load_balancer,
            external_policy: node_ports || is_exposed,
            health_port: is_load_balancer && text("externalTrafficPolicy") == "Local",
        }
    }
}

/// Gives a valid Service its address and its node ports.
pub(super) fn allocate(
    store: &Store,
    kind: &Kind,
    json: &mut Json,
    old: Option<&Json>,
    is_dry: bool,
) -> Result<(), ApiError> {
    addresses::allocate(store, kind, json, old, is_dry)?;
    node_ports::allocate(store, kind, json, old)
}

/// Sets what a Service has been given before, and what follows from its type.
pub(super) fn prepare(json: &mut Json, old: Option<&Json>) {
    if let Some(old) = old {
        keep(json, old);
        drop_unused(json, old);
    }
    if Needs::of(json).address {
        object::edit(json, "spec", |spec| {
            // Whoever says itself where a Service leads to may lead there by addresses of both families.
            let is_headless = spec.get("clusterIP").is_some_and(|address| address == "None");
            let selects = spec.get("selector").and_then(Value::as_object).is_some_and(|map| !map.is_empty());
            let is_single =
                |spec: &Json| spec.get("ipFamilyPolicy").is_some_and(|policy| policy == "SingleStack");
            if is_headless && !selects && !is_single(spec) {
                default(spec, "ipFamilyPolicy", json!("RequireDualStack"));
                let families = match object::items(spec, &["ipFamilies"]).first() {
                    Some(first) if first == "IPv6" => json!(["IPv6", "IPv4"]),
                    _ => json!(["IPv4", "IPv6"]),
                };
                spec.insert("ipFamilies".to_owned(), families);
            }
            default(spec, "ipFamilies", json!(["IPv4"]));
            default(spec, "ipFamilyPolicy", json!("SingleStack"));
            // Whoever says one of them says the other.
            if let Some(first) = object::items(spec, &["clusterIPs"]).first().cloned() {
                default(spec, "clusterIP", first);
            }
            if let Some(address) = spec.get("clusterIP").cloned() {
                default(spec, "clusterIPs", json!([address]));
            }
        });
    }
    if !json.contains_key("status") {
        json.insert("status".to_owned(), json!({ "loadBalancer": {} }));
    }
}

/// Goes on with what a client did not hand on, though the Service still needs it.
fn keep(json: &mut Json, old: &Json) {
    let (before, after) = (Needs::of(old), Needs::of(json));
    let mut fields = Vec::new();
    if before.address && after.address {
        fields.extend(["clusterIP", "clusterIPs"]);
    }
    if before.health_port && after.health_port {
        fields.push("healthCheckNodePort");
    }
    let taken: BTreeSet<u64> = node_ports::of(json).collect();
    let given = object::items(old, &["spec", "ports"]);
    object::edit(json, "spec", |spec| {
        for field in fields {
            if let Some(value) = object::at(old, &["spec", field]) {
                default(spec, field, value.clone());
            }
        }
        for port in maps(spec, "ports").filter(|_| before.node_ports && after.node_ports) {
            let name = object::text(port, &["name"]);
            let same = given.iter().find(|other| object::field(other, "name") == name);
            let number = same.and_then(|other| other.get("nodePort")).and_then(Value::as_u64);
            if let Some(number) = number.filter(|number| !taken.contains(number)) {
                default(port, "nodePort", number.into());
            }
        }
    });
}

/// Takes away what belongs to the type that the Service no longer is of, unless a client has changed it as well.
fn drop_unused(json: &mut Json, old: &Json) {
    let (before, after) = (Needs::of(old), Needs::of(json));
    let is_same = |field: &str| object::at(json, &["spec", field]) == object::at(old, &["spec", field]);
    let mut unused = Vec::new();
    if before.address && !after.address {
        if is_same("clusterIP") && is_same("clusterIPs") {
            unused.extend(["clusterIP", "clusterIPs"]);
        }
        let inside = ["internalTrafficPolicy", "ipFamilies", "ipFamilyPolicy"];
        unused.extend(inside.iter().filter(|field| is_same(field)));
    }
    for (was_needed, field) in [
        (before.health_port && !after.health_port, "healthCheckNodePort"),
        (before.is_load_balancer && !after.is_load_balancer, "allocateLoadBalancerNodePorts"),
        (before.is_load_balancer && !after.is_load_balancer, "loadBalancerClass"),
        (before.external_policy && !after.external_policy, "externalTrafficPolicy"),
    ] {
        if was_needed && is_same(field) {
            unused.push(field);
        }
    }
    let had: BTreeSet<u64> = node_ports::of(old).collect();
    let drops_ports =
        before.node_ports && !after.node_ports && node_ports::of(json).all(|number| had.contains(&number));
    object::edit(json, "spec", |spec| {
        spec.retain(|field, _| !unused.contains(&field.as_str()));
        maps(spec, "ports").filter(|_| drops_ports).for_each(|port| drop(port.remove("nodePort")));
    });
}
