//! What is counted of a plugin, under the names that dashboards for controller-runtime know.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

/// `result` of a reconcile: `success`, `requeue_after`, `error`, `terminal_error`, `trap`, `timeout`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    /// See the type.
    pub result: &'static str,
}

/// So many failures in a row, of one object, are no passing trouble: with the pauses between them, they took
/// more than a second.
pub const STUBBORN: u32 = 8;

/// Counters of one plugin; they live as long as it does, across its revisions.
#[derive(Debug)]
pub struct PluginMetrics {
    /// Reconciles by how they ended.
    pub reconciles: Family<ResultLabel, Counter>,
    /// Of them, those that did not end well.
    pub errors: Counter,
    /// Of those, the ones of objects that had failed so often in a row by then: [`STUBBORN`].
    pub stubborn: Counter,
    /// How long they took, in seconds.
    pub seconds: Histogram,
    /// How long keys had waited for them, in seconds.
    pub queued: Histogram,
    /// Reconciles that run now.
    pub active: Gauge,
    /// Switches to another revision.
    pub swaps: Counter<u64, AtomicU64>,
    /// Requests since something had changed that a reconcile had read.
    pub dependency_requeues: Counter,
}

impl Default for PluginMetrics {
    fn default() -> Self {
        // From 1 ms, as controller-runtime has it, and below: a reconcile here may take microseconds.
        let buckets = || {
            Histogram::new([
                0.000_05, 0.000_2, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0,
            ])
        };
        Self {
            reconciles: Family::default(),
            errors: Counter::default(),
            stubborn: Counter::default(),
            seconds: buckets(),
            queued: buckets(),
            active: Gauge::default(),
            swaps: Counter::default(),
            dependency_requeues: Counter::default(),
        }
    }
}

impl PluginMetrics {
    /// How many reconciles ended so.
    pub fn count(&self, result: &'static str) -> u64 {
        self.reconciles.get_or_create(&ResultLabel { result }).get()
    }
}
