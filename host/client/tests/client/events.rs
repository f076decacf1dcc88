//! Events: what is sent, and what becomes of it where the server does not take it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use wheelhouse_client::EventStats;
use wheelhouse_core::{ApiError, Key};

use crate::bench::{Asked, Bench, key, kind, node, object, ok, refusal};

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/n/events";

/// With `n/a` in the cache.
async fn bench() -> Bench {
    Bench::synced(10, [object("a", 3, "x")]).await
}

fn n1() -> String {
    ok(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": "u-n1"}}))
}

fn done() -> String {
    ok(&json!({}))
}

/// Records an Event on `n/a`: its related object is not in the cache, and is asked for.
async fn record(bench: &Bench, reason: &str) -> Result<(), ApiError> {
    bench.record(kind(), key("a"), reason).await
}

async fn until(bench: &Bench, what: &str, holds: impl Fn(EventStats) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds(bench.client.stats().events) {
        assert!(
            Instant::now() < deadline,
            "{what}: {:?}, asked {:?}",
            bench.client.stats(),
            bench.asked_what()
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn of_events(bench: &Bench) -> Vec<Asked> {
    bench.asked().into_iter().filter(|asked| asked.what.contains("/events")).collect()
}

#[tokio::test]
async fn an_event_is_sent_with_all_that_the_host_knows_of_it() {
    let bench = bench().await;
    bench.answer(n1());
    bench.answer(done());
    record(&bench, "BadSpec").await.unwrap();
    until(&bench, "sent", |stats| stats.sent == 1).await;
    let asked = of_events(&bench).remove(0);
    assert_eq!((asked.what, asked.content_type.as_str()), (format!("POST {EVENTS}"), "application/json"));
    let mut event = asked.body;
    let name = event["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("a."), "{name}");
    let time = event["eventTime"].as_str().unwrap().to_owned();
    assert!(time.ends_with('Z') && time.split_once('.').unwrap().1.len() == 7, "{time}: microseconds");
    let instance = event["reportingInstance"].as_str().unwrap().to_owned();
    assert!(instance.starts_with("p-") && instance.len() <= 128, "{instance}");
    for field in ["metadata", "eventTime", "reportingInstance"] {
        event[field] = Value::Null;
    }
    let expected = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": null, "eventTime": null,
        "reportingController": "wheelhouse.dev/p", "reportingInstance": null,
        "type": "Warning", "reason": "BadSpec", "action": "Try", "note": "It did not work.",
        "regarding": {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "n", "name": "a", "uid": "a"},
        "related": {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u-n1"},
    });
    assert_eq!(event, expected);
}

#[tokio::test]
async fn a_repeat_is_a_patch_of_the_series_and_another_reason_another_event() {
    let bench = bench().await;
    for (sent, reason) in [(1, "BadSpec"), (2, "BadSpec"), (3, "Other")] {
        bench.answer(n1());
        bench.answer(done());
        record(&bench, reason).await.unwrap();
        until(&bench, "sent", |stats| stats.sent == sent).await;
    }
    let asked = of_events(&bench);
    let name = asked[0].body["metadata"]["name"].as_str().unwrap();
    assert_eq!(asked[1].what, format!("PATCH {EVENTS}/{name}"));
    assert_eq!(asked[1].content_type, "application/merge-patch+json");
    assert_eq!(asked[1].body["series"]["count"], 2);
    assert!(asked[1].body["series"]["lastObservedTime"].is_string());
    assert_eq!(asked[2].what, format!("POST {EVENTS}"));
}

#[tokio::test]
async fn an_event_on_what_is_in_no_namespace_goes_to_default() {
    let bench = bench().await;
    bench.answer(n1());
    bench.answer(n1());
    bench.answer(done());
    bench.record(node(), Key::new("", "n1"), "Why").await.unwrap();
    until(&bench, "sent", |stats| stats.sent == 1).await;
    let asked = of_events(&bench).remove(0);
    assert_eq!(asked.what, "POST /apis/events.k8s.io/v1/namespaces/default/events");
    assert_eq!(asked.body["metadata"]["namespace"], "default");
    assert!(asked.body["regarding"].get("namespace").is_none());
}

#[tokio::test]
async fn what_is_not_there_gets_no_event_and_may_be_related_to_one() {
    let bench = bench().await;
    let missing = bench.record(kind(), key("none"), "Why").await;
    assert!(
        matches!(&missing, Err(ApiError::NotFound(message)) if message.contains("n/none")),
        "{missing:?}"
    );
    bench.answer(refusal(404, "NotFound"));
    bench.answer(done());
    record(&bench, "Why").await.unwrap();
    until(&bench, "sent", |stats| stats.sent == 1).await;
    assert!(of_events(&bench)[0].body["related"].get("uid").is_none());
}

#[tokio::test]
async fn a_server_that_cannot_answer_is_asked_again_and_one_that_refuses_is_not() {
    let bench = bench().await;
    bench.answer(n1());
    for answer in [refusal(500, "InternalError"), String::new(), refusal(429, "TooManyRequests"), done()] {
        bench.answer(answer);
    }
    record(&bench, "Why").await.unwrap();
    until(&bench, "sent", |stats| stats.sent == 1).await;
    let asked = of_events(&bench);
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|other| other.body == asked[0].body), "it is the same Event, by its name");

    bench.answer(n1());
    bench.answer(refusal(403, "Forbidden"));
    record(&bench, "Other").await.unwrap();
    until(&bench, "lost", |stats| stats.lost == 1 && stats.waiting == 0).await;
    assert_eq!(of_events(&bench).len(), 5);
}

#[tokio::test]
async fn an_event_that_arrived_though_its_answer_did_not_is_not_sent_twice() {
    let bench = bench().await;
    bench.answer(n1());
    for answer in ["".to_owned(), refusal(409, "AlreadyExists")] {
        bench.answer(answer);
    }
    record(&bench, "Why").await.unwrap();
    until(&bench, "known", |stats| stats.waiting == 0).await;
    let asked = of_events(&bench);
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].body, asked[1].body);
    assert_eq!(bench.client.stats().events.lost, 0);
}

