//! Create, update, patch and apply: from what a client sent to what is stored.
//!
//! Every write goes through here, so that it is here that metadata stays immutable, `status` and the
//! rest stay apart, `generation` counts and no-op writes are no writes.

mod update;

use std::sync::Arc;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::decoding::{self, Source};
use crate::error::ApiError;
use crate::kind::Kind;
use crate::managed::Writer;
use crate::object::{self, Json, Object};
use crate::shape::Shape;
use crate::store::{Key, Rejected};
use crate::strict::StrictErrors;
use crate::{
    access, apply, associative, defaults, depth, immutable, managed, naming, transition, types, view,
};

pub(crate) use update::update;

/// How often a patch is tried again when somebody else wrote in between.
const ATTEMPTS: usize = 32;

/// What `fieldValidation` asks for when a field is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// One write request, without its body.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) kind: Arc<Kind>,
    /// The name may be empty for a create.
    pub(crate) key: Key,
    /// Its subresource says which part of the object may change.
    pub(crate) writer: Writer,
    /// Who asked for it. Nobody for what the server writes itself, or where nobody is asked who they are.
    pub(crate) author: Option<Arc<access::User>>,
    pub(crate) dry_run: bool,
    pub(crate) validation: FieldValidation,
}

/// What a write did.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) object: Arc<Object>,
    pub(crate) created: bool,
    pub(crate) warnings: Vec<String>,
}

impl Written {
    /// With other warnings before its own.
    pub(crate) fn warned(mut self, warnings: Vec<String>) -> Self {
        self.warnings.splice(0..0, warnings);
        self
    }
}

/// The result of a write with other warnings before its own: whoever is refused is warned, too.
pub(crate) fn warned(result: Result<Written, ApiError>, warnings: Vec<String>) -> Result<Written, ApiError> {
    match result {
        Ok(written) => Ok(written.warned(warnings)),
        Err(error) => Err(error.warned(warnings)),
    }
}

/// Whether the managed fields of a new state are still to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Managers {
    Record,
    Recorded,
}

impl Write {
    /// A write of the server's own, or of a stand-in, under a manager's name.
    pub(crate) fn by(kind: Arc<Kind>, key: Key, manager: &str, subresource: &str) -> Self {
        let writer = Writer { manager: manager.to_owned(), subresource: subresource.to_owned() };
        Self { kind, key, writer, author: None, dry_run: false, validation: FieldValidation::Ignore }
    }

    fn not_found(&self) -> ApiError {
        ApiError::not_found(&self.kind, &self.key.name)
    }

    fn rejected(&self, name: &str, why: Rejected) -> ApiError {
        match why {
            Rejected::Exists => ApiError::already_exists(&self.kind, name),
            Rejected::ExistsStill => ApiError::exists_still(&self.kind, name),
            Rejected::Gone => ApiError::not_found(&self.kind, name),
            Rejected::Stale => ApiError::modified(&self.kind, name),
            Rejected::NotDefined => ApiError::no_such_path(),
            Rejected::DefinitionTerminating => ApiError::definition_terminating(&self.kind, name),
            Rejected::NamespaceMissing => namespace_not_found(&self.key.namespace),
            Rejected::NamespaceTerminating => {
                ApiError::namespace_terminating(&self.kind, name, &self.key.namespace)
            }
        }
    }

    /// Whoever changes what is not there makes it, and must be allowed to.
    fn check_may_create(&self, cluster: &Cluster) -> Result<(), ApiError> {
        let Some(author) = &self.author else { return Ok(()) };
        let (resource, place) = (
            (self.kind.group.as_str(), self.kind.plural.as_str()),
            (self.key.namespace.as_str(), self.key.name.as_str()),
        );
        let create = access::ResourceAttributes::of_object("create", resource, place);
        cluster.access.require(&cluster.store, author, &access::Attributes::Resource(create))
    }
}

pub(crate) fn namespace_not_found(namespace: &str) -> ApiError {
    let mut error = ApiError::no_such_path();
    error.message = format!("namespaces \"{namespace}\" not found");
    error.details = Some(serde_json::json!({ "name": namespace, "kind": "namespaces" }));
    error
}

/// Creates an object; with `generateName` the server completes the name.
pub(crate) fn create(cluster: &Cluster, write: &Write, mut json: Json) -> Result<Written, ApiError> {
    let warnings = decoding::decode(write, &mut json, Source::Body)?;
    create_decoded(cluster, write, json, warnings)
}

fn create_decoded(
    cluster: &Cluster,
    write: &Write,
    mut json: Json,
    warnings: Vec<String>,
) -> Result<Written, ApiError> {
    write.check_identity(&mut json)?;
    // One that is no version says nothing.
    if object::meta_text(&json, "resourceVersion").parse::<u64>().is_ok_and(|version| version > 0) {
        return Err(ApiError::unclassified("resourceVersion should not be set on objects to be created"));
    }
    warned(create_checked(cluster, write, json, Managers::Record), warnings)
}

