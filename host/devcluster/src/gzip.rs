//! Compression of large answers, for clients that accept it: from 128 KiB on, at gzip's fastest level, as
//! kube-apiserver has it (its feature `APIResponseCompression`). Watches are never compressed: their length is not
//! known before they end.

use std::io::Write as _;

use axum::body::{Body, HttpBody as _};
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use http::{HeaderMap, HeaderValue};

use crate::error::ApiError;
use crate::respond;

/// Answers of so many bytes are left as they are.
const THRESHOLD: u64 = 128 * 1024;

/// Whether the client asks for gzip, without a weight: the real server reads none.
fn is_accepted(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|encoding| encoding.trim() == "gzip")
}

/// The answer to a request with these headers, compressed if it is large and may be.
pub(crate) async fn compressed(headers: &HeaderMap, response: Response) -> Response {
    let is_large = response.body().size_hint().exact().is_some_and(|size| size > THRESHOLD);
    if !is_large || !is_accepted(headers) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let internal = |why: String| respond::error(&ApiError::internal(why));
    let bytes = match axum::body::to_bytes(body, usize::MAX).await {
        Ok(bytes) => bytes,
        Err(why) => return internal(why.to_string()),
    };
    // It takes long enough to hold up other requests.
    match tokio::task::spawn_blocking(move || compress(&bytes)).await {
        Ok(Ok(compressed)) => {
            parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
            Response::from_parts(parts, Body::from(compressed))
        }
        Ok(Err(why)) => internal(why.to_string()),
        Err(why) => internal(why.to_string()),
    }
}

fn compress(bytes: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish().map(Bytes::from)
}
