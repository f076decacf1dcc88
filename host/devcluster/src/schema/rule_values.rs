//! How values look to the rules of a schema: field names that are no identifiers are escaped, and texts of
//! some formats are points in time, durations or bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{Context, ExecutionError, Value as CelValue};
use serde_json::Value;

use super::{field_schema, is_true, text};
use crate::fields::Step;
use crate::object::Json;
use crate::shape::Shape;

/// Words of the language that fields may have as names, and that an expression can select as they are.
const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "namespace",
    "package",
    "return",
    "var",
    "void",
    "while",
];
/// Those that it cannot.
const LITERAL: &[&str] = &["false", "in", "null", "true"];

/// The name that rules have for a field, which is the only one unless it is one of the reserved words.
pub(super) fn escape(name: &str) -> String {
    if RESERVED.contains(&name) || LITERAL.contains(&name) {
        return format!("__{name}__");
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}

/// Whether a name in an expression means a field.
pub(super) fn means(name: &str, field: &str) -> bool {
    (name == field && RESERVED.contains(&field)) || escape(field) == name
}

/// A value as it was before, with what has no order in the order that it has now: sets, and lists that are maps.
/// So they are equal if the same is in them.
pub(super) fn aligned(old: &Value, new: &Value, schema: &Value) -> Value {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let aligned = old.iter().map(|(name, value)| {
                let schema = field_schema(schema, name).unwrap_or(&Value::Null);
                let value = new.get(name).map_or_else(|| value.clone(), |new| aligned(value, new, schema));
                (name.clone(), value)
            });
            Value::Object(aligned.collect())
        }
        (Value::Array(old), Value::Array(new)) => aligned_list(old, new, schema),
        _ => old.clone(),
    }
}

fn aligned_list(old: &[Value], new: &[Value], schema: &Value) -> Value {
    let list = Shape::Schema { schema, is_root: false }.list_type();
    let key = |item: &Value| Step::of_item(item, &list);
    let places: BTreeMap<Step, usize> =
        new.iter().enumerate().filter_map(|(place, item)| Some((key(item)?, place))).collect();
    if places.is_empty() {
        return Value::Array(old.to_vec());
    }
    let items = schema.get("items").unwrap_or(&Value::Null);
    let mut placed: Vec<(usize, Value)> = old
        .iter()
        .map(|item| {
            match key(item).and_then(|key| Some((*places.get(&key)?, new.get(*places.get(&key)?)?))) {
                Some((place, new)) => (place, aligned(item, new, items)),
                None => (usize::MAX, item.clone()),
            }
        })
        .collect();
    // Unless they have the same, nothing is gained by another order.
    if placed.len() == new.len() && placed.iter().all(|(place, _)| *place != usize::MAX) {
        placed.sort_by_key(|(place, _)| *place);
    }
    Value::Array(placed.into_iter().map(|(_, item)| item).collect())
}

/// A value as the rules see it.
pub(super) fn convert(value: &Value, schema: &Value, is_root: bool) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(value) => CelValue::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) if text(schema, "type") != "number" => CelValue::Int(integer),
            (None, Some(integer)) if text(schema, "type") != "number" => CelValue::UInt(integer),
            _ => CelValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(value) => convert_text(value, schema),
        Value::Array(items) => {
            let schema = schema.get("items").unwrap_or(&Value::Null);
            CelValue::List(Arc::new(items.iter().map(|item| convert(item, schema, false)).collect()))
        }
        Value::Object(map) => {
            let is_object = is_root || is_true(schema, "x-kubernetes-embedded-resource");
            convert_map(map, schema, is_object)
        }
    }
}

fn convert_map(map: &Json, schema: &Value, is_object: bool) -> CelValue {
    // The keys of a map are data, and are not escaped.
    let is_map = schema.get("additionalProperties").is_some_and(|extra| extra != &Value::Bool(false));
    let mut converted = HashMap::with_capacity(map.len());
    // A field that is null is absent; a null in a map is there.
    for (name, value) in map.iter().filter(|(_, value)| is_map || !value.is_null()) {
        let value = match name.as_str() {
            // Of the metadata, rules only see the names.
            "metadata" if is_object => {
                let fields = value.as_object().into_iter().flatten();
                let names = fields.filter(|(name, _)| matches!(name.as_str(), "name" | "generateName"));
                let names = names.map(|(name, value)| (name.clone(), value.clone())).collect();
                convert(&Value::Object(names), &Value::Null, false)
            }
            _ => convert(value, field_schema(schema, name).unwrap_or(&Value::Null), false),
        };
        if !is_map && RESERVED.contains(&name.as_str()) {
            converted.insert(Key::String(Arc::new(name.clone())), value.clone());
        }
        let name = if is_map { name.clone() } else { escape(name) };
        converted.insert(Key::String(Arc::new(name)), value);
    }
    CelValue::Map(Map { map: Arc::new(converted) })
}

