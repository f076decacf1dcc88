//! What time it is for one server, which need not be what time it is.
//!
//! Whatever works for a server works within its clock's scope, so that `now` needs to be handed no
//! server; outside of any scope it is the system's time.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

tokio::task_local! {
    static CURRENT: Clock;
}

/// A server's clock, by how many seconds it is ahead of the system's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock(Arc<AtomicI64>);

impl Clock {
    pub(crate) fn set_ahead(&self, seconds: i64) {
        self.0.store(seconds, Ordering::Relaxed);
    }

    pub(crate) fn ahead(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Has a future, and all that it calls, see this clock.
    pub(crate) fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), future)
    }
}

/// The current time.
pub(crate) fn timestamp() -> jiff::Timestamp {
    let system = jiff::Timestamp::now();
    let ahead = CURRENT.try_with(Clock::ahead).unwrap_or(0);
    // A clock that is set beyond all time stays where it was.
    system.checked_add(jiff::SignedDuration::from_secs(ahead)).unwrap_or(system)
}

/// As Kubernetes writes it: RFC 3339, UTC, whole seconds.
pub(crate) fn now() -> String {
    timestamp().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
