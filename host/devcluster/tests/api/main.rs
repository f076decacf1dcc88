//! What a client notices of the development cluster, over real HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test's support cannot do fails the test"
)]

mod foreign;
mod support;

mod apply;
mod custom_resources;
mod discovery;
mod faults;
mod garbage;
mod kube_client;
mod lists;
mod objects;
mod patches;
mod server;
mod watches;
mod workload_kinds;
mod workloads;
