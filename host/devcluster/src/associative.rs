//! What an applied object must be like to merge: of the fields and types that its kind has, and with list items that
//! can be told apart, since each is named, and once.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::error::ApiError;
use crate::fields::Step;
use crate::kind::Kind;
use crate::object::Json;
use crate::shape::{ListType, Shape};

/// Refuses an applied object that does not fit its kind, or whose list items cannot be told apart. It is named as it
/// named itself.
pub(crate) fn check(
    kind: &Kind,
    (namespace, name): (&str, &str),
    applied: &Json,
    shape: &Shape<'_>,
) -> Result<(), ApiError> {
    let mut problems = Vec::new();
    fields(applied, shape, "", &mut problems);
    let why = match problems.as_slice() {
        [] => return Ok(()),
        [only] => only.clone(),
        several => format!("errors:\n  {}", several.join("\n  ")),
    };
    let (group, version) = (&kind.group, &kind.version);
    Err(ApiError::unclassified(format!(
        "failed to create typed patch object ({namespace}/{name}; {group}/{version}, Kind={}): {why}",
        kind.kind
    )))
}

fn fields(map: &Json, shape: &Shape<'_>, path: &str, problems: &mut Vec<String>) {
    for (field, value) in map {
        let path = format!("{path}.{field}");
        match shape.declares(field) {
            true => visit(value, &shape.field(field), &path, problems),
            false => {
                problems.push(format!("{path}: field not declared in schema"));
                // The real server looks no further in this map either.
                return;
            }
        }
    }
}

fn visit(value: &Value, shape: &Shape<'_>, path: &str, problems: &mut Vec<String>) {
    if let Some(problem) = shape.problem(value) {
        problems.push(format!("{path}: {problem}"));
        return;
    }
    match value {
        Value::Object(map) => fields(map, shape, path, problems),
        Value::Array(items) => {
            let (list, item_shape) = (shape.list_type(), shape.item());
            let mut seen = BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let step = match Step::of_item(item, &list) {
                    Some(step) => step.readable(),
                    None if *list == ListType::Atomic => {
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
    let has_none = keys.iter().all(|(field, default)| default.is_none() && is_missing(field));
    match (item.is_object(), missing) {
        (true, Some(_)) if has_none => {
            let all: Vec<String> = keys.iter().map(|(field, _)| format!("{field:?}")).collect();
            format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default \
                 values for any key fields)",
                all.join(" ")
            )
        }
        (true, Some((field, _))) => format!(
            "associative list with keys has an element that omits key field {field:?} (and doesn't have default \
             value)"
        ),
        _ => "associative list with keys may not have non-map elements".to_owned(),
    }
}
