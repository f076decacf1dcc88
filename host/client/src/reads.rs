//! How many reads there were of each kind, from where, and how long they took.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prometheus_client::metrics::histogram::Histogram;
use wheelhouse_core::Kind;

/// Of so many cached reads, one is timed: to read the clock costs a good part of what a read does.
pub const TIMED: u64 = 64;

/// Of all plugins of a host. Clones share it.
#[derive(Clone, Default)]
pub struct ReadMetrics {
    kinds: Arc<Mutex<HashMap<Kind, Arc<KindReads>>>>,
}

impl ReadMetrics {
    pub(crate) fn of(&self, kind: &Kind) -> Arc<KindReads> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        match kinds.get(kind) {
            Some(reads) => Arc::clone(reads),
            None => Arc::clone(kinds.entry(kind.clone()).or_default()),
        }
    }

    /// Every kind that was read, in order.
    pub fn kinds(&self) -> Vec<(Kind, Arc<KindReads>)> {
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kinds: Vec<_> = kinds.iter().map(|(kind, reads)| (kind.clone(), Arc::clone(reads))).collect();
        kinds.sort_by(|a, b| a.0.cmp(&b.0));
        kinds
    }
}

/// Of one kind.
#[derive(Debug)]
pub struct KindReads {
    cached: AtomicU64,
    live: AtomicU64,
    /// Of one in [`TIMED`] cached reads, in seconds.
    pub cached_seconds: Histogram,
    /// Of all live reads, in seconds; each with its retries.
    pub live_seconds: Histogram,
}

impl Default for KindReads {
    fn default() -> Self {
        let cached = [2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 1e-4, 1e-3, 1e-2];
        let live = [1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        Self {
            cached: AtomicU64::new(0),
            live: AtomicU64::new(0),
            cached_seconds: Histogram::new(cached),
            live_seconds: Histogram::new(live),
        }
    }
}

impl KindReads {
    /// Gets, lists and counts that the cache answered.
    pub fn cached(&self) -> u64 {
        self.cached.load(Ordering::Relaxed)
    }

    /// Gets, lists and counts that the API server answered.
    pub fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    pub(crate) fn of_cache<T>(&self, read: impl FnOnce() -> T) -> T {
        let timed = self.cached.fetch_add(1, Ordering::Relaxed).is_multiple_of(TIMED);
        if !timed {
            return read();
        }
        let begun = Instant::now();
        let answer = read();
        self.cached_seconds.observe(begun.elapsed().as_secs_f64());
        answer
    }

    /// Likewise, of a read that takes breaks.
    pub(crate) async fn of_cache_in_turns<T>(&self, read: impl Future<Output = T>) -> T {
        let timed = self.cached.fetch_add(1, Ordering::Relaxed).is_multiple_of(TIMED);
        let begun = timed.then(Instant::now);
        let answer = read.await;
        if let Some(begun) = begun {
            self.cached_seconds.observe(begun.elapsed().as_secs_f64());
        }
        answer
    }

    pub(crate) async fn of_server<T>(&self, read: impl Future<Output = T>) -> T {
        self.live.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        let answer = read.await;
        self.live_seconds.observe(begun.elapsed().as_secs_f64());
        answer
    }
}
