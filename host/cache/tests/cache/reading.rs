//! What readers of a store can rely on: traps 14 to 18, as far as the store's own tests leave them.

use std::sync::Arc;

use serde_json::json;
use wheelhouse_cache::{Event, IndexFn, Informer, Interest, Query};
use wheelhouse_core::{Fields, Object};

use crate::script::{Script, contents, factory, informer, key, kind, next, object, page, until};

/// One whose fields x and y are the same.
fn twice(name: &str, version: &str, value: u64) -> Object {
    object(name, name, version, json!({"spec": {"x": value.to_string(), "y": value.to_string()}}))
}

fn with_indexes(informer: &Informer) {
    for name in ["x", "y"] {
        informer.add_index(name, IndexFn::field(format!(".spec.{name}").parse().unwrap()));
    }
}

fn count(informer: &Informer, namespace: &str, matches: &[(&str, &str)]) -> u64 {
    informer.store().count(&Query { namespace, matches, ..Query::default() }).unwrap()
}

#[tokio::test(start_paused = true)]
async fn trap_14_a_value_that_changes_leaves_its_index_and_one_that_nothing_has_takes_no_room() {
    let script = Arc::new(Script::default());
    script.list(page("10", [twice("a", "1", 1), twice("b", "2", 1)]));
    let watch = script.watch();
    let informer = informer(&script).await;
    with_indexes(&informer);
    informer.wait_synced().await;
    assert_eq!(count(&informer, "", &[("x", "1")]), 2);
    for version in 11..200_u64 {
        let changed = twice("a", &version.to_string(), version);
        watch.unbounded_send(Ok(Event::Modified(changed))).unwrap();
    }
    until("all has happened", || informer.snapshot().seen() == "199").await;
    let found: Vec<u64> =
        ["1", "11", "150", "199"].map(|value| count(&informer, "n", &[("x", value)])).into();
    assert_eq!(found, [1, 0, 0, 1]);
    let entries: Vec<u64> = informer.stats().index_entries.iter().map(|(_, entries)| *entries).collect();
    assert_eq!(entries, [0, 2, 2], "no owners, and one value of each of two objects");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trap_16_a_query_of_two_fields_never_mixes_two_moments() {
    let script = Arc::new(Script::default());
    script.list(page("10", (0..20).map(|n| twice(&format!("p{n}"), "1", 1))));
    let watch = script.watch();
    let informer = informer(&script).await;
    with_indexes(&informer);
    informer.wait_synced().await;
    for version in 11..8000_u64 {
        let changed = twice(&format!("p{}", version % 20), &version.to_string(), 1 + version / 20 % 2);
        watch.unbounded_send(Ok(Event::Modified(changed))).unwrap();
    }
    // On another thread than this one: the store goes on meanwhile. It ends when all is told.
    let reader = informer.clone();
    let mixed = tokio::task::spawn_blocking(move || {
        while reader.snapshot().seen() != "7999" {
            for matches in [[("x", "1"), ("y", "2")], [("y", "1"), ("x", "2")]] {
                if count(&reader, "", &matches) > 0 {
                    return Some(reader.snapshot().seen().to_owned());
                }
            }
        }
        None
    });
    let within = std::time::Duration::from_secs(60);
    assert_eq!(tokio::time::timeout(within, mixed).await.unwrap().unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn trap_18_what_was_read_stays_what_it_was_whatever_becomes_of_the_store() {
    let script = Arc::new(Script::default());
    script.list(page("10", [twice("a", "1", 1)]));
    let watch = script.watch();
    let factory = factory(&script);
    let whole = factory.informer(&kind()).await.unwrap();
    let metadata = factory.informer(Interest::from(&kind()).reading(Fields::of([]))).await.unwrap();
    let mut handler = whole.subscribe();
    whole.wait_synced().await;
    until("it is watched", || script.asked().len() == 2).await;
    let told = next(&mut handler).await.new.unwrap();
    let got = whole.store().get(&key("a")).unwrap();
    let snapshot = whole.snapshot();
    let listed = whole.store().list(&Query::default()).unwrap().objects.remove(0);
    // A reader who makes something else of it.
    let mut value = got.value().to_value();
    value["spec"]["x"] = "mine".into();
    let mut bytes = got.as_bytes().to_vec();
    bytes.fill(0xFF);
    drop((value, bytes));
    assert_eq!(whole.store().get(&key("a")).unwrap(), twice("a", "1", 1));
    // The store goes on: it changes, is narrowed, and loses the object.
    watch.unbounded_send(Ok(Event::Modified(twice("a", "11", 2)))).unwrap();
    until("it has changed", || contents(&whole) == ["a@11"]).await;
    let changed = whole.store().get(&key("a")).unwrap();
    let narrow = script.watch();
    drop((whole, handler));
    until("it is narrowed", || script.asked().len() == 3).await;
    narrow.unbounded_send(Ok(Event::Deleted(twice("a", "12", 2)))).unwrap();
    until("it is gone", || metadata.store().is_empty()).await;
    for read in [told, got, listed, snapshot.get(&key("a")).unwrap().clone()] {
        assert_eq!(read, twice("a", "1", 1));
    }
    assert_eq!(changed, twice("a", "11", 2));
}

#[tokio::test(start_paused = true)]
async fn hostile_indexes_that_all_find_much_are_compared_with_places_to_take_a_break_at() {
    let script = Arc::new(Script::default());
    script.list(page("10", (0..2_000).map(|n| twice(&format!("p{n}"), "1", 1))));
    let informer = informer(&script).await;
    with_indexes(&informer);
    informer.wait_synced().await;
    let now = informer.snapshot();
    // Each of two finds all of them: which finds the fewest is known at their end.
    let query = Query { matches: &[("x", "1"), ("y", "1")], ..Query::default() };
    let mut scan = now.scan(&query).unwrap();
    assert!(scan.by_ref().take_while(Option::is_none).count() >= 2_000);
    assert_eq!(scan.flatten().count(), 1_999, "but for the one that ended the count");
    // One that is asked for twice is one.
    let twice = Query { matches: &[("x", "1"), ("x", "1")], ..Query::default() };
    assert!(now.scan(&twice).unwrap().all(|found| found.is_some()));
}
