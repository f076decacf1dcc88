//! Measured times, and what is told of them.

use std::hint::black_box;
use std::time::Instant;

/// Times of one operation, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<u64>);

impl Samples {
    pub(crate) fn extend(&mut self, nanos: impl IntoIterator<Item = u64>) {
        self.0.extend(nanos);
    }

    /// Times native code; `run` gets the number of the time. What reading the clock costs is in it.
    pub(crate) fn time<T>(&mut self, times: usize, mut run: impl FnMut(usize) -> T) {
        for time in 0..times {
            let started = Instant::now();
            let result = black_box(run(time));
            // What it made is taken apart within the time: the guest's operations do so, too.
            drop(result);
            self.push(started);
        }
    }

    /// The time since then.
    pub(crate) fn push(&mut self, started: Instant) {
        self.0.push(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub(crate) fn p95(&self) -> f64 {
        self.quantile(0.95)
    }

    pub(crate) fn p99(&self) -> f64 {
        self.quantile(0.99)
    }

    /// The nearest rank; not a number if nothing was measured.
    fn quantile(&self, q: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (q * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).map_or(f64::NAN, |&nanos| nanos as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_measured_values() {
        let mut samples = Samples::default();
        samples.extend((1..=100).rev());
        assert_eq!((samples.median(), samples.p95()), (50.0, 95.0));
        let mut one = Samples::default();
        one.extend([7]);
        assert_eq!((one.median(), one.p95()), (7.0, 7.0));
        assert!(Samples::default().median().is_nan());
    }
}
