//! Metrics of the plugin's own, in the host's `/metrics`.
//!
//! ```no_run
//! use wheelhouse_sdk::metrics;
//!
//! metrics::counter("children_applied").help("Children that were applied").label("kind", "Service").add(1.0);
//! metrics::gauge("backlog").set(3.0);
//! metrics::histogram("rollout_seconds").buckets([1.0, 10.0, 60.0, 600.0]).observe(42.0);
//! ```
//!
//! The first becomes `wheelhouse_custom_PLUGIN__children_applied_total{controller="PLUGIN",kind="Service"}`.
//! They live as long as the plugin is loaded, whatever becomes of its instances and revisions.
//!
//! Every combination of label values is a series, and all of them together are limited: take labels with few
//! values, and [remove](Gauge::remove) the series of what is gone. What the host refuses is a line of the
//! log; the functions that begin with `try_` return it instead.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;

use crate::ApiError;
use crate::bindings::wheelhouse::controller::metrics as host;

use host::MetricKind;

/// A number that only grows. `_total` at the end of its name need not be said.
pub fn counter<'a>(name: impl Into<Cow<'a, str>>) -> Counter<'a> {
    Counter(Series::new(MetricKind::Counter, name.into()))
}

/// A number as it is now.
pub fn gauge<'a>(name: impl Into<Cow<'a, str>>) -> Gauge<'a> {
    Gauge(Series::new(MetricKind::Gauge, name.into()))
}

/// How values are spread. It counts as many series as it has buckets, and three more.
pub fn histogram<'a>(name: impl Into<Cow<'a, str>>) -> Histogram<'a> {
    Histogram(Series::new(MetricKind::Histogram, name.into()))
}

struct Series<'a> {
    kind: MetricKind,
    name: Cow<'a, str>,
    labels: Vec<(String, String)>,
    help: String,
    buckets: Vec<f64>,
}

thread_local! {
    /// What this instance has described.
    static DESCRIBED: RefCell<HashSet<String>> = RefCell::default();
}

impl<'a> Series<'a> {
    fn new(kind: MetricKind, name: Cow<'a, str>) -> Self {
        Self { kind, name, labels: Vec::new(), help: String::new(), buckets: Vec::new() }
    }

    fn label(&mut self, name: impl Into<String>, value: impl ToString) {
        self.labels.push((name.into(), value.to_string()));
    }

    /// Once per instance: the host knows it from then on.
    fn describe(&self) -> Result<(), ApiError> {
        let plain = self.help.is_empty() && self.buckets.is_empty();
        if plain || DESCRIBED.with_borrow(|described| described.contains(&*self.name)) {
            return Ok(());
        }
        host::describe(&self.name, self.kind, &self.help, &self.buckets)?;
        DESCRIBED.with_borrow_mut(|described| described.insert(self.name.clone().into_owned()));
        Ok(())
    }

    fn take(&self, value: f64) -> Result<(), ApiError> {
        self.describe()?;
        Ok(match self.kind {
            MetricKind::Counter => host::counter_add(&self.name, &self.labels, value),
            MetricKind::Gauge => host::gauge_set(&self.name, &self.labels, value),
            MetricKind::Histogram => host::histogram_observe(&self.name, &self.labels, value),
        }?)
    }

    fn remove(&self) -> Result<(), ApiError> {
        Ok(host::remove(&self.name, &self.labels)?)
    }
}

fn log(result: Result<(), ApiError>) {
    if let Err(error) = result {
        crate::warn!("a metric was refused: {error}");
    }
}

macro_rules! series {
    ($type:ident) => {
        impl $type<'_> {
            /// What it is, for people. It is told to the host once for each instance of the plugin.
            pub fn help(mut self, help: impl Into<String>) -> Self {
                self.0.help = help.into();
                self
            }

            /// One of at most 10 labels. An empty value is no label.
            pub fn label(mut self, name: impl Into<String>, value: impl ToString) -> Self {
                self.0.label(name, value);
                self
            }

            /// Forgets the series with these labels.
            pub fn remove(self) {
                log(self.0.remove());
            }
        }
    };
}

/// See [`counter`].
#[must_use = "nothing is counted until something is added"]
pub struct Counter<'a>(Series<'a>);
series!(Counter);

impl Counter<'_> {
    /// Adds to it: a finite number, not below 0.
    pub fn add(self, value: f64) {
        log(self.try_add(value));
    }

    /// Likewise, and says why not.
    ///
    /// # Errors
    /// [`BadRequest`](ApiError::BadRequest) for a name, a label or a value that makes no sense,
    /// [`LimitExceeded`](ApiError::LimitExceeded) with `metricSeries` for a series too many.
    pub fn try_add(self, value: f64) -> Result<(), ApiError> {
        self.0.take(value)
    }
}

/// See [`gauge`].
#[must_use = "nothing is set until a value is"]
pub struct Gauge<'a>(Series<'a>);
series!(Gauge);

impl Gauge<'_> {
    /// Sets it to a finite number.
    pub fn set(self, value: f64) {
        log(self.try_set(value));
    }

    /// Likewise, and says why not.
    ///
    /// # Errors
    /// As of [`Counter::try_add`].
    pub fn try_set(self, value: f64) -> Result<(), ApiError> {
        self.0.take(value)
    }
}

/// See [`histogram`].
#[must_use = "nothing is noted until a value is"]
pub struct Histogram<'a>(Series<'a>);
series!(Histogram);

impl Histogram<'_> {
    /// The upper bounds of its buckets, at most 64, in ascending order; if not said, those for seconds of the
    /// Prometheus client libraries, from 0.005 to 10. Other ones than before let it begin anew.
    pub fn buckets(mut self, bounds: impl IntoIterator<Item = f64>) -> Self {
        self.0.buckets = bounds.into_iter().collect();
        self
    }

    /// Notes a finite number.
    pub fn observe(self, value: f64) {
        log(self.try_observe(value));
    }

    /// Likewise, and says why not.
    ///
    /// # Errors
    /// As of [`Counter::try_add`].
    pub fn try_observe(self, value: f64) -> Result<(), ApiError> {
        self.0.take(value)
    }
}
