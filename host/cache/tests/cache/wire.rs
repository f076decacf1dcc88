//! The API server as it speaks: conversations, byte by byte.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;
use wheelhouse_cache::{
    ApiResource, Informer, InformerFactory, Interest, KubeListWatch, ReflectorConfig, ResourceMap, Rest, rest,
};
use wheelhouse_core::{Fields, Scope};

use crate::http::{Exchange, Server, on};
use crate::script::{contents, kind, next, resource};

/// A streaming list; it is followed by the version that a watch is resumed from otherwise.
pub(crate) const EVERYTHING: &str =
    "watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
pub(crate) const AFTER: &str = "watch=true&allowWatchBookmarks=true&resourceVersion=";
const AS_METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
const AS_METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// Pods in all namespaces.
pub(crate) fn pods(query: &str) -> String {
    format!("/api/v1/pods?{query}")
}

pub(crate) fn after(version: u64) -> String {
    pods(&format!("{AFTER}{version}"))
}

fn meta(name: &str, version: u64) -> String {
    format!(r#""metadata":{{"name":"{name}","namespace":"n","uid":"{name}","resourceVersion":"{version}"}}"#)
}

/// An event of the pod `n/name`, with its line's end.
pub(crate) fn event(what: &str, name: &str, version: u64) -> String {
    format!("{{\"type\":\"{what}\",\"object\":{{{}}}}}\n", meta(name, version))
}

pub(crate) fn bookmark(version: u64) -> String {
    format!(
        "{{\"type\":\"BOOKMARK\",\"object\":{{\"metadata\":{{\"resourceVersion\":\"{version}\",\"creationTimestamp\":null}}}}}}\n"
    )
}

/// The bookmark after the initial events.
pub(crate) fn end_mark(version: u64) -> String {
    bookmark(version).replace("null}", r#"null,"annotations":{"k8s.io/initial-events-end":"true"}}"#)
}

pub(crate) fn list(version: u64, token: &str, items: &[String]) -> String {
    format!(
        r#"{{"kind":"PodList","metadata":{{"resourceVersion":"{version}","continue":"{token}"}},"items":[{}]}}"#,
        items.join(",")
    )
}

pub(crate) fn pod(name: &str, version: u64) -> String {
    format!("{{{}}}", meta(name, version))
}

fn status(code: u16, reason: &str, message: &str) -> String {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})
        .to_string()
}

/// What a server without streaming lists says to one.
pub(crate) fn no_streaming_lists() -> Exchange {
    let says = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
    on(pods(EVERYTHING)).answers("422 Unprocessable Entity", "", &status(422, "Invalid", says))
}

/// Back-offs that a test can wait for.
pub(crate) fn quick() -> ReflectorConfig {
    let (backoff, backoff_max) = (Duration::from_millis(1), Duration::from_millis(5));
    ReflectorConfig { backoff, backoff_max, ..ReflectorConfig::default() }
}

pub(crate) fn by_pages() -> ReflectorConfig {
    ReflectorConfig { streaming: false, ..quick() }
}

/// Of a server whose discovery is known.
pub(crate) fn factory(server: &Server, config: ReflectorConfig) -> InformerFactory {
    let pods = resource(&kind());
    let nodes =
        ApiResource { plural: "nodes".into(), namespaced: false, ..resource(&"v1/Node".parse().unwrap()) };
    let rest = Rest::new(rest::connect(kube::Config::new(server.uri.clone())).unwrap());
    let resources = ResourceMap::fixed([pods, nodes]);
    let known = resources.clone();
    let source = move |kind: &_, scope: &_| -> Arc<dyn wheelhouse_cache::ListWatch> {
        Arc::new(KubeListWatch::new(rest.clone(), known.clone(), kind, scope))
    };
    InformerFactory::with_source(resources, source, config)
}

/// Of all pods.
pub(crate) async fn informer(server: &Server, config: ReflectorConfig) -> Informer {
    factory(server, config).informer(&kind()).await.unwrap()
}

fn told() -> Arc<Notify> {
    Arc::default()
}

