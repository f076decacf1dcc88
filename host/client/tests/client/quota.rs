//! A plugin that asks more of the API server than it may.

use serde_json::json;
use wheelhouse_core::ApiError;
use wheelhouse_core::limits::{Limit, Limits};
use wheelhouse_core::request::{Change, PatchType};

use crate::bench::{Bench, create, delete, everything, key, kind, node, ok};

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

fn breaches(bench: &Bench) -> u64 {
    bench.usage.breaches().find(|(limit, _)| *limit == Limit::ApiRequestsPerSecond).unwrap().1
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
    assert_eq!(breaches(&bench), count + 1);
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
