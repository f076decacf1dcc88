//! What a plugin that is permitted little does not get at by a detour.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wheelhouse_cache::{Decoder, Event, Unreadable};
use wheelhouse_core::gate::{Gate, Permission, Verb};
use wheelhouse_core::request::{Change, Get, List};
use wheelhouse_core::{ApiError, ClusterAccess, Key, Object};

use crate::bench::{Bench, everything, json_of, key, kind, node, object, ok, refusal, with_app, written};

/// One that may write, and not delete.
async fn writer(objects: impl IntoIterator<Item = Object>) -> Bench {
    let mut bench = Bench::synced(10, objects).await;
    let verbs = vec![Verb::Get, Verb::List, Verb::Create, Verb::Update, Verb::Patch];
    let permission =
        Permission { verbs, kind: kind(), subresource: String::new(), namespaces: vec!["n".into()] };
    bench.gate = Gate::granting("p", vec![permission]);
    bench
}

fn owned(version: u64, uid: &str) -> Value {
    let mut object = json_of("a", version, "x");
    object["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": true}]);
    object
}

fn update(object: &Value) -> Change {
    Change::Update(object.to_string().into_bytes())
}

fn apply(object: &Value) -> Change {
    let mut object = object.clone();
    object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    Change::Apply { object: object.to_string().into_bytes(), force: true }
}

fn is_denied(result: Result<Option<Object>, ApiError>) -> bool {
    matches!(result, Err(ApiError::Denied(denied)) if denied.to_string().contains("ownerReferences"))
}

#[tokio::test]
async fn hostile_the_owners_of_an_object_that_is_there_stay_without_the_permission_to_delete() {
    let bench = writer([object("a", 1, "x")]).await;
    for change in [update(&owned(1, "mine")), apply(&owned(1, "mine"))] {
        // The cache says that it has none, and so does the server.
        bench.answer(ok(&json_of("a", 1, "x")));
        assert!(is_denied(bench.write("a", change).await));
    }
    let get = "GET /api/v1/namespaces/n/configmaps/a";
    assert_eq!(bench.asked_what(), [get, get], "nothing was written");
}

#[tokio::test]
async fn hostile_the_cache_is_no_proof_that_an_object_is_not_there() {
    let bench = writer([]).await;
    bench.answer(ok(&json_of("a", 11, "x")));
    assert!(is_denied(bench.write("a", apply(&owned(1, "mine"))).await));
    assert_eq!(bench.asked().len(), 1);
    // It is there after all; now it is not.
    bench.answer(refusal(404, "NotFound"));
    bench.answer(ok(&owned(12, "mine")));
    assert!(bench.write("a", apply(&owned(1, "mine"))).await.is_ok());
}

#[tokio::test]
async fn a_write_that_leaves_the_owners_as_they_are_costs_one_request() {
    let bench = writer([Object::from_value(&owned(1, "mine")).unwrap()]).await;
    for change in [update(&owned(1, "mine")), apply(&owned(1, "mine")), apply(&json_of("a", 1, "y"))] {
        bench.answer(ok(&owned(2, "mine")));
        assert!(bench.write("a", change).await.is_ok());
    }
    assert_eq!(bench.asked().len(), 3);
    // An update that leaves them out drops them.
    bench.answer(ok(&owned(2, "mine")));
    assert!(is_denied(bench.write("a", update(&json_of("a", 2, "x"))).await));
}

fn unversioned(uid: &str) -> Change {
    let mut object = owned(1, uid);
    object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    update(&object)
}

#[tokio::test]
async fn hostile_owners_that_have_changed_since_the_cache_saw_them_are_not_put_back() {
    let bench = writer([Object::from_value(&owned(1, "mine")).unwrap()]).await;
    for change in [unversioned("mine"), apply(&owned(1, "mine"))] {
        bench.answer(refusal(409, "Conflict"));
        bench.answer(ok(&owned(2, "another's")));
        assert!(is_denied(bench.write("a", change).await));
    }
    let asked = bench.asked();
    let versions: Vec<&Value> =
        asked.iter().map(|asked| &asked.body["metadata"]["resourceVersion"]).collect();
    assert_eq!(versions, [&json!("1"), &Value::Null, &json!("1"), &Value::Null], "PUT, GET, PATCH, GET");
}

