//! How many reads there were of each kind, from where, and how long they took.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use wheelhouse_core::Kind;

use crate::seconds::Seconds;

/// Of so many cached reads, one is timed: to read the clock costs a good part of what a read does.
pub const TIMED: u64 = 64;

/// Of all plugins of a host. Clones share it. Each plugin's client asks for a kind's once, since it takes a
/// lock.
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

/// Those that one plugin's client counts in. It waits for no other plugin's, but where it is the first time
/// that it reads a kind.
pub(crate) struct OwnReads {
    all: ReadMetrics,
    known: RwLock<HashMap<Kind, Arc<KindReads>>>,
}

impl OwnReads {
    /// Of the host's, with these to begin with.
    pub(crate) fn new(all: &ReadMetrics, known: HashMap<Kind, Arc<KindReads>>) -> Self {
        Self { all: all.clone(), known: RwLock::new(known) }
    }

    pub(crate) fn of(&self, kind: &Kind) -> Arc<KindReads> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(reads) = known.get(kind) {
            return Arc::clone(reads);
        }
        drop(known);
        let reads = self.all.of(kind);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(kind.clone()).or_insert(reads))
    }
}

const CACHED: &[f64] = &[2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 1e-4, 1e-3, 1e-2];
const LIVE: &[f64] = &[1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Of one kind.
#[derive(Debug)]
pub struct KindReads {
    cached: AtomicU64,
    live: AtomicU64,
    /// Of one in [`TIMED`] cached reads.
    pub cached_seconds: Seconds,
    /// Of all live reads; each with its retries.
    pub live_seconds: Seconds,
}

impl Default for KindReads {
    fn default() -> Self {
        Self {
            cached: AtomicU64::new(0),
            live: AtomicU64::new(0),
            cached_seconds: Seconds::new(CACHED),
            live_seconds: Seconds::new(LIVE),
        }
    }
}

impl KindReads {
    /// Gets, lists and counts that the cache answered.
    pub fn cached(&self) -> u64 {
        self.cached.load(Ordering::Relaxed)
    }

    /// Gets, lists and counts that the API server was asked for.
    pub fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    /// When a cached read begins, if it is to be timed.
    fn begin(&self) -> Option<Instant> {
        self.cached().is_multiple_of(TIMED).then(Instant::now)
    }

    fn answered(&self, begun: Option<Instant>) {
        self.cached.fetch_add(1, Ordering::Relaxed);
        if let Some(begun) = begun {
            self.cached_seconds.observe(begun.elapsed());
        }
    }

    /// A read that the cache may have no answer to; then it is none of the cache's.
    pub(crate) fn of_cache<T>(&self, read: impl FnOnce() -> Option<T>) -> Option<T> {
        let begun = self.begin();
        let answer = read()?;
        self.answered(begun);
        Some(answer)
    }

    /// A read that takes breaks.
    pub(crate) async fn of_cache_in_turns<T>(&self, read: impl Future<Output = T>) -> T {
        let begun = self.begin();
        let answer = read.await;
        self.answered(begun);
        answer
    }

    pub(crate) async fn of_server<T>(&self, read: impl Future<Output = T>) -> T {
        self.live.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        let answer = read.await;
        self.live_seconds.observe(begun.elapsed());
        answer
    }
}
