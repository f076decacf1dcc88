//! A kind that is cached in part: what is within the part comes from the cache, the rest from the server.

use std::time::Duration;

use serde_json::json;
use wheelhouse_cache::{Event, Interest, Unreadable};
use wheelhouse_core::request::{Change, Consistency, List, PatchType, Synced};
use wheelhouse_core::{ApiError, ClusterAccess, Fields, Scope};

use crate::bench::{Bench, create, delete, everything, json_of, key, kind, object, ok, refusal, with_app};

/// A plugin whose sources select `app=web`.
async fn web() -> Bench {
    let scope = Scope { labels: "app=web".parse().unwrap(), ..Scope::default() };
    Bench::wanting(Interest::from(&kind()).scoped(scope)).await
}

fn of_web() -> List {
    List { selector: "app=web".parse().unwrap(), ..everything() }
}

fn items(objects: &[serde_json::Value]) -> String {
    ok(&json!({"metadata": {"resourceVersion": "90"}, "items": objects}))
}

fn label(app: &str) -> Change {
    Change::Patch(PatchType::Merge, json!({"metadata": {"labels": {"app": app}}}).to_string().into())
}

#[tokio::test]
async fn a_list_within_the_scope_asks_nobody_and_a_wider_one_the_server() {
    let bench = web().await;
    bench.sync(10, [object("a", 1, "web")]).await;
    assert_eq!(bench.list_of(of_web()).await.unwrap(), ["a@1"]);
    let narrower = List { selector: "app=web,!other".parse().unwrap(), ..everything() };
    assert_eq!(bench.list_of(narrower).await.unwrap(), ["a@1"]);
    assert!(bench.asked().is_empty());
    let all = || items(&[json_of("a", 1, "web"), json_of("b", 2, "db")]);
    bench.answer(all());
    bench.answer(all());
    assert_eq!(bench.list_of(everything()).await.unwrap(), ["a@1", "b@2"]);
    // An index does not make it narrower: the cache does not have all that it would find.
    bench.answer(all());
    bench.answer(all());
    assert_eq!(bench.list_of(with_app("db")).await.unwrap(), ["b@2"]);
    assert_eq!(bench.asked().len(), 4);
    let reads = bench.reads.kinds();
    assert_eq!((reads[0].1.cached(), reads[0].1.live()), (4, 4));
    assert!(bench.client.stats().fallbacks.is_empty(), "the cache had synced");
}

#[tokio::test]
async fn an_object_that_is_not_in_the_scope_may_exist_all_the_same() {
    let bench = web().await;
    bench.sync(10, [object("a", 1, "web")]).await;
    assert_eq!(bench.version("a").await, "1");
    assert!(bench.asked().is_empty());
    bench.answer(ok(&json_of("b", 20, "db")));
    assert_eq!(bench.version("b").await, "20");
    // It is not remembered: no watch would tell of its changes.
    bench.answer(ok(&json_of("b", 21, "db")));
    assert_eq!(bench.version("b").await, "21");
    bench.answer(refusal(404, "NotFound"));
    assert_eq!(bench.version("b").await, "");
    assert_eq!(bench.client.stats().own_writes, 0);
    let reads = bench.reads.kinds();
    assert_eq!((reads[0].1.cached(), reads[0].1.live()), (1, 3), "each read is one of the one or the other");
}

#[tokio::test]
async fn what_one_s_own_write_puts_into_the_scope_or_out_of_it_is_seen_at_once() {
    let bench = web().await;
    bench.sync(10, [object("a", 1, "web")]).await;
    bench.answer(ok(&json_of("b", 11, "web")));
    bench.write("b", create("b")).await.unwrap();
    assert_eq!(bench.list_of(of_web()).await.unwrap(), ["a@1", "b@11"]);
    bench.answer(ok(&json_of("a", 12, "db")));
    bench.write("a", label("db")).await.unwrap();
    assert_eq!(bench.list_of(of_web()).await.unwrap(), ["b@11"]);
    // As one get shows it, only the server can say what it is now.
    bench.answer(ok(&json_of("a", 12, "db")));
    assert_eq!(bench.version("a").await, "12");
    // The watch tells that it left; then it comes back.
    bench.event(Event::Added(object("b", 11, "web")), 11).await;
    bench.event(Event::Deleted(object("a", 12, "web")), 12).await;
    bench.event(Event::Added(object("a", 13, "web")), 13).await;
    assert_eq!(bench.list_of(of_web()).await.unwrap(), ["a@13", "b@11"]);
    assert_eq!(bench.client.stats().own_writes, 0);
}

