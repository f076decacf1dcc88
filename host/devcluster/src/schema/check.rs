//! Whether an object keeps to its schema. What was there before and has not changed is not judged again.

use serde_json::{Value, json};

use super::{Schema, field_schema, formats, is_true, is_type_meta, join, text};
use crate::crd::kind_in_other_case;
use crate::error::Cause;
use crate::fields::Step;
use crate::object::Json;
use crate::shape::{ListType, Shape};

impl Schema {
    /// Checks a value that may have had another state before.
    pub(super) fn check(
        &self,
        schema: &Value,
        value: &Value,
        old: Option<&Value>,
        path: &str,
        causes: &mut Vec<Cause>,
    ) {
        if old == Some(value) || (value.is_null() && is_true(schema, "nullable")) {
            return;
        }
        if !type_fits(schema, value) {
            let expected = match is_true(schema, "x-kubernetes-int-or-string") {
                true => "integer,string",
                false => text(schema, "type"),
            };
            causes.push(Cause::wrong_type(path, type_name(value), expected));
            self.check_junctors(schema, value, path, causes);
            if value.is_f64() && expected == "integer" {
                causes.push(unchecked(format!("{expected} (default format) in {path}")));
            } else {
                check_enum(schema, value, path, causes);
            }
            return;
        }
        self.check_junctors(schema, value, path, causes);
        match value {
            Value::String(string) => self.check_string(schema, string, path, causes),
            Value::Number(_) => check_number(schema, value, path, causes),
            Value::Array(items) => self.check_items(schema, items, old, path, causes),
            Value::Object(_) | Value::Null | Value::Bool(_) => {}
        }
        check_enum(schema, value, path, causes);
        if let Value::Object(map) = value {
            self.check_map(schema, map, old.and_then(Value::as_object), path, causes);
        }
    }

    fn check_string(&self, schema: &Value, string: &str, path: &str, causes: &mut Vec<Cause>) {
        let value = json!(string);
        check_count(schema, "Length", string.chars().count(), &value, path, causes);
        let pattern = text(schema, "pattern");
        if self.patterns.get(pattern).is_some_and(|regex| !regex.is_match(string)) {
            let why = format!("{path} in body should match '{pattern}'");
            causes.push(Cause::invalid(path, &value, &why));
        }
        let format = text(schema, "format");
        if !format.is_empty()
            && !is_true(schema, "x-kubernetes-int-or-string")
            && !formats::text_fits(format, string)
        {
            causes.push(Cause::wrong_type(path, string, format));
        }
    }

    fn check_items(
        &self,
        schema: &Value,
        items: &[Value],
        old: Option<&Value>,
        path: &str,
        causes: &mut Vec<Cause>,
    ) {
        check_count(schema, "Items", items.len(), &json!(items.len()), path, causes);
        let Some(item_schema) = schema.get("items") else { return };
        let old = old.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let counterparts = Counterparts::new(schema, old);
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            self.check(item_schema, item, counterparts.of(item), &path, causes);
        }
    }

    pub(super) fn check_map(
        &self,
        schema: &Value,
        map: &Json,
        old: Option<&Json>,
        path: &str,
        causes: &mut Vec<Cause>,
    ) {
        check_count(schema, "Properties", map.len(), &json!(map.len()), path, causes);
        for field in
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        {
            if !map.contains_key(field) {
                causes.push(Cause::required(join(path, field), ""));
            }
        }
        // Of the metadata of the object itself, a schema can only restrict the names.
        let is_root = path.is_empty();
        for (name, value) in map.iter().filter(|(name, _)| !(is_root && is_type_meta(name))) {
            if let Some(field) = field_schema(schema, name) {
                self.check(field, value, old.and_then(|old| old.get(name)), &join(path, name), causes);
            }
        }
        if is_root && let Some(metadata) = field_schema(schema, "metadata") {
            let names = |map: &Json| {
                let metadata = map.get("metadata").and_then(Value::as_object);
                let fields = metadata.into_iter().flatten();
                let names = fields.filter(|(name, _)| matches!(name.as_str(), "name" | "generateName"));
                Value::Object(names.map(|(name, value)| (name.clone(), value.clone())).collect())
            };
            self.check(metadata, &names(map), old.map(names).as_ref(), "metadata", causes);
        }
    }
}

/// The items of a list as it was, by the keys that tell them apart. Lists without keys have no counterparts.
pub(super) struct Counterparts<'a> {
    list: ListType,
    old: std::collections::BTreeMap<Step, &'a Value>,
}

impl<'a> Counterparts<'a> {
    pub(super) fn new(schema: &Value, old: &'a [Value]) -> Self {
        let list = Shape::Schema { schema, is_root: false }.list_type().into_owned();
        let list = if matches!(list, ListType::Map(_)) { list } else { ListType::Atomic };
        let old = old.iter().filter_map(|item| Some((Step::of_item(item, &list)?, item))).collect();
        Self { list, old }
    }

