//! Exponential back-off with jitter, after client-go's reflector: 0.8 s doubling to 30 s.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// A number in `0.0..1.0`, good enough to keep clients from marching in step.
pub(crate) fn jitter() -> f64 {
    // A RandomState has fresh keys each time: the standard library's only source of randomness.
    let bits = RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// One kind's patience.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// How long to wait now: between one and two times the step, which doubles.
    pub(crate) fn step(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.most);
        now.mul_f64(1.0 + jitter())
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trap_11_back_off_doubles_with_jitter_up_to_a_bound_and_resets() {
        let mut backoff = Backoff::new(Duration::from_millis(800), Duration::from_secs(30));
        let mut step = 0.8;
        for _ in 0..10 {
            let waited = backoff.step().as_secs_f64();
            assert!((step..=2.0 * step).contains(&waited), "{waited} after a step of {step}");
            step = (step * 2.0_f64).min(30.0);
        }
        backoff.reset();
        assert!(backoff.step() <= Duration::from_millis(1600));
        assert_ne!(jitter(), jitter());
    }
}
