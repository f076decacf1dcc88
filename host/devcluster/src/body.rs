//! Request bodies: JSON, YAML or (as far as kubectl needs it) protobuf, of a bounded size.

use axum::body::Body;
use serde_json::Value;

use crate::error::ApiError;
use crate::object::Json;

/// As the real server limits a request.
const LIMIT: usize = 3 * 1024 * 1024;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Reads the whole body.
pub(crate) async fn read(body: Body) -> Result<bytes::Bytes, ApiError> {
    axum::body::to_bytes(body, LIMIT).await.map_err(|_| ApiError::too_large(LIMIT))
}

/// Decodes JSON, or YAML where the media type says so (YAML is tried second, JSON being faster).
pub(crate) fn decode(bytes: &[u8], media_type: &str) -> Result<Value, ApiError> {
    if media_type == PROTOBUF {
        return crate::protobuf::decode(bytes).map(Value::Object).map_err(|why| {
            ApiError::unsupported_media_type(
                &format!("{media_type}: {why}"),
                "application/json, application/yaml",
            )
        });
    }
    if media_type.contains("cbor") {
        return Err(ApiError::unsupported_media_type(media_type, "application/json, application/yaml"));
    }
    let json = serde_json::from_slice(bytes);
    match json {
        Ok(value) => Ok(value),
        Err(_) if media_type.contains("yaml") => {
            let text = std::str::from_utf8(bytes)
                .map_err(|error| ApiError::bad_request(format!("the body is not UTF-8: {error}")))?;
            // YAML 1.2: `y` and `on` are text, and only `true` and `false` are booleans.
            let options = serde_saphyr::options! { strict_booleans: true };
            serde_saphyr::from_str_with_options(text, options)
                .map_err(|error| ApiError::bad_request(format!("error converting YAML to JSON: {error}")))
        }
        Err(error) => Err(ApiError::bad_request(format!("the body is not valid JSON: {error}"))),
    }
}

/// Decodes an object.
pub(crate) fn decode_object(bytes: &[u8], media_type: &str) -> Result<Json, ApiError> {
    match decode(bytes, media_type)? {
        Value::Object(json) => {
            if json.get("metadata").is_some_and(|meta| !meta.is_object() && !meta.is_null()) {
                return Err(ApiError::bad_request("metadata must be an object"));
            }
            Ok(json)
        }
        _ => Err(ApiError::bad_request("the body must be an object")),
    }
}
