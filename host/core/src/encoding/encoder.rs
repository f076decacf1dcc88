//! From JSON to the encoding.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::tape::{Node, Tape};
use super::{Object, Value};
use crate::fields::{self, Fields};

/// Why a value could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The text is not one JSON value, or nested too deep.
    #[error("not a JSON value: {0}")]
    Json(#[from] serde_json::Error),
    /// Beyond what offsets reach (1 GiB).
    #[error("too large to encode")]
    TooLarge,
}

/// What is left out of an object on its way in, and what is put in.
#[derive(Clone, Debug)]
pub struct EncodeOptions {
    /// Leave out `metadata.managedFields` and the annotation
    /// `kubectl.kubernetes.io/last-applied-configuration`: half of many objects, and of use to
    /// hardly any reader.
    pub prune: bool,
    /// The `apiVersion` and `kind` of the object, whatever it says itself: the items of a list have none,
    /// and metadata-only answers those of `PartialObjectMetadata`.
    pub type_meta: Option<(Arc<str>, Arc<str>)>,
    /// What is kept besides `apiVersion`, `kind` and `metadata`.
    pub fields: Fields,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { prune: true, type_meta: None, fields: Fields::all() }
    }
}

impl EncodeOptions {
    /// Everything stays as it is.
    pub fn verbatim() -> Self {
        Self { prune: false, type_meta: None, fields: Fields::all() }
    }
}

pub(super) fn from_json(json: &[u8], options: &EncodeOptions) -> Result<Object, EncodeError> {
    let mut de = serde_json::Deserializer::from_slice(json);
    let object = ObjectSeed(options).deserialize(&mut de)?;
    de.end()?;
    Ok(object)
}

/// Encodes what was encoded already.
pub(super) fn again(value: Value<'_>, options: &EncodeOptions) -> Result<Object, EncodeError> {
    ObjectSeed(options).deserialize(value).map_err(|_| EncodeError::TooLarge)
}

pub(super) fn from_value(value: &serde_json::Value) -> Result<Object, EncodeError> {
    Ok(ObjectSeed(&EncodeOptions::verbatim()).deserialize(value)?)
}

/// Encodes whatever a self-describing deserializer gives, without a tree in between: an item of a
/// list, the object of a watch event.
#[derive(Clone, Copy)]
pub struct ObjectSeed<'a>(pub &'a EncodeOptions);

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_> {
    type Value = Object;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Object, D::Error> {
        let tape = RefCell::new(Tape::default());
        let place = Place::Root(self.0);
        let root = NodeSeed { tape: &tape, place }.deserialize(deserializer)?;
        let bytes = tape.borrow().finish(root).map_err(de::Error::custom)?;
        Ok(Object::from_bytes(bytes))
    }
}

/// Where a node is, as far as pruning cares.
#[derive(Clone, Copy)]
enum Place<'a> {
    Root(&'a EncodeOptions),
    Metadata,
    Annotations,
    /// Where only some of what is below is kept.
    Partly(&'a fields::Tree),
    /// Where everything is.
    Elsewhere,
}

impl<'a> Place<'a> {
    fn drops(self, key: &str) -> bool {
        match self {
            Self::Metadata => key == "managedFields",
            Self::Annotations => key == "kubectl.kubernetes.io/last-applied-configuration",
            Self::Root(options) => {
                let kept = || fields::ALWAYS.contains(&key);
                (options.type_meta.is_some() && matches!(key, "apiVersion" | "kind"))
                    || options.fields.tree().is_some_and(|tree| !kept() && tree.field(key).is_none())
            }
            Self::Partly(tree) => tree.field(key).is_none(),
            Self::Elsewhere => false,
        }
    }

    fn below(self, key: &str) -> Self {
        match self {
            Self::Root(options) if options.prune && key == "metadata" => Self::Metadata,
            Self::Root(options) if !fields::ALWAYS.contains(&key) => {
                Self::of(options.fields.tree().and_then(|tree| tree.field(key)))
            }
            Self::Partly(tree) => Self::of(tree.field(key)),
            Self::Metadata if key == "annotations" => Self::Annotations,
            _ => Self::Elsewhere,
        }
    }

    fn of(tree: Option<&'a fields::Tree>) -> Self {
        tree.filter(|tree| !tree.whole()).map_or(Self::Elsewhere, Self::Partly)
    }
}

#[derive(Clone, Copy)]
struct NodeSeed<'a> {
    tape: &'a RefCell<Tape>,
    place: Place<'a>,
}

impl NodeSeed<'_> {
    /// A scalar; nothing where only what is below it would be kept.
    fn scalar(&self, node: Node) -> Node {
        if matches!(self.place, Place::Partly(_)) { Node::Null } else { node }
    }

    fn string<E: de::Error>(&self, s: &str) -> Result<Node, E> {
        self.tape.borrow_mut().string(s).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(self.scalar(Node::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(self.scalar(Node::Int(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(self.scalar(i64::try_from(value).map_or(Node::Big(value), Node::Int)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(self.scalar(Node::Float(value)))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        if matches!(self.place, Place::Partly(_)) { Ok(Node::Null) } else { self.string(value) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let place = match self.place {
            Place::Partly(tree) => match tree.each() {
                Some(each) => Place::of(Some(each)),
                None => {
                    while seq.next_element::<de::IgnoredAny>()?.is_some() {}
                    return Ok(Node::Null);
                }
            },
            _ => Place::Elsewhere,
        };
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Self { place, ..self })? {
            items.push(item);
        }
        Ok(self.tape.borrow_mut().array(&items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut pairs = Vec::with_capacity(8);
        while let Some(key) = map.next_key_seed(KeySeed(self))? {
            let Some((key, place)) = key else {
                map.next_value::<de::IgnoredAny>()?;
                continue;
            };
            let value = map.next_value_seed(NodeSeed { tape: self.tape, place })?;
            pairs.push((key, value));
        }
        if let Place::Root(EncodeOptions { type_meta: Some((api_version, kind)), .. }) = self.place {
            for (key, value) in [("apiVersion", api_version), ("kind", kind)] {
                let (Node::Str(key), value) = (self.string(key)?, self.string(value)?) else { continue };
                pairs.push((key, value));
            }
        }
        Ok(self.tape.borrow_mut().map(&mut pairs))
    }
}

/// Takes a map's key: none if it is to be left out.
struct KeySeed<'a>(NodeSeed<'a>);

impl<'de, 'a> DeserializeSeed<'de> for KeySeed<'a> {
    type Value = Option<(u32, Place<'a>)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, 'a> Visitor<'de> for KeySeed<'a> {
    type Value = Option<(u32, Place<'a>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
        if self.0.place.drops(key) {
            return Ok(None);
        }
        match self.0.string(key)? {
            Node::Str(index) => Ok(Some((index, self.0.place.below(key)))),
            _ => Ok(None),
        }
    }
}
