//! One key in flight.

use std::any::Any;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::queue::Shared;
use crate::state::{Outcome, Taken};

/// A key that was handed out to one worker. No other worker gets the key until this has an outcome.
///
/// Each outcome consumes it, so a run has exactly one. Dropped without any (the worker panicked or was
/// cancelled), it counts as [`Work::retry`].
#[must_use = "a work that is dropped without an outcome counts as failed"]
pub struct Work<K: Clone + Eq + Hash>(Arc<Flight<K>>);

/// The key, until the last who has to do with the run is gone.
struct Flight<K: Clone + Eq + Hash> {
    queue: Arc<Shared<K>>,
    taken: Taken<K>,
    outcome: Mutex<Outcome>,
}

impl<K: Clone + Eq + Hash> Work<K> {
    pub(crate) fn new(queue: Arc<Shared<K>>, taken: Taken<K>) -> Self {
        Self(Arc::new(Flight { queue, taken, outcome: Mutex::new(Outcome::Retry) }))
    }

    /// Keeps the key in flight until that is dropped, too, and the outcome takes effect then: for what goes on a
    /// little longer than who waits for it, such as a call on another thread that is stopped.
    pub fn hold(&self) -> Arc<dyn Any + Send + Sync>
    where
        K: Send + Sync + 'static,
    {
        Arc::clone(&self.0) as Arc<_>
    }

    /// What to reconcile.
    pub fn key(&self) -> &K {
        &self.0.taken.key
    }

    /// 1 for a first run; one more for every retry since the key's last success.
    pub fn attempt(&self) -> u32 {
        self.0.taken.failures.saturating_add(1)
    }

    /// How long the key was ready before it was handed out; a delay that was asked for is not part of it.
    pub fn waited(&self) -> Duration {
        self.0.taken.waited
    }

    /// How long ago, when it was handed out, the key was first asked for since its last success or its
    /// last [`Work::give_up`]. Retries and further adds change nothing of that; a delay that was asked for
    /// is not part of it, and a retry's back-off is.
    pub fn asked_for(&self) -> Duration {
        self.0.taken.asked_for
    }

    /// The moment of which [`Work::asked_for`] tells the distance: the same for every retry.
    pub fn first_seen(&self) -> SystemTime {
        self.0.taken.first_seen
    }

    /// A success: the key's failures are forgotten.
    pub fn done(self) {
        self.end(Outcome::Done);
    }

    /// A success that wants to come back, at high priority: the key's failures are forgotten, and it is
    /// due after `delay`, or earlier if something else asked for that.
    pub fn requeue_after(self, delay: Duration) {
        self.end(Outcome::RequeueAfter(delay));
    }

    /// A failure that may pass: the key comes back after its back-off, at the priority of this run.
    pub fn retry(self) {
        self.end(Outcome::Retry);
    }

    /// A failure that time does not mend: the key has no due time afterwards, not even one that was
    /// asked for during this run, and comes back when it is added again (a run that was asked for by
    /// [`WorkQueue::add`](crate::WorkQueue::add) during this one takes place). It adds nothing to the
    /// key's failures and takes nothing from them: the next retry goes on from there.
    pub fn give_up(self) {
        self.end(Outcome::GiveUp);
    }

    /// No run at all: the key is ready again, at the priority that it had, and nothing about it has changed
    /// but its place in the line.
    pub fn put_back(self) {
        self.end(Outcome::PutBack);
    }

    fn end(self, outcome: Outcome) {
        // It takes effect when the flight is dropped, the one way out.
        *self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }
}

impl<K: Clone + Eq + Hash> Drop for Flight<K> {
    fn drop(&mut self) {
        let outcome = *self.outcome.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.queue.settle(&self.taken, outcome);
    }
}

impl<K: Clone + Eq + Hash + fmt::Debug> fmt::Debug for Work<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work")
            .field("key", self.key())
            .field("attempt", &self.attempt())
            .field("waited", &self.waited())
            .finish_non_exhaustive()
    }
}
