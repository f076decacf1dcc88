//! What an overlay remembers, for how long, and of whom.

use std::sync::Arc;

use serde_json::json;
use wheelhouse_cache::{
    ApiResource, BoxFuture, EventStream, Failure, Informer, InformerFactory, Interest, ListPage, ListRequest,
    ListWatch, ReflectorConfig, ResourceMap, WatchRequest,
};
use wheelhouse_core::{Fields, Key, Kind, Object, Scope};

use crate::overlay::{Overlay, OwnWrites, TTL};

/// A server of which nothing is ever heard.
struct Silent;

impl ListWatch for Silent {
    fn list<'a>(&'a self, _: ListRequest<'a>) -> BoxFuture<'a, Result<ListPage, Failure>> {
        Box::pin(std::future::pending())
    }

    fn watch<'a>(&'a self, _: WatchRequest<'a>) -> BoxFuture<'a, Result<EventStream, Failure>> {
        Box::pin(std::future::pending())
    }
}

fn kind() -> Kind {
    "v1/ConfigMap".parse().unwrap()
}

async fn informer() -> Informer {
    informer_of((&kind()).into()).await
}

async fn informer_of(interest: Interest) -> Informer {
    let kind = kind();
    let resource =
        ApiResource { kind: kind.clone(), plural: "c".into(), namespaced: true, subresources: vec![] };
    let resources = ResourceMap::fixed([resource]);
    let factory =
        InformerFactory::with_source(resources, |_, _| Arc::new(Silent) as _, ReflectorConfig::default());
    factory.informer(interest).await.unwrap()
}

fn object(version: u64) -> Object {
    let metadata = json!({"namespace": "n", "name": "a", "uid": "u", "resourceVersion": version.to_string()});
    Object::from_value(&json!({"metadata": metadata})).unwrap()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_remembered_for_ever_and_what_was_never_confirmed_is_counted() {
    let overlay = Overlay::new(informer().await);
    let key = Key::new("n", "a");
    overlay.learn([&object(5)]);
    assert!(overlay.get(&key).unwrap().is_some());
    tokio::time::advance(TTL).await;
    assert!(overlay.get(&key).unwrap().is_none());
    assert_eq!((overlay.len(), overlay.expired()), (0, 1));
    overlay.learn_gone(&key, "u");
    tokio::time::advance(TTL).await;
    assert!(overlay.snapshot().1.is_empty() && overlay.is_empty());
    assert_eq!(overlay.expired(), 1, "a deletion of what is not there is no lag");
}

#[tokio::test(start_paused = true)]
async fn answers_that_overtake_each_other_leave_the_newest() {
    let overlay = Overlay::new(informer().await);
    let key = Key::new("n", "a");
    let version = || overlay.get(&key).unwrap().map(|o| o.resource_version().to_owned());
    overlay.learn([&object(7)]);
    overlay.learn([&object(6)]);
    assert_eq!(version().as_deref(), Some("7"));
    overlay.learn_gone(&key, "u");
    overlay.learn([&object(8)]);
    assert_eq!(version(), None, "a UID does not come again");
}

#[tokio::test(start_paused = true)]
async fn a_plugins_revisions_share_what_it_wrote() {
    let (writes, informer) = (OwnWrites::default(), informer().await);
    let overlay = writes.over(&informer);
    assert!(Arc::ptr_eq(&overlay, &writes.clone().over(&informer)));
    let kind = informer.kind().clone();
    writes.learn(&kind, &object(5));
    assert_eq!(overlay.len(), 1);
    // Over another store the same is known.
    let other = writes.over(&crate::overlay_tests::informer().await);
    assert_eq!(other.len(), 1);
    drop((overlay, other));
    assert_eq!(writes.over(&informer).len(), 0, "nothing is kept for a plugin that runs no more");
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_reads_more_sees_more_of_what_the_one_before_wrote() {
    let scope = Scope { labels: "app=web".parse().unwrap(), ..Scope::default() };
    let narrow = Interest::from(&kind()).scoped(scope).reading(Fields::of([&".data.a".parse().unwrap()]));
    let (narrow, wide) = (informer_of(narrow).await, informer().await);
    let writes = OwnWrites::default();
    let old = writes.over(&narrow);
    let written = |name: &str, app: &str, version: &str| {
        let metadata = json!({"namespace": "n", "name": name, "uid": name, "resourceVersion": version,
            "labels": {"app": app}});
        Object::from_value(&json!({"metadata": metadata, "data": {"a": "1", "b": "2"}})).unwrap()
    };
    writes.learn(&kind(), &written("a", "web", "5"));
    // What one of them alone has learnt is known to the next if it is newer.
    let middle = writes.over(&informer().await);
    middle.learn([&written("a", "web", "7")]);
    let new = writes.over(&wide);
    writes.learn(&kind(), &written("b", "db", "8"));
    let data = |overlay: &Overlay, name: &str| {
        let object = overlay.get(&Key::new("n", name)).unwrap()?;
        Some((object.resource_version().to_owned(), object.value().get("data").unwrap().to_value()))
    };
    assert_eq!(data(&old, "a"), Some(("5".into(), json!({"a": "1"}))));
    assert_eq!(data(&new, "a"), Some(("7".into(), json!({"a": "1", "b": "2"}))));
    assert_eq!(data(&old, "b"), None, "it is none of those that are watched");
    assert_eq!(data(&new, "b"), Some(("8".into(), json!({"a": "1", "b": "2"}))));
}
