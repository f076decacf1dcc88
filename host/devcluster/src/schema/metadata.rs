//! The metadata of custom resources, which has types though no schema says so: those of `ObjectMeta`.

use serde_json::Value;

use crate::go;
use crate::object::Json;
use crate::strict::StrictErrors;
use crate::types::Path;

/// Fields, with the type of each as Go names it.
const FIELDS: &[(&str, &str)] = &[
    ("name", "string"),
    ("generateName", "string"),
    ("namespace", "string"),
    ("selfLink", "string"),
    ("uid", "types.UID"),
    ("resourceVersion", "string"),
    ("generation", "int64"),
    ("creationTimestamp", "v1.Time"),
    ("deletionTimestamp", "v1.Time"),
    ("deletionGracePeriodSeconds", "int64"),
    ("labels", "map[string]string"),
    ("annotations", "map[string]string"),
    ("ownerReferences", "[]v1.OwnerReference"),
    ("finalizers", "[]string"),
    ("managedFields", "[]v1.ManagedFieldsEntry"),
];

/// What is wrong with the types of an object's metadata, in the words of Go's JSON decoder.
pub(crate) fn mismatch(object: &Json) -> Option<String> {
    let metadata = object.get("metadata")?.as_object()?;
    FIELDS.iter().find_map(|(field, of_type)| {
        let (value, of_type) = unfit(metadata.get(*field)?, of_type)?;
        let found = match value {
            Value::Object(_) => "object",
            Value::Array(_) => "array",
            Value::Number(_) => "number",
            other => go::type_of(other),
        };
        Some(format!(
            "json: cannot unmarshal {found} into Go struct field ObjectMeta.{field} of type {of_type}"
        ))
    })
}

/// The value that is not of its type, with that type: the given one, or one in it.
fn unfit<'a>(value: &'a Value, of_type: &'static str) -> Option<(&'a Value, &'static str)> {
    let fits = match of_type {
        _ if value.is_null() => true,
        "int64" => value.is_i64(),
        "map[string]string" | "v1.OwnerReference" | "v1.ManagedFieldsEntry" => value.is_object(),
        of_type if of_type.starts_with("[]") => value.is_array(),
        _ => value.is_string(),
    };
    if !fits {
        return Some((value, of_type));
    }
    match (value, of_type.strip_prefix("[]")) {
        (Value::Array(items), Some(of_item)) => items.iter().find_map(|item| unfit(item, of_item)),
        (Value::Object(map), _) if of_type == "map[string]string" => {
            map.values().find_map(|value| unfit(value, "string"))
        }
        _ => None,
    }
}

/// Removes what metadata does not have.
pub(super) fn prune(metadata: &mut Json, path: &Path<'_>, dropped: &mut StrictErrors) {
    metadata.retain(|name, _| {
        let is_known = FIELDS.iter().any(|(field, _)| field == name);
        if !is_known {
            dropped.add(format_args!("unknown field \"{}\"", Path::Field(path, name)));
        }
        is_known
    });
}
