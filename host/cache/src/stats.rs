//! Counters of one informer, for whoever exposes metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wheelhouse_core::{Fields, Kind, Scope};

use crate::sync::{Mutex, PoisonError};

/// Counts, as they happen.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) added: AtomicU64,
    pub(crate) modified: AtomicU64,
    pub(crate) deleted: AtomicU64,
    pub(crate) bookmarks: AtomicU64,
    pub(crate) unreadable: AtomicU64,
    pub(crate) lists: AtomicU64,
    pub(crate) errors: Mutex<BTreeMap<&'static str, u64>>,
    pub(crate) first_sync: Mutex<Option<Duration>>,
}

impl Counters {
    pub(crate) fn error(&self, reason: &'static str) {
        *self.errors.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    pub(crate) fn errors(&self) -> Vec<(&'static str, u64)> {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.iter().map(|(reason, count)| (*reason, *count)).collect()
    }

    /// By type, as a watch spells them; `UNREADABLE` for those whose object does not decode.
    pub(crate) fn events(&self) -> [(&'static str, u64); 5] {
        [
            ("ADDED", read(&self.added)),
            ("MODIFIED", read(&self.modified)),
            ("DELETED", read(&self.deleted)),
            ("BOOKMARK", read(&self.bookmarks)),
            ("UNREADABLE", read(&self.unreadable)),
        ]
    }
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
    /// What its watch brings of it.
    pub scope: Scope,
    /// What is kept of each object.
    pub fields: Fields,
    /// Whether its first list has been applied.
    pub synced: bool,
    /// How long that took, from the start of the informer.
    pub first_sync: Option<Duration>,
    /// Objects in the store.
    pub objects: u64,
    /// The sum of their encoded sizes.
    pub bytes: u64,
    /// Objects that are there, and cannot be made sense of.
    pub unreadable: u64,
    /// Entries of each index.
    pub index_entries: Vec<(String, u64)>,
    /// Subscriptions.
    pub subscriptions: u64,
    /// Watch events by type.
    pub events: Vec<(&'static str, u64)>,
    /// Lists that were applied after the first.
    pub relists: u64,
    /// Lists and watches that failed, by [`crate::Failure::reason`].
    pub errors: Vec<(&'static str, u64)>,
}
