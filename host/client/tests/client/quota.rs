//! A plugin that asks more of the API server than it may.

use serde_json::json;
use wheelhouse_core::ApiError;
use wheelhouse_core::limits::{Limit, Limits};
use wheelhouse_core::request::{Change, PatchType};

use crate::bench::{Bench, LIST_BYTES, create, delete, everything, json_of, key, kind, node, ok};

/// It may send so many requests now, and hardly one more in the time that a test takes.
fn allow(bench: &Bench, requests: u32) {
    let limits = Limits { api_requests_per_second: 0, api_requests_burst: requests, ..Limits::default() };
    bench.usage.resize(&limits);
}

fn is_over<T: std::fmt::Debug>(answer: Result<T, ApiError>) {
    match answer {
        Err(ApiError::LimitExceeded { limit: Limit::ApiRequestsPerSecond, .. }) => {}
        other => panic!("{other:?}"),
    }
}

fn breaches(bench: &Bench, limit: Limit) -> u64 {
    bench.usage.breaches().find(|(other, _)| *other == limit).unwrap().1
}

#[tokio::test]
async fn hostile_reads_and_writes_over_the_quota_are_errors_and_not_sent() {
    let bench = Bench::synced(10, []).await;
    allow(&bench, 0);
    is_over(bench.get_live(kind(), key("a")).await);
    let patch = || json!({}).to_string().into_bytes();
    let changes = [
        create("a"),
        Change::Update(json!({"metadata": {"name": "a", "namespace": "n"}}).to_string().into_bytes()),
        Change::Patch(PatchType::Merge, patch()),
        Change::Apply { object: patch(), force: true },
        delete(),
    ];
    let count = changes.len() as u64;
    for change in changes {
        is_over(bench.write("a", change).await);
    }
    assert_eq!(bench.asked_what(), Vec::<String>::new());
    assert_eq!(breaches(&bench, Limit::ApiRequestsPerSecond), count + 1);
}

#[tokio::test]
async fn hostile_each_page_of_a_list_counts() {
    let bench = Bench::new().await;
    let page = |more: &str| {
        ok(&json!({"apiVersion": "v1", "kind": "NodeList",
            "metadata": {"resourceVersion": "1", "continue": more}, "items": []}))
    };
    allow(&bench, 2);
    bench.answer(page("b"));
    bench.answer(page("c"));
    bench.answer(page(""));
    is_over(bench.page(wheelhouse_core::request::List { kind: node(), ..everything() }).await);
    assert_eq!(bench.asked().len(), 2);
}

#[tokio::test]
async fn hostile_a_live_list_that_would_fill_the_host_is_an_error() {
    let bench = Bench::new().await;
    let page = |bytes: usize, more: &str| {
        let node = json!({"metadata": {"name": format!("n{more}"), "annotations": {"x": "x".repeat(bytes)}}});
        ok(&json!({"apiVersion": "v1", "kind": "NodeList",
            "metadata": {"resourceVersion": "1", "continue": more}, "items": [node]}))
    };
    let list = || wheelhouse_core::request::List { kind: node(), ..everything() };
    // All pages count, and none is asked for that would be too much.
    for more in ["b", "c", "d"] {
        bench.answer(page(LIST_BYTES * 2 / 5, more));
    }
    let Err(ApiError::LimitExceeded { limit: Limit::AnswerBytes, message }) = bench.page(list()).await else {
        panic!("it was let through")
    };
    assert!(message.contains(&format!("v1/Node has more than {LIST_BYTES} bytes")), "{message}");
    assert_eq!((bench.asked().len(), breaches(&bench, Limit::AnswerBytes)), (3, 1));
    for more in ["b", ""] {
        bench.answer(page(LIST_BYTES * 2 / 5, more));
    }
    assert_eq!(bench.page(list()).await.unwrap().objects.len(), 2);
    assert_eq!(breaches(&bench, Limit::AnswerBytes), 1);
}

#[tokio::test]
async fn hostile_of_a_page_for_which_there_is_no_room_the_rest_is_not_read() {
    let bench = Bench::new().await;
    let item = json!({"metadata": {"name": "n", "annotations": {"x": "x".repeat(LIST_BYTES * 64)}}});
    bench.answer(ok(&json!({"metadata": {"resourceVersion": "1"}, "items": [item]})));
    let list = wheelhouse_core::request::List { kind: node(), ..everything() };
    let listed = bench.page(list).await;
    assert!(
        matches!(&listed, Err(ApiError::LimitExceeded { limit: Limit::AnswerBytes, .. })),
        "{:?}",
        listed.map(|page| page.objects.len())
    );
    // The kernel takes some megabytes that nobody asks for.
    assert!(bench.taken() < LIST_BYTES * 32, "{} bytes were taken", bench.taken());
    // An object by itself has no more room.
    bench.answer(ok(&json_of("a", 1, &"x".repeat(LIST_BYTES * 2))));
    let got = bench.get_live(kind(), key("a")).await;
    assert!(matches!(&got, Err(ApiError::Unreadable(text)) if text.contains("larger than")), "{got:?}");
}