    pub(super) fn of(&self, item: &Value) -> Option<&'a Value> {
        self.old.get(&Step::of_item(item, &self.list)?).copied()
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn type_fits(schema: &Value, value: &Value) -> bool {
    if is_true(schema, "x-kubernetes-int-or-string") {
        return value.is_string() || value.is_i64() || value.is_u64();
    }
    match text(schema, "type") {
        "" => true,
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
        expected => type_name(value) == expected,
    }
}

/// Equal, where 1 and 1.0 are.
fn is_same(one: &Value, other: &Value) -> bool {
    one == other || (one.is_number() && other.is_number() && one.as_f64() == other.as_f64())
}

fn check_enum(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.iter().any(|one| is_same(one, value))
    {
        causes.push(Cause::unsupported(path, value, allowed));
    }
}

/// A number that is not of its type; such a cause is of no field.
fn unchecked(of_type: String) -> Cause {
    let message = format!("Invalid value: \"\": Checked value must be of type {of_type}");
    Cause { reason: "FieldValueInvalid", field: String::new(), message }
}

fn check_number(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let (Some(number), bound) = (value.as_f64(), |field: &str| schema.get(field).and_then(Value::as_f64))
    else {
        return;
    };
    let format = text(schema, "format");
    if !formats::number_fits(format, value) {
        let of_type = text(schema, "type");
        causes.push(unchecked(format!("{of_type} with format {format} in {path}")));
    }
    let mut refuse = |why: String| causes.push(Cause::invalid(path, value, &why));
    if let Some(step) = bound("multipleOf").filter(|step| *step > 0.0) {
        // Decimal fractions are not exact in binary: 0.07 / 0.01 is a little more than 7.
        let times = number / step;
        if (times - times.round()).abs() > 1e-9 * times.abs().max(1.0) {
            refuse(format!("{path} in body should be a multiple of {step}"));
        }
    }
    if let Some(minimum) = bound("minimum") {
        let exclusive = is_true(schema, "exclusiveMinimum");
        if number < minimum || (exclusive && number == minimum) {
            let relation = if exclusive { "greater than" } else { "greater than or equal to" };
            refuse(format!("{path} in body should be {relation} {minimum}"));
        }
    }
    if let Some(maximum) = bound("maximum") {
        let exclusive = is_true(schema, "exclusiveMaximum");
        if number > maximum || (exclusive && number == maximum) {
            let relation = if exclusive { "less than" } else { "less than or equal to" };
            refuse(format!("{path} in body should be {relation} {maximum}"));
        }
    }
}

fn check_count(schema: &Value, what: &str, count: usize, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let bound = |side: &str| schema.get(format!("{side}{what}")).and_then(Value::as_u64);
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    if let Some(minimum) = bound("min").filter(|minimum| count < *minimum) {
        let why = match what {
            "Length" => format!("{path} in body should be at least {minimum} chars long"),
            "Items" => format!("{path} in body should have at least {minimum} items"),
            _ => format!("{path} in body should have at least {minimum} properties"),
        };
        causes.push(Cause::invalid(path, value, &why));
    }
    if let Some(maximum) = bound("max").filter(|maximum| count > *maximum) {
        causes.push(match what {
            "Length" => Cause::too_long(path, maximum),
            _ => Cause::too_many(path, count, maximum),
        });
    }
}

/// The items of sets, and the keys of lists that are maps, must differ.
pub(super) fn duplicates(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    match value {
        Value::Array(items) => {
            let list = Shape::Schema { schema, is_root: false }.list_type();
            let mut seen = std::collections::BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                if matches!(*list, ListType::Map(_)) && !item.is_object() {
                    let why = "must be an object for an array of list-type map";
                    causes.push(Cause::invalid(&path, item, why));
                }
                if let Some(step) = Step::of_item(item, &list)
                    && !seen.insert(step)
                {
                    causes.push(Cause::duplicate(&path, &duplicate_shown(item, &list)));
                }
                if let Some(schema) = schema.get("items") {
                    duplicates(schema, item, &path, causes);
                }
            }
        }
        Value::Object(map) => {
            for (name, value) in map.iter().filter(|(name, _)| !(path.is_empty() && is_type_meta(name))) {
                if let Some(schema) = field_schema(schema, name) {
                    duplicates(schema, value, &join(path, name), causes);
                }
            }
        }
        _ => {}
    }
}

/// Of an item of a list that is a map, its keys are what is there twice.
fn duplicate_shown(item: &Value, list: &ListType) -> Value {
    match list {
        ListType::Map(keys) => {
            let key = |name: &String| Some((name.clone(), item.get(name)?.clone()));
            Value::Object(keys.iter().filter_map(|(name, _)| key(name)).collect())
        }
        _ => item.clone(),
    }
}

/// Objects within the object have a kind, a version and metadata as any object.
pub(super) fn embedded(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    match value {
        Value::Array(items) => {
            let Some(schema) = schema.get("items") else { return };
            for (index, item) in items.iter().enumerate() {
                embedded(schema, item, &format!("{path}[{index}]"), causes);
            }
        }
        Value::Object(map) => {
            if is_true(schema, "x-kubernetes-embedded-resource") {
                for field in ["apiVersion", "kind"] {
                    if map.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
                        causes.push(Cause::required(join(path, field), ""));
                    }
                }
                let (version, kind) = (text(value, "apiVersion"), text(value, "kind"));
                if version.split('/').count() > 2 {
                    let why = format!("unexpected GroupVersion string: {version}");
                    causes.push(Cause::invalid(join(path, "apiVersion"), &json!(version), &why));
                }
                causes.extend(kind_in_other_case(kind, &join(path, "kind")));
                for mut cause in crate::validate::embedded_metadata(map) {
                    cause.field = join(path, &cause.field);
                    causes.push(cause);
                }
            }
            for (name, value) in map.iter().filter(|(name, _)| !(path.is_empty() && is_type_meta(name))) {
                if let Some(schema) = field_schema(schema, name) {
                    embedded(schema, value, &join(path, name), causes);
                }
            }
        }
        _ => {}
    }
}
