//! The spans of a plugin's reads and writes, within that of its reconcile. They say what was asked for and
//! who answered, and have nothing of any object's contents. Where traces are off, to make one is to look
//! at a flag. What a plugin names is cut to what a name may have: spans wait for a collector by the thousand.

use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span, info_span};
use wheelhouse_core::printable::printable;
use wheelhouse_core::request::{Change, Get, List, Write};
use wheelhouse_core::trace::TARGET;
use wheelhouse_core::{ApiError, Key};

/// Bytes of a namespace, at most.
const NAMESPACE: usize = 63;
/// Bytes of a name, at most.
const NAME: usize = 253;

fn shown(key: &Key) -> Key {
    Key::new(printable(&key.namespace, NAMESPACE), printable(&key.name, NAME))
}

/// Of a read of one object.
pub(crate) fn of_get(verb: &'static str, request: &Get) -> Span {
    let Get { kind, key, subresource, .. } = request;
    info_span!(
        target: TARGET, "read",
        otel.name = %format_args!("{verb} {kind}"), otel.status_code = Empty,
        verb, kind = %kind, key = %shown(key), subresource, source = Empty, result = Empty
    )
}

/// Of a read of many.
pub(crate) fn of_list(verb: &'static str, request: &List) -> Span {
    let List { kind, namespace, .. } = request;
    info_span!(
        target: TARGET, "read",
        otel.name = %format_args!("{verb} {kind}"), otel.status_code = Empty,
        verb, kind = %kind, namespace = printable(namespace, NAMESPACE), source = Empty, result = Empty
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
        verb, kind = %kind, key = %shown(key), subresource, dry_run, source = "live", result = Empty
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::format::FmtSpan;
    use wheelhouse_core::request::PatchType;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What of a span would wait.
    fn kept(span: impl FnOnce() -> Span) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_span_events(FmtSpan::NEW);
        let subscriber = subscriber.with_writer(move || writer.clone()).finish();
        drop(tracing::subscriber::with_default(subscriber, span));
        let kept = lines.0.lock().unwrap().clone();
        String::from_utf8(kept).unwrap()
    }

    fn get(key: Key) -> Get {
        let (kind, consistency) = ("v1/ConfigMap".parse().unwrap(), Default::default());
        Get { kind, key, subresource: String::new(), consistency }
    }

    fn patch(key: Key) -> Write {
        Write {
            kind: "v1/ConfigMap".parse().unwrap(),
            key,
            subresource: String::new(),
            dry_run: false,
            field_manager: "p".into(),
            change: Change::Patch(PatchType::Merge, Vec::new()),
        }
    }

    fn list(namespace: String) -> List {
        List {
            kind: "v1/ConfigMap".parse().unwrap(),
            namespace,
            selector: Default::default(),
            field_selector: Default::default(),
            matches: Vec::new(),
            limit: 1,
            bytes: 1,
            after: None,
            consistency: Default::default(),
        }
    }

    #[test]
    fn hostile_a_span_has_no_more_of_a_key_than_a_key_may_have() {
        let long = "x".repeat(1 << 20);
        let key = || Key::new(long.clone(), long.clone());
        for kept in [
            kept(|| of_get("get", &get(key()))),
            kept(|| of_write(&patch(key()))),
            kept(|| of_list("list", &list(long.clone()))),
        ] {
            assert!((100..1_000).contains(&kept.len()), "{} bytes: {kept:.500}", kept.len());
        }
    }

    #[test]
    fn a_key_is_shown_whole() {
        let key = Key::new("n".repeat(NAMESPACE), "x".repeat(NAME));
        assert!(kept(|| of_get("get", &get(key.clone()))).contains(&key.to_string()));
    }
}
