//! What becomes of a plugin's writes when its host holds the lease no more.

use std::time::{Duration, Instant};

use serde_json::json;
use wheelhouse_core::{ApiError, Moment};

use crate::bench::{Bench, create, delete, json_of, key, kind, object, ok};

#[tokio::test]
async fn a_write_that_starts_after_the_fence_has_closed_is_unavailable_and_not_sent() {
    let bench = Bench::synced(10, [object("a", 3, "x")]).await;
    // Nobody closes it: its end has passed, as it has for a process that was stopped for a while.
    bench.fence.open_until(Moment::now());
    for change in [create("b"), delete()] {
        let Err(ApiError::Unavailable(message)) = bench.write("b", change).await else { panic!() };
        assert!(message.contains("does not hold the lease"), "{message}");
    }
    assert_eq!(bench.asked_what(), Vec::<String>::new());
    // Reads go on.
    assert!(bench.get("a").await.unwrap().is_some());
    bench.answer(ok(&json_of("a", 3, "x")));
    assert!(bench.get_live(kind(), key("a")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_write_that_is_under_way_when_the_fence_closes_is_given_up() {
    let bench = Bench::synced(10, []).await;
    bench.fence.open_until(Moment::now() + Duration::from_millis(200));
    // The server is silent.
    let begun = Instant::now();
    let Err(ApiError::Unavailable(message)) = bench.write("a", create("a")).await else { panic!() };
    assert!(message.contains("does not hold the lease") && message.contains("not known"), "{message}");
    assert!(begun.elapsed() < Duration::from_secs(10), "it waited for its own deadline");
    assert_eq!(bench.asked_what().len(), 1);
}

#[tokio::test]
async fn no_event_is_sent_once_the_fence_has_closed() {
    let bench = Bench::synced(10, [object("a", 3, "x")]).await;
    bench.fence.close();
    bench.answer(ok(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": "u"}})));
    bench.record(kind(), key("a"), "Late").await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while bench.client.stats().events.lost == 0 {
        assert!(Instant::now() < deadline, "{:?}", bench.client.stats().events);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(bench.asked_what().iter().all(|what| what.starts_with("GET ")), "{:?}", bench.asked_what());
}
