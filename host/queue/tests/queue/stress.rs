//! Real threads and the real clock, for a second: no key in two places, and nothing lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use tokio::time::timeout;
use wheelhouse_queue::Priority::{High, Low};
use wheelhouse_queue::{BackoffPolicy, WorkQueue};

const KEYS: usize = 64;
const WORKERS: u64 = 8;
const PRODUCERS: u64 = 4;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// An object of the cluster: what was last asked of it, and what a successful run last saw.
#[derive(Default)]
struct Object {
    busy: AtomicBool,
    wanted: AtomicU64,
    seen: AtomicU64,
}

/// A random number generator (xorshift), one for each task.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

async fn produce(queue: WorkQueue<usize>, objects: Arc<[Object]>, mut dice: Dice, until: Instant) -> u64 {
    let mut changes = 0;
    while Instant::now() < until {
        let key = dice.roll(KEYS as u64) as usize;
        objects[key].wanted.fetch_add(1, SeqCst);
        match dice.roll(4) {
            0 => queue.add(key, Low),
            1 => queue.add_after(key, Duration::from_micros(dice.roll(3_000)), High),
            _ => queue.add(key, High),
        }
        changes += 1;
        if dice.roll(8) == 0 {
            tokio::time::sleep(Duration::from_micros(dice.roll(500))).await;
        }
    }
    changes
}

async fn work(queue: WorkQueue<usize>, objects: Arc<[Object]>, mut dice: Dice) -> u64 {
    let mut runs = 0;
    loop {
        // Workers that lose patience: the wait is cancelled at any moment.
        let patience = Duration::from_micros(dice.roll(2_000));
        let work = match timeout(patience, queue.next()).await {
            Ok(Some(work)) => work,
            Ok(None) => return runs,
            Err(_) => continue,
        };
        let object = &objects[*work.key()];
        assert!(!object.busy.swap(true, SeqCst), "{} is in two workers", work.key());
        let wanted = object.wanted.load(SeqCst);
        if dice.roll(2) == 0 {
            tokio::task::yield_now().await;
        }
        runs += 1;
        let outcome = dice.roll(8);
        if outcome < 6 {
            object.seen.fetch_max(wanted, SeqCst);
        }
        object.busy.store(false, SeqCst);
        match outcome {
            0..5 => work.done(),
            5 => work.requeue_after(ms(1)),
            6 => work.retry(),
            _ => drop(work),
        }
    }
}

fn depth<K: Clone + Eq + std::hash::Hash>(queue: &WorkQueue<K>) -> usize {
    let stats = queue.stats();
    stats.ready + stats.delayed + stats.in_flight
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_key_is_in_two_workers_and_none_is_lost() {
    let queue = WorkQueue::new(BackoffPolicy { base: ms(1), max: ms(4), jitter: 0.1 });
    let objects: Arc<[Object]> = (0..KEYS).map(|_| Object::default()).collect();
    let until = Instant::now() + ms(1_000);
    let dice = |seed: u64| Dice(0x9e37_79b9_7f4a_7c15 ^ seed);
    let workers: Vec<_> =
        (0..WORKERS).map(|n| tokio::spawn(work(queue.clone(), Arc::clone(&objects), dice(n)))).collect();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|n| tokio::spawn(produce(queue.clone(), Arc::clone(&objects), dice(100 + n), until)))
        .collect();
    let mut changes = 0;
    for producer in producers {
        changes += producer.await.expect("a producer");
    }

    let deadline = Instant::now() + ms(10_000);
    let settled = |object: &Object| object.seen.load(SeqCst) == object.wanted.load(SeqCst);
    loop {
        if depth(&queue) == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "the queue does not come to rest: {:?}", queue.stats());
        tokio::time::sleep(ms(1)).await;
    }
    assert!(objects.iter().all(settled), "a change was lost");

    queue.shut_down();
    timeout(ms(10_000), queue.drained()).await.expect("drained");
    let mut runs = 0;
    for worker in workers {
        runs += worker.await.expect("a worker");
    }
    assert!(runs > 1_000 && changes > 1_000, "{changes} changes, {runs} runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_without_a_time_limit_are_never_left_asleep() {
    let queue = WorkQueue::new(BackoffPolicy::default());
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { while queue.next().await.map(|work| work.done()).is_some() {} })
        })
        .collect();
    // Each round ends only when the queue has run dry, so that all workers are about to sleep or asleep.
    for round in 0..2_000_u64 {
        queue.add(round, High);
        queue.add_after(round + 1_000_000, Duration::from_micros(round % 3), Low);
        let dry = async {
            while depth(&queue) > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(ms(5_000), dry).await.expect("a worker slept through a key");
    }
    queue.shut_down();
    for worker in workers {
        timeout(ms(5_000), worker).await.expect("released").expect("a worker");
    }
}
