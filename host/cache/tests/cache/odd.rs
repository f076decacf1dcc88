//! Objects that no schema would let pass, and those that are larger or deeper than any should be: what
//! they cost is themselves.

use std::sync::Arc;

use tokio::sync::Notify;
use wheelhouse_cache::Query;
use wheelhouse_core::LabelSelector;

use crate::http::{Server, on};
use crate::script::{contents, key, next};
use crate::wire::{EVERYTHING, after, by_pages, end_mark, event, informer, list, pod, pods, quick};

/// The pod `n/name`, with more at its end.
fn with(name: &str, version: u64, more: &str) -> String {
    format!("{},{more}}}", pod(name, version).strip_suffix('}').unwrap())
}

fn event_with(what: &str, name: &str, version: u64, more: &str) -> String {
    format!("{{\"type\":\"{what}\",\"object\":{}}}\n", with(name, version, more))
}

/// A thousand levels.
fn deep() -> String {
    format!("\"spec\":{}{}", "[".repeat(1000), "]".repeat(1000))
}

#[tokio::test]
async fn an_object_of_10_mb_is_an_object_like_any_other_in_lists_and_events() {
    const SIZE: usize = 10 << 20;
    let large = format!("\"spec\":{{\"text\":\"{}\"}}", "x".repeat(SIZE));
    let server = Server::start([
        on(pods("limit=500")).ok(&list(10, "", &[pod("a", 1), with("b", 2, &large)])),
        on(after(10))
            .streams()
            .chunk(event_with("MODIFIED", "a", 11, &large))
            .chunk(event("MODIFIED", "b", 12))
            .falls_silent(),
    ])
    .await;
    let informer = informer(&server, by_pages()).await;
    let mut handler = informer.subscribe();
    let mut sizes = Vec::new();
    while sizes.len() < 4 {
        let told = next(&mut handler).await.new.unwrap();
        let text = told.value().at(&["spec", "text"]).and_then(|text| text.as_str());
        sizes.push((told.name().to_owned(), text.map_or(0, str::len)));
    }
    let expected = [("a", 0), ("b", SIZE), ("a", SIZE), ("b", 0)].map(|(name, size)| (name.to_owned(), size));
    assert_eq!(sizes, expected);
    let bytes = informer.store().bytes();
    assert!(bytes > SIZE as u64 && bytes < SIZE as u64 + 10_000, "{bytes}");
}

#[tokio::test]
async fn an_object_too_deep_to_decode_replaces_the_one_that_it_was_until_it_is_good_again() {
    let steps: [Arc<Notify>; 4] = Default::default();
    let server = Server::start([on(pods(EVERYTHING))
        .streams()
        .chunk(event("ADDED", "a", 1) + &event("ADDED", "b", 2) + &end_mark(10))
        .when(&steps[0])
        .chunk(event_with("MODIFIED", "a", 11, &deep()))
        .chunk(event("MODIFIED", "b", 12))
        .when(&steps[1])
        .chunk(event("MODIFIED", "a", 13))
        .when(&steps[2])
        .chunk(event_with("MODIFIED", "a", 14, &deep()))
        .chunk(event("MODIFIED", "b", 15))
        .when(&steps[3])
        .chunk(event_with("DELETED", "a", 16, &deep()))
        .chunk(event("MODIFIED", "b", 17))
        .falls_silent()])
    .await;
    let informer = informer(&server, quick()).await;
    let mut handler = informer.subscribe();
    let unreadable = || informer.store().unreadable(&key("a"));
    server.until("it has synced", || contents(&informer) == ["a@1", "b@2"]).await;
    let mut told = Vec::new();
    let mut hear = || {
        while let Some(delta) = handler.try_next() {
            let version = |object: Option<wheelhouse_core::Object>| {
                object.map_or_else(|| "gone".to_owned(), |object| object.resource_version().to_owned())
            };
            if delta.key.name == "a" {
                told.push((version(delta.old), version(delta.new)));
            }
        }
        told.clone()
    };
    hear();

    steps[0].notify_one();
    server.until("the watch went on", || contents(&informer) == ["b@12"]).await;
    assert!(unreadable().unwrap().contains("recursion limit"), "{:?}", unreadable());
    assert_eq!(informer.stats().unreadable, 1);
    let everything = LabelSelector::default();
    let query = Query {
        namespace: "n",
        selector: &everything,
        fields: &[],
        matches: &[],
        limit: 0,
        bytes: 0,
        after: None,
    };
    let page = informer.store().list(&query).unwrap();
    assert_eq!((page.objects.len(), page.unreadable), (1, vec![key("a")]));
    hear();

    steps[1].notify_one();
    server.until("it is good again", || contents(&informer) == ["a@13", "b@12"]).await;
    assert!(unreadable().is_none());
    assert!(informer.store().list(&query).unwrap().unreadable.is_empty());
    hear();

    steps[2].notify_one();
    server.until("it is not", || contents(&informer) == ["b@15"]).await;
    assert!(unreadable().is_some());
    hear();

    steps[3].notify_one();
    server.until("b has come", || contents(&informer) == ["b@17"]).await;
    assert!(unreadable().is_none(), "it is gone");
    assert_eq!(informer.stats().unreadable, 0);
    let expected = [("gone", "1"), ("1", "gone"), ("gone", "13"), ("13", "gone")];
    assert_eq!(hear(), expected.map(|(old, new)| (old.to_owned(), new.to_owned())));
    assert_eq!(informer.stats().errors, []);
}

