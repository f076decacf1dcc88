//! The types of what a schema describes.

use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};

use super::types::{Object, Type};
use crate::schema::{is_true, rule_values, text};

/// All that rules see of metadata.
static METADATA: LazyLock<Value> = LazyLock::new(
    || json!({ "type": "object", "properties": { "name": { "type": "string" }, "generateName": { "type": "string" } } }),
);

/// What can stand for two bytes in the names that rules have for fields.
const ESCAPES: &[(&str, &str)] =
    &[("__underscores__", "__"), ("__dot__", "."), ("__dash__", "-"), ("__slash__", "/")];

/// The type of the values of a schema; `None` if rules do not see them.
pub(super) fn of_schema<'a>(schema: &'a Value, is_whole: bool, path: &str) -> Option<Type<'a>> {
    if is_true(schema, "x-kubernetes-int-or-string") {
        return Some(Type::Dyn);
    }
    let is_whole = is_whole || is_true(schema, "x-kubernetes-embedded-resource");
    if is_whole {
        return Some(Type::Object(Object { schema, is_whole, path: Arc::from(path) }));
    }
    let within = |field: &str| schema.get(field).filter(|inner| inner.is_object());
    Some(match text(schema, "type") {
        "array" => Type::list(of_schema(within("items")?, false, &format!("{path}.@idx"))?),
        "object" => match within("additionalProperties") {
            Some(extra) => Type::map(Type::String, of_schema(extra, false, &format!("{path}.@elem"))?),
            None => Type::Object(Object { schema, is_whole, path: Arc::from(path) }),
        },
        "string" => match text(schema, "format") {
            "byte" => Type::Bytes,
            "duration" => Type::Duration,
            "date" | "date-time" => Type::Timestamp,
            _ => Type::String,
        },
        "boolean" => Type::Bool,
        "number" => Type::Double,
        "integer" => Type::Int,
        _ => return None,
    })
}

/// The type of a field of an object; `None` if there is no such field.
pub(super) fn field<'a>(object: &Object<'a>, name: &str) -> Option<Type<'a>> {
    if object.is_whole && matches!(name, "apiVersion" | "kind") {
        return Some(Type::String);
    }
    of_schema(schema_of(object, name)?, false, &format!("{}.{name}", object.path))
}

/// The schema of a field of an object, if it has one.
pub(super) fn schema_of<'a>(object: &Object<'a>, name: &str) -> Option<&'a Value> {
    match name {
        "apiVersion" | "kind" if object.is_whole => return None,
        "metadata" if object.is_whole => return Some(&METADATA),
        _ => {}
    }
    let fields = object.schema.get("properties")?;
    let found = |plain: &str| fields.get(plain).filter(|_| rule_values::means(name, plain));
    found(name).or_else(|| found(&unescape(name)))
}

/// The field that rules have this name for.
fn unescape(name: &str) -> String {
    if let Some(word) = name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"))
        && rule_values::means(name, word)
    {
        return word.to_owned();
    }
    let (mut plain, mut rest) = (String::with_capacity(name.len()), name);
    while let Some(next) = rest.chars().next() {
        let escaped = ESCAPES.iter().find_map(|(escaped, plain)| Some((*plain, rest.strip_prefix(escaped)?)));
        if let Some((letters, after)) = escaped {
            plain.push_str(letters);
            rest = after;
        } else {
            plain.push(next);
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_the_names_that_rules_have_for_them() {
        for name in ["a", "a-b", "a.b/c", "a__b", "namespace", "__dash", "a__dash__b", "___", "a_b"] {
            assert_eq!(unescape(&rule_values::escape(name)), name);
        }
    }
}