#[tokio::test]
async fn a_write_is_held_to_the_version_by_which_it_was_judged_and_tried_again_where_that_has_passed() {
    let bench = writer([Object::from_value(&owned(1, "mine")).unwrap()]).await;
    bench.answer(refusal(409, "Conflict"));
    bench.answer(ok(&owned(2, "mine")));
    bench.answer(ok(&owned(3, "mine")));
    assert!(bench.write("a", unversioned("mine")).await.is_ok());
    let path = "/api/v1/namespaces/n/configmaps/a";
    let put = format!("PUT {path}?fieldManager=p");
    assert_eq!(bench.asked_what(), [put.clone(), format!("GET {path}"), put]);
    // A version that the plugin names is its own affair: a conflict is the answer.
    bench.answer(refusal(409, "Conflict"));
    assert!(matches!(bench.write("a", update(&owned(3, "mine"))).await, Err(ApiError::Conflict { .. })));
    assert_eq!(bench.asked().len(), 4);
}

#[tokio::test]
async fn a_write_to_an_object_that_has_gone_since_it_was_judged_is_held_to_no_version() {
    let bench = writer([Object::from_value(&owned(1, "mine")).unwrap()]).await;
    bench.answer(refusal(409, "Conflict"));
    bench.answer(refusal(404, "NotFound"));
    bench.answer(ok(&owned(3, "mine")));
    assert!(bench.write("a", apply(&owned(1, "mine"))).await.is_ok());
    let asked = bench.asked();
    let versions: Vec<&Value> =
        asked.iter().map(|asked| &asked.body["metadata"]["resourceVersion"]).collect();
    assert_eq!(versions, [&json!("1"), &Value::Null, &Value::Null], "PATCH, GET, PATCH");
    assert_eq!(asked[2].body["metadata"]["name"], "a");
}

#[tokio::test]
async fn who_may_delete_an_object_may_change_its_owners() {
    let bench = Bench::synced(10, [object("a", 1, "x")]).await;
    bench.answer(ok(&owned(2, "mine")));
    assert!(bench.write("a", update(&owned(1, "mine"))).await.is_ok());
    assert_eq!(bench.asked().len(), 1, "nothing has to be compared");
}

#[tokio::test]
async fn hostile_a_continue_token_that_points_elsewhere_stays_within_the_namespace() {
    let other = |name: &str| {
        let mut other = json_of(name, 3, "x");
        other["metadata"]["namespace"] = json!("other");
        Object::from_value(&other).unwrap()
    };
    let bench = Bench::synced(10, [object("a", 1, "x"), object("b", 2, "x"), other("a"), other("z")]).await;
    for (after, expected) in [
        (Key::new("", "x"), &["n/a", "n/b"][..]),
        (Key::new("m", "z"), &["n/a", "n/b"]),
        (Key::new("n", "a"), &["n/b"]),
        (Key::new("other", ""), &[]),
        (Key::new("../other", "a"), &["n/a", "n/b"]),
        (Key::new("\u{0}", "a"), &["n/a", "n/b"]),
    ] {
        for list in [everything(), with_app("x")] {
            let list = List { namespace: "n".into(), after: Some(after.clone()), limit: 9, ..list };
            let page = bench.page(list).await.unwrap();
            let keys: Vec<String> = page.objects.iter().map(|object| object.key().to_string()).collect();
            assert_eq!(keys, expected, "after {after}");
        }
    }
    assert!(bench.asked().is_empty());
}

#[tokio::test]
async fn hostile_an_index_finds_nothing_in_another_namespace() {
    let mut other = json_of("z", 3, "x");
    other["metadata"]["namespace"] = json!("other");
    let bench = writer([object("a", 1, "x"), Object::from_value(&other).unwrap()]).await;
    let mine = List { namespace: "n".into(), ..with_app("x") };
    assert_eq!(bench.list_of(mine).await.unwrap(), ["a@1"]);
    for namespace in ["", "other"] {
        let list = List { namespace: namespace.into(), ..with_app("x") };
        assert!(matches!(bench.gate.permit(list), Err(ApiError::Denied(_))), "{namespace:?}");
    }
    let by_field = List { field_selector: "metadata.namespace=other".parse().unwrap(), ..with_app("x") };
    assert!(bench.gate.permit(by_field.clone()).is_err());
    let both = List { namespace: "n".into(), ..by_field };
    assert!(bench.list_of(both).await.unwrap().is_empty());
}

