//! The reflector: lists, then watches, for as long as its informer is wanted.
//!
//! After client-go's `tools/cache/reflector.go`, with its known traps closed: half a list is never
//! applied, a list that is older than what was seen is not believed at once, a clean close resumes, a
//! throttled watch does not list again, a silent one is resumed, and a kind that is not served is asked
//! for ever less often.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use wheelhouse_core::Fields;

use crate::backoff::{Backoff, jitter};
use crate::initial::{Initial, Lister};
use crate::list_watch::{Event, EventStream, ListWatch, WatchRequest};
use crate::rest::Failure;
use crate::sink::Sink;
use crate::stats::add;
use crate::version;

/// The longest `Retry-After` that is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// How a reflector behaves. The defaults are client-go's where it has them.
#[derive(Clone, Debug)]
pub struct ReflectorConfig {
    /// Ask for a streaming list (KEP-3157) first, and for pages only if the server has none.
    pub streaming: bool,
    /// Objects in a page of a list.
    pub page: u32,
    /// The server is asked to close a watch after this, plus up to a tenth.
    pub watch_timeout: Duration,
    /// A watch that is not closed so much later is dead.
    pub watch_grace: Duration,
    /// A watch from which nothing has come for so long may be dead, and is resumed: API servers send a
    /// bookmark each minute.
    pub silence: Duration,
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
            streaming: true,
            page: 500,
            watch_timeout: Duration::from_secs(280),
            watch_grace: Duration::from_secs(30),
            silence: Duration::from_secs(90),
            shortest_watch: Duration::from_secs(1),
            backoff: Duration::from_millis(800),
            backoff_max: Duration::from_secs(30),
            absent_after: 3,
            believe_after: 3,
        }
    }
}

impl ReflectorConfig {
    /// How long a watch is asked for now.
    pub(crate) fn watch_for(&self) -> Duration {
        self.watch_timeout.mul_f64(1.0 + 0.1 * jitter())
    }
}

/// What a watch came to.
enum Ended {
    /// The server closed it: go on from the last version.
    Cleanly {
        /// There was an event.
        heard: bool,
    },
    /// Nothing has come for too long: go on from the last version.
    Silent,
    /// The version is too old, or not known yet: list again.
    Expired,
    /// Other fields are wanted than are kept.
    Refocused,
    /// Something else.
    Failed(Failure),
}

/// How what is kept and what is wanted compare.
enum Focus {
    /// They are the same, or will be looked at again at once.
    Right,
    /// There was more; it is gone.
    Narrowed,
    /// There is less: it takes a list.
    TooNarrow,
}

/// One kind's loop.
pub(crate) struct Reflector {
    sink: Arc<Sink>,
    source: Arc<dyn ListWatch>,
    config: ReflectorConfig,
    lister: Lister,
    backoff: Backoff,
    /// What those who hold the informer read.
    wanted: watch::Receiver<Fields>,
    /// What the store has, once it has synced.
    kept: Option<Fields>,
    /// 404s in a row.
    absent: u32,
    /// Lists in a row that were older than what was seen.
    old_lists: u32,
}

impl Reflector {
    pub(crate) fn new(sink: Arc<Sink>, source: Arc<dyn ListWatch>, config: ReflectorConfig) -> Self {
        let backoff = Backoff::new(config.backoff, config.backoff_max);
        let lister = Lister::new(Arc::clone(&sink), Arc::clone(&source), config.clone());
        let wanted = sink.leases.wanted();
        Self { sink, source, config, lister, backoff, wanted, kept: None, absent: 0, old_lists: 0 }
    }

    /// Never ends; the informer aborts it.
    pub(crate) async fn run(mut self) {
        loop {
            match self.list().await {
                Ok((version, events)) => self.watch_from(version, events).await,
                Err(failure) => self.failed("list", &failure).await,
            }
        }
    }

    /// Fetches all that is there, and applies it as one. The version to watch from, and the watch that has
    /// begun already if it was a streaming list.
    async fn list(&mut self) -> Result<(String, Option<EventStream>), Failure> {
        let wanted = self.wanted.borrow_and_update().clone();
        // Less than what is kept would be less than what some reader believes to be there.
        let fields = self.kept.as_ref().map_or_else(|| wanted.clone(), |kept| kept.union(&wanted));
        let afresh = self.kept.as_ref().is_some_and(|kept| *kept != fields);
        let Initial { objects, unreadable, version, events } = self.lister.fetch(&fields, afresh).await?;
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
        self.sink.replace(objects, &unreadable, &version, &fields);
        tracing::debug!(kind = %self.sink.kind, scope = %self.sink.scope, %fields, %version, objects = self.sink.store.len(), "listed");
        self.kept = Some(fields);
        Ok((version, events))
    }

