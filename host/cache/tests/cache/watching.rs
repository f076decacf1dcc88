//! Lists and watches: traps 1 to 13.

use std::sync::Arc;
use std::time::Duration;

use wheelhouse_cache::{Event, Failure, OWNER_INDEX, Status};
use wheelhouse_core::Object;

use crate::script::{Script, bookmark, contents, informer, next, object, page, part, pod, refusal, until};

async fn owned_by(informer: &wheelhouse_cache::Informer, uid: &str) -> u64 {
    let selector = wheelhouse_core::LabelSelector::default();
    let query = wheelhouse_cache::Query {
        namespace: "",
        selector: &selector,
        fields: &[],
        matches: &[(OWNER_INDEX, uid)],
        limit: 0,
        bytes: 0,
        after: None,
    };
    informer.store().count(&query).unwrap()
}

fn owned(name: &str, version: &str, labels: serde_json::Value) -> Object {
    let metadata = serde_json::json!({"labels": labels, "ownerReferences": [{"uid": "owner"}]});
    object(name, name, version, serde_json::json!({"metadata": metadata}))
}

#[tokio::test(start_paused = true)]
async fn trap_01_an_object_deleted_while_the_watch_was_down_is_told_with_its_last_state() {
    let script = Arc::new(Script::default());
    script.list(page("10", [pod("a", "1"), pod("b", "2")]));
    script.refuse_watch(refusal(410, "Expired"));
    script.list(page("20", [pod("b", "2")]));
    let _watch = script.watch();
    let informer = informer(&script).await;
    let mut handler = informer.subscribe();
    next(&mut handler).await;
    next(&mut handler).await;
    let gone = next(&mut handler).await;
    assert_eq!((gone.key.name.as_str(), gone.new), ("a", None));
    assert_eq!(gone.old.unwrap().resource_version(), "1");
}

#[tokio::test(start_paused = true)]
async fn trap_02_a_deletion_with_other_labels_and_owners_than_are_stored_leaves_no_index_entry() {
    let script = Arc::new(Script::default());
    script.list(page("10", [owned("a", "1", serde_json::json!({"app": "x"}))]));
    let watch = script.watch();
    let informer = informer(&script).await;
    informer.add_index("app", wheelhouse_cache::IndexFn::field(".metadata.labels.app".parse().unwrap()));
    informer.wait_synced().await;
    assert_eq!(owned_by(&informer, "owner").await, 1);
    let last = object("a", "a", "11", serde_json::json!({"metadata": {"labels": {"app": "y"}}}));
    watch.unbounded_send(Ok(Event::Deleted(last))).unwrap();
    until("the object is gone", || informer.store().is_empty()).await;
    assert!(informer.stats().index_entries.iter().all(|(_, entries)| *entries == 0));
}

#[tokio::test(start_paused = true)]
async fn trap_03_deleted_and_created_again_in_a_gap_is_a_deletion_and_an_addition() {
    let script = Arc::new(Script::default());
    script.list(page("10", [object("a", "first", "1", serde_json::json!({}))]));
    let watch = script.watch();
    script.list(page("20", [object("a", "second", "15", serde_json::json!({}))]));
    let _watch = script.watch();
    let informer = informer(&script).await;
    let mut handler = informer.subscribe();
    next(&mut handler).await;
    watch.unbounded_send(Err(refusal(410, "Expired"))).unwrap();
    let gone = next(&mut handler).await;
    assert_eq!((gone.old.unwrap().uid(), gone.new), ("first", None));
    let new = next(&mut handler).await;
    assert_eq!((new.old, new.new.unwrap().uid()), (None, "second"));
}

