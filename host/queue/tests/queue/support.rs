//! What the tests of the queue share.

use std::hash::Hash;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wheelhouse_queue::{BackoffPolicy, Work, WorkQueue};

/// The default policy without jitter, so that a test can say when a retry is due.
pub(crate) fn exact<K: Clone + Eq + Hash>() -> WorkQueue<K> {
    WorkQueue::new(BackoffPolicy { jitter: 0.0, ..BackoffPolicy::default() })
}

/// What a worker that asks now gets now; `None` if it would have to wait.
pub(crate) fn take<K: Clone + Eq + Hash>(queue: &WorkQueue<K>) -> Option<Work<K>> {
    match pin!(tokio::task::unconstrained(queue.next())).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(work)) => Some(work),
        Poll::Ready(None) => panic!("the queue is shut down"),
        Poll::Pending => None,
    }
}

/// All that can run now, in its order; each run succeeds.
pub(crate) fn run_all<K: Clone + Eq + Hash>(queue: &WorkQueue<K>) -> Vec<K> {
    std::iter::from_fn(|| take(queue).map(|work| (work.key().clone(), work.done()).0)).collect()
}

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) async fn advance(by: Duration) {
    tokio::time::advance(by).await;
}
