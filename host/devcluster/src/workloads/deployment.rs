//! Deployments: a ReplicaSet for each template, a rollout from one to the next, and their status.

use std::sync::Arc;

use serde_json::{Value, json};

use super::act::{self, CONTROLLER, Subject};
use super::replica_set::FAILURE;
use super::rollout::{self, recreates, reported, spec_replicas, sum};
use super::template::{self, HASH_LABEL};
use super::{REPLICA_SETS, claim, revision, selector, status};
use crate::object::{self, Json, Object};
use crate::store::{Key, Place};

pub(super) fn reconcile(deployment: &Subject<'_>) {
    let (new, old) = sets(deployment);
    if object::at(deployment.json, &["spec", "paused"]) == Some(&Value::Bool(true)) {
        scale_paused(deployment, new.as_ref(), &old);
        return report(deployment, false);
    }
    let is_created = match &new {
        Some(new) => {
            number(deployment, new, &old);
            rollout::step(deployment, new, &old);
            false
        }
        None => create(deployment, &old),
    };
    report(deployment, is_created);
}

/// The ReplicaSet of the current template, and those of earlier ones.
fn sets(deployment: &Subject<'_>) -> (Option<Arc<Object>>, Vec<Arc<Object>>) {
    let mut sets = claim::claim(deployment, REPLICA_SETS);
    let wanted = without_hash(template::of(deployment.json));
    let found = sets.iter().position(|set| without_hash(template::of(&set.json)) == wanted);
    (found.map(|index| sets.remove(index)), sets)
}

fn without_hash(mut template: Value) -> Value {
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH_LABEL);
    }
    template
}

/// Adds the ReplicaSet of the current template; tells whether there is one now.
fn create(deployment: &Subject<'_>, old: &[Arc<Object>]) -> bool {
    let collisions = act::number(deployment.json, &["status", "collisionCount"], 0);
    let template = template::of(deployment.json);
    let hash = template::hash(&template, collisions);
    let replicas = match recreates(deployment) && !old.is_empty() {
        true => 0,
        false => rollout::next_replicas(deployment, 0, sum(old, spec_replicas)),
    };
    let mut set = Json::new();
    set.insert("apiVersion".to_owned(), "apps/v1".into());
    set.insert("kind".to_owned(), "ReplicaSet".into());
    let labels = template.pointer("/metadata/labels").cloned().unwrap_or_else(|| json!({}));
    let name = format!("{}-{hash}", deployment.name());
    set.insert("metadata".to_owned(), json!({ "name": name.clone(), "labels": labels }));
    let selector = object::at(deployment.json, &["spec", "selector"]).cloned().unwrap_or_default();
    set.insert(
        "spec".to_owned(),
        json!({ "replicas": replicas, "selector": selector, "template": template }),
    );
    for path in [
        &["metadata", "labels", HASH_LABEL][..],
        &["spec", "selector", "matchLabels", HASH_LABEL],
        &["spec", "template", "metadata", "labels", HASH_LABEL],
    ] {
        object::set(&mut set, path, hash.clone().into());
    }
    // A selector that wants another hash would let go of each of them.
    if !selector::selects(deployment.json, &set) {
        return false;
    }
    if let Some(seconds) = object::at(deployment.json, &["spec", "minReadySeconds"]) {
        object::set(&mut set, &["spec", "minReadySeconds"], seconds.clone());
    }
    let revision = revision::next(old);
    let bounds = rollout::bounds(deployment);
    revision::annotate(&mut set, deployment.json, revision, (bounds.wanted, bounds.at_most));
    match deployment.create(REPLICA_SETS, set) {
        Ok(created) => {
            rollout::tell_scaled(deployment, object::name(&created.json), 0, replicas);
            revision::publish(deployment, revision);
            true
        }
        // It was there, and has been adopted just now.
        Err(error) if error.reason == "AlreadyExists" && is_own(deployment, &name) => false,
        // The name is that of another template, or of a Deployment that is gone: the next one is free.
        Err(error) if error.reason == "AlreadyExists" => {
            let uid = deployment.uid();
            act::change(deployment.cluster, deployment.place, uid, (CONTROLLER, "status"), |json| {
                object::set(json, &["status", "collisionCount"], collisions.saturating_add(1).into());
            });
            false
        }
        Err(error) => {
            deployment.log(&error);
            false
        }
    }
}

/// Whether the ReplicaSet of a name is the Deployment's, and of its current template.
fn is_own(deployment: &Subject<'_>, name: &str) -> bool {
    let found = deployment.cluster.store.get(REPLICA_SETS, &Key::new(deployment.namespace(), name));
    found.is_some_and(|set| {
        claim::controller(&set.json) == Some(deployment.uid())
            && without_hash(template::of(&set.json)) == without_hash(template::of(deployment.json))
    })
}

/// Gives the current ReplicaSet the highest revision, and the annotations of the Deployment.
fn number(deployment: &Subject<'_>, new: &Arc<Object>, old: &[Arc<Object>]) {
    let revision = revision::next(old).max(revision::of(&new.json));
    let bounds = rollout::bounds(deployment);
    let place: Place = (REPLICA_SETS.into(), Key::of(&new.json));
    act::change(deployment.cluster, &place, object::uid(&new.json), (CONTROLLER, ""), |set| {
        revision::annotate(set, deployment.json, revision, (bounds.wanted, bounds.at_most));
    });
    revision::publish(deployment, revision);
}

