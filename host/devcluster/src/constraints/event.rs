//! The rules of new Events: in `v1` the old ones, as long as they have no `eventTime`, and in `events.k8s.io/v1` the
//! stricter ones (KEP-383).

use serde_json::Value;

use crate::error::Cause;
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::validate;

/// Fields are named as `v1` names them, in which all Events are kept.
pub(super) fn created(kind: &Kind, json: &Json, causes: &mut Vec<Cause>) {
    let is_new = kind.group == "events.k8s.io";
    let (about, reporter) = match is_new {
        true => ("regarding", "reportingController"),
        false => ("involvedObject", "reportingComponent"),
    };
    let has_time = json.get("eventTime").is_some_and(|time| !time.is_null());
    place(object::namespace(json), object::text(json, &[about, "namespace"]), has_time, causes);
    if has_time {
        reported(json, reporter, causes);
    }
    if !is_new {
        return;
    }
    if !has_time {
        causes.push(Cause::required("eventTime", ""));
    }
    let of_type = object::text(json, &["type"]);
    if !matches!(of_type, "Normal" | "Warning") {
        let why = format!("has invalid value: {of_type}");
        causes.push(Cause::invalid("type", &Value::from(""), &why));
    }
}

/// An Event is where its object is, and one of an object without a namespace in `default`.
fn place(namespace: &str, about: &str, has_time: bool, causes: &mut Vec<Cause>) {
    let fits = match about {
        "" => namespace == "default" || (has_time && namespace == "kube-system"),
        about => has_time || about == namespace,
    };
    if !fits {
        let why = "does not match event.namespace";
        causes.push(Cause::invalid("involvedObject.namespace", &Value::from(about), why));
    }
}

/// Who says what happened, and why.
fn reported(json: &Json, reporter: &str, causes: &mut Vec<Cause>) {
    let controller = object::text(json, &[reporter]);
    if controller.is_empty() {
        causes.push(Cause::required("reportingController", ""));
    }
    if let Some(problem) = validate::label_key_problem(controller) {
        causes.push(Cause::invalid("reportingController", &Value::from(controller), problem));
    }
    for field in ["reportingInstance", "action", "reason"] {
        if object::text(json, &[field]).is_empty() {
            causes.push(Cause::required(field, ""));
        }
    }
}