fn convert_text(value: &str, schema: &Value) -> CelValue {
    let is_mixed = is_true(schema, "x-kubernetes-int-or-string");
    let converted = match text(schema, "format") {
        _ if is_mixed => None,
        "date-time" => chrono::DateTime::parse_from_rfc3339(value).ok().map(CelValue::Timestamp),
        "date" => {
            let start = format!("{value}T00:00:00Z");
            chrono::DateTime::parse_from_rfc3339(&start).ok().map(CelValue::Timestamp)
        }
        "duration" => duration(value).map(CelValue::Duration),
        "byte" => STANDARD.decode(value).ok().map(|bytes| CelValue::Bytes(Arc::new(bytes))),
        _ => None,
    };
    converted.unwrap_or_else(|| CelValue::String(Arc::new(value.to_owned())))
}

/// A duration as Go writes it, such as `1h30m`.
pub(super) fn duration(text: &str) -> Option<chrono::Duration> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut total = chrono::Duration::zero();
    if rest == "0" {
        return Some(total);
    }
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(number_end)?;
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_end)?;
        let nanos: i64 = match unit {
            "ns" => 1,
            // The sign of micro is written in two ways.
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let whole = if whole.is_empty() { 0 } else { whole.parse::<i64>().ok()? };
        let mut part = whole.checked_mul(nanos)?;
        let mut place = nanos;
        for digit in fraction.chars() {
            place = place.checked_div(10)?;
            part = part.checked_add(place.checked_mul(digit.to_digit(10)?.into())?)?;
        }
        total = total.checked_add(&chrono::Duration::nanoseconds(part))?;
        rest = after;
    }
    total.checked_mul(sign)
}

/// What `type(x)` gives, and what it is compared with: the crate that evaluates rules has no types as values,
/// so that their names stand for them.
pub(super) fn add_types(context: &mut Context<'_>) {
    context.add_function("type", |value: CelValue| -> Result<CelValue, ExecutionError> {
        let name = match value.type_of().to_string().as_str() {
            "float" => "double".to_owned(),
            "null" => "null_type".to_owned(),
            other => other.to_owned(),
        };
        Ok(CelValue::String(Arc::new(name)))
    });
    for name in ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "uint"] {
        context.add_variable_from_value(name, CelValue::String(Arc::new(name.to_owned())));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_that_are_no_identifiers_are_escaped() {
        for (name, escaped) in [
            ("foo_bar", "foo_bar"),
            ("namespace", "__namespace__"),
            ("a.b-c/d", "a__dot__b__dash__c__slash__d"),
            ("a__b", "a__underscores__b"),
        ] {
            assert_eq!(escape(name), escaped);
            assert!(means(escaped, name), "{name}");
        }
        assert!(means("namespace", "namespace"));
        assert!(!means("true", "true") && !means("a.b", "a.b"));
    }

    #[test]
    fn what_has_no_order_is_as_it_was_in_the_order_that_it_has_now() {
        let schema = json!({ "properties": {
            "set": { "type": "array", "x-kubernetes-list-type": "set", "items": { "type": "string" } },
            "list": { "type": "array", "items": { "type": "string" } },
            "map": { "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                "items": { "type": "object", "properties": { "k": { "type": "string" } } } } } });
        let old =
            json!({ "set": ["a", "b"], "list": ["a", "b"], "map": [{ "k": "a", "v": 1 }, { "k": "b" }] });
        let new =
            json!({ "set": ["b", "a"], "list": ["b", "a"], "map": [{ "k": "b" }, { "k": "a", "v": 2 }] });
        let expected =
            json!({ "set": ["b", "a"], "list": ["a", "b"], "map": [{ "k": "b" }, { "k": "a", "v": 1 }] });
        assert_eq!(aligned(&old, &new, &schema), expected);
        let more = json!({ "set": ["c", "b", "a"] });
        assert_eq!(aligned(&old, &more, &schema), old);
    }

    #[test]
    fn durations_add_up_their_parts() {
        assert_eq!(duration("1h30m").map(|d| d.num_seconds()), Some(5400));
        assert_eq!(duration("-1.5s").map(|d| d.num_milliseconds()), Some(-1500));
        assert_eq!(duration("2 days"), None);
    }
}
