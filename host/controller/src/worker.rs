//! A worker: one reconcile after another.

use std::hash::{BuildHasher as _, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use tokio::sync::watch;
use tracing::Instrument as _;
use wheelhouse_core::outcome::Request;
use wheelhouse_core::{Key, Outcome};
use wheelhouse_queue::{Work, WorkQueue};
use wheelhouse_sandbox::{CallError, Revision};

use crate::metrics::{PluginMetrics, ResultLabel, STUBBORN};
use crate::report::{Failed, Reports};
use crate::tally::{End, Tally};
use crate::trace;
use crate::tracking::Tracking;

/// How long a background thread waits for another key.
const IDLE: Duration = Duration::from_millis(50);

/// Takes keys from the queue and has them reconciled, one after another.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) revision: Arc<Revision>,
    pub(crate) queue: WorkQueue<Key>,
    pub(crate) metrics: Arc<PluginMetrics>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) tracking: Option<Arc<Tracking>>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) retired: watch::Receiver<bool>,
}

impl Worker {
    pub(crate) async fn run(mut self) {
        loop {
            let Some(work) = self.take().await else { return };
            self.reconcile(work).await;
            if !self.revision.is_greedy() {
                continue;
            }
            // All of a greedy plugin's work goes where nobody waits for it: to move each call there
            // would cost as much as the call.
            if self.revision.in_background(self.clone().run_while_greedy()).await == Some(false) {
                return;
            }
        }
    }

    /// Likewise, as long as there is something to do and the plugin is greedy. Whether there may be more.
    async fn run_while_greedy(mut self) -> bool {
        while self.revision.is_greedy() {
            match tokio::time::timeout(IDLE, self.take()).await {
                Ok(Some(work)) => self.reconcile(work).await,
                Ok(None) => return false,
                Err(_) => break,
            }
        }
        true
    }

    /// The next key; none if the revision is to take no more.
    async fn take(&mut self) -> Option<Work<Key>> {
        let work = tokio::select! {
            biased;
            _ = self.retired.wait_for(|retired| *retired) => return None,
            work = self.queue.next() => work?,
        };
        if *self.retired.borrow() {
            // It was taken at the very moment of the switch: it is the next revision's.
            work.put_back();
            return None;
        }
        Some(work)
    }

    /// Whatever happens in it, the worker goes on: a panic of the host's own costs this one reconcile, whose key is
    /// requested again by its being dropped.
    async fn reconcile(&self, work: Work<Key>) {
        let (plugin, object) = (self.revision.spec().name.clone(), work.key().clone());
        if AssertUnwindSafe(self.reconcile_once(work)).catch_unwind().await.is_err() {
            tracing::error!(plugin, %object, "the host panicked in a reconcile, which is tried again: this is a bug of the host");
            self.metrics.errors.inc();
            self.tally.count(End::Error, Instant::now());
        }
    }

    async fn reconcile_once(&self, work: Work<Key>) {
        let Self { revision, metrics, reports, tracking, tally, .. } = self;
        let (plugin, id) = (revision.spec().name.as_str(), reconcile_id());
        let version = revision.short_digest();
        let key = work.key().clone();
        let attempt = work.attempt();
        metrics.queued.observe(work.waited().as_secs_f64());
        let active = Active::new(metrics);
        let begun = Instant::now();
        let span = trace::of_reconcile(revision, &key, &id, attempt);
        let request =
            Request { key: key.clone(), reconcile_id: id.clone(), attempt, first_seen: work.first_seen() };
        let tracked = tracking.as_ref().map(|tracking| tracking.begin(&key));
        let through = tracked.as_ref().map(|run| run.access());
        let called = revision.reconcile_through(request, through, Some(work.hold()));
        let called = called.instrument(span.clone()).await;
        if let Some(run) = tracked {
            run.end(called.as_ref().ok());
        }
        metrics.seconds.observe(begun.elapsed().as_secs_f64());
        drop(active);
        let result = match called {
            Ok(Outcome::Done) => {
                tracing::debug!(plugin, object = %key, reconcile_id = id, revision = version, "reconciled");
                work.done();
                "success"
            }
            Ok(Outcome::RequeueAfter(after)) => {
                tracing::debug!(plugin, object = %key, reconcile_id = id, revision = version, "reconciled; again in {after:?}");
                work.requeue_after(after);
                "requeue_after"
            }
            Ok(Outcome::Transient(error)) => {
                if reports.may_say(&error) {
                    tracing::warn!(plugin, object = %key, reconcile_id = id, revision = version, attempt, "failed, will be retried: {error}");
                }
                work.retry();
                "error"
            }
            Ok(Outcome::Terminal(error)) => {
                if reports.may_say(&error) {
                    tracing::warn!(plugin, object = %key, reconcile_id = id, revision = version, attempt, "failed, not retried until it changes: {error}");
                }
                work.give_up();
                "terminal_error"
            }
            Err(error) => {
                let (call, then) = ("reconcile", "it is retried");
                let failed = Failed { call, object: &key, reconcile_id: &id, then };
                reports.failed(revision, &failed, &error);
                work.retry();
                match error {
                    CallError::Trap { .. } => "trap",
                    CallError::Timeout { .. } | CallError::Cpu { .. } => "timeout",
                    CallError::Instance(_) => "error",
                }
            }
        };
        let failed = !matches!(result, "success" | "requeue_after");
        trace::ended(&span, result, failed);
        let end = match result {
            "trap" | "timeout" => End::Trap,
            _ if failed => End::Error,
            _ => End::Good,
        };
        tally.count(end, Instant::now());
        if failed {
            metrics.errors.inc();
            if attempt >= STUBBORN {
                metrics.stubborn.inc();
            }
        }
        metrics.reconciles.get_or_create(&ResultLabel { result }).inc();
    }
}

/// Counts a reconcile as one that runs, until it is dropped: it may be stopped at any time.
struct Active<'a>(&'a PluginMetrics);

impl<'a> Active<'a> {
    fn new(metrics: &'a PluginMetrics) -> Self {
        metrics.active.inc();
        Self(metrics)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.active.dec();
    }
}

/// In every log line of a reconcile: unique within this process, and hardly ever another process's.
fn reconcile_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    format!("{:06x}-{:08x}", *PROCESS & 0xff_ffff, NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests;