#[tokio::test]
async fn an_object_that_came_back_into_the_scope_is_not_hidden_by_having_left_it() {
    let bench = web().await;
    bench.sync(10, [object("a", 1, "web")]).await;
    bench.answer(ok(&json_of("a", 12, "db")));
    bench.write("a", label("db")).await.unwrap();
    bench.event(Event::Modified(object("a", 13, "web")), 13).await;
    assert_eq!(bench.list_of(of_web()).await.unwrap(), ["a@13"]);
    assert_eq!(bench.version("a").await, "13");
}

#[tokio::test]
async fn another_namespace_than_the_cached_one_is_read_live() {
    let bench = Bench::wanting(Interest::from(&kind()).scoped(Scope::in_namespace("n"))).await;
    bench.sync(10, [object("a", 1, "web")]).await;
    let inside = List { namespace: "n".into(), ..everything() };
    assert_eq!(bench.list_of(inside).await.unwrap(), ["a@1"]);
    // Within a namespace, what is not there does not exist.
    assert_eq!(bench.version("b").await, "");
    assert!(bench.asked().is_empty());
    bench.answer(items(&[]));
    bench.answer(items(&[]));
    let elsewhere = List { namespace: "m".into(), ..everything() };
    assert!(bench.list_of(elsewhere).await.unwrap().is_empty());
    assert!(bench.asked_what()[0].starts_with("GET /api/v1/namespaces/m/configmaps"));
}

#[tokio::test]
async fn a_field_selector_takes_names_and_what_has_an_index_and_names_what_has_none() {
    let bench = Bench::synced(10, [object("a", 1, "web"), object("b", 2, "db"), object("c", 3, "")]).await;
    let select = |text: &str| List { field_selector: text.parse().unwrap(), ..everything() };
    for (selector, expected) in [
        ("metadata.name=b", &["b@2"][..]),
        ("metadata.name!=b,metadata.namespace=n", &["a@1", "c@3"]),
        ("metadata.labels.app=web", &["a@1"]),
        ("metadata.labels.app!=web", &["b@2", "c@3"]),
        ("metadata.labels.app=", &["c@3"]),
        ("metadata.labels.app=web,metadata.name=b", &[]),
    ] {
        assert_eq!(bench.list_of(select(selector)).await.unwrap(), expected, "{selector}");
    }
    let error = bench.list_of(select("spec.nodeName=x")).await.unwrap_err();
    assert!(matches!(error, ApiError::UndeclaredIndex { index, .. } if index == "spec.nodeName"));
}

