//! Faults on demand, and that a client that is built for them survives them.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::client::Body;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use wheelhouse_devcluster::{DevClusterConfig, Fault, Injection};

use crate::support::{CONFIG_MAPS, DEADLINE, Server, config_map, start, start_with};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";

fn refuse(code: u16) -> Injection {
    Fault::Refuse { code, retry_after: Some(Duration::from_secs(1)) }.into()
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

#[tokio::test]
async fn the_next_requests_are_refused_as_an_overloaded_server_refuses_them() {
    let server = start().await;
    for (code, reason) in [(429, "TooManyRequests"), (500, "InternalError"), (503, "ServiceUnavailable")] {
        server.cluster.faults().inject(refuse(code).next(2));
        let request = http::Request::get(CONFIG_MAPS).body(Body::empty()).unwrap();
        let response = server.client.send(request).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (code, &"1".parse().unwrap())
        );
        let status = server.get(CONFIG_MAPS).await.refused(code, reason);
        assert_eq!(status["details"]["retryAfterSeconds"], 1);
        server.get(CONFIG_MAPS).await.ok();
    }
}

#[tokio::test]
async fn only_the_method_and_resource_that_are_meant_meet_a_fault() {
    let server = start().await;
    let faults = server.cluster.faults();
    faults.inject(refuse(500).method("POST").resource("configmaps"));
    server.post(CONFIG_MAPS, config_map("a", json!({}))).await.refused(500, "InternalError");
    server.get(CONFIG_MAPS).await.ok();
    server.post(SECRETS, json!({ "metadata": { "name": "s" } })).await.ok();
    faults.clear();
    server.post(CONFIG_MAPS, config_map("a", json!({}))).await.ok();
}

#[tokio::test]
async fn a_rate_of_a_half_refuses_every_second_request() {
    let server = start().await;
    server.cluster.faults().inject(refuse(503).rate(0.5));
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(server.get(CONFIG_MAPS).await.code);
    }
    assert_eq!(codes, [200, 503, 200, 503]);
}

#[tokio::test]
async fn a_latency_holds_an_answer_back() {
    let server = start().await;
    let latency = Duration::from_millis(150);
    server.cluster.faults().inject(Injection::from(Fault::Latency(latency)).next(1));
    let started = Instant::now();
    server.get(CONFIG_MAPS).await.ok();
    assert!(started.elapsed() >= latency);
}

#[tokio::test]
async fn dropped_watches_end_and_later_ones_do_not() {
    let server = start().await;
    let mut watch = server.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    let mut other = server.watch(&format!("{SECRETS}?watch=true")).await;
    server.cluster.faults().inject(Injection::from(Fault::DropWatches).resource("configmaps"));
    assert_eq!(watch.next().await, None);
    server.post(SECRETS, json!({ "metadata": { "name": "s" } })).await.ok();
    other.expect("ADDED", "s").await;
    let mut again = server.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    server.config_map("a", json!({})).await;
    again.expect("ADDED", "a").await;
}

#[tokio::test]
async fn silent_watches_send_neither_events_nor_bookmarks_until_it_is_over() {
    let config = DevClusterConfig { bookmark_interval: Duration::from_millis(10), ..Default::default() };
    let server = start_with(config).await;
    let mut watch = server.watch(&format!("{CONFIG_MAPS}?watch=true&allowWatchBookmarks=true")).await;
    assert_eq!(watch.event().await.0, "BOOKMARK");
    let faults = server.cluster.faults();
    faults.inject(Fault::SilentWatches);
    server.config_map("a", json!({})).await;
    // Bookmarks that were on their way come; then there is silence, for many times their interval.
    let quiet = Duration::from_millis(200);
    while let Ok(event) = tokio::time::timeout(quiet, watch.next()).await {
        assert_eq!(event.unwrap()["type"], "BOOKMARK");
    }
    faults.clear();
    while watch.event().await != ("ADDED".to_owned(), "a".to_owned()) {}
}

