//! The keys that are ready: a lane for each priority, and the rule by which one is picked.

use std::collections::BTreeMap;

/// How many high-priority keys may overtake a waiting low-priority one before the oldest of those is
/// picked. Under an endless flow of live events the low lane so gets one run in seventeen.
pub const HIGH_RUNS_PER_LOW: u32 = 16;

/// How urgent a key is. A key that is asked for with both is [`Priority::High`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Nothing is known to have changed: the initial list, a resync, a new revision.
    Low,
    /// Somebody may be waiting: a live event, a requeue that is due.
    High,
}

/// Both lanes. A ticket is a key's place in its lane: smaller goes first.
pub(crate) struct Lanes<K> {
    low: BTreeMap<u64, K>,
    high: BTreeMap<u64, K>,
    /// High picks since a low key has been waiting and was passed over.
    overtaken: u32,
}

impl<K> Default for Lanes<K> {
    fn default() -> Self {
        Self { low: BTreeMap::new(), high: BTreeMap::new(), overtaken: 0 }
    }
}

impl<K> Lanes<K> {
    pub(crate) fn len(&self) -> usize {
        self.low.len() + self.high.len()
    }

    pub(crate) fn low(&self) -> usize {
        self.low.len()
    }

    pub(crate) fn insert(&mut self, priority: Priority, ticket: u64, key: K) {
        self.lane(priority).insert(ticket, key);
    }

    pub(crate) fn remove(&mut self, priority: Priority, ticket: u64) {
        self.lane(priority).remove(&ticket);
    }

    /// Takes out the key whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<K> {
        let low_waits = !self.low.is_empty();
        let lows_turn = low_waits && (self.high.is_empty() || self.overtaken >= HIGH_RUNS_PER_LOW);
        if lows_turn {
            self.overtaken = 0;
            return self.low.pop_first().map(|(_, key)| key);
        }
        self.overtaken = if low_waits { self.overtaken + 1 } else { 0 };
        self.high.pop_first().map(|(_, key)| key)
    }

    fn lane(&mut self, priority: Priority) -> &mut BTreeMap<u64, K> {
        match priority {
            Priority::Low => &mut self.low,
            Priority::High => &mut self.high,
        }
    }
}