fn create_checked(
    cluster: &Cluster,
    write: &Write,
    mut json: Json,
    managers: Managers,
) -> Result<Written, ApiError> {
    let kind = &write.kind;
    if kind.custom.as_ref().is_some_and(|custom| custom.terminating) {
        return Err(ApiError::definition_terminating(kind, object::name(&json)));
    }
    // Before it is said what is wrong with the object itself.
    let place = cluster.store.check_namespace(&write.key.namespace);
    place.map_err(|why| write.rejected(object::name(&json), why))?;
    if kind.is("", "limitranges") && object::name(&json).is_empty() {
        object::set(&mut json, &["metadata", "name"], uuid::Uuid::new_v4().to_string().into());
    }
    let prefix = object::meta_text(&json, "generateName").to_owned();
    let generates = object::name(&json).is_empty() && !prefix.is_empty();
    if !generates {
        return create_once(cluster, write, json, managers);
    }
    let mut attempts = ATTEMPTS;
    loop {
        attempts = attempts.saturating_sub(1);
        let mut named = json.clone();
        object::set(&mut named, &["metadata", "name"], generated_name(&prefix).into());
        match create_once(cluster, write, named, managers) {
            Err(error) if error.reason == "AlreadyExists" && attempts > 0 => {}
            result => return result,
        }
    }
}

fn create_once(
    cluster: &Cluster,
    write: &Write,
    mut json: Json,
    managers: Managers,
) -> Result<Written, ApiError> {
    let kind = &write.kind;
    if !kind.is_created_with_status() {
        match types::of(kind).and_then(|of_type| types::empty(of_type).remove("status")) {
            Some(status) => json.insert("status".to_owned(), status),
            None => json.remove("status"),
        };
    }
    object::edit_meta(&mut json, |meta| {
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"] {
            meta.remove(field);
        }
        meta.insert("uid".to_owned(), uuid::Uuid::new_v4().to_string().into());
        meta.insert("creationTimestamp".to_owned(), object::now().into());
        if kind.has_generation {
            meta.insert("generation".to_owned(), 1.into());
        }
    });
    let turn = write.turn(cluster);
    let warnings = write.admit(cluster, &mut json, None, managers)?;
    view::confine_to_stored(kind, &mut json);
    depth::check(&json)?;
    let name = object::name(&json).to_owned();
    let key = Key::new(&write.key.namespace, &name);
    let json = view::stored(kind, json);
    let result = match write.dry_run {
        true => cluster.store.check_create(&kind.storage, &key).map(|()| Arc::new(Object::new(json, 0))),
        false => cluster.store.create(&kind.storage, &key, json, kind.is_custom()),
    };
    drop(turn);
    let object = result.map_err(|why| write.rejected(&name, why))?;
    if !write.dry_run {
        cluster.after_write(&kind.storage, &object);
    }
    Ok(Written { object, created: true, warnings })
}

fn generated_name(prefix: &str) -> String {
    // Names end at 63 characters, as the real server cuts them.
    let prefix: String = prefix.chars().take(58).collect();
    prefix + &naming::suffix()
}

/// Makes a new state of the current one for the server itself.
pub(crate) fn change(
    cluster: &Cluster,
    write: &Write,
    change: impl Fn(&Json) -> Result<Json, ApiError>,
) -> Result<Written, ApiError> {
    patch(cluster, write, Source::Internal, change)
}

/// Makes a new state of the current one as a client's patch says.
pub(crate) fn patch(
    cluster: &Cluster,
    write: &Write,
    source: Source<'_>,
    change: impl Fn(&Json) -> Result<Json, ApiError>,
) -> Result<Written, ApiError> {
    try_to_change(cluster, write, |shown| decoding::decode_change(write, shown, source, &change))
}

/// Makes a new state of the current one, again if somebody else wrote in between. `change` has warnings, too.
fn try_to_change(
    cluster: &Cluster,
    write: &Write,
    mut change: impl FnMut(&Json) -> Result<(Json, Vec<String>), ApiError>,
) -> Result<Written, ApiError> {
    for _ in 0..ATTEMPTS {
        let current = cluster.store.get(&write.kind.storage, &write.key).ok_or_else(|| write.not_found())?;
        let shown = view::present(&write.kind, &current);
        let (mut new, warnings) = change(&shown)?;
        write.check_name(&new)?;
        write.check_identity(&mut new)?;
        let result = commit(cluster, write, &current, &shown, new, Managers::Record).transpose();
        if let Some(result) = result {
            return warned(result, warnings);
        }
    }
    Err(ApiError::too_many_conflicts(&write.kind, &write.key.name))
}

