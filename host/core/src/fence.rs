//! Until when a plugin may write: what keeps a host that has lost its lease from writing on.
//!
//! Who holds a lease moves the fence's end on with each renewal; it does so without being asked, and a
//! process that was stopped for a while, or a machine that was suspended, finds the fence closed when it wakes,
//! before it has heard of anything. Judged by [`Moment`]s, of which the world's idea of the time is no part.
//!
//! It wakes nobody: who waits for something that the fence is to end looks at it now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::moment::Moment;

/// Open for ever.
const OPEN: u64 = u64::MAX;
/// Closed until it is opened.
const CLOSED: u64 = 0;

/// Lets writes through until its end. Clones share it.
#[derive(Clone, Debug)]
pub struct Fence {
    /// As [`Moment::nanos`].
    end: Arc<AtomicU64>,
}

/// The end has passed: another host may be writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this host does not hold the lease that the plugin runs under")]
pub struct Fenced;

impl Fence {
    /// One that is open for ever: where no other host can run the plugin.
    pub fn open() -> Self {
        Self::new(OPEN)
    }

    /// One that is closed until [`Fence::open_until`].
    pub fn closed() -> Self {
        Self::new(CLOSED)
    }

    fn new(end: u64) -> Self {
        Self { end: Arc::new(AtomicU64::new(end)) }
    }

    /// Lets writes through until then, and not after, whatever was said before.
    pub fn open_until(&self, end: Moment) {
        self.end.store(end.nanos().min(OPEN - 1), Ordering::Release);
    }

    /// Lets nothing through from now on.
    pub fn close(&self) {
        self.end.store(CLOSED, Ordering::Release);
    }

    /// How long it is open yet, by what is known now: its end may be moved on, and it may be closed.
    ///
    /// # Errors
    /// If it is closed.
    pub fn left(&self, now: Moment) -> Result<Duration, Fenced> {
        match self.end.load(Ordering::Acquire) {
            OPEN => Ok(Duration::MAX),
            end => match end.saturating_sub(now.nanos()) {
                0 => Err(Fenced),
                left => Ok(Duration::from_nanos(left)),
            },
        }
    }
}

impl Default for Fence {
    /// Open.
    fn default() -> Self {
        Self::open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_closes_by_itself_at_its_end_and_a_renewal_moves_the_end() {
        let (fence, now) = (Fence::closed(), Moment::now());
        assert_eq!(fence.left(now), Err(Fenced));
        let second = Duration::from_secs(1);
        fence.open_until(now + second);
        assert_eq!(fence.left(now), Ok(second));
        assert_eq!(fence.clone().left(now + second), Err(Fenced), "at the end, no more");
        fence.open_until(now + 2 * second);
        assert_eq!(fence.left(now + second), Ok(second));
        fence.close();
        assert_eq!(fence.left(now), Err(Fenced));
        fence.open_until(now + Duration::MAX);
        assert!(fence.left(now).is_ok());
    }

    #[test]
    fn one_that_nobody_closes_is_open_for_ever() {
        assert_eq!(Fence::open().left(Moment::now()), Ok(Duration::MAX));
    }
}
