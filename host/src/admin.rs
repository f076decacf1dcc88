//! What an operator, a probe and a scraper ask the host.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::task::JoinHandle;
use wheelhouse_core::printable::printable;

use crate::leader::Standing;
use crate::metrics;
use crate::plugins::Plugins;

/// Serves the admin endpoints until the task is aborted.
///
/// # Errors
/// If the address cannot be had.
pub(crate) async fn serve(addr: SocketAddr, plugins: Plugins) -> anyhow::Result<JoinHandle<()>> {
    let listener = tokio::net::TcpListener::bind(addr).await;
    let listener = listener.with_context(|| {
        format!("--admin-addr {addr}: cannot be listened on; choose another, or port 0 for a free one")
    })?;
    let addr = listener.local_addr()?;
    tracing::info!("admin endpoints: http://{addr}/plugins, /metrics, /healthz, /readyz");
    let router = Router::new()
        .route("/", get(|| async { "wheelhouse: /plugins /metrics /healthz /readyz\n" }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .route("/plugins", get(list))
        .with_state(plugins);
    Ok(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!("the admin endpoints have ended: {error}");
        }
    }))
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
