//! The delta FIFO: what a handler has not seen yet, per key and in order.
//!
//! The watch never waits for a handler. What piles up is compressed per key: of states that differ
//! in nothing that could lead to another request, the last is kept, so memory is bounded by the
//! number of keys. A handler sees every key's last state, every deletion with the last known state,
//! and a new UID under an old name as a deletion and an addition.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use wheelhouse_core::{Key, Object};

use crate::sync::{Mutex, MutexGuard, Notify, PoisonError, watch};
use crate::writer::Change;

/// Deltas that one key may have waiting; then they are compressed, whatever they differ in.
const MAX_PER_KEY: usize = 8;

/// Why a handler is told of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was there before the handler came, or is one of the first list.
    Initial,
    /// The handler wants to be told of everything now and then; nothing has happened.
    Resync,
    /// Something has happened.
    Live,
}

impl Cause {
    /// Whether somebody may be waiting for what comes of it.
    pub fn is_live(self) -> bool {
        self == Self::Live
    }
}

/// A change that a handler is told of.
#[derive(Clone, Debug)]
pub struct Delta {
    /// Of which object.
    pub key: Key,
    /// What the handler knew; none if it was not there.
    pub old: Option<Object>,
    /// What is now; none if it is gone.
    pub new: Option<Object>,
    /// Why it is told.
    pub cause: Cause,
}

struct Waiting {
    /// Never empty.
    changes: VecDeque<Change>,
    /// Live as soon as one change is.
    cause: Cause,
    /// They may have more fields than the handler may see.
    wide: bool,
    /// It is one of those that have to be handed out first.
    counted: bool,
    /// The object had states that the changes do not show.
    folded: bool,
}

/// A change, and how it is to be read.
pub(crate) struct Popped {
    pub(crate) delta: Delta,
    /// Its objects may have more fields than the handler may see.
    pub(crate) wide: bool,
    /// States in between were left out.
    pub(crate) folded: bool,
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
    pub(crate) wake: Notify,
    pub(crate) initial_done: watch::Sender<bool>,
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

    /// Takes changes; `wide` if their objects may have more fields than the handler may see.
    pub(crate) fn push(&self, changes: impl IntoIterator<Item = Change>, cause: Cause, wide: bool) {
        self.push_all(changes, cause, wide, false);
    }

    /// Likewise, of a list: what the objects have been since the one before, nobody knows.
    pub(crate) fn push_of_list(&self, changes: impl IntoIterator<Item = Change>, wide: bool) {
        self.push_all(changes, Cause::Live, wide, true);
    }

    fn push_all(&self, changes: impl IntoIterator<Item = Change>, cause: Cause, wide: bool, folded: bool) {
        let mut pending = self.lock();
        let pending = &mut *pending;
        for change in changes {
            match pending.by_key.get_mut(&change.key) {
                // Whoever is about to be told need not be told again that nothing has happened.
                Some(_) if cause == Cause::Resync => {}
                Some(waiting) => {
                    if cause.is_live() {
                        waiting.cause = cause;
                    }
                    waiting.wide |= wide;
                    waiting.folded |= merge(&mut waiting.changes, change) || folded;
                }
                None => {
                    let counted = cause == Cause::Initial;
                    pending.order.push_back(Arc::clone(&change.key));
                    pending.initial_left += usize::from(counted);
                    let key = Arc::clone(&change.key);
                    let changes = VecDeque::from([change]);
                    let waiting = Waiting { changes, cause, wide, counted, folded };
                    pending.by_key.insert(key, waiting);
                }
            }
        }
        self.wake.notify_one();
    }

    /// Takes the initial objects; from then on it is told of changes.
    pub(crate) fn start(&self, initial: impl IntoIterator<Item = Change>, wide: bool) {
        self.push(initial, Cause::Initial, wide);
        let mut pending = self.lock();
        pending.started = true;
        self.report(&pending);
    }

    /// Whether it has the initial objects: before, changes mean nothing to it.
    pub(crate) fn started(&self) -> bool {
        self.lock().started
    }

    fn report(&self, pending: &Pending) {
        let done = pending.started && pending.initial_left == 0;
        self.initial_done.send_if_modified(|was| !std::mem::replace(was, *was || done) && done);
    }

    /// The next change.
    pub(crate) fn pop(&self) -> Option<Popped> {
        let mut pending = self.lock();
        let pending = &mut *pending;
        let key = pending.order.front()?;
        let waiting = pending.by_key.get_mut(key)?;
        let change = waiting.changes.pop_front();
        let Waiting { cause, wide, counted, folded, .. } = *waiting;
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
        Some(Popped { delta: Delta { key: Key::clone(&key), old, new, cause }, wide, folded })
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().by_key.len()
    }
}

/// Puts a change behind those that wait for the same key. Whether a state is left out by that.
fn merge(changes: &mut VecDeque<Change>, next: Change) -> bool {
    let full = changes.len() >= MAX_PER_KEY;
    let mut folded = false;
    match changes.back_mut() {
        Some(last) => match (last.new.take(), next.new) {
            // Gone, and come again.
            (None, new) => changes.push_back(Change { new, ..next }),
            (Some(between), Some(new)) if full || interchangeable(&between, &new) => {
                last.new = Some(new);
                folded = true;
            }
            // Came, and goes unseen: its owner wants to know, so the deletion is told.
            (Some(between), None)
                if full || last.old.as_ref().is_none_or(|old| interchangeable(old, &between)) =>
            {
                last.old = Some(between);
                folded = true;
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
        folded = true;
    }
    folded
}

/// Whether nobody needs to be told of the first once the second has come: they differ in status at
/// most. What else differs may be what a handler maps or filters by, and a reader may have acted on it.
fn interchangeable(first: &Object, second: &Object) -> bool {
    first.differs_at_most_in(second, &["status"])
}