#[tokio::test]
async fn owners_have_an_index_that_nobody_has_to_declare() {
    let bench = Bench::synced(10, []).await;
    let mut owned = json_of("a", 11, "web");
    owned["metadata"]["ownerReferences"] = json!([{"uid": "o1"}]);
    let owned = wheelhouse_core::Object::from_value(&owned).unwrap();
    bench.event(Event::Added(owned), 11).await;
    let by_owner = |uid: &str| {
        let index = wheelhouse_cache::OWNER_INDEX.to_owned();
        let matches = vec![wheelhouse_core::request::IndexMatch { index, value: uid.into() }];
        List { matches, ..everything() }
    };
    assert_eq!(bench.list_of(by_owner("o1")).await.unwrap(), ["a@11"]);
    assert!(bench.list_of(by_owner("o2")).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_read_may_ask_for_what_the_watch_has_brought_and_no_more() {
    let bench = Bench::synced(10, [object("a", 1, "web")]).await;
    bench.answer(ok(&json_of("a", 11, "web")));
    bench.write("a", label("web")).await.unwrap();
    bench.answer(ok(&json_of("b", 12, "web")));
    bench.write("b", create("b")).await.unwrap();
    assert_eq!(bench.list().await, ["a@11", "b@12"]);
    assert_eq!(bench.get_cached("a").await.unwrap().unwrap().resource_version(), "1");
    assert!(bench.get_cached("b").await.unwrap().is_none());
    let cached = List { consistency: Consistency::Cached, ..everything() };
    assert_eq!(bench.list_of(cached).await.unwrap(), ["a@1"]);
}

#[tokio::test]
async fn no_read_shows_a_field_that_the_plugin_did_not_declare() {
    let interest = Interest::from(&kind()).reading(Fields::of([&".data.mine".parse().unwrap()]));
    let bench = Bench::wanting(interest.clone()).await;
    let full = |version| {
        let mut full = json_of("a", version, "web");
        full["data"] = json!({"mine": "1", "theirs": "2"});
        full
    };
    let data = |object: wheelhouse_core::Object| object.value().get("data").unwrap().to_value();
    // Before the sync, live.
    bench.answer(ok(&full(5)));
    assert_eq!(data(bench.get("a").await.unwrap().unwrap()), json!({"mine": "1"}));
    // Somebody else wants it all, so the store has it all.
    let _other = bench.factory.informer(&kind()).await.unwrap();
    bench.sync(10, [wheelhouse_core::Object::from_value(&full(5)).unwrap()]).await;
    assert_eq!(data(bench.get("a").await.unwrap().unwrap()), json!({"mine": "1"}));
    let page = bench.page(everything()).await.unwrap();
    assert_eq!(data(page.objects[0].clone()), json!({"mine": "1"}));
    // One's own write, too.
    bench.answer(ok(&full(11)));
    bench.write("a", label("web")).await.unwrap();
    assert_eq!(bench.version("a").await, "11");
    assert_eq!(data(bench.get("a").await.unwrap().unwrap()), json!({"mine": "1"}));
    let page = bench.page(everything()).await.unwrap();
    assert_eq!(data(page.objects[0].clone()), json!({"mine": "1"}));
}

#[tokio::test]
async fn an_object_that_does_not_decode_is_told_of_and_is_not_taken_for_absent() {
    let bench =
        Bench::synced(10, [object("a", 1, "web"), object("b", 2, "web"), object("c", 3, "web")]).await;
    let odd = Event::Unreadable {
        unreadable: Unreadable { key: Some(key("b")), reason: "it is too odd".into() },
        resource_version: "11".into(),
        deleted: false,
    };
    bench.event(odd, 11).await;
    let error = bench.get("b").await.unwrap_err();
    assert_eq!(
        error,
        ApiError::Unreadable("v1/ConfigMap n/b is there, and cannot be read: it is too odd".into())
    );
    assert_eq!(bench.list().await, ["a@1", "c@3"]);
    let page = bench.page(List { limit: 1, ..everything() }).await.unwrap();
    assert!(page.unreadable.is_empty(), "it is not in the first page's part");
    let page = bench.page(List { after: page.more_after, ..everything() }).await.unwrap();
    assert_eq!(page.unreadable, [key("b")]);
    bench.event(Event::Modified(object("b", 12, "web")), 12).await;
    assert_eq!(bench.version("b").await, "12");
    assert!(bench.page(everything()).await.unwrap().unreadable.is_empty());
}

#[tokio::test]
async fn a_live_read_tells_of_what_does_not_decode_too() {
    let bench = Bench::new().await;
    let deep = format!(
        r#"{{"metadata":{{"namespace":"n","name":"b"}},"x":{}{}}}"#,
        "[".repeat(1000),
        "]".repeat(1000)
    );
    bench.answer(crate::bench::http(200, "", &deep));
    assert!(matches!(bench.get("b").await, Err(ApiError::Unreadable(_))));
    let list =
        format!(r#"{{"metadata":{{"resourceVersion":"9"}},"items":[{},{deep}]}}"#, json_of("a", 1, "web"));
    bench.answer(crate::bench::http(200, "", &list));
    let page = bench.page(everything()).await.unwrap();
    assert_eq!((page.objects.len(), page.unreadable), (1, vec![key("b")]));
}

#[tokio::test]
async fn waiting_for_the_sync_ends_with_it_or_with_its_deadline() {
    let bench = Bench::new().await;
    let asked = |kind| bench.gate.permit_synced(Synced { kind }).unwrap();
    assert!(!bench.client.wait_synced(asked(kind()), Duration::from_millis(20)).await);
    assert!(
        !bench.client.wait_synced(asked(crate::bench::node()), Duration::from_secs(60)).await,
        "it is not cached"
    );
    let waits = bench.client.wait_synced(asked(kind()), Duration::from_secs(60));
    let (waited, ()) = tokio::join!(waits, bench.sync(10, []));
    assert!(waited);
}

#[tokio::test]
async fn a_revision_with_another_scope_goes_on_with_what_the_one_before_has_written() {
    let bench = web().await;
    bench.sync(10, [object("a", 1, "web")]).await;
    bench.answer(ok(&json_of("b", 11, "web")));
    bench.write("b", create("b")).await.unwrap();
    bench.answer(ok(&json!({"kind": "Status", "status": "Success", "details": {"uid": "a"}})));
    bench.write("a", delete()).await.unwrap();
    // All of the kind, with a watch of its own.
    let next = Bench::after(&bench).await;
    next.sync(10, [object("a", 1, "web")]).await;
    assert_eq!(next.list().await, ["b@11"]);
    // What one learns, the other knows, for as long as both run.
    next.answer(ok(&json_of("c", 12, "web")));
    next.write("c", create("c")).await.unwrap();
    assert_eq!(bench.list_of(of_web()).await.unwrap(), ["b@11", "c@12"]);
}
