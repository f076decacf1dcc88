//! What the server says of itself: its version and health, and what it serves, as discovery and as OpenAPI.

use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::registry::Served;
use crate::route::Route;
use crate::{accept, discovery, openapi, respond};

const V2_DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

const V2_OPENAPI: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// The document at a path that is no resource's.
pub(crate) fn document(cluster: &Cluster, served: &Served, route: &Route, headers: &HeaderMap) -> Response {
    let aggregated = accept::aggregated_discovery(headers);
    let found = |document: Option<Value>| match document {
        Some(document) => respond::document(&document),
        None => respond::no_such_path(),
    };
    match route {
        Route::Version => respond::document(&discovery::version()),
        Route::Health => respond::bytes(StatusCode::OK, "text/plain; charset=utf-8", "ok"),
        Route::Root => respond::document(&discovery::root(served)),
        Route::CoreVersions | Route::Groups if aggregated => {
            let document = discovery::aggregated(served, matches!(route, Route::CoreVersions));
            respond::bytes(StatusCode::OK, V2_DISCOVERY, document.to_string())
        }
        Route::CoreVersions => respond::document(&discovery::core_versions(&cluster.config.addr.to_string())),
        Route::Groups => respond::document(&discovery::groups(served)),
        Route::Group(group) => found(discovery::group(served, group)),
        Route::Resources { group, version } => found(discovery::resources(served, group, version)),
        Route::OpenApiIndex => respond::document(&openapi::index(cluster, served)),
        Route::OpenApi { group, version } => found(openapi::document(served, group, version)),
        Route::OpenApiV2 if accept::names(headers, V2_OPENAPI) => {
            // The type that it is asked for by is not one that a client can read in an answer.
            let media_type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
            respond::bytes(StatusCode::OK, media_type, openapi::v2_in_protobuf())
        }
        Route::OpenApiV2 => respond::document(&openapi::v2()),
        Route::Resource(_) => respond::no_such_path(),
    }
}
