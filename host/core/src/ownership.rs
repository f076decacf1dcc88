//! Who owns an object, and its fields: what a write says of `metadata.ownerReferences` and
//! `metadata.managedFields`.
//!
//! A write that clears `managedFields` takes over the fields of others. One that changes the owners of an
//! object has the garbage collector delete it for a plugin that may not, and one with
//! `blockOwnerDeletion` holds up the deletion of an owner that is not the plugin's. So the first is never
//! permitted, and for the others it takes what the API server's admission plugin
//! `OwnerReferencesPermissionEnforcement` takes.
//!
//! Bodies are read with suspicion: a key that is there twice is refused, since readers differ in which of
//! the two counts.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use std::sync::Arc;

use crate::gate::Denied;
use crate::granted::Granted;
use crate::owners_stay::OwnersStay;
use crate::permission::{Access, Verb};
use crate::printable::{excerpt, printable};
use crate::request::{Change, PatchType, Write};
use crate::{ApiError, Kind, Object, Value};

/// An owner reference, as far as two are compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnerReference {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    uid: String,
    controller: bool,
    pub(crate) blocks: bool,
}

impl OwnerReference {
    fn from_json(json: &Json) -> Self {
        let text = |field| json.get(field).and_then(Json::as_str).unwrap_or_default().to_owned();
        let flag =
            |field| json.get(field).is_some_and(|value| !matches!(value, Json::Null | Json::Bool(false)));
        Self {
            api_version: text("apiVersion"),
            kind: text("kind"),
            name: text("name"),
            uid: text("uid"),
            controller: flag("controller"),
            blocks: flag("blockOwnerDeletion"),
        }
    }

    /// Of an object that there is.
    pub(crate) fn of(object: &Object) -> Vec<Self> {
        let owners = object.value().at(&["metadata", "ownerReferences"]);
        let read = |owner: Value<'_>| {
            let text = |field| owner.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            let flag = |field| owner.get(field).and_then(Value::as_bool).unwrap_or(false);
            Self {
                api_version: text("apiVersion"),
                kind: text("kind"),
                name: text("name"),
                uid: text("uid"),
                controller: flag("controller"),
                blocks: flag("blockOwnerDeletion"),
            }
        };
        owners.into_iter().flat_map(|owners| owners.items().map(read).collect::<Vec<_>>()).collect()
    }
}

/// What a write says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    /// It has something to say of who manages which field.
    pub(crate) managed_fields: bool,
    /// It has something to say of owners. For objects: these are to be all (of an apply: all of its own).
    pub(crate) owners: Option<Vec<OwnerReference>>,
    /// It says so in a way that does not tell which they will be.
    pub(crate) obscure: bool,
}

/// A member that may be missing, null, or there.
#[derive(Default)]
enum Member<T> {
    #[default]
    Missing,
    Null,
    There(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Member<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Null, Self::There))
    }
}

impl<T> Member<T> {
    fn is_said(&self) -> bool {
        !matches!(self, Self::Missing)
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    metadata: Member<Metadata>,
    #[serde(default, rename = "$patch")]
    directive: Member<IgnoredAny>,
    #[serde(default, rename = "$retainKeys")]
    retained: Member<IgnoredAny>,
}

#[derive(Deserialize)]
struct Metadata {
    /// Just so that there are no two: one reader could take the write for another's.
    #[serde(default, rename = "name")]
    _name: Member<IgnoredAny>,
    #[serde(default, rename = "namespace")]
    _namespace: Member<IgnoredAny>,
    #[serde(default, rename = "managedFields")]
    managed_fields: Member<IgnoredAny>,
    #[serde(default, rename = "ownerReferences")]
    owners: Member<Json>,
    #[serde(default, rename = "$patch")]
    directive: Member<IgnoredAny>,
    #[serde(default, rename = "$retainKeys")]
    retained: Member<IgnoredAny>,
    #[serde(default, rename = "$setElementOrder/ownerReferences")]
    order: Member<IgnoredAny>,
    #[serde(default, rename = "$deleteFromPrimitiveList/ownerReferences")]
    removed: Member<IgnoredAny>,
    #[serde(default, rename = "$setElementOrder/managedFields")]
    managed_order: Member<IgnoredAny>,
    #[serde(default, rename = "$deleteFromPrimitiveList/managedFields")]
    managed_removed: Member<IgnoredAny>,
}

/// One operation of a JSON patch.
#[derive(Deserialize)]
struct Operation {
    op: String,
    path: String,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    value: Json,
}

/// The error shows what it found instead of what it expected, however long that is.
fn unreadable(what: &str, error: &serde_json::Error) -> ApiError {
    ApiError::BadRequest(format!("{what} cannot be read: {}", printable(&error.to_string(), 200)))
}

fn references(json: &Json) -> Option<Vec<OwnerReference>> {
    match json {
        Json::Array(items) if items.iter().all(Json::is_object) => {
            Some(items.iter().map(OwnerReference::from_json).collect())
        }
        _ => None,
    }
}

impl Claims {
    /// # Errors
    /// A body that cannot be read, or could be read in two ways.
    pub(crate) fn of(change: &Change) -> Result<Self, ApiError> {
        match change {
            Change::Create(body) | Change::Update(body) | Change::Apply { object: body, .. } => {
                Self::of_body(body, "the object")
            }
            Change::Patch(PatchType::Json, patch) => {
                let operations: Vec<Operation> =
                    serde_json::from_slice(patch).map_err(|error| unreadable("the JSON patch", &error))?;
                let mut claims = Self::default();
                operations.iter().try_for_each(|operation| claims.add(operation))?;
                Ok(claims)
            }
            Change::Patch(_, patch) => Self::of_body(patch, "the patch"),
            Change::Delete { .. } => Ok(Self::default()),
        }
    }

