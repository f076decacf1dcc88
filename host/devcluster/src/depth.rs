//! How deep objects may be nested: no deeper than whoever reads them can follow.
//!
//! serde_json, which reads the data directory and is what kube-rs clients read answers with, follows 127 levels. Lists
//! and watches put an object some levels down. kube-apiserver's own limit is 10,000.

use serde_json::Value;

use crate::error::ApiError;
use crate::object::Json;

/// As many levels as an object may have, its managed fields included.
pub(crate) const MOST: usize = 120;

/// How many levels of maps and lists a value has.
pub(crate) fn of(value: &Value) -> usize {
    match value {
        Value::Object(map) => of_map(map),
        Value::Array(items) => items.iter().map(of).max().unwrap_or_default().saturating_add(1),
        _ => 0,
    }
}

fn of_map(map: &Json) -> usize {
    map.values().map(of).max().unwrap_or_default().saturating_add(1)
}

/// Refuses an object that is too deep.
pub(crate) fn check(json: &Json) -> Result<(), ApiError> {
    if of_map(json) > MOST { Err(too_deep()) } else { Ok(()) }
}

pub(crate) fn too_deep() -> ApiError {
    ApiError::bad_request(format!("the object is nested more than {MOST} levels deep"))
}
