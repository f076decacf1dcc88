//! Each sentence of the queue's interface, on a paused clock.

use std::time::Duration;

use crate::support::{advance, exact, ms, run_all, take};
use wheelhouse_queue::Priority::{High, Low};
use wheelhouse_queue::{BackoffPolicy, QueueStats, WorkQueue};

#[tokio::test(start_paused = true)]
async fn a_waiting_key_runs_once_however_often_it_is_added() {
    let queue = exact();
    for key in ["a", "b", "a", "b", "a"] {
        queue.add(key, High);
    }
    assert_eq!(run_all(&queue), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn first_in_first_out_within_a_priority() {
    let queue = exact();
    for key in [3, 1, 2] {
        queue.add(key + 10, Low);
        queue.add(key, High);
    }
    assert_eq!(run_all(&queue), [3, 1, 2, 13, 11, 12]);
}

#[tokio::test(start_paused = true)]
async fn an_add_raises_the_priority_of_a_waiting_key_and_never_lowers_it() {
    let queue = exact();
    for key in ["a", "b", "c"] {
        queue.add(key, Low);
    }
    queue.add("c", High);
    queue.add("c", Low);
    assert_eq!(run_all(&queue), ["c", "a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn the_earliest_due_time_wins() {
    for delays in [[30, 10, 20], [10, 20, 30], [30, 20, 10]] {
        let queue = exact();
        for delay in delays {
            queue.add_after("a", ms(delay), High);
        }
        advance(ms(9)).await;
        assert!(take(&queue).is_none());
        advance(ms(1)).await;
        assert_eq!(run_all(&queue), ["a"]);
        advance(ms(100)).await;
        assert!(take(&queue).is_none(), "the later due times are gone");
    }
}

#[tokio::test(start_paused = true)]
async fn an_add_makes_a_delayed_key_ready_and_uses_up_its_due_time() {
    for priority in [Low, High] {
        let queue = exact();
        queue.add_after("a", ms(50), High);
        queue.add("a", priority);
        assert_eq!(run_all(&queue), ["a"]);
        advance(ms(100)).await;
        assert!(take(&queue).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_resync_makes_no_requeue_late() {
    let queue = exact();
    queue.add_after("requeued", ms(50), High);
    for key in ["a", "b", "requeued"] {
        queue.add(key, Low);
    }
    assert_eq!((queue.stats().ready, queue.stats().delayed), (3, 0));
    advance(ms(50)).await;
    assert_eq!(run_all(&queue), ["requeued", "a", "b"], "urgent once it is due");
}

#[tokio::test(start_paused = true)]
async fn add_after_adds_no_run_to_a_ready_key() {
    let queue = exact();
    queue.add("a", High);
    queue.add_after("a", ms(5), High);
    assert_eq!(queue.stats().delayed, 0);
    assert_eq!(run_all(&queue), ["a"]);
    advance(ms(10)).await;
    assert!(take(&queue).is_none());
}

#[tokio::test(start_paused = true)]
async fn add_after_in_flight_is_scheduled_once_done_and_counts_from_the_call() {
    let queue = exact();
    queue.add("a", High);
    let work = take(&queue).unwrap();
    queue.add_after("a", ms(50), High);
    advance(ms(20)).await;
    work.requeue_after(ms(100));
    assert_eq!(queue.stats().delayed, 1);
    advance(ms(29)).await;
    assert!(take(&queue).is_none());
    advance(ms(1)).await;
    let work = take(&queue).expect("50 ms after the call");
    queue.add_after("a", ms(5), High);
    advance(ms(10)).await;
    assert!(take(&queue).is_none(), "due, but in flight");
    work.done();
    let work = take(&queue).expect("due during the run");
    assert_eq!(work.waited(), ms(0), "it could not have been ready before");
}

#[tokio::test(start_paused = true)]
async fn a_live_add_supersedes_a_delayed_retry() {
    let queue = exact();
    queue.add("a", Low);
    for _ in 0..10 {
        queue.next().await.unwrap().retry();
    }
    queue.add("a", High);
    let work = take(&queue).expect("the back-off does not delay a live event");
    assert_eq!(work.attempt(), 11);
    work.done();
    advance(Duration::from_secs(2_000)).await;
    assert!(take(&queue).is_none(), "the retry is gone");
}

#[tokio::test(start_paused = true)]
async fn what_was_due_while_all_were_busy_goes_before_what_came_later() {
    let queue = exact();
    queue.add_after("second", ms(20), High);
    queue.add_after("first", ms(10), High);
    advance(ms(30)).await;
    queue.add("third", High);
    let work = take(&queue).unwrap();
    assert_eq!((*work.key(), work.waited()), ("first", ms(20)));
    work.done();
    assert_eq!(run_all(&queue), ["second", "third"]);
}

#[tokio::test(start_paused = true)]
async fn keys_with_one_due_time_keep_their_order() {
    let queue = exact();
    for key in 0..10 {
        queue.add_after(key, ms(10), High);
    }
    queue.add_after(0, ms(10), High);
    queue.forget(&1);
    advance(ms(10)).await;
    assert_eq!(run_all(&queue), (0..10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn waited_is_the_time_in_the_ready_queue() {
    let queue = exact();
    queue.add_after("a", ms(50), Low);
    advance(ms(70)).await;
    let work = take(&queue).unwrap();
    assert_eq!(work.waited(), ms(20));
    queue.add("a", High);
    advance(ms(100)).await;
    work.done();
    advance(ms(3)).await;
    assert_eq!(take(&queue).unwrap().waited(), ms(3), "not counting the run that it waited for");
}

#[tokio::test(start_paused = true)]
async fn requeue_after_comes_back_at_high_priority_and_a_retry_at_its_own() {
    let queue = exact();
    queue.add("requeued", Low);
    queue.add("retried", Low);
    take(&queue).unwrap().requeue_after(ms(5));
    take(&queue).unwrap().retry();
    queue.add("other", Low);
    advance(ms(5)).await;
    assert_eq!(run_all(&queue), ["requeued", "other", "retried"]);
}

#[tokio::test(start_paused = true)]
async fn forget_forgets_the_failures_alone() {
    let queue = exact();
    queue.add("a", High);
    for _ in 0..5 {
        queue.next().await.unwrap().retry();
    }
    queue.forget(&"a");
    queue.forget(&"unknown");
    assert_eq!(queue.stats().delayed, 1, "it is still retried");
    assert_eq!(queue.next().await.unwrap().attempt(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_delay_beyond_the_clock_is_never() {
    let queue = exact();
    queue.add_after("a", Duration::MAX, High);
    advance(Duration::from_secs(86_400 * 365)).await;
    assert!(take(&queue).is_none());
    queue.add("a", High);
    take(&queue).unwrap().requeue_after(Duration::MAX);
    assert_eq!(queue.stats().delayed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_delay_of_zero_is_now() {
    let queue = exact();
    queue.add_after("a", Duration::ZERO, High);
    take(&queue).expect("no delay").requeue_after(Duration::ZERO);
    assert_eq!(run_all(&queue), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn jitter_spreads_keys_that_failed_together() {
    let policy = BackoffPolicy { base: ms(1_000), jitter: 0.5, ..BackoffPolicy::default() };
    let queue = WorkQueue::new(policy);
    (0..100).for_each(|key| queue.add(key, High));
    while let Some(work) = take(&queue) {
        work.retry();
    }
    advance(ms(999)).await;
    assert_eq!(queue.stats().ready, 0);
    advance(ms(251)).await;
    let early = queue.stats().ready;
    assert!((20..=80).contains(&early), "about half in the first half: {early}");
    advance(ms(250)).await;
    assert_eq!(queue.stats().ready, 100);
}

#[tokio::test(start_paused = true)]
async fn stats_count_what_is_where() {
    let queue = exact();
    assert_eq!(queue.stats(), QueueStats::default());
    for key in ["a", "a", "b", "c"] {
        queue.add(key, Low);
    }
    queue.add_after("d", ms(10), High);
    take(&queue).unwrap().retry();
    let work = take(&queue).unwrap();
    let idle = QueueStats::default();
    let now = QueueStats {
        ready: 1,
        ready_low: 1,
        delayed: 2,
        in_flight: 1,
        adds_total: 3,
        retries_total: 1,
        ..idle
    };
    assert_eq!(queue.stats(), now);
    drop(work);
    advance(ms(10)).await;
    assert_eq!(
        queue.stats(),
        QueueStats { ready: 4, ready_low: 3, adds_total: 6, retries_total: 2, ..idle },
        "due is ready, also if no worker has looked"
    );
}

#[tokio::test(start_paused = true)]
async fn stats_tell_how_long_keys_have_been_in_flight() {
    let queue = exact();
    let times = |queue: &WorkQueue<&str>| {
        let stats = queue.stats();
        (stats.unfinished_work, stats.longest_running)
    };
    queue.add("a", High);
    queue.add("b", High);
    advance(ms(70)).await;
    assert_eq!(times(&queue), (ms(0), ms(0)), "to wait is no work");
    let first = take(&queue).unwrap();
    advance(ms(10)).await;
    let second = take(&queue).unwrap();
    advance(ms(5)).await;
    assert_eq!(times(&queue), (ms(20), ms(15)));
    first.retry();
    assert_eq!(times(&queue), (ms(5), ms(5)), "what has ended counts no more");
    advance(ms(5)).await;
    // The same key again: its time begins anew. A queue that is shut down still has what runs.
    let again = take(&queue).unwrap();
    advance(ms(1)).await;
    queue.shut_down();
    assert_eq!(times(&queue), (ms(12), ms(11)));
    drop((second, again));
    assert_eq!(times(&queue), (ms(0), ms(0)));
}
