//! What a definition is refused for.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{is_true, structural, text, versions};
use crate::builtin;
use crate::error::{ApiError, Cause};
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::validate::is_label;

const MOST_SELECTABLE: usize = 8;
const COLUMN_TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];

/// Checks a definition that is to be stored. One whose spec is as before has passed already.
pub(crate) fn validate(kind: &Kind, definition: &Json, old: Option<&Json>) -> Result<(), ApiError> {
    if old.is_some_and(|old| old.get("spec") == definition.get("spec")) {
        return Ok(());
    }
    let mut causes = Vec::new();
    names(definition, &mut causes);
    if let Some(old) = old {
        immutable(definition, old, &mut causes);
    }
    for (index, version) in versions(definition).iter().enumerate() {
        check_version(version, &format!("spec.versions[{index}]"), &mut causes);
    }
    whole(definition, &mut causes);
    match causes.is_empty() {
        true => Ok(()),
        false => Err(ApiError::invalid(kind, object::name(definition), &causes)),
    }
}

fn names(definition: &Json, causes: &mut Vec<Cause>) {
    let spec = |path: &[&str]| object::text(definition, &[&["spec"], path].concat()).to_owned();
    let (group, plural, name) = (spec(&["group"]), spec(&["names", "plural"]), object::name(definition));
    if name != format!("{plural}.{group}") {
        let why = "must be spec.names.plural+\".\"+spec.group";
        causes.push(Cause::invalid("metadata.name", &json!(name), why));
    }
    if builtin::kinds().iter().any(|kind| kind.is(&group, &plural)) {
        causes.push(Cause::invalid("metadata.name", &json!(name), "is a resource of the server itself"));
    }
    let kind = spec(&["names", "kind"]);
    for (field, value) in [
        ("spec.group", &group),
        ("spec.names.plural", &plural),
        ("spec.names.kind", &kind),
        ("spec.scope", &spec(&["scope"])),
    ] {
        if value.is_empty() {
            causes.push(Cause::required(field, ""));
        }
    }
    if !group.is_empty() && group.split('.').count() < 2 {
        causes.push(Cause::invalid("spec.group", &json!(group), "should be a domain with at least one dot"));
    }
    let label = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                 alphabetic character, and end with an alphanumeric character";
    for (field, value) in [
        ("plural", plural),
        ("singular", spec(&["names", "singular"])),
        ("kind", kind.to_lowercase()),
        ("listKind", spec(&["names", "listKind"]).to_lowercase()),
    ] {
        if !value.is_empty() && !is_dns_1035(&value) {
            causes.push(Cause::invalid(format!("spec.names.{field}"), &json!(value), label));
        }
    }
    if !kind.is_empty() && kind == spec(&["names", "listKind"]) {
        causes.push(Cause::invalid(
            "spec.names.listKind",
            &json!(kind),
            "kind and listKind may not be the same",
        ));
    }
    let scope = spec(&["scope"]);
    if !scope.is_empty() && scope != "Cluster" && scope != "Namespaced" {
        causes.push(Cause::unsupported(
            "spec.scope",
            &json!(scope),
            &[json!("Cluster"), json!("Namespaced")],
        ));
    }
}

