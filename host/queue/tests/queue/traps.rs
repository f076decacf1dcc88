//! One test or more for each trap that the queue answers.

use std::time::Duration;

use crate::support::{advance, exact, ms, run_all, take};
use tokio::time::{Instant, timeout};
use wheelhouse_queue::Priority::{High, Low};
use wheelhouse_queue::{HIGH_RUNS_PER_LOW, WorkQueue};

#[tokio::test(start_paused = true)]
async fn trap_28_a_key_added_while_in_flight_runs_exactly_once_more_afterwards() {
    let queue = exact();
    queue.add("a", High);
    let first = take(&queue).expect("a was added");
    for _ in 0..3 {
        queue.add("a", Low);
        queue.add("a", High);
        queue.add_after("a", ms(5), High);
    }
    assert!(take(&queue).is_none(), "a second run beside the first");
    first.done();
    assert_eq!(run_all(&queue), ["a"]);
    advance(ms(10_000)).await;
    assert!(take(&queue).is_none(), "one more, not two");
}

#[tokio::test(start_paused = true)]
async fn trap_28_an_add_while_in_flight_is_kept_whatever_the_outcome() {
    for outcome in 0..5 {
        let queue = exact();
        queue.add("a", High);
        let work = take(&queue).expect("a was added");
        queue.add("a", High);
        match outcome {
            0 => work.done(),
            1 => work.requeue_after(ms(1_000)),
            2 => work.retry(),
            3 => work.give_up(),
            _ => drop(work),
        }
        assert_eq!(run_all(&queue), ["a"], "outcome {outcome}: at once, no back-off before a live event");
        advance(ms(10_000)).await;
        assert!(take(&queue).is_none(), "outcome {outcome}: that run used up the due time");
    }
}

#[tokio::test(start_paused = true)]
async fn trap_28_a_key_is_in_flight_until_the_last_who_runs_it_is_gone() {
    for outcome in 0..3 {
        let queue = exact();
        queue.add("a", High);
        let work = take(&queue).expect("a was added");
        let held = work.hold();
        match outcome {
            0 => work.done(),
            1 => work.retry(),
            _ => drop(work),
        }
        queue.add("a", High);
        advance(ms(10_000)).await;
        assert!(take(&queue).is_none(), "outcome {outcome}: it is run on another thread yet");
        drop(held);
        assert_eq!(run_all(&queue), ["a"], "outcome {outcome}");
    }
}

#[tokio::test(start_paused = true)]
async fn trap_28_two_workers_never_get_the_same_key() {
    let queue = exact();
    queue.add("a", High);
    queue.add("b", High);
    let a = take(&queue).expect("a was added");
    queue.add("a", High);
    let b = take(&queue).expect("b was added");
    assert_eq!((*a.key(), *b.key()), ("a", "b"));
    assert!(take(&queue).is_none());
}

async fn delay_until_next<K: Clone + Eq + std::hash::Hash>(queue: &WorkQueue<K>) -> Duration {
    let before = Instant::now();
    let work = queue.next().await.expect("the queue is open");
    let delay = before.elapsed();
    work.retry();
    delay
}

#[tokio::test(start_paused = true)]
async fn trap_29_back_off_doubles_from_5_ms_to_1000_s_and_stays_there() {
    let queue = exact();
    queue.add("a", High);
    let mut delays = Vec::new();
    for _ in 0..100 {
        delays.push(delay_until_next(&queue).await.as_millis());
    }
    assert_eq!(delays[..6], [0, 5, 10, 20, 40, 80]);
    assert!(delays[19..].iter().all(|&delay| delay == 1_000_000), "{delays:?}");
}

#[tokio::test(start_paused = true)]
async fn trap_29_back_off_is_per_key() {
    let queue = exact();
    queue.add("a", High);
    for _ in 0..10 {
        delay_until_next(&queue).await;
    }
    queue.add("b", High);
    take(&queue).expect("b does not wait for a").retry();
    advance(ms(5)).await;
    let b = take(&queue).expect("b's first delay is the base");
    assert_eq!((*b.key(), b.attempt()), ("b", 2));
}

#[tokio::test(start_paused = true)]
async fn trap_29_only_a_success_resets_the_back_off() {
    let queue = exact();
    queue.add("a", High);
    take(&queue).unwrap().retry();
    queue.add("a", High);
    assert_eq!(take(&queue).expect("a live event").attempt(), 2, "a new event does not reset it");
    queue.add("a", High);
    let work = take(&queue).unwrap();
    assert_eq!(work.attempt(), 3, "the drop was a retry");
    work.give_up();
    queue.add("a", High);
    let work = take(&queue).unwrap();
    assert_eq!(work.attempt(), 3, "giving up does not reset it");
    work.done();
    queue.add("a", High);
    let work = take(&queue).unwrap();
    assert_eq!(work.attempt(), 1, "a success does");
    work.retry();
    advance(ms(5)).await;
    let work = take(&queue).expect("back at the base");
    assert_eq!(work.attempt(), 2);
    work.requeue_after(ms(1));
    advance(ms(1)).await;
    assert_eq!(take(&queue).unwrap().attempt(), 1, "so does a success that wants to come back");
}