#[tokio::test]
async fn discovery_pages_and_watches_are_asked_for_and_understood() {
    let orders = "/apis/shop.example/v1/orders";
    let item = r#"{"metadata":{"name":"NAME","namespace":"n","uid":"NAME","resourceVersion":"1"}}"#;
    let server = Server::start([
        on("/apis/shop.example/v1").ok(
            r#"{"kind":"APIResourceList","resources":[{"name":"orders","kind":"Order","namespaced":true},{"name":"orders/status","kind":"Order","namespaced":true}]}"#,
        ),
        on(format!("{orders}?{EVERYTHING}")).answers(
            "422 Unprocessable Entity",
            "",
            &status(422, "Invalid", "sendInitialEvents is forbidden"),
        ),
        on(format!("{orders}?limit=500")).ok(&list(10, "a+b/c=", &[item.replace("NAME", "a")])),
        on(format!("{orders}?limit=500&continue=a+b/c=")).ok(&list(10, "", &[item.replace("NAME", "b")])),
        on(format!("{orders}?{AFTER}10"))
            .streams()
            .chunk(r#"{"type":"MODIFIED","object":{"metadata":{"name":"a","namespace":"n","uid":"a","#)
            .chunk(format!("\"resourceVersion\":\"11\"}}}}}}\n{}", event("DELETED", "b", 12)))
            .chunk(format!("{}{{\"type\":\"ADD", bookmark(15)))
            .ends(),
        on(format!("{orders}?{AFTER}15")).falls_silent(),
    ])
    .await;
    let factory =
        InformerFactory::new(Rest::new(rest::connect(kube::Config::new(server.uri.clone())).unwrap()));
    let informer = factory.informer(&"shop.example/v1/Order".parse().unwrap()).await.unwrap();
    assert_eq!(informer.resource().unwrap().subresources, ["status"]);
    server.finished().await;
    let objects: Vec<String> = informer.snapshot().iter().map(|(_, o)| o.value().to_json()).collect();
    assert_eq!(
        objects,
        [
            r#"{"apiVersion":"shop.example/v1","kind":"Order","metadata":{"name":"a","namespace":"n","resourceVersion":"11","uid":"a"}}"#
        ]
    );
    assert_eq!(informer.snapshot().seen(), "15");
}

#[tokio::test]
async fn trap_12_a_kind_that_comes_back_under_another_name_is_found_by_discovery() {
    let discovery = |plural: &str| {
        on("/apis/shop.example/v1")
            .ok(&json!({"resources": [{"name": plural, "kind": "Order", "namespaced": true}]}).to_string())
    };
    let gone = || status(404, "NotFound", "the server could not find the requested resource");
    let server = Server::start([
        on("/apis/shop.example/v1").ok(r#"{"resources":[]}"#),
        discovery("orders"),
        on(format!("/apis/shop.example/v1/orders?{EVERYTHING}")).answers("404 Not Found", "", &gone()),
        on("/apis/shop.example/v1").answers("404 Not Found", "", &gone()),
        discovery("purchases"),
        on(format!("/apis/shop.example/v1/purchases?{EVERYTHING}"))
            .streams()
            .chunk(event("ADDED", "a", 1))
            .chunk(end_mark(10))
            .falls_silent(),
    ])
    .await;
    let rest = Rest::new(rest::connect(kube::Config::new(server.uri.clone())).unwrap());
    let resources = ResourceMap::new(rest.clone());
    let known = resources.clone();
    let source = move |kind: &_, scope: &_| -> Arc<dyn wheelhouse_cache::ListWatch> {
        Arc::new(KubeListWatch::new(rest.clone(), known.clone(), kind, scope))
    };
    let factory = InformerFactory::with_source(resources, source, quick());
    let informer = factory.informer_when_served(&"shop.example/v1/Order".parse().unwrap()).await;
    server.until("it has come", || contents(&informer) == ["a@1"]).await;
    server.finished().await;
}

#[tokio::test]
async fn trap_08_a_streaming_list_comes_byte_by_byte_and_the_watch_goes_on_in_its_connection() {
    let go_on = told();
    let mut exchange = on(pods(EVERYTHING)).streams();
    let initial = [event("ADDED", "a", 1), bookmark(5), event("ADDED", "b", 2), end_mark(10)].concat();
    for byte in initial.as_bytes() {
        exchange = exchange.chunk([*byte]);
    }
    exchange = exchange.when(&go_on);
    for byte in [event("MODIFIED", "a", 11), event("ADDED", "c", 12)].concat().as_bytes() {
        exchange = exchange.chunk([*byte]);
    }
    let server = Server::start([exchange.falls_silent()]).await;
    let informer = informer(&server, quick()).await;
    server
        .until("the end mark has come", || {
            let seen = contents(&informer);
            assert!(seen.is_empty() && !informer.synced() || seen == ["a@1", "b@2"], "{seen:?}");
            informer.synced()
        })
        .await;
    assert_eq!(informer.snapshot().seen(), "10");
    go_on.notify_one();
    server.until("the watch goes on", || contents(&informer) == ["a@11", "b@2", "c@12"]).await;
}

#[tokio::test]
async fn trap_04_gone_as_a_status_and_gone_as_an_event_both_lead_to_a_new_list() {
    let gone = status(410, "Expired", "too old resource version: 10 (20)");
    for in_the_stream in [true, false] {
        let go_on = told();
        let first =
            on(pods(EVERYTHING)).streams().chunk(event("ADDED", "a", 1)).chunk(end_mark(10)).when(&go_on);
        let again = on(pods(EVERYTHING))
            .streams()
            .chunk(event("ADDED", "a", 11) + &event("ADDED", "b", 12) + &end_mark(20))
            .falls_silent();
        let script = if in_the_stream {
            vec![first.chunk(format!("{{\"type\":\"ERROR\",\"object\":{gone}}}\n")).falls_silent(), again]
        } else {
            vec![first.ends(), on(after(10)).answers("410 Gone", "", &gone), again]
        };
        let server = Server::start(script).await;
        let informer = informer(&server, quick()).await;
        server.until("it has synced", || informer.synced()).await;
        assert_eq!(contents(&informer), ["a@1"]);
        go_on.notify_one();
        server
            .until("it is listed again", || {
                let seen = contents(&informer);
                assert!(seen == ["a@1"] || seen == ["a@11", "b@12"], "{seen:?}");
                seen.len() == 2
            })
            .await;
        assert_eq!((informer.stats().relists, informer.stats().errors), (1, vec![("expired", 1)]));
    }
}

#[tokio::test]
async fn trap_05_a_version_that_is_too_large_for_the_server_leads_to_a_list_of_what_it_has() {
    // As the API server says it, but for the message: the cause alone must do.
    let too_large = json!({"kind": "Status", "code": 504, "reason": "Timeout", "message": "try later",
        "details": {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large"}], "retryAfterSeconds": 0}});
    let server = Server::start([
        on(pods(EVERYTHING))
            .streams()
            .chunk(event("ADDED", "a", 1) + &end_mark(10))
            .chunk(bookmark(11))
            .ends(),
        on(after(11)).answers("504 Gateway Timeout", "", &too_large.to_string()),
        on(pods(EVERYTHING)).streams().chunk(event("ADDED", "b", 12)).chunk(end_mark(12)).falls_silent(),
    ])
    .await;
    let informer = informer(&server, quick()).await;
    server.until("it is listed again", || contents(&informer) == ["b@12"]).await;
    server.finished().await;
}

#[tokio::test]
async fn trap_06_a_continue_token_that_expires_starts_the_list_over() {
    let expired = status(410, "Expired", "the provided continue parameter is too old");
    let server = Server::start([
        no_streaming_lists(),
        on(pods("limit=500")).ok(&list(10, "one", &[pod("a", 1)])),
        on(pods("limit=500&continue=one")).answers("410 Gone", "", &expired),
        on(pods("limit=500")).ok(&list(20, "two", &[pod("b", 11)])),
        on(pods("limit=500&continue=two")).ok(&list(20, "", &[pod("c", 12)])),
        on(after(20)).falls_silent(),
    ])
    .await;
    let informer = informer(&server, quick()).await;
    let whole = ["b@11", "c@12"];
    server
        .until("it has synced", || {
            let seen = contents(&informer);
            assert!(seen.is_empty() && !informer.synced() || seen == whole, "{seen:?}");
            informer.synced()
        })
        .await;
    server.finished().await;
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_of_a_page_starts_the_list_over() {
    let second = list(10, "", &[pod("b", 2), pod("c", 3)]);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", second.len());
    // In the middle of an object, between two, and before the first byte.
    let middle = second.find("\"c\"").unwrap();
    for (cut, resets) in [(middle, true), (middle, false), (second.len() - 1, true), (0, false)] {
        let half = on(pods("limit=500&continue=one")).says(head.clone()).says(&second.as_bytes()[..cut]);
        let first = || on(pods("limit=500")).ok(&list(10, "one", &[pod("a", 1)]));
        let server = Server::start([
            first(),
            if resets { half.resets() } else { half },
            first(),
            on(pods("limit=500&continue=one")).ok(&second),
            on(after(10)).falls_silent(),
        ])
        .await;
        let informer = informer(&server, by_pages()).await;
        let whole = ["a@1", "b@2", "c@3"];
        server
            .until("it has synced", || {
                let seen = contents(&informer);
                assert!(seen.is_empty() && !informer.synced() || seen == whole, "{seen:?}");
                informer.synced()
            })
            .await;
        server.finished().await;
        assert_eq!(informer.stats().errors, [("unreachable", 1)]);
    }
}

#[tokio::test]
async fn a_connection_reset_in_the_middle_of_an_event_resumes_after_the_last_whole_one() {
    let go_on = told();
    let half = event("ADDED", "b", 12);
    let server = Server::start([
        on(pods(EVERYTHING))
            .streams()
            .chunk(event("ADDED", "a", 1) + &end_mark(10))
            .chunk(event("MODIFIED", "a", 11))
            .chunk(&half[..half.len() - 3])
            .when(&go_on)
            .resets(),
        on(after(11)).streams().chunk(half).falls_silent(),
    ])
    .await;
    let informer = informer(&server, quick()).await;
    server.until("the whole event has come", || contents(&informer) == ["a@11"]).await;
    go_on.notify_one();
    server.until("the other one has come", || contents(&informer) == ["a@11", "b@12"]).await;
    assert_eq!(informer.stats().relists, 0);
    assert_eq!(informer.stats().errors, [("unreachable", 1)]);
}

#[tokio::test]
async fn a_connection_reset_before_the_end_mark_starts_the_streaming_list_over() {
    let server = Server::start([
        on(pods(EVERYTHING)).streams().chunk(event("ADDED", "a", 1) + &event("ADDED", "b", 2)).resets(),
        on(pods(EVERYTHING)).streams().chunk(event("ADDED", "b", 2) + &end_mark(10)).falls_silent(),
    ])
    .await;
    let informer = informer(&server, quick()).await;
    server
        .until("it has synced", || {
            let seen = contents(&informer);
            assert!(seen.is_empty() && !informer.synced() || seen == ["b@2"], "{seen:?}");
            informer.synced()
        })
        .await;
}

#[tokio::test]
async fn trap_10_retry_after_is_honoured_for_lists_and_watches_and_a_throttled_watch_is_not_listed() {
    let busy = || status(429, "TooManyRequests", "too many requests");
    let slow_down = |asked: String| on(asked).answers("429 Too Many Requests", "retry-after: 1\r\n", &busy());
    let server = Server::start([
        slow_down(pods(EVERYTHING)),
        on(pods(EVERYTHING))
            .streams()
            .chunk(event("ADDED", "a", 1) + &end_mark(10))
            .chunk(bookmark(11))
            .ends(),
        slow_down(after(11)),
        on(after(11)).streams().chunk(event("ADDED", "b", 12)).falls_silent(),
    ])
    .await;
    let informer = informer(&server, quick()).await;
    server.until("b has come", || contents(&informer) == ["a@1", "b@12"]).await;
    let pauses = server.pauses();
    assert!(pauses[0] >= Duration::from_secs(1) && pauses[2] >= Duration::from_secs(1), "{pauses:?}");
    assert_eq!(informer.stats().errors, [("throttled", 2)]);
}

#[tokio::test]
async fn trap_11_a_connection_that_falls_silent_is_left_and_the_watch_resumed() {
    let silence = Duration::from_millis(100);
    let begins = [
        on(pods(EVERYTHING)).streams().chunk(event("ADDED", "a", 1) + &end_mark(10)).falls_silent(),
        on(after(10)).streams().chunk(event("ADDED", "b", 11)).chunk("{\"type\":").falls_silent(),
        on(after(11)).streams().chunk(event("ADDED", "c", 12)).falls_silent(),
    ];
    // On a busy machine, that one may be left as well before this test looks.
    let goes_on = (0..20).map(|_| on(after(12)).streams().falls_silent());
    let server = Server::start(begins.into_iter().chain(goes_on)).await;
    let config = ReflectorConfig { silence, ..quick() };
    let informer = informer(&server, config).await;
    server.until("c has come", || contents(&informer) == ["a@1", "b@11", "c@12"]).await;
    assert!(server.pauses().iter().take(2).all(|pause| *pause >= silence), "{:?}", server.pauses());
    assert_eq!(informer.stats().relists, 0);
}

/// A watch that is cut at each of its bytes in turn: the next goes on after the last whole event, and
/// brings the others.
async fn cut_everywhere(cleanly: bool) {
    let of = |base: u64| {
        [event("ADDED", "b", base + 1), event("MODIFIED", "b", base + 2), event("DELETED", "b", base + 3)]
    };
    let length = of(10_000).concat().len();
    let mut script =
        vec![on(pods(EVERYTHING)).streams().chunk(event("ADDED", "a", 1) + &end_mark(10_000)).ends()];
    let mut base = 10_000;
    for cut in 0..=length {
        let text = of(base).concat();
        let whole = text[..cut].matches('\n').count();
        let first = on(after(base)).streams().chunk(&text[..cut]);
        script.push(if cleanly { first.ends() } else { first });
        if whole < 3 {
            let rest = of(base)[whole..].concat();
            script.push(on(after(base + whole as u64)).streams().chunk(rest).ends());
        }
        base += 3;
    }
    script.push(on(after(base)).falls_silent());
    let server = Server::start(script).await;
    let informer = informer(&server, quick()).await;
    let mut handler = informer.subscribe();
    server.finished().await;
    assert_eq!(contents(&informer), ["a@1"]);
    let stats = informer.stats();
    let each = length as u64 + 1;
    assert_eq!(stats.events[..3], [("ADDED", each), ("MODIFIED", each), ("DELETED", each)]);
    assert_eq!((stats.relists, stats.unreadable), (0, 0));
    let mut last = None;
    while let Some(delta) = handler.try_next() {
        last = Some(delta);
    }
    let last = last.unwrap();
    assert_eq!((last.key.name.as_str(), last.new), ("b", None));
}

#[tokio::test]
async fn trap_09_a_watch_that_is_closed_at_any_byte_loses_nothing_and_repeats_nothing() {
    cut_everywhere(true).await;
}

#[tokio::test]
async fn a_watch_that_breaks_off_at_any_byte_loses_nothing_and_repeats_nothing() {
    cut_everywhere(false).await;
}

#[tokio::test]
async fn who_reads_metadata_alone_asks_for_no_more() {
    let partial = |name: &str, version: u64| {
        let kind = r#""kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1""#;
        format!("{{{kind},{}}}", meta(name, version))
    };
    let bookmarked = end_mark(10).replace("\"object\":{", "\"object\":{\"kind\":\"PartialObjectMetadata\",");
    let more =
        format!("{{\"type\":\"MODIFIED\",\"object\":{{{},\"spec\":{{\"more\":1}}}}}}\n", meta("a", 11));
    let added = format!("{{\"type\":\"ADDED\",\"object\":{}}}\n", partial("a", 1));
    let asked = |query: &str, accept: &str| on(format!("{} {accept}", pods(query)));
    let stream = || asked(EVERYTHING, AS_METADATA);
    let watch = |version: u64| asked(&format!("{AFTER}{version}"), AS_METADATA);
    let not_acceptable = status(406, "NotAcceptable", "only the following media types are accepted");
    for streaming in [true, false] {
        let begins = if streaming {
            vec![stream().streams().chunk(added.clone() + &bookmarked).ends()]
        } else {
            let items = [partial("a", 1)];
            let page = list(10, "", &items).replace("PodList", "PartialObjectMetadataList");
            vec![
                stream().answers("406 Not Acceptable", "", &not_acceptable),
                asked("limit=500", AS_METADATA_LIST).ok(&page),
            ]
        };
        // A server that knows no metadata-only answers sends whole objects.
        let goes_on = [watch(10).streams().chunk(&more).ends(), watch(11).falls_silent()];
        let server = Server::start(begins.into_iter().chain(goes_on)).await;
        let interest = Interest::from(&kind()).reading(Fields::of([]));
        let informer = factory(&server, quick()).informer(interest).await.unwrap();
        server.until("it has synced", || informer.synced()).await;
        server.finished().await;
        let object = informer.store().get(&crate::script::key("a")).unwrap();
        assert_eq!(
            object.value().to_json(),
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"n","resourceVersion":"11","uid":"a"}}"#
        );
    }
}

fn scope(namespace: &str, labels: &str, fields: &str) -> Scope {
    Scope { namespace: namespace.into(), labels: labels.parse().unwrap(), fields: fields.parse().unwrap() }
}

#[tokio::test]
async fn namespace_and_selectors_are_in_every_request() {
    let selectors = "&labelSelector=app in (db,web),!x&fieldSelector=spec.nodeName=n1,metadata.name!=b";
    let asked = |query: &str| on(format!("/api/v1/namespaces/a-b/pods?{query}{selectors}"));
    let server = Server::start([
        asked(EVERYTHING).answers("422 Unprocessable Entity", "", &status(422, "Invalid", "no")),
        asked("limit=500").ok(&list(10, "t", &[])),
        asked("limit=500&continue=t").ok(&list(10, "", &[])),
        asked(&format!("{AFTER}10")).falls_silent(),
    ])
    .await;
    let scope = scope("a-b", "app in (db,web),!x", "spec.nodeName=n1,metadata.name!=b");
    let interest = Interest::from(&kind()).scoped(scope);
    let informer = factory(&server, quick()).informer(interest).await.unwrap();
    server.finished().await;
    assert!(informer.synced());
}

#[tokio::test]
async fn a_kind_without_namespaces_is_asked_for_without_one() {
    let node = r#"{"metadata":{"name":"n1","uid":"n1","resourceVersion":"1"}}"#;
    let server = Server::start([on(format!("/api/v1/nodes?{EVERYTHING}"))
        .streams()
        .chunk(format!("{{\"type\":\"ADDED\",\"object\":{node}}}\n{}", end_mark(10)))
        .falls_silent()])
    .await;
    let nodes: wheelhouse_core::Kind = "v1/Node".parse().unwrap();
    let interest = Interest::from(&nodes).scoped(Scope::in_namespace("a"));
    let informer = factory(&server, quick()).informer(interest).await.unwrap();
    server.until("it has come", || contents(&informer) == ["n1@1"]).await;
    assert_eq!(informer.scope(), &Scope::default());
}

#[tokio::test]
async fn a_field_that_the_server_does_not_select_by_is_selected_by_here() {
    let refusal = || status(400, "BadRequest", "field label not supported: spec.tier");
    let on_tier = |what: &str, name: &str, version: u64, tier: &str| {
        event(what, name, version)
            .replace("}}\n", &format!(",\"spec\":{{\"tier\":\"{tier}\",\"more\":1}}}}}}\n"))
    };
    let refused = |query: &str| {
        let asked = pods(&format!("{query}&labelSelector=app&fieldSelector=spec.tier=gold"));
        on(asked).answers("400 Bad Request", "", &refusal())
    };
    let without = |query: &str| on(pods(&format!("{query}&labelSelector=app")));
    let go_on = told();
    let initial = [on_tier("ADDED", "a", 1, "gold"), on_tier("ADDED", "b", 2, "tin"), end_mark(10)].concat();
    let server = Server::start([
        refused(EVERYTHING),
        without(EVERYTHING).streams().chunk(initial).when(&go_on).ends(),
        // It is not asked again what it does not know.
        without(&format!("{AFTER}10"))
            .streams()
            .chunk(on_tier("MODIFIED", "a", 11, "tin"))
            .chunk(on_tier("MODIFIED", "b", 12, "gold"))
            .chunk(on_tier("ADDED", "c", 13, "tin"))
            .falls_silent(),
    ])
    .await;
    let interest = Interest::from(&kind()).reading(Fields::of([])).scoped(scope("", "app", "spec.tier=gold"));
    let informer = factory(&server, quick()).informer(interest).await.unwrap();
    let mut handler = informer.subscribe();
    server.until("it has synced", || informer.synced()).await;
    assert_eq!(contents(&informer), ["a@1"]);
    assert_eq!(next(&mut handler).await.key.name, "a");
    go_on.notify_one();
    server.until("all is heard", || informer.snapshot().seen() == "13").await;
    assert_eq!(contents(&informer), ["b@12"]);
    let gone = next(&mut handler).await;
    assert_eq!((gone.key.name.as_str(), gone.new), ("a", None));
    assert_eq!(next(&mut handler).await.key.name, "b");
    assert!(handler.try_next().is_none());
    let object = informer.store().get(&crate::script::key("b")).unwrap();
    assert_eq!(object.value().get("spec").unwrap().to_json(), r#"{"tier":"gold"}"#);
}

#[tokio::test]
async fn a_server_that_has_neither_streaming_lists_nor_the_field_is_listed_by_pages_and_selected_here() {
    let refusal = || status(400, "BadRequest", "field label not supported: spec.tier");
    let refused = |query: &str| {
        on(pods(&format!("{query}&fieldSelector=spec.tier=gold"))).answers("400 Bad Request", "", &refusal())
    };
    let server = Server::start([
        refused(EVERYTHING),
        on(pods(EVERYTHING)).answers("400 Bad Request", "", &status(400, "BadRequest", "what is that?")),
        refused("limit=500"),
        on(pods("limit=500")).ok(&list(10, "", &[pod("a", 1)])),
        on(after(10)).falls_silent(),
    ])
    .await;
    let interest = Interest::from(&kind()).scoped(scope("", "", "spec.tier=gold"));
    let informer = factory(&server, quick()).informer(interest).await.unwrap();
    server.finished().await;
    assert!(informer.synced() && informer.store().is_empty());
}

#[tokio::test]
async fn unknown_events_empty_lines_and_other_line_ends_do_no_harm() {
    let server = Server::start([on(pods(EVERYTHING))
        .streams()
        .chunk("\n\r\n")
        .chunk(event("ADDED", "a", 1).replace('\n', "\r\n"))
        .chunk("  \n{\"type\":\"NEWS\",\"object\":{\"metadata\":7}}\n")
        .chunk(end_mark(10).replace('\n', "\r\n\r\n"))
        .chunk("{\"type\":\"NEWS\",\"object\":null}\n")
        .chunk("{\"object\":{\"metadata\":{\"name\":\"b\",\"resourceVersion\":\"11\"}},\n".replace('\n', " "))
        .chunk("\"more\":[1],\"type\":\"ADDED\"}\n")
        .chunk(event("MODIFIED", "a", 12).replace('\n', "\r\n"))
        .falls_silent()])
    .await;
    let informer = informer(&server, quick()).await;
    server.until("all has come", || contents(&informer) == ["b@11", "a@12"]).await;
    assert_eq!(informer.stats().errors, []);
}
