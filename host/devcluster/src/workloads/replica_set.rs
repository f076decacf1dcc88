//! ReplicaSets: as many Pods as are wanted, and a status that counts those that there are.

use std::sync::Arc;

use serde_json::Value;

use super::act::{self, CONTROLLER, Subject};
use super::{PODS, claim, status, template};
use crate::object::{self, Json, Object};

pub(super) fn reconcile(set: &Subject<'_>) {
    let pods = claim::claim(set, PODS);
    let active = claim::active(&pods);
    let have = act::count(active.iter());
    let wanted = set.replicas();
    for _ in have..wanted.min(have.saturating_add(act::AT_ONCE)) {
        set.try_create(PODS, template::generated(set, &[]));
    }
    for pod in surplus(active, have.saturating_sub(wanted)) {
        set.delete(PODS, pod);
    }
    report(set, &claim::claim(set, PODS));
}

/// The Pods that are given up first: those that are not ready, then the youngest.
fn surplus(mut active: Vec<&Json>, surplus: i64) -> impl Iterator<Item = &Json> {
    active.reverse();
    active.sort_by_key(|pod| object::has_condition(pod, "Ready"));
    active.into_iter().take(usize::try_from(surplus).unwrap_or(0))
}

fn report(set: &Subject<'_>, pods: &[Arc<Object>]) {
    let active = claim::active(pods);
    let ready = act::count(active.iter().filter(|pod| object::has_condition(pod, "Ready")));
    let labelled = |pod: &&&Json| {
        let labels = template::of(set.json).pointer("/metadata/labels").cloned().unwrap_or_default();
        let found = object::meta(pod, "labels");
        let labels = labels.as_object().cloned().unwrap_or_default();
        labels.iter().all(|(label, value)| found.and_then(|found| found.get(label)) == Some(value))
    };
    let mut new = Json::new();
    new.insert("observedGeneration".to_owned(), set.generation());
    new.insert("replicas".to_owned(), act::count(active.iter()).into());
    let labelled = act::count(active.iter().filter(labelled));
    let terminating = pods.iter().filter(|pod| object::is_deleting(&pod.json));
    new.insert("terminatingReplicas".to_owned(), act::count(terminating).into());
    status::counts(
        &mut new,
        &[("fullyLabeledReplicas", labelled), ("readyReplicas", ready), ("availableReplicas", ready)],
    );
    if let Some(conditions) = object::at(set.json, &["status", "conditions"]).and_then(Value::as_array) {
        new.insert("conditions".to_owned(), conditions.clone().into());
    }
    set.set_status(CONTROLLER, new);
}