fn is_dns_1035(text: &str) -> bool {
    is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

/// What may not change, and versions that may not go while objects may be stored in them.
fn immutable(definition: &Json, old: &Json, causes: &mut Vec<Cause>) {
    let fixed: &[&[&str]] = match super::is_established(old) {
        true => &[&["spec", "group"], &["spec", "scope"], &["spec", "names", "kind"]],
        false => &[&["spec", "group"]],
    };
    for path in fixed {
        let (now, before) = (object::text(definition, path), object::text(old, path));
        if now != before {
            causes.push(Cause::invalid(path.join("."), &json!(now), "field is immutable"));
        }
    }
    let stored = object::at(old, &["status", "storedVersions"]).and_then(Value::as_array);
    for (index, version) in stored.into_iter().flatten().enumerate() {
        if !versions(definition).iter().any(|one| one.get("name") == Some(version)) {
            let field = format!("status.storedVersions[{index}]");
            let why = "missing from spec.versions; if there may be objects in this version, migrate them first, \
                       then update status.storedVersions";
            causes.push(Cause::invalid(field, version, why));
        }
    }
}

/// What concerns the versions together.
fn whole(definition: &Json, causes: &mut Vec<Cause>) {
    if object::at(definition, &["spec", "preserveUnknownFields"]) == Some(&json!(true)) {
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
                   spec.versions[*].schema instead";
        causes.push(Cause::invalid("spec.preserveUnknownFields", &json!(true), why));
    }
    let strategy = object::text(definition, &["spec", "conversion", "strategy"]);
    if strategy != "None" {
        let why = "conversion webhooks are not served by the development cluster: use strategy None";
        causes.push(Cause::invalid("spec.conversion.strategy", &json!(strategy), why));
    }
    let versions = versions(definition);
    if versions.is_empty() {
        causes.push(Cause::required("spec.versions", "must have at least one version"));
        return;
    }
    let shown: Vec<&str> = versions.iter().map(|version| text(version, "name")).collect();
    let unique: BTreeSet<&&str> = shown.iter().collect();
    if unique.len() != shown.len() {
        causes.push(Cause::invalid("spec.versions", &json!(shown), "must contain unique version names"));
    }
    if versions.iter().filter(|version| is_true(version, "storage")).count() != 1 {
        let why = "must have exactly one version marked as storage version";
        causes.push(Cause::invalid("spec.versions", &json!(shown), why));
    }
}

fn check_version(version: &Value, path: &str, causes: &mut Vec<Cause>) {
    let name = text(version, "name");
    if !is_dns_1035(name) {
        let why = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                   alphabetic character, and end with an alphanumeric character";
        causes.push(Cause::invalid(format!("{path}.name"), &json!(name), why));
    }
    let warning = text(version, "deprecationWarning");
    if !warning.is_empty() && !is_true(version, "deprecated") {
        let why = "can only be set for deprecated versions";
        causes.push(Cause::invalid(format!("{path}.deprecationWarning"), &json!(warning), why));
    }
    if warning.len() > 256 {
        causes.push(Cause::too_long(&format!("{path}.deprecationWarning"), 256));
    }
    let schema = version.get("schema").and_then(|schema| schema.get("openAPIV3Schema"));
    match schema.filter(|schema| schema.is_object()) {
        Some(schema) => {
            structural::check(schema, &format!("{path}.schema.openAPIV3Schema"), causes);
            selectable(version, schema, path, causes);
        }
        None => {
            let path = format!("{path}.schema.openAPIV3Schema");
            causes.push(Cause::required(path, "schemas are required"));
        }
    }
    scale(version, &format!("{path}.subresources.scale"), causes);
    columns(version, path, causes);
}

fn scale(version: &Value, path: &str, causes: &mut Vec<Cause>) {
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
        } else if !is_simple_path(found) {
            causes.push(Cause::invalid(path, &json!(found), "must be a simple json path in dot notation"));
        } else if !roots.iter().any(|root| found.starts_with(root)) {
            let why = match roots {
                [one] => format!("should be a json path under {}", one.trim_end_matches('.')),
                _ => "should be a json path under either .spec or .status".to_owned(),
            };
            causes.push(Cause::invalid(path, &json!(found), &why));
        }
    }
}

fn columns(version: &Value, path: &str, causes: &mut Vec<Cause>) {
    let columns = version.get("additionalPrinterColumns").and_then(Value::as_array);
    for (index, column) in columns.into_iter().flatten().enumerate() {
        let path = format!("{path}.additionalPrinterColumns[{index}]");
        for field in ["name", "type", "jsonPath"] {
            if text(column, field).is_empty() {
                causes.push(Cause::required(format!("{path}.{field}"), ""));
            }
        }
        let of_type = text(column, "type");
        if !of_type.is_empty() && !COLUMN_TYPES.contains(&of_type) {
            let why = format!("must be one of {}", COLUMN_TYPES.join(","));
            causes.push(Cause::invalid(format!("{path}.type"), &json!(of_type), &why));
        }
    }
}

fn selectable(version: &Value, schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let Some(fields) = version.get("selectableFields").and_then(Value::as_array) else { return };
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
            None => "is an invalid path: only simple json paths in dot notation are allowed",
            Some(_) if json_path.starts_with(".metadata") => "must not point to fields in metadata",
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