    fn of_body(body: &[u8], what: &str) -> Result<Self, ApiError> {
        let body: Body = serde_json::from_slice(body).map_err(|error| unreadable(what, &error))?;
        // A strategic patch that replaces the whole, or keeps just some of it, says something of all of it.
        let whole = body.directive.is_said() || body.retained.is_said();
        let metadata = match body.metadata {
            Member::Missing if whole => return Ok(Self::everything()),
            Member::Missing => return Ok(Self::default()),
            Member::Null => return Ok(Self::everything()),
            Member::There(metadata) => metadata,
        };
        if whole || metadata.directive.is_said() || metadata.retained.is_said() {
            return Ok(Self::everything());
        }
        let mut claims = Self {
            managed_fields: metadata.managed_fields.is_said()
                || metadata.managed_order.is_said()
                || metadata.managed_removed.is_said(),
            ..Self::default()
        };
        if metadata.order.is_said() || metadata.removed.is_said() {
            claims.owners = Some(Vec::new());
        }
        match metadata.owners {
            Member::Missing => {}
            Member::Null => claims.owners = Some(Vec::new()),
            Member::There(owners) => match references(&owners) {
                Some(owners) => claims.owners = Some(owners),
                None => (claims.owners, claims.obscure) = (Some(Vec::new()), true),
            },
        }
        Ok(claims)
    }

    fn everything() -> Self {
        Self { managed_fields: true, owners: Some(Vec::new()), obscure: true }
    }

