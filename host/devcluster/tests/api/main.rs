//! What a client notices of the development cluster, over real HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test's support cannot do fails the test"
)]

mod support;

mod apply;
mod cel;
mod custom_resources;
mod discovery;
mod formats;
mod garbage;
mod kube_client;
mod lists;
mod names;
mod objects;
mod patches;
mod ratcheting;
mod server;
mod stored_shapes;
mod structural;
mod watches;
mod workloads;
