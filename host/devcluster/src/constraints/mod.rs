//! The rules of built-in kinds beyond their types that a developer is most likely to break, with the words of the real
//! server.
//!
//! What an update leaves as it was is not judged again, as neither is the rest of an object whose status is written.

mod checks;
mod data;
mod deployment;
mod event;
mod pod;
mod resources;
mod schedule;
mod service;
mod tables;
mod workload;

pub(crate) use self::schedule::duration_problem;

use serde_json::Value;

use crate::access::shape;
use crate::error::{ApiError, Cause};
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::{transition, types, validate};

const LARGEST_PORT: i64 = 65_535;

/// Refuses an object that breaks the rules of its kind; `old` is the live object of an update.
pub(crate) fn validate(kind: &Kind, json: &Json, old: Option<&Json>) -> Result<(), ApiError> {
    if kind.is_custom() || old.is_some_and(|old| !transition::spec_changed(kind, old, json)) {
        return Ok(());
    }
    let mut causes = problems(kind, json, old);
    if let (false, Some(old)) = (causes.is_empty(), old) {
        // What an earlier server took may stay.
        let known = problems(kind, old, Some(old));
        let is_known = |cause: &Cause| {
            known.iter().any(|known| known.field == cause.field && known.message == cause.message)
        };
        causes.retain(|cause| !is_known(cause));
    }
    match causes.is_empty() {
        true => Ok(()),
        false => Err(ApiError::invalid(kind, object::name(json), &causes)),
    }
}

fn problems(kind: &Kind, json: &Json, old: Option<&Json>) -> Vec<Cause> {
    let mut causes = Vec::new();
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", _) => workload::replicated(kind, json, old, &mut causes),
        ("batch", "Job") => workload::job(json.get("spec"), "spec", &mut causes),
        ("batch", "CronJob") => workload::cron_job(json, &mut causes),
        ("autoscaling", "HorizontalPodAutoscaler") => workload::autoscaler(json, &mut causes),
        ("" | "events.k8s.io", "Event") if old.is_none() => event::created(kind, json, &mut causes),
        ("", "Pod") => {
            pod::spec(json.get("spec"), "spec", &[], &mut causes);
            match old {
                // Told with what else may not change.
                Some(_) => causes.retain(|cause| !cause.field.ends_with(".nodeSelectorTerms")),
                None if object::items(json, &["spec", "ephemeralContainers"]).is_empty() => {}
                None => causes.push(Cause::forbidden("spec.ephemeralContainers", "cannot be set on create")),
            }
        }
        ("", "Service") => service::validate(json, &mut causes),
        ("", "PersistentVolumeClaim") => claim(json, &mut causes),
        ("", "ConfigMap" | "Secret") => data::validate(kind, json, old, &mut causes),
        ("rbac.authorization.k8s.io", _) => {
            causes.extend(shape::problems(kind, json));
            if old.is_some_and(|old| old.get("roleRef") != json.get("roleRef")) {
                let found = json.get("roleRef").unwrap_or(&Value::Null);
                causes.push(Cause::invalid("roleRef", found, "cannot change roleRef"));
            }
        }
        ("storage.k8s.io", "StorageClass") => {
            let provisioner = object::text(json, &["provisioner"]);
            required(json, &["provisioner"], &mut causes);
            let problems = validate::label_key_problems(&provisioner.to_lowercase()).into_iter();
            let problems = problems.filter(|_| !provisioner.is_empty());
            causes.extend(problems.map(|why| Cause::invalid("provisioner", &provisioner.into(), why)));
        }
        _ => {}
    }
    checks::check_object(json, tables::of(kind), &mut causes);
    causes
}

fn unchanged(json: &Json, old: Option<&Json>, path: &[&str], causes: &mut Vec<Cause>) {
    if let Some(old) = old
        && object::at(json, path) != object::at(old, path)
    {
        let value = object::at(json, path).unwrap_or(&Value::Null);
        causes.push(Cause::invalid(path.join("."), value, "field is immutable"));
    }
}

fn required(json: &Json, path: &[&str], causes: &mut Vec<Cause>) {
    if object::text(json, path).is_empty() {
        causes.push(Cause::required(path.join("."), ""));
    }
}

/// A text field of a value, or "".
fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list in a value.
fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// One of some words, if there is any.
fn one_of(value: &Value, field: &str, path: &str, words: &[&str], causes: &mut Vec<Cause>) {
    let found = text(value, field);
    if !found.is_empty() && !words.contains(&found) {
        let words: Vec<Value> = words.iter().map(|word| Value::from(*word)).collect();
        causes.push(Cause::unsupported(format!("{path}.{field}"), &Value::from(found), &words));
    }
}

/// Not less than nothing, if there is any.
fn not_negative(value: &Value, field: &str, path: &str, causes: &mut Vec<Cause>) {
    if let Some(number) = value.get(field).filter(|number| number.as_i64().is_some_and(|number| number < 0)) {
        let why = "must be greater than or equal to 0";
        causes.push(Cause::invalid(format!("{path}.{field}"), number, why));
    }
}

fn port_number(value: &Value, field: &str, path: &str, causes: &mut Vec<Cause>) {
    let Some(number) = value.get(field) else { return };
    if number.as_i64().is_some_and(|number| !(1..=LARGEST_PORT).contains(&number)) {
        let why = format!("must be between 1 and {LARGEST_PORT}, inclusive");
        causes.push(Cause::invalid(format!("{path}.{field}"), number, &why));
    }
}

fn claim(json: &Json, causes: &mut Vec<Cause>) {
    let Some(spec) = json.get("spec") else { return };
    if items(spec, "accessModes").is_empty() {
        causes.push(Cause::required("spec.accessModes", "at least 1 access mode is required"));
    }
    if object::at(json, &["spec", "resources", "requests", "storage"]).is_none() {
        causes.push(Cause::required("spec.resources[storage]", ""));
    }
    let modes = items(spec, "accessModes");
    for mode in
        modes.iter().filter(|mode| !mode.as_str().is_some_and(|mode| tables::ACCESS_MODES.contains(&mode)))
    {
        let known: Vec<Value> = tables::ACCESS_MODES.iter().map(|mode| Value::from(*mode)).collect();
        causes.push(Cause::unsupported("spec.accessModes", mode, &known));
    }
    if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        let why = "may not use ReadWriteOncePod with other access modes";
        causes.push(Cause::forbidden("spec.accessModes", why));
    }
    let size = object::at(json, &["spec", "resources", "requests", "storage"]);
    let amount = |size: &&Value| size.as_str().and_then(types::amount).is_some_and(|amount| amount <= 0);
    if let Some(size) = size.filter(amount) {
        causes.push(Cause::invalid("spec.resources[storage]", size, "must be greater than zero"));
    }
}