#[tokio::test(start_paused = true)]
async fn trap_29_a_terminal_error_is_not_requeued_and_keeps_no_timer() {
    let queue = exact();
    queue.add("a", High);
    take(&queue).unwrap().retry();
    advance(ms(5)).await;
    let work = take(&queue).unwrap();
    queue.add_after("a", ms(1), High);
    work.give_up();
    assert_eq!(queue.stats().delayed, 0);
    advance(Duration::from_secs(10_000)).await;
    assert!(take(&queue).is_none());
    queue.add("a", High);
    assert_eq!(run_all(&queue), ["a"], "a new event brings it back");
}

#[tokio::test(start_paused = true)]
async fn trap_30_a_live_change_overtakes_100_000_initial_objects() {
    let queue = exact();
    for object in 0..100_000 {
        queue.add(object, Low);
    }
    queue.add(70_000, High);
    queue.add(200_000, High);
    let work = take(&queue).unwrap();
    assert_eq!(*work.key(), 70_000);
    work.done();
    assert_eq!(run_all(&queue)[..3], [200_000, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn trap_30_initial_objects_that_all_fail_stay_behind_live_ones() {
    let queue = exact();
    for object in 0..1_000 {
        queue.add(object, Low);
    }
    while let Some(work) = take(&queue) {
        work.retry();
    }
    advance(ms(5)).await;
    assert_eq!(queue.stats().ready, 1_000);
    queue.add(5_000, High);
    assert_eq!(*take(&queue).unwrap().key(), 5_000);
}

#[tokio::test(start_paused = true)]
async fn trap_30_low_keys_do_not_starve() {
    let queue = exact();
    queue.add(1_000, Low);
    queue.add(1_001, Low);
    let mut order = Vec::new();
    for live in 0..40 {
        queue.add(live, High);
        queue.add(live + 100, High);
        let work = take(&queue).unwrap();
        order.push(*work.key());
        work.done();
    }
    let lows: Vec<_> = order.iter().enumerate().filter(|(_, key)| **key >= 1_000).collect();
    let every = HIGH_RUNS_PER_LOW as usize;
    assert_eq!(lows, [(every, &1_000), (2 * every + 1, &1_001)], "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn trap_30_only_what_overtook_a_waiting_low_key_counts_for_its_turn() {
    let queue = exact();
    queue.add(1_000, Low);
    (0..HIGH_RUNS_PER_LOW).for_each(|live| queue.add(live, High));
    for _ in 1..HIGH_RUNS_PER_LOW {
        take(&queue).unwrap().done();
    }
    queue.add(1_000, High);
    assert_eq!(run_all(&queue), [HIGH_RUNS_PER_LOW - 1, 1_000], "no low key waits any more");
    queue.add(1_001, Low);
    queue.add(0, High);
    queue.add(1, High);
    assert_eq!(run_all(&queue), [0, 1, 1_001]);
}

#[tokio::test(start_paused = true)]
async fn trap_32_a_panic_counts_as_a_retry_and_frees_the_key() {
    let queue = exact();
    queue.add("a", High);
    let worker = queue.clone();
    let run = tokio::spawn(async move {
        let _work = worker.next().await;
        panic!("in the reconciler");
    });
    assert!(run.await.is_err());
    assert_eq!((queue.stats().in_flight, queue.stats().retries_total), (0, 1));
    assert!(take(&queue).is_none());
    advance(ms(5)).await;
    assert_eq!(take(&queue).expect("retried").attempt(), 2);
}

#[tokio::test(start_paused = true)]
async fn trap_35_on_shutdown_nothing_new_starts_and_what_runs_may_finish() {
    let queue = exact();
    for key in 0..4 {
        queue.add(key, High);
    }
    queue.add_after(9, ms(5), High);
    let (a, b) = (take(&queue).unwrap(), take(&queue).unwrap());
    queue.add(0, High);
    queue.shut_down();
    queue.add(7, High);
    queue.add_after(8, ms(1), High);
    assert!(queue.next().await.is_none());

    let drained = tokio::spawn({
        let queue = queue.clone();
        async move { queue.drained().await }
    });
    a.retry();
    advance(ms(1_000)).await;
    assert!(!drained.is_finished(), "b still runs");
    b.done();
    timeout(ms(1_000), drained).await.expect("nothing runs any more").expect("drained");
    let stats = queue.stats();
    assert_eq!((stats.ready, stats.delayed, stats.in_flight), (0, 0, 0));
    assert!(queue.next().await.is_none());
}
