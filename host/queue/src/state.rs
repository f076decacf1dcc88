//! Where every key stands, as a plain state machine: no waiting, no locks, and the time is an argument.
//!
//! A key is in one of four places: ready (in a lane), delayed (has a due time), in flight, or merely
//! remembered (it has failed, and nothing asks for it now). Two wishes may be on record for it: to run
//! now, and to run later; for a key in flight they wait for its outcome, for any other they are indexed.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, Hash};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::backoff::BackoffPolicy;
use crate::lanes::{Lanes, Priority};

/// "Never", for a due time that the clock cannot express: thirty years, as tokio has it.
const FAR_FUTURE: Duration = Duration::from_secs(86_400 * 365 * 30);

/// A queue's depth now, and its counts since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Keys that the next free worker could take.
    pub ready: usize,
    /// Of them, those of [`Priority::Low`].
    pub ready_low: usize,
    /// Keys that wait for a due time and for nothing else.
    pub delayed: usize,
    /// Keys whose [`Work`](crate::Work) has no outcome yet.
    pub in_flight: usize,
    /// How long those have been so, together (client-go's `workqueue_unfinished_work_seconds`).
    pub unfinished_work: Duration,
    /// How long the longest of them has (client-go's `workqueue_longest_running_processor_seconds`).
    pub longest_running: Duration,
    /// How often a key became ready. An add that was merged into a waiting key is not counted (as in
    /// client-go's `workqueue_adds_total`).
    pub adds_total: u64,
    /// How often a run ended in a retry, dropped [`Work`](crate::Work) included.
    pub retries_total: u64,
}

/// How a run ended.
#[derive(Clone, Copy)]
pub(crate) enum Outcome {
    Done,
    RequeueAfter(Duration),
    Retry,
    GiveUp,
    PutBack,
}

/// A key that was handed out.
pub(crate) struct Taken<K> {
    pub(crate) key: K,
    pub(crate) priority: Priority,
    pub(crate) failures: u32,
    pub(crate) waited: Duration,
    /// When it was, and a number that no other has: equal keys may be in flight in turn.
    began: (Instant, u64),
    pub(crate) asked_for: Duration,
    pub(crate) first_seen: SystemTime,
}

#[derive(Default)]
struct Entry {
    failures: u32,
    in_flight: bool,
    ready: Option<Ready>,
    due: Option<Due>,
    first_seen: Option<FirstSeen>,
}

/// When a key was first asked for since nothing asked for it.
#[derive(Clone, Copy)]
struct FirstSeen {
    at: Instant,
    /// Found at the first run and kept for the others: were each to compute it, they would differ by
    /// whatever the two clocks do.
    wall: Option<SystemTime>,
}

#[derive(Clone, Copy)]
struct Ready {
    priority: Priority,
    ticket: u64,
    since: Instant,
}

#[derive(Clone, Copy)]
struct Due {
    priority: Priority,
    ticket: u64,
    at: Instant,
}

/// What finds a key by its turn or by its due time. Keys in flight are not in here.
struct Index<K> {
    lanes: Lanes<K>,
    timers: BTreeMap<(Instant, u64), K>,
    /// How many keys are in both: ready at a low priority, to be raised when a high one is due.
    in_both: usize,
}

impl<K: Clone> Index<K> {
    fn insert(&mut self, key: &K, entry: &Entry) {
        if let Some(ready) = entry.ready {
            self.lanes.insert(ready.priority, ready.ticket, key.clone());
        }
        if let Some(due) = entry.due {
            self.timers.insert((due.at, due.ticket), key.clone());
        }
        self.in_both += usize::from(entry.ready.is_some() && entry.due.is_some());
    }

    fn remove(&mut self, entry: &Entry) {
        if let Some(ready) = entry.ready {
            self.lanes.remove(ready.priority, ready.ticket);
        }
        if let Some(due) = entry.due {
            self.timers.remove(&(due.at, due.ticket));
        }
        self.in_both -= usize::from(entry.ready.is_some() && entry.due.is_some());
    }
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self { lanes: Lanes::default(), timers: BTreeMap::new(), in_both: 0 }
    }
}

pub(crate) struct State<K> {
    policy: BackoffPolicy,
    entries: HashMap<K, Entry, RandomState>,
    index: Index<K>,
    in_flight: BTreeSet<(Instant, u64)>,
    shut_down: bool,
    next_ticket: u64,
    adds_total: u64,
    retries_total: u64,
}