#[tokio::test(start_paused = true)]
async fn trap_04_after_410_readers_never_see_an_empty_or_partial_store() {
    let expired = [(410, "Expired"), (410, "Gone"), (410, ""), (500, "Expired"), (500, "Gone")];
    for (in_the_stream, (code, reason)) in
        [true, false].into_iter().flat_map(|how| expired.map(|why| (how, why)))
    {
        let script = Arc::new(Script::default());
        script.list(page("10", [pod("a", "1"), pod("b", "2")]));
        if in_the_stream {
            let watch = script.watch();
            watch.unbounded_send(Ok(Event::Error(refusal(code, reason)))).unwrap();
        } else {
            script.refuse_watch(refusal(code, reason));
        }
        script.list(part("20", "more", [pod("a", "1")]));
        script.list(page("20", [pod("b", "12"), pod("c", "13")]));
        let _watch = script.watch();
        let informer = informer(&script).await;
        informer.wait_synced().await;
        until("the new list is there", || {
            let seen = contents(&informer);
            assert!(seen == ["a@1", "b@2"] || seen == ["a@1", "b@12", "c@13"], "{seen:?}");
            seen.len() == 3
        })
        .await;
        assert_eq!(informer.stats().relists, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn trap_05_a_version_that_the_server_does_not_have_yet_leads_to_a_list_of_what_it_has() {
    let script = Arc::new(Script::default());
    script.list(page("10", [pod("a", "1")]));
    let mut status = Status { code: 504, reason: "Timeout".into(), ..Status::default() };
    status.message = "Too large resource version: 10, current: 9".into();
    script.refuse_watch(Failure::Status(status));
    script.list(page("11", [pod("a", "1"), pod("b", "11")]));
    let _watch = script.watch();
    let informer = informer(&script).await;
    until("b is there", || contents(&informer) == ["a@1", "b@11"]).await;
}

#[tokio::test(start_paused = true)]
async fn trap_06_a_token_that_expires_between_pages_starts_the_list_over_and_half_of_it_is_never_seen() {
    let script = Arc::new(Script::default());
    script.list(part("10", "t1", [pod("a", "1")]));
    script.list(Err(refusal(410, "Expired")));
    script.list(part("12", "t2", [pod("b", "11")]));
    script.list(page("12", [pod("c", "12")]));
    let _watch = script.watch();
    let informer = informer(&script).await;
    until("the list is there", || {
        let seen = contents(&informer);
        assert!(seen.is_empty() && !informer.synced() || seen == ["b@11", "c@12"], "{seen:?}");
        informer.synced()
    })
    .await;
    until("it is watched", || script.asked().len() == 5).await;
    assert_eq!(script.asked(), ["list", "list t1", "list", "list t2", "watch 12"]);
}

#[tokio::test(start_paused = true)]
async fn trap_07_an_empty_token_ends_the_list() {
    let script = Arc::new(Script::default());
    script.list(part("10", "", [pod("a", "1")]));
    let _watch = script.watch();
    let informer = informer(&script).await;
    informer.wait_synced().await;
    until("it is watched", || script.asked().len() == 2).await;
    assert_eq!(script.asked(), ["list", "watch 10"]);
}

#[tokio::test(start_paused = true)]
async fn trap_08_a_bookmark_moves_the_version_to_resume_from_and_nothing_else() {
    let script = Arc::new(Script::default());
    script.list(page("10", [pod("a", "1")]));
    let watch = script.watch();
    let informer = informer(&script).await;
    let mut handler = informer.subscribe();
    next(&mut handler).await;
    watch.unbounded_send(bookmark("50")).unwrap();
    watch.unbounded_send(bookmark("40")).unwrap();
    let _second = script.watch();
    drop(watch);
    until("it is watched again", || script.asked().len() == 3).await;
    assert_eq!(script.asked(), ["list", "watch 10", "watch 50"]);
    assert_eq!(contents(&informer), ["a@1"]);
    assert!(handler.try_next().is_none());
    assert_eq!(informer.snapshot().seen(), "50");
}

#[tokio::test(start_paused = true)]
async fn trap_09_a_clean_close_resumes_from_the_last_version_without_a_list() {
    let script = Arc::new(Script::default());
    script.list(page("10", []));
    let watch = script.watch();
    let second = script.watch();
    let informer = informer(&script).await;
    informer.wait_synced().await;
    watch.unbounded_send(Ok(Event::Added(pod("a", "11")))).unwrap();
    drop(watch);
    second.unbounded_send(Ok(Event::Modified(pod("a", "12")))).unwrap();
    until("the second watch is heard", || contents(&informer) == ["a@12"]).await;
    assert_eq!(script.asked(), ["list", "watch 10", "watch 11"]);
    assert_eq!(informer.stats().relists, 0);
}

#[tokio::test(start_paused = true)]
async fn trap_10_a_throttled_watch_waits_as_long_as_asked_and_does_not_list() {
    let script = Arc::new(Script::default());
    script.list(page("10", []));
    let mut status = Status { code: 429, message: "slow down".into(), ..Status::default() };
    status.retry_after = Some(Duration::from_secs(70));
    script.refuse_watch(Failure::Status(status));
    let _watch = script.watch();
    let _informer = informer(&script).await;
    until("it is watched again", || script.asked().len() == 3).await;
    assert_eq!(script.asked(), ["list", "watch 10", "watch 10"]);
    assert!(script.pauses()[1] >= Duration::from_secs(70), "{:?}", script.pauses());
}

#[tokio::test(start_paused = true)]
async fn trap_10_a_server_that_asks_for_a_day_of_patience_gets_five_minutes() {
    let script = Arc::new(Script::default());
    let mut status = Status { code: 503, message: "slow down".into(), ..Status::default() };
    status.retry_after = Some(Duration::from_secs(86_400));
    script.list(Err(Failure::Status(status)));
    script.list(page("10", []));
    let informer = informer(&script).await;
    until("it has synced", || informer.synced()).await;
    let pause = script.pauses()[0];
    assert!(pause >= Duration::from_secs(300) && pause < Duration::from_secs(310), "{pause:?}");
}

#[tokio::test(start_paused = true)]
async fn trap_11_a_connection_that_died_silently_is_noticed_and_resumed() {
    let script = Arc::new(Script::default());
    script.list(page("10", []));
    let silent = script.watch();
    let second = script.watch();
    second.unbounded_send(Ok(Event::Added(pod("a", "11")))).unwrap();
    let informer = informer(&script).await;
    until("the second watch is heard", || contents(&informer) == ["a@11"]).await;
    assert_eq!(script.asked(), ["list", "watch 10", "watch 10"]);
    assert!(script.pauses()[1] <= Duration::from_secs(90), "{:?}", script.pauses());
    assert_eq!(informer.stats().errors, [("silent", 1)]);
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn trap_11_a_watch_that_brings_bookmarks_is_alive() {
    let script = Arc::new(Script::default());
    script.list(page("10", []));
    let watch = script.watch();
    let informer = informer(&script).await;
    informer.wait_synced().await;
    for version in 11..14 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        watch.unbounded_send(bookmark(&version.to_string())).unwrap();
    }
    until("it was heard", || informer.snapshot().seen() == "13").await;
    assert_eq!(script.asked(), ["list", "watch 10"]);
}

#[tokio::test(start_paused = true)]
async fn trap_11_failures_are_repeated_ever_more_slowly_and_success_resets_that() {
    let script = Arc::new(Script::default());
    for _ in 0..8 {
        script.list(Err(Failure::Unreachable("refused".into())));
    }
    script.list(page("10", []));
    let watch = script.watch();
    watch.unbounded_send(bookmark("11")).unwrap();
    watch.unbounded_send(Err(Failure::Unreachable("reset".into()))).unwrap();
    let _second = script.watch();
    let _informer = informer(&script).await;
    until("it is watched again", || script.asked().len() == 11).await;
    let pauses = script.pauses();
    assert!(pauses[0] < Duration::from_millis(1700), "{pauses:?}");
    assert!(pauses[7] >= Duration::from_secs(30) && pauses[7] <= Duration::from_secs(61), "{pauses:?}");
    assert!(pauses[9] < Duration::from_millis(1700), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn trap_12_a_kind_that_is_installed_later_comes_alive() {
    let script = Arc::new(Script::default());
    for _ in 0..4 {
        script.list(Err(refusal(404, "NotFound")));
    }
    script.list(page("10", [pod("a", "1")]));
    let _watch = script.watch();
    let informer = informer(&script).await;
    assert!(!informer.synced());
    informer.wait_synced().await;
    assert_eq!(contents(&informer), ["a@1"]);
}

#[tokio::test(start_paused = true)]
async fn trap_12_a_kind_that_is_uninstalled_loses_its_objects_without_a_hot_loop_and_can_come_back() {
    let script = Arc::new(Script::default());
    script.list(page("10", [pod("a", "1")]));
    script.refuse_watch(refusal(404, "NotFound"));
    for _ in 0..5 {
        script.list(Err(refusal(404, "NotFound")));
    }
    script.list(page("30", [object("a", "other", "25", serde_json::json!({}))]));
    let _watch = script.watch();
    let informer = informer(&script).await;
    let mut handler = informer.subscribe();
    next(&mut handler).await;
    until("its objects are gone", || informer.store().is_empty()).await;
    assert_eq!(
        script.asked(),
        ["list", "watch 10", "list", "list"],
        "it is not back yet, nor is once enough"
    );
    let gone = next(&mut handler).await;
    assert_eq!((gone.old.unwrap().uid(), gone.new), ("a", None));
    assert!(informer.synced() && handler.try_next().is_none());
    assert_eq!(next(&mut handler).await.new.unwrap().uid(), "other");
    assert!(script.pauses().iter().skip(1).take(6).all(|pause| *pause >= Duration::from_millis(800)));
}

#[tokio::test(start_paused = true)]
async fn trap_12_a_kind_whose_server_is_in_trouble_and_says_404_now_and_then_keeps_its_objects() {
    let script = Arc::new(Script::default());
    script.list(page("10", [pod("a", "1")]));
    script.refuse_watch(refusal(404, "NotFound"));
    for _ in 0..4 {
        script.list(Err(refusal(503, "ServiceUnavailable")));
        script.list(Err(refusal(404, "NotFound")));
    }
    script.list(page("11", [pod("a", "1")]));
    let _watch = script.watch();
    let informer = informer(&script).await;
    let mut handler = informer.subscribe();
    assert_eq!(next(&mut handler).await.key.name, "a");
    until("it is watched again", || {
        assert_eq!(contents(&informer), ["a@1"]);
        script.asked().len() == 12
    })
    .await;
    assert!(handler.try_next().is_none());
}

#[tokio::test(start_paused = true)]
async fn one_404_in_a_row_does_not_empty_a_store() {
    let script = Arc::new(Script::default());
    script.list(page("10", [pod("a", "1")]));
    script.refuse_watch(refusal(404, ""));
    script.list(page("11", [pod("a", "1")]));
    let _watch = script.watch();
    let informer = informer(&script).await;
    until("it is watched again", || {
        assert!(!informer.synced() || contents(&informer) == ["a@1"]);
        script.asked().len() == 4
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_object_goes_back_in_time_by_an_old_event_or_an_old_list() {
    let script = Arc::new(Script::default());
    script.list(page("10", [pod("a", "9")]));
    let watch = script.watch();
    let informer = informer(&script).await;
    informer.wait_synced().await;
    for event in [
        Event::Modified(pod("a", "8")),
        Event::Deleted(pod("a", "7")),
        Event::Deleted(object("a", "older", "5", serde_json::json!({}))),
        Event::Added(pod("b", "12")),
    ] {
        watch.unbounded_send(Ok(event)).unwrap();
    }
    until("b is there", || contents(&informer) == ["a@9", "b@12"]).await;
    // A server that lags behind answers the next list.
    script.list(page("10", [pod("a", "9")]));
    script.list(page("13", [pod("a", "9"), pod("b", "12"), pod("c", "13")]));
    let _watch = script.watch();
    watch.unbounded_send(Err(refusal(410, "Expired"))).unwrap();
    until("c is there", || {
        let seen = contents(&informer);
        assert!(seen.contains(&"b@12".to_owned()), "{seen:?}");
        seen.len() == 3
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_restored_from_a_backup_is_believed_in_the_end() {
    let script = Arc::new(Script::default());
    script.list(page("100", [pod("a", "90")]));
    script.refuse_watch(refusal(410, "Expired"));
    for _ in 0..3 {
        script.list(page("50", [pod("a", "40")]));
    }
    let watch = script.watch();
    let informer = informer(&script).await;
    until("the past is there", || contents(&informer) == ["a@40"]).await;
    watch.unbounded_send(Ok(Event::Modified(pod("a", "51")))).unwrap();
    until("life goes on", || contents(&informer) == ["a@51"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_closed_at_once_is_not_repeated_in_a_hot_loop() {
    let script = Arc::new(Script::default());
    script.list(page("10", []));
    for _ in 0..4 {
        drop(script.watch());
    }
    let _watch = script.watch();
    let _informer = informer(&script).await;
    until("it is watched", || script.asked().len() == 6).await;
    assert!(
        script.pauses()[1..].iter().all(|pause| *pause >= Duration::from_millis(800)),
        "{:?}",
        script.pauses()
    );
}
