//! From results to HTTP responses.

use std::collections::HashSet;

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
    let mut response = json(status, &error.status());
    add_warnings(&mut response, &error.warnings);
    response
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

/// The version of what a write left, among the extensions of its answer.
#[derive(Debug, Clone, Copy)]
struct Left(u64);

/// The version that is to be kept before the answer to a write is sent, if the answer shows what the write left.
pub(crate) fn left(response: &Response) -> Option<u64> {
    response.extensions().get().map(|Left(version)| *version)
}

/// What a write left, with the warnings that it caused.
pub(crate) fn written(kind: &Kind, written: &Written, form: Form, include: Include) -> Response {
    let status = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = one(status, kind, &written.object, form, include);
    add_warnings(&mut response, &written.warnings);
    response.extensions_mut().insert(Left(written.object.version));
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

/// How many characters the warnings of an answer have together, and each of them once that is too little.
const MOST_WARNED: usize = 4 * 1024;
const MOST_OF_ONE: usize = 256;

/// Tells the client what it should know though it got what it asked for.
pub(crate) fn add_warnings(response: &mut Response, warnings: &[String]) {
    for warning in bounded(warnings) {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(WARNING, value);
        }
    }
}

/// The warnings, each once. Of those that are too long together there are the beginnings, of as many as there is room
/// for, as kube-apiserver cuts them.
fn bounded(warnings: &[String]) -> Vec<&str> {
    let mut seen = HashSet::new();
    let mut told: Vec<&str> =
        warnings.iter().map(String::as_str).filter(|warning| seen.insert(*warning)).collect();
    let length = |warning: &str| warning.chars().count();
    if told.iter().map(|warning| length(warning)).fold(0, usize::saturating_add) <= MOST_WARNED {
        return told;
    }
    let mut written = 0_usize;
    told.retain_mut(|warning| {
        let has_room = written < MOST_WARNED;
        let end = warning.char_indices().nth(MOST_OF_ONE).map(|(end, _)| end);
        *warning = end.and_then(|end| warning.get(..end)).unwrap_or(warning);
        written = written.saturating_add(length(warning));
        has_room
    });
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_cut_only_if_they_are_too_long_together() {
        let short = ["a".to_owned(), "b".to_owned(), "a".to_owned()];
        assert_eq!(bounded(&short), ["a", "b"]);
        let long = ["x".repeat(4000)];
        assert_eq!(bounded(&long), [long[0].as_str()]);
        let many: Vec<String> = (10..60).map(|number| format!("{number}{}", "é".repeat(1000))).collect();
        let told = bounded(&many);
        assert_eq!(told.len(), 16);
        assert!(
            told.iter()
                .zip(&many)
                .all(|(told, whole)| told.chars().count() == 256 && whole.starts_with(told))
        );
    }
}
