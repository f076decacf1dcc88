//! What a client notices of access control: TLS, tokens, roles, ServiceAccounts, impersonation, reviews.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test's support cannot do fails the test"
)]

#[path = "../support/answer.rs"]
mod answer;
#[path = "../support/embedded.rs"]
mod embedded;
#[path = "../foreign/embedded_only.rs"]
mod embedded_only;
mod place;
#[path = "../foreign/sandbox.rs"]
mod sandbox;
mod support;

mod authentication;
mod authorization;
mod bootstrap;
mod claims;
mod escalation;
mod impersonation;
mod persistence;
mod reviews;
mod roles;
mod service_accounts;
mod tls;
