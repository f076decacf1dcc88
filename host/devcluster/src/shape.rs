//! How lists and maps merge: which lists are maps by which keys, which are sets, what is replaced whole.
//!
//! For custom resources this is read from the schema (`x-kubernetes-list-type` and its kin). For the
//! built-in kinds it is a table by field name, taken from the API reference.

use serde_json::Value;

use crate::kind::Kind;
use crate::object::Json;

/// How the items of a list are told apart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ListType {
    /// The list is one value.
    Atomic,
    /// Each item is its own key.
    Set,
    /// The named fields are the key, each with the value that an absent one has.
    Map(Vec<(String, Option<Value>)>),
}

/// The position in an object that merging has reached.
#[derive(Debug, Clone)]
pub(crate) enum Shape<'a> {
    /// In a built-in kind (or in anybody's metadata): the names of the two fields last entered.
    Builtin { kind: &'a str, parent: String, field: String },
    /// In a custom resource, at this schema.
    Schema { schema: &'a Value, is_root: bool },
    /// Where nothing is known.
    Free,
}

/// Parent field ("" for any), field, keys with their defaults ("" for none).
type KeyedList = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const LISTS: &[KeyedList] = &[
    ("", "containers", &[("name", "")]),
    ("", "initContainers", &[("name", "")]),
    ("", "ephemeralContainers", &[("name", "")]),
    ("", "env", &[("name", "")]),
    ("containers", "ports", &[("containerPort", ""), ("protocol", "TCP")]),
    ("initContainers", "ports", &[("containerPort", ""), ("protocol", "TCP")]),
    ("ephemeralContainers", "ports", &[("containerPort", ""), ("protocol", "TCP")]),
    ("", "volumes", &[("name", "")]),
    ("", "volumeMounts", &[("mountPath", "")]),
    ("", "volumeDevices", &[("devicePath", "")]),
    ("", "imagePullSecrets", &[("name", "")]),
    ("", "hostAliases", &[("ip", "")]),
    ("", "podIPs", &[("ip", "")]),
    ("", "topologySpreadConstraints", &[("topologyKey", ""), ("whenUnsatisfiable", "")]),
    ("", "resourceClaims", &[("name", "")]),
    ("", "schedulingGates", &[("name", "")]),
    ("", "conditions", &[("type", "")]),
    ("metadata", "ownerReferences", &[("uid", "")]),
    ("", "webhooks", &[("name", "")]),
    ("status", "addresses", &[("type", "")]),
    ("", "matchConditions", &[("name", "")]),
];

/// Lists that server-side apply takes whole but a strategic merge patch merges by a key.
const STRATEGIC_ONLY: &[(&str, &str, &str)] = &[("spec", "taints", "key"), ("", "secrets", "name")];

/// Maps that are one value.
const ATOMIC_MAPS: &[(&str, &str)] = &[
    ("", "selector"),
    ("", "labelSelector"),
    ("", "namespaceSelector"),
    ("", "podSelector"),
    ("", "nodeSelector"),
    ("", "fieldRef"),
    ("", "resourceFieldRef"),
    ("", "configMapKeyRef"),
    ("", "secretKeyRef"),
    ("", "secretRef"),
    ("", "roleRef"),
    ("", "involvedObject"),
    ("", "regarding"),
];

impl<'a> Shape<'a> {
    /// The root of an object of this kind.
    pub(crate) fn of(kind: &'a Kind) -> Self {
        match &kind.custom {
            None => Self::Builtin { kind: &kind.kind, parent: String::new(), field: String::new() },
            Some(custom) => match custom.schema.as_deref() {
                Some(schema) => Self::Schema { schema: schema.json(), is_root: true },
                None => Self::Schema { schema: &Value::Null, is_root: true },
            },
        }
    }

    /// The shape of a field of the map at this position.
    pub(crate) fn field(&self, name: &str) -> Self {
        match self {
            Self::Builtin { kind, field, .. } => {
                Self::Builtin { kind, parent: field.clone(), field: name.to_owned() }
            }
            Self::Schema { is_root: true, .. } if name == "metadata" => {
                Self::Builtin { kind: "", parent: String::new(), field: name.to_owned() }
            }
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

    /// Whether the map at this position has a field of this name, as far as that is known.
    pub(crate) fn declares(&self, name: &str) -> bool {
        let Self::Schema { schema, is_root } = self else { return true };
        let is_true = |field: &str| schema.get(field).and_then(Value::as_bool).unwrap_or(false);
        let is_object = *is_root || is_true("x-kubernetes-embedded-resource");
        schema.is_null()
            || (is_object && matches!(name, "apiVersion" | "kind" | "metadata"))
            || is_true("x-kubernetes-preserve-unknown-fields")
            || schema.get("properties").is_some_and(|fields| fields.get(name).is_some())
            || schema.get("additionalProperties").is_some_and(|extra| extra != &Value::Bool(false))
    }

    /// The type that a schema says for the value at this position, or "".
    pub(crate) fn value_type(&self) -> &str {
        match self {
            Self::Schema { schema, .. } => schema.get("type").and_then(Value::as_str).unwrap_or_default(),
            Self::Builtin { .. } | Self::Free => "",
        }
    }

    /// The shape of the items of the list at this position.
    pub(crate) fn item(&self) -> Self {
        match self {
            Self::Builtin { .. } => self.clone(),
            Self::Schema { schema, .. } => match schema.get("items") {
                Some(schema) => Self::Schema { schema, is_root: false },
                None => Self::Free,
            },
            Self::Free => Self::Free,
        }
    }

    /// How server-side apply treats the list at this position.
    pub(crate) fn list_type(&self) -> ListType {
        match self {
            Self::Builtin { kind, parent, field } => builtin_list(kind, parent, field),
            Self::Schema { schema, .. } => match schema.get("x-kubernetes-list-type").and_then(Value::as_str)
            {
                Some("set") => ListType::Set,
                Some("map") => {
                    let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
                    let properties = schema.get("items").and_then(|items| items.get("properties"));
                    let default = |key: &str| properties.and_then(|p| p.get(key)?.get("default")).cloned();
                    let keys = keys.into_iter().flatten().filter_map(Value::as_str);
                    ListType::Map(keys.map(|key| (key.to_owned(), default(key))).collect())
                }
                _ => ListType::Atomic,
            },
            Self::Free => ListType::Atomic,
        }
    }

    /// Whether server-side apply treats the map at this position as one value.
    pub(crate) fn is_atomic_map(&self) -> bool {
        match self {
            Self::Builtin { parent, field, .. } => {
                let matches = |(p, f): &(&str, &str)| *f == field && (p.is_empty() || p == parent);
                parent != "labels" && parent != "annotations" && ATOMIC_MAPS.iter().any(matches)
            }
            Self::Schema { schema, .. } => {
                schema.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic")
            }
            Self::Free => false,
        }
    }

    /// The key by which a strategic merge patch merges the list at this position.
    pub(crate) fn merge_key(&self) -> Option<String> {
        if let Self::Builtin { parent, field, .. } = self {
            let strategic =
                STRATEGIC_ONLY.iter().find(|(p, f, _)| f == field && (p.is_empty() || p == parent));
            if let Some((_, _, key)) = strategic {
                return Some((*key).to_owned());
            }
        }
        match self.list_type() {
            ListType::Map(keys) => keys.into_iter().next().map(|(key, _)| key),
            ListType::Atomic | ListType::Set => None,
        }
    }
}

fn builtin_list(kind: &str, parent: &str, field: &str) -> ListType {
    if field == "finalizers" {
        return ListType::Set;
    }
    let keys: &[(&str, &str)] = match (kind, parent, field) {
        ("Service", "spec", "ports") => &[("port", ""), ("protocol", "TCP")],
        _ => {
            let found = LISTS.iter().find(|(p, f, _)| *f == field && (p.is_empty() || *p == parent));
            match found {
                Some((_, _, keys)) => keys,
                None => return ListType::Atomic,
            }
        }
    };
    let default = |text: &str| (!text.is_empty()).then(|| Value::from(text));
    ListType::Map(keys.iter().map(|(key, text)| ((*key).to_owned(), default(text))).collect())
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
