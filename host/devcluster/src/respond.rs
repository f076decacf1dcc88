//! From results to HTTP responses.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, WARNING};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::accept::{self, Form};
use crate::error::ApiError;
use crate::kind::Kind;
use crate::list;
use crate::object::{self, Json, Object};
use crate::table::{self, Include};
use crate::view;
use crate::write::Written;

pub(crate) const JSON: &str = "application/json";

/// A response with a body of this media type.
pub(crate) fn bytes(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

pub(crate) fn document(document: &Value) -> Response {
    bytes(StatusCode::OK, JSON, document.to_string())
}

pub(crate) fn json(status: StatusCode, json: &Json) -> Response {
    bytes(status, JSON, object::to_bytes(json))
}

pub(crate) fn list_bytes(body: Bytes) -> Response {
    bytes(StatusCode::OK, JSON, body)
}

pub(crate) fn error(error: &ApiError) -> Response {
    let status = StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json(status, &error.status())
}

/// What the real server says for a path that it does not know.
pub(crate) fn no_such_path() -> Response {
    bytes(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "404 page not found\n")
}

/// One object in the form that the client wants.
pub(crate) fn one(
    status: StatusCode,
    kind: &Kind,
    object: &Object,
    form: Form,
    include: Include,
) -> Response {
    let body = match form {
        Form::Table => {
            let json = view::present(kind, object);
            let metadata = json!({ "resourceVersion": object.version.to_string() });
            table::table(kind, std::iter::once(&*json), &metadata, include)
        }
        form => list::object_bytes(kind, object, form),
    };
    bytes(status, JSON, body)
}

/// What a write left, with the warnings that it caused.
pub(crate) fn written(kind: &Kind, written: &Written, form: Form, include: Include) -> Response {
    let status = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = one(status, kind, &written.object, form, include);
    add_warnings(&mut response, &written.warnings);
    response
}

/// What is answered to what is not stored, with the warnings that it caused, after these.
pub(crate) fn made((json, warnings): &(Json, Vec<String>), before: &[String]) -> Response {
    let mut response = self::json(StatusCode::CREATED, json);
    add_warnings(&mut response, before);
    add_warnings(&mut response, warnings);
    response
}

/// The same answer in YAML; what is not JSON stays as it is.
pub(crate) async fn in_yaml(response: Response) -> Response {
    if response.headers().get(CONTENT_TYPE).is_none_or(|media_type| media_type != JSON) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let internal = |why: String| error(&ApiError::internal(why));
    let bytes = match axum::body::to_bytes(body, usize::MAX).await {
        Ok(bytes) => bytes,
        Err(why) => return internal(why.to_string()),
    };
    let json: Value = match serde_json::from_slice(&bytes) {
        Ok(json) => json,
        Err(why) => return internal(why.to_string()),
    };
    match serde_saphyr::to_string(&json) {
        Ok(text) => {
            parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(accept::YAML));
            Response::from_parts(parts, Body::from(text))
        }
        Err(why) => internal(why.to_string()),
    }
}

/// Warns whoever uses a version that is deprecated.
pub(crate) fn deprecated(kind: &Kind, mut response: Response) -> Response {
    if let Some(warning) = kind.deprecation() {
        add_warnings(&mut response, &[warning.to_owned()]);
    }
    response
}

/// Tells the client what it should know though it got what it asked for.
pub(crate) fn add_warnings(response: &mut Response, warnings: &[String]) {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(WARNING, value);
        }
    }
}
