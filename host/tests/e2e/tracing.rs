//! Traces, as a collector gets them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use prost::Message as _;
use serde_json::json;

use crate::support::{Host, eventually, wheelhouse, with};

/// A span, as far as a test looks at it.
#[derive(Clone, Debug)]
struct Span {
    name: String,
    trace: Vec<u8>,
    id: Vec<u8>,
    parent: Vec<u8>,
    failed: bool,
    attributes: BTreeMap<String, String>,
    service: String,
    events: usize,
    begun: u64,
    ended: u64,
}

impl Span {
    fn has(&self, attribute: &str, value: &str) -> bool {
        self.attributes.get(attribute).is_some_and(|other| other == value)
    }
}

/// Takes what hosts export.
struct Collector {
    address: String,
    spans: Arc<Mutex<Vec<Span>>>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &any_value::Value| match value {
        any_value::Value::StringValue(text) => text.clone(),
        any_value::Value::IntValue(number) => number.to_string(),
        any_value::Value::BoolValue(truth) => truth.to_string(),
        other => format!("{other:?}"),
    };
    let one = |pair: &KeyValue| {
        let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
        (pair.key.clone(), value.map(text).unwrap_or_default())
    };
    let map: BTreeMap<String, String> = all.iter().map(one).collect();
    assert_eq!(map.len(), all.len(), "an attribute twice: {all:?}");
    map
}

fn spans(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut all = Vec::new();
    for of_resource in request.resource_spans {
        let resource = attributes(&of_resource.resource.unwrap().attributes);
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            all.push(Span {
                attributes: attributes(&span.attributes),
                failed: span.status.is_some_and(|status| status.code == 2),
                name: span.name,
                trace: span.trace_id,
                id: span.span_id,
                parent: span.parent_span_id,
                service: resource["service.name"].clone(),
                events: span.events.len(),
                begun: span.start_time_unix_nano,
                ended: span.end_time_unix_nano,
            });
        }
    }
    all
}

impl Collector {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (all, bytes) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (taken, raw) = (Arc::clone(&all), Arc::clone(&bytes));
        let take = post(move |headers: HeaderMap, body: Bytes| async move {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            raw.lock().unwrap().extend_from_slice(&body);
            taken.lock().unwrap().extend(spans(ExportTraceServiceRequest::decode(body).unwrap()));
            StatusCode::OK
        });
        let router = axum::Router::new().route("/v1/traces", take);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, spans: all, bytes }
    }

    fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }
}

fn config_map(name: &str) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "labels": {"hello": "world"}},
        "data": {"password": "hunter2"}})
}

#[tokio::test]
async fn a_reconcile_is_a_trace_with_its_reads_and_writes_and_without_contents() {
    let collector = Collector::start().await;
    let endpoint = format!("http://{}", collector.address);
    let mut host = Host::start_sharing(&["hello", "hostile"], &["--otlp-endpoint", &endpoint]).await;
    host.until_running("hello.wasm").await;
    host.until_running("hostile.wasm").await;
    for name in ["friend", "get-live", "panic-with-contents"] {
        host.create(config_map(name)).await;
    }
    let maps = host.api("v1/ConfigMap", "default");
    eventually("a greeting", || async { maps.get("friend").await.ok()?.metadata.annotations }).await;
    let traps = "controller_runtime_reconcile_panics_total{controller=\"hostile\"}";
    eventually("a trap", || async { (host.metric(traps) >= 1.0).then_some(()) }).await;
    // What waits is sent at the end.
    host.signal("-TERM");
    assert!(host.exit().await.success(), "{}", host.log());

    let spans = collector.spans();
    let shown = || spans.iter().map(|span| format!("{span:?}\n")).collect::<String>();
    let find = |what: &str, is: &dyn Fn(&Span) -> bool| {
        spans.iter().find(|span| is(span)).unwrap_or_else(|| panic!("no {what} in\n{}", shown())).clone()
    };
    let write = find("write", &|span| span.has("verb", "patch") && span.has("key", "default/friend"));
    assert_eq!(write.name, "patch v1/ConfigMap");
    assert!(write.has("source", "live") && write.has("result", "ok") && !write.failed, "{write:?}");
    let reconcile = find("its reconcile", &|span| span.id == write.parent);
    assert_eq!((reconcile.name.as_str(), reconcile.service.as_str()), ("reconcile hello", "wheelhouse"));
    assert!(reconcile.parent.is_empty() && reconcile.trace == write.trace);
    for (attribute, value) in
        [("plugin", "hello"), ("key", "default/friend"), ("attempt", "1"), ("result", "success")]
    {
        assert!(reconcile.has(attribute, value), "{attribute}: {reconcile:?}");
    }
    let digest = &reconcile.attributes["revision"];
    assert!(digest.len() == 12 && !reconcile.attributes["reconcile_id"].is_empty(), "{reconcile:?}");
    assert!(reconcile.begun <= write.begun && write.ended <= reconcile.ended);
    let read = find("read", &|span| span.parent == reconcile.id && span.has("verb", "get"));
    assert!(read.has("source", "cache") && read.has("result", "ok"), "{read:?}");

    let live = find("live read", &|span| span.has("verb", "get") && span.has("source", "live"));
    assert!(live.has("key", "default/get-live"), "{live:?}");
    let trap = find("trap", &|span| span.has("key", "default/panic-with-contents") && span.failed);
    assert!(trap.has("result", "trap") && trap.name == "reconcile hostile", "{trap:?}");

    // Every read and write is within a call, and no log line has come along.
    for span in &spans {
        let of_call = span.name.starts_with("reconcile ") || span.name.starts_with("map ");
        assert_eq!(span.parent.is_empty(), of_call, "{span:?}");
        assert_eq!(span.events, 0, "{span:?}");
    }
    let bytes = collector.bytes.lock().unwrap().clone();
    assert!(!bytes.windows(7).any(|part| part == b"hunter2"));
    // The log is as it is without traces.
    assert!(!host.log().contains("otel.name"), "{}", host.log());
}

