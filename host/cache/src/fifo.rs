//! The delta FIFO: what a handler has not seen yet, per key and in order.
//!
//! The watch never waits for a handler. What piles up is compressed per key: of states that differ
//! in nothing that could lead to another request, the last is kept, so memory is bounded by the
//! number of keys. A handler sees every key's last state, every deletion with the last known state,
//! and a new UID under an old name as a deletion and an addition.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use wheelhouse_core::{Key, Object, Value};

use crate::informer::Informer;
use crate::store::Change;

/// Deltas that one key may have waiting; then they are compressed, whatever they differ in.
const MAX_PER_KEY: usize = 8;

/// A change that a handler is told of.
#[derive(Clone, Debug)]
pub struct Delta {
    /// Of which object.
    pub key: Key,
    /// What the handler knew; none if it was not there.
    pub old: Option<Object>,
    /// What is now; none if it is gone.
    pub new: Option<Object>,
    /// It was there before the handler came, or is one of the first list: no news to hurry for.
    pub initial: bool,
}

struct Waiting {
    /// Never empty.
    changes: VecDeque<Change>,
    /// No live change has come on top.
    initial: bool,
    /// It is one of those that have to be handed out first.
    counted: bool,
}

#[derive(Default)]
struct Pending {
    by_key: HashMap<Arc<Key>, Waiting>,
    order: VecDeque<Arc<Key>>,
    /// Of the initial objects, those that have not been handed out.
    initial_left: usize,
    /// All initial objects are in the queue or have been.
    started: bool,
}

/// One subscription's queue.
pub(crate) struct Queue {
    pending: Mutex<Pending>,
    wake: Notify,
    initial_done: watch::Sender<bool>,
}

impl Default for Queue {
    fn default() -> Self {
        Self { pending: Mutex::default(), wake: Notify::new(), initial_done: watch::Sender::new(false) }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes changes; `initial` if they are a first list.
    pub(crate) fn push(&self, changes: impl IntoIterator<Item = Change>, initial: bool) {
        let mut pending = self.lock();
        let pending = &mut *pending;
        for change in changes {
            match pending.by_key.get_mut(&change.key) {
                Some(waiting) => {
                    waiting.initial &= initial;
                    merge(&mut waiting.changes, change);
                }
                None => {
                    pending.order.push_back(Arc::clone(&change.key));
                    pending.initial_left += usize::from(initial);
                    let key = Arc::clone(&change.key);
                    let waiting = Waiting { changes: VecDeque::from([change]), initial, counted: initial };
                    pending.by_key.insert(key, waiting);
                }
            }
        }
        self.wake.notify_one();
    }

    /// Says that the initial objects are all in the queue.
    pub(crate) fn start(&self) {
        let mut pending = self.lock();
        pending.started = true;
        self.report(&pending);
    }

    fn report(&self, pending: &Pending) {
        let done = pending.started && pending.initial_left == 0;
        self.initial_done.send_if_modified(|was| !std::mem::replace(was, *was || done) && done);
    }

    fn pop(&self) -> Option<Delta> {
        let mut pending = self.lock();
        let pending = &mut *pending;
        let key = pending.order.front()?;
        let waiting = pending.by_key.get_mut(key)?;
        let change = waiting.changes.pop_front();
        let (initial, counted) = (waiting.initial, waiting.counted);
        if waiting.changes.is_empty() {
            pending.by_key.remove(key);
            pending.order.pop_front();
            pending.initial_left -= usize::from(counted);
        }
        if pending.order.is_empty() {
            // A burst's room is given back.
            pending.order.shrink_to(64);
            pending.by_key.shrink_to(64);
        }
        self.report(pending);
        let Change { key, old, new } = change?;
        Some(Delta { key: Key::clone(&key), old, new, initial })
    }

    fn len(&self) -> usize {
        self.lock().by_key.len()
    }
}

/// Puts a change behind those that wait for the same key.
fn merge(changes: &mut VecDeque<Change>, next: Change) {
    let full = changes.len() >= MAX_PER_KEY;
    match changes.back_mut() {
        Some(last) => match (last.new.take(), next.new) {
            // Gone, and come again.
            (None, new) => changes.push_back(Change { new, ..next }),
            (Some(between), Some(new)) if full || interchangeable(&between, &new) => last.new = Some(new),
            // Came, and goes unseen: its owner wants to know, so the deletion is told.
            (Some(between), None)
                if full || last.old.as_ref().is_none_or(|old| interchangeable(old, &between)) =>
            {
                last.old = Some(between);
            }
            (Some(between), new) => {
                last.new = Some(between);
                changes.push_back(Change { new, ..next });
            }
        },
        None => changes.push_back(next),
    }
    if changes.len() > MAX_PER_KEY {
        changes.remove(1);
    }
}

/// Whether nobody needs to be told of the first once the second has come: they differ in status at
/// most. What else differs may be what a handler maps or filters by, and a reader may have acted on it.
fn interchangeable(first: &Object, second: &Object) -> bool {
    let same = |a: Value<'_>, b: Value<'_>, but: &[&str]| {
        let of = |value: Value<'_>| value.entries().filter(|(name, _)| !but.contains(name)).count();
        of(a) == of(b)
            && a.entries().filter(|(name, _)| !but.contains(name)).all(|(name, v)| b.get(name) == Some(v))
    };
    let (first, second) = (first.value(), second.value());
    same(first, second, &["metadata", "status"])
        && match (first.get("metadata"), second.get("metadata")) {
            (Some(first), Some(second)) => same(first, second, &["resourceVersion", "managedFields"]),
            _ => false,
        }
}

/// One handler's view of an informer. It keeps the informer alive; dropping it ends it.
pub struct Subscription {
    informer: Informer,
    queue: Arc<Queue>,
}

impl Subscription {
    pub(crate) fn new(informer: Informer, queue: Arc<Queue>) -> Self {
        Self { informer, queue }
    }

    /// The next change; it waits for one. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Delta {
        loop {
            if let Some(delta) = self.queue.pop() {
                return delta;
            }
            self.queue.wake.notified().await;
        }
    }

    /// The next change, if one is waiting.
    pub fn try_next(&mut self) -> Option<Delta> {
        self.queue.pop()
    }

    /// How many keys have changes waiting.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Whether the informer has synced and all objects that were there have been handed out.
    pub fn initial_done(&self) -> bool {
        *self.queue.initial_done.borrow()
    }

    /// To wait for that elsewhere than where the changes are taken.
    pub fn progress(&self) -> Progress {
        Progress { initial_done: self.queue.initial_done.subscribe() }
    }

    /// Whose changes these are.
    pub fn informer(&self) -> &Informer {
        &self.informer
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.informer.unsubscribe(&self.queue);
    }
}

/// How far a subscription is.
#[derive(Clone)]
pub struct Progress {
    initial_done: watch::Receiver<bool>,
}

impl Progress {
    /// See [`Subscription::initial_done`].
    pub fn initial_done(&self) -> bool {
        *self.initial_done.borrow()
    }

    /// Waits until the initial objects are handed out; false if the subscription ended before.
    pub async fn wait_initial_done(&mut self) -> bool {
        self.initial_done.wait_for(|done| *done).await.is_ok()
    }
}
