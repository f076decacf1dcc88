//! How a Deployment moves its replicas from old ReplicaSets to the one of its current template.

use std::sync::Arc;

use serde_json::Value;

use super::act::{self, CONTROLLER, Subject};
use super::{REPLICA_SETS, claim, events};
use crate::object::{self, Json, Object};
use crate::store::{Key, Place};

/// How many replicas there may be, and must be available, while a rollout is under way.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) wanted: i64,
    pub(super) at_most: i64,
    pub(super) available_at_least: i64,
}

pub(super) fn bounds(deployment: &Subject<'_>) -> Bounds {
    let wanted = deployment.replicas();
    if recreates(deployment) {
        return Bounds { wanted, at_most: wanted, available_at_least: 0 };
    }
    let part = |field: &str, rounds_up: bool| {
        let value = object::at(deployment.json, &["spec", "strategy", "rollingUpdate", field]);
        resolve(value, wanted, rounds_up)
    };
    let surge = part("maxSurge", true);
    let unavailable = match part("maxUnavailable", false) {
        // Neither up nor down would be no way forward.
        0 if surge == 0 => 1,
        unavailable => unavailable.min(wanted),
    };
    Bounds {
        wanted,
        at_most: wanted.saturating_add(surge),
        available_at_least: wanted.saturating_sub(unavailable),
    }
}

/// A number, or a percentage of the replicas.
fn resolve(value: Option<&Value>, wanted: i64, rounds_up: bool) -> i64 {
    match value {
        Some(Value::String(text)) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let hundredfold = percent.saturating_mul(wanted);
            let rounding = if rounds_up { 99 } else { 0 };
            hundredfold.saturating_add(rounding).checked_div(100).unwrap_or(0)
        }
        Some(value) => value.as_i64().unwrap_or(0),
        None => 0,
    }
}

pub(super) fn recreates(deployment: &Subject<'_>) -> bool {
    object::text(deployment.json, &["spec", "strategy", "type"]) == "Recreate"
}

pub(super) fn spec_replicas(set: &Object) -> i64 {
    act::number(&set.json, &["spec", "replicas"], 0)
}

pub(super) fn reported(set: &Object, field: &str) -> i64 {
    act::number(&set.json, &["status", field], 0)
}

pub(super) fn sum<'a>(sets: impl IntoIterator<Item = &'a Arc<Object>>, of: impl Fn(&Object) -> i64) -> i64 {
    sets.into_iter().map(|set| of(set)).fold(0, i64::saturating_add)
}

/// How many replicas the ReplicaSet of the current template has next, beside what the others have.
pub(super) fn next_replicas(deployment: &Subject<'_>, now: i64, others: i64) -> i64 {
    let bounds = bounds(deployment);
    if recreates(deployment) {
        return bounds.wanted;
    }
    let room = bounds.at_most.saturating_sub(others).saturating_sub(now).max(0);
    now.saturating_add(room).min(bounds.wanted)
}

pub(super) fn scale(deployment: &Subject<'_>, set: &Object, replicas: i64) {
    if spec_replicas(set) == replicas {
        return;
    }
    let place: Place = (REPLICA_SETS.into(), Key::of(&set.json));
    act::change(deployment.cluster, &place, object::uid(&set.json), (CONTROLLER, ""), |json: &mut Json| {
        object::set(json, &["spec", "replicas"], replicas.into());
    });
    tell_scaled(deployment, object::name(&set.json), spec_replicas(set), replicas);
}

/// Tells of a ReplicaSet that has other replicas now.
pub(super) fn tell_scaled(deployment: &Subject<'_>, name: &str, from: i64, to: i64) {
    if from != to {
        let direction = if from < to { "up" } else { "down" };
        let what = format!("Scaled {direction} replica set {name} from {from} to {to}");
        events::normal(deployment, "ScalingReplicaSet", &what);
    }
}

/// One step of a rollout: up with the new, if there is room for it, or else down with the old.
pub(super) fn step(deployment: &Subject<'_>, new: &Arc<Object>, old: &[Arc<Object>]) {
    let of_old = sum(old, spec_replicas);
    let next = next_replicas(deployment, spec_replicas(new), of_old);
    if recreates(deployment) {
        old.iter().for_each(|set| scale(deployment, set, 0));
        // The new ones come once the old ones are gone.
        if !old.iter().any(|set| has_pods(deployment, set)) {
            scale(deployment, new, next);
        }
        return;
    }
    if next != spec_replicas(new) {
        return scale(deployment, new, next);
    }
    scale_down(deployment, new, old);
}

fn has_pods(deployment: &Subject<'_>, set: &Object) -> bool {
    let dependents = deployment.cluster.store.dependents(object::uid(&set.json));
    dependents.iter().any(|(_, pod)| claim::controller(&pod.json) == Some(object::uid(&set.json)))
}

/// Takes from the old what the new makes up for: first what is of no use, then the oldest.
fn scale_down(deployment: &Subject<'_>, new: &Arc<Object>, old: &[Arc<Object>]) {
    let all = sum(old, spec_replicas).saturating_add(spec_replicas(new));
    let required = bounds(deployment).available_at_least;
    let available_new = reported(new, "availableReplicas");
    let missing = spec_replicas(new).saturating_sub(available_new);
    let mut may_go = all.saturating_sub(required).saturating_sub(missing);
    let mut left: Vec<(&Arc<Object>, i64)> = old.iter().map(|set| (set, spec_replicas(set))).collect();
    for (set, replicas) in &mut left {
        let useless = replicas.saturating_sub(reported(set, "availableReplicas")).clamp(0, may_go.max(0));
        *replicas = replicas.saturating_sub(useless);
        may_go = may_go.saturating_sub(useless);
    }
    let available_old = sum(old, |set| reported(set, "availableReplicas").min(spec_replicas(set)));
    let mut spare = available_new.saturating_add(available_old).saturating_sub(required).min(may_go).max(0);
    for (set, replicas) in left {
        let given_up = replicas.min(spare);
        spare = spare.saturating_sub(given_up);
        scale(deployment, set, replicas.saturating_sub(given_up));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_percentage_rounds_up_for_the_surge_and_down_for_what_may_be_missing() {
        assert_eq!(resolve(Some(&json!("25%")), 2, true), 1);
        assert_eq!(resolve(Some(&json!("25%")), 2, false), 0);
        assert_eq!(resolve(Some(&json!("50%")), 4, false), 2);
        assert_eq!(resolve(Some(&json!(3)), 2, true), 3);
        assert_eq!(resolve(None, 2, true), 0);
    }
}
