//! The revisions of a Deployment: numbers in annotations of its ReplicaSets, which `kubectl rollout
//! history` and `undo` read.

use std::sync::Arc;

use serde_json::{Value, json};

use super::act::{self, CONTROLLER, Subject};
use crate::object::{self, Json, Object};

const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAXIMUM: &str = "deployment.kubernetes.io/max-replicas";
/// What stays with the Deployment when its ReplicaSet gets its annotations.
const NOT_COPIED: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    HISTORY,
    DESIRED,
    MAXIMUM,
];

pub(super) fn of(json: &Json) -> i64 {
    annotation(json, REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The number of a template that is rolled out now.
pub(super) fn next(others: &[Arc<Object>]) -> i64 {
    others.iter().map(|set| of(&set.json)).max().unwrap_or(0).saturating_add(1)
}

fn annotation<'a>(json: &'a Json, key: &str) -> Option<&'a str> {
    object::meta(json, "annotations")?.get(key)?.as_str()
}

/// Gives a ReplicaSet the annotations of its Deployment, and the revision, unless it has a later one.
pub(super) fn annotate(set: &mut Json, deployment: &Json, revision: i64, (desired, maximum): (i64, i64)) {
    let before = of(set);
    let copied =
        object::meta(deployment, "annotations").and_then(Value::as_object).cloned().unwrap_or_default();
    object::edit_meta(set, |meta| {
        object::edit(meta, "annotations", |annotations| {
            for (key, value) in copied.into_iter().filter(|(key, _)| !NOT_COPIED.contains(&key.as_str())) {
                annotations.insert(key, value);
            }
            annotations.insert(DESIRED.to_owned(), desired.to_string().into());
            annotations.insert(MAXIMUM.to_owned(), maximum.to_string().into());
            if before >= revision {
                return;
            }
            if before > 0 {
                let earlier =
                    annotations.get(HISTORY).and_then(Value::as_str).filter(|text| !text.is_empty());
                let history =
                    earlier.map_or_else(|| before.to_string(), |earlier| format!("{earlier},{before}"));
                annotations.insert(HISTORY.to_owned(), history.into());
            }
            annotations.insert(REVISION.to_owned(), revision.to_string().into());
        });
    });
}

/// Says in the Deployment which revision is its current one.
pub(super) fn publish(deployment: &Subject<'_>, revision: i64) {
    if of(deployment.json) != revision {
        // With the status, as a cluster does, so that it is no new generation.
        act::change(deployment.cluster, deployment.place, deployment.uid(), (CONTROLLER, "status"), |json| {
            object::edit_meta(json, |meta| {
                object::set(meta, &["annotations", REVISION], json!(revision.to_string()));
            });
        });
    }
}

/// Deletes the oldest ReplicaSets that are no longer used, beyond as many as are to be kept.
pub(super) fn clean_up(deployment: &Subject<'_>, old: &[Arc<Object>]) {
    let keep = super::act::number(deployment.json, &["spec", "revisionHistoryLimit"], 10);
    let mut idle: Vec<&Json> = old.iter().map(|set| &set.json).filter(|set| is_idle(set)).collect();
    let surplus = old.len().saturating_sub(usize::try_from(keep).unwrap_or(0));
    idle.sort_by_key(|set| of(set));
    for set in idle.into_iter().take(surplus) {
        deployment.delete(super::REPLICA_SETS, set);
    }
}

fn is_idle(set: &Json) -> bool {
    [["spec", "replicas"], ["status", "replicas"]].iter().all(|path| super::act::number(set, path, 0) == 0)
}
