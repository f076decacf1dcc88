//! The four kinds of patch, by media type.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::error::{ApiError, Cause};
use crate::kind::Kind;
use crate::object::Json;
use crate::operations::Operations;
use crate::shape::Shape;
use crate::strategic;
use crate::write::{self, FieldValidation, Write, Written};

pub(crate) const JSON: &str = "application/json-patch+json";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

/// Changes an object as a patch of this media type says.
pub(crate) fn patch(
    cluster: &Cluster,
    write: &Write,
    media_type: &str,
    body: Value,
    force: bool,
) -> Result<Written, ApiError> {
    match media_type {
        APPLY => write::apply(cluster, write, map(body)?, force),
        JSON => {
            let operations = Operations::parse(body)?;
            write::change(cluster, write, |current| {
                let mut value = Value::Object(current.clone());
                operations.apply(&mut value)?;
                judged(write, map(value)?)
            })
        }
        MERGE => write::change(cluster, write, |current| {
            let mut value = Value::Object(current.clone());
            json_patch::merge(&mut value, &body);
            judged(write, map(value)?)
        }),
        STRATEGIC if !write.kind.is_custom() => {
            let body = map(body)?;
            write::change(cluster, write, |current| {
                let mut json = current.clone();
                strategic::patch(&mut json, &body, &Shape::of(&write.kind));
                judged(write, json)
            })
        }
        other => Err(unsupported(&write.kind, other)),
    }
}

/// A patched object, unless it is another one now, or is to have known fields only and has others.
fn judged(write: &Write, mut patched: Json) -> Result<Json, ApiError> {
    write.check_name(&patched)?;
    write.check_identity(&mut patched)?;
    let schema = write.kind.schema().filter(|_| write.validation == FieldValidation::Strict);
    let unknown = schema.map(|schema| schema.prune(&mut patched.clone())).unwrap_or_default();
    if unknown.is_empty() {
        return Ok(patched);
    }
    let lines: Vec<String> = unknown.iter().map(|field| format!("unknown field \"{field}\"")).collect();
    let why = format!("strict decoding error: {}", lines.join(", "));
    let text = Value::from(Value::Object(patched).to_string());
    Err(ApiError::invalid_of("", "", "", &[Cause::invalid("patch", &text, &why)]))
}

/// A kind has patches of this media type.
pub(crate) fn check_media_type(kind: &Kind, media_type: &str) -> Result<(), ApiError> {
    match accepted(kind).contains(&media_type) {
        true => Ok(()),
        false => Err(unsupported(kind, media_type)),
    }
}

fn accepted(kind: &Kind) -> &'static [&'static str] {
    if kind.is_custom() { &[JSON, MERGE, APPLY] } else { &[JSON, MERGE, STRATEGIC, APPLY] }
}

/// The refusal of a media type that is no kind of patch, or none for this kind of object.
pub(crate) fn unsupported(kind: &Kind, media_type: &str) -> ApiError {
    ApiError::unsupported_media_type(media_type, &accepted(kind).join(", "))
}

fn map(value: Value) -> Result<Json, ApiError> {
    match value {
        Value::Object(map) => Ok(map),
        other => Err(ApiError::bad_request(format!("expected an object, found {other}"))),
    }
}
