//! The PersistentVolumeClaims of a StatefulSet's Pods: one for each template and Pod, which outlives both the Pod and
//! the set, as `persistentVolumeClaimRetentionPolicy` has it by default.

use serde_json::{Value, json};

use super::CLAIMS;
use super::act::{self, Subject};
use crate::error::ApiError;
use crate::object::{self, Json};

const VOLUMES: &[&str] = &["spec", "volumes"];

/// Makes the claims of a Pod that are not there yet, and has the Pod use them in place of its own volumes of those names.
pub(super) fn furnish(set: &Subject<'_>, ordinal: i64, pod: &mut Json) -> Result<(), ApiError> {
    let templates = object::items(set.json, &["spec", "volumeClaimTemplates"]);
    let mut volumes = Vec::new();
    for template in templates.iter().filter_map(Value::as_object) {
        let volume = object::name(template);
        let name = format!("{volume}-{}-{ordinal}", set.name());
        match act::make(set.cluster, CLAIMS, set.namespace(), claim(set, template, &name)) {
            Ok(_) => {}
            Err(error) if error.reason == "AlreadyExists" => {}
            Err(error) => return Err(error),
        }
        volumes.push(json!({ "name": volume, "persistentVolumeClaim": { "claimName": name } }));
    }
    if volumes.is_empty() {
        return Ok(());
    }
    let is_claimed = |own: &&Value| volumes.iter().any(|volume| volume.get("name") == own.get("name"));
    let own: Vec<Value> =
        object::items(pod, VOLUMES).iter().filter(|own| !is_claimed(own)).cloned().collect();
    volumes.extend(own);
    object::set(pod, VOLUMES, Value::Array(volumes));
    Ok(())
}

/// A claim of a template, with the labels that the set selects by.
fn claim(set: &Subject<'_>, template: &Json, name: &str) -> Json {
    let mut claim = template.clone();
    object::set(&mut claim, &["metadata", "name"], name.into());
    let selected = object::at(set.json, &["spec", "selector", "matchLabels"]).and_then(Value::as_object);
    for (label, value) in selected.into_iter().flatten() {
        object::set(&mut claim, &["metadata", "labels", label], value.clone());
    }
    claim
}
