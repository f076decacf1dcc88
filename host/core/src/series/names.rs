//! What a plugin may call its metrics and their labels, so that no series can be taken for one of the
//! host's, of another plugin, or of another metric.

use std::fmt;

use crate::ApiError;
use crate::printable::printable;

use super::{MetricKind, bad};

/// Bytes of a metric's name.
const NAME: usize = 100;
/// Labels of one series.
const LABELS: usize = 10;
/// Bytes of a label's name.
const LABEL: usize = 64;
/// Bytes of a label's value.
const VALUE: usize = 128;

/// What the text format puts behind names of its own accord: with one of them, a metric's series could be
/// taken for those of another one.
const SUFFIXES: [&str; 4] = ["_bucket", "_count", "_sum", "_total"];
/// Labels that the host, or the text format, sets.
const TAKEN: [&str; 3] = ["controller", "le", "quantile"];

/// A metric's name, as the plugin has it; a counter's is without `_total`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricName(String);

impl MetricName {
    /// See `wit/metrics.wit` for what it may be.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] says what is wrong with it.
    pub fn new(name: &str, kind: MetricKind) -> Result<Self, ApiError> {
        let short = match kind {
            MetricKind::Counter => name.strip_suffix("_total").unwrap_or(name),
            MetricKind::Gauge | MetricKind::Histogram => name,
        };
        let problem = if short.is_empty() {
            Some("it is empty".to_owned())
        } else if short.len() > NAME {
            Some(format!("it has {} bytes, {NAME} are allowed", short.len()))
        } else if !short.starts_with(|c: char| c.is_ascii_alphabetic())
            || !short.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            Some("it must be a letter, then letters, digits and underscores, all ASCII".to_owned())
        } else if short.contains("__") || short.ends_with('_') {
            Some("underscores must be single, and not at the end".to_owned())
        } else {
            let suffix = SUFFIXES.into_iter().find(|suffix| short.ends_with(suffix));
            suffix.map(|suffix| format!("{suffix} at its end is not the plugin's to say"))
        };
        match problem {
            None => Ok(Self(short.to_owned())),
            Some(problem) => {
                Err(bad(format_args!("{:?} cannot name a metric: {problem}", printable(name, 40))))
            }
        }
    }

    /// As it is exposed. Two plugins never have the same: a plugin's name, a DNS label (of a namespace's, two
    /// with a dot), has neither underscores nor a dash at its end, so that the last double underscore ends it.
    pub fn exposed(&self, plugin: &str) -> String {
        format!("wheelhouse_custom_{}__{}", plugin.replace('-', "_").replace('.', ":"), self.0)
    }
}

impl fmt::Display for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The labels of one series, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels(Vec<(String, String)>);

impl Labels {
    /// See `wit/metrics.wit` for what they may be. Values are cleaned and cut, and an empty one is none.
    ///
    /// # Errors
    /// [`ApiError::BadRequest`] says what is wrong with which.
    pub fn new(labels: &[(String, String)]) -> Result<Self, ApiError> {
        if labels.len() > LABELS {
            return Err(bad(format_args!("{} labels, at most {LABELS} may be", labels.len())));
        }
        let mut all: Vec<(String, String)> = Vec::with_capacity(labels.len());
        for (name, value) in labels {
            if let Some(problem) = wrong(name) {
                return Err(bad(format_args!("{:?} cannot name a label: {problem}", printable(name, 40))));
            }
            if all.iter().any(|(other, _)| other == name) {
                return Err(bad(format_args!("label {name:?} is given twice")));
            }
            all.push((name.clone(), printable(value, VALUE)));
        }
        all.retain(|(_, value)| !value.is_empty());
        all.sort_unstable();
        Ok(Self(all))
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// What is wrong with a label's name.
fn wrong(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > LABEL {
        return Some("it must have 1 to 64 bytes");
    }
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.starts_with(|c: char| c.is_ascii_digit()) || !name.bytes().all(good) {
        return Some("it must be letters, digits and underscores, and not begin with a digit");
    }
    if name.starts_with("__") {
        return Some("two underscores at the beginning are Prometheus' own");
    }
    TAKEN.contains(&name).then_some("the host sets it")
}