#[tokio::test]
async fn hostile_a_list_of_one_name_tells_no_other_that_cannot_be_read() {
    let bench = Bench::synced(10, [object("a", 1, "x")]).await;
    for (name, version) in [("b", 11), ("c", 12)] {
        let unreadable = Unreadable { key: Some(key(name)), reason: "it is too odd".into() };
        let event = Event::Unreadable { unreadable, resource_version: version.to_string(), deleted: false };
        bench.event(event, version).await;
    }
    let list = List { namespace: "n".into(), limit: 9, ..everything() };
    assert_eq!(bench.page(list.clone()).await.unwrap().unreadable, [key("b"), key("c")]);
    let named = List { field_selector: "metadata.name=c".parse().unwrap(), ..list };
    assert_eq!(bench.page(named).await.unwrap().unreadable, [key("c")]);
}

#[tokio::test]
async fn hostile_a_key_that_is_none_leads_nowhere() {
    let bench = Bench::synced(10, [object("a", 1, "x")]).await;
    let get = |namespace: &str, name: &str| Get {
        kind: kind(),
        key: Key::new(namespace, name),
        subresource: String::new(),
        consistency: Default::default(),
    };
    let bad = |result: Result<Option<Object>, ApiError>| matches!(result, Err(ApiError::BadRequest(_)));
    let names =
        ["", ".", "..", "../secrets/a", "a/b", "a?b", "a%2fb", "a b", "a\n", "a\u{0}", "\u{e9}", "a#b"];
    for (namespace, name) in names.iter().map(|name| ("n", *name)).chain([
        ("", "a"),
        ("n/x", "a"),
        ("..", "a"),
        ("n\n", "a"),
        ("N", "a"),
        ("\u{e9}", "a"),
    ]) {
        let permitted = || bench.gate.permit(get(namespace, name)).unwrap();
        assert!(bad(bench.client.get_live(permitted()).await), "{namespace:?} {name:?}");
        // The cache has no such object; a namespace that is missing is a mistake that is told.
        let cached = bench.client.get(permitted()).await;
        assert!(matches!(cached, Ok(None)) || bad(cached), "{namespace:?} {name:?}");
        for change in [crate::bench::delete(), apply(&json!({"metadata": {}}))] {
            let write =
                wheelhouse_core::request::Write { key: Key::new(namespace, name), ..written("", change) };
            assert!(bad(bench.write_as(write).await), "{namespace:?} {name:?}");
        }
    }
    assert!(bad(bench.client.get(bench.gate.permit(get("", "a")).unwrap()).await));
    assert!(bench.asked().is_empty(), "{:?}", bench.asked_what());
}

/// The longest that a neighbour on the same thread waits for its turn meanwhile, and what was done.
async fn longest_wait<T>(doing: impl Future<Output = T>) -> (Duration, T) {
    let longest = Arc::new(Mutex::new(Duration::ZERO));
    let neighbour = tokio::spawn({
        let longest = Arc::clone(&longest);
        async move {
            let mut last = Instant::now();
            loop {
                {
                    let mut longest = longest.lock().unwrap();
                    *longest = longest.max(last.elapsed());
                }
                last = Instant::now();
                tokio::task::yield_now().await;
            }
        }
    });
    tokio::task::yield_now().await;
    let done = doing.await;
    // Its last wait counts, too.
    tokio::task::yield_now().await;
    neighbour.abort();
    let longest = *longest.lock().unwrap();
    (longest, done)
}

