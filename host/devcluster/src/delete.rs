//! Deletion: preconditions, grace periods, finalizers, propagation policies.
//!
//! Only a Pod has a grace period, and only once it is bound to a node. As no kubelet ends it, it stays
//! until it is deleted again with a grace period of 0.

mod options;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::kind::Kind;
use crate::object::{self, Json, Object};
use crate::store::{Key, Rejected};
use crate::{collector, crd};
pub(crate) use options::{DeleteOptions, json_type, policy};

const ATTEMPTS: usize = 32;
/// The namespaces that no cluster can do without.
const PROTECTED: &[&str] = &["default", "kube-public", "kube-system"];

/// What happens to the dependents of a deleted object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Propagation {
    /// They go after it.
    #[default]
    Background,
    /// They go before it.
    Foreground,
    /// They stay, without it as their owner.
    Orphan,
}

/// What is left of a deleted object.
#[derive(Debug)]
pub(crate) enum Deleted {
    Gone(Arc<Object>),
    /// It waits for its finalizers.
    Pending(Arc<Object>),
}

/// What a client is told that leaves the policy open where this is likely to surprise.
pub(crate) fn warning(kind: &Kind, options: &DeleteOptions) -> Option<String> {
    let is_surprising = kind.is("batch", "jobs") && options.propagation.is_none();
    is_surprising.then(|| {
        "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them \
         or set propagationPolicy=Orphan to suppress this warning"
            .to_owned()
    })
}

/// Deletes an object, or marks it for deletion while finalizers hold it.
pub(crate) fn delete(
    cluster: &Cluster,
    kind: &Kind,
    key: &Key,
    options: &DeleteOptions,
) -> Result<Deleted, ApiError> {
    if kind.is("", "namespaces") && PROTECTED.contains(&key.name.as_str()) {
        return Err(ApiError::forbidden(kind, &key.name, "this namespace may not be deleted"));
    }
    for _ in 0..ATTEMPTS {
        let current =
            cluster.store.get(&kind.storage, key).ok_or_else(|| ApiError::not_found(kind, &key.name))?;
        check_preconditions(kind, key, &current, options)?;
        let json = marked(kind, &current.json, options);
        let gone = !object::has_finalizers(&json) && grace_of(&json) == 0;
        if !gone && json == current.json {
            return Ok(Deleted::Pending(current));
        }
        if options.dry_run {
            return Ok(if gone { Deleted::Gone(current) } else { Deleted::Pending(current) });
        }
        let result = match gone {
            true => cluster.store.remove(&kind.storage, key, current.version),
            false => cluster.store.replace(&kind.storage, key, current.version, json),
        };
        match result {
            Ok(object) => {
                cluster.after_write(&kind.storage, &object);
                return Ok(if gone { Deleted::Gone(object) } else { Deleted::Pending(object) });
            }
            Err(Rejected::Stale) => {}
            Err(_) => return Err(ApiError::not_found(kind, &key.name)),
        }
    }
    Err(ApiError::too_many_conflicts(kind, &key.name))
}

/// The kinds whose deletion answers with the object, where others answer with a Status.
pub(crate) fn is_returned(kind: &Kind) -> bool {
    match kind.group.as_str() {
        "" => matches!(
            kind.kind.as_str(),
            "Pod"
                | "PodTemplate"
                | "Service"
                | "ServiceAccount"
                | "PersistentVolume"
                | "PersistentVolumeClaim"
                | "ResourceQuota"
        ),
        "resource.k8s.io" => true,
        "storage.k8s.io" => kind.kind != "CSIStorageCapacity",
        _ => false,
    }
}

fn check_preconditions(
    kind: &Kind,
    key: &Key,
    current: &Object,
    options: &DeleteOptions,
) -> Result<(), ApiError> {
    let version = current.version.to_string();
    let checks = [
        ("UID", options.uid.as_deref(), object::uid(&current.json), "deleted and then recreated"),
        ("ResourceVersion", options.resource_version.as_deref(), version.as_str(), "modified"),
    ];
    for (what, wanted, found, event) in checks {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            let why = format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). The object \
                 might have been {event}"
            );
            return Err(ApiError::precondition(kind, &key.name, &why));
        }
    }
    Ok(())
}

