//! Request bodies: JSON, YAML or (as far as kubectl needs it) protobuf, of a bounded size.

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use serde_json::Value;
use serde_saphyr::DuplicateKeyPolicy;

use crate::error::ApiError;
use crate::object::Json;
use crate::{accept, patch, protobuf, respond};

/// As the real server limits a request.
const LIMIT: usize = 3 * 1024 * 1024;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// What a client is told of that sends something else.
const ACCEPTED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// How much of what is too large is read all the same: a client that still sends may not see the answer.
const MOST_PASSED_OVER: usize = 16 * 1024 * 1024;

/// Reads the whole body.
pub(crate) async fn read(body: Body) -> Result<Bytes, ApiError> {
    let mut stream = body.into_data_stream();
    let (mut chunks, mut length) = (Vec::new(), 0_usize);
    while let Some(chunk) = stream.next().await {
        let Ok(chunk) = chunk else { return Err(too_large()) };
        length = length.saturating_add(chunk.len());
        match length {
            0..=LIMIT => chunks.push(chunk),
            length if length > MOST_PASSED_OVER => break,
            _ => chunks.clear(),
        }
    }
    match (length > LIMIT, chunks.as_slice()) {
        (true, _) => Err(too_large()),
        (false, [only]) => Ok(only.clone()),
        (false, chunks) => Ok(chunks.concat().into()),
    }
}

fn too_large() -> ApiError {
    ApiError::too_large(&format!("limit is {LIMIT}"))
}

/// Decodes a patch: YAML where the media type says so, or else JSON.
pub(crate) fn decode_patch(bytes: &[u8], media_type: &str) -> Result<Value, ApiError> {
    if media_type == patch::APPLY { yaml(bytes) } else { json(bytes) }
}

fn json(bytes: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::bad_request(format!("the body is not valid JSON: {error}")))
}

/// JSON is YAML, and is tried first, being faster.
fn yaml(bytes: &[u8]) -> Result<Value, ApiError> {
    if let Ok(value) = json(bytes) {
        return Ok(value);
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ApiError::bad_request(format!("the body is not UTF-8: {error}")))?;
    // As YAML 1.1 has it, `y` and `on` are booleans, too. Of fields that come twice the last counts.
    let options = serde_saphyr::options! {
        strict_booleans: false,
        duplicate_keys: DuplicateKeyPolicy::LastWins,
    };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| ApiError::bad_request(format!("error converting YAML to JSON: {error}")))
}

/// Decodes an object of which the status is written. In protobuf that of most kinds cannot be read, and would be lost.
pub(crate) fn decode_status(bytes: &[u8], media_type: &str) -> Result<Json, ApiError> {
    let json = decode_object(bytes, media_type)?;
    if media_type == PROTOBUF && !protobuf::has_status(bytes).is_ok_and(|has_status| has_status) {
        let given = format!("{media_type}: its status cannot be sent as protobuf: send JSON");
        return Err(ApiError::unsupported_media_type(&given, ACCEPTED));
    }
    Ok(json)
}

/// Decodes an object; it is in JSON if nothing is said of it.
pub(crate) fn decode_object(bytes: &[u8], media_type: &str) -> Result<Json, ApiError> {
    let unsupported = |given: &str| ApiError::unsupported_media_type(given, ACCEPTED);
    let value = match media_type {
        "" | respond::JSON => json(bytes)?,
        accept::YAML => yaml(bytes)?,
        PROTOBUF => Value::Object(
            protobuf::decode(bytes).map_err(|why| unsupported(&format!("{media_type}: {why}")))?,
        ),
        other => return Err(unsupported(other)),
    };
    match value {
        Value::Object(json) => {
            if json.get("metadata").is_some_and(|meta| !meta.is_object() && !meta.is_null()) {
                return Err(ApiError::bad_request("metadata must be an object"));
            }
            Ok(json)
        }
        _ => Err(ApiError::bad_request("the body must be an object")),
    }
}
