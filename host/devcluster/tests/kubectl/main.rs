//! The real `kubectl` (1.32 or newer) against the development cluster, as a person would use it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test's support cannot do fails the test"
)]

#[path = "../foreign/embedded_only.rs"]
mod embedded_only;
#[path = "../support/kubectl_version.rs"]
mod kubectl_version;
mod support;

mod access;
mod apply;
mod change;
mod custom;
mod delete;
mod edit;
mod get;
mod nodes;
mod types;
mod waits;
mod workloads;
