//! Holds an object to its type in one pass, as a server does that decodes into structs and encodes them again: unknown
//! fields go, a null reads as absent, as does a zero that says nothing, what is always written is there, each quantity and
//! each time is written in its one form, and what cannot be decoded is an error.
//!
//! What two clients mean alike is the same JSON thereafter, however each of them wrote it.

use serde_json::Value;

use super::mismatch::{Mismatch, Path};
use super::{Struct, Type, quantity, scalar, struct_of};
use crate::object::Json;
use crate::strict::StrictErrors;

/// What decoding came upon.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The unknown fields, which are gone.
    pub(crate) unknown: StrictErrors,
    /// The first value that does not fit.
    pub(crate) mismatch: Option<Mismatch>,
}

impl Findings {
    pub(crate) fn is_empty(&self) -> bool {
        self.unknown.is_empty() && self.mismatch.is_none()
    }
}

/// Takes out what the type does not know, which is added to `unknown`, and finds what does not fit. In what was a map
/// rather than text, an integer may be a float.
pub(crate) fn decode(of_type: &Type, json: &mut Json, unknown: StrictErrors, is_map: bool) -> Findings {
    let mut decoder = Decoder { findings: Findings { unknown, mismatch: None }, is_map };
    if let Some(root) = struct_of(of_type) {
        decoder.fields(root, json, &Path::Root);
    }
    decoder.findings
}

/// What an object of the type has from the beginning.
pub(crate) fn empty(of_type: &Type) -> Json {
    let mut map = Json::new();
    if let Some(owner) = struct_of(of_type) {
        fill(owner, &mut map);
    }
    map
}

/// Adds what is always written, and is not there.
fn fill(owner: &'static Struct, map: &mut Json) {
    for field in owner.fields.iter().filter(|field| field.is_always_written) {
        if !map.contains_key(&field.name) {
            map.insert(field.name.clone(), zero(&field.value));
        }
    }
}

struct Decoder {
    findings: Findings,
    is_map: bool,
}

impl Decoder {
    fn fields(&mut self, owner: &'static Struct, map: &mut Json, path: &Path<'_>) {
        map.retain(|name, value| {
            let path = Path::Field(path, name);
            match owner.field(name) {
                Some(field) => {
                    !value.is_null()
                        && self.value(&field.value, value, owner, &path)
                        && !(field.has_no_zero && is_zero(value))
                }
                None => {
                    self.findings.unknown.add(format_args!("unknown field \"{path}\""));
                    false
                }
            }
        });
        fill(owner, map);
    }

    /// Looks at one value; whether it fits.
    fn value(&mut self, of_type: &Type, value: &mut Value, owner: &'static Struct, path: &Path<'_>) -> bool {
        if self.is_map && value.is_f64() && matches!(of_type, Type::Int32 | Type::Int64) {
            make_integer(value);
        }
        match (of_type, value) {
            (Type::Free, _) => true,
            (Type::Struct(_), Value::Object(map)) => {
                if let Some(inner) = struct_of(of_type) {
                    self.fields(inner, map, path);
                }
                true
            }
            (Type::Union { object, .. }, value @ Value::Object(_)) => self.value(object, value, owner, path),
            (Type::Union { list: Some(item), .. }, Value::Array(items)) => {
                self.items(item, items, owner, path)
            }
            (Type::Union { .. }, _) => true,
            (Type::List(item), Value::Array(items)) => self.items(item, items, owner, path),
            (Type::Map(inner), Value::Object(map)) => {
                map.retain(|key, value| self.element(inner, value, owner, &Path::Key(path, key)));
                true
            }
            (of_type, value) => match scalar_problem(of_type, value) {
                None => true,
                Some(why) => {
                    let found = || Mismatch::new(of_type, value, owner.short_name(), path, why);
                    self.findings.mismatch.get_or_insert_with(found);
                    false
                }
            },
        }
    }

    fn items(
        &mut self,
        item: &Type,
        items: &mut Vec<Value>,
        owner: &'static Struct,
        path: &Path<'_>,
    ) -> bool {
        let mut index = 0_usize;
        items.retain_mut(|value| {
            let path = Path::Index(path, index);
            index = index.saturating_add(1);
            self.element(item, value, owner, &path)
        });
        true
    }

    /// An item of a list or a map, where a null is the type's zero value.
    fn element(
        &mut self,
        of_type: &Type,
        value: &mut Value,
        owner: &'static Struct,
        path: &Path<'_>,
    ) -> bool {
        if value.is_null() {
            *value = zero(of_type);
            return true;
        }
        self.value(of_type, value, owner, path)
    }
}

/// Makes an integer of a float that has no fraction.
fn make_integer(value: &mut Value) {
    let float = value.as_f64().filter(|float| float.fract() == 0.0);
    if let Some(integer) = float.and_then(|float| format!("{float:.0}").parse::<i64>().ok()) {
        *value = integer.into();
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is_true) => !is_true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

fn zero(of_type: &Type) -> Value {
    match of_type {
        Type::Text => Value::from(""),
        Type::Bool => Value::from(false),
        Type::Int32 | Type::Int64 | Type::Number | Type::IntOrString => Value::from(0),
        Type::Quantity => Value::from("0"),
        Type::Struct(_) => Value::Object(empty(of_type)),
        Type::Union { .. } => Value::Object(Json::new()),
        Type::Bytes | Type::Time | Type::MicroTime | Type::List(_) | Type::Map(_) | Type::Free => Value::Null,
    }
}

/// Why a scalar does not fit: `Some("")` for one of another type, or what its syntax breaks.
fn scalar_problem(of_type: &Type, value: &mut Value) -> Option<String> {
    let other_type = || Some(String::new());
    match (of_type, &*value) {
        (Type::Text, Value::String(_)) | (Type::Bool, Value::Bool(_)) | (Type::Number, Value::Number(_)) => {
            None
        }
        (Type::Bytes, Value::String(text)) => scalar::base64_problem(text),
        (Type::Int64, Value::Number(number)) if number.is_i64() => None,
        (Type::Int32, Value::Number(number)) => match number.as_i64().map(i32::try_from) {
            Some(Ok(_)) => None,
            _ => other_type(),
        },
        (Type::IntOrString, Value::String(_)) => None,
        (Type::IntOrString, Value::Number(_)) => scalar_problem(&Type::Int32, value),
        (Type::Quantity, Value::String(text)) => {
            let problem = scalar::quantity_problem(text).map(str::to_owned);
            let written = quantity::canonical(text).filter(|written| problem.is_none() && written != text);
            if let Some(written) = written {
                *value = written.into();
            }
            problem
        }
        (Type::Quantity, Value::Number(number)) => {
            *value = number.to_string().into();
            scalar_problem(of_type, value)
        }
        (Type::Quantity, other) => scalar::quantity_problem(&other.to_string()).map(str::to_owned),
        (Type::Time | Type::MicroTime, Value::String(text)) => {
            let has_micros = *of_type == Type::MicroTime;
            let problem = scalar::time_problem(text, has_micros);
            let written = scalar::rewritten_time(text, has_micros).filter(|_| problem.is_none());
            if let Some(written) = written {
                *value = written.into();
            }
            problem
        }
        _ => other_type(),
    }
}