impl<K: Clone + Eq + Hash> State<K> {
    pub(crate) fn new(policy: BackoffPolicy) -> Self {
        Self {
            policy,
            entries: HashMap::default(),
            index: Index::default(),
            in_flight: BTreeSet::new(),
            shut_down: false,
            next_ticket: 0,
            adds_total: 0,
            retries_total: 0,
        }
    }

    pub(crate) fn add(&mut self, key: K, priority: Priority, now: Instant) {
        self.change(&key, now, |entry| entry.want_now(priority, now));
    }

    pub(crate) fn add_after(&mut self, key: K, delay: Duration, priority: Priority, now: Instant) {
        if delay.is_zero() {
            return self.add(key, priority, now);
        }
        self.change(&key, now, |entry| entry.want_at(after(now, delay), priority));
    }

    pub(crate) fn forget(&mut self, key: &K, now: Instant) {
        if self.entries.contains_key(key) {
            self.change(key, now, |entry| entry.failures = 0);
        }
    }

    /// Hands out the key whose turn it is; it is in flight until [`State::settle`]. `wall` is the same
    /// moment as `now`.
    pub(crate) fn take(&mut self, now: Instant, wall: SystemTime) -> Option<Taken<K>> {
        self.ripen(now);
        let key = self.index.lanes.pop()?;
        let entry = self.entries.get_mut(&key)?;
        self.index.remove(entry);
        let ready = entry.ready.take()?;
        entry.due = None;
        entry.in_flight = true;
        let began = (now, self.next_ticket);
        self.next_ticket += 1;
        self.in_flight.insert(began);
        let first_seen = entry.first_seen.get_or_insert(FirstSeen { at: ready.since, wall: None });
        let asked_for = now.saturating_duration_since(first_seen.at);
        let wall = first_seen.wall.get_or_insert_with(|| wall.checked_sub(asked_for).unwrap_or(wall));
        Some(Taken {
            key,
            priority: ready.priority,
            failures: entry.failures,
            waited: now.saturating_duration_since(ready.since),
            began,
            asked_for,
            first_seen: *wall,
        })
    }

    /// Ends a run.
    pub(crate) fn settle(&mut self, taken: &Taken<K>, outcome: Outcome, now: Instant) {
        let (key, priority) = (&taken.key, taken.priority);
        self.in_flight.remove(&taken.began);
        self.retries_total += u64::from(matches!(outcome, Outcome::Retry));
        let policy = self.policy;
        let random = self.random();
        self.change(key, now, |entry| {
            entry.in_flight = false;
            match outcome {
                Outcome::Done => {
                    entry.failures = 0;
                    entry.begin_anew();
                }
                Outcome::RequeueAfter(delay) => {
                    entry.failures = 0;
                    entry.begin_anew();
                    entry.want_at(after(now, delay), Priority::High);
                }
                Outcome::Retry => {
                    entry.failures = entry.failures.saturating_add(1);
                    // At the priority it ran at: a restart whose 100,000 first runs all fail must not
                    // become 100,000 urgent ones.
                    entry.want_at(after(now, policy.delay(entry.failures, random)), priority);
                }
                Outcome::GiveUp => {
                    entry.due = None;
                    entry.begin_anew();
                }
                Outcome::PutBack => entry.want_now(priority, now),
            }
            if let Some(due) = &mut entry.due {
                // Due during the run is due now: the key could not have been ready before.
                due.at = due.at.max(now);
            }
        });
    }

    /// Drops all that waits, and from now on takes nothing in and hands nothing out. What it drops is
    /// returned, so that it can be freed where nobody waits for the lock.
    pub(crate) fn shut_down(&mut self) -> impl Sized + use<K> {
        self.shut_down = true;
        (std::mem::take(&mut self.entries), std::mem::take(&mut self.index))
    }

    /// Drops all that waits, with what was counted of it; what is in flight stays so. What it drops is returned,
    /// as above.
    pub(crate) fn clear(&mut self) -> impl Sized + use<K> {
        let mut dropped = std::mem::take(&mut self.entries);
        let running = dropped.extract_if(|_, entry| entry.in_flight);
        self.entries = running.map(|(key, _)| (key, Entry { in_flight: true, ..Entry::default() })).collect();
        (dropped, std::mem::take(&mut self.index))
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.shut_down
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.shut_down && self.in_flight.is_empty()
    }

