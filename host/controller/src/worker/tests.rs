//! A worker whose host has bugs.

use std::sync::atomic::AtomicU32;

use wheelhouse_core::access::{BoxFuture, Page};
use wheelhouse_core::event::RecordEvent;
use wheelhouse_core::limits::Limits;
use wheelhouse_core::request::{Get, List, Synced, Write};
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{ApiError, ClusterAccess, Gate, Object, Permitted};
use wheelhouse_queue::{BackoffPolicy, Priority};
use wheelhouse_sandbox::{RevisionSetup, Sandbox, SandboxConfig};

use super::*;

/// A cluster of nothing, whose first answers are panics.
struct Buggy {
    panics: AtomicU32,
}

impl ClusterAccess for Buggy {
    fn get(&self, _: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        Box::pin(async {
            let left =
                self.panics.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            assert!(left.is_err(), "a bug of the host");
            Ok(None)
        })
    }
    fn list(&self, _: Permitted<List>) -> BoxFuture<'_, Result<Page, ApiError>> {
        unreachable!()
    }
    fn count(&self, _: Permitted<List>) -> BoxFuture<'_, Result<u64, ApiError>> {
        unreachable!()
    }
    fn synced(&self, _: Permitted<Synced>) -> bool {
        true
    }
    fn wait_synced(&self, _: Permitted<Synced>, _: Duration) -> BoxFuture<'_, bool> {
        unreachable!()
    }
    fn get_live(&self, _: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        unreachable!()
    }
    fn write(&self, _: Permitted<Write>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        unreachable!()
    }
    fn record(&self, _: Permitted<RecordEvent>) -> BoxFuture<'_, Result<(), ApiError>> {
        unreachable!()
    }
}

#[tokio::test]
async fn a_worker_goes_on_after_a_panic_of_the_hosts_own_and_the_key_is_tried_again() {
    let folder = std::env::var_os("WHEELHOUSE_PLUGINS_DIR")
        .expect("WHEELHOUSE_PLUGINS_DIR names the built plugins: run `cargo xtask test`");
    let component = std::fs::read(std::path::Path::new(&folder).join("hello.wasm")).unwrap();
    let sandbox = Sandbox::new(SandboxConfig { instances: 4, ..SandboxConfig::default() }).unwrap();
    let compiled = sandbox.compile(component.into()).await.unwrap();
    let limits = Limits::default();
    let spec = Arc::new(compiled.describe("{}", &limits).await.unwrap());
    let usage = Arc::new(Usage::new(&limits));
    let revision = Arc::new(compiled.start(RevisionSetup {
        gate: Arc::new(Gate::granting(&spec.name, spec.all_permissions())),
        spec,
        config: "{}".into(),
        cluster: Arc::new(Buggy { panics: AtomicU32::new(2) }),
        usage: Arc::clone(&usage),
        metrics: Arc::default(),
        limits,
    }));
    let queue = WorkQueue::new(BackoffPolicy::default());
    let metrics = Arc::new(PluginMetrics::default());
    let (_retire, retired) = watch::channel(false);
    let worker = Worker {
        revision,
        queue: queue.clone(),
        metrics: Arc::clone(&metrics),
        reports: Arc::new(Reports::new(&usage)),
        tracking: None,
        tally: Arc::new(Tally::new(Instant::now())),
        retired,
    };
    queue.add(Key::new("default", "x"), Priority::High);
    let works = tokio::spawn(worker.run());
    let success = metrics.reconciles.get_or_create_owned(&ResultLabel { result: "success" });
    let begun = Instant::now();
    while success.get() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20) && !works.is_finished(), "the worker has ended");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((metrics.errors.get(), metrics.active.get()), (2, 0));
    works.abort();
}
