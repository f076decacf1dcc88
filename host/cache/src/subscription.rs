//! A handler's view of an informer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};
use wheelhouse_core::Object;

use crate::fifo::{Delta, Popped, Queue};
use crate::informer::Informer;
use crate::sync::watch;

/// One handler's view of an informer. It keeps the informer alive; dropping it ends it.
///
/// It is told of the fields that its informer's handle is for, and of no others.
pub struct Subscription {
    informer: Informer,
    queue: Arc<Queue>,
    resync: Option<Interval>,
    folded: bool,
}

impl Subscription {
    pub(crate) fn new(informer: Informer, queue: Arc<Queue>) -> Self {
        Self { informer, queue, resync: None, folded: false }
    }

    /// Is told of every object this often, too, whatever happens, for as long as changes are taken; of
    /// those whose changes wait anyway it is not told twice. The server is not asked.
    #[must_use]
    pub fn resync_every(mut self, period: Duration) -> Self {
        let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.resync = Some(interval);
        self
    }

    /// The next change; it waits for one. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Delta {
        loop {
            if let Some(delta) = self.try_next() {
                return delta;
            }
            match &mut self.resync {
                None => self.queue.wake.notified().await,
                Some(resync) => tokio::select! {
                    () = self.queue.wake.notified() => {}
                    _ = resync.tick() => self.informer.replay(&self.queue),
                },
            }
        }
    }

    /// The next change, if one is waiting.
    pub fn try_next(&mut self) -> Option<Delta> {
        let Popped { delta, wide, folded } = self.queue.pop()?;
        self.folded = folded;
        if !wide {
            return Some(delta);
        }
        let view = |object: Option<Object>| object.map(|object| self.informer.fields().project(&object));
        Some(Delta { old: view(delta.old), new: view(delta.new), ..delta })
    }

    /// Whether the object had states that the change that was taken last does not show: it was not taken in
    /// time, or the watch had a gap. A reader of the store may have seen them.
    pub fn folded(&self) -> bool {
        self.folded
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
