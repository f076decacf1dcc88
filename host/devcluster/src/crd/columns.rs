//! What is checked of how a version's objects are shown, selected and scaled: its columns, selectable fields and paths.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::text;
use super::validate::schema_of;
use crate::error::Cause;

const COLUMN_FORMATS: &[&str] =
    &["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const MOST_SELECTABLE: usize = 8;
const COLUMN_TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];

pub(super) fn scale(version: &Value, path: &str, causes: &mut Vec<Cause>) {
    let Some(scale) = version.get("subresources").and_then(|all| all.get("scale")) else { return };
    for (field, roots, is_needed) in [
        ("specReplicasPath", &[".spec."][..], true),
        ("statusReplicasPath", &[".status."], true),
        ("labelSelectorPath", &[".spec.", ".status."], false),
    ] {
        let (found, path) = (text(scale, field), format!("{path}.{field}"));
        if found.is_empty() {
            if is_needed {
                causes.push(Cause::required(path, ""));
            }
        } else if !found.starts_with('.') {
            causes.push(Cause::invalid(path, &json!(found), FROM_THE_ROOT));
        } else if !roots.iter().any(|root| found.starts_with(root)) {
            let why = match roots {
                [one] => format!("should be a json path under {}", one.trim_end_matches('.')),
                _ => "should be a json path under either .spec or .status".to_owned(),
            };
            causes.push(Cause::invalid(path, &json!(found), &why));
        }
    }
}

/// What a path is refused for that does not begin with a dot.
const FROM_THE_ROOT: &str = "must be a simple json path starting with .";

pub(super) fn columns(version: &Value, path: &str, causes: &mut Vec<Cause>) {
    let columns = version.get("additionalPrinterColumns").and_then(Value::as_array);
    for (index, column) in columns.into_iter().flatten().enumerate() {
        let path = format!("{path}.additionalPrinterColumns[{index}]");
        let (of_type, types) = (text(column, "type"), format!("must be one of {}", COLUMN_TYPES.join(",")));
        if text(column, "name").is_empty() {
            causes.push(Cause::required(format!("{path}.name"), ""));
        }
        if of_type.is_empty() {
            causes.push(Cause::required(format!("{path}.type"), &types));
        } else if !COLUMN_TYPES.contains(&of_type) {
            causes.push(Cause::invalid(format!("{path}.type"), &json!(of_type), &types));
        }
        let format = text(column, "format");
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            let why = format!("must be one of {}", COLUMN_FORMATS.join(","));
            causes.push(Cause::invalid(format!("{path}.format"), &json!(format), &why));
        }
        // Named as in the real server's own form of a definition.
        let (json_path, path) = (text(column, "jsonPath"), format!("{path}.JSONPath"));
        if json_path.is_empty() {
            causes.push(Cause::required(path, ""));
        } else if !json_path.starts_with('.') {
            causes.push(Cause::invalid(path, &json!(json_path), FROM_THE_ROOT));
        }
    }
}

pub(super) fn selectable(version: &Value, path: &str, causes: &mut Vec<Cause>) {
    let fields = version.get("selectableFields").and_then(Value::as_array);
    let (Some(fields), Some(schema)) = (fields, schema_of(version)) else { return };
    let path = format!("{path}.selectableFields");
    if fields.len() > MOST_SELECTABLE {
        let count = u64::try_from(fields.len()).unwrap_or(u64::MAX);
        causes.push(Cause::too_many(&path, count, 8));
    }
    let mut seen = BTreeSet::new();
    for (index, field) in fields.iter().enumerate() {
        let (json_path, path) = (text(field, "jsonPath"), format!("{path}[{index}].jsonPath"));
        if json_path.is_empty() {
            causes.push(Cause::required(path, ""));
            continue;
        }
        if !seen.insert(json_path) {
            causes.push(Cause::duplicate(&path, &json!(json_path)));
            continue;
        }
        let target = is_simple_path(json_path).then(|| {
            let mut steps = json_path.split('.').skip(1);
            steps.try_fold(schema, |schema, step| schema.get("properties")?.get(step))
        });
        let why = match target {
            None if json_path.contains('[') => "is an invalid path: array notation is not allowed",
            None => "is an invalid path: only simple json paths in dot notation are allowed",
            Some(None) => "is an invalid path: does not refer to a valid field",
            Some(Some(field)) if !matches!(text(field, "type"), "string" | "boolean" | "integer") => {
                "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                 formats are allowed."
            }
            Some(Some(_)) => continue,
        };
        causes.push(Cause::invalid(path, &json!(json_path), why));
    }
}

/// A path such as `.spec.replicas`.
fn is_simple_path(path: &str) -> bool {
    let is_step = |step: &str| {
        !step.is_empty() && step.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    };
    path.strip_prefix('.').is_some_and(|steps| steps.split('.').all(is_step))
}
