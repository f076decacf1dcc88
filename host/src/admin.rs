//! What an operator, a probe and a scraper ask the host, and what an operator has it do.
//!
//! Whoever reaches the address may ask. Orders are taken from the host's own machine alone (or its Pod, which
//! `kubectl exec` and `kubectl port-forward` lead into), and from no web page that a browser there shows.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use wheelhouse_core::printable::printable;

use crate::leader::Standing;
use crate::loader::What;
use crate::metrics;
use crate::plugins::Plugins;

/// Where the admin endpoints will be served.
///
/// # Errors
/// If the address cannot be had.
pub(crate) async fn listen(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| {
        format!("--admin-addr {addr}: cannot be listened on; choose another, or port 0 for a free one")
    })
}

/// Serves the admin endpoints until the task is aborted.
pub(crate) fn serve(listener: TcpListener, plugins: Plugins) -> JoinHandle<()> {
    if let Ok(addr) = listener.local_addr() {
        tracing::info!("admin endpoints: http://{addr}/plugins, /metrics, /healthz, /readyz");
    }
    let router = Router::new()
        .route("/", get(|| async { "wheelhouse: /plugins /metrics /healthz /readyz\n" }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .route("/plugins", get(list))
        .route("/plugins/{name}/revisions", get(revisions))
        .route("/plugins/{name}/{order}", post(order))
        .with_state(plugins)
        .into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!("the admin endpoints have ended: {error}");
        }
    })
}

async fn ready(State(plugins): State<Plugins>) -> impl IntoResponse {
    // Who stands by is ready, too: a rollout that waited for it to lead would wait for ever.
    let leases = plugins.standings().into_iter().map(|Standing { lease, leads, holder }| {
        let holder = printable(&holder, 256);
        match (leads, holder.as_str()) {
            (true, _) => format!("lease {lease}: held by this host, {holder}\n"),
            (false, "") => format!("lease {lease}: this host stands by, and nobody holds it\n"),
            (false, _) => format!("lease {lease}: this host stands by, and {holder} holds it\n"),
        }
    });
    let leases: String = leases.collect();
    if plugins.ready() {
        (StatusCode::OK, format!("ok\n{leases}"))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("plugins are being loaded\n{leases}"))
    }
}

async fn list(State(plugins): State<Plugins>) -> impl IntoResponse {
    let json = serde_json::to_string_pretty(&plugins.reports()).unwrap_or_else(|_| "[]".to_owned());
    ([(header::CONTENT_TYPE, "application/json")], json + "\n")
}

/// An error as the API server writes them, which the command line reads.
fn refusal(code: StatusCode, message: impl Into<String>) -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": message.into(), "reason": code.canonical_reason(), "code": code.as_u16()
    });
    (code, Json(status)).into_response()
}

fn unknown(plugins: &Plugins, name: &str) -> Response {
    let names = plugins.names().join(", ");
    let there = if names.is_empty() { "none is loaded".to_owned() } else { format!("there are {names}") };
    refusal(StatusCode::NOT_FOUND, format!("there is no plugin named {:?}; {there}", printable(name, 256)))
}

async fn revisions(State(plugins): State<Plugins>, Path(name): Path<String>) -> Response {
    match plugins.revisions(&name) {
        Some(revisions) => Json(revisions).into_response(),
        None => unknown(&plugins, &name),
    }
}

#[derive(Deserialize)]
struct Rollback {
    revision: Option<u64>,
}

async fn order(
    State(plugins): State<Plugins>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path((name, order)): Path<(String, String)>,
    Query(rollback): Query<Rollback>,
    headers: HeaderMap,
) -> Response {
    let what = match order.as_str() {
        "pause" => What::Pause,
        "resume" => What::Resume,
        "rollback" => What::Rollback(rollback.revision),
        _ => return refusal(StatusCode::NOT_FOUND, "the orders are pause, resume and rollback"),
    };
    if !is_local(peer, &headers) {
        let message = "orders are taken on 127.0.0.1 alone: use kubectl exec or kubectl port-forward";
        return refusal(StatusCode::FORBIDDEN, message);
    }
    match plugins.order(&name, what).await {
        Some(Ok(done)) => Json(json!({ "done": done })).into_response(),
        Some(Err(problem)) => refusal(StatusCode::CONFLICT, problem),
        None => unknown(&plugins, &name),
    }
}

/// Whether somebody on this machine asks, and not a page of elsewhere by way of a browser: that says where it
/// is from, or calls the host by another name.
fn is_local(peer: SocketAddr, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let loopback = matches!(name, "localhost" | "127.0.0.1" | "[::1]");
    peer.ip().to_canonical().is_loopback() && loopback && !headers.contains_key(header::ORIGIN)
}

async fn scrape(State(plugins): State<Plugins>) -> impl IntoResponse {
    match metrics::encode(&plugins) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            (StatusCode::OK, [(header::CONTENT_TYPE, kind)], text)
        }
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_orders_come_from_this_machine_and_from_no_web_page() {
        let local = |peer: &str, host: &'static str, origin: Option<&'static str>| {
            let mut headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            is_local(peer.parse().unwrap(), &headers)
        };
        for host in ["localhost:9440", "127.0.0.1:9440", "[::1]:9440", "localhost"] {
            assert!(local("127.0.0.1:5000", host, None), "{host}");
        }
        assert!(local("[::1]:5000", "localhost:9440", None));
        assert!(local("[::ffff:127.0.0.1]:5000", "localhost:9440", None), "by a socket of both families");
        assert!(!local("10.0.0.7:5000", "localhost:9440", None), "another Pod");
        assert!(!local("127.0.0.1:5000", "evil.example:9440", None), "a name that leads here");
        assert!(!local("127.0.0.1:5000", "localhost:9440", Some("http://evil.example")));
        assert!(!local("127.0.0.1:5000", "localhost:9440", Some("null")));
        assert!(!local("127.0.0.1:5000", "", None));
    }
}
