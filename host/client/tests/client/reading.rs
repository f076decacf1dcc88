//! Where reads come from.

use std::time::Duration;

use serde_json::json;
use wheelhouse_core::request::List;
use wheelhouse_core::{ApiError, Key};

use crate::bench::{Bench, everything, http, json_of, key, kind, node, object, ok, refusal, with_app};

#[tokio::test]
async fn a_read_of_a_synced_kind_asks_nobody() {
    let bench = Bench::synced(10, [object("a", 1, "x"), object("b", 2, "y"), object("c", 3, "x")]).await;
    assert_eq!(bench.version("a").await, "1");
    assert_eq!(bench.version("none").await, "");
    assert_eq!(bench.list().await, ["a@1", "b@2", "c@3"]);
    assert_eq!(bench.list_of(with_app("x")).await.unwrap(), ["a@1", "c@3"]);
    let selector = "app=y".parse().unwrap();
    assert_eq!(bench.list_of(List { selector, ..everything() }).await.unwrap(), ["b@2"]);
    assert!(bench.asked().is_empty() && bench.client.stats().fallbacks.is_empty());
}

#[tokio::test]
async fn trap_21_a_read_before_the_sync_is_a_live_read_and_counted() {
    let bench = Bench::new().await;
    bench.answer(ok(&json_of("a", 1, "x")));
    assert_eq!(bench.version("a").await, "1");
    bench.answer(refusal(404, "NotFound"));
    assert_eq!(bench.get("none").await, Ok(None));
    assert_eq!(
        bench.asked_what(),
        ["GET /api/v1/namespaces/n/configmaps/a", "GET /api/v1/namespaces/n/configmaps/none"]
    );
    assert_eq!(bench.client.stats().fallbacks, [(kind(), 2)]);
    bench.sync(10, [object("a", 1, "x")]).await;
    assert_eq!(bench.version("a").await, "1");
    assert_eq!(bench.asked().len(), 2);
}

#[tokio::test]
async fn trap_21_a_list_before_the_sync_is_whole_and_exact() {
    let bench = Bench::new().await;
    for _ in 0..3 {
        bench.answer(ok(&json!({"metadata": {"resourceVersion": "9", "continue": "t/1"}, "items":
            [json_of("c", 3, "x"), json_of("b", 2, "y")]})));
        bench.answer(ok(&json!({"metadata": {"resourceVersion": "9", "continue": ""}, "items":
            [json_of("a", 1, "x"), json_of("d", 4, "x")]})));
    }
    let selector = "app in (x,y)".parse().unwrap();
    let list = List { namespace: "n".into(), selector, ..with_app("x") };
    assert_eq!(bench.list_of(list).await.unwrap(), ["a@1", "c@3", "d@4"]);
    let first = "GET /api/v1/namespaces/n/configmaps?limit=500&labelSelector=app%20in%20%28x%2Cy%29";
    assert_eq!(bench.asked_what()[..2], [first.to_owned(), format!("{first}&continue=t%2F1")]);
}

#[tokio::test]
async fn a_live_list_whose_token_expires_starts_over_instead_of_missing_a_half() {
    let bench = Bench::new().await;
    for _ in 0..2 {
        bench.answer(ok(&json!({"metadata": {"continue": "t"}, "items": [json_of("a", 1, "x")]})));
        bench.answer(refusal(410, "Expired"));
        bench.answer(ok(&json!({"metadata": {}, "items": [json_of("b", 2, "x")]})));
    }
    assert_eq!(bench.list().await, ["b@2"]);
}

#[tokio::test]
async fn what_was_read_while_the_cache_had_not_synced_is_not_followed_by_something_older() {
    let bench = Bench::new().await;
    for _ in 0..2 {
        bench.answer(ok(&json!({"metadata": {"resourceVersion": "20"}, "items": [json_of("a", 20, "x")]})));
    }
    assert_eq!(bench.list().await, ["a@20"]);
    bench.sync(15, [object("a", 14, "x")]).await;
    bench.answer(ok(&json_of("a", 20, "x")));
    assert_eq!(bench.version("a").await, "20");
    bench.event(wheelhouse_cache::Event::Modified(object("a", 20, "x")), 20).await;
    let before = bench.asked().len();
    assert_eq!(bench.version("a").await, "20");
    assert_eq!(bench.asked().len(), before, "the cache has caught up");
}

