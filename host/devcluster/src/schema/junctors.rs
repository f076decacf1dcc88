//! `allOf`, `anyOf`, `oneOf` and `not`: schemas within a schema that a value keeps to, too.
//!
//! What is refused is so in the words of kube-openapi's validation, and with what is wrong by the alternative that fits
//! best.

use serde_json::Value;

use super::Schema;
use crate::error::Cause;

impl Schema {
    pub(super) fn check_junctors(&self, schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
        let problems = |schema: &Value| {
            let mut inner = Vec::new();
            self.check(schema, value, None, path, &mut inner);
            inner
        };
        let each = |field: &str| -> Option<Vec<Vec<Cause>>> {
            let parts = schema.get(field).and_then(Value::as_array).filter(|parts| !parts.is_empty())?;
            Some(parts.iter().map(problems).collect())
        };
        if let Some(parts) = each("anyOf")
            && !parts.iter().any(Vec::is_empty)
        {
            causes.push(composite(path, "validate at least one schema (anyOf)"));
            causes.extend(best(parts));
        }
        if let Some(parts) = each("oneOf") {
            match parts.iter().filter(|problems| problems.is_empty()).count() {
                1 => {}
                0 => {
                    let why = "validate one and only one schema (oneOf). Found none valid";
                    causes.push(composite(path, why));
                    causes.extend(best(parts));
                }
                count => {
                    let why = "validate one and only one schema (oneOf). Found";
                    causes.push(composite(path, &format!("{why} {count} valid alternatives")));
                }
            }
        }
        if let Some(parts) = each("allOf") {
            let broken = parts.iter().filter(|problems| !problems.is_empty()).count();
            let none = if broken == parts.len() { ". None validated" } else { "" };
            causes.extend(parts.into_iter().flatten());
            if broken > 0 {
                causes.push(composite(path, &format!("validate all the schemas (allOf){none}")));
            }
        }
        if schema.get("not").is_some_and(|schema| problems(schema).is_empty()) {
            causes.push(composite(path, "not validate the schema (not)"));
        }
    }
}

/// What is wrong by the alternative that is told, the first.
fn best(parts: Vec<Vec<Cause>>) -> Vec<Cause> {
    parts.into_iter().next().unwrap_or_default()
}

/// Such a cause is of no field.
fn composite(path: &str, what: &str) -> Cause {
    let message = format!("Invalid value: \"\": \"{path}\" must {what}");
    Cause { reason: "FieldValueInvalid", field: String::new(), message }
}
