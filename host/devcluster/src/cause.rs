//! Why an object is invalid, as the causes of a `Status` tell it.

use serde_json::Value;

/// One reason why an object is invalid.
#[derive(Debug, Clone)]
pub(crate) struct Cause {
    pub(crate) reason: &'static str,
    pub(crate) field: String,
    pub(crate) message: String,
}

impl Cause {
    pub(crate) fn required(field: impl Into<String>, why: &str) -> Self {
        let message = if why.is_empty() { "Required value".into() } else { format!("Required value: {why}") };
        Self { reason: "FieldValueRequired", field: field.into(), message }
    }

    pub(crate) fn invalid(field: impl Into<String>, value: &Value, why: &str) -> Self {
        Self {
            reason: "FieldValueInvalid",
            field: field.into(),
            message: format!("Invalid value: {value}: {why}"),
        }
    }

    /// A value of another type than the schema says.
    pub(crate) fn wrong_type(field: &str, found: &str, expected: &str) -> Self {
        Self {
            reason: "FieldValueTypeInvalid",
            field: field.into(),
            message: format!(
                "Invalid value: {found:?}: {field} in body must be of type {expected}: {found:?}"
            ),
        }
    }

    pub(crate) fn too_long(field: &str, most: u64) -> Self {
        let message =
            format!("Too long: may not be more than {most} {}", if most == 1 { "byte" } else { "bytes" });
        Self { reason: "FieldValueTooLong", field: field.into(), message }
    }

    pub(crate) fn too_many(field: &str, count: u64, most: u64) -> Self {
        let items = if most == 1 { "item" } else { "items" };
        let message = format!("Too many: {count}: must have at most {most} {items}");
        Self { reason: "FieldValueTooMany", field: field.into(), message }
    }

    pub(crate) fn duplicate(field: &str, value: &Value) -> Self {
        let message = format!("Duplicate value: {value}");
        Self { reason: "FieldValueDuplicate", field: field.into(), message }
    }

    pub(crate) fn not_found(field: impl Into<String>, value: &Value) -> Self {
        let message = format!("Not found: {value}");
        Self { reason: "FieldValueNotFound", field: field.into(), message }
    }

    pub(crate) fn forbidden(field: impl Into<String>, why: &str) -> Self {
        Self { reason: "FieldValueForbidden", field: field.into(), message: format!("Forbidden: {why}") }
    }

    pub(crate) fn unsupported(field: impl Into<String>, value: &Value, supported: &[Value]) -> Self {
        let quoted =
            |value: &Value| if value.is_string() { value.to_string() } else { format!("\"{value}\"") };
        let supported: Vec<String> = supported.iter().map(quoted).collect();
        Self {
            reason: "FieldValueNotSupported",
            field: field.into(),
            message: format!("Unsupported value: {value}: supported values: {}", supported.join(", ")),
        }
    }
}
