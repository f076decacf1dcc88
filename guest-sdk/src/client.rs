//! Live reads and writes: each is one request to the API server.
//!
//! A write is put together and then sent: `client::apply(kind, &object).force().send()?`. What is
//! sent may be anything that serialises to JSON; what comes back is the object as the server stored
//! it. Nothing that could be done twice is retried by the host.

use std::borrow::Cow;

use serde::Serialize;

pub use crate::bindings::wheelhouse::controller::client::Propagation;

use crate::bindings::wheelhouse::controller::client as host;
use crate::{ApiError, Object, ObjectKey};

/// The object as the API server has it now, or `None` if it does not exist.
///
/// # Errors
/// [`Denied`](ApiError::Denied) without the permission, and what the API server answers.
pub fn get_live(kind: &str, key: &ObjectKey) -> Result<Option<Object>, ApiError> {
    Ok(host::get_live(kind, key, "")?.map(Object::from_encoded))
}

/// A subresource of an object as the API server has it now: `scale`, `status`.
///
/// # Errors
/// As [`get_live`].
pub fn get_subresource(kind: &str, key: &ObjectKey, subresource: &str) -> Result<Option<Object>, ApiError> {
    Ok(host::get_live(kind, key, subresource)?.map(Object::from_encoded))
}

/// Creates an object. Its name may be left to the server by `metadata.generateName`; `apiVersion`
/// and `kind` may be left out.
pub fn create<'a>(kind: impl Into<Cow<'a, str>>, object: &impl Serialize) -> Write<'a> {
    Write::new(kind.into(), Call::Create, object)
}

/// Replaces an object. With a `metadata.resourceVersion`, it is a
/// [`Conflict`](ApiError::Conflict) if the object has changed since.
pub fn update<'a>(kind: impl Into<Cow<'a, str>>, object: &impl Serialize) -> Write<'a> {
    Write::new(kind.into(), Call::Update, object)
}

/// Merges a partial object into an object (RFC 7386): nulls delete, lists are replaced.
pub fn merge_patch<'a>(
    kind: impl Into<Cow<'a, str>>,
    key: &'a ObjectKey,
    patch: &impl Serialize,
) -> Write<'a> {
    Write::new(kind.into(), Call::Patch(key, host::PatchType::Merge), patch)
}

/// Carries out operations on an object (RFC 6902).
pub fn json_patch<'a>(
    kind: impl Into<Cow<'a, str>>,
    key: &'a ObjectKey,
    operations: &impl Serialize,
) -> Write<'a> {
    Write::new(kind.into(), Call::Patch(key, host::PatchType::Json), operations)
}

/// Merges as Kubernetes does, lists by their keys. Built-in kinds only.
pub fn strategic_patch<'a>(
    kind: impl Into<Cow<'a, str>>,
    key: &'a ObjectKey,
    patch: &impl Serialize,
) -> Write<'a> {
    Write::new(kind.into(), Call::Patch(key, host::PatchType::Strategic), patch)
}

/// Server-side apply: creates the object, or sets the fields that are in it and drops those that
/// this plugin applied before and are not.
pub fn apply<'a>(kind: impl Into<Cow<'a, str>>, object: &impl Serialize) -> Apply<'a> {
    Apply {
        kind: kind.into(),
        object: to_json(object),
        options: host::ApplyOptions {
            subresource: String::new(),
            dry_run: false,
            force: false,
            field_manager: String::new(),
        },
    }
}

/// Asks for an object's deletion. An object with finalizers stays until they are gone.
pub fn delete<'a>(kind: impl Into<Cow<'a, str>>, key: &'a ObjectKey) -> Delete<'a> {
    Delete {
        kind: kind.into(),
        key,
        options: host::DeleteOptions {
            dry_run: false,
            propagation: None,
            grace_period_seconds: None,
            uid: None,
            resource_version: None,
        },
    }
}

fn to_json(object: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(object)
        .map_err(|error| ApiError::BadRequest(format!("the object cannot be written as JSON: {error}")))
}

enum Call<'a> {
    Create,
    Update,
    Patch(&'a ObjectKey, host::PatchType),
}

/// A create, update or patch.
#[must_use = "nothing is written until it is sent"]
pub struct Write<'a> {
    kind: Cow<'a, str>,
    call: Call<'a>,
    body: Result<Vec<u8>, ApiError>,
    options: host::WriteOptions,
}

