//! What the server itself makes of a Service: its addresses.

use serde_json::json;

use crate::defaults::default;
use crate::naming;
use crate::object::{self, Json};

/// Gives a Service its addresses, which it keeps.
pub(super) fn prepare(json: &mut Json, old: Option<&Json>) {
    let kept = old.and_then(|old| object::at(old, &["spec", "clusterIP"])).cloned();
    let address = naming::address("10.96", object::uid(json));
    object::edit(json, "spec", |spec| {
        default(spec, "ipFamilies", json!(["IPv4"]));
        default(spec, "ipFamilyPolicy", json!("SingleStack"));
        if object::text(spec, &["type"]) != "ExternalName" {
            default(spec, "clusterIP", kept.unwrap_or_else(|| address.into()));
            let first = spec.get("clusterIP").cloned().unwrap_or_default();
            default(spec, "clusterIPs", json!([first]));
        }
    });
    if !json.contains_key("status") {
        json.insert("status".to_owned(), json!({ "loadBalancer": {} }));
    }
}
