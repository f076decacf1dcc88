//! Formats that a schema names and nobody knows: a cluster takes them, and warns.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{text, versions};
use crate::object::Json;

const TEXTS: &[&str] = &[
    "bsonobjectid",
    "byte",
    "cidr",
    "creditcard",
    "date",
    "date-time",
    "datetime",
    "duration",
    "email",
    "hexcolor",
    "hostname",
    "ipv4",
    "ipv6",
    "isbn",
    "isbn10",
    "isbn13",
    "k8s-long-name",
    "k8s-short-name",
    "mac",
    "password",
    "rgbcolor",
    "ssn",
    "uri",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
];

/// The warnings of a definition, but for those that its state before had.
pub(crate) fn warnings(definition: &Json, old: Option<&Json>) -> Vec<String> {
    if old.is_some_and(|old| old.get("spec") == definition.get("spec")) {
        return Vec::new();
    }
    let before = old.map(unknown).unwrap_or_default();
    let new = unknown(definition).into_iter().filter(|format| !before.contains(format));
    new.map(|format| format!("unrecognized format {format:?}")).collect()
}

fn unknown(definition: &Json) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for version in versions(definition) {
        if let Some(schema) = version.pointer("/schema/openAPIV3Schema") {
            walk(schema, &mut found);
        }
    }
    found
}

fn walk<'a>(schema: &'a Value, found: &mut BTreeSet<&'a str>) {
    let format = text(schema, "format");
    let is_known = match text(schema, "type") {
        _ if format.is_empty() => true,
        "string" => TEXTS.contains(&format),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => true,
    };
    if !is_known {
        found.insert(format);
    }
    let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    fields.for_each(|(_, field)| walk(field, found));
    for part in ["items", "additionalProperties"].iter().filter_map(|part| schema.get(part)) {
        walk(part, found);
    }
}
