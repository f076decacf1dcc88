//! What a refusal of the API server says, in a body or in an event of a stream.

use std::time::Duration;

use http::{HeaderMap, header};
use serde::Deserialize;
use wheelhouse_core::error::Cause;

use crate::rest::Status;

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RawStatus {
    code: Option<u16>,
    reason: Option<String>,
    message: Option<String>,
    details: Option<RawDetails>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RawDetails {
    causes: Option<Vec<RawCause>>,
    retry_after_seconds: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawCause {
    field: Option<String>,
    reason: Option<String>,
    message: Option<String>,
}

impl RawStatus {
    /// `http` is the HTTP status, which an event in a stream does not have.
    pub(crate) fn into_status(self, http: Option<u16>) -> Status {
        let code = self.code.filter(|code| *code != 0).or(http).unwrap_or(500);
        let details = self.details.unwrap_or_default();
        let reason = self.reason.unwrap_or_default();
        let message = self
            .message
            .filter(|message| !message.is_empty())
            .unwrap_or_else(|| format!("the API server answered {code} {reason}").trim_end().to_owned());
        let cause = |raw: RawCause| Cause {
            field: raw.field.unwrap_or_default(),
            reason: raw.reason.unwrap_or_default(),
            message: raw.message.unwrap_or_default(),
        };
        Status {
            code,
            reason,
            message,
            causes: details.causes.unwrap_or_default().into_iter().map(cause).collect(),
            retry_after: details.retry_after_seconds.filter(|s| *s > 0).map(Duration::from_secs),
        }
    }
}

/// Reads a refusal. A body that is no `Status` (a proxy's, a plain text) is its message.
pub(crate) fn status(http: u16, headers: &HeaderMap, body: &[u8]) -> Status {
    let mut status = match serde_json::from_slice::<RawStatus>(body) {
        Ok(raw) => raw.into_status(Some(http)),
        Err(_) => {
            let text: String = String::from_utf8_lossy(body).trim().chars().take(500).collect();
            RawStatus { message: Some(text), ..RawStatus::default() }.into_status(Some(http))
        }
    };
    let seconds = headers.get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
    status.retry_after = status.retry_after.or(seconds.map(Duration::from_secs));
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_keeps_its_causes_and_its_retry_after() {
        let body = br#"{"kind":"Status","code":422,"reason":"Invalid","message":"no",
            "details":{"causes":[{"field":"spec.replicas","reason":"FieldValueInvalid","message":"< 0"}],"retryAfterSeconds":3}}"#;
        let status = status(422, &HeaderMap::new(), body);
        assert_eq!((status.code, status.reason.as_str(), status.causes.len()), (422, "Invalid", 1));
        assert_eq!(status.retry_after, Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_plain_text_refusal_is_its_message_and_an_empty_one_gets_one() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("7"));
        let busy = status(503, &headers, b"upstream down\n");
        assert_eq!(
            (busy.message.as_str(), busy.retry_after),
            ("upstream down", Some(Duration::from_secs(7)))
        );
        assert_eq!(status(500, &HeaderMap::new(), b"").message, "the API server answered 500");
    }
}
