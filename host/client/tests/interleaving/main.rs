//! What several threads do to what a plugin sees at once, in many orders, under a model checker (shuttle).
//!
//! The client's own sources, and the cache's, are compiled once more here, with the model checker's locks,
//! flags and signals in place of those of their `sync.rs`. See the cache's tests of this name.
#![cfg(test)]
#![allow(dead_code, unreachable_pub, unused_imports, reason = "of the sources, only a part is used here")]

/// What the client's sources know the cache's by.
extern crate self as wheelhouse_cache;

pub use crate::informer::Informer;
pub use crate::snapshot::{Pager, Query, Scan, Snapshot, UnknownIndex};
pub use crate::store::OWNER_INDEX;

#[path = "../../src/breaks.rs"]
mod breaks;
#[path = "../../../cache/src/fifo.rs"]
mod fifo;
#[path = "../../../cache/src/index.rs"]
mod index;
#[path = "../../../cache/src/informer.rs"]
mod informer;
#[path = "../../../cache/src/leases.rs"]
mod leases;
#[path = "../../../cache/src/list_watch.rs"]
mod list_watch;
#[path = "../../../cache/tests/interleaving/order.rs"]
mod order;
#[path = "../../src/overlay.rs"]
mod overlay;
#[path = "../../src/read.rs"]
mod read;
#[path = "../../src/reads.rs"]
mod reads;
#[path = "../../../cache/tests/interleaving/resource.rs"]
mod resource;
#[path = "../../../cache/tests/interleaving/rest.rs"]
mod rest;
#[path = "../../src/seconds.rs"]
mod seconds;
#[path = "../../../cache/src/sink.rs"]
mod sink;
#[path = "../../../cache/src/snapshot.rs"]
mod snapshot;
#[path = "../../../cache/src/stats.rs"]
mod stats;
#[path = "../../../cache/src/store.rs"]
mod store;
#[path = "../../../cache/src/subscription.rs"]
mod subscription;
#[path = "../../../cache/tests/interleaving/sync.rs"]
mod sync;
#[path = "../../../cache/src/version.rs"]
pub mod version;
#[path = "../../src/view.rs"]
mod view;
#[path = "../../../cache/tests/interleaving/world.rs"]
mod world;
#[path = "../../../cache/src/writer.rs"]
mod writer;

mod remembering;
mod server;
mod sharing;