/// The object as it waits for deletion.
fn marked(kind: &Kind, current: &Json, options: &DeleteOptions) -> Json {
    let mut json = current.clone();
    if let Some(policy) = options.propagation.or_else(|| default_policy(kind, current)) {
        for (finalizer, wanted) in
            [(collector::FOREGROUND, Propagation::Foreground), (collector::ORPHAN, Propagation::Orphan)]
        {
            set_finalizer(&mut json, finalizer, policy == wanted);
        }
    }
    if object::is_deleting(&json) {
        shorten_grace(&mut json, options.grace);
        return json;
    }
    if crd::is_definition(kind) && crd::is_established(&json) {
        set_finalizer(&mut json, crd::FINALIZER, true);
        crd::set_terminating(&mut json, false);
    }
    // Of these, a cluster counts neither a grace period nor a generation.
    let is_plain = !crd::is_definition(kind) && !kind.is("", "namespaces");
    let grace = if kind.is("", "pods") { pod_grace(&json, options.grace) } else { 0 };
    if object::has_finalizers(&json) || grace > 0 {
        let generation = object::meta(&json, "generation").and_then(Value::as_u64);
        object::edit_meta(&mut json, |meta| {
            meta.insert("deletionTimestamp".to_owned(), object::seconds_from_now(grace).into());
            if is_plain {
                meta.insert("deletionGracePeriodSeconds".to_owned(), grace.into());
            }
            if let Some(generation) = generation.filter(|_| is_plain) {
                meta.insert("generation".to_owned(), generation.saturating_add(1).into());
            }
        });
        if kind.is("", "namespaces") {
            object::set(&mut json, &["status", "phase"], json!("Terminating"));
        }
    }
    json
}

/// The kinds whose dependents stay unless a client says otherwise, as they have done since before there
/// were policies.
fn default_policy(kind: &Kind, current: &Json) -> Option<Propagation> {
    let keeps = kind.is("", "replicationcontrollers") || kind.is("batch", "jobs");
    let is_decided = object::finalizers(current)
        .any(|finalizer| matches!(finalizer, collector::FOREGROUND | collector::ORPHAN));
    (keeps && !is_decided && !object::is_deleting(current)).then_some(Propagation::Orphan)
}

/// The grace period that a deletion waits for, in seconds.
pub(crate) fn grace_of(json: &Json) -> i64 {
    object::meta(json, "deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0)
}

/// How long a Pod may take to end: as asked or as it says itself, and not at all if it does not run.
fn pod_grace(pod: &Json, asked: Option<i64>) -> i64 {
    let own = || object::at(pod, &["spec", "terminationGracePeriodSeconds"]).and_then(Value::as_i64);
    let has_ended = matches!(object::text(pod, &["status", "phase"]), "Failed" | "Succeeded");
    if object::text(pod, &["spec", "nodeName"]).is_empty() || has_ended {
        return 0;
    }
    match asked.or_else(own).unwrap_or(0) {
        ..0 => 1,
        seconds => seconds,
    }
}

/// A second deletion can only make the first one faster.
fn shorten_grace(json: &mut Json, asked: Option<i64>) {
    let before = grace_of(json);
    let Some(asked) = asked.map(|asked| if asked < 0 { 1 } else { asked }).filter(|asked| *asked < before)
    else {
        return;
    };
    let stamp =
        object::seconds_after(object::meta_text(json, "deletionTimestamp"), asked.saturating_sub(before));
    object::edit_meta(json, |meta| {
        meta.insert("deletionTimestamp".to_owned(), stamp.into());
        meta.insert("deletionGracePeriodSeconds".to_owned(), asked.into());
    });
}

pub(crate) fn set_finalizer(json: &mut Json, finalizer: &str, wanted: bool) {
    let has = object::finalizers(json).any(|other| other == finalizer);
    if has == wanted {
        return;
    }
    object::edit_meta(json, |meta| {
        let mut list = match meta.remove("finalizers") {
            Some(Value::Array(list)) => list,
            _ => Vec::new(),
        };
        match wanted {
            true => list.push(finalizer.into()),
            false => list.retain(|other| other.as_str() != Some(finalizer)),
        }
        if !list.is_empty() {
            meta.insert("finalizers".to_owned(), Value::Array(list));
        }
    });
}
