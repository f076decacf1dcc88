//! Streaming lists (KEP-3157), and the pages that take their place.

use std::sync::Arc;
use std::time::Duration;

use wheelhouse_cache::{Cause, Event, Failure, Informer, Status};

use crate::script::{
    Events, Script, bookmark, contents, end_of_initial, key, kind, next, page, part, pod, refusal, streaming,
    unreadable, until,
};

async fn informer(script: &Arc<Script>) -> Informer {
    streaming(script).informer(&kind()).await.unwrap()
}

fn say(stream: &Events, events: impl IntoIterator<Item = Event>) {
    events.into_iter().for_each(|event| stream.unbounded_send(Ok(event)).unwrap());
}

fn end(stream: &Events, version: &str) {
    stream.unbounded_send(end_of_initial(version)).unwrap();
}

/// Long enough for whatever can happen by itself, but for a silence to be noticed.
async fn a_while() {
    tokio::time::sleep(Duration::from_secs(60)).await;
}

/// Until it has synced, which it does with all of this or not at all.
async fn until_whole(informer: &Informer, whole: &[&str]) {
    until("it has synced", || {
        let seen = contents(informer);
        assert!(seen.is_empty() && !informer.synced() || seen == whole, "{seen:?}");
        informer.synced()
    })
    .await;
    assert_eq!(contents(informer), whole);
}

#[tokio::test(start_paused = true)]
async fn trap_08_nothing_is_applied_before_the_end_mark_and_a_plain_bookmark_is_none() {
    let script = Arc::new(Script::default());
    let stream = script.watch();
    let informer = informer(&script).await;
    let mut handler = informer.subscribe();
    say(&stream, [Event::Added(pod("a", "1")), Event::Added(pod("b", "2"))]);
    stream.unbounded_send(bookmark("10")).unwrap();
    a_while().await;
    assert!(!informer.synced() && informer.store().is_empty() && handler.try_next().is_none());
    assert_eq!(informer.snapshot().seen(), "");
    say(&stream, [Event::Added(pod("c", "3"))]);
    end(&stream, "12");
    until_whole(&informer, &["a@1", "b@2", "c@3"]).await;
    assert_eq!(informer.snapshot().seen(), "12");
    for _ in 0..3 {
        assert_eq!(next(&mut handler).await.cause, Cause::Initial);
    }
    assert!(handler.initial_done());
}

