//! The reflector: lists, then watches, for as long as its informer is wanted.
//!
//! After client-go's `tools/cache/reflector.go`, with its known traps closed: half a list is never
//! applied, a list that is older than what was seen is not believed at once, a clean close resumes, a
//! throttled watch does not list again, and a kind that is not served is asked for ever less often.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, sleep, timeout_at};
use wheelhouse_core::Object;

use crate::backoff::{Backoff, jitter};
use crate::informer::Sink;
use crate::list_watch::{Event, ListWatch};
use crate::rest::Failure;
use crate::stats::add;
use crate::version;

/// The longest `Retry-After` that is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// How a reflector behaves. The defaults are client-go's where it has them.
#[derive(Clone, Debug)]
pub struct ReflectorConfig {
    /// Objects in a page of a list.
    pub page: u32,
    /// The server is asked to close a watch after this, plus up to a tenth.
    pub watch_timeout: Duration,
    /// A watch that is not closed so much later is dead.
    pub watch_grace: Duration,
    /// A watch that ends sooner, without an event, did not work.
    pub shortest_watch: Duration,
    /// The first back-off.
    pub backoff: Duration,
    /// The longest.
    pub backoff_max: Duration,
    /// How often in a row a synced kind must be answered 404 before its objects count as gone.
    pub absent_after: u32,
    /// How often in a row a list must be older than what was seen before it is believed: the
    /// cluster was restored from a backup.
    pub believe_after: u32,
}

impl Default for ReflectorConfig {
    fn default() -> Self {
        Self {
            page: 500,
            watch_timeout: Duration::from_secs(280),
            watch_grace: Duration::from_secs(30),
            shortest_watch: Duration::from_secs(1),
            backoff: Duration::from_millis(800),
            backoff_max: Duration::from_secs(30),
            absent_after: 3,
            believe_after: 3,
        }
    }
}

/// What a watch came to.
enum Ended {
    /// The server closed it: go on from the last version.
    Cleanly {
        /// There was an event.
        heard: bool,
    },
    /// The version is too old, or not known yet: list again.
    Expired,
    /// Something else.
    Failed(Failure),
}

/// One kind's loop.
pub(crate) struct Reflector {
    sink: Arc<Sink>,
    source: Arc<dyn ListWatch>,
    config: ReflectorConfig,
    backoff: Backoff,
    /// 404s in a row.
    absent: u32,
    /// Lists in a row that were older than what was seen.
    old_lists: u32,
}

impl Reflector {
    pub(crate) fn new(sink: Arc<Sink>, source: Arc<dyn ListWatch>, config: ReflectorConfig) -> Self {
        let backoff = Backoff::new(config.backoff, config.backoff_max);
        Self { sink, source, config, backoff, absent: 0, old_lists: 0 }
    }

    /// Never ends; the informer aborts it.
    pub(crate) async fn run(mut self) {
        loop {
            match self.list().await {
                Ok(version) => self.watch_from(version).await,
                Err(failure) => self.failed("list", &failure).await,
            }
        }
    }

    /// Fetches all pages, and applies them as one. The version to watch from.
    async fn list(&mut self) -> Result<String, Failure> {
        let mut objects: Vec<Object> = Vec::new();
        let mut token = String::new();
        let version = loop {
            // A token that expires between two pages fails the whole list: half of it is of no use.
            let page = self.source.list(self.config.page, &token).await?;
            add(&self.sink.counters.undecodable, page.undecodable);
            objects.extend(page.objects);
            if page.continue_token.is_empty() {
                break page.resource_version;
            }
            token = page.continue_token;
        };
        self.absent = 0;
        let seen = self.sink.store.snapshot().seen().to_owned();
        if version::older(&version, &seen) {
            self.old_lists += 1;
            if self.old_lists < self.config.believe_after {
                return Err(Failure::Unreadable(format!(
                    "the list is of version {version}, and {seen} was seen already"
                )));
            }
            tracing::warn!(kind = %self.sink.kind, %version, %seen, "the cluster has gone back in time: was it restored from a backup?");
        }
        self.old_lists = 0;
        self.sink.replace(objects, &version);
        tracing::debug!(kind = %self.sink.kind, %version, objects = self.sink.store.len(), "listed");
        Ok(version)
    }

