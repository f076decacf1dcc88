//! The import `metrics`: the plugin's own, held to `metricSeries`. They are all that `map` may do
//! besides reading.

use std::sync::Arc;

use wheelhouse_core::ApiError;
use wheelhouse_core::limits::Limit;
use wheelhouse_core::series::{MetricKind, OwnMetrics};

use crate::bindings::wheelhouse::controller::{metrics, types};
use crate::convert;
use crate::host::{Authority, InstanceState};

type Labels = Vec<(String, String)>;

impl InstanceState {
    /// Its metrics are those of the plugin's other instances, too.
    pub(crate) fn with_metrics(mut self, metrics: &Arc<OwnMetrics>) -> Self {
        self.metrics = Arc::clone(metrics);
        self
    }

    /// Does this to the metrics, unless the arguments, of so many bytes, are too large; what goes over the
    /// limit on series is counted.
    fn on_metrics(
        &mut self,
        bytes: usize,
        act: impl FnOnce(&OwnMetrics, u32) -> Result<(), ApiError>,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        self.cluster(Authority::Read)?;
        let size = self.argument("the metric", bytes);
        let done = size.and_then(|()| {
            act(&self.metrics, self.limits.metric_series).inspect_err(|error| {
                if let ApiError::LimitExceeded { .. } = error {
                    self.usage.breach(Limit::MetricSeries);
                }
            })
        });
        Ok(done.map_err(convert::error))
    }

    fn take(
        &mut self,
        kind: MetricKind,
        name: &str,
        labels: &Labels,
        value: f64,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        self.on_metrics(name.len() + size(labels), |metrics, most| {
            metrics.take(kind, name, labels, value, most)
        })
    }
}

fn size(labels: &Labels) -> usize {
    labels.iter().map(|(name, value)| name.len() + value.len()).sum()
}

impl metrics::Host for InstanceState {
    fn describe(
        &mut self,
        name: String,
        kind: metrics::MetricKind,
        help: String,
        buckets: Vec<f64>,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        let kind = match kind {
            metrics::MetricKind::Counter => MetricKind::Counter,
            metrics::MetricKind::Gauge => MetricKind::Gauge,
            metrics::MetricKind::Histogram => MetricKind::Histogram,
        };
        let bytes = name.len() + help.len() + size_of_val(buckets.as_slice());
        self.on_metrics(bytes, |metrics, most| metrics.describe(&name, kind, &help, &buckets, most))
    }

    fn counter_add(
        &mut self,
        name: String,
        labels: Labels,
        value: f64,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        self.take(MetricKind::Counter, &name, &labels, value)
    }

    fn gauge_set(
        &mut self,
        name: String,
        labels: Labels,
        value: f64,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        self.take(MetricKind::Gauge, &name, &labels, value)
    }

    fn histogram_observe(
        &mut self,
        name: String,
        labels: Labels,
        value: f64,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        self.take(MetricKind::Histogram, &name, &labels, value)
    }

    fn remove(&mut self, name: String, labels: Labels) -> wasmtime::Result<Result<(), types::Error>> {
        self.on_metrics(name.len() + size(&labels), |metrics, _| metrics.remove(&name, &labels))
    }
}
