//! One watch for many readers, each of whom sees what is its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use wheelhouse_cache::{
    ApiResource, Event, IndexFn, Informer, InformerFactory, Interest, ListWatch, Query, ReflectorConfig,
    ResourceMap, Subscription,
};
use wheelhouse_core::{Fields, Kind, Object, Scope};

use crate::script::{
    Script, contents, end_of_initial, factory, key, kind, next, object, page, part, refusal, resource,
    streaming, until,
};

const WEB: &str = r#"{"image":"web"}"#;

fn fields(paths: &[&str]) -> Fields {
    let paths: Vec<wheelhouse_core::FieldPath> = paths.iter().map(|path| path.parse().unwrap()).collect();
    Fields::of(&paths)
}

/// Pods, of which these fields are read.
fn reading(paths: &[&str]) -> Interest {
    Interest::from(&kind()).reading(fields(paths))
}

/// As it is on the server: more than anybody but a full reader wants.
fn full(name: &str, version: &str) -> Object {
    object(
        name,
        name,
        version,
        json!({"spec": {"image": "web"}, "status": {"phase": format!("at {version}")}}),
    )
}

/// As a server sends it to those who ask for these fields.
fn only(paths: &[&str], name: &str, version: &str) -> Object {
    fields(paths).project(&full(name, version))
}

/// What a handle sees of an object: its fields outside of metadata.
fn seen(informer: &Informer, name: &str) -> String {
    let object = informer.look_up(&key(name)).unwrap().unwrap();
    outside_of_metadata(&object)
}

fn outside_of_metadata(object: &Object) -> String {
    let names = ["spec", "status"];
    let parts =
        names.iter().filter_map(|name| Some(format!("{name} {}", object.value().get(name)?.to_json())));
    parts.collect::<Vec<_>>().join(", ")
}

/// What a handler is told next, without waiting: name, and what it sees of before and after.
fn told(handler: &mut Subscription) -> Option<(String, Option<String>, Option<String>)> {
    let delta = handler.try_next()?;
    let of = |object: Option<Object>| object.as_ref().map(outside_of_metadata);
    Some((delta.key.name, of(delta.old), of(delta.new)))
}

fn some(
    name: &str,
    old: Option<&str>,
    new: Option<&str>,
) -> Option<(String, Option<String>, Option<String>)> {
    Some((name.into(), old.map(Into::into), new.map(Into::into)))
}

