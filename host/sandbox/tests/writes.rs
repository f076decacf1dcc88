//! A plugin with bad manners when it writes, and with odd ideas of time.
#![cfg(test)]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wheelhouse_core::access::{BoxFuture, Page};
use wheelhouse_core::event::RecordEvent;
use wheelhouse_core::gate::{Permission, Verb};
use wheelhouse_core::limits::{Limit, Limits};
use wheelhouse_core::request::{Change, Get, List, Synced, Write};
use wheelhouse_core::spec::Options;
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{ApiError, ClusterAccess, Gate, Object, Outcome, Permitted};
use wheelhouse_sandbox::{CallError, Revision, RevisionSetup};

use crate::support::{Nothing, attacked, beside, compiled, hasty, limits, reason, start_with};

/// A cluster that hears writes, and answers deletions only.
#[derive(Default)]
struct Silent {
    begun: AtomicU64,
    grace: Mutex<Option<Duration>>,
    dropped: Arc<AtomicU64>,
    nothing: Nothing,
}

/// Counts that it goes.
struct Dropped(Arc<AtomicU64>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl ClusterAccess for Silent {
    fn get(&self, request: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        self.nothing.get(request)
    }
    fn list(&self, request: Permitted<List>) -> BoxFuture<'_, Result<Page, ApiError>> {
        self.nothing.list(request)
    }
    fn count(&self, request: Permitted<List>) -> BoxFuture<'_, Result<u64, ApiError>> {
        self.nothing.count(request)
    }
    fn synced(&self, request: Permitted<Synced>) -> bool {
        self.nothing.synced(request)
    }
    fn wait_synced(&self, request: Permitted<Synced>, within: Duration) -> BoxFuture<'_, bool> {
        self.nothing.wait_synced(request, within)
    }
    fn get_live(&self, request: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        self.nothing.get_live(request)
    }
    fn record(&self, request: Permitted<RecordEvent>) -> BoxFuture<'_, Result<(), ApiError>> {
        self.nothing.record(request)
    }
    fn write(&self, request: Permitted<Write>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        if let Change::Delete { grace_period, .. } = &request.change {
            *self.grace.lock().unwrap() = *grace_period;
            return Box::pin(async { Ok(None) });
        }
        let dropped = Dropped(Arc::clone(&self.dropped));
        Box::pin(async move {
            let _dropped = dropped;
            std::future::pending().await
        })
    }
}

/// The hostile plugin with this cluster and these ideas of time; it may delete, too.
async fn start(limits: Limits, cluster: Arc<dyn ClusterAccess>, options: Option<Options>) -> Arc<Revision> {
    let compiled = compiled().await;
    let mut spec = compiled.describe("{}", &Limits::default()).await.unwrap();
    spec.options = options.unwrap_or(spec.options);
    let mut permissions = spec.all_permissions();
    permissions.push(Permission {
        verbs: vec![Verb::Delete],
        kind: "v1/ConfigMap".parse().unwrap(),
        subresource: String::new(),
        namespaces: vec!["default".into()],
    });
    let setup = RevisionSetup {
        gate: Arc::new(Gate::granting(&spec.name, permissions)),
        spec: Arc::new(spec),
        config: "{}".into(),
        cluster,
        usage: Arc::new(Usage::new(&limits)),
        metrics: Arc::default(),
        limits,
    };
    Arc::new(compiled.start(setup))
}

#[tokio::test]
async fn hostile_a_loop_of_writes_ends_with_the_calls_of_the_host() {
    let (hostile, cluster, usage) = start_with(Limits { host_calls: 300, ..limits() }).await;
    let result = beside(&hostile, "write-loop").await;
    assert_eq!(result.as_ref().unwrap_err().limit(), Some(Limit::HostCalls), "{result:?}");
    assert!(usage.breaches().any(|(limit, count)| limit == Limit::HostCalls && count > 0));
    let asked = cluster.asked.lock().unwrap();
    let writes = asked.iter().filter(|what| what.starts_with("create")).count();
    assert!((1..=300).contains(&writes), "{writes}");
}

#[tokio::test]
async fn hostile_a_write_that_is_never_answered_ends_at_the_deadline_and_leaves_nothing() {
    let cluster = Arc::new(Silent::default());
    let hostile = start(hasty(), Arc::clone(&cluster) as Arc<_>, None).await;
    let begun = Instant::now();
    let result = beside(&hostile, "write").await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    match result {
        Err(CallError::Timeout { limit: Limit::ReconcileTimeout, after, .. }) => {
            assert_eq!(after, hasty().reconcile_timeout);
        }
        other => panic!("{other:?}"),
    }
    let counted = |count: &AtomicU64| count.load(Ordering::SeqCst);
    assert_eq!((counted(&cluster.begun), counted(&cluster.dropped)), (1, 1));
}

#[tokio::test]
async fn hostile_json_that_is_nested_deep_is_an_error_and_overflows_no_stack() {
    let (hostile, cluster, _) = start_with(limits()).await;
    let answer = attacked(&hostile, "write-deep").await;
    assert_eq!(hostile.traps(), 0);
    let Ok(Outcome::Terminal(told)) = answer else { panic!("{answer:?}") };
    let told: Vec<&str> = told.split(" | ").collect();
    assert_eq!(told.len(), 5, "{told:?}");
    for told in told {
        assert!(told.contains("recursion limit exceeded"), "{told}");
    }
    assert_eq!(*cluster.asked.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn hostile_times_without_end_are_held_to_the_host_s() {
    let endless = Options {
        concurrency: u32::MAX,
        resync: Some(Duration::MAX),
        timeout: Some(Duration::MAX),
        track_dependencies: true,
    };
    let hostile = start(hasty(), Arc::new(Nothing::default()), Some(endless.clone())).await;
    assert_eq!(
        attacked(&hostile, "requeue-max").await,
        Ok(Outcome::RequeueAfter(Duration::from_millis(u64::MAX)))
    );
    match beside(&hostile, "sleep").await {
        Err(CallError::Timeout { limit: Limit::ReconcileTimeout, after, .. }) => {
            assert_eq!(after, hasty().reconcile_timeout);
        }
        other => panic!("{other:?}"),
    }
    // And where the operator sets none that ever comes.
    let patient = Limits { reconcile_timeout: Duration::MAX, host_calls: 100, ..limits() };
    let hostile = start(patient, Arc::new(Nothing::default()), Some(endless)).await;
    let reason = reason(beside(&hostile, "host-calls").await);
    assert!(reason.contains("limit hostCalls"), "{reason}");
}

#[tokio::test]
async fn hostile_a_timeout_of_nothing_is_a_timeout() {
    let none = Options {
        concurrency: 0,
        resync: Some(Duration::ZERO),
        timeout: Some(Duration::ZERO),
        track_dependencies: true,
    };
    let hostile = start(limits(), Arc::new(Nothing::default()), Some(none)).await;
    match attacked(&hostile, "sleep").await {
        Err(CallError::Timeout { limit: Limit::ReconcileTimeout, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn hostile_a_deletion_may_take_as_long_as_can_be_said() {
    let cluster = Arc::new(Silent::default());
    let hostile = start(limits(), Arc::clone(&cluster) as Arc<_>, None).await;
    let answer = attacked(&hostile, "delete-late").await;
    assert_eq!(answer, Ok(Outcome::Terminal("it was let through".into())));
    assert_eq!(*cluster.grace.lock().unwrap(), Some(Duration::from_secs(u32::MAX.into())));
}
