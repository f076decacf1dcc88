//! The spans of a plugin's calls, which its reads and writes are in. Where traces are off, to make one is to
//! look at a flag.

use tracing::field::Empty;
use tracing::{Span, info_span};
use wheelhouse_core::Key;
use wheelhouse_core::trace::TARGET;
use wheelhouse_sandbox::Revision;

/// Of one reconcile.
pub(crate) fn of_reconcile(revision: &Revision, key: &Key, id: &str, attempt: u32) -> Span {
    info_span!(
        target: TARGET, "reconcile",
        otel.name = %format_args!("reconcile {}", revision.spec().name), otel.status_code = Empty,
        plugin = revision.spec().name, revision = revision.short_digest(),
        kind = %revision.spec().reconciles.kind, key = %key, reconcile_id = id, attempt, result = Empty
    )
}

/// Of one call of `map`.
pub(crate) fn of_map(revision: &Revision, watch: &str, key: &Key) -> Span {
    info_span!(
        target: TARGET, "map",
        otel.name = %format_args!("map {}", revision.spec().name),
        plugin = revision.spec().name, revision = revision.short_digest(), watch, key = %key
    )
}

/// How a reconcile ended.
pub(crate) fn ended(span: &Span, result: &'static str, failed: bool) {
    span.record("result", result);
    if failed {
        span.record("otel.status_code", "ERROR");
    }
}
