//! Ticks: what a plugin wants to be asked for every so often, without an event.
//!
//! Each is requested one period after it was first declared, and from then on again and again. The next
//! revision goes on where the last one was: a switch makes no tick come twice, and none come never, however
//! often there is one. A tick that is late comes once.
//!
//! The requests go behind those of live changes: like a resync, they tell of nothing that has happened.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use wheelhouse_core::tick::Tick;
use wheelhouse_core::{Key, Spec};
use wheelhouse_queue::{Priority, WorkQueue};

/// The largest fraction of a period that is added to it at random, so that not all ticks come at once.
const JITTER: f64 = 0.1;
/// "Never", for a due time that the clock cannot express.
const FAR_FUTURE: Duration = Duration::from_secs(86_400 * 365 * 30);

/// When each tick of a plugin is due, across its revisions. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schedule(Arc<Mutex<HashMap<String, Instant>>>);

impl Schedule {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, these ticks there are. One that was there goes on; it waits for no more than its new
    /// period.
    fn declare(&self, ticks: &[Tick], now: Instant) {
        let mut all = self.lock();
        let mut declared = HashMap::new();
        for tick in ticks {
            let fresh = next(tick, now);
            let due = all.get(&tick.name).map_or(fresh, |due| fresh.min(*due));
            declared.insert(tick.name.clone(), due);
        }
        *all = declared;
    }

    /// None if there is no such tick any more.
    fn due(&self, tick: &Tick) -> Option<Instant> {
        self.lock().get(&tick.name).copied()
    }

    /// Whether it is the caller's to request it now. Two revisions may ask for a moment; one is told so.
    fn claim(&self, tick: &Tick, now: Instant) -> bool {
        match self.lock().get_mut(&tick.name) {
            Some(due) if *due <= now => {
                *due = next(tick, now);
                true
            }
            _ => false,
        }
    }
}

fn next(tick: &Tick, now: Instant) -> Instant {
    // As random as the seeds of the standard hash maps, which is enough for jitter.
    let random = (RandomState::new().hash_one(&tick.name) >> 11) as f64 / (1_u64 << 53) as f64;
    let period = tick.every.saturating_add(tick.every.mul_f64(JITTER * random));
    now.checked_add(period).unwrap_or_else(|| now + FAR_FUTURE)
}

/// Starts to request what these ticks name, until the revision is retired.
pub(crate) fn start(
    ticks: &[Tick],
    schedule: &Schedule,
    queue: &WorkQueue<Key>,
    retired: &watch::Sender<bool>,
    tasks: &mut JoinSet<()>,
) {
    schedule.declare(ticks, Instant::now());
    for tick in ticks {
        tasks.spawn(run(tick.clone(), schedule.clone(), queue.clone(), retired.subscribe()));
    }
}

async fn run(tick: Tick, schedule: Schedule, queue: WorkQueue<Key>, mut retired: watch::Receiver<bool>) {
    while let Some(due) = schedule.due(&tick) {
        tokio::select! {
            biased;
            _ = retired.wait_for(|retired| *retired) => return,
            () = sleep_until(due) => {}
        }
        if schedule.claim(&tick, Instant::now()) {
            tick.keys.iter().for_each(|key| queue.add(key.clone(), Priority::Low));
        }
    }
}

/// A key that no object of the reconciled kind can have, since it has a namespace, or lacks one.
pub(crate) fn misplaced(spec: &Spec, namespaced: bool) -> Option<(&Tick, &Key)> {
    let keys = spec.ticks.iter().flat_map(|tick| tick.keys.iter().map(move |key| (tick, key)));
    keys.into_iter().find(|(_, key)| key.namespace.is_empty() == namespaced)
}

#[cfg(test)]
mod tests {
    use wheelhouse_queue::BackoffPolicy;

    use super::*;

    const PERIOD: Duration = Duration::from_secs(100);
    /// With all of the jitter, and the clock's own millisecond.
    const LATEST: Duration = Duration::from_millis(110_001);

    fn tick(name: &str, every: Duration) -> Tick {
        Tick { name: name.into(), every, keys: vec![Key::new("ns", "a"), Key::new("ns", "b")] }
    }

    /// A revision's ticks.
    struct Revision {
        retired: watch::Sender<bool>,
        tasks: JoinSet<()>,
    }

    impl Revision {
        fn start(ticks: &[Tick], schedule: &Schedule, queue: &WorkQueue<Key>) -> Self {
            let (retired, mut tasks) = (watch::Sender::new(false), JoinSet::new());
            start(ticks, schedule, queue, &retired, &mut tasks);
            Self { retired, tasks }
        }

