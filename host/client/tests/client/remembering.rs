//! A plugin reads its own writes.

use serde_json::{Value, json};
use wheelhouse_cache::Event;
use wheelhouse_core::request::{Change, List, PatchType, Write};

use crate::bench::{Bench, create, delete, everything, json_of, object, ok, refusal, with_app, written};

fn merge() -> Change {
    Change::Patch(PatchType::Merge, b"{}".to_vec())
}

fn gone(uid: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Success", "details": {"uid": uid}})
}

fn terminating(name: &str, version: u64, finalizers: &[&str]) -> Value {
    let mut object = json_of(name, version, "x");
    object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    object["metadata"]["finalizers"] = json!(finalizers);
    object
}

#[tokio::test]
async fn trap_22_what_was_created_is_in_the_next_list_and_in_its_place() {
    let bench = Bench::synced(10, [object("a", 1, "x"), object("c", 3, "y")]).await;
    bench.answer(ok(&json_of("b", 12, "x")));
    bench.write("b", create("b")).await.unwrap();
    assert_eq!(bench.version("b").await, "12");
    assert_eq!(bench.list().await, ["a@1", "b@12", "c@3"]);
    assert_eq!(bench.list_of(with_app("x")).await.unwrap(), ["a@1", "b@12"]);
    assert_eq!(bench.list_of(with_app("y")).await.unwrap(), ["c@3"]);
    for (selector, namespace, expected) in
        [("app=x", "", vec!["a@1", "b@12"]), ("app=y", "", vec!["c@3"]), ("", "other", vec![])]
    {
        let list = List { selector: selector.parse().unwrap(), namespace: namespace.into(), ..everything() };
        assert_eq!(bench.list_of(list).await.unwrap(), expected);
    }
    bench.event(Event::Added(object("b", 12, "x")), 12).await;
    assert_eq!(bench.list().await, ["a@1", "b@12", "c@3"]);
    assert_eq!(bench.client.stats().own_writes, 0, "the store has it: it is forgotten");
}

#[tokio::test]
async fn an_update_is_read_until_the_store_has_it_or_something_newer() {
    let bench = Bench::synced(10, [object("a", 1, "x")]).await;
    bench.answer(ok(&json_of("a", 12, "y")));
    bench.write("a", merge()).await.unwrap();
    assert_eq!(bench.version("a").await, "12");
    assert!(bench.list_of(with_app("x")).await.unwrap().is_empty(), "it moved to another value of the index");
    assert_eq!(bench.list_of(with_app("y")).await.unwrap(), ["a@12"]);
    bench.event(Event::Modified(object("a", 11, "x")), 11).await;
    assert_eq!(bench.version("a").await, "12", "the one before it");
    bench.event(Event::Modified(object("a", 13, "z")), 13).await;
    assert_eq!(bench.version("a").await, "13");
    assert_eq!(bench.client.stats().own_writes, 0);
}

#[tokio::test]
async fn what_another_deleted_after_ones_own_write_is_gone() {
    let bench = Bench::synced(10, []).await;
    bench.answer(ok(&json_of("a", 12, "x")));
    bench.write("a", create("a")).await.unwrap();
    bench.event(Event::Added(object("a", 12, "x")), 12).await;
    bench.event(Event::Deleted(object("a", 13, "x")), 13).await;
    assert_eq!(bench.version("a").await, "");
    assert!(bench.list().await.is_empty());
}

#[tokio::test]
async fn a_write_whose_event_came_before_its_answer_leaves_nothing_behind() {
    let bench = Bench::synced(10, []).await;
    bench.event(Event::Added(object("a", 12, "x")), 12).await;
    bench.event(Event::Deleted(object("a", 13, "x")), 13).await;
    bench.answer(ok(&json_of("a", 12, "x")));
    bench.write("a", create("a")).await.unwrap();
    assert_eq!(bench.version("a").await, "");
    assert_eq!(bench.client.stats().own_writes, 0);
}

