//! Counters of one informer, for whoever exposes metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use wheelhouse_core::Kind;

/// Counts, as they happen.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) events: AtomicU64,
    pub(crate) lists: AtomicU64,
    pub(crate) watch_errors: AtomicU64,
    pub(crate) undecodable: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// What an informer has and has done. Everything but the sizes only grows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InformerStats {
    /// Its kind.
    pub kind: Kind,
    /// Whether its first list has been applied.
    pub synced: bool,
    /// Objects in the store.
    pub objects: u64,
    /// The sum of their encoded sizes.
    pub bytes: u64,
    /// Entries of each index.
    pub index_entries: Vec<(String, u64)>,
    /// Subscriptions.
    pub subscriptions: u64,
    /// Watch events, bookmarks not counted.
    pub events: u64,
    /// Lists that were applied after the first.
    pub relists: u64,
    /// Lists and watches that failed.
    pub watch_errors: u64,
    /// Objects that did not decode.
    pub undecodable: u64,
}