    /// Watches, and resumes, until a new list is needed.
    async fn watch_from(&mut self, mut version: String) {
        loop {
            let began = Instant::now();
            let ended = self.watch(&mut version).await;
            match ended {
                Ended::Cleanly { heard: false } if began.elapsed() < self.config.shortest_watch => {
                    self.pause(None).await;
                }
                Ended::Cleanly { .. } => self.backoff.reset(),
                Ended::Expired => {
                    tracing::debug!(kind = %self.sink.kind, %version, "the watch has expired: listing again");
                    add(&self.sink.counters.watch_errors, 1);
                    // A server whose every version is too old at once must not be listed in a loop.
                    return self.pause(None).await;
                }
                Ended::Failed(failure) => {
                    self.failed("watch", &failure).await;
                    if failure.code() == Some(404) {
                        return;
                    }
                }
            }
        }
    }

    async fn watch(&mut self, version: &mut String) -> Ended {
        let asked = self.config.watch_timeout.mul_f64(1.0 + 0.1 * jitter());
        let deadline = Instant::now() + asked + self.config.watch_grace;
        let ended =
            |failure: Failure| if failure.expired() { Ended::Expired } else { Ended::Failed(failure) };
        let silent = || Ended::Failed(Failure::TimedOut(asked + self.config.watch_grace));
        let mut events = match timeout_at(deadline, self.source.watch(version, asked)).await {
            Err(_) => return silent(),
            Ok(Err(failure)) => return ended(failure),
            Ok(Ok(events)) => events,
        };
        let mut heard = false;
        loop {
            let event = match timeout_at(deadline, events.next()).await {
                Err(_) => return silent(),
                Ok(None) => return Ended::Cleanly { heard },
                Ok(Some(Err(failure))) => return ended(failure),
                Ok(Some(Ok(event))) => event,
            };
            let reached = match event {
                Event::Added(object) | Event::Modified(object) => {
                    let reached = object.resource_version().to_owned();
                    self.sink.upsert(object);
                    reached
                }
                Event::Deleted(object) => {
                    self.sink.remove(&object);
                    object.resource_version().to_owned()
                }
                Event::Bookmark { resource_version, .. } => {
                    self.sink.bookmark(&resource_version);
                    resource_version
                }
                Event::Undecodable { .. } => {
                    add(&self.sink.counters.undecodable, 1);
                    continue;
                }
                Event::Error(failure) => return ended(failure),
            };
            heard = true;
            self.backoff.reset();
            // It only advances.
            if !reached.is_empty() && !version::reaches(version, &reached) {
                *version = reached;
            }
        }
    }

    async fn pause(&mut self, asked: Option<Duration>) {
        let step = self.backoff.step();
        sleep(asked.map_or(step, |asked| asked.min(MAX_RETRY_AFTER).max(step))).await;
    }

    async fn failed(&mut self, what: &'static str, failure: &Failure) {
        add(&self.sink.counters.watch_errors, 1);
        let kind = &self.sink.kind;
        if failure.code() == Some(404) {
            self.absent = self.absent.saturating_add(1);
            // Once said, it is repeated only to those who listen closely.
            if self.absent == 1 {
                tracing::info!(%kind, "the cluster does not serve this kind: waiting until it does");
            }
            if self.absent == self.config.absent_after && self.sink.store.synced() {
                tracing::info!(%kind, "the cluster no longer serves this kind: its objects are gone");
                let seen = self.sink.store.snapshot().seen().to_owned();
                self.sink.replace(Vec::new(), &seen);
            }
        } else if failure.expired() {
            tracing::debug!(%kind, %failure, "{what} expired");
        } else {
            tracing::warn!(%kind, %failure, "{what} failed: trying again");
        }
        self.pause(failure.retry_after()).await;
    }
}
