//! The defaults of the kinds that make Pods: of their specifications, each.

use serde_json::{Value, json};

use super::{default, maps, template};
use crate::object::{self, Json};

const TEMPLATE_LABELS: &[&str] = &["spec", "template", "metadata", "labels"];

pub(super) fn deployment(spec: &mut Json) {
    default(spec, "replicas", json!(1));
    default(spec, "revisionHistoryLimit", json!(10));
    default(spec, "progressDeadlineSeconds", json!(600));
    object::edit(spec, "strategy", |strategy| {
        rolling(strategy, &[("maxSurge", json!("25%")), ("maxUnavailable", json!("25%"))]);
    });
    template(spec);
}

pub(super) fn stateful_set(spec: &mut Json) {
    default(spec, "replicas", json!(1));
    default(spec, "revisionHistoryLimit", json!(10));
    default(spec, "podManagementPolicy", json!("OrderedReady"));
    object::edit(spec, "updateStrategy", |strategy| rolling(strategy, &[("partition", json!(0))]));
    object::edit(spec, "persistentVolumeClaimRetentionPolicy", |policy| {
        default(policy, "whenDeleted", json!("Retain"));
        default(policy, "whenScaled", json!("Retain"));
    });
    for claim in maps(spec, "volumeClaimTemplates") {
        default(claim, "apiVersion", json!("v1"));
        default(claim, "kind", json!("PersistentVolumeClaim"));
        object::edit(claim, "spec", |spec| default(spec, "volumeMode", json!("Filesystem")));
        default(claim, "status", json!({ "phase": "Pending" }));
    }
    template(spec);
}

pub(super) fn daemon_set(spec: &mut Json) {
    default(spec, "revisionHistoryLimit", json!(10));
    object::edit(spec, "updateStrategy", |strategy| {
        rolling(strategy, &[("maxSurge", json!(0)), ("maxUnavailable", json!(1))]);
    });
    template(spec);
}

/// Counts the templates that a DaemonSet has had, for clients of an API that there is no more.
pub(crate) fn template_generation(json: &mut Json, old: Option<&Json>) {
    const PATH: &[&str] = &["metadata", "annotations", "deprecated.daemonset.template.generation"];
    let generation = match old {
        None => 1,
        Some(old) => {
            let is_changed =
                object::at(json, &["spec", "template"]) != object::at(old, &["spec", "template"]);
            let before: i64 = object::text(old, PATH).parse().unwrap_or_default();
            before.saturating_add(i64::from(is_changed))
        }
    };
    object::set(json, PATH, generation.to_string().into());
}

/// Updates roll, unless they are said to go otherwise.
fn rolling(strategy: &mut Json, pace: &[(&str, Value)]) {
    default(strategy, "type", json!("RollingUpdate"));
    if object::text(strategy, &["type"]) == "RollingUpdate" {
        object::edit(strategy, "rollingUpdate", |rolling| {
            pace.iter().for_each(|(field, value)| default(rolling, field, value.clone()));
        });
    }
}

pub(super) fn job(spec: &mut Json) {
    let limit = if spec.contains_key("backoffLimitPerIndex") { i32::MAX } else { 6 };
    default(spec, "backoffLimit", json!(limit));
    default(spec, "completionMode", json!("NonIndexed"));
    default(spec, "suspend", json!(false));
    if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
        default(spec, "completions", json!(1));
    }
    default(spec, "parallelism", json!(1));
    let replaced = if spec.contains_key("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    default(spec, "podReplacementPolicy", json!(replaced));
    template(spec);
}

/// Who has no labels has those of its Pods.
pub(super) fn labels(json: &mut Json) {
    let own = object::at(json, &["metadata", "labels"]).and_then(Value::as_object);
    if own.is_none_or(Json::is_empty)
        && let Some(labels) = object::at(json, TEMPLATE_LABELS).cloned()
    {
        object::set(json, &["metadata", "labels"], labels);
    }
}

/// Who says nothing of its Pods means those with their labels.
pub(super) fn selector(json: &mut Json) {
    if let Some(labels) = object::at(json, TEMPLATE_LABELS).cloned() {
        object::edit(json, "spec", |spec| default(spec, "selector", labels));
    }
}

pub(super) fn cron_job(spec: &mut Json) {
    default(spec, "concurrencyPolicy", json!("Allow"));
    default(spec, "suspend", json!(false));
    default(spec, "successfulJobsHistoryLimit", json!(3));
    default(spec, "failedJobsHistoryLimit", json!(1));
    if spec.contains_key("jobTemplate") {
        object::edit(spec, "jobTemplate", |job| object::edit(job, "spec", template));
    }
}