#[tokio::test]
async fn hostile_one_condition_many_times_over_is_looked_at_once() {
    let bench = Bench::synced(10, (0..10_000).map(|n| object(&format!("o{n}"), 1, "x"))).await;
    let labels = "app=x,".repeat(2_700) + "app=x";
    let by_label = List { selector: labels.parse().unwrap(), ..everything() };
    let fields = "metadata.labels.app=x,".repeat(700);
    let by_field = List { field_selector: fields.parse().unwrap(), ..everything() };
    let names = "metadata.name!=o1,".repeat(900);
    let by_name = List { field_selector: names.parse().unwrap(), ..everything() };
    for (list, count) in [(by_label, 10_000), (by_field, 10_000), (by_name, 9_999)] {
        let counting = bench.client.count(bench.gate.permit(list.clone()).unwrap());
        let (waited, counted) = longest_wait(counting).await;
        assert_eq!(counted, Ok(count));
        assert!(waited < Duration::from_millis(400), "{waited:?}");
        let listing = bench.client.list(bench.gate.permit(list).unwrap());
        let (waited, page) = longest_wait(listing).await;
        assert_eq!(page.unwrap().objects.len(), 2);
        assert!(waited < Duration::from_millis(400), "{waited:?}");
    }
}

#[tokio::test]
async fn hostile_a_page_that_takes_long_to_decode_is_decoded_with_breaks() {
    let bench = Bench::new().await;
    let ports: Vec<Value> = (0..20).map(|port| json!({"name": format!("p{port}"), "port": port})).collect();
    let item = |n: usize| json!({"metadata": {"name": format!("n{n}")}, "spec": {"ports": ports}});
    let items: Vec<Value> = (0..500).map(item).collect();
    let body = json!({"metadata": {"resourceVersion": "1"}, "items": items});
    let text = body.to_string();
    // Whatever else the machine does may come between, but not each time.
    let mut times = Vec::new();
    for _ in 0..10 {
        let begun = Instant::now();
        assert_eq!(Decoder::new(&node()).list(text.as_bytes()).unwrap().objects.len(), 500);
        let at_once = begun.elapsed();
        bench.answer(ok(&body));
        let list = List { kind: node(), ..everything() };
        let (waited, count) = longest_wait(bench.client.count(bench.gate.permit(list).unwrap())).await;
        assert_eq!(count, Ok(500));
        times.push((waited, at_once));
    }
    assert!(times.iter().any(|(waited, at_once)| *waited < *at_once / 2), "{times:?}");
}

#[tokio::test]
async fn hostile_conditions_without_end_on_indexes_and_fields_are_refused() {
    let bench = Bench::synced(10, [object("a", 1, "x")]).await;
    let indexed = |n: usize| format!("metadata.labels.app=v{n},");
    let named = |n: usize| format!("metadata.name!=v{n},");
    let of = |kind, condition: &dyn Fn(usize) -> String, count: usize| {
        let selector: String = (0..count).map(condition).collect();
        List { kind, field_selector: selector.parse().unwrap(), ..everything() }
    };
    for condition in [&indexed as &dyn Fn(usize) -> String, &named] {
        assert!(bench.list_of(of(kind(), condition, 64)).await.is_ok());
        let over = bench.list_of(of(kind(), condition, 65)).await.unwrap_err();
        assert!(matches!(&over, ApiError::BadRequest(text) if text.contains("64 conditions")), "{over:?}");
    }
    // Of what is read live, before it is.
    let live = bench.list_of(of(node(), &named, 65)).await;
    assert!(matches!(live, Err(ApiError::BadRequest(_))), "{live:?}");
    assert!(bench.asked().is_empty());
}

#[tokio::test]
async fn hostile_a_list_that_selects_nothing_slowly_lets_others_go_on_meanwhile() {
    let bench = Bench::synced(10, (0..1_000).map(|n| object(&format!("o{n}"), 1, "x"))).await;
    let selector: String = (0..2_000).map(|n| format!("!l{n},")).collect::<String>() + "none";
    let list = List { selector: selector.parse().unwrap(), ..everything() };
    let turns = Arc::new(AtomicUsize::new(0));
    let neighbour = tokio::spawn({
        let turns = Arc::clone(&turns);
        async move {
            loop {
                turns.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        }
    });
    let page = bench.client.list(bench.gate.permit(list.clone()).unwrap()).await.unwrap();
    let during_list = turns.swap(0, Ordering::Relaxed);
    let count = bench.client.count(bench.gate.permit(list).unwrap()).await.unwrap();
    let during_count = turns.load(Ordering::Relaxed);
    neighbour.abort();
    assert_eq!((page.objects.len(), count), (0, 0));
    // One break for each 64 objects, which take much more than a millisecond.
    assert!(during_list >= 10 && during_count >= 10, "{during_list} {during_count}");
}