#[tokio::test]
async fn a_deleted_object_is_not_read_again() {
    for answer in [gone("a"), json_of("a", 1, "x"), terminating("a", 12, &[])] {
        let bench = Bench::synced(10, [object("a", 1, "x"), object("b", 2, "x")]).await;
        bench.answer(ok(&answer));
        assert_eq!(bench.write("a", delete()).await, Ok(None));
        assert_eq!(bench.version("a").await, "", "{answer}");
        assert_eq!(bench.list().await, ["b@2"], "{answer}");
        assert_eq!(bench.list_of(with_app("x")).await.unwrap(), ["b@2"]);
        bench.event(Event::Deleted(object("a", 13, "x")), 13).await;
        assert_eq!(bench.list().await, ["b@2"]);
        assert_eq!(bench.client.stats().own_writes, 0);
    }
}

#[tokio::test]
async fn a_deleted_object_with_finalizers_is_there_and_terminating_until_they_are_gone() {
    let bench = Bench::synced(10, [object("a", 1, "x")]).await;
    bench.answer(ok(&terminating("a", 12, &["p/f"])));
    bench.write("a", delete()).await.unwrap();
    let there = bench.get("a").await.unwrap().unwrap();
    assert!(there.value().at(&["metadata", "deletionTimestamp"]).is_some());
    bench.answer(ok(&terminating("a", 13, &[])));
    bench.write("a", merge()).await.unwrap();
    assert_eq!(bench.version("a").await, "", "the last finalizer went, and the object with it");
    assert!(bench.list().await.is_empty());
}

#[tokio::test]
async fn trap_23_a_deletion_whose_event_came_before_its_answer_hides_nothing_that_comes_after() {
    let bench = Bench::synced(10, [object("a", 1, "x")]).await;
    bench.event(Event::Deleted(object("a", 11, "x")), 11).await;
    let mut second = json_of("a", 12, "x");
    second["metadata"]["uid"] = json!("second");
    let second = wheelhouse_core::Object::from_value(&second).unwrap();
    bench.event(Event::Added(second), 12).await;
    bench.answer(ok(&gone("a")));
    bench.write("a", delete()).await.unwrap();
    assert_eq!(bench.version("a").await, "12");
    assert_eq!(bench.list().await, ["a@12"]);
}

#[tokio::test]
async fn trap_23_what_was_created_and_deleted_before_the_watch_told_of_either_never_shows_up() {
    let bench = Bench::synced(10, []).await;
    bench.answer(ok(&json_of("a", 12, "x")));
    bench.write("a", create("a")).await.unwrap();
    bench.answer(ok(&gone("a")));
    bench.write("a", delete()).await.unwrap();
    assert_eq!(bench.version("a").await, "");
    bench.event(Event::Added(object("a", 12, "x")), 12).await;
    assert_eq!(bench.version("a").await, "");
    assert!(bench.list().await.is_empty());
    bench.event(Event::Deleted(object("a", 13, "x")), 13).await;
    assert!(bench.list().await.is_empty());
    assert_eq!(bench.client.stats().own_writes, 0);
}

#[tokio::test]
async fn a_dry_run_and_a_refused_write_change_nothing() {
    let bench = Bench::synced(10, [object("a", 1, "x")]).await;
    bench.answer(ok(&json_of("a", 12, "y")));
    bench.write_as(Write { dry_run: true, ..written("a", merge()) }).await.unwrap();
    bench.answer(refusal(409, "Conflict"));
    bench.write("a", merge()).await.unwrap_err();
    bench.answer(refusal(403, "Forbidden"));
    bench.write("a", delete()).await.unwrap_err();
    assert_eq!(bench.version("a").await, "1");
}

#[tokio::test]
async fn a_status_write_is_read_back_too() {
    let bench = Bench::synced(10, [object("a", 1, "x")]).await;
    bench.answer(ok(&json_of("a", 12, "x")));
    bench.write_as(Write { subresource: "status".into(), ..written("a", merge()) }).await.unwrap();
    assert_eq!(bench.version("a").await, "12");
}
