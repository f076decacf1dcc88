//! Since when a key has been asked for, on a paused clock.

use std::time::{Duration, SystemTime};

use crate::support::{advance, exact, ms, take};
use wheelhouse_queue::Priority::{High, Low};

#[tokio::test(start_paused = true)]
async fn a_key_is_asked_for_since_the_first_add_whatever_comes_after() {
    let queue = exact();
    queue.add("a", Low);
    advance(ms(10)).await;
    queue.add("a", High);
    advance(ms(10)).await;
    let work = take(&queue).unwrap();
    assert_eq!(work.asked_for(), ms(20), "the first add, and not one that was merged into it");
    let first_seen = work.first_seen();
    queue.add("a", High);
    work.retry();
    let work = take(&queue).unwrap();
    assert_eq!((work.asked_for(), work.first_seen()), (ms(20), first_seen));
    work.retry();
    advance(ms(10)).await;
    let work = take(&queue).expect("the back-off is over");
    assert_eq!((work.attempt(), work.asked_for(), work.first_seen()), (3, ms(30), first_seen));
    drop(work);
    advance(ms(20)).await;
    let work = take(&queue).unwrap();
    assert_eq!(
        (work.attempt(), work.asked_for(), work.first_seen()),
        (4, ms(50), first_seen),
        "dropped is retried"
    );
}

#[tokio::test(start_paused = true)]
async fn a_success_or_a_failure_for_good_ends_it() {
    for give_up in [false, true] {
        let queue = exact();
        queue.add("a", High);
        advance(ms(10)).await;
        let work = take(&queue).unwrap();
        if give_up {
            work.give_up()
        } else {
            work.done()
        }
        advance(ms(10)).await;
        queue.add("a", High);
        advance(ms(5)).await;
        assert_eq!(take(&queue).unwrap().asked_for(), ms(5));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_during_a_run_that_succeeds_begins_there() {
    let queue = exact();
    queue.add("a", High);
    advance(ms(10)).await;
    let work = take(&queue).unwrap();
    advance(ms(10)).await;
    queue.add("a", High);
    advance(ms(10)).await;
    queue.add("a", High);
    work.done();
    let work = take(&queue).unwrap();
    assert_eq!((work.asked_for(), work.waited()), (ms(10), ms(0)));
}

#[tokio::test(start_paused = true)]
async fn a_requeue_begins_when_it_is_due() {
    let queue = exact();
    queue.add("a", High);
    advance(ms(10)).await;
    take(&queue).unwrap().requeue_after(ms(100));
    advance(ms(103)).await;
    let work = take(&queue).unwrap();
    assert_eq!(work.asked_for(), ms(3), "the time until then was asked for, too");
    work.requeue_after(ms(100));
    advance(ms(50)).await;
    queue.add("a", High);
    advance(ms(7)).await;
    let work = take(&queue).unwrap();
    assert_eq!(work.asked_for(), ms(7), "somebody else came first");
    work.done();
    queue.add_after("b", ms(100), High);
    advance(ms(101)).await;
    assert_eq!(take(&queue).unwrap().asked_for(), ms(1));
}

#[tokio::test(start_paused = true)]
async fn a_work_that_is_put_back_was_never_taken() {
    let queue = exact();
    queue.add("a", Low);
    queue.add("b", Low);
    take(&queue).unwrap().retry();
    advance(ms(5)).await;
    take(&queue).unwrap().put_back();
    let work = take(&queue).unwrap();
    assert_eq!((*work.key(), work.attempt()), ("a", 2));
    let first_seen = work.first_seen();
    work.put_back();
    advance(ms(5)).await;
    let (b, a) = (take(&queue).unwrap(), take(&queue).unwrap());
    assert_eq!((*b.key(), *a.key()), ("b", "a"), "at the end of its line");
    assert_eq!((a.attempt(), a.asked_for(), a.first_seen()), (2, ms(10), first_seen));
    assert_eq!(queue.stats().retries_total, 1);
}

#[tokio::test(start_paused = true)]
async fn the_moment_is_on_the_wall_clock() {
    let queue = exact();
    queue.add("a", High);
    let hour = Duration::from_secs(3600);
    advance(hour).await;
    let work = take(&queue).unwrap();
    // Hours and minutes, so that a busy machine does not matter.
    let ago = SystemTime::now().duration_since(work.first_seen()).unwrap();
    assert!((hour..hour + Duration::from_secs(60)).contains(&ago), "{ago:?}");
}
