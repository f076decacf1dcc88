//! How large the values of a schema can be, as the real server reckons.

use std::cell::RefCell;
use std::collections::HashMap;

use serde_json::Value;

use super::fields;
use super::types::{Object, Type};
use crate::schema::{is_true, text};

/// How large a request may be, in bytes.
const LARGEST_REQUEST: u64 = 3 * 1024 * 1024;

/// The sizes of the values of a definition's schemas, each of which is reckoned once.
#[derive(Debug, Default)]
pub(in crate::schema) struct Limits {
    shortest: RefCell<HashMap<*const Value, u64>>,
}

impl Limits {
    /// How long a text, a list or a map of a schema can be. What is neither counts as empty.
    pub(super) fn longest(&self, schema: &Value) -> u64 {
        let limit = |name: &str| number(schema, name);
        // Without what is around it.
        let longest_text = LARGEST_REQUEST.saturating_sub(2);
        let of_letters = |letters: Option<u64>| letters.map(|letters| letters.saturating_mul(4));
        if is_true(schema, "x-kubernetes-int-or-string") {
            return of_letters(limit("maxLength")).unwrap_or(longest_text);
        }
        let per = |each: u64| longest_text.checked_div(each).unwrap_or_default();
        match text(schema, "type") {
            "array" => limit("maxItems").unwrap_or_else(|| {
                per(schema.get("items").map_or(1, |item| self.shortest(item)).saturating_add(1))
            }),
            "object" => match schema.get("additionalProperties").filter(|extra| extra.is_object()) {
                Some(extra) => {
                    limit("maxProperties").unwrap_or_else(|| per(self.shortest(extra).saturating_add(6)))
                }
                None => 0,
            },
            "string" => match text(schema, "format") {
                "byte" => limit("maxLength").unwrap_or(longest_text),
                "duration" | "date-time" => 32,
                "date" => 12,
                _ => {
                    of_letters(limit("maxLength")).or_else(|| longest_choice(schema)).unwrap_or(longest_text)
                }
            },
            _ => 0,
        }
    }

    /// How many bytes a value of a schema has at least.
    fn shortest(&self, schema: &Value) -> u64 {
        let known = self.shortest.borrow().get(&std::ptr::from_ref(schema)).copied();
        known.unwrap_or_else(|| {
            let found = self.reckon(schema);
            self.shortest.borrow_mut().insert(schema, found);
            found
        })
    }

    fn reckon(&self, schema: &Value) -> u64 {
        if is_true(schema, "x-kubernetes-int-or-string") {
            return 1;
        }
        match text(schema, "type") {
            "boolean" => 4,
            "integer" | "number" => 1,
            "string" => match text(schema, "format") {
                "duration" => 3,
                "date" => 12,
                "date-time" => 21,
                _ => 2,
            },
            "object" if !schema.get("additionalProperties").is_some_and(Value::is_object) => {
                let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
                let fields = required.filter_map(Value::as_str).filter_map(|name| {
                    let field = schema.get("properties")?.get(name)?;
                    let is_needed =
                        field.get("default").is_none() && fields::of_schema(field, false, "").is_some();
                    is_needed
                        .then(|| whole(name.len()).saturating_add(self.shortest(field)).saturating_add(4))
                });
                fields.fold(2, u64::saturating_add)
            }
            _ => 2,
        }
    }

    /// How many values of a schema there can be in one request.
    pub(in crate::schema) fn most(&self, schema: &Value) -> u64 {
        LARGEST_REQUEST.checked_div(self.shortest(schema).saturating_add(1)).unwrap_or_default()
    }

    /// How long what is at a path can be; the path begins with the variable. `None` if there is no such path.
    pub(super) fn at_path(&self, root: &Value, is_whole: bool, path: &[&str]) -> Option<u64> {
        let mut at = root;
        let mut is_whole = is_whole || is_true(root, "x-kubernetes-embedded-resource");
        for name in path.iter().skip(1) {
            let is_list = !is_whole && text(at, "type") == "array";
            let extra =
                at.get("additionalProperties").filter(|extra| !is_whole && !is_list && extra.is_object());
            at = match (*name, extra) {
                ("@keys", Some(_)) => return Some(0),
                ("@items" | "@values", Some(extra)) => extra,
                ("@items" | "@values", None) if is_list => at.get("items")?,
                (_, None) if !is_list => {
                    let object = Object { schema: at, is_whole, path: "".into() };
                    match (fields::field(&object, name)?, fields::schema_of(&object, name)) {
                        (Type::String, None) => return Some(LARGEST_REQUEST.saturating_sub(2)),
                        (_, found) => found?,
                    }
                }
                _ => return None,
            };
            is_whole = is_true(at, "x-kubernetes-embedded-resource");
        }
        Some(if is_whole { 0 } else { self.longest(at) })
    }
}

fn longest_choice(schema: &Value) -> Option<u64> {
    let choices = schema.get("enum").and_then(Value::as_array).filter(|choices| !choices.is_empty())?;
    let lengths = choices.iter().filter_map(Value::as_str).map(|choice| whole(choice.len()));
    Some(lengths.max().unwrap_or_default())
}

/// By how much a schema multiplies what is below it; `None` if it does not tell.
pub(in crate::schema) fn multiple(schema: &Value) -> Option<u64> {
    match text(schema, "type") {
        "object" if schema.get("additionalProperties").is_some() => number(schema, "maxProperties"),
        "array" => number(schema, "maxItems"),
        _ => Some(1),
    }
}

fn number(schema: &Value, name: &str) -> Option<u64> {
    let value = schema.get(name)?;
    value.as_u64().or_else(|| value.as_i64().map(|_| 0))
}

fn whole(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