    /// The earliest due time, of which there is none if nothing is delayed.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.index.timers.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn ready(&self) -> usize {
        self.index.lanes.len()
    }

    pub(crate) fn stats(&mut self, now: Instant) -> QueueStats {
        self.ripen(now);
        let running = |(began, _): &(Instant, u64)| now.saturating_duration_since(*began);
        QueueStats {
            ready: self.index.lanes.len(),
            ready_low: self.index.lanes.low(),
            delayed: self.index.timers.len() - self.index.in_both,
            in_flight: self.in_flight.len(),
            // Few: there is one for each worker at most.
            unfinished_work: self.in_flight.iter().map(running).sum(),
            longest_running: self.in_flight.first().map(running).unwrap_or_default(),
            adds_total: self.adds_total,
            retries_total: self.retries_total,
        }
    }

    /// Changes what is on record for a key, and keeps the index, the counts and the order true.
    fn change(&mut self, key: &K, now: Instant, change: impl FnOnce(&mut Entry)) {
        if self.shut_down {
            return;
        }
        // First: what was due before this change goes before it.
        self.ripen(now);
        self.change_entry(key, now, change);
        // Again: a key may have been due while it was in flight.
        self.ripen(now);
    }

    /// Moves each key whose due time has come to its lane, in the order of the due times.
    fn ripen(&mut self, now: Instant) {
        while let Some(timer) = self.index.timers.first_entry() {
            let at = timer.key().0;
            if at > now {
                break;
            }
            let key = timer.get().clone();
            self.change_entry(&key, at, |entry| {
                if let Some(due) = entry.due.take() {
                    entry.want_now(due.priority, at);
                }
            });
        }
    }

    fn change_entry(&mut self, key: &K, now: Instant, change: impl FnOnce(&mut Entry)) {
        let entry = self.entries.entry(key.clone()).or_default();
        let indexed_before = !entry.in_flight;
        let priority_before = entry.ready.filter(|_| indexed_before).map(|ready| ready.priority);
        let due_before = entry.due.filter(|_| indexed_before).map(|due| due.at);
        if indexed_before {
            self.index.remove(entry);
        }
        change(entry);
        if entry.in_flight {
            return;
        }
        if let Some(ready) = &mut entry.ready {
            if priority_before != Some(ready.priority) {
                // New in its lane, hence at its end.
                ready.ticket = self.next_ticket;
                self.next_ticket += 1;
            }
            if priority_before.is_none() {
                ready.since = now;
                self.adds_total += 1;
            }
        }
        // A key that waits already gains nothing from a due time, unless that is more urgent.
        let ready = entry.ready;
        entry.due = entry.due.filter(|due| ready.is_none_or(|ready| due.priority > ready.priority));
        if let Some(due) = &mut entry.due
            && due_before != Some(due.at)
        {
            due.ticket = self.next_ticket;
            self.next_ticket += 1;
        }
        if entry.failures == 0 && entry.ready.is_none() && entry.due.is_none() {
            self.entries.remove(key);
        } else {
            self.index.insert(key, entry);
        }
    }

    /// In `[0, 1)`; as random as the seeds of the standard hash maps, which is enough for jitter.
    fn random(&self) -> f64 {
        let bits = self.entries.hasher().hash_one(self.retries_total) >> 11;
        bits as f64 / (1_u64 << 53) as f64
    }
}

impl Entry {
    fn want_now(&mut self, priority: Priority, now: Instant) {
        match &mut self.ready {
            Some(ready) => ready.priority = ready.priority.max(priority),
            None => self.ready = Some(Ready { priority, ticket: 0, since: now }),
        }
        self.first_seen.get_or_insert(FirstSeen { at: now, wall: None });
    }

    /// What was asked for has ended. What was asked for during the run has not begun.
    fn begin_anew(&mut self) {
        self.first_seen = self.ready.map(|ready| FirstSeen { at: ready.since, wall: None });
    }

    fn want_at(&mut self, at: Instant, priority: Priority) {
        match &mut self.due {
            Some(due) => {
                due.at = due.at.min(at);
                due.priority = due.priority.max(priority);
            }
            None => self.due = Some(Due { priority, ticket: 0, at }),
        }
    }
}

fn after(now: Instant, delay: Duration) -> Instant {
    now.checked_add(delay).unwrap_or_else(|| now + FAR_FUTURE)
}

#[cfg(test)]
mod tests;
