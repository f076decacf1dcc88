//! What a client notices of the development cluster, over real HTTP.

mod support;

mod apply;
mod custom_resources;
mod discovery;
mod garbage;
mod kube_client;
mod lists;
mod objects;
mod patches;
mod server;
mod watches;
mod workloads;
