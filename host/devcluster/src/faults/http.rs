//! Where faults meet requests, and the endpoint `/faults`, which a cluster serves that is told to.
//!
//! `POST /faults` takes one fault, such as `{"fault": "refuse", "code": 429, "retryAfterSeconds": 1,
//! "method": "GET", "resource": "pods", "next": 3}`; `DELETE /faults` ends them all. The others are
//! `latency` and `delayEvents` (with `milliseconds`), `dropWatches`, `silentWatches`, `duplicateEvents`,
//! `compact` and `clock` (with `aheadSeconds`).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, header::RETRY_AFTER};
use serde_json::{Value, json};

use super::{Fault, Faults, Injection};
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::object::Json;
use crate::route::{self, Route};
use crate::server::GRACE;
use crate::{body, handler, respond};

const PATH: &str = "/faults";

/// Answers any request, unless it meets a fault. Once the server stops there is so much time left for it.
pub(crate) async fn handle(State(cluster): State<Arc<Cluster>>, request: Request) -> Response {
    let mut stopping = cluster.stopping.subscribe();
    let end = async move {
        // An error means that the cluster is gone.
        let _ = stopping.wait_for(|stop| *stop).await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        response = answer(cluster, request) => response,
        () = end => refuse(503, None),
    }
}

async fn answer(cluster: Arc<Cluster>, request: Request) -> Response {
    if cluster.config.faults && request.uri().path() == PATH {
        return endpoint(cluster, request).await.unwrap_or_else(|error| respond::error(&error));
    }
    if cluster.faults.has_rules() {
        let served = cluster.registry.served();
        let plural = match route::parse(request.uri().path(), &served) {
            Some(Route::Resource(target)) => target.kind.plural.clone(),
            _ => String::new(),
        };
        let verdict = cluster.faults.judge(request.method().as_str(), &plural);
        if !verdict.latency.is_zero() {
            tokio::time::sleep(verdict.latency).await;
        }
        if let Some((code, retry_after)) = verdict.refusal {
            return refuse(code, retry_after);
        }
    }
    let clock = cluster.clock.clone();
    clock.scope(handler::handle(State(cluster), request)).await
}

fn refuse(code: u16, retry_after: Option<Duration>) -> Response {
    let (reason, message) = match code {
        429 => (
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later",
        ),
        500 => ("InternalError", "Internal error occurred: a fault that was asked for"),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
        _ => ("", "a fault that was asked for"),
    };
    let seconds = retry_after.map(|after| after.as_secs());
    let details = seconds.map(|seconds| json!({ "retryAfterSeconds": seconds }));
    let error = ApiError {
        code,
        reason,
        message: message.to_owned(),
        details,
        continue_token: None,
        warnings: Box::default(),
    };
    let mut response = respond::error(&error);
    if let Some(seconds) = seconds {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

async fn endpoint(cluster: Arc<Cluster>, request: Request) -> Result<Response, ApiError> {
    let faults = Faults::new(cluster);
    match *request.method() {
        Method::POST => {
            let bytes = body::read(request.into_body()).await?;
            faults.inject(parse(&body::decode_object(&bytes, respond::JSON)?)?);
        }
        Method::DELETE => faults.clear(),
        _ => return Err(ApiError::method_not_allowed("the faults: POST one or DELETE all")),
    }
    Ok(respond::bytes(StatusCode::OK, respond::JSON, "{}"))
}

fn parse(json: &Json) -> Result<Injection, ApiError> {
    const KNOWN: &[&str] = &[
        "fault",
        "milliseconds",
        "code",
        "retryAfterSeconds",
        "aheadSeconds",
        "method",
        "resource",
        "next",
        "rate",
    ];
    if let Some(unknown) = json.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(ApiError::bad_request(format!("unknown field {unknown:?}: expected one of {KNOWN:?}")));
    }
    let wrong = |field: &str| ApiError::bad_request(format!("{field}: missing, or of the wrong type"));
    let number = |field: &str| json.get(field).and_then(Value::as_u64);
    let wait = || number("milliseconds").map(Duration::from_millis).ok_or_else(|| wrong("milliseconds"));
    let text = |field: &str| json.get(field).and_then(Value::as_str).unwrap_or_default();
    let fault = match text("fault") {
        "latency" => Fault::Latency(wait()?),
        "refuse" => Fault::Refuse {
            code: number("code")
                .and_then(|code| u16::try_from(code).ok())
                .filter(|code| (400..600).contains(code))
                .ok_or_else(|| wrong("code"))?,
            retry_after: number("retryAfterSeconds").map(Duration::from_secs),
        },
        "dropWatches" => Fault::DropWatches,
        "silentWatches" => Fault::SilentWatches,
        "delayEvents" => Fault::DelayEvents(wait()?),
        "duplicateEvents" => Fault::DuplicateEvents,
        "compact" => Fault::Compact,
        "clock" => {
            let ahead = json.get("aheadSeconds").and_then(Value::as_i64);
            Fault::ClockAhead(ahead.ok_or_else(|| wrong("aheadSeconds"))?)
        }
        other => return Err(ApiError::bad_request(format!("there is no fault {other:?}"))),
    };
    let mut injection = Injection::from(fault).method(text("method")).resource(text("resource"));
    if let Some(next) = number("next") {
        injection = injection.next(next);
    }
    if let Some(rate) = json.get("rate") {
        injection = injection.rate(rate.as_f64().ok_or_else(|| wrong("rate"))?);
    }
    Ok(injection)
}
