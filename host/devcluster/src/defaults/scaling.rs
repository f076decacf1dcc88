//! The defaults of what bounds workloads: autoscalers and ranges of limits.

use serde_json::{Value, json};

use super::{default, maps};
use crate::object::{self, Json};

/// The utilization of the CPU, in percent, that is aimed at if nothing is said.
const UTILIZATION: u8 = 80;

pub(super) fn autoscaler(spec: &mut Json, version: &str) {
    default(spec, "minReplicas", json!(1));
    let has_metrics = !object::items(spec, &["metrics"]).is_empty();
    match version {
        _ if has_metrics => {}
        "v1" => default(spec, "targetCPUUtilizationPercentage", json!(UTILIZATION)),
        _ => {
            let target = json!({ "type": "Utilization", "averageUtilization": UTILIZATION });
            let metric = json!({ "type": "Resource", "resource": { "name": "cpu", "target": target } });
            spec.insert("metrics".to_owned(), json!([metric]));
        }
    }
    if spec.contains_key("behavior") {
        object::edit(spec, "behavior", behavior);
    }
}

/// How fast an autoscaler may be that says something of it.
fn behavior(behavior: &mut Json) {
    let all = json!({ "type": "Percent", "value": 100, "periodSeconds": 15 });
    let four = json!({ "type": "Pods", "value": 4, "periodSeconds": 15 });
    object::edit(behavior, "scaleUp", |rules| {
        default(rules, "stabilizationWindowSeconds", json!(0));
        default(rules, "selectPolicy", json!("Max"));
        default(rules, "policies", json!([four, all]));
    });
    object::edit(behavior, "scaleDown", |rules| {
        default(rules, "selectPolicy", json!("Max"));
        default(rules, "policies", json!([all]));
    });
}

/// A container has what it may have at most, and asks for that, or for what it must have at least.
pub(super) fn limit_range(spec: &mut Json) {
    for limit in maps(spec, "limits") {
        if object::text(limit, &["type"]) != "Container" {
            continue;
        }
        for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
            let source = limit.get(from).and_then(Value::as_object).cloned().unwrap_or_default();
            if !source.is_empty() {
                object::edit(limit, to, |amounts| {
                    source.into_iter().for_each(|(resource, amount)| default(amounts, &resource, amount));
                });
            }
        }
    }
}
