//! What handlers are told: the delta FIFO.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use wheelhouse_cache::{Cause, Delta, Event};

use crate::script::{Script, contents, factory, informer, kind, next, object, page, pod, refusal, until};

fn brief(delta: &Delta) -> (String, Option<String>, Option<String>) {
    let version = |o: &Option<wheelhouse_core::Object>| o.as_ref().map(|o| o.resource_version().to_owned());
    (delta.key.name.clone(), version(&delta.old), version(&delta.new))
}

fn told(name: &str, old: &str, new: &str) -> (String, Option<String>, Option<String>) {
    let version = |v: &str| (!v.is_empty()).then(|| v.to_owned());
    (name.to_owned(), version(old), version(new))
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_delays_nobody_and_is_told_the_last_state() {
    let script = Arc::new(Script::default());
    script.list(page("10", [pod("a", "1")]));
    let watch = script.watch();
    let informer = informer(&script).await;
    let mut slow = informer.subscribe();
    informer.wait_synced().await;
    for version in 11..1000 {
        let status = json!({"status": {"n": version}});
        watch.unbounded_send(Ok(Event::Modified(object("a", "a", &version.to_string(), status)))).unwrap();
    }
    until("the store is up to date", || contents(&informer) == ["a@999"]).await;
    assert_eq!(slow.waiting(), 1);
    assert_eq!(brief(&next(&mut slow).await), told("a", "", "999"));
    assert!(slow.try_next().is_none());
}

#[tokio::test(start_paused = true)]
async fn states_that_may_matter_to_somebody_else_are_not_compressed_away() {
    let script = Arc::new(Script::default());
    let owned = |version: &str, owner: &str| {
        object("a", "a", version, json!({"metadata": {"ownerReferences": [{"uid": owner}]}}))
    };
    script.list(page("10", [owned("1", "x")]));
    let watch = script.watch();
    let informer = informer(&script).await;
    let mut handler = informer.subscribe();
    next(&mut handler).await;
    watch.unbounded_send(Ok(Event::Modified(owned("11", "y")))).unwrap();
    watch.unbounded_send(Ok(Event::Deleted(owned("12", "y")))).unwrap();
    until("it is gone", || informer.store().is_empty()).await;
    assert_eq!(brief(&next(&mut handler).await), told("a", "1", "11"));
    assert_eq!(brief(&next(&mut handler).await), told("a", "11", ""));
    assert!(handler.try_next().is_none());
}

#[tokio::test(start_paused = true)]
async fn what_came_and_went_unseen_is_told_as_gone() {
    let script = Arc::new(Script::default());
    script.list(page("10", []));
    let watch = script.watch();
    let informer = informer(&script).await;
    let mut handler = informer.subscribe();
    watch.unbounded_send(Ok(Event::Added(pod("a", "11")))).unwrap();
    watch.unbounded_send(Ok(Event::Deleted(pod("a", "12")))).unwrap();
    watch.unbounded_send(Ok(Event::Added(pod("b", "13")))).unwrap();
    until("both have passed", || contents(&informer) == ["b@13"]).await;
    assert_eq!(brief(&next(&mut handler).await), told("a", "11", ""));
    assert_eq!(brief(&next(&mut handler).await), told("b", "", "13"));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_hides_a_state_in_between_says_so() {
    let script = Arc::new(Script::default());
    script.list(page("10", [pod("a", "1"), pod("b", "2")]));
    let watch = script.watch();
    let informer = informer(&script).await;
    let mut handler = informer.subscribe();
    for _ in 0..2 {
        next(&mut handler).await;
        assert!(!handler.folded());
    }
    let status = |version, phase| object("a", "a", version, json!({"status": {"phase": phase}}));
    watch.unbounded_send(Ok(Event::Modified(status("11", "Pending")))).unwrap();
    assert_eq!(brief(&next(&mut handler).await), told("a", "1", "11"));
    assert!(!handler.folded());
    // The handler is slow: two states, one change.
    watch.unbounded_send(Ok(Event::Modified(status("12", "Running")))).unwrap();
    watch.unbounded_send(Ok(Event::Modified(status("13", "Failed")))).unwrap();
    until("both have passed", || contents(&informer) == ["a@13", "b@2"]).await;
    assert_eq!(brief(&next(&mut handler).await), told("a", "11", "13"));
    assert!(handler.folded());
    // The watch has a gap: what b was meanwhile, nobody knows.
    watch.unbounded_send(Ok(Event::Error(refusal(410, "Expired")))).unwrap();
    script.list(page("20", [pod("a", "13"), pod("b", "19")]));
    let _watch = script.watch();
    assert_eq!(brief(&next(&mut handler).await), told("b", "2", "19"));
    assert!(handler.folded());
}

#[tokio::test(start_paused = true)]
async fn churn_of_one_name_is_bounded() {
    let script = Arc::new(Script::default());
    script.list(page("10", []));
    let watch = script.watch();
    let informer = informer(&script).await;
    let mut handler = informer.subscribe();
    for n in 0..1000 {
        let (uid, added, gone) = (format!("u{n}"), (20 + 2 * n).to_string(), (21 + 2 * n).to_string());
        watch.unbounded_send(Ok(Event::Added(object("a", &uid, &added, json!({}))))).unwrap();
        watch.unbounded_send(Ok(Event::Deleted(object("a", &uid, &gone, json!({}))))).unwrap();
    }
    until("all has passed", || informer.snapshot().seen() == "2019").await;
    let mut last = None;
    for n in 0.. {
        assert!(n < 10, "too much was kept");
        match handler.try_next() {
            Some(delta) => last = Some(delta),
            None => break,
        }
    }
    let last = last.unwrap();
    assert_eq!((last.old.unwrap().uid(), last.new), ("u999", None));
}

#[tokio::test(start_paused = true)]
async fn trap_19_a_late_handler_gets_what_is_there_first_and_knows_when_it_has_it_all() {
    let script = Arc::new(Script::default());
    script.list(page("10", [pod("a", "1"), pod("b", "2")]));
    let watch = script.watch();
    let factory = factory(&script);
    let informer = factory.informer(&kind()).await.unwrap();
    informer.wait_synced().await;
    let mut late = factory.informer(&kind()).await.unwrap().subscribe();
    let mut progress = late.progress();
    watch.unbounded_send(Ok(Event::Added(pod("c", "11")))).unwrap();
    until("c is there", || informer.store().len() == 3).await;
    for name in ["a", "b"] {
        assert!(!late.initial_done());
        let delta = next(&mut late).await;
        assert!(delta.cause == Cause::Initial && delta.key.name == name && delta.old.is_none());
    }
    assert!(late.initial_done() && progress.wait_initial_done().await);
    assert_eq!(next(&mut late).await.cause, Cause::Live);
    assert_eq!(script.asked(), ["list", "watch 10"], "one watch for both");
}

#[tokio::test(start_paused = true)]
async fn an_empty_kind_is_done_with_its_initial_objects_once_it_is_synced() {
    let script = Arc::new(Script::default());
    let informer = informer(&script).await;
    let handler = informer.subscribe();
    assert!(!handler.initial_done());
    drop(informer);
    // The list comes only now.
    let script = Arc::new(Script::default());
    script.list(page("10", []));
    let _watch = script.watch();
    let informer = crate::script::informer(&script).await;
    let handler = informer.subscribe();
    assert!(handler.progress().wait_initial_done().await);
}

#[tokio::test(start_paused = true)]
async fn trap_20_a_resync_tells_of_everything_again_behind_what_is_news_and_asks_nobody() {
    let script = Arc::new(Script::default());
    script.list(page("10", [pod("a", "1"), pod("b", "2")]));
    let watch = script.watch();
    let informer = informer(&script).await;
    let mut handler = informer.subscribe().resync_every(Duration::from_secs(60));
    for _ in 0..2 {
        assert_eq!(next(&mut handler).await.cause, Cause::Initial);
    }
    let began = Instant::now();
    for name in ["a", "b"] {
        let delta = next(&mut handler).await;
        assert_eq!((delta.cause, delta.key.name.as_str()), (Cause::Resync, name));
        assert_eq!(delta.old, delta.new, "nothing has happened");
    }
    assert_eq!(began.elapsed().as_secs(), 60);
    // One that is about to be told something anyway is told that, and as news.
    watch.unbounded_send(Ok(Event::Modified(pod("b", "11")))).unwrap();
    until("b has changed", || contents(&informer) == ["a@1", "b@11"]).await;
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(brief(&next(&mut handler).await), told("b", "2", "11"));
    let again = next(&mut handler).await;
    assert_eq!((again.key.name.as_str(), again.cause), ("a", Cause::Resync));
    assert_eq!(script.asked(), ["list", "watch 10"]);
}

#[tokio::test(start_paused = true)]
async fn trap_20_news_of_what_waits_for_a_resync_make_it_news() {
    let script = Arc::new(Script::default());
    script.list(page("10", [pod("a", "1"), pod("b", "2")]));
    let watch = script.watch();
    let informer = informer(&script).await;
    let mut handler = informer.subscribe().resync_every(Duration::from_secs(60));
    next(&mut handler).await;
    next(&mut handler).await;
    assert_eq!(next(&mut handler).await.cause, Cause::Resync);
    watch.unbounded_send(Ok(Event::Deleted(pod("b", "11")))).unwrap();
    until("b is gone", || informer.store().len() == 1).await;
    let gone = next(&mut handler).await;
    assert_eq!((gone.key.name.as_str(), gone.cause, gone.new), ("b", Cause::Live, None));
}
