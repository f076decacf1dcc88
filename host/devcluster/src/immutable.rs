//! The fields of the built-in kinds that no update changes.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::error::{ApiError, Cause};
use crate::gated;
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::strict::StrictErrors;
use crate::{qos, types};

const POD: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
                   `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
                   existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
                   previously negative)";
const STATEFUL_SET: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                            'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                            'minReadySeconds' are forbidden";
const CLAIM: &str = "spec is immutable after creation except resources.requests and volumeAttributesClassName for \
                     bound claims";
const IMMUTABLE: &str = "field is immutable";

/// The subresources that cover nothing that must stay, or are how it may change.
const APART: &[&str] = &["approval", "binding", "ephemeralcontainers", "finalize", "resize", "status"];

/// Refuses a new state that differs from the old one where it must not.
pub(crate) fn check(kind: &Kind, subresource: &str, old: &Json, new: &Json) -> Result<(), ApiError> {
    if subresource == "resize" {
        return refuse(kind, new, &resized(old, new));
    }
    if APART.contains(&subresource) {
        return Ok(());
    }
    let mut causes = problems(kind, old, new);
    if let (false, Some(of_type)) = (causes.is_empty(), types::of(kind)) {
        // What an earlier server stored may say the same in other words.
        let mut settled = old.clone();
        types::decode(of_type, &mut settled, StrictErrors::new(false), false);
        causes = problems(kind, &settled, new);
    }
    refuse(kind, new, &causes)
}

fn refuse(kind: &Kind, new: &Json, causes: &[Cause]) -> Result<(), ApiError> {
    match causes.is_empty() {
        true => Ok(()),
        false => Err(ApiError::invalid(kind, object::name(new), causes)),
    }
}

/// A Pod that is resized keeps its containers and its class, and changes nothing but its processors and its memory.
fn resized(old: &Json, new: &Json) -> Vec<Cause> {
    let (before, after) = (qos::class(old), qos::class(new));
    let mut causes = Vec::new();
    if before != after {
        let why = "Pod QOS Class may not change as a result of resizing";
        causes.push(Cause::invalid("spec", &json!(before), why));
    }
    let (old, new) = (spec(old), spec(new));
    for field in ["containers", "initContainers"] {
        let (before, after) = (list(&old, field), list(&new, field));
        if before.len() != after.len() {
            let why = "containers may not be added or removed on resize";
            causes.push(Cause::forbidden(format!("spec.{field}"), why));
        } else if before.iter().zip(after).any(|(before, after)| unsizable(before) != unsizable(after)) {
            causes.push(Cause::forbidden("spec", "only cpu and memory resources are mutable"));
        }
    }
    causes
}

/// A container without what a resize may change.
fn unsizable(container: &Value) -> Value {
    let mut rest = container.clone();
    for resources in ["requests", "limits"] {
        if let Some(all) = rest.pointer_mut(&format!("/resources/{resources}")).and_then(Value::as_object_mut)
        {
            all.retain(|resource, _| !matches!(resource.as_str(), "cpu" | "memory"));
        }
    }
    if let Some(resources) = rest.get_mut("resources").and_then(Value::as_object_mut) {
        resources.retain(|_, part| part.as_object().is_none_or(|part| !part.is_empty()));
    }
    rest
}

fn problems(kind: &Kind, old: &Json, new: &Json) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut same = |paths: &[&[&str]]| {
        for path in paths {
            let found = object::at(new, path);
            if found != object::at(old, path) {
                causes.push(Cause::invalid(path.join("."), found.unwrap_or(&Value::Null), IMMUTABLE));
            }
        }
    };
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => causes.extend(pod(old, new)),
        ("", "Service") => causes.extend(service(old, new)),
        ("", "PersistentVolumeClaim") => causes.extend(claim(old, new)),
        ("batch", "Job") => {
            same(&[&["spec", "selector"], &["spec", "completionMode"]]);
            same(&[&["spec", "podFailurePolicy"], &["spec", "backoffLimitPerIndex"]]);
            causes.extend(completions(old, new));
            causes.extend(job_template(old, new));
        }
        ("apps", "StatefulSet") => causes.extend(stateful_set(old, new)),
        ("storage.k8s.io", "StorageClass") => {
            same(&[&["parameters"], &["provisioner"], &["reclaimPolicy"], &["volumeBindingMode"]]);
        }
        ("scheduling.k8s.io", "PriorityClass") => {
            // One that an earlier server stored may say nothing of it.
            if old.contains_key("preemptionPolicy") {
                same(&[&["preemptionPolicy"]]);
            }
            if old.get("value") != new.get("value") {
                causes.push(Cause::forbidden("value", "may not be changed in an update."));
            }
        }
        ("node.k8s.io", "RuntimeClass") => same(&[&["handler"]]),
        _ => {}
    }
    causes
}

fn spec(json: &Json) -> Json {
    json.get("spec").and_then(Value::as_object).cloned().unwrap_or_default()
}

fn list<'a>(json: &'a Json, field: &str) -> &'a [Value] {
    json.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn set<'a>(json: &'a Json, field: &str) -> HashSet<&'a Value> {
    list(json, field).iter().collect()
}

/// Of a Pod only the images change, and what lets it end or be scheduled in more places.
fn pod(old: &Json, new: &Json) -> Vec<Cause> {
    let (old, mut new) = (spec(old), spec(new));
    let mut fixed = old.clone();
    for field in ["containers", "initContainers"] {
        if list(&old, field).len() != list(&new, field).len() {
            return vec![Cause::forbidden("spec", "pod updates may not add or remove containers")];
        }
        for spec in [&mut fixed, &mut new] {
            for container in spec.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(container) = container.as_object_mut() {
                    container.remove("image");
                }
            }
        }
    }
    let mut causes = Vec::new();
    if !list(&old, "schedulingGates").is_empty() {
        causes = gated::problems(&old, &new);
        [&mut fixed, &mut new].into_iter().for_each(gated::remove_directives);
    }
    let keeps = |field: &str| set(&old, field).is_subset(&set(&new, field));
    let deadline = |spec: &Json| spec.get("activeDeadlineSeconds").and_then(Value::as_i64);
    let shortens = deadline(&new).is_some_and(|new| deadline(&old).is_none_or(|old| new <= old));
    // Gates may only go.
    let opens = set(&new, "schedulingGates").is_subset(&set(&old, "schedulingGates"));
    let grace = |spec: &Json| spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64);
    let corrects = grace(&new) == Some(1) && grace(&old).is_some_and(|seconds| seconds < 0);
    for (field, may_change) in [
        ("tolerations", keeps("tolerations")),
        ("activeDeadlineSeconds", shortens),
        ("schedulingGates", opens),
        ("terminationGracePeriodSeconds", corrects),
    ] {
        if may_change {
            fixed.remove(field);
            new.remove(field);
        }
    }
    if fixed != new {
        causes.push(Cause::forbidden("spec", POD));
    }
    causes
}

/// A Service keeps its address while it has one of its own.
fn service(old: &Json, new: &Json) -> Option<Cause> {
    let external = |json: &Json| object::text(json, &["spec", "type"]) == "ExternalName";
    let address = |json: &Json| object::text(json, &["spec", "clusterIP"]).to_owned();
    if external(old) || external(new) || address(old).is_empty() || address(old) == address(new) {
        return None;
    }
    Some(Cause::invalid("spec.clusterIPs[0]", &json!([address(new)]), "may not change once set"))
}

/// A claim keeps its specification, but for the size once it is bound, and for the volume that binds it.
fn claim(old: &Json, new: &Json) -> Option<Cause> {
    const SIZE: &[&str] = &["spec", "resources", "requests", "storage"];
    let (mut before, mut after) = (old.clone(), new.clone());
    let is_bound = object::text(old, &["status", "phase"]) == "Bound";
    if is_bound {
        object::remove(&mut before, SIZE);
        object::remove(&mut after, SIZE);
        object::remove(&mut before, &["spec", "volumeAttributesClassName"]);
        object::remove(&mut after, &["spec", "volumeAttributesClassName"]);
    }
    if object::text(old, &["spec", "volumeName"]).is_empty() {
        object::remove(&mut before, &["spec", "volumeName"]);
        object::remove(&mut after, &["spec", "volumeName"]);
    }
    if before.get("spec") != after.get("spec") {
        return Some(Cause::forbidden("spec", CLAIM));
    }
    let size = |json: &Json, path: &[&str]| types::amount(object::text(json, path));
    let (asked, had) = (size(new, SIZE), size(old, SIZE));
    let given = size(old, &["status", "capacity", "storage"]);
    let shrinks = asked < had && asked <= given;
    shrinks.then(|| {
        Cause::forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")
    })
}

/// How many Pods of a Job are to complete stays, but for those that are numbered: there it goes with how many run at once.
fn completions(old: &Json, new: &Json) -> Option<Cause> {
    let number = |json: &Json, field: &str| object::at(json, &["spec", field]).cloned().unwrap_or_default();
    let (before, after) = (number(old, "completions"), number(new, "completions"));
    let is_in_tandem = after == number(new, "parallelism");
    let is_indexed = object::text(new, &["spec", "completionMode"]) == "Indexed";
    let why = match (before == after, is_indexed) {
        (true, _) => return None,
        (false, true) if is_in_tandem => return None,
        (false, true) => "can only be modified in tandem with spec.parallelism",
        (false, false) => IMMUTABLE,
    };
    Some(Cause::invalid("spec.completions", &after, why))
}

/// The template of a Job stays; one that was suspended before it began may still say where its pods go.
fn job_template(old: &Json, new: &Json) -> Option<Cause> {
    const TEMPLATE: &[&str] = &["spec", "template"];
    let fixed = |json: &Json| {
        let mut json = json.clone();
        let waits = object::at(old, &["spec", "suspend"]) == Some(&json!(true))
            && object::at(old, &["status", "startTime"]).is_none();
        let scheduling: [&[&str]; 6] = [
            &["spec", "template", "metadata", "labels"],
            &["spec", "template", "metadata", "annotations"],
            &["spec", "template", "spec", "nodeSelector"],
            &["spec", "template", "spec", "affinity"],
            &["spec", "template", "spec", "tolerations"],
            &["spec", "template", "spec", "schedulingGates"],
        ];
        for path in scheduling.iter().filter(|_| waits) {
            object::remove(&mut json, path);
        }
        object::at(&json, TEMPLATE).cloned().unwrap_or_default()
    };
    let found = object::at(new, TEMPLATE).unwrap_or(&Value::Null);
    (fixed(old) != fixed(new)).then(|| Cause::invalid("spec.template", found, IMMUTABLE))
}

fn stateful_set(old: &Json, new: &Json) -> Option<Cause> {
    const FREE: &[&str] = &[
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
        // Refused with its own cause.
        "selector",
    ];
    let fixed = |json: &Json| {
        let mut spec = spec(json);
        spec.retain(|field, _| !FREE.contains(&field.as_str()));
        spec
    };
    (fixed(old) != fixed(new)).then(|| Cause::forbidden("spec", STATEFUL_SET))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_in_other_words_has_not_changed() {
        let kind = crate::builtin::kinds().into_iter().find(|kind| kind.kind == "Pod").unwrap();
        let pod =
            |spec: Value| json!({ "metadata": { "name": "p" }, "spec": spec }).as_object().unwrap().clone();
        let old = pod(json!({ "hostNetwork": false, "overhead": { "cpu": "0.5" } }));
        let same = pod(json!({ "containers": null, "overhead": { "cpu": "500m" } }));
        assert!(check(&kind, "", &old, &same).is_ok());
        let other = pod(json!({ "overhead": { "cpu": "501m" } }));
        assert!(check(&kind, "", &old, &other).is_err());
    }
}