    /// Watches, and resumes, until a new list is needed.
    async fn watch_from(&mut self, mut version: String, mut events: Option<EventStream>) {
        loop {
            match self.focus() {
                Focus::Right => {}
                // What comes of a watch that has begun has more fields.
                Focus::Narrowed => events = None,
                Focus::TooNarrow => return,
            }
            let began = Instant::now();
            let ended = self.watch(&mut version, events.take()).await;
            match ended {
                Ended::Cleanly { heard: false } if began.elapsed() < self.config.shortest_watch => {
                    self.pause(None).await;
                }
                Ended::Cleanly { .. } => self.backoff.reset(),
                Ended::Silent => {
                    tracing::debug!(kind = %self.sink.kind, %version, "the watch is silent: resuming it");
                    self.sink.counters.error("silent");
                }
                Ended::Refocused => {}
                Ended::Expired => {
                    tracing::debug!(kind = %self.sink.kind, %version, "the watch has expired: listing again");
                    self.sink.counters.error("expired");
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

    /// Sees to it that the store has what is wanted, and no more.
    fn focus(&mut self) -> Focus {
        let wanted = self.wanted.borrow_and_update().clone();
        match &self.kept {
            Some(kept) if *kept == wanted => Focus::Right,
            Some(kept) if kept.covers(&wanted) => {
                if !self.sink.narrow(&wanted) {
                    return Focus::Right;
                }
                tracing::debug!(kind = %self.sink.kind, fields = %wanted, "fewer fields are kept");
                self.kept = Some(wanted);
                Focus::Narrowed
            }
            _ => Focus::TooNarrow,
        }
    }

    async fn watch(&mut self, version: &mut String, events: Option<EventStream>) -> Ended {
        let asked = self.config.watch_for();
        let deadline = Instant::now() + asked + self.config.watch_grace;
        let ended =
            |failure: Failure| if failure.expired() { Ended::Expired } else { Ended::Failed(failure) };
        let mut events = match events {
            Some(events) => events,
            None => {
                let fields = self.kept.clone().unwrap_or_default();
                let request = WatchRequest {
                    resource_version: version,
                    initial_events: false,
                    timeout: asked,
                    fields: &fields,
                };
                match timeout_at(deadline, self.source.watch(request)).await {
                    Err(_) => return Ended::Silent,
                    Ok(Err(failure)) => return ended(failure),
                    Ok(Ok(events)) => events,
                }
            }
        };
        let mut heard = false;
        loop {
            let patience = deadline.min(Instant::now() + self.config.silence);
            let event = tokio::select! {
                biased;
                event = timeout_at(patience, events.next()) => event,
                _ = self.wanted.changed() => return Ended::Refocused,
            };
            let event = match event {
                Err(_) => return Ended::Silent,
                Ok(None) => return Ended::Cleanly { heard },
                Ok(Some(Err(failure))) => return ended(failure),
                Ok(Some(Ok(event))) => event,
            };
            let reached = match self.apply(event) {
                Ok(reached) => reached,
                Err(failure) => return ended(failure),
            };
            heard = true;
            self.backoff.reset();
            // It only advances.
            if !reached.is_empty() && !version::reaches(version, &reached) {
                *version = reached;
            }
        }
    }

    /// Writes an event to the store; the version that it brings.
    fn apply(&self, event: Event) -> Result<String, Failure> {
        let counters = &self.sink.counters;
        match &event {
            Event::Added(_) => add(&counters.added, 1),
            Event::Modified(_) => add(&counters.modified, 1),
            _ => {}
        }
        Ok(match event {
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
            Event::Unreadable { unreadable, resource_version, deleted } => {
                self.sink.unreadable(&unreadable, deleted, &resource_version);
                resource_version
            }
            Event::Error(failure) => return Err(failure),
        })
    }

    async fn pause(&mut self, asked: Option<Duration>) {
        let step = self.backoff.step();
        sleep(asked.map_or(step, |asked| asked.min(MAX_RETRY_AFTER).max(step))).await;
    }

    async fn failed(&mut self, what: &'static str, failure: &Failure) {
        self.sink.counters.error(failure.reason());
        let (kind, scope) = (&self.sink.kind, &self.sink.scope);
        if failure.code() == Some(404) {
            self.absent = self.absent.saturating_add(1);
            // Once said, it is repeated only to those who listen closely.
            if self.absent == 1 {
                tracing::info!(%kind, "the cluster does not serve this kind: waiting until it does");
            }
            if self.absent == self.config.absent_after
                && let Some(kept) = &self.kept
            {
                tracing::info!(%kind, "the cluster no longer serves this kind: its objects are gone");
                let seen = self.sink.store.snapshot().seen().to_owned();
                self.sink.replace(Vec::new(), &[], &seen, kept);
            }
        } else {
            // A server in trouble knows nothing of what it serves.
            self.absent = 0;
            if failure.expired() {
                tracing::debug!(%kind, %failure, "{what} expired");
            } else {
                tracing::warn!(%kind, %scope, %failure, "{what} failed: trying again");
            }
        }
        self.pause(failure.retry_after()).await;
    }
}