#[tokio::test(start_paused = true)]
async fn what_happens_before_the_end_mark_counts() {
    let script = Arc::new(Script::default());
    let stream = script.watch();
    let informer = informer(&script).await;
    say(
        &stream,
        [
            Event::Added(pod("changed", "1")),
            Event::Added(pod("gone", "2")),
            Event::Modified(pod("changed", "11")),
            Event::Deleted(pod("gone", "12")),
            Event::Added(pod("back", "3")),
            Event::Deleted(pod("back", "13")),
            Event::Added(pod("back", "14")),
        ],
    );
    end(&stream, "14");
    until_whole(&informer, &["back@14", "changed@11"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_decoded_before_the_end_mark_is_named_unless_it_changes_or_goes() {
    let script = Arc::new(Script::default());
    let stream = script.watch();
    let informer = informer(&script).await;
    let odd = |name: &str, deleted: bool| Event::Unreadable {
        unreadable: unreadable(name),
        resource_version: "11".into(),
        deleted,
    };
    let added = |name: &str| Event::Added(pod(name, "1"));
    say(&stream, ["turns odd", "stays", "was well and goes"].map(added));
    say(&stream, ["turns odd", "turns well", "goes"].map(|name| odd(name, false)));
    say(
        &stream,
        [Event::Modified(pod("turns well", "12")), odd("was well and goes", true), odd("goes", true)],
    );
    let nameless = wheelhouse_cache::Unreadable { key: None, reason: "no name".into() };
    say(
        &stream,
        [Event::Unreadable { unreadable: nameless, resource_version: String::new(), deleted: false }],
    );
    end(&stream, "20");
    until_whole(&informer, &["stays@1", "turns well@12"]).await;
    assert!(informer.store().unreadable(&key("turns odd")).is_some());
    assert_eq!(informer.snapshot().unreadable(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_relist_in_which_an_object_cannot_be_decoded_leaves_no_older_one() {
    let script = Arc::new(Script::default());
    let first = script.watch();
    let second = script.watch();
    let informer = informer(&script).await;
    let mut handler = informer.subscribe();
    say(&first, [Event::Added(pod("a", "1"))]);
    end(&first, "10");
    next(&mut handler).await;
    first.unbounded_send(Err(refusal(410, "Expired"))).unwrap();
    let odd =
        Event::Unreadable { unreadable: unreadable("a"), resource_version: "11".into(), deleted: false };
    say(&second, [odd]);
    end(&second, "20");
    let gone = next(&mut handler).await;
    assert_eq!((gone.old.unwrap().resource_version(), gone.new), ("1", None));
    assert!(informer.store().is_empty() && informer.store().unreadable(&key("a")).is_some());
}

#[tokio::test(start_paused = true)]
async fn the_watch_goes_on_in_the_stream_and_is_resumed_where_it_ends() {
    let script = Arc::new(Script::default());
    let stream = script.watch();
    let _resumed = script.watch();
    let informer = informer(&script).await;
    let mut handler = informer.subscribe();
    say(&stream, [Event::Added(pod("a", "1"))]);
    end(&stream, "10");
    assert_eq!(next(&mut handler).await.cause, Cause::Initial);
    say(&stream, [Event::Modified(pod("a", "11")), Event::Added(pod("b", "12"))]);
    until("it goes on", || contents(&informer) == ["a@11", "b@12"]).await;
    assert_eq!(next(&mut handler).await.cause, Cause::Live);
    assert_eq!(script.asked(), ["watch everything"]);
    drop(stream);
    until("it is resumed", || script.asked().len() == 2).await;
    assert_eq!(script.asked(), ["watch everything", "watch 12"]);
    assert_eq!(informer.stats().relists, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_or_is_silent_before_its_end_mark_leads_to_pages_and_half_of_it_is_never_seen() {
    for silent in [false, true] {
        let script = Arc::new(Script::default());
        let stream = script.watch();
        say(&stream, [Event::Added(pod("half", "1")), Event::Added(pod("a", "2"))]);
        let stream = silent.then_some(stream);
        script.list(part("20", "more", [pod("a", "12")]));
        script.list(page("20", [pod("b", "13")]));
        let _watch = script.watch();
        let informer = informer(&script).await;
        until_whole(&informer, &["a@12", "b@13"]).await;
        until("it is watched", || script.asked().len() == 4).await;
        assert_eq!(script.asked(), ["watch everything", "list", "list more", "watch 20"]);
        let waited = script.pauses()[0];
        let expected = if silent { Duration::from_secs(90) } else { Duration::ZERO };
        assert!(waited >= expected && waited < expected + Duration::from_secs(5), "{waited:?}");
        assert!(stream.is_none_or(|stream| stream.is_closed()), "nobody listens to it any more");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_no_streaming_lists_is_asked_once_for_one() {
    for code in [400, 406, 422] {
        for in_the_stream in [false, true] {
            let script = Arc::new(Script::default());
            if in_the_stream {
                say(&script.watch(), [Event::Added(pod("half", "1")), Event::Error(refusal(code, ""))]);
            } else {
                script.refuse_watch(refusal(code, ""));
            }
            script.list(page("10", [pod("a", "1")]));
            script.refuse_watch(refusal(410, "Expired"));
            script.list(page("20", [pod("a", "1"), pod("b", "11")]));
            let _watch = script.watch();
            let informer = informer(&script).await;
            until_whole(&informer, &["a@1"]).await;
            until("it is watched again", || script.asked().len() == 5).await;
            assert_eq!(script.asked(), ["watch everything", "list", "watch 10", "list", "watch 20"]);
            assert!(script.pauses()[0] < Duration::from_millis(100), "there is nothing to wait for");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_streaming_list_that_fails_otherwise_is_asked_for_again() {
    let mut busy = Status { code: 429, message: "slow down".into(), ..Status::default() };
    busy.retry_after = Some(Duration::from_secs(50));
    for failure in [
        refusal(410, "Expired"),
        Failure::Status(busy),
        refusal(500, ""),
        refusal(503, ""),
        refusal(403, "Forbidden"),
        refusal(404, "NotFound"),
        Failure::Unreachable("refused".into()),
    ] {
        let script = Arc::new(Script::default());
        script.refuse_watch(failure.clone());
        // Half of it comes, and then the same, as an event and as an error of the connection.
        say(&script.watch(), [Event::Added(pod("half", "1")), Event::Error(failure.clone())]);
        let broken = script.watch();
        say(&broken, [Event::Added(pod("half", "1"))]);
        broken.unbounded_send(Err(failure.clone())).unwrap();
        let stream = script.watch();
        say(&stream, [Event::Added(pod("a", "1"))]);
        end(&stream, "10");
        let informer = informer(&script).await;
        until_whole(&informer, &["a@1"]).await;
        assert_eq!(script.asked(), ["watch everything"; 4], "{failure}");
        let least = failure.retry_after().unwrap_or(Duration::from_millis(800));
        assert!(script.pauses().iter().all(|pause| *pause >= least), "{failure} {:?}", script.pauses());
    }
}

#[tokio::test(start_paused = true)]
async fn trap_04_a_relist_is_a_streaming_list_again_and_readers_see_the_old_store_until_its_end_mark() {
    let script = Arc::new(Script::default());
    let first = script.watch();
    let second = script.watch();
    let informer = informer(&script).await;
    let mut handler = informer.subscribe();
    say(&first, [Event::Added(pod("a", "1")), Event::Added(pod("b", "2"))]);
    end(&first, "10");
    until_whole(&informer, &["a@1", "b@2"]).await;
    next(&mut handler).await;
    next(&mut handler).await;
    first.unbounded_send(Ok(Event::Error(refusal(410, "Expired")))).unwrap();
    say(&second, [Event::Added(pod("b", "2")), Event::Added(pod("c", "11"))]);
    a_while().await;
    assert_eq!(script.asked(), ["watch everything"; 2]);
    assert_eq!(contents(&informer), ["a@1", "b@2"]);
    assert!(informer.synced() && handler.try_next().is_none());
    end(&second, "20");
    until("the new list is there", || contents(&informer) == ["b@2", "c@11"]).await;
    assert_eq!(next(&mut handler).await.key.name, "c");
    let gone = next(&mut handler).await;
    assert_eq!((gone.key.name.as_str(), gone.new), ("a", None));
    assert!(handler.try_next().is_none(), "of b there is no news");
    say(&second, [Event::Modified(pod("b", "21"))]);
    until("the watch goes on", || contents(&informer) == ["b@21", "c@11"]).await;
    assert_eq!(script.asked(), ["watch everything"; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_streaming_list_older_than_what_was_seen_is_not_believed_at_once() {
    let script = Arc::new(Script::default());
    let first = script.watch();
    let old = script.watch();
    let second = script.watch();
    let informer = informer(&script).await;
    say(&first, [Event::Added(pod("a", "1"))]);
    end(&first, "10");
    say(&first, [Event::Modified(pod("a", "15"))]);
    first.unbounded_send(Err(refusal(410, "Expired"))).unwrap();
    say(&old, [Event::Added(pod("a", "1"))]);
    end(&old, "12");
    say(&old, [Event::Added(pod("old", "13"))]);
    say(&second, [Event::Added(pod("a", "15"))]);
    end(&second, "20");
    until("the good list is there", || {
        let seen = contents(&informer);
        assert!(seen.is_empty() || seen == ["a@1"] && informer.snapshot().seen() == "10" || seen == ["a@15"]);
        informer.snapshot().seen() == "20"
    })
    .await;
    assert!(old.is_closed(), "its events are not listened to either");
    assert_eq!(script.asked(), ["watch everything"; 3]);
}

#[tokio::test(start_paused = true)]
async fn trap_11_a_streaming_list_that_is_never_answered_is_asked_for_again() {
    let script = Arc::new(Script::default());
    let informer = informer(&script).await;
    until("it is asked for again", || script.asked().len() == 2).await;
    assert_eq!(script.asked(), ["watch everything"; 2]);
    assert!(script.pauses()[0] < Duration::from_secs(400), "{:?}", script.pauses());
    assert_eq!(informer.stats().errors, [("timeout", 1)]);
}