#[tokio::test]
async fn after_a_compaction_earlier_versions_are_gone_and_open_watches_go_on() {
    let server = start().await;
    let first = server.config_map("a", json!({})).await;
    let mut open = server.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    open.expect("ADDED", "a").await;
    // Something else happens, so that the version of `a` is an earlier one.
    server.post(SECRETS, json!({ "metadata": { "name": "s" } })).await.ok();
    server.cluster.faults().inject(Fault::Compact);
    let old = version(&first);
    let mut watch = server.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={old}")).await;
    let error = watch.next().await.unwrap();
    assert_eq!((&error["type"], &error["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(watch.next().await, None);
    let exact = format!("{CONFIG_MAPS}?resourceVersion={old}&resourceVersionMatch=Exact");
    server.get(&exact).await.refused(410, "Expired");
    let list = server.get(CONFIG_MAPS).await.ok();
    let mut watch =
        server.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={}", version(&list))).await;
    server.config_map("b", json!({})).await;
    watch.expect("ADDED", "b").await;
    open.expect("ADDED", "b").await;
}

#[tokio::test]
async fn events_come_twice_and_late_when_they_are_to() {
    let server = start().await;
    let faults = server.cluster.faults();
    let mut watch = server.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    faults.inject(Injection::from(Fault::DuplicateEvents).next(1));
    server.config_map("a", json!({})).await;
    watch.expect("ADDED", "a").await;
    watch.expect("ADDED", "a").await;
    let delay = Duration::from_millis(150);
    faults.inject(Fault::DelayEvents(delay));
    let started = Instant::now();
    server.config_map("b", json!({})).await;
    watch.expect("ADDED", "b").await;
    assert!(started.elapsed() >= delay);
}

#[tokio::test]
async fn the_clock_of_the_server_can_go_wrong_and_right_again() {
    let server = start().await;
    let stamp = async |name: &str| -> jiff::Timestamp {
        let object = server.config_map(name, json!({})).await;
        object["metadata"]["creationTimestamp"].as_str().unwrap().parse().unwrap()
    };
    let ahead = |stamp: jiff::Timestamp| stamp.as_second() - jiff::Timestamp::now().as_second();
    server.cluster.faults().inject(Fault::ClockAhead(3600));
    assert!((3500..=3600).contains(&ahead(stamp("late").await)));
    server.cluster.faults().inject(Fault::ClockAhead(i64::MAX));
    stamp("never").await;
    server.cluster.faults().clear();
    assert!((-100..=0).contains(&ahead(stamp("right").await)));
}

#[tokio::test]
async fn an_event_goes_an_hour_after_it_was_written_last() {
    let server = start().await;
    let events = "/api/v1/namespaces/default/events";
    let event =
        |name: &str| json!({ "metadata": { "name": name }, "involvedObject": { "namespace": "default" } });
    for name in ["old", "renewed"] {
        server.post(events, event(name)).await.ok();
    }
    server.cluster.faults().inject(Fault::ClockAhead(1800));
    server.merge(&format!("{events}/renewed"), json!({ "count": 2 })).await.ok();
    server.cluster.faults().inject(Fault::ClockAhead(3700));
    server.post(events, event("new")).await.ok();
    server.eventually_gone(&format!("{events}/old")).await;
    for name in ["renewed", "new"] {
        server.get(&format!("{events}/{name}")).await.ok();
    }
}

#[tokio::test]
async fn the_watcher_of_kube_survives_drops_refusals_and_a_compaction_at_once() {
    let server = start().await;
    server.config_map("a", json!({})).await;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client.clone());
    let mut seen = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let mut until = async |name: &str| {
        loop {
            let event = tokio::time::timeout(DEADLINE, seen.try_next()).await.unwrap();
            match event {
                Ok(Some(watcher::Event::Apply(map) | watcher::Event::InitApply(map)))
                    if map.metadata.name.as_deref() == Some(name) =>
                {
                    break;
                }
                Ok(Some(_)) | Err(_) => {}
                Ok(None) => panic!("the watcher ended"),
            }
        }
    };
    until("a").await;
    let faults = server.cluster.faults();
    faults.inject(Fault::DropWatches);
    server.config_map("b", json!({})).await;
    until("b").await;
    faults.inject(refuse(503).next(2));
    faults.inject(Fault::DuplicateEvents);
    faults.inject(Fault::DropWatches);
    made(&server, "c").await;
    faults.inject(Fault::Compact);
    made(&server, "d").await;
    until("d").await;
}

/// Makes a ConfigMap however often that is refused.
async fn made(server: &Server, name: &str) {
    while server.post(CONFIG_MAPS, config_map(name, json!({}))).await.code >= 500 {}
}

#[tokio::test]
async fn without_the_option_no_fault_can_be_had_over_http() {
    let closed = start().await;
    assert_eq!(closed.post("/faults", json!({ "fault": "compact" })).await.code, 404);
}

#[tokio::test]
async fn over_http_faults_begin_and_end_and_nonsense_is_refused() {
    let server = start_with(DevClusterConfig { faults: true, ..Default::default() }).await;
    let refuse = json!({ "fault": "refuse", "code": 429, "resource": "configmaps", "method": "get" });
    server.post("/faults", refuse).await.ok();
    server.get(CONFIG_MAPS).await.refused(429, "TooManyRequests");
    server.get(SECRETS).await.ok();
    server.delete("/faults").await.ok();
    server.get(CONFIG_MAPS).await.ok();
    for wrong in [
        json!({ "fault": "refuse" }),
        json!({ "fault": "refuse", "code": 200 }),
        json!({ "fault": "latency" }),
        json!({ "fault": "flood" }),
        json!({ "fault": "compact", "when": "now" }),
    ] {
        server.post("/faults", wrong).await.refused(400, "BadRequest");
    }
    server.get("/faults").await.refused(405, "MethodNotAllowed");
}