#[tokio::test(start_paused = true)]
async fn trap_19_metadata_and_full_readers_share_one_watch_which_is_widened_and_narrowed() {
    let script = Arc::new(Script::default());
    script.list(page("10", [only(&[], "a", "1"), only(&[], "b", "2")]));
    let narrow_watch = script.watch();
    let factory = factory(&script);
    let metadata = factory.informer(reading(&[])).await.unwrap();
    let mut metadata_handler = metadata.subscribe();
    metadata.wait_synced().await;
    until("it is watched", || script.asked().len() == 2).await;
    assert!(told(&mut metadata_handler).is_some() && told(&mut metadata_handler).is_some());
    let small = metadata.store().bytes();

    script.list(page("12", [full("a", "1"), full("b", "12")]));
    let wide_watch = script.watch();
    let whole = factory.informer(&kind()).await.unwrap();
    let mut whole_handler = whole.subscribe();
    assert!(whole.id() == metadata.id() && !whole.synced() && metadata.synced());
    whole.wait_synced().await;
    until("it is watched again", || script.asked().len() == 4).await;
    assert!(narrow_watch.is_closed(), "there is one watch");
    assert!(metadata.store().bytes() > small);
    let a = format!(r#"spec {WEB}, status {{"phase":"at 1"}}"#);
    let b = format!(r#"spec {WEB}, status {{"phase":"at 12"}}"#);
    assert_eq!([seen(&whole, "a"), seen(&whole, "b")], [a.clone(), b.clone()]);
    assert_eq!([seen(&metadata, "a"), seen(&metadata, "b")], ["", ""]);
    // Of a nothing has happened; b changed meanwhile.
    assert_eq!(told(&mut metadata_handler), some("b", Some(""), Some("")));
    assert_eq!(told(&mut metadata_handler), None);
    assert_eq!(told(&mut whole_handler), some("a", None, Some(&a)));
    assert_eq!(told(&mut whole_handler), some("b", None, Some(&b)));

    wide_watch.unbounded_send(Ok(Event::Modified(full("a", "13")))).unwrap();
    until("a has changed", || contents(&whole) == ["a@13", "b@12"]).await;
    let changed = format!(r#"spec {WEB}, status {{"phase":"at 13"}}"#);
    assert_eq!(told(&mut whole_handler), some("a", Some(&a), Some(&changed)));
    assert_eq!(told(&mut metadata_handler), some("a", Some(""), Some("")));

    let before = metadata.store().get(&key("a")).unwrap();
    let narrow_again = script.watch();
    drop((whole, whole_handler));
    until("it is watched once more", || script.asked().len() == 5).await;
    assert!(wide_watch.is_closed());
    assert!(metadata.store().bytes() <= small + 4, "{} is more than {small}", metadata.store().bytes());
    assert!(metadata.store().get(&key("a")).unwrap().value().get("spec").is_none());
    assert!(before.value().get("spec").is_some(), "who has read an object keeps it as it was");
    assert_eq!(told(&mut metadata_handler), None, "nothing has happened");
    narrow_again.unbounded_send(Ok(Event::Modified(only(&[], "b", "14")))).unwrap();
    until("b has changed", || contents(&metadata) == ["a@13", "b@14"]).await;
    assert_eq!(told(&mut metadata_handler), some("b", Some(""), Some("")));
    assert_eq!(
        script.asked(),
        ["list of metadata", "watch 10 of metadata", "list", "watch 12", "watch 13 of metadata"]
    );
    assert_eq!((metadata.stats().relists, metadata.stats().errors), (1, vec![]));
}

#[tokio::test(start_paused = true)]
async fn trap_19_a_streaming_list_is_widened_by_another_one() {
    let script = Arc::new(Script::default());
    let narrow = script.watch();
    let wide = script.watch();
    let _narrow_again = script.watch();
    let factory = streaming(&script);
    let metadata = factory.informer(reading(&[])).await.unwrap();
    narrow.unbounded_send(Ok(Event::Added(only(&[], "a", "1")))).unwrap();
    narrow.unbounded_send(end_of_initial("10")).unwrap();
    metadata.wait_synced().await;
    let whole = factory.informer(&kind()).await.unwrap();
    wide.unbounded_send(Ok(Event::Added(full("a", "1")))).unwrap();
    wide.unbounded_send(end_of_initial("12")).unwrap();
    whole.wait_synced().await;
    assert_ne!(seen(&whole, "a"), "");
    assert_eq!(seen(&metadata, "a"), "");
    drop(whole);
    until("it is narrowed", || script.asked().len() == 3).await;
    assert!(narrow.is_closed() && wide.is_closed());
    assert_eq!(script.asked(), ["watch everything of metadata", "watch everything", "watch 12 of metadata"]);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_while_the_wider_list_comes_leaves_no_wider_store() {
    let script = Arc::new(Script::default());
    let narrow = script.watch();
    let wide = script.watch();
    let _narrow_again = script.watch();
    let factory = streaming(&script);
    let metadata = factory.informer(reading(&[])).await.unwrap();
    narrow.unbounded_send(Ok(Event::Added(only(&[], "a", "1")))).unwrap();
    narrow.unbounded_send(end_of_initial("10")).unwrap();
    metadata.wait_synced().await;
    let small = metadata.store().bytes();
    let whole = factory.informer(&kind()).await.unwrap();
    until("it is widened", || script.asked().len() == 2).await;
    drop(whole);
    wide.unbounded_send(Ok(Event::Added(full("a", "1")))).unwrap();
    wide.unbounded_send(end_of_initial("12")).unwrap();
    until("it is narrowed", || script.asked().len() == 3).await;
    assert_eq!(script.asked(), ["watch everything of metadata", "watch everything", "watch 12 of metadata"]);
    assert_eq!((metadata.store().bytes(), metadata.stats().fields), (small, fields(&[])));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_before_a_relist_does_not_make_it_narrower_than_what_is_kept() {
    let script = Arc::new(Script::default());
    script.list(page("10", [full("a", "1")]));
    script.refuse_watch(refusal(410, "Expired"));
    let factory = factory(&script);
    let metadata = factory.informer(reading(&[])).await.unwrap();
    let whole = factory.informer(&kind()).await.unwrap();
    until("it has expired", || script.asked().len() == 2).await;
    drop(whole);
    script.list(page("20", [full("a", "11")]));
    let _watch = script.watch();
    until("it is watched again", || script.asked().len() == 4).await;
    // Whoever had come back meanwhile would have been told that all fields are there.
    assert_eq!(script.asked(), ["list", "watch 10", "list", "watch 20 of metadata"]);
    assert!(metadata.store().get(&key("a")).unwrap().value().get("spec").is_none());
}

#[tokio::test(start_paused = true)]
async fn no_holder_sees_a_field_that_only_another_declared() {
    let script = Arc::new(Script::default());
    script.list(page("10", [only(&[".spec"], "a", "1")]));
    let _first = script.watch();
    let both = [".spec", ".status.phase"];
    script.list(page("10", [only(&both, "a", "1")]));
    let watch = script.watch();
    let factory = factory(&script);
    let spec = factory.informer(reading(&[".spec"])).await.unwrap();
    let mut spec_handler = spec.subscribe().resync_every(Duration::from_secs(60));
    spec.wait_synced().await;
    until("it is watched", || script.asked().len() == 2).await;
    let phase = factory.informer(reading(&[".status.phase"])).await.unwrap();
    let mut phase_handler = phase.subscribe();
    phase.wait_synced().await;
    until("it is watched again", || script.asked().len() == 4).await;
    assert_eq!(
        script.asked()[2..],
        ["list of metadata, .spec, .status.phase", "watch 10 of metadata, .spec, .status.phase"]
    );

    let phase_at = |version: &str| format!(r#"status {{"phase":"at {version}"}}"#);
    let just_spec = format!("spec {WEB}");
    assert_eq!((seen(&spec, "a"), seen(&phase, "a")), (just_spec.clone(), phase_at("1")));
    let stored = spec.store().get(&key("a")).unwrap();
    assert_eq!(outside_of_metadata(&spec.view(&spec.snapshot(), stored)), just_spec);
    assert_eq!(told(&mut spec_handler), some("a", None, Some(&just_spec)));
    assert_eq!(told(&mut spec_handler), None);
    assert_eq!(told(&mut phase_handler), some("a", None, Some(&phase_at("1"))));

    for event in [
        Event::Modified(only(&both, "a", "11")),
        Event::Added(only(&both, "b", "12")),
        Event::Deleted(only(&both, "b", "13")),
    ] {
        watch.unbounded_send(Ok(event)).unwrap();
    }
    until("all has happened", || spec.snapshot().seen() == "13").await;
    assert_eq!(told(&mut spec_handler), some("a", Some(&just_spec), Some(&just_spec)));
    assert_eq!(told(&mut spec_handler), some("b", Some(&just_spec), None));
    assert_eq!(told(&mut phase_handler), some("a", Some(&phase_at("1")), Some(&phase_at("11"))));
    assert_eq!(told(&mut phase_handler), some("b", Some(&phase_at("12")), None));
    // A late handler of each, and a resync.
    let mut late = phase.subscribe();
    assert_eq!(told(&mut late), some("a", None, Some(&phase_at("11"))));
    let resync = next(&mut spec_handler).await;
    assert!(!resync.cause.is_live() && outside_of_metadata(&resync.new.unwrap()) == just_spec);
}

#[tokio::test(start_paused = true)]
async fn who_wants_more_fields_is_synced_once_the_wider_list_is_applied_and_not_before() {
    let script = Arc::new(Script::default());
    script.list(page("10", [only(&[], "a", "1"), only(&[], "b", "2")]));
    let _first = script.watch();
    let factory = factory(&script);
    let metadata = factory.informer(reading(&[])).await.unwrap();
    metadata.wait_synced().await;
    until("it is watched", || script.asked().len() == 2).await;
    // The wider list fails, and then comes in two parts, the second of which fails at first.
    script.list(Err(refusal(503, "")));
    let whole = factory.informer(&kind()).await.unwrap();
    let mut handler = whole.subscribe();
    let mut progress = handler.progress();
    let unchanged = |whole: &Informer, handler: &mut Subscription| {
        assert!(!whole.synced() && metadata.synced() && told(handler).is_none() && !handler.initial_done());
        assert_eq!(contents(&metadata), ["a@1", "b@2"]);
        assert_eq!((seen(&metadata, "a"), metadata.stats().fields), (String::new(), fields(&[])));
    };
    assert!(!whole.wait_synced_within(Duration::from_millis(700)).await);
    unchanged(&whole, &mut handler);
    script.list(part("12", "more", [full("a", "11")]));
    script.list(Err(refusal(410, "Expired")));
    script.list(part("12", "again", [full("a", "11")]));
    script.list(page("12", [full("b", "2")]));
    let _watch = script.watch();
    until("it has failed again", || script.asked().len() == 5).await;
    unchanged(&whole, &mut handler);
    whole.wait_synced().await;
    let phase_at = |version: &str| Some(format!(r#"spec {WEB}, status {{"phase":"at {version}"}}"#));
    assert_eq!(told(&mut handler), Some(("a".into(), None, phase_at("11"))));
    assert_eq!(told(&mut handler), Some(("b".into(), None, phase_at("2"))));
    assert!(progress.wait_initial_done().await);
    assert_eq!(script.asked()[2..6], ["list", "list", "list more", "list"]);
}

#[tokio::test(start_paused = true)]
async fn who_wants_fewer_fields_comes_and_goes_without_a_request() {
    let script = Arc::new(Script::default());
    script.list(page("10", [full("a", "1")]));
    let watch = script.watch();
    let factory = factory(&script);
    let whole = factory.informer(&kind()).await.unwrap();
    whole.wait_synced().await;
    until("it is watched", || script.asked().len() == 2).await;
    let bytes = whole.store().bytes();
    for paths in [&[][..], &[".spec"], &[".status.phase", ".none"]] {
        let narrower = factory.informer(reading(paths)).await.unwrap();
        assert!(narrower.synced());
        let mut handler = narrower.subscribe();
        let expected = outside_of_metadata(&only(paths, "a", "1"));
        assert_eq!(told(&mut handler), some("a", None, Some(&expected)));
        drop((narrower, handler));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!((script.asked().len(), whole.store().bytes(), watch.is_closed()), (2, bytes, false));
}

#[tokio::test(start_paused = true)]
async fn trap_14_an_index_by_a_field_that_nobody_reads_any_more_says_nothing_of_the_past() {
    let script = Arc::new(Script::default());
    script.list(page("10", [full("a", "1")]));
    let _first = script.watch();
    let factory = factory(&script);
    let whole = factory.informer(&kind()).await.unwrap();
    let metadata = factory.informer(reading(&[])).await.unwrap();
    whole.wait_synced().await;
    until("it is watched", || script.asked().len() == 2).await;
    let by_phase = || IndexFn::field(".status.phase".parse().unwrap());
    whole.add_index("phase", by_phase());
    let at = |version: &str| {
        let phase = format!("at {version}");
        let matches = [("phase", phase.as_str())];
        metadata.store().count(&Query { matches: &matches, ..Query::default() }).unwrap()
    };
    assert_eq!(at("1"), 1);
    let narrow = script.watch();
    drop(whole);
    until("it is narrowed", || script.asked().len() == 3).await;
    narrow.unbounded_send(Ok(Event::Modified(only(&[], "a", "11")))).unwrap();
    until("it has changed", || contents(&metadata) == ["a@11"]).await;
    script.list(page("12", [full("a", "12")]));
    let _wide = script.watch();
    let whole = factory.informer(&kind()).await.unwrap();
    whole.add_index("phase", by_phase());
    whole.wait_synced().await;
    assert_eq!((at("1"), at("12")), (0, 1), "it is in one phase, and no longer in the one before");
}

#[tokio::test(start_paused = true)]
async fn the_last_one_out_frees_the_store_whatever_the_others_read() {
    let all = [&[][..], &[".spec"], &[".spec", ".status"]];
    for last in 0..all.len() {
        let script = Arc::new(Script::default());
        script.list(page("10", [full("a", "1")]));
        let watches = [script.watch(), script.watch(), script.watch()];
        let factory = factory(&script);
        let mut holders: Vec<Subscription> = Vec::new();
        for paths in all {
            holders.push(factory.informer(reading(paths)).await.unwrap().subscribe());
        }
        holders[0].informer().wait_synced().await;
        for handler in &mut holders {
            handler.informer().wait_synced().await;
            assert!(told(handler).is_some());
        }
        let kept = holders[last].informer().store().get(&key("a")).unwrap();
        let last = holders.remove(last);
        drop(holders);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(factory.running(&reading(&[])).is_some());
        assert_eq!(watches.iter().filter(|watch| watch.is_closed()).count(), script.asked().len() - 2);
        drop(last);
        until("the watches are closed", || {
            watches.iter().take(script.asked().len() - 1).all(|watch| watch.is_closed())
        })
        .await;
        assert!(factory.running(&reading(&[])).is_none() && factory.stats().is_empty());
        let bytes = kept.bytes();
        drop(kept);
        assert_eq!(Arc::strong_count(&bytes), 1, "nothing holds the object any more");
    }
}

/// A factory whose scopes each have a script.
struct Scopes {
    factory: InformerFactory,
    started: Arc<Mutex<Vec<String>>>,
    scripts: Arc<HashMap<String, Arc<Script>>>,
}

impl Scopes {
    fn new(scopes: &[&str], namespaced: bool) -> Self {
        let scripts = scopes.iter().map(|scope| ((*scope).to_owned(), Arc::default())).collect();
        let scripts: Arc<HashMap<String, Arc<Script>>> = Arc::new(scripts);
        let started: Arc<Mutex<Vec<String>>> = Arc::default();
        let (known, noted) = (Arc::clone(&scripts), Arc::clone(&started));
        let source = move |_: &Kind, scope: &Scope| {
            noted.lock().unwrap().push(scope.to_string());
            Arc::clone(&known[&scope.to_string()]) as Arc<dyn ListWatch>
        };
        let resources = ResourceMap::fixed([ApiResource { namespaced, ..resource(&kind()) }]);
        let config = ReflectorConfig { streaming: false, ..ReflectorConfig::default() };
        Self { factory: InformerFactory::with_source(resources, source, config), started, scripts }
    }

    async fn ask(&self, scope: Scope) -> Informer {
        self.factory.informer(Interest::from(&kind()).scoped(scope)).await.unwrap()
    }

    fn started(&self) -> Vec<String> {
        self.started.lock().unwrap().clone()
    }
}

fn scope(namespace: &str, labels: &str, fields: &str) -> Scope {
    Scope { namespace: namespace.into(), labels: labels.parse().unwrap(), fields: fields.parse().unwrap() }
}

#[tokio::test(start_paused = true)]
async fn a_narrower_scope_shares_a_wider_watch_and_an_equal_one_too() {
    for (wide, narrow) in [
        (scope("", "", ""), scope("a", "", "")),
        (scope("", "", ""), scope("", "app=web", "")),
        (scope("", "", ""), scope("", "", "spec.nodeName=n1")),
        (scope("a", "", ""), scope("a", "app=web", "spec.nodeName=n1")),
        (scope("", "app=web", ""), scope("b", "tier,app=web", "")),
        (scope("", "", "spec.nodeName=n1"), scope("", "", "a=b,spec.nodeName=n1")),
    ] {
        let scopes = Scopes::new(&[&wide.to_string()], true);
        let one = scopes.ask(wide.clone()).await;
        let equal = scopes.ask(wide.clone()).await;
        let narrower = scopes.ask(narrow.clone()).await;
        assert_eq!((one.id(), one.id()), (equal.id(), narrower.id()), "{narrow} in {wide}");
        assert_eq!(narrower.scope(), &wide, "it says what it brings");
        assert_eq!(scopes.started(), [wide.to_string()]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wider_scope_shares_no_narrower_watch_and_neither_do_others() {
    for (one, other) in [
        (scope("a", "", ""), scope("", "", "")),
        (scope("a", "", ""), scope("b", "", "")),
        (scope("", "app=web", ""), scope("", "", "")),
        (scope("", "app=web", ""), scope("", "app=db", "")),
        (scope("", "app=web", ""), scope("a", "", "")),
        (scope("", "", "spec.nodeName=n1"), scope("", "app=web", "")),
    ] {
        let scopes = Scopes::new(&[&one.to_string(), &other.to_string()], true);
        let (first, second) = (scopes.ask(one.clone()).await, scopes.ask(other.clone()).await);
        assert_ne!(first.id(), second.id(), "{one} and {other}");
        assert_eq!(scopes.started(), [one.to_string(), other.to_string()]);
        assert_eq!((first.scope(), second.scope()), (&one, &other));
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_shares_the_narrowest_of_the_watches_that_have_it() {
    let (wide, narrow) = (scope("", "", ""), scope("a", "", ""));
    let scopes = Scopes::new(&[&wide.to_string(), &narrow.to_string()], true);
    let narrower = scopes.ask(narrow.clone()).await;
    let wider = scopes.ask(wide).await;
    let third = scopes.ask(scope("a", "app=web", "")).await;
    let fourth = scopes.ask(scope("b", "app=web", "")).await;
    assert_eq!((third.id(), fourth.id()), (narrower.id(), wider.id()));
    drop((narrower, wider, fourth));
    assert!(scopes.factory.running(&(&kind()).into()).is_none(), "nobody holds the wider one");
    assert_eq!(third.scope(), &narrow);
}

#[tokio::test(start_paused = true)]
async fn each_scope_has_its_own_store_and_goes_on_its_own() {
    let (one, other) = (scope("n", "", ""), scope("", "app=web", ""));
    let scopes = Scopes::new(&[&one.to_string(), &other.to_string()], true);
    let mut watches = Vec::new();
    for (scope, name) in [(&one, "a"), (&other, "b")] {
        let script = &scopes.scripts[&scope.to_string()];
        script.list(page("10", [full(name, "1")]));
        watches.push(script.watch());
    }
    let (first, second) = (scopes.ask(one.clone()).await, scopes.ask(other.clone()).await);
    first.wait_synced().await;
    second.wait_synced().await;
    assert_eq!((contents(&first), contents(&second)), (vec!["a@1".to_owned()], vec!["b@1".to_owned()]));
    let stats: Vec<(String, u64)> =
        scopes.factory.stats().iter().map(|stats| (stats.scope.to_string(), stats.objects)).collect();
    assert_eq!(stats, [("app=web".to_owned(), 1), ("namespace n".to_owned(), 1)]);
    until("both are watched", || scopes.scripts.values().all(|script| script.asked().len() == 2)).await;
    drop(first);
    until("the first watch is closed", || watches[0].is_closed()).await;
    assert!(!watches[1].is_closed() && second.synced());
    assert_eq!(scopes.factory.stats().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn trap_15_a_kind_without_namespaces_has_one_watch_whatever_namespace_is_asked_for() {
    let scopes = Scopes::new(&["everything", "app=web"], false);
    let first = scopes.ask(Scope::in_namespace("a")).await;
    assert_eq!(first.scope(), &Scope::default());
    let second = scopes.ask(Scope::in_namespace("b")).await;
    let third = scopes.ask(Scope::default()).await;
    assert!(first.id() == second.id() && second.id() == third.id());
    drop((first, second, third));
    let selected = scopes.ask(scope("a", "app=web", "")).await;
    assert_eq!(selected.scope(), &scope("", "app=web", ""));
    assert_eq!(scopes.started(), ["everything", "app=web"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_scope_selects_by_is_among_the_fields_that_are_kept() {
    let script = Arc::new(Script::default());
    script.list(page("10", [only(&[], "a", "1")]));
    let _first = script.watch();
    script.list(page("10", [only(&[".spec.image"], "a", "1")]));
    let _second = script.watch();
    let factory = factory(&script);
    let metadata = factory.informer(reading(&[])).await.unwrap();
    metadata.wait_synced().await;
    until("it is watched", || script.asked().len() == 2).await;
    let web = factory.informer(reading(&[]).scoped(scope("", "", "spec.image=web"))).await.unwrap();
    assert_eq!(web.id(), metadata.id());
    web.wait_synced().await;
    assert_eq!((seen(&web, "a"), seen(&metadata, "a")), (format!("spec {WEB}"), String::new()));
    until("it is watched again", || script.asked().len() == 4).await;
    assert_eq!(script.asked()[2], "list of metadata, .spec.image");
}
