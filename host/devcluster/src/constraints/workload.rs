//! The rules of the kinds that make Pods.

use serde_json::Value;

use super::{deployment, items, not_negative, pod, schedule, text, unchanged};
use crate::error::Cause;
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::selector::LabelSelector;
use crate::validate;

/// Deployments, ReplicaSets, StatefulSets and DaemonSets.
pub(super) fn replicated(kind: &Kind, json: &Json, old: Option<&Json>, causes: &mut Vec<Cause>) {
    if kind.kind == "ControllerRevision" {
        if !json.contains_key("data") {
            causes.push(Cause::required("data", "data is mandatory"));
        }
        return;
    }
    let Some(spec) = json.get("spec") else {
        causes.push(Cause::required("spec.selector", ""));
        return;
    };
    not_negative(spec, "replicas", "spec", causes);
    if kind.kind == "Deployment" {
        deployment::validate(spec, causes);
    }
    let empty = Value::Object(Json::new());
    let template = spec.get("template").unwrap_or(&empty);
    match spec.get("selector") {
        None => {
            causes.push(Cause::required("spec.selector", ""));
            mismatch(template, causes);
        }
        Some(selector) => selects(kind, selector, template, causes),
    }
    let claims = items(spec, "volumeClaimTemplates").iter();
    let claims: Vec<&str> =
        claims.map(|claim| claim.as_object().map(object::name).unwrap_or_default()).collect();
    check_template(template, "spec.template", &claims, causes);
    if let Some(policy) = object::at(json, &["spec", "template", "spec", "restartPolicy"])
        && policy != "Always"
    {
        let path = "spec.template.spec.restartPolicy";
        causes.push(Cause::unsupported(path, policy, &[Value::from("Always")]));
    }
    unchanged(json, old, &["spec", "selector"], causes);
}

fn selects(kind: &Kind, selector: &Value, template: &Value, causes: &mut Vec<Cause>) {
    let wanted = selector.get("matchLabels").and_then(Value::as_object);
    if wanted.is_none_or(Json::is_empty) && items(selector, "matchExpressions").is_empty() {
        let why = format!("empty selector is invalid for {}", kind.singular);
        causes.push(Cause::invalid("spec.selector", selector, &why));
        return;
    }
    let template_meta = template.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    let labelled = Json::from_iter([("metadata".to_owned(), Value::Object(template_meta))]);
    if !selector.as_object().is_some_and(|selector| LabelSelector::of(selector).matches(&labelled)) {
        mismatch(template, causes);
    }
}

fn mismatch(template: &Value, causes: &mut Vec<Cause>) {
    let labels = template.get("metadata").and_then(|meta| meta.get("labels")).unwrap_or(&Value::Null);
    let why = "`selector` does not match template `labels`";
    causes.push(Cause::invalid("spec.template.metadata.labels", labels, why));
}

fn check_template(template: &Value, path: &str, claims: &[&str], causes: &mut Vec<Cause>) {
    let meta = template.get("metadata").and_then(|meta| meta.get("labels")).and_then(Value::as_object);
    for (key, value) in meta.into_iter().flatten() {
        let path = format!("{path}.labels");
        if let Some(problem) = validate::label_key_problem(key) {
            causes.push(Cause::invalid(path.as_str(), &Value::from(key.as_str()), problem));
        }
        if let Some(problem) = value.as_str().and_then(validate::label_value_problem) {
            causes.push(Cause::invalid(path.as_str(), value, problem));
        }
    }
    pod::spec(template.get("spec"), &format!("{path}.spec"), claims, causes);
}

/// A Job's specification, at this path.
pub(super) fn job(spec: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
    let empty = Value::Object(Json::new());
    let spec = spec.unwrap_or(&empty);
    for field in ["parallelism", "completions", "backoffLimit", "activeDeadlineSeconds"] {
        not_negative(spec, field, path, causes);
    }
    if let Some(limit) =
        spec.get("backoffLimitPerIndex").filter(|_| text(spec, "completionMode") != "Indexed")
    {
        let why = "requires indexed completion mode";
        causes.push(Cause::invalid(format!("{path}.backoffLimitPerIndex"), limit, why));
    }
    let template = spec.get("template").unwrap_or(&empty);
    check_template(template, &format!("{path}.template"), &[], causes);
    let policy = template.get("spec").and_then(|spec| spec.get("restartPolicy"));
    if policy.is_some_and(|policy| policy == "Always") {
        let path = format!("{path}.template.spec.restartPolicy");
        causes.push(Cause::required(path, "valid values: \"OnFailure\", \"Never\""));
    }
}

pub(super) fn cron_job(json: &Json, causes: &mut Vec<Cause>) {
    let schedule = object::text(json, &["spec", "schedule"]);
    if schedule.is_empty() {
        causes.push(Cause::required("spec.schedule", ""));
    } else if let Some(problem) = schedule::problem(schedule) {
        causes.push(Cause::invalid("spec.schedule", &Value::from(schedule), &problem));
    }
    job(object::at(json, &["spec", "jobTemplate", "spec"]), "spec.jobTemplate.spec", causes);
}

pub(super) fn autoscaler(json: &Json, causes: &mut Vec<Cause>) {
    let most = object::at(json, &["spec", "maxReplicas"]).and_then(Value::as_i64).unwrap_or_default();
    let least = object::at(json, &["spec", "minReplicas"]).and_then(Value::as_i64).unwrap_or(1);
    let too_low = |field: &str, value: i64, than: &str| {
        let why = format!("must be greater than or equal to {than}");
        Cause::invalid(field, &Value::from(value), &why)
    };
    if least < 1 {
        causes.push(too_low("spec.minReplicas", least, "1"));
    }
    match most {
        0 => causes.push(Cause::required("spec.maxReplicas", "must be set and greater than 0")),
        ..0 => causes.push(too_low("spec.maxReplicas", most, "1")),
        _ => {}
    }
    if most < least {
        causes.push(too_low("spec.maxReplicas", most, "`minReplicas`"));
    }
    let target = |field: &str| object::text(json, &["spec", "scaleTargetRef", field]);
    for field in ["kind", "name"] {
        if target(field).is_empty() {
            causes.push(Cause::required(format!("spec.scaleTargetRef.{field}"), ""));
        }
    }
    let version = target("apiVersion");
    if !version.contains('/') && target("kind") != "ReplicationController" {
        let why = "apiVersion must specify API group";
        causes.push(Cause::invalid("spec.scaleTargetRef.apiVersion", &Value::from(version), why));
    }
    let is_of_others = |metric: &Value| matches!(metric["type"].as_str(), Some("Object" | "External"));
    if least == 0 && !object::items(json, &["spec", "metrics"]).iter().any(is_of_others) {
        let why = "must specify at least one Object or External metric to support scaling to zero replicas";
        causes.push(Cause::forbidden("spec.metrics", why));
    }
}