        async fn retire(mut self) {
            self.retired.send_replace(true);
            while self.tasks.join_next().await.is_some() {}
        }
    }

    /// Lets time pass, and whatever is due happen; the keys that were requested meanwhile.
    async fn requested(queue: &WorkQueue<Key>, within: Duration) -> Vec<String> {
        tokio::time::sleep(within).await;
        let mut keys = Vec::new();
        while queue.stats().ready > 0 {
            let work = queue.next().await.unwrap();
            keys.push(work.key().to_string());
            work.done();
        }
        keys
    }

    fn queue() -> WorkQueue<Key> {
        WorkQueue::new(BackoffPolicy::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_tick_requests_its_keys_after_one_period_and_again_and_again() {
        let (queue, schedule) = (queue(), Schedule::default());
        let revision = Revision::start(&[tick("t", PERIOD)], &schedule, &queue);
        assert!(requested(&queue, PERIOD - Duration::from_millis(1)).await.is_empty(), "not at the start");
        assert_eq!(requested(&queue, LATEST - PERIOD).await, ["ns/a", "ns/b"]);
        let begun = Instant::now();
        let (mut times, mut seen) = (Vec::new(), queue.stats().adds_total);
        while times.len() < 20 {
            requested(&queue, Duration::from_secs(1)).await;
            let adds = queue.stats().adds_total;
            if adds > seen {
                times.push(begun.elapsed());
                seen = adds;
            }
        }
        let gaps: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        assert!(gaps.iter().all(|gap| (99..=111).contains(gap)), "{gaps:?}");
        assert!(gaps.iter().any(|gap| *gap != gaps[0]), "all alike: {gaps:?}");
        revision.retire().await;
        assert!(requested(&queue, PERIOD * 5).await.is_empty(), "it was retired");
    }

    #[tokio::test(start_paused = true)]
    async fn a_live_change_goes_before_a_tick() {
        let (queue, schedule) = (queue(), Schedule::default());
        let _revision = Revision::start(&[tick("t", PERIOD)], &schedule, &queue);
        tokio::time::sleep(LATEST).await;
        queue.add(Key::new("ns", "live"), Priority::High);
        assert_eq!(requested(&queue, Duration::ZERO).await, ["ns/live", "ns/a", "ns/b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_switch_brings_no_tick_forward_and_puts_none_off() {
        let (queue, schedule) = (queue(), Schedule::default());
        let mut revision = Revision::start(&[tick("t", PERIOD)], &schedule, &queue);
        let mut requests = 0;
        // Much more often than the period.
        for _ in 0..100 {
            requests += requested(&queue, Duration::from_secs(11)).await.len() / 2;
            let next = Revision::start(&[tick("t", PERIOD)], &schedule, &queue);
            revision.retire().await;
            revision = next;
        }
        assert!((9..=11).contains(&requests), "{requests} in 1,100 seconds");
    }

    #[tokio::test(start_paused = true)]
    async fn a_tick_that_is_declared_anew_has_its_new_period_and_one_that_is_not_is_gone() {
        let (queue, schedule) = (queue(), Schedule::default());
        let first = Revision::start(&[tick("t", PERIOD * 100), tick("u", PERIOD)], &schedule, &queue);
        assert!(requested(&queue, PERIOD / 2).await.is_empty());
        first.retire().await;
        let _second = Revision::start(&[tick("t", PERIOD)], &schedule, &queue);
        assert!(requested(&queue, PERIOD - Duration::from_millis(1)).await.is_empty());
        assert_eq!(requested(&queue, LATEST - PERIOD).await, ["ns/a", "ns/b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_missed_comes_once() {
        let (queue, schedule) = (queue(), Schedule::default());
        let first = Revision::start(&[tick("t", PERIOD)], &schedule, &queue);
        first.retire().await;
        tokio::time::sleep(PERIOD * 50).await;
        let _second = Revision::start(&[tick("t", PERIOD)], &schedule, &queue);
        assert_eq!(requested(&queue, Duration::from_millis(1)).await, ["ns/a", "ns/b"]);
        assert!(requested(&queue, PERIOD - Duration::from_millis(1)).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn hostile_a_period_beyond_the_clock_is_never() {
        let (queue, schedule) = (queue(), Schedule::default());
        let never = tick("t", Duration::from_millis(u64::MAX));
        let _revision = Revision::start(&[never], &schedule, &queue);
        assert!(requested(&queue, Duration::from_secs(86_400 * 365)).await.is_empty());
    }
}
