//! Deletion: preconditions, finalizers, propagation policies.
//!
//! An object without finalizers goes at once, with no regard to a grace period: no kubelet would end it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::kind::Kind;
use crate::object::{self, Json, Object};
use crate::store::{Key, Rejected};
use crate::{collector, crd};

const ATTEMPTS: usize = 32;

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

#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) propagation: Option<Propagation>,
    pub(crate) dry_run: bool,
}

/// What is left of a deleted object.
#[derive(Debug)]
pub(crate) enum Deleted {
    Gone(Arc<Object>),
    /// It waits for its finalizers.
    Pending(Arc<Object>),
}

impl DeleteOptions {
    /// Reads a `DeleteOptions` body.
    pub(crate) fn parse(body: &Json) -> Result<Self, ApiError> {
        let precondition = |field: &str| match object::text(body, &["preconditions", field]) {
            "" => None,
            text => Some(text.to_owned()),
        };
        let mut options = Self {
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
            ..Self::default()
        };
        match object::text(body, &["propagationPolicy"]) {
            "" => {}
            policy => options.propagation = Some(parse_policy(policy)?),
        }
        if let Some(orphan) = body.get("orphanDependents").and_then(Value::as_bool) {
            let policy = if orphan { Propagation::Orphan } else { Propagation::Background };
            options.propagation.get_or_insert(policy);
        }
        options.dry_run = body.get("dryRun").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        Ok(options)
    }
}

pub(crate) fn parse_policy(text: &str) -> Result<Propagation, ApiError> {
    match text {
        "Background" => Ok(Propagation::Background),
        "Foreground" => Ok(Propagation::Foreground),
        "Orphan" => Ok(Propagation::Orphan),
        other => Err(ApiError::bad_request(format!(
            "invalid propagationPolicy {other:?}: expected Background, Foreground or Orphan"
        ))),
    }
}

/// Deletes an object, or marks it for deletion while finalizers hold it.
pub(crate) fn delete(
    cluster: &Cluster,
    kind: &Kind,
    key: &Key,
    options: &DeleteOptions,
) -> Result<Deleted, ApiError> {
    for _ in 0..ATTEMPTS {
        let current =
            cluster.store.get(&kind.storage, key).ok_or_else(|| ApiError::not_found(kind, &key.name))?;
        check_preconditions(kind, key, &current, options)?;
        let json = marked(kind, &current.json, options.propagation);
        let gone = !object::has_finalizers(&json);
        if !gone && json == current.json {
            return Ok(Deleted::Pending(current));
        }
        if options.dry_run {
            return Ok(if gone { Deleted::Gone(current) } else { Deleted::Pending(current) });
        }
        let result = match gone {
            true => cluster.store.remove(&kind.storage, key, current.version, current.json.clone()),
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

fn check_preconditions(
    kind: &Kind,
    key: &Key,
    current: &Object,
    options: &DeleteOptions,
) -> Result<(), ApiError> {
    let version = current.version.to_string();
    let checks = [
        ("UID", options.uid.as_deref(), object::uid(&current.json)),
        ("ResourceVersion", options.resource_version.as_deref(), version.as_str()),
    ];
    for (what, wanted, found) in checks {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            let why = format!(
                "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
            );
            return Err(ApiError::conflict(kind, &key.name, &why));
        }
    }
    Ok(())
}

/// The object as it waits for deletion.
fn marked(kind: &Kind, current: &Json, propagation: Option<Propagation>) -> Json {
    let mut json = current.clone();
    if let Some(policy) = propagation {
        for (finalizer, wanted) in
            [(collector::FOREGROUND, Propagation::Foreground), (collector::ORPHAN, Propagation::Orphan)]
        {
            set_finalizer(&mut json, finalizer, policy == wanted);
        }
    }
    if crd::is_definition(kind) && !object::is_deleting(&json) && crd::is_established(&json) {
        set_finalizer(&mut json, crd::FINALIZER, true);
    }
    if object::has_finalizers(&json) && !object::is_deleting(&json) {
        let generation = object::meta(&json, "generation").and_then(Value::as_u64);
        object::edit_meta(&mut json, |meta| {
            meta.insert("deletionTimestamp".to_owned(), object::now().into());
            meta.insert("deletionGracePeriodSeconds".to_owned(), 0.into());
            if let Some(generation) = generation {
                meta.insert("generation".to_owned(), generation.saturating_add(1).into());
            }
        });
        if kind.is("", "namespaces") {
            object::set(&mut json, &["status", "phase"], json!("Terminating"));
        }
    }
    json
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
