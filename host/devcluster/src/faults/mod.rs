//! Faults on demand: what a real API server does to its clients on a bad day, when a test wants it to.

mod http;
mod state;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use http::handle;
pub(crate) use state::{State, WatchState};

use crate::cluster::Cluster;

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// A request is answered that much later.
    Latency(Duration),
    /// A request is refused with this status code: 429, 500 and 503 with what the real server says.
    Refuse {
        /// The status code.
        code: u16,
        /// When to come back, for the `Retry-After` header.
        retry_after: Option<Duration>,
    },
    /// Open watches end now.
    DropWatches,
    /// Watches send nothing any more, not even bookmarks.
    SilentWatches,
    /// Events reach watches that much later.
    DelayEvents(Duration),
    /// Events reach a watch twice.
    DuplicateEvents,
    /// The past is forgotten up to now: lists and watches from earlier versions are answered with 410.
    Compact,
    /// The server's clock goes ahead of the system's by these seconds, or behind.
    ClockAhead(i64),
}

/// A fault, and what it happens to: everything, always, unless it is told otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Injection {
    pub(crate) fault: Fault,
    pub(crate) method: String,
    pub(crate) resource: String,
    pub(crate) next: Option<u64>,
    pub(crate) rate: f64,
}

impl From<Fault> for Injection {
    fn from(fault: Fault) -> Self {
        Self { fault, method: String::new(), resource: String::new(), next: None, rate: 1.0 }
    }
}

impl Injection {
    /// Only requests with this HTTP method; only for what happens to requests.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = method.to_ascii_uppercase();
        self
    }

    /// Only requests, watches or events of the resource with this plural name, such as `configmaps`.
    #[must_use]
    pub fn resource(mut self, plural: &str) -> Self {
        plural.clone_into(&mut self.resource);
        self
    }

    /// Only the next so many requests, or for [`Fault::DuplicateEvents`] events.
    #[must_use]
    pub fn next(mut self, count: u64) -> Self {
        self.next = Some(count);
        self
    }

    /// Only this part of the requests, from 0 to 1, spread evenly: of a half, every second one.
    #[must_use]
    pub fn rate(mut self, rate: f64) -> Self {
        self.rate = rate.clamp(0.0, 1.0);
        self
    }
}

/// Has faults happen in a running [`DevCluster`](crate::DevCluster).
#[derive(Debug, Clone)]
pub struct Faults {
    cluster: Arc<Cluster>,
}

impl Faults {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster }
    }

    /// Has a fault happen from now on, or once for those that are of a moment.
    pub fn inject(&self, injection: impl Into<Injection>) {
        let injection = injection.into();
        match injection.fault {
            Fault::Compact => self.cluster.store.compact(),
            Fault::ClockAhead(seconds) => self.cluster.clock.set_ahead(seconds),
            _ => self.cluster.faults.add(injection),
        }
    }

    /// Ends all faults: silent watches go on, and the clock is right again. What was forgotten stays so.
    pub fn clear(&self) {
        self.cluster.faults.clear();
        self.cluster.clock.set_ahead(0);
    }
}
