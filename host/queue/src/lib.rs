//! The work queue of one plugin: which keys wait for a reconcile, in what order, and which one runs.
//!
//! What it promises:
//!
//! - **One run per key.** A key that is added again while it waits runs once; added again while it is
//!   in flight, it runs exactly once more, afterwards, whatever became of the first run. Two [`Work`]s
//!   for one key never exist at once.
//! - **Nothing is lost.** An added key is handed out, unless the queue is shut down first. A [`Work`]
//!   that is dropped without an outcome (a panic, a cancelled worker) is retried, and a dropped
//!   [`WorkQueue::next`] has taken nothing.
//! - **Live first, nobody starved.** High goes before Low, first in first out within each; after
//!   [`HIGH_RUNS_PER_LOW`] keys have overtaken a waiting low one, the oldest low one goes.
//! - **Per-key back-off** (see [`BackoffPolicy`]), reset by a success and by nothing else. It delays
//!   retries alone: a new event for a failing key runs at once.
//! - **Since when.** Each run is told when its key was first asked for ([`Work::first_seen`]): over retries
//!   and coalesced adds that is one moment, until a success or a failure for good ends it. A key that asked
//!   to come back later is asked for once that is due.
//! - **One timer.** A key has at most one due time, the earliest that was asked for; a run uses it up.
//!   However many keys are delayed and workers wait, one waiting worker sleeps until the earliest due
//!   time, and one key wakes one worker.
//!
//! What it does not do: it keeps nothing across restarts, knows nothing of what a key means, limits
//! no rate over all keys, and bounds no length (a key is in it once, so the cluster's objects bound it).
//!
//! The behaviour is client-go's `util/workqueue` and controller-runtime's `pkg/controller/priorityqueue`.

mod backoff;
mod lanes;
mod queue;
mod state;
mod work;

pub use backoff::BackoffPolicy;
pub use lanes::{HIGH_RUNS_PER_LOW, Priority};
pub use queue::WorkQueue;
pub use state::QueueStats;
pub use work::Work;
