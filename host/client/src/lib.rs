//! The delegating client: what a plugin's reads and writes become.
//!
//! Reads come from the cache; from the API server while the cache has not synced, for kinds that are
//! permitted and not cached, and for what is beyond the part of a kind that is. Writes go to the API
//! server. What it promises:
//! - a read is never a "not found" that only means "not yet";
//! - a plugin reads its own writes, from the moment that they are answered ([`OwnWrites`]);
//! - nothing that could be done twice is sent twice, and nothing waits without a bound;
//! - the Events of a plugin are sent in the background, bounded in number and in time ([`EventRecorder`]).
//!
//! What it does not: that a cached read is as new as the API server, or that one plugin sees
//! another's writes before the watch has brought them.

mod api_error;
mod breaks;
mod client;
mod events;
mod host_events;
mod ledger;
mod live;
mod overlay;
#[cfg(test)]
mod overlay_tests;
mod place;
mod read;
mod reads;
mod seconds;
mod sync;
mod trace;
mod view;
mod write;

pub use client::{ClientConfig, ClientStats, PluginClient, Watched};
pub use events::{EventConfig, EventRecorder, EventStats};
pub use host_events::{HostEvents, Regarding};
pub use overlay::OwnWrites;
pub use reads::{KindReads, ReadMetrics, TIMED};
pub use seconds::Seconds;
