//! Why a request got no answer, or not the one that it asked for; read from what kube's error drops
//! (Retry-After, the causes).

use std::time::Duration;

use http::{HeaderMap, header};
use serde::Deserialize;
use wheelhouse_core::error::Cause;
use wheelhouse_core::fence::Fenced;

/// Why a request did not get what it asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The API server said no.
    #[error("{0}")]
    Status(Status),
    /// There was no connection, or it broke.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
    /// There was no answer in time.
    #[error("the API server did not answer within {0:?}")]
    TimedOut(Duration),
    /// The answer is not what Kubernetes' API says that it is.
    #[error("the API server's answer makes no sense: {0}")]
    Unreadable(String),
    /// Nothing was sent: the request cannot be put into words.
    #[error("the request cannot be sent: {0}")]
    BadRequest(String),
    /// Nothing was sent: another host may be at work.
    #[error("{0}, so nothing was sent")]
    Fenced(Fenced),
    /// A write's answer is not awaited: another host may be at work by now.
    #[error("{0} any more, so its answer was not awaited: whether the write was carried out is not known")]
    GivenUp(Fenced),
}

/// A refusal: Kubernetes' `Status`, as far as it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// The HTTP status.
    pub code: u16,
    /// `NotFound`, `Expired`, ... or "".
    pub reason: String,
    /// For people; never empty.
    pub message: String,
    /// What is wrong with which field.
    pub causes: Vec<Cause>,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// The HTTP status, if the server answered.
    pub fn code(&self) -> Option<u16> {
        if let Self::Status(status) = self { Some(status.code) } else { None }
    }

    /// How long the server asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Status(status) = self { status.retry_after } else { None }
    }

    /// In one word, for a metric.
    pub fn reason(&self) -> &'static str {
        match self {
            _ if self.expired() => "expired",
            Self::Status(status) => match status.code {
                401 => "unauthorized",
                403 => "forbidden",
                404 => "not_found",
                429 => "throttled",
                500.. => "server_error",
                _ => "refused",
            },
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut(_) => "timeout",
            Self::Unreadable(_) => "unreadable",
            Self::BadRequest(_) => "bad_request",
            Self::Fenced(_) | Self::GivenUp(_) => "fenced",
        }
    }

    /// The version or token is one that the server no longer has, or (a server that lags behind
    /// another) does not have yet: list again.
    pub fn expired(&self) -> bool {
        let Self::Status(status) = self else { return false };
        status.code == 410
            || matches!(status.reason.as_str(), "Expired" | "Gone")
            || status.causes.iter().any(|cause| cause.reason == "ResourceVersionTooLarge")
            || status.message.contains("Too large resource version")
    }
}

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
