//! StatefulSets: Pods `name-0`, `name-1` and so on, each with an identity of its own, made in order and
//! given up in reverse order. No ControllerRevision is made for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::act::{self, CONTROLLER, Subject};
use super::{PODS, claim, status, template, volume_claims};
use crate::object::{self, Json, Object};

const REVISION: &str = "controller-revision-hash";

pub(super) fn reconcile(set: &Subject<'_>) {
    let revision = format!("{}-{}", set.name(), template::hash(&template::of(set.json), 0));
    let pods = claim::claim(set, PODS);
    if !scale(set, &pods, &revision) {
        update(set, &pods, &revision);
    }
    report(set, &claim::claim(set, PODS), &revision);
}

fn first(set: &Subject<'_>) -> i64 {
    act::number(set.json, &["spec", "ordinals", "start"], 0)
}

fn end(set: &Subject<'_>) -> i64 {
    first(set).saturating_add(set.replicas())
}

fn ordinal(set: &Subject<'_>, pod: &Json) -> Option<i64> {
    object::name(pod).strip_prefix(set.name())?.strip_prefix('-')?.parse().ok()
}

fn is_parallel(set: &Subject<'_>) -> bool {
    object::text(set.json, &["spec", "podManagementPolicy"]) == "Parallel"
}

/// Makes the Pods that are missing and gives up those that are too many; tells whether there were any.
fn scale(set: &Subject<'_>, pods: &[Arc<Object>], revision: &str) -> bool {
    let present: BTreeMap<i64, &Json> =
        pods.iter().filter_map(|pod| Some((ordinal(set, &pod.json)?, &pod.json))).collect();
    let mut created = 0;
    for ordinal in first(set)..end(set) {
        match present.get(&ordinal) {
            None => {
                // Where one cannot be made, the others cannot either.
                if !create(set, ordinal, revision) {
                    return true;
                }
                created += 1;
            }
            // It is made anew once it is gone.
            Some(pod) if claim::has_ended(pod) => set.delete(PODS, pod),
            Some(pod) if object::has_condition(pod, "Ready") => continue,
            Some(_) => {}
        }
        // In order, each waits for the one before it.
        if !is_parallel(set) || created == act::AT_ONCE {
            return true;
        }
    }
    let mut surplus: Vec<(i64, &Json)> = pods
        .iter()
        .filter_map(|pod| Some((ordinal(set, &pod.json)?, &pod.json)))
        .filter(|(ordinal, _)| !(first(set)..end(set)).contains(ordinal))
        .collect();
    surplus.sort_by_key(|(ordinal, _)| std::cmp::Reverse(*ordinal));
    let at_once = if is_parallel(set) { surplus.len() } else { 1 };
    surplus.iter().take(at_once).for_each(|(_, pod)| set.delete(PODS, pod));
    !surplus.is_empty()
}

/// Gives up one Pod of an earlier template, the last first: it is made anew.
fn update(set: &Subject<'_>, pods: &[Arc<Object>], revision: &str) {
    if object::text(set.json, &["spec", "updateStrategy", "type"]) == "OnDelete" {
        return;
    }
    let partition = act::number(set.json, &["spec", "updateStrategy", "rollingUpdate", "partition"], 0);
    // Counted from the first Pod on, whatever its number.
    let partition = first(set).saturating_add(partition);
    let is_all_ready = pods.iter().all(|pod| object::has_condition(&pod.json, "Ready"));
    let outdated = pods.iter().filter(|pod| !is_of(&pod.json, revision));
    let last = outdated
        .filter_map(|pod| Some((ordinal(set, &pod.json)?, pod)))
        .filter(|(ordinal, _)| *ordinal >= partition)
        .max_by_key(|(ordinal, _)| *ordinal);
    if let (true, Some((_, pod))) = (is_all_ready, last) {
        set.delete(PODS, &pod.json);
    }
}

fn is_of(pod: &Json, revision: &str) -> bool {
    object::text(pod, &["metadata", "labels", REVISION]) == revision
}

/// Makes the Pod of a number; tells whether it could be had.
fn create(set: &Subject<'_>, ordinal: i64, revision: &str) -> bool {
    let name = format!("{}-{ordinal}", set.name());
    let number = ordinal.to_string();
    let labels = [
        (REVISION, revision),
        ("statefulset.kubernetes.io/pod-name", name.as_str()),
        ("apps.kubernetes.io/pod-index", number.as_str()),
    ];
    let mut pod = template::pod(set, &labels);
    object::set(&mut pod, &["spec", "hostname"], name.clone().into());
    if let Some(service) = object::at(set.json, &["spec", "serviceName"]) {
        object::set(&mut pod, &["spec", "subdomain"], service.clone());
    }
    object::set(&mut pod, &["metadata", "name"], name.into());
    object::set(&mut pod, &["metadata", "generateName"], format!("{}-", set.name()).into());
    match volume_claims::furnish(set, ordinal, &mut pod) {
        Ok(()) => set.create_pod(pod).is_ok(),
        Err(error) => {
            set.log(&error);
            false
        }
    }
}

fn report(set: &Subject<'_>, pods: &[Arc<Object>], revision: &str) {
    let ready = act::count(pods.iter().filter(|pod| object::has_condition(&pod.json, "Ready")));
    let updated = act::count(pods.iter().filter(|pod| is_of(&pod.json, revision)));
    let total = act::count(pods.iter());
    let before = match object::text(set.json, &["status", "currentRevision"]) {
        "" => revision,
        before => before,
    };
    // The update revision is the current one once all Pods are of it.
    let is_done = updated == total && total == set.replicas() && ready == total;
    let current = if is_done { revision } else { before };
    let mut new = Json::new();
    new.insert("observedGeneration".to_owned(), set.generation());
    new.insert("replicas".to_owned(), total.into());
    new.insert("availableReplicas".to_owned(), ready.into());
    new.insert("currentRevision".to_owned(), current.into());
    new.insert("updateRevision".to_owned(), revision.into());
    new.insert("collisionCount".to_owned(), 0.into());
    let of_current = act::count(pods.iter().filter(|pod| is_of(&pod.json, current)));
    status::counts(
        &mut new,
        &[("readyReplicas", ready), ("currentReplicas", of_current), ("updatedReplicas", updated)],
    );
    if let Some(conditions) = object::at(set.json, &["status", "conditions"]).and_then(Value::as_array) {
        new.insert("conditions".to_owned(), conditions.clone().into());
    }
    set.set_status(CONTROLLER, new);
}