/// Server-side apply: creates the object or merges into it.
pub(crate) fn apply(
    cluster: &Cluster,
    write: &Write,
    mut applied: Json,
    force: bool,
) -> Result<Written, ApiError> {
    let place = (object::namespace(&applied).to_owned(), object::name(&applied).to_owned());
    write.check_identity(&mut applied)?;
    if object::meta(&applied, "managedFields").is_some_and(|managed| !managed.is_null()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    associative::check(&write.kind, (&place.0, &place.1), &applied, &Shape::of(&write.kind))?;
    match write.kind.schema() {
        // Nothing unknown is left. A null may be, which reads as absent.
        Some(schema) => schema.prune(&mut applied, &mut StrictErrors::default()),
        None if write.kind.is_custom() => {}
        None => defaults::drop_nulls(&mut applied),
    }
    match write.writer.subresource.as_str() {
        "status" => transition::confine_applied(&write.kind, &mut applied),
        _ if write.kind.has_status => {
            applied.remove("status");
        }
        _ => {}
    }
    for _ in 0..ATTEMPTS {
        let Some(current) = cluster.store.get(&write.kind.storage, &write.key) else {
            if !object::uid(&applied).is_empty() {
                return Err(ApiError::conflict(
                    &write.kind,
                    &write.key.name,
                    &format!(
                        "uid mismatch: the provided object specified uid {}, and no existing object was found",
                        object::uid(&applied)
                    ),
                ));
            }
            if !write.writer.subresource.is_empty() {
                return Err(write.not_found());
            }
            write.check_may_create(cluster)?;
            if place.1.is_empty() {
                return Err(write.unnamed());
            }
            let mut new = apply::apply(&write.kind, None, &applied, &write.writer, force)?;
            decoding::decode(write, &mut new, Source::Applied)?;
            match create_checked(cluster, write, new, Managers::Recorded) {
                Err(error) if error.reason == "AlreadyExists" => continue,
                result => return result,
            }
        };
        let shown = view::present(&write.kind, &current);
        let (new, _) = decoding::decode_change(write, &shown, Source::Applied, |shown| {
            apply::apply(&write.kind, Some(shown), &applied, &write.writer, force)
        })?;
        if let Some(written) = commit(cluster, write, &current, &shown, new, Managers::Recorded)? {
            return Ok(written);
        }
    }
    Err(ApiError::too_many_conflicts(&write.kind, &write.key.name))
}

/// Stores the new state of an object; `None` if somebody else wrote in between.
fn commit(
    cluster: &Cluster,
    write: &Write,
    current: &Arc<Object>,
    shown: &Json,
    new: Json,
    managers: Managers,
) -> Result<Option<Written>, ApiError> {
    let kind = &write.kind;
    let name = &write.key.name;
    write.check_origin(shown, &new)?;
    let mut new = transition::confine(kind, &write.writer.subresource, shown, new);
    transition::check_deletion(kind, shown, &new)?;
    transition::keep_metadata(shown, &mut new);
    transition::check_finalizers(kind, shown, &new)?;
    let turn = write.turn(cluster);
    let warnings = write.admit(cluster, &mut new, Some(shown), managers)?;
    view::confine_to_stored(kind, &mut new);
    immutable::check(kind, &write.writer.subresource, shown, &new)?;
    if kind.has_generation && transition::counts(kind, &write.writer.subresource, shown, &new) {
        let generation = object::meta(shown, "generation").and_then(Value::as_u64).unwrap_or_default();
        object::set(&mut new, &["metadata", "generation"], generation.saturating_add(1).into());
    }
    if new == *shown || managed::differs_by_times_alone(shown, &new) {
        return Ok(Some(Written { object: current.clone(), created: false, warnings }));
    }
    depth::check(&new)?;
    let is_last = object::may_go(&new);
    let json = view::stored(kind, new);
    let answer = |json| Arc::new(Object::new(json, current.version));
    let result = match (write.dry_run, is_last) {
        (true, _) => Ok((None, answer(json))),
        // The writer sees what was asked for, which is never stored.
        (false, true) => {
            let removed = cluster.store.remove(&kind.storage, &write.key, current.version);
            removed.map(|removed| (Some(removed), answer(json)))
        }
        (false, false) => {
            let stored = cluster.store.replace(&kind.storage, &write.key, current.version, json);
            stored.map(|stored| (Some(stored.clone()), stored))
        }
    };
    drop(turn);
    match result {
        Ok((stored, object)) => {
            if let Some(stored) = stored {
                cluster.after_write(&kind.storage, &stored);
            }
            Ok(Some(Written { object, created: false, warnings }))
        }
        Err(Rejected::Stale) => Ok(None),
        Err(why) => Err(write.rejected(name, why)),
    }
}

#[cfg(test)]
mod tests;
