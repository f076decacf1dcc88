//! The keys of lists that are maps or sets: an applied object names each item, and each once.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::error::ApiError;
use crate::fields::Step;
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::shape::{ListType, Shape};

/// Refuses an applied object whose list items cannot be told apart.
pub(crate) fn check(kind: &Kind, applied: &Json, shape: &Shape<'_>) -> Result<(), ApiError> {
    let mut problems = Vec::new();
    for (field, value) in applied {
        visit(value, &shape.field(field), &format!(".{field}"), &mut problems);
    }
    let why = match problems.as_slice() {
        [] => return Ok(()),
        [only] => only.clone(),
        several => format!("errors:\n  {}", several.join("\n  ")),
    };
    let (namespace, name) = (object::namespace(applied), object::name(applied));
    let (group, version) = (&kind.group, &kind.version);
    Err(ApiError::unclassified(format!(
        "failed to create typed patch object ({namespace}/{name}; {group}/{version}, Kind={}): {why}",
        kind.kind
    )))
}

fn visit(value: &Value, shape: &Shape<'_>, path: &str, problems: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (field, value) in map {
                visit(value, &shape.field(field), &format!("{path}.{field}"), problems);
            }
        }
        Value::Array(items) => {
            let (list, item_shape) = (shape.list_type(), shape.item());
            let mut seen = BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let step = match Step::of_item(item, &list) {
                    Some(step) => step.readable(),
                    None if list == ListType::Atomic => {
                        visit(item, &item_shape, &format!("{path}[{index}]"), problems);
                        continue;
                    }
                    None => {
                        problems.push(format!("{path}: element {index}: {}", keyless(item, &list)));
                        continue;
                    }
                };
                visit(item, &item_shape, &format!("{path}{step}"), problems);
                if seen.contains(&step) {
                    problems.push(format!("{path}: duplicate entries for key {step}"));
                }
                seen.insert(step);
            }
        }
        _ => {}
    }
}

/// What is wrong with an item that has no key.
fn keyless(item: &Value, list: &ListType) -> String {
    let ListType::Map(keys) = list else { return String::new() };
    let is_missing = |field: &str| item.get(field).is_none_or(Value::is_null);
    let missing = keys.iter().find(|(field, default)| default.is_none() && is_missing(field));
    match (item.is_object(), missing) {
        (true, Some((field, _))) => format!(
            "associative list with keys has an element that omits key field {field:?} (and doesn't have default \
             value)"
        ),
        _ => "associative list with keys may not have non-map elements".to_owned(),
    }
}
