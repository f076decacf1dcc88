//! What a client notices of the development cluster, over real HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test's support cannot do fails the test"
)]

mod support;

mod answers;
mod apply;
mod custom_resources;
mod deletes;
mod discovery;
mod garbage;
mod immutable;
mod kube_client;
mod lists;
mod managers;
mod objects;
mod patches;
mod server;
mod tables;
mod updates;
mod watches;
mod workloads;
