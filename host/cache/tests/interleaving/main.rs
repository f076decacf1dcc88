//! What several threads do to the cache at once, in many orders, under a model checker (shuttle).
//!
//! The cache's own sources are compiled once more here, with the model checker's locks, flags and
//! signals in place of those of `src/sync.rs`. What a test does is repeated with another order each time;
//! see [`order`] for how many, and how to repeat one that failed.
//!
//! What it does not show: what weaker memory orderings than the sequential one would allow; and no order
//! is certain to be tried.
#![cfg(test)]
#![allow(dead_code, unreachable_pub, unused_imports, reason = "of the sources, only a part is used here")]

#[path = "../../src/fifo.rs"]
mod fifo;
#[path = "../../src/index.rs"]
mod index;
#[path = "../../src/informer.rs"]
mod informer;
#[path = "../../src/leases.rs"]
mod leases;
#[path = "../../src/list_watch.rs"]
mod list_watch;
#[path = "../../src/sink.rs"]
mod sink;
#[path = "../../src/snapshot.rs"]
mod snapshot;
#[path = "../../src/stats.rs"]
mod stats;
#[path = "../../src/store.rs"]
mod store;
#[path = "../../src/subscription.rs"]
mod subscription;
#[path = "../../src/version.rs"]
mod version;
#[path = "../../src/writer.rs"]
mod writer;

mod filing;
mod narrowing;
mod order;
mod queueing;
mod resource;
mod rest;
mod subscribing;
mod sync;
mod world;
