//! The cache: one watch and one store for each kind and scope, shared by every plugin.
//!
//! ```text
//! API server ─ ListWatch ▶ Reflector ▶ Store (+ indexes) ─▶ reads
//!                                └──▶ one delta FIFO per subscription ─▶ handlers
//! ```
//!
//! What it promises:
//! - a store is *synced* once its first list has been applied whole, and is never empty or partial
//!   again because of a relist;
//! - an object never goes back in time ([`version`]);
//! - a query is answered from one snapshot;
//! - no more of a kind is watched than somebody wants ([`Interest`]), no more of an object is kept than
//!   somebody reads, and nobody sees a field that somebody else alone has asked for;
//! - an object that does not decode leaves no older version of itself behind, and readers are told;
//! - a subscription sees every key's last state, deletions included, and nothing that it does or
//!   leaves undone delays the watch.
//!
//! What it does not: that it is as new as the API server, or that a handler sees every state between.

mod backoff;
mod connection;
mod credentials;
mod decode;
mod error;
mod factory;
mod failure;
mod fifo;
mod index;
mod informer;
mod initial;
mod interest;
mod kube_list_watch;
mod leases;
mod list_watch;
mod reflector;
mod requests;
mod resource;
pub mod rest;
mod sink;
mod snapshot;
mod stats;
mod store;
#[cfg(test)]
mod store_model;
mod subscription;
mod sync;
pub mod version;
mod writer;

pub use decode::{Decoder, Item};
pub use error::CacheError;
pub use factory::InformerFactory;
pub use fifo::{Cause, Delta};
pub use index::IndexFn;
pub use informer::Informer;
pub use interest::Interest;
pub use kube_list_watch::KubeListWatch;
pub use list_watch::{
    BoxFuture, Event, EventStream, ListPage, ListRequest, ListWatch, Unreadable, WatchRequest,
};
pub use reflector::ReflectorConfig;
pub use requests::Requests;
pub use resource::{ApiResource, ResourceMap};
pub use rest::{ConnectError, Failure, Rest, Rotation, Status};
pub use snapshot::{Pager, Query, Scan, Snapshot, UnknownIndex};
pub use stats::InformerStats;
pub use store::{OWNER_INDEX, Store};
pub use subscription::{Progress, Subscription};
