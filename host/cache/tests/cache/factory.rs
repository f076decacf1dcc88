//! Sharing: one watch per kind, for as long as somebody wants it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wheelhouse_cache::{CacheError, InformerFactory, ListWatch, ReflectorConfig, ResourceMap};
use wheelhouse_core::{Kind, Scope};

use crate::script::{Script, factory, kind, page, pod, refusal, resource, until};

fn by_pages() -> ReflectorConfig {
    ReflectorConfig { streaming: false, ..ReflectorConfig::default() }
}

#[tokio::test(start_paused = true)]
async fn trap_19_the_last_one_out_closes_the_watch_and_frees_the_store() {
    let script = Arc::new(Script::default());
    script.list(page("10", [pod("a", "1")]));
    let watch = script.watch();
    let factory = factory(&script);
    let first = factory.informer(&kind()).await.unwrap();
    first.wait_synced().await;
    until("it is watched", || script.asked().len() == 2).await;
    let handler = factory.informer(&kind()).await.unwrap().subscribe();
    let kept = first.store().get(&crate::script::key("a")).unwrap();
    drop(first);
    assert!(!watch.is_closed(), "the handler keeps it open");
    drop(handler);
    until("the watch is closed", || watch.is_closed()).await;
    assert!(factory.running(&(&kind()).into()).is_none() && factory.stats().is_empty());
    let bytes = kept.bytes();
    drop(kept);
    assert_eq!(Arc::strong_count(&bytes), 1, "nothing holds the object any more");
    script.list(page("20", [pod("b", "2")]));
    let _watch = script.watch();
    let again = factory.informer(&kind()).await.unwrap();
    again.wait_synced().await;
    assert_eq!(crate::script::contents(&again), ["b@2"]);
}

#[tokio::test(start_paused = true)]
async fn trap_10_one_kinds_trouble_delays_no_other_kind() {
    let (bad, good) = (Arc::new(Script::default()), Arc::new(Script::default()));
    for _ in 0..3 {
        bad.list(Err(refusal(403, "Forbidden")));
    }
    good.list(page("10", [pod("a", "1")]));
    let _watch = good.watch();
    let other: Kind = "v1/Secret".parse().unwrap();
    let sources = (Arc::clone(&bad), Arc::clone(&good));
    let source = move |asked: &Kind, _: &Scope| -> Arc<dyn ListWatch> {
        if *asked == kind() { Arc::clone(&sources.1) as _ } else { Arc::clone(&sources.0) as _ }
    };
    let resources = ResourceMap::fixed([resource(&kind()), resource(&other)]);
    let factory = InformerFactory::with_source(resources, source, by_pages());
    let unlucky = factory.informer(&other).await.unwrap();
    let informer = factory.informer(&kind()).await.unwrap();
    let began = tokio::time::Instant::now();
    informer.wait_synced().await;
    assert!(began.elapsed().as_millis() < 100 && !unlucky.synced());
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_the_cluster_does_not_serve_is_named_in_the_error_unless_it_may_come() {
    let script = Arc::new(Script::default());
    let factory = factory(&script);
    let missing: Kind = "shop.example/v1/Order".parse().unwrap();
    let Err(error) = factory.informer(&missing).await else { panic!("there is no such kind") };
    assert!(matches!(error, CacheError::UnknownKind { .. }));
    assert!(error.to_string().contains("no kind Order in shop.example/v1"), "{error}");
    script.list(page("10", [pod("a", "1")]));
    let _watch = script.watch();
    let informer = factory.informer_when_served(&missing).await;
    informer.wait_synced().await;
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_at_once_share_one_watch() {
    let lists = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lists);
    let script = Arc::new(Script::default());
    script.list(page("10", [pod("a", "1")]));
    let _watch = script.watch();
    let source = move |_: &Kind, _: &Scope| -> Arc<dyn ListWatch> {
        counted.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&script) as _
    };
    let resources = ResourceMap::fixed([resource(&kind())]);
    let factory = InformerFactory::with_source(resources, source, by_pages());
    let asked = futures::future::join_all((0..20).map(|_| {
        let factory = factory.clone();
        async move { factory.informer(&kind()).await.unwrap() }
    }));
    let informers = asked.await;
    for informer in &informers {
        informer.wait_synced().await;
    }
    assert_eq!(lists.load(Ordering::Relaxed), 1);
}
