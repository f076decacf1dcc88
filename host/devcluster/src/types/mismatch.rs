//! A value that does not fit its type, and how the ways into the real server say so.

use std::fmt;

use serde_json::Value;

use super::{Type, struct_of};
use crate::go;

/// A position in an object, as a list from the end to the root.
#[derive(Clone, Copy)]
pub(crate) enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    /// A value of a map by its key.
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

/// `spec.containers[0].name`
impl fmt::Display for Path<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Path::Root, name) => write!(out, "{name}"),
            Self::Field(parent, name) | Self::Key(parent, name) => write!(out, "{parent}.{name}"),
            Self::Index(parent, index) => write!(out, "{parent}[{index}]"),
        }
    }
}

impl Path<'_> {
    /// The path without the indices of lists and the keys of maps, as Go's JSON decoder tells it.
    fn of_fields(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Field(parent, name) => match parent.of_fields() {
                parent if parent.is_empty() => (*name).to_owned(),
                parent => format!("{parent}.{name}"),
            },
            Self::Index(parent, _) | Self::Key(parent, _) => parent.of_fields(),
        }
    }
}

/// The first value of an object that does not fit.
#[derive(Debug)]
pub(crate) struct Mismatch {
    /// What a parser of text says; empty for a value of another type.
    syntax: String,
    /// The struct and the path of the field, as Go tells them.
    field: String,
    expected: String,
    is_parsed: bool,
    found: Value,
}

impl Mismatch {
    pub(super) fn new(of_type: &Type, found: &Value, owner: &str, path: &Path<'_>, syntax: String) -> Self {
        Self {
            syntax,
            field: format!("{owner}.{}", path.of_fields()),
            expected: go_type(of_type),
            is_parsed: matches!(of_type, Type::IntOrString | Type::Time | Type::MicroTime),
            found: found.clone(),
        }
    }

    /// As Go's JSON decoder says it.
    pub(crate) fn in_json(&self) -> String {
        let Self { field, expected, .. } = self;
        match self.syntax.as_str() {
            "" => format!(
                "json: cannot unmarshal {} into Go struct field {field} of type {expected}",
                self.json_type()
            ),
            syntax => syntax.to_owned(),
        }
    }

    /// As the conversion of a map to a struct says it, which a strategic merge patch ends with.
    pub(crate) fn in_map(&self) -> String {
        let expected = self.expected.as_str();
        if !self.syntax.is_empty() {
            return self.syntax.clone();
        }
        if self.is_parsed {
            return format!("json: cannot unmarshal {} into Go value of type {expected}", self.json_type());
        }
        let found = match &self.found {
            Value::Number(number) if number.is_f64() => "float64",
            Value::Number(_) => "int64",
            Value::Bool(_) => "bool",
            Value::String(_) => "string",
            Value::Array(_) => "slice",
            Value::Object(_) | Value::Null => "map",
        };
        match expected {
            _ if expected.starts_with("[]") => format!("cannot restore slice from {found}"),
            _ if expected.starts_with("map[") => format!("cannot restore map from {found}"),
            "string" | "int32" | "int64" | "float64" if self.found.is_number() => {
                format!("cannot convert {found} to {expected}")
            }
            "string" | "int32" | "int64" | "float64" | "bool" => format!("unrecognized type: {expected}"),
            _ => format!("cannot restore struct from: {found}"),
        }
    }

    fn json_type(&self) -> String {
        match &self.found {
            Value::Number(number) if self.expected.starts_with("int") => format!("number {number}"),
            Value::Number(_) => "number".to_owned(),
            Value::Bool(_) => "bool".to_owned(),
            Value::String(_) => "string".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) | Value::Null => "object".to_owned(),
        }
    }
}

/// What server-side apply says of an applied value that is of another type, if it is.
pub(crate) fn applied_problem(of_type: &Type, value: &Value) -> Option<String> {
    let expected = match of_type {
        Type::Text | Type::Bytes | Type::Time | Type::MicroTime => "string",
        Type::Bool => "boolean",
        Type::Int32 | Type::Int64 | Type::Number => "number",
        Type::List(_) => "array",
        Type::Map(_) | Type::Struct(_) => "object",
        Type::Quantity | Type::IntOrString | Type::Union { .. } | Type::Free => return None,
    };
    schema_problem(expected, value)
}

/// As [`applied_problem`], for a type as a schema names it.
pub(crate) fn schema_problem(expected: &str, value: &Value) -> Option<String> {
    let given = || format!("got &{{{}}}", go::plain(value));
    match expected {
        _ if value.is_null() => None,
        "integer" | "number" if !value.is_number() => {
            Some(format!("expected numeric (int or float), got {}", go::type_of(value)))
        }
        "string" if !value.is_string() => {
            Some(format!("expected string, got &value.valueUnstructured{{Value:{}}}", go::syntax(value)))
        }
        "boolean" if !value.is_boolean() => Some(format!("expected boolean, {}", given())),
        "array" if !value.is_array() => Some(format!("expected list, {}", given())),
        "object" if !value.is_object() => Some(format!("expected map, {}", given())),
        _ => None,
    }
}

/// The name that Go has for a type.
fn go_type(of_type: &Type) -> String {
    match of_type {
        Type::Text | Type::Time | Type::MicroTime => "string".to_owned(),
        Type::Bytes => "[]uint8".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::Int32 | Type::IntOrString => "int32".to_owned(),
        Type::Int64 => "int64".to_owned(),
        Type::Number => "float64".to_owned(),
        Type::Quantity => "resource.Quantity".to_owned(),
        Type::List(item) => format!("[]{}", element_type(item)),
        Type::Map(value) => format!("map[string]{}", element_type(value)),
        Type::Struct(_) | Type::Union { .. } => {
            struct_of(of_type).map(super::Struct::go_name).unwrap_or_default()
        }
        Type::Free => "interface {}".to_owned(),
    }
}

/// As [`go_type`], where it is not yet parsed.
fn element_type(of_type: &Type) -> String {
    match of_type {
        Type::IntOrString => "intstr.IntOrString".to_owned(),
        Type::Time => "v1.Time".to_owned(),
        Type::MicroTime => "v1.MicroTime".to_owned(),
        other => go_type(other),
    }
}
