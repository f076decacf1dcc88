//! The `Table` form of objects, which is what `kubectl get` prints.

mod builtin;
mod columns;
mod event;
mod json_path;
mod network;
mod pod;
mod setup;
mod storage;
mod text;
mod workload;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::kind::Kind;
use crate::list;
use crate::object::{self, Json};

/// What a row carries beside its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Include {
    None,
    #[default]
    Metadata,
    Object,
}

/// One column: name, type, format, priority (0 is always shown).
struct Column {
    name: String,
    of_type: String,
    format: &'static str,
    priority: i64,
}

impl Column {
    fn new(name: &str, of_type: &str, priority: i64) -> Self {
        let format = if name == "Name" { "name" } else { "" };
        Self { name: name.to_owned(), of_type: of_type.to_owned(), format, priority }
    }
}

/// The table of these objects, serialised.
pub(crate) fn table<'a>(
    kind: &Kind,
    objects: impl Iterator<Item = &'a Json>,
    metadata: &Value,
    include: Include,
) -> Bytes {
    with_columns(kind, &definitions(kind), objects, metadata, include)
}

/// As [`table`], for a reader who has been told of the columns.
pub(crate) fn more<'a>(
    kind: &Kind,
    objects: impl Iterator<Item = &'a Json>,
    metadata: &Value,
    include: Include,
) -> Bytes {
    with_columns(kind, &Value::Null, objects, metadata, include)
}

fn definitions(kind: &Kind) -> Value {
    let definition = |column: &Column| {
        json!({ "name": column.name, "type": column.of_type, "format": column.format,
            "description": "", "priority": column.priority })
    };
    columns(kind).iter().map(definition).collect()
}

fn with_columns<'a>(
    kind: &Kind,
    columns: &Value,
    objects: impl Iterator<Item = &'a Json>,
    metadata: &Value,
    include: Include,
) -> Bytes {
    let head = json!({ "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": columns });
    let mut text = head.to_string().into_bytes();
    text.pop();
    text.extend_from_slice(b",\"rows\":[");
    for (index, json) in objects.enumerate() {
        if index > 0 {
            text.push(b',');
        }
        text.extend_from_slice(b"{\"cells\":");
        text.extend_from_slice(Value::Array(cells(kind, json)).to_string().as_bytes());
        text.extend_from_slice(b",\"object\":");
        match include {
            Include::None => text.extend_from_slice(b"null"),
            Include::Metadata => text.extend_from_slice(&list::metadata_only(json)),
            Include::Object => text.extend_from_slice(&object::to_bytes(json)),
        }
        text.push(b'}');
    }
    text.extend_from_slice(b"]}");
    Bytes::from(text)
}

fn columns(kind: &Kind) -> Vec<Column> {
    let Some(custom) = &kind.custom else { return columns::of(kind) };
    if custom.columns.is_empty() {
        return vec![Column::new("Name", "string", 0), Column::new("Age", "date", 0)];
    }
    let mut columns = vec![Column::new("Name", "string", 0)];
    columns.extend(custom.columns.iter().map(|column| {
        let text = |field: &str| column.get(field).and_then(Value::as_str).unwrap_or_default();
        let priority = column.get("priority").and_then(Value::as_i64).unwrap_or(0);
        Column::new(text("name"), text("type"), priority)
    }));
    columns
}

fn cells(kind: &Kind, json: &Json) -> Vec<Value> {
    let Some(custom) = kind.custom.as_ref().filter(|custom| !custom.columns.is_empty()) else {
        return builtin::row(kind, json);
    };
    let mut cells = vec![Value::from(object::name(json))];
    let root = Value::Object(json.clone());
    cells.extend(custom.columns.iter().map(|column| custom_cell(column, &root)));
    cells
}

fn custom_cell(column: &Value, root: &Value) -> Value {
    let path = column.get("jsonPath").and_then(Value::as_str).unwrap_or_default();
    let Some(value) = json_path::find(root, path) else { return Value::Null };
    match (column.get("type").and_then(Value::as_str).unwrap_or_default(), value) {
        ("integer", Value::Number(number)) => text::whole(number),
        ("number", Value::Number(number)) => json!(text::shortest(number)),
        ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(stamp)) if stamp.parse::<jiff::Timestamp>().is_err() => json!("<invalid>"),
        ("date", Value::String(stamp)) => json!(text::age_of(stamp)),
        // A value of another type is none.
        ("integer" | "number" | "boolean" | "date", _) => Value::Null,
        (_, Value::String(text)) => json!(text),
        (_, Value::Number(number)) => json!(text::shortest(number).to_string()),
        (_, Value::Null) => json!("<no value>"),
        (_, other) => json!(other.to_string()),
    }
}
