//! Who waits, who is woken, and when: on a paused clock, with workers that count their wake-ups.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::support::{advance, exact, ms};
use tokio::time::{Instant, timeout};
use wheelhouse_queue::Priority::{High, Low};
use wheelhouse_queue::WorkQueue;

/// A worker that waits in `next`, polled by hand. What it gets is done at once.
struct Worker {
    next: Pin<Box<dyn Future<Output = &'static str>>>,
    wakes: Arc<Wakes>,
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Worker {
    fn waiting_for(queue: &WorkQueue<&'static str>) -> Self {
        let queue = queue.clone();
        let next = async move {
            let work = queue.next().await.expect("the queue is open");
            let key = *work.key();
            work.done();
            key
        };
        let next = Box::pin(tokio::task::unconstrained(next));
        let mut worker = Self { next, wakes: Arc::default() };
        assert_eq!(worker.poll(), None, "nothing to do yet");
        worker
    }

    fn poll(&mut self) -> Option<&'static str> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        match self.next.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(key) => Some(key),
            Poll::Pending => None,
        }
    }
}

fn wakes(workers: &[Worker]) -> Vec<usize> {
    workers.iter().map(|worker| worker.wakes.0.load(Ordering::SeqCst)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_key_wakes_one_worker() {
    let queue = exact();
    let mut workers: Vec<_> = (0..4).map(|_| Worker::waiting_for(&queue)).collect();
    queue.add("a", High);
    assert_eq!(wakes(&workers), [1, 0, 0, 0]);
    assert_eq!(workers.remove(0).poll(), Some("a"));
    assert_eq!(wakes(&workers), [1, 0, 0], "the next one steps up");
    assert_eq!(workers[0].poll(), None);
    queue.add("b", High);
    assert_eq!(wakes(&workers), [2, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_due_time_wakes_one_worker() {
    let queue = exact();
    let mut workers: Vec<_> = (0..4).map(|_| Worker::waiting_for(&queue)).collect();
    queue.add_after("a", ms(10), High);
    assert_eq!(wakes(&workers), [1, 0, 0, 0], "to arm the timer");
    assert_eq!(workers[0].poll(), None);
    queue.add_after("b", ms(20), High);
    advance(ms(9)).await;
    assert_eq!(wakes(&workers), [1, 0, 0, 0], "a later due time is no news");
    advance(ms(1)).await;
    assert_eq!(wakes(&workers), [2, 0, 0, 0]);
    assert_eq!(workers[0].poll(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn several_keys_reach_as_many_workers() {
    let queue = exact();
    let mut workers: Vec<_> = (0..4).map(|_| Worker::waiting_for(&queue)).collect();
    for key in ["a", "b", "c"] {
        queue.add(key, High);
    }
    let got: Vec<_> = workers.iter_mut().map(Worker::poll).collect();
    assert_eq!(got, [Some("a"), Some("b"), Some("c"), None]);
}

#[tokio::test(start_paused = true)]
async fn a_deduplicated_add_wakes_nobody() {
    let queue = exact();
    queue.add("a", High);
    let work = queue.next().await.expect("a was added");
    let workers = [Worker::waiting_for(&queue)];
    queue.add("a", High);
    assert_eq!(wakes(&workers), [0], "it is in flight");
    work.done();
    assert_eq!(wakes(&workers), [1], "now it can run");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_next_loses_nothing() {
    let queue = exact();
    let first = Worker::waiting_for(&queue);
    let mut behind = Worker::waiting_for(&queue);
    queue.add("a", High);
    drop(first); // It has been woken for the key, and goes without it.
    assert_eq!(behind.poll(), Some("a"));

    queue.add_after("b", ms(5), High);
    assert!(timeout(ms(1), queue.next()).await.is_err());
    assert_eq!(*timeout(ms(10), queue.next()).await.unwrap().unwrap().key(), "b");
}

#[tokio::test(start_paused = true)]
async fn next_waits_for_an_add() {
    let queue = exact();
    let worker = tokio::spawn({
        let queue = queue.clone();
        async move { queue.next().await.map(|work| *work.key()) }
    });
    advance(ms(10)).await;
    assert!(!worker.is_finished());
    queue.add("a", Low);
    assert_eq!(timeout(ms(1_000), worker).await.expect("woken").unwrap(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn next_sleeps_until_the_earliest_due_time_also_if_that_comes_up_later() {
    let queue = exact();
    let start = Instant::now();
    queue.add_after("late", Duration::from_secs(60), High);
    let worker = tokio::spawn({
        let queue = queue.clone();
        async move { (*queue.next().await.unwrap().key(), start.elapsed()) }
    });
    advance(ms(10)).await;
    queue.add_after("early", ms(90), High);
    assert_eq!(worker.await.unwrap(), ("early", ms(100)));
}

#[tokio::test(start_paused = true)]
async fn every_waiting_worker_gets_its_key() {
    let queue = exact();
    let workers: Vec<_> = (0..10)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move {
                let work = queue.next().await.unwrap();
                tokio::time::sleep(ms(1_000)).await;
                let key = *work.key();
                work.done();
                key
            })
        })
        .collect();
    advance(ms(1)).await;
    (0..5).for_each(|key| queue.add(key, High));
    (5..10).for_each(|key| queue.add_after(key, ms(10), High));
    let start = Instant::now();
    let mut keys = Vec::new();
    for worker in workers {
        keys.push(worker.await.unwrap());
    }
    keys.sort_unstable();
    assert_eq!(keys, (0..10).collect::<Vec<_>>());
    assert!(start.elapsed() <= ms(1_011), "none waited for another's run: {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn shut_down_wakes_all_at_once_and_not_one_after_the_other() {
    let queue = exact();
    let workers: Vec<_> = (0..4).map(|_| Worker::waiting_for(&queue)).collect();
    queue.shut_down();
    assert_eq!(wakes(&workers), [1, 1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn shut_down_releases_all_who_wait() {
    let queue = exact::<u32>();
    queue.add_after(1, Duration::from_secs(60), High);
    let workers: Vec<_> = (0..10)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.next().await.is_none() })
        })
        .collect();
    advance(ms(1)).await;
    let start = Instant::now();
    queue.shut_down();
    queue.shut_down();
    for worker in workers {
        assert!(worker.await.unwrap());
    }
    assert_eq!(start.elapsed(), ms(0));
    queue.drained().await;
}

#[tokio::test(start_paused = true)]
async fn an_open_queue_is_not_drained() {
    let queue = exact::<u32>();
    assert!(timeout(ms(1_000), queue.drained()).await.is_err());
    let shut_down = tokio::spawn({
        let queue = queue.clone();
        async move { queue.shut_down() }
    });
    timeout(ms(1_000), queue.drained()).await.expect("nothing was in flight");
    shut_down.await.unwrap();
}
