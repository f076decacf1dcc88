//! The four kinds of patch, by media type.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::decoding::Source;
use crate::error::ApiError;
use crate::kind::Kind;
use crate::object::Json;
use crate::operations::Operations;
use crate::shape::Shape;
use crate::strategic;
use crate::write::{self, Write, Written};

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
            write::patch(cluster, write, Source::JsonPatch, |current| {
                let mut value = Value::Object(current.clone());
                operations.apply(&mut value)?;
                map(value)
            })
        }
        MERGE => write::patch(cluster, write, Source::JsonPatch, |current| {
            let mut value = Value::Object(current.clone());
            json_patch::merge(&mut value, &body);
            map(value)
        }),
        STRATEGIC if !write.kind.is_custom() => {
            let body = map(body)?;
            write::patch(cluster, write, Source::Strategic(&body), |current| {
                let mut json = current.clone();
                strategic::patch(&mut json, &body, &Shape::of(&write.kind))?;
                Ok(json)
            })
        }
        other => Err(unsupported(&write.kind, other)),
    }
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
