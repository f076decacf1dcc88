//! The door: every request comes through here, and goes on only if its sender may make it.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::response::Response;
use http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::attributes::Attributes;
use super::tokens::ISSUER;
use super::user::User;
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::{accept, faults, respond};

/// Answers any request. Behind the door, `Arc<User>` among its extensions says who sent it; in an open cluster
/// there is none.
pub(crate) async fn handle(Shared(cluster): Shared<Arc<Cluster>>, request: Request) -> Response {
    if cluster.access.is_open() {
        return faults::handle(Shared(cluster), request).await;
    }
    let (mut parts, body) = request.into_parts();
    // No future is needed for it, but a clock.
    match cluster.clock.scope(async { enter(&cluster, &parts) }).await {
        Ok(user) => {
            parts.extensions.insert(Arc::new(user));
            match issuer_document(&cluster, &parts) {
                Some(document) => document,
                None => faults::handle(Shared(cluster.clone()), Request::from_parts(parts, body)).await,
            }
        }
        Err(error) => {
            let path = parts.uri.path();
            tracing::debug!(method = %parts.method, path, code = error.code, %error, "not let in");
            let mut response = respond::error(&error);
            if error.code == StatusCode::FORBIDDEN.as_u16() {
                // What is refused says again what was asked for, which nobody is to take for something else.
                response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            }
            match accept::wants_yaml(&parts.headers) {
                true => respond::in_yaml(response).await,
                false => response,
            }
        }
    }
}

/// Who a request is of, if they may make it.
fn enter(cluster: &Cluster, parts: &Parts) -> Result<User, ApiError> {
    let (access, store) = (&cluster.access, &cluster.store);
    let sender = access.authenticate(store, &parts.headers)?;
    let user = access.impersonate(store, sender, &parts.headers)?;
    access.require(store, &user, &Attributes::of(parts))?;
    Ok(user)
}

/// What others need to check the tokens of ServiceAccounts themselves (OpenID Connect Discovery 1.0).
fn issuer_document(cluster: &Cluster, parts: &Parts) -> Option<Response> {
    let (media_type, document) = match (parts.method.as_str(), parts.uri.path()) {
        ("GET", "/.well-known/openid-configuration") => (
            respond::JSON,
            json!({
                "issuer": ISSUER,
                "jwks_uri": format!("https://{}/openid/v1/jwks", cluster.config.addr),
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }),
        ),
        ("GET", "/openid/v1/jwks") => ("application/jwk-set+json", cluster.access.signer.key_set()),
        _ => return None,
    };
    let mut response = respond::bytes(StatusCode::OK, media_type, document.to_string());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    Some(response)
}