/// A paused Deployment rolls nothing out, but can be scaled.
fn scale_paused(deployment: &Subject<'_>, new: Option<&Arc<Object>>, old: &[Arc<Object>]) {
    let mut active = old.iter().chain(new).filter(|set| spec_replicas(set) > 0);
    match (active.next(), active.next()) {
        (Some(only), None) => rollout::scale(deployment, only, deployment.replicas()),
        (None, _) => {
            if let Some(set) = new.or(old.last()) {
                rollout::scale(deployment, set, deployment.replicas());
            }
        }
        (Some(_), Some(_)) => {}
    }
}

/// Why a ReplicaSet cannot have its Pods: the reason and the message.
fn failure_of(set: &Json) -> Option<(String, String)> {
    let mut conditions = object::items(set, &["status", "conditions"]).iter();
    let failure = conditions.find(|condition| object::field(condition, "type") == FAILURE)?;
    Some((object::field(failure, "reason").to_owned(), object::field(failure, "message").to_owned()))
}

fn report(deployment: &Subject<'_>, is_created: bool) {
    // What this step wrote is to be seen, but for what somebody else made of the Deployment since.
    let Some(current) = deployment.cluster.store.get(&deployment.place.0, &deployment.place.1) else {
        return;
    };
    if object::uid(&current.json) != deployment.uid() {
        return;
    }
    let (new, old) = sets(deployment);
    let all = || new.iter().chain(&old);
    let wanted = deployment.replicas();
    let total = sum(all(), |set| reported(set, "replicas"));
    let updated = sum(&new, |set| reported(set, "replicas"));
    let ready = sum(all(), |set| reported(set, "readyReplicas"));
    let available = sum(all(), |set| reported(set, "availableReplicas"));
    let specified = sum(all(), spec_replicas);
    let mut result = Json::new();
    result.insert("observedGeneration".to_owned(), deployment.generation());
    let terminating = sum(all(), |set| reported(set, "terminatingReplicas"));
    result.insert("terminatingReplicas".to_owned(), terminating.into());
    status::counts(
        &mut result,
        &[
            ("replicas", total),
            ("updatedReplicas", updated),
            ("readyReplicas", ready),
            ("availableReplicas", available),
            ("unavailableReplicas", specified.saturating_sub(available).max(0)),
            ("collisionCount", act::number(&current.json, &["status", "collisionCount"], 0)),
        ],
    );
    let is_complete = new.is_some() && updated == wanted && total == wanted && available == wanted;
    let name = new.as_ref().map(|set| object::name(&set.json)).unwrap_or_default();
    let (ends, continues, begins, finds) = (
        format!("ReplicaSet \"{name}\" has successfully progressed."),
        format!("ReplicaSet \"{name}\" is progressing."),
        format!("Created new replica set \"{name}\""),
        format!("Found new replica set \"{name}\""),
    );
    let before = |field: &str| act::number(&current.json, &["status", field], 0);
    let known = object::items(&current.json, &["status", "conditions"])
        .iter()
        .find(|condition| object::field(condition, "type") == "Progressing")
        .map(|condition| object::field(condition, "reason"));
    // What was said of an earlier ReplicaSet is over.
    let has_come_further = known == Some("NewReplicaSetAvailable")
        || updated > before("updatedReplicas")
        || total.saturating_sub(updated) < before("replicas").saturating_sub(before("updatedReplicas"))
        || ready > before("readyReplicas")
        || available > before("availableReplicas");
    let available_condition = match available >= rollout::bounds(deployment).available_at_least {
        true => ("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
        false => (
            "Available",
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        ),
    };
    let is_paused = object::at(deployment.json, &["spec", "paused"]) == Some(&Value::Bool(true));
    let progressing = match (is_paused, is_complete, is_created) {
        (true, ..) => Some(("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")),
        (_, true, _) => Some(("Progressing", "True", "NewReplicaSetAvailable", ends.as_str())),
        (_, _, true) => Some(("Progressing", "True", "NewReplicaSetCreated", begins.as_str())),
        _ if new.is_none() => None,
        _ if known.is_none() => Some(("Progressing", "True", "FoundNewReplicaSet", finds.as_str())),
        _ if has_come_further => Some(("Progressing", "True", "ReplicaSetUpdated", continues.as_str())),
        _ => None,
    };
    let failure = new.iter().chain(&old).find_map(|set| failure_of(&set.json));
    let failed =
        failure.as_ref().map(|(reason, message)| (FAILURE, "True", reason.as_str(), message.as_str()));
    let wanted_conditions: Vec<status::Wanted<'_>> =
        [Some(available_condition), progressing, failed].into_iter().flatten().collect();
    let mut conditions = status::conditions(&current.json, &wanted_conditions, Some("lastUpdateTime"));
    if let (None, Some(conditions)) = (failed, conditions.as_array_mut()) {
        conditions.retain(|condition| object::field(condition, "type") != FAILURE);
    }
    result.insert("conditions".to_owned(), conditions);
    let subject = Subject { json: &current.json, ..*deployment };
    subject.set_status(CONTROLLER, result);
    if is_complete {
        revision::clean_up(deployment, &old);
    }
}