#[tokio::test]
async fn an_object_too_deep_to_decode_in_a_list_leaves_no_older_one_of_itself() {
    let gone = r#"{"kind":"Status","code":410,"reason":"Expired","message":"too old"}"#;
    let deep_page = list(20, "", &[with("a", 11, &deep()), pod("b", 2)]);
    let server = Server::start([
        on(pods("limit=500")).ok(&list(10, "", &[pod("a", 1), pod("b", 2)])),
        on(after(10)).answers("410 Gone", "", gone),
        on(pods("limit=500")).ok(&deep_page),
        on(after(20)).answers("410 Gone", "", gone),
        on(pods("limit=500")).ok(&deep_page.replace("\"20\"", "\"30\"")),
        on(after(30)).streams().chunk(event("ADDED", "a", 31)).falls_silent(),
    ])
    .await;
    let informer = informer(&server, by_pages()).await;
    let mut seen_odd = false;
    server
        .until("it is good again", || {
            let now = informer.snapshot();
            let odd = informer.store().unreadable(&key("a")).is_some();
            if now.seen() == "20" || now.seen() == "30" {
                assert!(now.get(&key("a")).is_none(), "the older one is still there");
                seen_odd |= odd;
            }
            now.seen() == "31"
        })
        .await;
    assert_eq!(contents(&informer), ["a@31", "b@2"]);
    assert!(informer.store().unreadable(&key("a")).is_none());
    // Each list said so, whether or not it was looked at in between.
    let unreadable = informer.stats().events.iter().find(|(what, _)| *what == "UNREADABLE").unwrap().1;
    assert_eq!(unreadable, 2, "{seen_odd}");
}

#[tokio::test]
async fn a_list_that_holds_only_what_is_too_deep_is_a_list() {
    let stream = on(pods(EVERYTHING)).streams().chunk(event_with("ADDED", "a", 1, &deep()) + &end_mark(10));
    let server = Server::start([stream.falls_silent()]).await;
    let informer = informer(&server, quick()).await;
    server.until("it has synced", || informer.synced()).await;
    assert!(informer.store().is_empty() && informer.store().unreadable(&key("a")).is_some());
}

