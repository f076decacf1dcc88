//! Where log lines go: standard error, for people or for programs; and traces, if they go anywhere.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use opentelemetry_sdk::trace::SdkTracer;
use tracing::{Dispatch, Metadata};
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt};
use wheelhouse_core::trace::TARGET;

use crate::cli::{LogArgs, LogFormat};

/// Starts logging, and tracing by this tracer. Without one, no span is ever made.
///
/// # Errors
/// If the filter cannot be read.
pub(crate) fn start(args: &LogArgs, tracer: Option<SdkTracer>) -> anyhow::Result<()> {
    subscriber(args, tracer)?.init();
    Ok(())
}

/// What OpenTelemetry's SDK says that an operator has to know, and that nobody else says: spans are lost since
/// too many wait, and how many there were at the end. That a collector is away is for the exporter to say.
const SPANS_LOST: [&str; 2] = ["BatchSpanProcessor.SpanDroppingStarted", "BatchSpanProcessor.SpansDropped"];

/// Where kube's client says of each request that it found no server. Whoever has sent it says what that means, and
/// says it once.
const UNREACHED: &str = "kube_client::client::builder";

/// Spans are for traces alone; log lines have their fields themselves.
fn is_line(metadata: &Metadata<'_>) -> bool {
    match metadata.target() {
        TARGET | UNREACHED => false,
        target if target.starts_with("opentelemetry") => SPANS_LOST.contains(&metadata.name()),
        _ => true,
    }
}

fn subscriber(args: &LogArgs, tracer: Option<SdkTracer>) -> anyhow::Result<Dispatch> {
    let filter = EnvFilter::try_new(&args.log).with_context(|| {
        format!("--log {:?}: write a level (info), or directives (info,plugin=debug)", args.log)
    })?;
    let filter = filter.and(filter_fn(is_line));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match args.log_format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let log = Registry::default().with(lines.with_filter(filter));
    // An optional layer would not do: where it is none, it counts as one that wants every span.
    let Some(tracer) = tracer else { return Ok(log.into()) };
    let layer = tracing_opentelemetry::layer().with_tracer(tracer);
    // Where in our source a span is made is nothing to an operator.
    let layer = layer.with_location(false).with_threads(false).with_target(false);
    let layer = layer.with_tracked_inactivity(false).with_context_activation(false);
    // No event: a log line within a span may have anything in it.
    let spans = filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET);
    Ok(log.with(layer.with_filter(spans)).into())
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::Span;
    use tracing::dispatcher::with_default;

    use super::*;

    /// As of a host call.
    fn span() -> Span {
        tracing::info_span!(target: TARGET, "read")
    }

    #[test]
    fn without_traces_no_span_is_made_however_much_is_logged() {
        for log in ["off", "info", "trace", "info,wheelhouse::trace=trace"] {
            for log_format in [LogFormat::Text, LogFormat::Json] {
                let args = LogArgs { log_format, log: log.to_owned() };
                let off = subscriber(&args, None).unwrap();
                assert!(with_default(&off, span).is_disabled(), "{log}");
                let tracer = SdkTracerProvider::builder().build().tracer("test");
                let on = subscriber(&args, Some(tracer)).unwrap();
                assert!(!with_default(&on, span).is_disabled(), "{log}");
            }
        }
    }
}
