//! Watches: what is sent, in which order, and when it ends.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wheelhouse_devcluster::DevClusterConfig;

use crate::support::{CONFIG_MAPS, LEASES, config_map, labelled, lease, start, start_with};

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

#[tokio::test]
async fn a_watch_without_a_version_starts_with_what_is_there() {
    let server = start().await;
    server.lease("a").await;
    for query in ["watch=true", "watch=1&resourceVersion=0"] {
        let mut watch = server.watch(&format!("{LEASES}?{query}")).await;
        watch.expect("ADDED", "a").await;
    }
    let mut watch = server.watch(&format!("{LEASES}?watch=true")).await;
    watch.expect("ADDED", "a").await;
    server.lease("b").await;
    watch.expect("ADDED", "b").await;
}

#[tokio::test]
async fn a_watch_from_a_version_replays_what_came_after_it_in_order() {
    let server = start().await;
    let first = server.config_map("a", json!({})).await;
    server.config_map("b", json!({})).await;
    server.merge(&format!("{CONFIG_MAPS}/a"), json!({ "data": { "x": "1" } })).await.ok();
    server.delete(&format!("{CONFIG_MAPS}/b")).await.ok();
    let mut watch =
        server.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={}", version(&first))).await;
    watch.expect("ADDED", "b").await;
    watch.expect("MODIFIED", "a").await;
    let deleted = watch.next().await.unwrap();
    assert_eq!(deleted["type"], "DELETED");
    let number = |text: &str| text.parse::<u64>().unwrap();
    assert!(
        number(version(&deleted["object"])) > number(version(&first)),
        "a deletion has a version of its own"
    );
}

#[tokio::test]
async fn a_write_that_changes_nothing_is_no_event() {
    let server = start().await;
    let object = server.config_map("a", json!({})).await;
    let mut watch =
        server.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={}", version(&object))).await;
    server.put(&format!("{CONFIG_MAPS}/a"), object).await.ok();
    server.config_map("b", json!({})).await;
    watch.expect("ADDED", "b").await;
}

#[tokio::test]
async fn an_object_that_comes_to_match_is_added_and_one_that_stops_is_deleted() {
    let server = start().await;
    server.post(CONFIG_MAPS, labelled("a", json!({ "app": "x" }))).await.ok();
    server.post(CONFIG_MAPS, labelled("b", json!({ "app": "y" }))).await.ok();
    let mut watch = server.watch(&format!("{CONFIG_MAPS}?watch=true&labelSelector=app%3Dx")).await;
    watch.expect("ADDED", "a").await;
    server.merge(&format!("{CONFIG_MAPS}/b"), json!({ "metadata": { "labels": { "app": "x" } } })).await.ok();
    watch.expect("ADDED", "b").await;
    let moved = server
        .merge(&format!("{CONFIG_MAPS}/a"), json!({ "metadata": { "labels": { "app": "z" } } }))
        .await
        .ok();
    let event = watch.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["metadata"]["name"]), (&json!("DELETED"), &json!("a")));
    assert_eq!(event["object"]["metadata"]["labels"]["app"], "x", "the last state that matched");
    assert_eq!(version(&event["object"]), version(&moved));
}

#[tokio::test]
async fn one_object_is_watched_by_its_name() {
    let server = start().await;
    server.config_map("a", json!({})).await;
    server.config_map("b", json!({})).await;
    let mut watch = server.watch(&format!("{CONFIG_MAPS}?watch=true&fieldSelector=metadata.name%3Db")).await;
    watch.expect("ADDED", "b").await;
    server.delete(&format!("{CONFIG_MAPS}/a")).await.ok();
    server.delete(&format!("{CONFIG_MAPS}/b")).await.ok();
    watch.expect("DELETED", "b").await;
}

#[tokio::test]
async fn a_namespaced_watch_sees_no_other_namespace() {
    let server = start().await;
    let mut watch = server.watch(&format!("{LEASES}?watch=true")).await;
    server.post("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", lease("other")).await.ok();
    server.lease("mine").await;
    watch.expect("ADDED", "mine").await;
}