impl<'a> Write<'a> {
    fn new(kind: Cow<'a, str>, call: Call<'a>, body: &impl Serialize) -> Self {
        let options = host::WriteOptions { subresource: String::new(), dry_run: false };
        Self { kind, call, body: to_json(body), options }
    }

    /// Writes to a subresource: `status`, `scale`, `eviction`.
    pub fn subresource(mut self, name: impl Into<String>) -> Self {
        self.options.subresource = name.into();
        self
    }

    /// Has the API server check and answer, and store nothing.
    pub fn dry_run(mut self) -> Self {
        self.options.dry_run = true;
        self
    }

    /// Sends it and returns the object as the server stored it.
    ///
    /// # Errors
    /// [`Denied`](ApiError::Denied) without the permission, and what the API server answers.
    pub fn send(self) -> Result<Object, ApiError> {
        let body = self.body?;
        let stored = match self.call {
            Call::Create => host::create(&self.kind, &body, &self.options),
            Call::Update => host::update(&self.kind, &body, &self.options),
            Call::Patch(key, patch_type) => host::patch(&self.kind, key, patch_type, &body, &self.options),
        };
        Ok(Object::from_encoded(stored?))
    }
}

/// A server-side apply.
#[must_use = "nothing is written until it is sent"]
pub struct Apply<'a> {
    kind: Cow<'a, str>,
    object: Result<Vec<u8>, ApiError>,
    options: host::ApplyOptions,
}

impl Apply<'_> {
    /// Applies to a subresource: `status`, `scale`.
    pub fn subresource(mut self, name: impl Into<String>) -> Self {
        self.options.subresource = name.into();
        self
    }

    /// Has the API server check and answer, and store nothing.
    pub fn dry_run(mut self) -> Self {
        self.options.dry_run = true;
        self
    }

    /// Takes over fields that other managers own, which are a [`Conflict`](ApiError::Conflict)
    /// otherwise. A controller does, on what is its own.
    pub fn force(mut self) -> Self {
        self.options.force = true;
        self
    }

    /// Applies under this name instead of the plugin's. The host refuses the name of another.
    pub fn field_manager(mut self, name: impl Into<String>) -> Self {
        self.options.field_manager = name.into();
        self
    }

    /// Sends it and returns the object as the server stored it.
    ///
    /// # Errors
    /// [`Denied`](ApiError::Denied) without the permission, and what the API server answers.
    pub fn send(self) -> Result<Object, ApiError> {
        Ok(Object::from_encoded(host::apply(&self.kind, &self.object?, &self.options)?))
    }
}

/// A deletion.
#[must_use = "nothing is deleted until it is sent"]
pub struct Delete<'a> {
    kind: Cow<'a, str>,
    key: &'a ObjectKey,
    options: host::DeleteOptions,
}

impl Delete<'_> {
    /// Has the API server check and answer, and delete nothing.
    pub fn dry_run(mut self) -> Self {
        self.options.dry_run = true;
        self
    }

    /// What becomes of the objects that this one owns; the kind's default otherwise.
    pub fn propagation(mut self, propagation: Propagation) -> Self {
        self.options.propagation = Some(propagation);
        self
    }

    /// How long the object has to end in order; the kind's default otherwise.
    pub fn grace_period_seconds(mut self, seconds: u32) -> Self {
        self.options.grace_period_seconds = Some(seconds);
        self
    }

    /// Only the object with this UID, and not a later one of its name: a
    /// [`Conflict`](ApiError::Conflict) otherwise.
    pub fn uid(mut self, uid: impl Into<String>) -> Self {
        self.options.uid = Some(uid.into());
        self
    }

    /// Only if it has not changed since this version: a [`Conflict`](ApiError::Conflict) otherwise.
    pub fn resource_version(mut self, version: impl Into<String>) -> Self {
        self.options.resource_version = Some(version.into());
        self
    }

    /// Sends it.
    ///
    /// # Errors
    /// [`NotFound`](ApiError::NotFound) if there is no such object (see
    /// [`optional`](crate::OptionalExt::optional)), [`Denied`](ApiError::Denied) without the
    /// permission, and what the API server answers.
    pub fn send(self) -> Result<(), ApiError> {
        Ok(host::delete(&self.kind, self.key, &self.options)?)
    }
}
