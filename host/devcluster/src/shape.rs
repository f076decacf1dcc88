//! How lists and maps merge: which lists are maps by which keys, which are sets, what is replaced whole.
//!
//! For custom resources this is read from the schema (`x-kubernetes-list-type` and its kin), and for the
//! built-in kinds from their types.

use std::borrow::Cow;

use serde_json::Value;

use crate::kind::Kind;
use crate::object::Json;
use crate::schema;
use crate::types::{self, Merging, Type};

/// How the items of a list are told apart.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum ListType {
    /// The list is one value.
    #[default]
    Atomic,
    /// Each item is its own key.
    Set,
    /// The named fields are the key, each with the value that an absent one has.
    Map(Vec<(String, Option<Value>)>),
}

/// The position in an object that merging has reached.
#[derive(Debug, Clone)]
pub(crate) enum Shape<'a> {
    /// In a built-in kind (or in anybody's metadata): the type here, and how the field merges that it is the value of.
    Typed { of_type: &'static Type, merging: Option<&'static Merging> },
    /// In a custom resource, at this schema.
    Schema { schema: &'a Value, is_root: bool },
    /// Where nothing is known.
    Free,
}

impl<'a> Shape<'a> {
    /// The root of an object of this kind.
    pub(crate) fn of(kind: &'a Kind) -> Self {
        match &kind.custom {
            None => types::of(kind).map_or(Self::Free, Self::typed),
            Some(custom) => match custom.schema.as_deref() {
                Some(schema) => Self::Schema { schema: schema.json(), is_root: true },
                None => Self::Schema { schema: &Value::Null, is_root: true },
            },
        }
    }

    fn typed(of_type: &'static Type) -> Self {
        Self::Typed { of_type, merging: None }
    }

    /// The shape of a field of the map at this position.
    pub(crate) fn field(&self, name: &str) -> Self {
        match self {
            Self::Typed { of_type: Type::Map(value), .. } => Self::typed(value),
            Self::Typed { of_type, .. } => {
                match types::struct_of(of_type).and_then(|found| found.field(name)) {
                    Some(field) => Self::Typed { of_type: &field.value, merging: Some(&field.merging) },
                    None => Self::Free,
                }
            }
            Self::Schema { is_root: true, .. } if name == "metadata" => Self::typed(types::metadata()),
            Self::Schema { schema, .. } => {
                let property = schema.get("properties").and_then(|properties| properties.get(name));
                let additional = || schema.get("additionalProperties").filter(|extra| extra.is_object());
                match property.or_else(additional) {
                    Some(schema) => Self::Schema { schema, is_root: false },
                    None => Self::Free,
                }
            }
            Self::Free => Self::Free,
        }
    }

    /// The shape of the items of the list at this position.
    pub(crate) fn item(&self) -> Self {
        match self {
            Self::Typed { of_type: Type::List(item) | Type::Union { list: Some(item), .. }, .. } => {
                Self::typed(item)
            }
            Self::Typed { .. } => Self::Free,
            Self::Schema { schema, .. } => match schema.get("items") {
                Some(schema) => Self::Schema { schema, is_root: false },
                None => Self::Free,
            },
            Self::Free => Self::Free,
        }
    }

    /// How server-side apply treats the list at this position.
    pub(crate) fn list_type(&self) -> Cow<'static, ListType> {
        match self {
            Self::Typed { merging, .. } => {
                merging.map_or_else(Cow::default, |merging| Cow::Borrowed(&merging.list))
            }
            Self::Schema { schema, .. } => Cow::Owned(schema_list(schema)),
            Self::Free => Cow::default(),
        }
    }

    /// Whether server-side apply treats the map at this position as one value.
    pub(crate) fn is_atomic_map(&self) -> bool {
        match self {
            Self::Typed { of_type, merging } => {
                let by_type = || match of_type {
                    Type::Free => true,
                    of_type => types::struct_of(of_type).is_some_and(|found| found.is_atomic),
                };
                merging.and_then(|merging| merging.is_atomic).unwrap_or_else(by_type)
            }
            Self::Schema { schema, .. } => {
                schema.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic")
            }
            Self::Free => false,
        }
    }

    /// The key by which a strategic merge patch merges the list at this position.
    pub(crate) fn merge_key(&self) -> Option<&'static str> {
        match self {
            Self::Typed { merging, .. } => merging.and_then(|merging| merging.patch_key),
            Self::Schema { .. } | Self::Free => None,
        }
    }

    /// The strategy of a strategic merge patch for the value at this position, or "".
    pub(crate) fn patch_strategy(&self) -> &'static str {
        match self {
            Self::Typed { merging, .. } => merging.map(|merging| merging.patch_strategy).unwrap_or_default(),
            Self::Schema { .. } | Self::Free => "",
        }
    }

    /// Whether the map at this position has a field of this name, as far as that is known.
    pub(crate) fn declares(&self, name: &str) -> bool {
        match self {
            Self::Typed { of_type, .. } => {
                types::struct_of(of_type).is_none_or(|found| found.field(name).is_some())
            }
            Self::Schema { schema, is_root } => schema_declares(schema, *is_root, name),
            Self::Free => true,
        }
    }

    /// Whether a field of this name is one of a struct's, rather than an entry of a map.
    pub(crate) fn names(&self, name: &str) -> bool {
        match self {
            Self::Typed { of_type, .. } => {
                types::struct_of(of_type).is_some_and(|found| found.field(name).is_some())
            }
            Self::Schema { schema, is_root } => {
                is_of_object(schema, *is_root, name)
                    || schema.get("properties").is_some_and(|fields| fields.get(name).is_some())
            }
            Self::Free => false,
        }
    }

    /// What server-side apply finds wrong with the value at this position, if anything.
    pub(crate) fn problem(&self, value: &Value) -> Option<String> {
        match self {
            Self::Typed { of_type, .. } => types::applied_problem(of_type, value),
            Self::Schema { schema, .. } => types::schema_problem(schema::text(schema, "type"), value),
            Self::Free => None,
        }
    }
}

/// Whether a field is one that every object has, where the schema is that of an object.
fn is_of_object(schema: &Value, is_root: bool, name: &str) -> bool {
    let is_object = is_root || schema::is_true(schema, "x-kubernetes-embedded-resource");
    is_object && matches!(name, "apiVersion" | "kind" | "metadata")
}

fn schema_declares(schema: &Value, is_root: bool, name: &str) -> bool {
    schema.is_null()
        || is_of_object(schema, is_root, name)
        || schema::is_true(schema, "x-kubernetes-preserve-unknown-fields")
        || schema.get("properties").is_some_and(|fields| fields.get(name).is_some())
        || schema.get("additionalProperties").is_some_and(|extra| extra != &Value::Bool(false))
}

fn schema_list(schema: &Value) -> ListType {
    match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => ListType::Set,
        Some("map") => {
            let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
            let properties = schema.get("items").and_then(|items| items.get("properties"));
            let default = |key: &str| properties.and_then(|p| p.get(key)?.get("default")).cloned();
            let keys = keys.into_iter().flatten().filter_map(Value::as_str);
            ListType::Map(keys.map(|key| (key.to_owned(), default(key))).collect())
        }
        _ => ListType::Atomic,
    }
}

/// The key of a list item as a map of its key fields; `None` where a key field is missing.
pub(crate) fn item_key(item: &Value, keys: &[(String, Option<Value>)]) -> Option<Json> {
    let mut key = Json::new();
    for (field, default) in keys {
        let value = item.get(field).filter(|value| !value.is_null()).or(default.as_ref())?;
        key.insert(field.clone(), value.clone());
    }
    Some(key)
}