#[tokio::test]
async fn a_streaming_list_marks_the_end_of_its_initial_events() {
    let server = start().await;
    let made = server.lease("a").await;
    let query =
        "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = server.watch(&format!("{LEASES}?{query}")).await;
    watch.expect("ADDED", "a").await;
    let mark = watch.next().await.unwrap();
    assert_eq!(mark["type"], "BOOKMARK");
    assert_eq!(mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    let marked = version(&mark["object"]).to_owned();
    assert!(
        marked.parse::<u64>().unwrap() >= version(&made).parse().unwrap(),
        "{marked}: it covers what was sent"
    );
    server.lease("b").await;
    // A cluster sends bookmarks without the annotation as well, the first within a second or so.
    let added = loop {
        let event = watch.next().await.unwrap();
        if event["type"] != "BOOKMARK" {
            break event;
        }
        assert_eq!(event["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], Value::Null);
    };
    assert_eq!((&added["type"], &added["object"]["metadata"]["name"]), (&json!("ADDED"), &json!("b")));
    // Who goes on from the mark misses nothing and gets nothing twice.
    let mut watch = server.watch(&format!("{LEASES}?watch=true&resourceVersion={marked}")).await;
    watch.expect("ADDED", "b").await;
}

#[tokio::test]
async fn bookmarks_come_while_nothing_happens_to_who_asked_for_them() {
    let config = DevClusterConfig { bookmark_interval: Duration::from_millis(20), ..Default::default() };
    let server = start_with(config).await;
    let mut watch = server.watch(&format!("{CONFIG_MAPS}?watch=true&allowWatchBookmarks=true")).await;
    // Something happens elsewhere: the bookmark moves the watch past it.
    let elsewhere =
        server.post("/api/v1/namespaces/kube-system/secrets", json!({ "metadata": { "name": "s" } })).await;
    let elsewhere: u64 = version(&elsewhere.ok()).parse().unwrap();
    loop {
        let event = watch.next().await.unwrap();
        assert_eq!(event["type"], "BOOKMARK");
        if version(&event["object"]).parse::<u64>().unwrap() >= elsewhere {
            break;
        }
    }
}

#[tokio::test]
async fn a_watch_ends_after_the_time_that_it_asked_for() {
    let server = start().await;
    let started = Instant::now();
    let mut watch = server.watch(&format!("{LEASES}?watch=true&resourceVersion=0&timeoutSeconds=1")).await;
    assert_eq!(watch.next().await, None);
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_timeout_of_centuries_is_no_harm_and_one_beyond_any_number_is_refused() {
    let server = start().await;
    server.lease("a").await;
    let mut watch = server.watch(&format!("{LEASES}?watch=true&timeoutSeconds={}", 9_000_000_000_u64)).await;
    watch.expect("ADDED", "a").await;
    let status = server.get(&format!("{LEASES}?watch=true&timeoutSeconds={}", u64::MAX)).await;
    let why = "strconv.ParseInt: parsing \"18446744073709551615\": value out of range";
    assert_eq!(status.refused(400, "BadRequest")["message"], why);
}

#[tokio::test]
async fn a_version_that_fell_out_of_the_window_is_gone() {
    let server = start_with(DevClusterConfig { watch_history: 3, ..Default::default() }).await;
    let first = server.config_map("a", json!({})).await;
    for n in 0..6 {
        server.config_map(&format!("b{n}"), json!({})).await;
    }
    let mut watch =
        server.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={}", version(&first))).await;
    let event = watch.next().await.unwrap();
    assert_eq!(event["type"], "ERROR");
    assert_eq!((&event["object"]["code"], &event["object"]["reason"]), (&json!(410), &json!("Expired")));
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn a_watch_that_nobody_reads_holds_up_no_writer() {
    let server = start_with(DevClusterConfig { watch_history: 16, ..Default::default() }).await;
    let mut unread = server.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    // More than the connection takes in.
    let big = "x".repeat(256 * 1024);
    for n in 0..100 {
        server.config_map(&format!("a{n}"), json!({ "big": big })).await;
    }
    // What it has missed is lost to it, and it is told so.
    let mut added = 0;
    let last = loop {
        let event = unread.next().await.expect("a last word");
        match event["type"].as_str().unwrap() {
            "ADDED" => added += 1,
            _ => break event,
        }
    };
    assert_eq!((&last["type"], &last["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert!(added < 100, "{added}");
    assert_eq!(unread.next().await, None);
}

#[tokio::test]
async fn what_a_watch_does_not_show_holds_back_nothing_that_it_does() {
    let server = start().await;
    let first = server.config_map("first", json!({})).await;
    // More than two batches, of which a watch takes the second because it has only begun.
    for n in 0..520 {
        server.config_map(&format!("other{n}"), json!({})).await;
    }
    server.post(CONFIG_MAPS, labelled("last", json!({ "app": "x" }))).await.ok();
    let query = format!("watch=true&labelSelector=app%3Dx&resourceVersion={}", version(&first));
    let path = format!("{CONFIG_MAPS}?{query}");
    server.watch(&path).await.expect("ADDED", "last").await;
}

#[tokio::test]
async fn a_watch_of_tables_tells_of_their_columns_once() {
    let server = start().await;
    server.config_map("a", json!({ "k": "v" })).await;
    server.config_map("b", json!({ "k": "v" })).await;
    let path = format!(
        "{CONFIG_MAPS}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    let mut watch = server.watch_as(&path, "application/json;as=Table;v=v1;g=meta.k8s.io").await;
    let first = watch.next().await.unwrap();
    assert_eq!(first["object"]["columnDefinitions"][0]["name"], "Name", "{first}");
    loop {
        let event = watch.next().await.unwrap();
        assert_eq!(event["object"].get("columnDefinitions"), Some(&Value::Null), "{event}");
        if event["type"] == "BOOKMARK" {
            let row = &event["object"]["rows"][0];
            assert_eq!(row["cells"], json!(["", 0, "<unknown>"]));
            assert_eq!(
                row["object"]["metadata"]["annotations"],
                json!({ "k8s.io/initial-events-end": "true" })
            );
            break;
        }
    }
}

#[tokio::test]
async fn what_its_last_finalizer_went_from_is_shown_as_it_was_stored_last() {
    let server = start().await;
    let mut held = config_map("held", json!({ "k": "1" }));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let made = server.post(CONFIG_MAPS, held).await.ok();
    let path = format!("{CONFIG_MAPS}/held");
    server.delete(&path).await.ok();
    let last = json!({ "metadata": { "finalizers": null }, "data": { "k": "2" } });
    let answer = server.merge(&path, last).await.ok();
    assert_eq!((&answer["data"]["k"], answer["metadata"].get("finalizers")), (&json!("2"), None));
    let path = format!("{CONFIG_MAPS}?watch=true&resourceVersion={}", version(&made));
    let mut watch = server.watch(&path).await;
    let marked = watch.next().await.unwrap();
    let gone = watch.next().await.unwrap();
    assert_eq!((&marked["type"], &gone["type"]), (&json!("MODIFIED"), &json!("DELETED")));
    assert_eq!(gone["object"]["metadata"]["finalizers"], json!(["example.com/hold"]), "{gone}");
    assert_eq!(gone["object"]["data"]["k"], "1");
    assert_eq!(version(&answer), version(&marked["object"]), "what was asked for is never stored");
    assert_ne!(version(&gone["object"]), version(&answer));
}

#[tokio::test]
async fn a_watch_can_be_of_tables_and_of_metadata() {
    let server = start().await;
    server.config_map("a", json!({ "k": "v" })).await;
    let path = format!("{CONFIG_MAPS}?watch=true&fieldSelector=metadata.name%3Da");
    let mut watch = server.watch_as(&path, "application/json;as=Table;v=v1;g=meta.k8s.io").await;
    let event = watch.next().await.unwrap();
    assert_eq!(
        (&event["object"]["kind"], &event["object"]["rows"][0]["cells"][0]),
        (&json!("Table"), &json!("a"))
    );
    let mut watch =
        server.watch_as(&path, "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io").await;
    let event = watch.next().await.unwrap();
    assert_eq!(
        (&event["object"]["kind"], event["object"].get("data")),
        (&json!("PartialObjectMetadata"), None)
    );
}
