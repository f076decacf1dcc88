//! The metrics of a plugin's own: what it may call them, how many series it may have, and their values.
//!
//! All revisions and instances of a plugin share one [`OwnMetrics`]. What comes in is a plugin's, and
//! is checked here; what comes out can be exposed as it is.

mod names;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use names::{Labels, MetricName};

use crate::ApiError;
use crate::limits::Limit;
use crate::printable::printable;

/// Buckets of one histogram.
const BUCKETS: usize = 64;
/// Bytes of a help text.
const HELP: usize = 256;
/// `DefBuckets` of Prometheus' client libraries: seconds.
const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It only ever grows.
    Counter,
    /// It has a value now.
    Gauge,
    /// It knows how values are spread.
    Histogram,
}

impl MetricKind {
    /// For people, with its article.
    fn described(self) -> &'static str {
        match self {
            Self::Counter => "a counter",
            Self::Gauge => "a gauge",
            Self::Histogram => "a histogram",
        }
    }
}

/// One metric with all its series.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// What it is.
    pub kind: MetricKind,
    /// May be empty.
    pub help: String,
    /// The upper bounds of a histogram's buckets, without the infinite one.
    pub bounds: Vec<f64>,
    /// By their labels.
    pub series: BTreeMap<Labels, Sample>,
}

/// The value of one series.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram.
    Spread {
        /// Of all values.
        sum: f64,
        /// Values in each bucket, and in none other; the last is the infinite one.
        counts: Vec<u64>,
    },
}

impl Metric {
    fn new(kind: MetricKind, help: String, bounds: Vec<f64>) -> Self {
        Self { kind, help, bounds, series: BTreeMap::new() }
    }

    /// What one set of labels counts as: of a histogram its buckets, the infinite one, sum and count.
    fn unit(&self) -> usize {
        match self.kind {
            MetricKind::Counter | MetricKind::Gauge => 1,
            MetricKind::Histogram => self.bounds.len() + 3,
        }
    }

    /// A metric that is only described takes room, too.
    fn size(&self) -> usize {
        (self.unit() * self.series.len()).max(1)
    }

    fn zero(&self) -> Sample {
        match self.kind {
            MetricKind::Counter | MetricKind::Gauge => Sample::Number(0.0),
            MetricKind::Histogram => Sample::Spread { sum: 0.0, counts: vec![0; self.bounds.len() + 1] },
        }
    }
}

impl Sample {
    fn take(&mut self, kind: MetricKind, bounds: &[f64], value: f64) {
        match self {
            Self::Number(number) if kind == MetricKind::Gauge => *number = value,
            Self::Number(number) => *number = finite(*number + value),
            Self::Spread { sum, counts } => {
                *sum = finite(*sum + value);
                let bucket = bounds.partition_point(|bound| *bound < value);
                if let Some(count) = counts.get_mut(bucket) {
                    *count = count.saturating_add(1);
                }
            }
        }
    }
}

/// The sum of two finite numbers may be none.
fn finite(number: f64) -> f64 {
    number.clamp(f64::MIN, f64::MAX)
}

/// See the module.
#[derive(Debug, Default)]
pub struct OwnMetrics {
    metrics: Mutex<BTreeMap<MetricName, Metric>>,
}

impl OwnMetrics {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<MetricName, Metric>> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, as of now.
    pub fn snapshot(&self) -> BTreeMap<MetricName, Metric> {
        self.lock().clone()
    }

    /// Series of all metrics.
    pub fn series(&self) -> usize {
        self.lock().values().map(Metric::size).sum()
    }

    /// Says what a metric is; with another kind or other buckets, it begins anew. `most` is the limit
    /// on series, here and below.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a name or buckets that make no sense, [`ApiError::LimitExceeded`]
    /// for one metric too many.
    pub fn describe(
        &self,
        name: &str,
        kind: MetricKind,
        help: &str,
        buckets: &[f64],
        most: u32,
    ) -> Result<(), ApiError> {
        let name = MetricName::new(name, kind)?;
        let bounds = bounds(&name, kind, buckets)?;
        let help = printable(help, HELP);
        let mut metrics = self.lock();
        if let Some(metric) = metrics.get_mut(&name) {
            if (metric.kind, &metric.bounds) == (kind, &bounds) {
                metric.help = help;
            } else {
                *metric = Metric::new(kind, help, bounds);
            }
            return Ok(());
        }
        let metric = Metric::new(kind, help, bounds);
        room(&metrics, metric.size(), most)?;
        metrics.insert(name, metric);
        Ok(())
    }