/// Objects whose metadata is not what it should be, and whether they are objects nevertheless.
fn odd_metadata() -> Vec<(&'static str, bool)> {
    vec![
        (r#"{"metadata":{"name":7,"namespace":"n","uid":"o","resourceVersion":"11"}}"#, false),
        (r#"{"metadata":{"name":"","namespace":"n","resourceVersion":"11"}}"#, false),
        (r#"{"metadata":{"namespace":"n"}}"#, false),
        (r#"{"metadata":"text"}"#, false),
        (r#"{"metadata":[{"name":"o"}]}"#, false),
        (r#"{}"#, false),
        ("null", false),
        ("7", false),
        (r#""text""#, false),
        (r#"[[]]"#, false),
        (r#"{"metadata":{"name":"o","namespace":"n","labels":"text"}}"#, true),
        (r#"{"metadata":{"name":"o","namespace":"n","labels":{"app":{"x":1}}}}"#, true),
        (r#"{"metadata":{"name":"o","namespace":"n","annotations":[1]}}"#, true),
        (r#"{"metadata":{"name":"o","namespace":"n","managedFields":"text"}}"#, true),
        (r#"{"metadata":{"name":"o","namespace":"n","ownerReferences":7}}"#, true),
        (r#"{"metadata":{"name":"o","namespace":"n","ownerReferences":[7,{"uid":7},null]}}"#, true),
        (r#"{"metadata":{"name":"o","namespace":"n","uid":7,"resourceVersion":11}}"#, true),
        (r#"{"apiVersion":7,"kind":[],"metadata":{"name":"o","namespace":"n"},"spec":null}"#, true),
        ("{\"metadata\":{\"name\":\"o\",\"namespace\":\"n\",\"labels\":{\"\\ud800\":\"\\u0000\"}}}", false),
    ]
}

#[tokio::test]
async fn odd_metadata_costs_its_object_at_most_and_the_watch_goes_on() {
    for (odd, is_object) in odd_metadata() {
        let line = |what| format!("{{\"type\":\"{what}\",\"object\":{odd}}}\n");
        let initial = [event("ADDED", "a", 1), line("ADDED"), end_mark(10)].concat();
        let goes_on = [line("MODIFIED"), event("ADDED", "b", 12)].concat();
        let goes = [line("DELETED"), event("ADDED", "c", 13)].concat();
        let step: Arc<Notify> = Arc::default();
        let server = Server::start([on(pods(EVERYTHING))
            .streams()
            .chunk(initial)
            .chunk(goes_on)
            .when(&step)
            .chunk(goes)
            .falls_silent()])
        .await;
        let informer = informer(&server, quick()).await;
        informer.add_index("app", wheelhouse_cache::IndexFn::field(".metadata.labels.app".parse().unwrap()));
        server.until(odd, || informer.store().get(&key("b")).is_some()).await;
        assert_eq!(informer.store().get(&key("o")).is_some(), is_object, "{odd}");
        step.notify_one();
        server.until(odd, || informer.store().get(&key("c")).is_some()).await;
        let stats = informer.stats();
        assert_eq!(contents(&informer), ["a@1", "b@12", "c@13"], "{odd}");
        assert!(stats.index_entries.iter().all(|(_, entries)| *entries == 0), "{odd}");
        assert_eq!((stats.errors, stats.unreadable), (vec![], 0), "{odd}");
    }
}

#[tokio::test]
async fn odd_metadata_in_a_page_costs_its_object_at_most() {
    for (odd, is_object) in odd_metadata() {
        let server = Server::start([
            on(pods("limit=500")).ok(&list(10, "", &[pod("a", 1), odd.to_owned(), pod("z", 2)])),
            on(after(10)).falls_silent(),
        ])
        .await;
        let informer = informer(&server, by_pages()).await;
        server.finished().await;
        assert_eq!(informer.store().get(&key("o")).is_some(), is_object, "{odd}");
        assert_eq!(informer.store().len(), if is_object { 3 } else { 2 }, "{odd}");
    }
}

#[tokio::test]
async fn null_is_an_empty_list() {
    for empty in [
        r#"{"kind":"PodList","metadata":{"resourceVersion":"10"},"items":null}"#,
        r#"{"kind":"PodList","metadata":{"resourceVersion":"10","continue":null}}"#,
    ] {
        let server = Server::start([
            on(pods("limit=500")).ok(empty),
            on(after(10)).streams().chunk(event("ADDED", "a", 11)).falls_silent(),
        ])
        .await;
        let informer = informer(&server, by_pages()).await;
        server.until("the watch goes on", || contents(&informer) == ["a@11"]).await;
        assert_eq!(informer.stats().errors, []);
    }
}
