//! How a stored object looks in the version that a client asks for.
//!
//! The versions of a custom resource differ in `apiVersion` alone (conversion strategy None). The two
//! event APIs are one storage with renamed fields; autoscalers are stored as `autoscaling/v2`, whose metric of the
//! CPU's utilization is a field in v1 (other metrics stay where they are). What was stored under another schema than the one
//! that it is read with is pruned and gets its defaults as it is read.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::object::{self, Json, Object};
use crate::strict::StrictErrors;

/// Field of `v1` and field of `events.k8s.io/v1`.
const EVENT_FIELDS: &[(&[&str], &[&str])] = &[
    (&["involvedObject"], &["regarding"]),
    (&["message"], &["note"]),
    (&["source"], &["deprecatedSource"]),
    (&["firstTimestamp"], &["deprecatedFirstTimestamp"]),
    (&["lastTimestamp"], &["deprecatedLastTimestamp"]),
    (&["count"], &["deprecatedCount"]),
    (&["reportingComponent"], &["reportingController"]),
];

const CPU_TARGET: &[&str] = &["spec", "targetCPUUtilizationPercentage"];

/// A stored object as this kind shows it.
pub(crate) fn present<'a>(kind: &Kind, stored: &'a Object) -> Cow<'a, Json> {
    let api_version = kind.api_version();
    let shaped = shaped(kind, stored);
    if object::text(&shaped, &["apiVersion"]) == api_version {
        return shaped;
    }
    let mut json = shaped.into_owned();
    if is_new_event(kind) {
        for (core, new) in EVENT_FIELDS {
            rename(&mut json, core, new);
        }
    }
    if is_old_autoscaler(kind) {
        take_cpu_metric(&mut json);
    }
    json.insert("apiVersion".to_owned(), api_version.into());
    Cow::Owned(json)
}

/// A stored object as the kind's schema makes it, which costs nothing where the schema has nothing to do.
pub(crate) fn shaped<'a>(kind: &Kind, stored: &'a Object) -> Cow<'a, Json> {
    match kind.schema() {
        Some(schema) if !stored.is_settled(schema) => {
            let mut json = stored.json.clone();
            schema.prune(&mut json, &mut StrictErrors::default());
            schema.default(&mut json);
            Cow::Owned(json)
        }
        _ => Cow::Borrowed(&stored.json),
    }
}

/// Takes out of a custom resource what the version that it is stored in does not have.
pub(crate) fn confine_to_stored(kind: &Kind, json: &mut Json) {
    if let Some(schema) = kind.custom.as_ref().and_then(|custom| custom.stored.as_deref()) {
        schema.prune(json, &mut StrictErrors::default());
        schema.default(json);
    }
}

/// What is stored of an object that was written in this kind's form.
pub(crate) fn stored(kind: &Kind, mut json: Json) -> Json {
    if is_new_event(kind) {
        for (core, new) in EVENT_FIELDS {
            rename(&mut json, new, core);
        }
        json.insert("apiVersion".to_owned(), "v1".into());
    }
    if is_old_autoscaler(kind) {
        if let Some(target) = object::remove(&mut json, CPU_TARGET) {
            let utilization = json!({ "type": "Utilization", "averageUtilization": target });
            let metric = json!({ "type": "Resource", "resource": { "name": "cpu", "target": utilization } });
            object::edit(&mut json, "spec", |spec| {
                match spec.get_mut("metrics").and_then(Value::as_array_mut) {
                    Some(metrics) => metrics.insert(0, metric),
                    None => object::set(spec, &["metrics"], json!([metric])),
                }
            });
        }
        json.insert("apiVersion".to_owned(), "autoscaling/v2".into());
    }
    json
}

fn is_old_autoscaler(kind: &Kind) -> bool {
    kind.version == "v1" && kind.is("autoscaling", "horizontalpodautoscalers")
}

/// Moves the target of the CPU's utilization to where v1 has it.
fn take_cpu_metric(json: &mut Json) {
    object::edit(json, "spec", |spec| {
        let Some(metrics) = spec.get_mut("metrics").and_then(Value::as_array_mut) else { return };
        let target = |metric: &Value| {
            let is_cpu = metric.pointer("/resource/name").and_then(Value::as_str) == Some("cpu");
            is_cpu.then(|| metric.pointer("/resource/target/averageUtilization").cloned()).flatten()
        };
        let Some(index) = metrics.iter().position(|metric| target(metric).is_some()) else { return };
        let target = target(&metrics.remove(index));
        if metrics.is_empty() {
            spec.remove("metrics");
        }
        if let Some(target) = target {
            spec.insert("targetCPUUtilizationPercentage".to_owned(), target);
        }
    });
}

fn is_new_event(kind: &Kind) -> bool {
    kind.is("events.k8s.io", "events")
}

fn rename(json: &mut Json, from: &[&str], to: &[&str]) {
    if let Some(value) = object::remove(json, from) {
        object::set(json, to, value);
    }
}
