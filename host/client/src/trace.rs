//! The spans of a plugin's reads and writes, within that of its reconcile. They say what was asked for and
//! who answered, and have nothing of any object's contents. Where traces are off, to make one is to look
//! at a flag.

use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span, info_span};
use wheelhouse_core::ApiError;
use wheelhouse_core::request::{Change, Get, List, Write};
use wheelhouse_core::trace::TARGET;

/// Of a read of one object.
pub(crate) fn of_get(verb: &'static str, request: &Get) -> Span {
    let Get { kind, key, subresource, .. } = request;
    info_span!(
        target: TARGET, "read",
        otel.name = %format_args!("{verb} {kind}"), otel.status_code = Empty,
        verb, kind = %kind, key = %key, subresource, source = Empty, result = Empty
    )
}

/// Of a read of many.
pub(crate) fn of_list(verb: &'static str, request: &List) -> Span {
    let List { kind, namespace, .. } = request;
    info_span!(
        target: TARGET, "read",
        otel.name = %format_args!("{verb} {kind}"), otel.status_code = Empty,
        verb, kind = %kind, namespace, source = Empty, result = Empty
    )
}

/// Of a write, which the API server always answers.
pub(crate) fn of_write(request: &Write) -> Span {
    let Write { kind, key, subresource, dry_run, change, .. } = request;
    let verb = match change {
        Change::Apply { .. } => "apply",
        change => change.verb().as_str(),
    };
    info_span!(
        target: TARGET, "write",
        otel.name = %format_args!("{verb} {kind}"), otel.kind = "client", otel.status_code = Empty,
        verb, kind = %kind, key = %key, subresource, dry_run, source = "live", result = Empty
    )
}

/// The cache has answered.
pub(crate) fn cached<T>(span: &Span, answer: &Result<T, ApiError>) {
    if !span.is_disabled() {
        span.record("source", "cache");
        ended(span, answer);
    }
}

/// The API server is to answer a read.
pub(crate) async fn live<T>(
    span: Span,
    read: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    span.record("source", "live");
    within(span, read).await
}

/// Does something within a span, and says how it ended.
pub(crate) async fn within<T>(
    span: Span,
    doing: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    let answer = doing.instrument(span.clone()).await;
    ended(&span, &answer);
    answer
}

fn ended<T>(span: &Span, answer: &Result<T, ApiError>) {
    match answer {
        Ok(_) => span.record("result", "ok"),
        // Its message may quote what the object has.
        Err(error) => span.record("result", display(error.word())).record("otel.status_code", "ERROR"),
    };
}