#[tokio::test]
async fn a_cached_read_after_a_live_one_is_not_older() {
    let bench = Bench::synced(10, [object("a", 1, "x"), object("b", 2, "x")]).await;
    bench.answer(ok(&json_of("a", 12, "x")));
    assert_eq!(bench.get_live(kind(), key("a")).await.unwrap().unwrap().resource_version(), "12");
    bench.answer(refusal(404, "NotFound"));
    assert_eq!(bench.get_live(kind(), key("b")).await, Ok(None));
    assert_eq!(bench.list().await, ["a@12"]);
    assert_eq!(bench.get("b").await, Ok(None));
}

#[tokio::test]
async fn a_permitted_kind_that_is_not_watched_is_read_live() {
    let bench = Bench::synced(10, []).await;
    let node_json =
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "managedFields": []}});
    bench.answer(ok(&node_json));
    let found = bench.get_live(node(), Key::new("", "n1")).await.unwrap().unwrap();
    assert_eq!(found.value().to_json(), r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"}}"#);
    for _ in 0..2 {
        bench.answer(ok(
            &json!({"metadata": {}, "items": [{"metadata": {"name": "n1", "resourceVersion": "1"}}]}),
        ));
    }
    assert_eq!(bench.list_of(List { kind: node(), ..everything() }).await.unwrap(), ["n1@1"]);
    assert!(bench.client.stats().fallbacks.is_empty(), "that is no fall-back");
}

#[tokio::test]
async fn an_index_that_was_not_declared_is_named() {
    for bench in [Bench::new().await, Bench::synced(10, []).await] {
        let mut list = with_app("x");
        list.matches[0].index = "p/app".into();
        let error = bench.list_of(list).await.unwrap_err();
        assert_eq!(error, ApiError::UndeclaredIndex { index: "p/app".into(), kind: "v1/ConfigMap".into() });
    }
}

#[tokio::test]
async fn trap_26_a_read_is_tried_again_but_not_for_longer_than_its_bound() {
    let bench = Bench::synced(10, []).await;
    bench.answer("");
    bench.answer(refusal(503, "ServiceUnavailable"));
    bench.answer(ok(&json_of("a", 12, "x")));
    assert!(bench.get_live(kind(), key("a")).await.unwrap().is_some());
    assert_eq!(bench.asked().len(), 3);
    for _ in 0..3 {
        bench.answer(refusal(500, "InternalError"));
    }
    assert!(matches!(bench.get_live(kind(), key("a")).await, Err(ApiError::Unavailable(_))));
    assert_eq!(bench.asked().len(), 6);
    bench.answer(http(429, "retry-after: 3600\r\n", ""));
    let Err(ApiError::TooManyRequests { retry_after, .. }) = bench.get_live(kind(), key("a")).await else {
        panic!()
    };
    assert_eq!(retry_after, Some(Duration::from_secs(3600)));
    assert_eq!(bench.asked().len(), 7);
}

#[tokio::test]
async fn trap_15_a_cluster_scoped_kind_has_no_namespace_to_be_granted_by() {
    let bench = Bench::synced(10, []).await;
    let list = List { kind: node(), namespace: "n".into(), ..everything() };
    assert!(matches!(bench.list_of(list).await, Err(ApiError::BadRequest(_))));
    assert!(matches!(bench.get_live(node(), Key::new("n", "n1")).await, Err(ApiError::BadRequest(_))));
    assert!(bench.asked().is_empty());

    // Of one that is cached, too: an object's key has no namespace, and one that is given names nothing.
    let bench = Bench::cluster_scoped().await;
    bench.sync(10, []).await;
    let list = List { namespace: "n".into(), ..everything() };
    assert!(matches!(bench.list_of(list).await, Err(ApiError::BadRequest(_))));
    assert!(matches!(bench.get("a").await, Err(ApiError::BadRequest(_))));
}
