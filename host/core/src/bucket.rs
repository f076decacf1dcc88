//! A token bucket: so much in a second, and so much at once after a pause. It is told the time.

use std::time::{Duration, Instant};

/// See the module.
#[derive(Clone, Debug)]
pub struct Bucket {
    capacity: f64,
    per_second: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    /// A full one.
    pub fn new(capacity: f64, per_second: f64, now: Instant) -> Self {
        Self { capacity, per_second, level: capacity, at: now }
    }

    /// Other bounds; what is in it stays, as far as it fits.
    pub fn resize(&mut self, capacity: f64, per_second: f64, now: Instant) {
        self.fill(now);
        (self.capacity, self.per_second) = (capacity, per_second);
        self.level = self.level.min(capacity);
    }

    /// What comes in in a second.
    pub fn per_second(&self) -> f64 {
        self.per_second
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.level = (self.level + elapsed * self.per_second).min(self.capacity);
    }

    /// Takes so much, or nothing and says when there will be enough.
    ///
    /// # Errors
    /// The wait, which is [`Duration::MAX`] for more than it ever holds.
    pub fn take(&mut self, amount: f64, now: Instant) -> Result<(), Duration> {
        self.fill(now);
        if amount <= self.level {
            self.level -= amount;
            return Ok(());
        }
        Err(if amount > self.capacity { Duration::MAX } else { self.until(amount) })
    }

    /// Takes what has been used already, which may leave a debt. How long until it is paid.
    pub fn charge(&mut self, amount: f64, now: Instant) -> Duration {
        self.fill(now);
        self.level -= amount;
        self.until(0.0)
    }

    /// Likewise, with a debt that is never more than so much; [`Duration::MAX`] if there is nothing to have.
    pub fn charge_up_to(&mut self, amount: f64, debt: f64, now: Instant) -> Duration {
        self.fill(now);
        self.level = (self.level - amount).max(-debt);
        if self.capacity <= 0.0 { Duration::MAX } else { self.until(0.0) }
    }

    fn until(&self, level: f64) -> Duration {
        let missing = level - self.level;
        if missing <= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_gives_its_capacity_at_once_and_its_rate_from_then_on() {
        let now = Instant::now();
        let mut bucket = Bucket::new(3.0, 2.0, now);
        assert!((0..3).all(|_| bucket.take(1.0, now).is_ok()));
        assert_eq!(bucket.take(1.0, now), Err(SECOND / 2));
        assert_eq!(bucket.take(1.0, now + SECOND / 2), Ok(()));
        assert_eq!(bucket.take(4.0, now + SECOND * 100), Err(Duration::MAX));
        assert_eq!(bucket.take(3.0, now + SECOND * 100), Ok(()));
    }

    #[test]
    fn a_debt_is_paid_before_anything_else() {
        let now = Instant::now();
        let mut bucket = Bucket::new(1.0, 1.0, now);
        assert_eq!(bucket.charge(1.0, now), Duration::ZERO);
        assert_eq!(bucket.charge(2.0, now), SECOND * 2);
        assert!(bucket.take(0.5, now + SECOND * 2).is_err());
        assert_eq!(bucket.charge(0.0, now + SECOND * 2), Duration::ZERO);
    }

    #[test]
    fn a_debt_may_have_a_bound() {
        let now = Instant::now();
        let mut bucket = Bucket::new(1.0, 1.0, now);
        assert_eq!(bucket.charge_up_to(1.0, 2.0, now), Duration::ZERO);
        assert_eq!(bucket.charge_up_to(100.0, 2.0, now), SECOND * 2);
        assert_eq!(bucket.charge_up_to(0.0, 2.0, now + SECOND), SECOND);
        assert_eq!(bucket.charge_up_to(0.0, 2.0, now + SECOND * 2), Duration::ZERO);
        assert_eq!(Bucket::new(0.0, 0.0, now).charge_up_to(0.0, 0.0, now), Duration::MAX);
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let now = Instant::now() + SECOND;
        let mut bucket = Bucket::new(1.0, 1.0, now);
        assert!(bucket.take(1.0, now).is_ok());
        assert!(bucket.take(1.0, now - SECOND).is_err());
        assert!(bucket.take(1.0, now + SECOND / 2).is_err(), "no second is counted twice");
    }

    #[test]
    fn a_bucket_without_a_rate_is_a_number_of_things() {
        let now = Instant::now();
        let mut bucket = Bucket::new(0.0, 0.0, now);
        assert!(bucket.take(1.0, now).is_err());
        assert_eq!(bucket.charge(1.0, now), Duration::MAX);
    }
}