    /// What an operation of a JSON patch adds to it.
    fn add(&mut self, operation: &Operation) -> Result<(), ApiError> {
        let Operation { op, path, from, value } = operation;
        if op == "test" {
            return Ok(());
        }
        for (pointer, is_target) in
            [Some((path, true)), from.as_ref().map(|from| (from, false))].into_iter().flatten()
        {
            let steps = steps(pointer)?;
            let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
            match steps.as_slice() {
                [] | ["metadata"] => (self.managed_fields, self.obscure) = (true, true),
                ["metadata", "managedFields", ..] => self.managed_fields = true,
                ["metadata", "ownerReferences", below @ ..] => {
                    let owners = self.owners.get_or_insert_default();
                    let told = match (op.as_str(), below) {
                        ("remove", _) => Some(Vec::new()),
                        ("add" | "replace", []) => references(value),
                        ("add" | "replace", [_]) if value.is_object() => {
                            Some(vec![OwnerReference::from_json(value)])
                        }
                        // Away from here, or just looked at.
                        ("move" | "copy", _) if !is_target => Some(Vec::new()),
                        _ => None,
                    };
                    match told {
                        Some(told) => owners.extend(told),
                        None => self.obscure = true,
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The steps of a JSON pointer.
fn steps(pointer: &str) -> Result<Vec<String>, ApiError> {
    let mut parts = pointer.split('/');
    // The API server's library does not look at what is before the first slash.
    if parts.next() != Some("") {
        let pointer = excerpt(pointer);
        return Err(ApiError::BadRequest(format!(
            "{pointer:?} is no path of a JSON patch: it begins with a slash"
        )));
    }
    Ok(parts.map(|part| part.replace("~1", "/").replace("~0", "~")).collect())
}

/// Kinds of which the API server creates an object that is not there when it is updated
/// (`AllowCreateOnUpdate` of their strategies).
const CREATED_BY_UPDATES: [&str; 5] =
    ["coordination.k8s.io/v1/Lease", "events.k8s.io/v1/Event", "v1/Endpoints", "v1/Event", "v1/LimitRange"];

/// Subresources whose body is of a kind of its own, whose metadata says nothing of the object's.
const OF_OTHER_KINDS: [&str; 4] = ["scale", "eviction", "binding", "token"];

/// Judges a write that is permitted otherwise.
///
/// # Errors
/// What it must not say, or what it takes to say it.
pub(crate) fn judge(
    write: &Write,
    plugin: &str,
    allows: &dyn Fn(&Access<'_>) -> bool,
    granted: &Arc<Granted>,
) -> Result<Option<OwnersStay>, ApiError> {
    let denied = |what: String| Denied::refused(plugin, write, what);
    if write.field_manager != plugin {
        let verb = if matches!(write.change, Change::Apply { .. }) { "apply" } else { "write" };
        let manager = excerpt(&write.field_manager);
        let what = format!("{verb} as field manager {manager:?}; leave it empty, or use {plugin:?}");
        return Err(denied(what).into());
    }
    let claims = Claims::of(&write.change)?;
    if claims.managed_fields {
        let what = "write metadata.managedFields, with which it could take over the fields of others; leave it out, and do not replace all of metadata";
        return Err(denied(what.to_owned()).into());
    }
    if OF_OTHER_KINDS.contains(&write.subresource.as_str()) {
        return Ok(None);
    }
    let all = matches!(write.change, Change::Update(_));
    let namespace = write.key.namespace.as_str();
    if all && write.subresource.is_empty() && CREATED_BY_UPDATES.contains(&write.kind.as_str()) {
        let (kind, name) = (&write.kind, write.key.name.as_str());
        if !allows(&Access { verb: Verb::Create, kind, subresource: "", namespace, name }) {
            let what = format!(
                "update a {kind} without the permission to create one: the API server creates the one that is not there; declare create (and have it granted), or patch"
            );
            return Err(denied(what).into());
        }
    }
    let owners = match claims.owners {
        Some(owners) => owners,
        // Who updates says all there is to say; who leaves the owners out drops them.
        None if all => Vec::new(),
        None => return Ok(None),
    };
    if claims.obscure {
        let what = "write metadata.ownerReferences in a way that does not say which they will be; write the list, or whole items of it";
        return Err(denied(what.to_owned()).into());
    }
    let may_hold_up = |owner: &&OwnerReference| {
        let Ok(kind) = format!("{}/{}", owner.api_version, owner.kind).parse::<Kind>() else { return false };
        // Cluster-scoped objects may own, too.
        let places = [namespace, ""];
        let mut ways = [Verb::Update, Verb::Patch].into_iter().flat_map(|verb| {
            places.into_iter().flat_map(move |namespace| ["", "finalizers"].map(|sub| (verb, namespace, sub)))
        });
        ways.any(|(verb, namespace, subresource)| {
            allows(&Access { verb, kind: &kind, subresource, namespace, name: &owner.name })
        })
    };
    let held = owners.iter().filter(|owner| owner.blocks).find(|owner| !may_hold_up(owner));
    let any = held.map(|owner| {
        let OwnerReference { api_version, kind, name, .. } = owner;
        let [api_version, kind, name] = [api_version, kind, name].map(|text| excerpt(text));
        denied(format!(
            "set blockOwnerDeletion on an owner that it may not update, {api_version}/{kind} {name:?}; leave it out, or declare (and have granted) update on that kind's subresource finalizers"
        ))
    });
    let delete =
        Access { verb: Verb::Delete, kind: &write.kind, subresource: "", namespace, name: &write.key.name };
    let existing = (!allows(&delete)).then(|| {
        denied(format!(
            "change metadata.ownerReferences of a {} that there is: whoever names its owners has it deleted, so that takes the permission to delete it; declare it (and have it granted), or leave the owners as they are",
            write.kind
        ))
    });
    match &write.change {
        Change::Create(_) => any.map_or(Ok(None), |denied| Err(denied.into())),
        Change::Patch(..) => existing.or(any).map_or(Ok(None), |denied| Err(denied.into())),
        _ if existing.is_none() && any.is_none() => Ok(None),
        _ => {
            let granted = Arc::clone(granted);
            Ok(Some(OwnersStay { wanted: owners, all, existing, any, granted }))
        }
    }
}