#[tokio::test]
async fn a_collector_that_is_away_is_complained_of_once_and_holds_nothing_up() {
    // A port that was free a moment ago.
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = with(&["hello"]);
    let mut command = wheelhouse();
    command.args(["dev", "--admin-addr", "127.0.0.1:0", "--plugin-dir"]).arg(folder.path());
    // As the specification has it. It is sent at once.
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{nowhere}"));
    command.env("OTEL_BSP_SCHEDULE_DELAY", "10");
    let mut host = Host::of_command(&mut command, folder).await;
    host.until_running("hello.wasm").await;
    for i in 0..3 {
        host.create(config_map(&format!("friend-{i}"))).await;
        let success = "controller_runtime_reconcile_total{controller=\"hello\",result=\"success\"}";
        let before = f64::from(i);
        eventually("it is reconciled", || async { (host.metric(success) > before).then_some(()) }).await;
    }
    host.logged("traces are lost until the collector takes them again").await;
    host.signal("-TERM");
    assert!(host.exit().await.success(), "{}", host.log());
    assert_eq!(host.log().matches("traces are lost until").count(), 1, "{}", host.log());
}

#[tokio::test]
async fn a_collector_that_is_slow_is_complained_of_once_and_holds_nothing_up() {
    // It takes connections, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = with(&["hello"]);
    let mut command = wheelhouse();
    command.args(["dev", "--admin-addr", "127.0.0.1:0", "--plugin-dir"]).arg(folder.path());
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", silent.local_addr().unwrap()));
    // One span may wait, beside the one that is being sent.
    command.env("OTEL_BSP_MAX_QUEUE_SIZE", "1");
    command.env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1");
    let mut host = Host::of_command(&mut command, folder).await;
    host.until_running("hello.wasm").await;
    let success = "controller_runtime_reconcile_total{controller=\"hello\",result=\"success\"}";
    for i in 0..3 {
        let before = host.metric(success);
        host.create(config_map(&format!("friend-{i}"))).await;
        eventually("it is reconciled", || async { (host.metric(success) > before).then_some(()) }).await;
    }
    host.logged("dropped a Span due to queue full").await;
    host.signal("-TERM");
    assert!(host.exit().await.success(), "{}", host.log());
    let log = host.log();
    assert_eq!(log.matches("SpanDroppingStarted").count(), 1, "{log}");
    assert_eq!(log.matches("SpansDropped").count(), 1, "{log}");
}

#[test]
fn an_address_for_traces_that_is_none_ends_the_command() {
    let output = wheelhouse()
        .args(["dev", "--plugin-dir", ".", "--otlp-endpoint", "http://user:secret@collector"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.contains("--otlp-endpoint") && line.contains("OTEL_EXPORTER_OTLP_HEADERS"), "{line}");
    assert!(!line.contains("secret"), "{line}");
}