    /// Adds to a counter, sets a gauge, or notes a value in a histogram.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a name, labels or a value that make no sense, or if the metric is
    /// something else; [`ApiError::LimitExceeded`] for one series too many.
    pub fn take(
        &self,
        kind: MetricKind,
        name: &str,
        labels: &[(String, String)],
        value: f64,
        most: u32,
    ) -> Result<(), ApiError> {
        let name = MetricName::new(name, kind)?;
        let labels = Labels::new(labels)?;
        if !value.is_finite() {
            return Err(bad(format_args!("metric {name} cannot take {value}: give a finite number")));
        }
        if kind == MetricKind::Counter && value < 0.0 {
            return Err(bad(format_args!("counter {name} cannot take {value}: a counter only grows")));
        }
        let mut metrics = self.lock();
        let cost = match metrics.get(&name) {
            Some(metric) if metric.kind != kind => {
                let (is, wanted) = (metric.kind.described(), kind.described());
                return Err(bad(format_args!(
                    "metric {name} is {is}, not {wanted}: describe it anew, or take another name"
                )));
            }
            Some(metric) if metric.series.contains_key(&labels) => 0,
            // Its description has taken the room of one.
            Some(metric) if metric.series.is_empty() => metric.unit() - 1,
            Some(metric) => metric.unit(),
            None => Metric::new(kind, String::new(), default_bounds(kind)).unit(),
        };
        if cost > 0 {
            room(&metrics, cost, most)?;
        }
        let metric =
            metrics.entry(name).or_insert_with(|| Metric::new(kind, String::new(), default_bounds(kind)));
        let zero = metric.zero();
        let sample = match metric.series.entry(labels) {
            Entry::Occupied(sample) => sample.into_mut(),
            Entry::Vacant(place) => place.insert(zero),
        };
        sample.take(kind, &metric.bounds, value);
        Ok(())
    }

    /// Forgets a series, and with its last one a metric that has no help.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] for a name or labels that make no sense.
    pub fn remove(&self, name: &str, labels: &[(String, String)]) -> Result<(), ApiError> {
        // Of all kinds, a counter may be called the most.
        let name = MetricName::new(name, MetricKind::Counter)?;
        let labels = Labels::new(labels)?;
        let mut metrics = self.lock();
        if let Entry::Occupied(mut metric) = metrics.entry(name) {
            metric.get_mut().series.remove(&labels);
            if metric.get().series.is_empty() && metric.get().help.is_empty() {
                metric.remove();
            }
        }
        Ok(())
    }
}

/// Whether so many more series may be.
fn room(metrics: &BTreeMap<MetricName, Metric>, more: usize, most: u32) -> Result<(), ApiError> {
    let there: usize = metrics.values().map(Metric::size).sum();
    if there.saturating_add(more) <= usize::try_from(most).unwrap_or(usize::MAX) {
        return Ok(());
    }
    let message = format!(
        "{there} series are there, {more} more are wanted, {most} are allowed: use fewer values of labels, or remove series"
    );
    Err(ApiError::LimitExceeded { limit: Limit::MetricSeries, message })
}

fn default_bounds(kind: MetricKind) -> Vec<f64> {
    if kind == MetricKind::Histogram { SECONDS.to_vec() } else { Vec::new() }
}

fn bounds(name: &MetricName, kind: MetricKind, buckets: &[f64]) -> Result<Vec<f64>, ApiError> {
    if buckets.is_empty() {
        return Ok(default_bounds(kind));
    }
    if kind != MetricKind::Histogram {
        return Err(bad(format_args!("metric {name} is {}, and has no buckets", kind.described())));
    }
    if buckets.len() > BUCKETS {
        let count = buckets.len();
        return Err(bad(format_args!("histogram {name} has {count} buckets, at most {BUCKETS} may be")));
    }
    if let Some(bound) = buckets.iter().find(|bound| !bound.is_finite()) {
        return Err(bad(format_args!(
            "{bound} is no bucket of histogram {name}: give finite bounds; the infinite one is always there"
        )));
    }
    if !buckets.is_sorted_by(|a, b| a < b) {
        return Err(bad(format_args!("the buckets of histogram {name} are not in ascending order")));
    }
    Ok(buckets.to_vec())
}

fn bad(problem: impl std::fmt::Display) -> ApiError {
    ApiError::BadRequest(problem.to_string())
}

#[cfg(test)]
mod tests;
