//! The defaults of what has a say in others' requests, or serves or carries something for the cluster: webhooks, policies,
//! API services, CSI drivers.

use serde_json::json;

use super::{default, maps};
use crate::object::{self, Json};

const HTTPS: u16 = 443;

/// Webhook configurations of either kind.
pub(super) fn webhooks(json: &mut Json, is_mutating: bool) {
    for webhook in maps(json, "webhooks") {
        default(webhook, "failurePolicy", json!("Fail"));
        default(webhook, "timeoutSeconds", json!(10));
        if is_mutating {
            default(webhook, "reinvocationPolicy", json!("Never"));
        }
        if webhook.contains_key("clientConfig") {
            object::edit(webhook, "clientConfig", service);
        }
        selection(webhook);
        scopes(webhook, "rules");
    }
}

/// A policy, or the binding of one.
pub(super) fn policy(json: &mut Json, is_binding: bool) {
    object::edit(json, "spec", |spec| {
        let field = if is_binding { "matchResources" } else { "matchConstraints" };
        if !is_binding {
            default(spec, "failurePolicy", json!("Fail"));
        }
        if spec.contains_key(field) {
            object::edit(spec, field, |matched| {
                selection(matched);
                scopes(matched, "resourceRules");
                scopes(matched, "excludeResourceRules");
            });
        }
    });
}

/// Which objects are meant, if it is not said.
fn selection(map: &mut Json) {
    default(map, "matchPolicy", json!("Equivalent"));
    default(map, "namespaceSelector", json!({}));
    default(map, "objectSelector", json!({}));
}

fn scopes(map: &mut Json, rules: &str) {
    maps(map, rules).for_each(|rule| default(rule, "scope", json!("*")));
}

/// A reference to a Service that is called, in its field `service`.
pub(super) fn service(map: &mut Json) {
    if map.contains_key("service") {
        object::edit(map, "service", |service| default(service, "port", json!(HTTPS)));
    }
}

pub(super) fn driver(spec: &mut Json) {
    default(spec, "attachRequired", json!(true));
    default(spec, "fsGroupPolicy", json!("ReadWriteOnceWithFSType"));
    default(spec, "volumeLifecycleModes", json!(["Persistent"]));
    for field in ["podInfoOnMount", "requiresRepublish", "seLinuxMount", "storageCapacity"] {
        default(spec, field, json!(false));
    }
}