#[tokio::test]
async fn a_series_whose_event_has_expired_is_created_again() {
    let bench = bench().await;
    bench.answer(n1());
    bench.answer(done());
    record(&bench, "Why").await.unwrap();
    until(&bench, "sent", |stats| stats.sent == 1).await;
    bench.answer(n1());
    bench.answer(refusal(404, "NotFound"));
    bench.answer(done());
    record(&bench, "Why").await.unwrap();
    until(&bench, "sent again", |stats| stats.sent == 2).await;
    let asked = of_events(&bench);
    assert_eq!(asked[2].what, format!("POST {EVENTS}"));
    assert_eq!(asked[2].body["series"]["count"], 2);
    assert_eq!(asked[2].body["metadata"], asked[0].body["metadata"]);
}

#[tokio::test]
async fn hostile_events_that_wait_for_a_silent_server_are_bounded_and_nobody_waits_for_them() {
    let bench = bench().await;
    for reason in ["One", "Two", "Three"] {
        bench.answer(n1());
        let recorded = tokio::time::timeout(Duration::from_secs(5), record(&bench, reason)).await.unwrap();
        if reason == "Three" {
            let refused = recorded.unwrap_err().to_string();
            assert!(refused.contains("2 Events wait"), "{refused}");
        } else {
            recorded.unwrap();
        }
        // The answer to the first Event would be that of the next node.
        until(&bench, "the first is on its way", |_| of_events(&bench).len() == 1).await;
    }
    let stats = bench.client.stats().events;
    assert_eq!(stats, EventStats { sent: 0, lost: 1, waiting: 2 });
}

#[tokio::test]
async fn hostile_text_of_an_object_cannot_lead_an_event_elsewhere() {
    let bench = Bench::new().await;
    for key in [Key::new("../x", "a"), Key::new("n", "../../secrets/a"), Key::new("", "a")] {
        let recorded = bench.record(kind(), key.clone(), "Why").await;
        assert!(matches!(recorded, Err(ApiError::BadRequest(_))), "{key}: {recorded:?}");
    }
    assert!(bench.asked().is_empty());
}

#[tokio::test]
async fn an_event_waits_until_the_plugin_s_other_requests_leave_room_for_it() {
    let bench = bench().await;
    bench.answer(done());
    while bench.usage.api_request().is_ok() {}
    let breaches = || {
        let limit = wheelhouse_core::limits::Limit::ApiRequestsPerSecond;
        bench.usage.breaches().find(|(other, _)| *other == limit).unwrap().1
    };
    assert_eq!(breaches(), 1);
    bench.record_related(kind(), key("a"), "Why", None).await.unwrap();
    until(&bench, "sent", |stats| stats.sent == 1).await;
    assert!(breaches() > 1, "its request was counted as the plugin's");
    assert_eq!(bench.client.stats().events.lost, 0);
}
