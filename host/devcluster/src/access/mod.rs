//! Access control: who sends a request (TLS, tokens, ServiceAccounts, impersonation), and whether they may.
//!
//! It stands before everything else (`gate`): what is refused has not been read, and a refusal says nothing
//! about what there is. In a cluster that is [`AccessMode::Open`] it lets all through, and reviews say yes.
//! Roles and bindings are evaluated as kube-apiserver's RBAC authorizer evaluates them; a change of one is in
//! force for the next request.

mod attributes;
mod authenticate;
mod authorize;
mod bootstrap;
mod bootstrap_rules;
mod config;
mod controllers;
mod cover;
mod escalate;
mod gate;
mod impersonate;
mod index;
mod jwt;
mod keys;
mod kubeconfig;
mod proof;
mod reviews;
mod rule;
pub(crate) mod shape;
mod tls;
mod tokens;
mod user;

use std::path::Path;
use std::sync::Arc;

pub use config::{Access, AccessMode, TokenUser};
use tokio_rustls::rustls::ServerConfig;

use crate::error::ApiError;
use crate::kind::Kind;
use crate::object::Json;
use crate::store::{Key, Store};

pub(crate) use attributes::{Attributes, ResourceAttributes};
pub(crate) use controllers::{prepare, run};
pub(crate) use gate::handle;
pub(crate) use kubeconfig::kubeconfig;
pub(crate) use reviews::{requester, review};
pub(crate) use tls::{TlsListener, no_delay};
pub(crate) use tokens::request as request_token;
pub(crate) use user::User;

/// The administrator's name.
pub(crate) const ADMIN: &str = "wheelhouse-dev";

/// What a server knows about access.
#[derive(Debug)]
pub(crate) struct State {
    mode: AccessMode,
    /// The administrator, and those that were configured.
    users: Vec<TokenUser>,
    signer: jwt::Signer,
    tls: Option<Tls>,
    roles: index::Indexed,
}

#[derive(Debug)]
struct Tls {
    /// The authority's certificate, as PEM.
    authority: String,
    config: Arc<ServerConfig>,
}

impl State {
    /// Makes the server's keys, or reads those that are kept in its data directory. The error says what is wrong.
    pub(crate) fn new(access: &Access, data_dir: Option<&Path>) -> Result<Self, String> {
        if let Some(problem) = access.problem() {
            return Err(problem);
        }
        // An open server's tokens open nothing: there is nothing to keep.
        let keys = keys::Keys::load(data_dir.filter(|_| access.mode != AccessMode::Open))?;
        let tls = match access.mode {
            AccessMode::Open => None,
            AccessMode::Tls | AccessMode::Rbac => Some(Tls {
                config: tls::server_config(&keys.authority)?,
                authority: keys.authority_certificate,
            }),
        };
        let admin = TokenUser::new(ADMIN, &keys.admin_token).group(user::MASTERS);
        let users = std::iter::once(admin).chain(access.users.iter().cloned()).collect();
        let signer = jwt::Signer::new(&keys.service_accounts)?;
        Ok(Self { mode: access.mode, users, signer, tls, roles: index::Indexed::default() })
    }

    /// Whether nobody is asked who they are.
    pub(crate) fn is_open(&self) -> bool {
        self.mode == AccessMode::Open
    }

    /// Whether roles decide who may do what.
    fn has_rules(&self) -> bool {
        self.mode == AccessMode::Rbac
    }

    /// What the server offers in a TLS handshake, if it speaks TLS.
    pub(crate) fn tls_config(&self) -> Option<Arc<ServerConfig>> {
        self.tls.as_ref().map(|tls| tls.config.clone())
    }
}

/// Checks what a write gives to others, which its author must have.
pub(crate) fn check_write(
    state: &State,
    store: &Store,
    author: Option<&User>,
    place: (&Kind, &Key),
    json: &Json,
    old: Option<&Json>,
) -> Result<(), ApiError> {
    match author {
        Some(author) => escalate::check(state, store, author, place, json, old),
        None => Ok(()),
    }
}
