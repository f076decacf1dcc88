//! The queue that producers and workers share: the state behind a lock, and who is woken when.
//!
//! Waiting workers stand in line. Only the first of them watches the state: it sleeps until it is told
//! of a change or until the earliest due time, takes a key, and lets the next one step up, which looks
//! for itself before it sleeps. So a key wakes one worker, one timer is armed, and no wake-up is lost:
//! a change that nobody is watching is either seen by who steps up next or stored by the `Notify`.

use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::backoff::BackoffPolicy;
use crate::lanes::Priority;
use crate::state::{Outcome, QueueStats, State, Taken};
use crate::work::Work;

/// The work queue of one plugin. A clone is a handle to the same queue.
///
/// The promises are in the [crate's documentation](crate). A key is cloned a few times on its way
/// through, so it should be cheap to clone. Delays are on tokio's clock.
pub struct WorkQueue<K> {
    shared: Arc<Shared<K>>,
}

pub(crate) struct Shared<K> {
    state: Mutex<State<K>>,
    /// The one who holds the permit is the first in line.
    line: Semaphore,
    /// Tells the first in line that there is a key to take or an earlier due time.
    changed: Notify,
    drained: Notify,
}

impl<K: Clone + Eq + Hash> WorkQueue<K> {
    /// An empty queue.
    pub fn new(policy: BackoffPolicy) -> Self {
        let shared = Shared {
            state: Mutex::new(State::new(policy)),
            line: Semaphore::new(1),
            changed: Notify::new(),
            drained: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Asks for a run of the key, now.
    ///
    /// A key that is ready is raised to the priority, if that is higher, and goes to the end of that
    /// lane. One that is delayed becomes ready; if this is [`Priority::Low`] and its due time has
    /// [`Priority::High`], it is raised when that time comes. One that is in flight runs once more
    /// afterwards, however it ends. Ignored after [`WorkQueue::shut_down`].
    pub fn add(&self, key: K, priority: Priority) {
        self.shared.update(|state, now| state.add(key, priority, now));
    }

    /// Asks for a run of the key after a delay; a delay of zero is [`WorkQueue::add`].
    ///
    /// A key that is delayed already keeps the earlier due time and the higher priority. For one that
    /// is ready this adds no run (it is raised at the due time if it still waits at a lower priority).
    /// For one that is in flight the delay counts from this call. Ignored after
    /// [`WorkQueue::shut_down`].
    pub fn add_after(&self, key: K, delay: Duration, priority: Priority) {
        self.shared.update(|state, now| state.add_after(key, delay, priority, now));
    }

    /// Forgets how often the key has failed, and nothing else about it.
    ///
    /// A success does the same; this is for a key whose last run was given up and which will not come
    /// back, because its object is gone.
    pub fn forget(&self, key: &K) {
        self.shared.update(|state, now| state.forget(key, now));
    }

    /// Waits for a key and hands it out; `None` once the queue is shut down.
    ///
    /// Callers are served in turn. Cancel-safe: to drop the future loses nothing. But do not keep the
    /// future around without polling it: it keeps its place in the line, and those behind it wait.
    pub async fn next(&self) -> Option<Work<K>> {
        let _first_in_line = self.shared.line.acquire().await.ok()?;
        loop {
            let (taken, due) = self.shared.take()?;
            if let Some(taken) = taken {
                return Some(Work::new(Arc::clone(&self.shared), taken));
            }
            let changed = self.shared.changed.notified();
            match due {
                // Which of the two it was does not matter: the state says what to do.
                Some(at) => drop(timeout_at(at, changed).await),
                None => changed.await,
            }
        }
    }

    /// From now on nothing starts: [`WorkQueue::next`] returns `None`, also to those who wait in it,
    /// what was pending is dropped, and adds are ignored. Keys in flight stay so until their outcome,
    /// which queues nothing.
    pub fn shut_down(&self) {
        let pending = self.shared.update(|state, _| state.shut_down());
        self.shared.line.close();
        self.shared.changed.notify_one();
        self.shared.drained.notify_waiters();
        drop(pending);
    }

    /// Drops what waits, and forgets failures: whoever works on it next begins anew. Keys in flight stay so, and
    /// what their outcome asks for is queued.
    pub fn clear(&self) {
        let dropped = self.shared.update(|state, _| state.clear());
        drop(dropped);
    }

    /// Resolves when the queue is shut down and nothing is in flight any more. Cancel-safe; whoever has
    /// a deadline puts a timeout around it.
    pub async fn drained(&self) {
        loop {
            // Before the look at the state: this hears of whatever happens after it.
            let drained = self.shared.drained.notified();
            if self.shared.update(|state, _| state.is_drained()) {
                return;
            }
            drained.await;
        }
    }

    /// The depth and the counts, all of one moment.
    pub fn stats(&self) -> QueueStats {
        self.shared.update(|state, now| state.stats(now))
    }
}

impl<K: Clone + Eq + Hash> Shared<K> {
    /// Applies a change to the state, then wakes the first in line if the change is of interest to it.
    fn update<R>(&self, change: impl FnOnce(&mut State<K>, Instant) -> R) -> R {
        let (result, interesting) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let (ready, due) = (state.ready(), state.next_due());
            // Read under the lock, so that no change comes before one that was made earlier.
            let result = change(&mut state, Instant::now());
            let earlier_due = state.next_due().is_some_and(|at| due.is_none_or(|due| at < due));
            (result, state.ready() > ready || earlier_due)
        };
        if interesting {
            self.changed.notify_one();
        }
        result
    }

    /// A key, or else when to look again. `None` once the queue is shut down.
    fn take(&self) -> Option<(Option<Taken<K>>, Option<Instant>)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_shut_down() {
            return None;
        }
        let taken = state.take(Instant::now(), SystemTime::now());
        Some((taken, state.next_due()))
    }

    pub(crate) fn settle(&self, taken: &Taken<K>, outcome: Outcome) {
        let drained = self.update(|state, now| {
            state.settle(taken, outcome, now);
            state.is_drained()
        });
        if drained {
            self.drained.notify_waiters();
        }
    }
}

impl<K> Clone for WorkQueue<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K> fmt::Debug for WorkQueue<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkQueue").finish_non_exhaustive()
    }
}
