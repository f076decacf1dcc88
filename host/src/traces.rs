//! Traces by OpenTelemetry: one for each reconcile, with its reads and writes, as protobuf over HTTP to a
//! collector. They are off unless an address is given, by `--otlp-endpoint` or by the variables that
//! OpenTelemetry's specification has for it; its other variables count as well (sampling, headers, the
//! service's name).
//!
//! What waits to be sent is bounded, and what there is no room for is lost: a collector that is slow or away
//! holds nothing up, and is complained of once. At the end, what waits is sent, within [`END`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;

/// How long the end may take.
pub(crate) const END: Duration = Duration::from_secs(5);
/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer, of which nothing is made.
const ANSWER: usize = 64 << 10;

/// Where the specification has the address of traces, and that of everything, which has a path added to it.
const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const ALL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// The traces of a host. Whoever drops it without [`Traces::end`] loses what waits.
pub(crate) struct Traces {
    provider: Option<SdkTracerProvider>,
}

impl Traces {
    /// To this address, or to that of the environment; none if there is neither. Call it within a runtime.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub(crate) fn start(endpoint: Option<&str>) -> anyhow::Result<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some((address, from)) = address(endpoint, variable) else { return Ok(Self { provider: None }) };
        let context = || format!("{from}: no traces can be sent there");
        let uri = parse(&address).with_context(context)?;
        let sender = Sender::new(&uri).with_context(context)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(sender)
            .with_endpoint(&address)
            .with_timeout(TIMEOUT)
            .build()
            .with_context(context)?;
        let mut resource = Resource::builder();
        if variable("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("wheelhouse");
        }
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter);
        Ok(Self { provider: Some(provider.with_resource(resource.build()).build()) })
    }

    /// What makes the spans; none if traces are off.
    pub(crate) fn tracer(&self) -> Option<SdkTracer> {
        Some(self.provider.as_ref()?.tracer("wheelhouse"))
    }

    /// Sends what waits, and no more.
    pub(crate) async fn end(self) {
        let Some(provider) = self.provider else { return };
        // It blocks until its thread has ended.
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(END));
        match tokio::time::timeout(END, ended).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!("the last traces may be lost: {error}"),
            _ => tracing::warn!("the last traces are lost: they could not be sent within {END:?}"),
        }
    }
}

/// The address with its path, and what has named it.
fn address(flag: Option<&str>, variable: impl Fn(&str) -> Option<String>) -> Option<(String, &'static str)> {
    let whole = |base: &str| format!("{}/v1/traces", base.trim_end_matches('/'));
    if let Some(base) = flag {
        return Some((whole(base), "--otlp-endpoint"));
    }
    if let Some(address) = variable(TRACES) {
        return Some((address, TRACES));
    }
    variable(ALL).map(|base| (whole(&base), ALL))
}

fn parse(address: &str) -> anyhow::Result<Uri> {
    // Without the address: a user and a password in it are not for the log.
    let uri: Uri = address.parse().map_err(|_| anyhow!("it is no URL such as http://127.0.0.1:4318"))?;
    ensure!(
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some(),
        "it is no http:// or https:// URL"
    );
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        bail!("a URL with a user in it is not taken: OTEL_EXPORTER_OTLP_HEADERS can have an authorization");
    }
    Ok(uri)
}

/// Sends requests from the exporter's thread, which is none of the runtime's.
#[derive(Debug)]
struct Sender {
    client: Client,
    runtime: Handle,
    /// Whether it was said that the collector is in trouble.
    said: AtomicBool,
}

/// kube's HTTP client, for another server than Kubernetes': there is no second HTTP stack for it.
#[derive(Clone)]
struct Client(kube::Client);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Sender {
    fn new(uri: &Uri) -> anyhow::Result<Self> {
        // Each request has its path; it has no credentials but those of its headers.
        let server = Uri::builder()
            .scheme(uri.scheme_str().unwrap_or_default())
            .authority(uri.authority().map_or("", |authority| authority.as_str()))
            .path_and_query("/")
            .build()?;
        let client = wheelhouse_cache::rest::connect(kube::Config::new(server))?;
        Ok(Self { client: Client(client), runtime: Handle::current(), said: AtomicBool::new(false) })
    }
}

async fn send(client: kube::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let response = client.send(request.map(Body::from)).await?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER).collect().await?.to_bytes();
    Ok(Response::from_parts(parts, body))
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sending = tokio::time::timeout;
        let client = self.client.0.clone();
        let answer = self.runtime.spawn(async move { sending(TIMEOUT, send(client, request)).await });
        let answer = match answer.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(late)) => Err(late.into()),
            Err(ended) => Err(ended.into()),
        };
        let trouble = match &answer {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answers {}", response.status())),
            Err(error) => Some(error.to_string()),
        };
        match trouble {
            None => self.said.store(false, Ordering::Relaxed),
            Some(trouble) if !self.said.swap(true, Ordering::Relaxed) => {
                tracing::warn!("traces are lost until the collector takes them again: {trouble}");
            }
            Some(_) => {}
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_flags_or_the_specifications() {
        let of = |flag: Option<&str>, known: &'static [&str]| {
            address(flag, move |name| known.contains(&name).then(|| format!("http://{name}")))
        };
        assert_eq!(of(None, &[]), None);
        assert_eq!(of(Some("http://c:4318/"), &[ALL]).unwrap().0, "http://c:4318/v1/traces");
        assert_eq!(of(None, &[ALL]).unwrap().0, format!("http://{ALL}/v1/traces"));
        assert_eq!(of(None, &[ALL, TRACES]).unwrap(), (format!("http://{TRACES}"), TRACES));
    }

    #[test]
    fn an_address_with_a_mistake_is_refused_without_repeating_it() {
        assert!(parse("http://collector:4318/v1/traces").is_ok());
        for bad in ["collector:4318", "grpc://collector:4317/", "http://", "http://u:secret@c/", "a b"] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
