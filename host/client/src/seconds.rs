//! How long something takes, counted without a lock: threads that give way to all others count here, too, and
//! nobody waits for one of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// A histogram of seconds. Clones share it. Of what is counted while it is shown, a part may be in it.
#[derive(Clone, Debug)]
pub struct Seconds {
    /// Of the buckets, but for the last, which has none.
    bounds: &'static [f64],
    inner: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    /// One more than there are bounds.
    buckets: Box<[AtomicU64]>,
    nanos: AtomicU64,
}

impl Seconds {
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, inner: Arc::new(Counts { buckets, nanos: AtomicU64::new(0) }) }
    }

    pub(crate) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = self.bounds.iter().take_while(|bound| seconds > **bound).count();
        if let Some(bucket) = self.inner.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.inner.nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl EncodeMetric for Seconds {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let counts = self.inner.buckets.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_nanos(self.inner.nanos.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    #[derive(Debug)]
    struct Shown(Seconds);

    impl prometheus_client::collector::Collector for Shown {
        fn encode(&self, mut encoder: prometheus_client::encoding::DescriptorEncoder<'_>) -> fmt::Result {
            self.0.encode(encoder.encode_descriptor("took", "h", None, self.0.metric_type())?)
        }
    }

    #[test]
    fn a_time_counts_in_the_first_bucket_that_it_fits_in() {
        let seconds = Seconds::new(&[0.5, 1.0]);
        for millis in [250, 500, 750, 4_000] {
            seconds.observe(Duration::from_millis(millis));
        }
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Shown(seconds)));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let expected = "\
# HELP took h
# TYPE took histogram
took_sum 5.5
took_count 4
took_bucket{le=\"0.5\"} 2
took_bucket{le=\"1.0\"} 3
took_bucket{le=\"+Inf\"} 4
# EOF
";
        assert_eq!(text, expected);
    }
}
