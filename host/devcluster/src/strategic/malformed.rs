//! What is wrong with a strategic merge patch, whatever it is to change.
//!
//! Follows the checks, the words and the status codes of apimachinery's `strategicpatch` and `mergepatch`.

use std::collections::HashSet;

use serde_json::Value;

use super::{DELETE, ORDER, RETAIN};
use crate::error::ApiError;
use crate::go;
use crate::object::Json;
use crate::shape::Shape;

/// Why a strategic merge patch cannot be applied.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("unknown patch type: {directive} in map: {map}")]
    Directive { directive: String, map: String },
    #[error("merging lists cannot yet be specified in the patch")]
    MergedList,
    #[error("invalid patch format of retainKeys")]
    RetainKeys,
    #[error("invalid patch format of setElementOrder list")]
    ElementOrder,
    #[error("invalid patch format of primitive list")]
    PrimitiveList,
    #[error("The order in patch list:\n{items}\n doesn't match $setElementOrder list:\n{order}\n")]
    Order { items: String, order: String },
    #[error("map: {map} does not contain declared merge key: {key}")]
    NoMergeKey { map: String, key: String },
    #[error("cannot merge lists without merge key for type string")]
    Keyless,
    #[error("expected a {expected}, but received a {found}")]
    WrongType { expected: &'static str, found: &'static str },
    #[error("lists of lists are not supported")]
    ListOfLists,
    #[error("list element types are not identical: {0}")]
    MixedItems(String),
}

impl From<Malformed> for ApiError {
    fn from(why: Malformed) -> Self {
        match why {
            Malformed::RetainKeys | Malformed::ElementOrder | Malformed::PrimitiveList => {
                Self::bad_request(why.to_string())
            }
            Malformed::ListOfLists => Self::unprocessable(),
            other => Self::unclassified(other.to_string()),
        }
    }
}

fn plain(items: &[Value]) -> String {
    let items: Vec<String> = items.iter().map(go::plain).collect();
    format!("[{}]", items.join(" "))
}

fn plain_map(map: &Json) -> String {
    let fields: Vec<String> =
        map.iter().map(|(name, value)| format!("{name}:{}", go::plain(value))).collect();
    format!("map[{}]", fields.join(" "))
}

/// A `$patch` that says what the map that it is in cannot be asked for.
pub(super) fn unknown_directive(directive: &Value, map: &Json) -> Malformed {
    Malformed::Directive { directive: go::plain(directive), map: plain_map(map) }
}

/// Checks the directives of a map that concern its fields.
pub(super) fn check_fields(target: &Json, patch: &Json, shape: &Shape<'_>) -> Result<(), Malformed> {
    if let Some(retained) = patch.get(RETAIN) {
        check_retained(patch, retained)?;
    }
    for (name, value) in patch {
        if let Some(field) = name.strip_prefix(ORDER) {
            let field = field.strip_prefix('/').ok_or(Malformed::ElementOrder)?;
            let order = list(value)?;
            target.get(field).map(list).transpose()?;
            let items = patch.get(field).map(list).transpose()?.unwrap_or_default();
            check_order(items, order, shape.field(field).merge_key())?;
        } else if let Some(field) = name.strip_prefix(DELETE) {
            field.strip_prefix('/').ok_or(Malformed::PrimitiveList)?;
        }
    }
    Ok(())
}

/// Whatever a patch sets is retained.
fn check_retained(patch: &Json, retained: &Value) -> Result<(), Malformed> {
    let retained: HashSet<&Value> = retained.as_array().ok_or(Malformed::RetainKeys)?.iter().collect();
    let is_set = |name: &str, value: &Value| {
        !value.is_null() && name != RETAIN && !name.starts_with(ORDER) && !name.starts_with(DELETE)
    };
    let mut set = patch.iter().filter(|(name, value)| is_set(name, value));
    match set.all(|(name, _)| retained.contains(&Value::from(name.as_str()))) {
        true => Ok(()),
        false => Err(Malformed::RetainKeys),
    }
}

fn list(value: &Value) -> Result<&[Value], Malformed> {
    let wrong = || Malformed::WrongType { expected: "[]interface {}", found: go::type_of(value) };
    value.as_array().map(Vec::as_slice).ok_or_else(wrong)
}

fn map(value: &Value) -> Result<&Json, Malformed> {
    let wrong = || Malformed::WrongType { expected: "map[string]interface {}", found: go::type_of(value) };
    value.as_object().ok_or_else(wrong)
}

fn key_of<'a>(item: &'a Json, key: &str) -> Result<&'a Value, Malformed> {
    let missing = || Malformed::NoMergeKey { map: plain_map(item), key: key.to_owned() };
    item.get(key).ok_or_else(missing)
}

/// What tells an item from others: its merge key, or itself.
fn name<'a>(item: &'a Value, key: Option<&str>) -> Result<&'a Value, Malformed> {
    match key {
        Some(key) => key_of(map(item)?, key),
        None => Ok(item),
    }
}

/// The items of a patch are among those that an order names, and in that order.
fn check_order(items: &[Value], order: &[Value], key: Option<&str>) -> Result<(), Malformed> {
    let mut rest = order.iter();
    for item in items.iter().filter(|item| item.get("$patch").is_none()) {
        let wanted = name(item, key)?;
        loop {
            match rest.next() {
                Some(next) if name(next, key)? == wanted => break,
                Some(_) => {}
                None if order.is_empty() => return Ok(()),
                None => return Err(Malformed::Order { items: plain(items), order: plain(order) }),
            }
        }
    }
    Ok(())
}

/// Checks the items by which a patch changes those of a list that is there.
pub(super) fn check_items(live: &[Value], items: &[Value], key: Option<&str>) -> Result<(), Malformed> {
    let mut all = live.iter().chain(items);
    let of_type = all.next().map(go::type_of).unwrap_or_default();
    if of_type == "[]interface {}" {
        return Err(Malformed::ListOfLists);
    }
    if all.any(|item| go::type_of(item) != of_type) {
        return Err(Malformed::MixedItems(format!("[{} {}]", plain(live), plain(items))));
    }
    items.iter().filter_map(Value::as_object).try_for_each(|item| {
        let key = key.ok_or(Malformed::Keyless)?;
        match item.get("$patch") {
            Some(directive) if directive == "replace" => Ok(()),
            Some(directive) if directive == "merge" => Err(Malformed::MergedList),
            Some(directive) if directive != "delete" => Err(unknown_directive(directive, item)),
            _ => key_of(item, key).map(drop),
        }
    })
}
