//! Objects as they were read: one encoded buffer each, or a part of a page's, read in place.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use wheelhouse_core::Value;
use wheelhouse_core::encoding::{DecodeError, EncodeError};

use crate::ObjectKey;

/// An object of the cluster. Reading a field costs a search among its neighbours and no parsing;
/// cloning costs nothing.
///
/// An object of a list is a part of its page: keeping one keeps the page.
#[derive(Clone)]
pub struct Object {
    buffer: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl Object {
    /// Takes the bytes of an encoded object. Bytes that are none read as JSON's `null`.
    pub fn from_encoded(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self { buffer: Arc::new(bytes), range }
    }

    /// Encodes JSON: for tests of what reads objects.
    ///
    /// # Errors
    /// If it is too large to encode.
    pub fn from_json(value: &serde_json::Value) -> Result<Self, EncodeError> {
        wheelhouse_core::Object::from_value(value)
            .map(|object| Self::from_encoded(object.as_bytes().to_vec()))
    }

    pub(crate) fn part_of(page: &Arc<Vec<u8>>, range: Range<usize>) -> Self {
        Self { buffer: Arc::clone(page), range }
    }

    /// The root, for what the methods below do not cover.
    pub fn value(&self) -> Value<'_> {
        Value::root(self.buffer.get(self.range.clone()).unwrap_or_default())
    }

    /// A field of a field: `at(&["spec", "containers"])`.
    pub fn at(&self, fields: &[&str]) -> Option<Value<'_>> {
        self.value().at(fields)
    }

    /// The text at `fields`, if there is any: `text(&["spec", "nodeName"])`.
    pub fn text(&self, fields: &[&str]) -> Option<&str> {
        self.at(fields).and_then(Value::as_str)
    }

    /// The whole number at `fields`, if there is any.
    pub fn int(&self, fields: &[&str]) -> Option<i64> {
        self.at(fields).and_then(Value::as_i64)
    }

    fn meta(&self, field: &str) -> &str {
        self.text(&["metadata", field]).unwrap_or_default()
    }

    /// `metadata.name`, or "".
    pub fn name(&self) -> &str {
        self.meta("name")
    }

    /// `metadata.namespace`, or "" (cluster-scoped).
    pub fn namespace(&self) -> &str {
        self.meta("namespace")
    }

    /// Namespace and name.
    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(self.namespace(), self.name())
    }

    /// `metadata.uid`, or "".
    pub fn uid(&self) -> &str {
        self.meta("uid")
    }

    /// `metadata.resourceVersion`, or "".
    pub fn resource_version(&self) -> &str {
        self.meta("resourceVersion")
    }

    /// `metadata.generation`; 0 for kinds that have none.
    pub fn generation(&self) -> i64 {
        self.int(&["metadata", "generation"]).unwrap_or_default()
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.text(&["metadata", "labels", name])
    }

    /// The value of an annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.text(&["metadata", "annotations", name])
    }

    /// Whether its deletion was asked for, and it stays only until its finalizers are gone.
    pub fn is_being_deleted(&self) -> bool {
        self.text(&["metadata", "deletionTimestamp"]).is_some()
    }

    /// Makes a typed struct of it.
    ///
    /// # Errors
    /// If a field that the type requires is missing or of another type.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        T::deserialize(self.value())
    }

    /// The object as a `serde_json` tree.
    pub fn to_json(&self) -> serde_json::Value {
        self.value().to_value()
    }
}

impl fmt::Debug for Object {
    /// Names the object; its contents do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({} @{})", self.key(), self.resource_version())
    }
}

impl ObjectKey {
    /// From its parts; the namespace of a cluster-scoped object is "".
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Of a cluster-scoped object.
    pub fn cluster(name: impl Into<String>) -> Self {
        Self::new("", name)
    }
}

impl fmt::Display for ObjectKey {
    /// `namespace/name`, or `name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}
