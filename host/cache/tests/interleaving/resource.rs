//! In place of `src/resource.rs`, which asks a server.

/// How the cluster serves a kind.
#[derive(Debug)]
pub struct ApiResource {
    /// Which.
    pub kind: wheelhouse_core::Kind,
    /// Whether its objects have namespaces.
    pub namespaced: bool,
}
