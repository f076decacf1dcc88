//! The four kinds of patch, by media type.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::decoding::Source;
use crate::error::ApiError;
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::operations::Operations;
use crate::shape::Shape;
use crate::strategic;
use crate::write::{self, Write, Written};

pub(crate) const JSON: &str = "application/json-patch+json";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

/// A patch that a client sent.
#[derive(Debug)]
pub(crate) struct Patch<'a> {
    pub(crate) media_type: &'a str,
    pub(crate) body: Value,
    /// The fields that come twice in it, as far as the client wants to know.
    pub(crate) doubled: Vec<String>,
    /// Whether it takes over what others have applied.
    pub(crate) force: bool,
}

impl Patch<'_> {
    /// Changes an object as the patch says.
    pub(crate) fn apply(self, cluster: &Cluster, write: &Write) -> Result<Written, ApiError> {
        let Self { media_type, body, doubled, force } = self;
        match media_type {
            APPLY => {
                let applied = map(body)?;
                check_type(&write.kind, &applied)?;
                let warnings = write.judge_strictly(doubled, APPLY)?;
                write::warned(write::apply(cluster, write, applied, force), warnings)
            }
            JSON => {
                let operations = Operations::parse(body)?;
                let doubled: Vec<String> =
                    doubled.into_iter().map(|line| format!("json patch {line}")).collect();
                write::patch(cluster, write, Source::JsonPatch(&doubled), |current| {
                    let mut value = Value::Object(current.clone());
                    operations.apply(&mut value)?;
                    map(value)
                })
            }
            MERGE => write::patch(cluster, write, Source::JsonPatch(&doubled), |current| {
                let mut value = Value::Object(current.clone());
                json_patch::merge(&mut value, &body);
                map(value)
            }),
            STRATEGIC if !write.kind.is_custom() => {
                let body = map(body)?;
                write::patch(cluster, write, Source::Strategic(&body, &doubled), |current| {
                    let mut json = current.clone();
                    strategic::patch(&mut json, &body, &Shape::of(&write.kind))?;
                    Ok(json)
                })
            }
            other => Err(unsupported(&write.kind, other)),
        }
    }
}

/// What is applied says of which version and kind it is.
fn check_type(kind: &Kind, applied: &Json) -> Result<(), ApiError> {
    let (version, found) = (object::text(applied, &["apiVersion"]), object::text(applied, &["kind"]));
    if found.is_empty() {
        let applied = Value::Object(applied.clone());
        return Err(ApiError::bad_request(format!("Object 'Kind' is missing in '{applied}'")));
    }
    if version == kind.api_version() && found == kind.kind {
        return Ok(());
    }
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    Err(ApiError::bad_request(format!("invalid object type: {group}/{version}, Kind={found}")))
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
