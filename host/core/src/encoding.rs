//! The object encoding: one immutable buffer per object, read in place.
//!
//! Any JSON value can be encoded. The same bytes are the cache's entry, the answer to a read, and
//! what a guest looks fields up in; JSON and typed structs are made from them only when asked for.
//!
//! # Layout (version 1, little-endian)
//!
//! | part | bytes |
//! |---|---|
//! | header | `0xE1` (encoding, version 1), then the *width*: 2 or 4 |
//! | strings | each distinct string once: length as LEB128, UTF-8 bytes |
//! | scalars | 8 bytes each: integers that fit no slot, floats |
//! | containers | children before parents: count as LEB128, then the slots |
//! | root | one slot: the last *width* bytes |
//!
//! A *slot* is *width* bytes: the [tag](layout) in its low 3 bits, the payload above them. The
//! payload is a small integer or constant, or an offset from the start of the buffer in units of two bytes:
//! everything that is pointed to starts at an even offset. An array's slots are its items. A map's
//! are pairs of a key (the plain half-offset of a string) and a value, sorted by the key's bytes.
//! Width 2 reaches 16 KiB and is used whenever the buffer fits; nearly every object does.
//!
//! An offset in a container always points before that container, and readers insist on it, so
//! that reading ends on any input.
//!
//! Duplicate keys keep their last value. Numbers are `i64`, `u64` or `f64`, as in `serde_json`.

mod de;
mod encoder;
mod layout;
mod list;
mod tape;
mod value;

pub use de::DecodeError;
pub use encoder::{EncodeError, EncodeOptions, ObjectSeed};
pub use list::{ListReader, PageBuilder};
pub use value::{Entries, Items, Value};

use std::fmt;
use std::sync::Arc;

/// One encoded object: immutable, shared by reference count.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    bytes: Arc<[u8]>,
}

impl Object {
    /// Encodes JSON text, pruning what `options` names.
    ///
    /// # Errors
    /// If the text is not one JSON value, is nested deeper than 128 levels, or is too large to encode.
    pub fn from_json(json: &[u8], options: &EncodeOptions) -> Result<Self, EncodeError> {
        encoder::from_json(json, options)
    }

    /// Encodes a `serde_json` tree as it is.
    ///
    /// # Errors
    /// If it is too large to encode.
    pub fn from_value(value: &serde_json::Value) -> Result<Self, EncodeError> {
        encoder::from_value(value)
    }

    /// The same object, pruned by other options.
    pub(crate) fn encode_again(&self, options: &EncodeOptions) -> Result<Self, EncodeError> {
        encoder::again(self.value(), options)
    }

    /// Takes bytes that are already encoded, such as those that a host handed to a guest.
    /// Nothing is checked: a reader of bytes that are no object sees `null` where they make no sense.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self { bytes: bytes.into() }
    }

    /// The encoded bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The encoded bytes, shared.
    pub fn bytes(&self) -> Arc<[u8]> {
        Arc::clone(&self.bytes)
    }

    /// The root value.
    pub fn value(&self) -> Value<'_> {
        Value::root(&self.bytes)
    }

    fn meta(&self, field: &str) -> &str {
        self.value().at(&["metadata", field]).and_then(|v| v.as_str()).unwrap_or("")
    }

    /// Whether it differs from another state in these fields at most, and in what every write changes of the
    /// metadata.
    pub fn differs_at_most_in(&self, other: &Self, fields: &[&str]) -> bool {
        let same = |a: Value<'_>, b: Value<'_>, but: &[&str]| {
            let of = |value: Value<'_>| value.entries().filter(|(name, _)| !but.contains(name)).count();
            of(a) == of(b)
                && a.entries().filter(|(name, _)| !but.contains(name)).all(|(name, v)| b.get(name) == Some(v))
        };
        let (a, b) = (self.value(), other.value());
        same(a, b, &[&["metadata"][..], fields].concat())
            && match (a.get("metadata"), b.get("metadata")) {
                (Some(a), Some(b)) => same(a, b, &["resourceVersion", "managedFields"]),
                _ => false,
            }
    }

    /// `metadata.name`, or "".
    pub fn name(&self) -> &str {
        self.meta("name")
    }

    /// `metadata.namespace`, or "" (cluster-scoped).
    pub fn namespace(&self) -> &str {
        self.meta("namespace")
    }

    /// `metadata.uid`, or "".
    pub fn uid(&self) -> &str {
        self.meta("uid")
    }

    /// `metadata.resourceVersion`, or "".
    pub fn resource_version(&self) -> &str {
        self.meta("resourceVersion")
    }

    /// Namespace and name.
    pub fn key(&self) -> crate::Key {
        crate::Key::new(self.namespace(), self.name())
    }
}

impl fmt::Debug for Object {
    /// Names the object; its contents do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({} @{}, {} bytes)", self.key(), self.resource_version(), self.bytes.len())
    }
}
