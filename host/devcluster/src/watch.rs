//! Watches: a stream of the changes of one resource, as lines of JSON.
//!
//! A watch pulls from the resource's history at its own speed, so that a slow reader holds nobody up:
//! one that falls out of the history's window is told to start over (410), and one that stops reading
//! costs nothing but its connection.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::Stream;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use crate::accept::Form;
use crate::cluster::Cluster;
use crate::error::{ApiError, Cause};
use crate::faults::WatchState;
use crate::history::{Change, Compacted, Event};
use crate::kind::Kind;
use crate::list;
use crate::object::{self, Json, Object};
use crate::selector::Selector;
use crate::store::{Extent, Scope};
use crate::table::{self, Include};
use crate::{types, view};

/// How many events go into one chunk at most.
const BATCH: usize = 256;
/// How long a watch lasts that sets no limit itself.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3600);
/// How long anything is waited for at most: what a client or a configuration asks for may not fit a clock.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How often there is a bookmark at most.
const SHORTEST: Duration = Duration::from_millis(1);

/// What a watch request asks for.
#[derive(Debug, Clone)]
pub(crate) struct WatchRequest {
    pub(crate) namespace: String,
    pub(crate) selector: Selector,
    pub(crate) resource_version: String,
    pub(crate) version_match: String,
    pub(crate) send_initial_events: Option<bool>,
    pub(crate) bookmarks: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) form: Form,
    pub(crate) include: Include,
}

struct Watcher {
    cluster: Arc<Cluster>,
    kind: Arc<Kind>,
    request: WatchRequest,
    /// What was there at the start and is still to be sent.
    initial: std::vec::IntoIter<Arc<Object>>,
    /// Whether the end of the initial events is still to be marked.
    owes_end_mark: bool,
    /// Whether the reader of tables has been told of their columns.
    knows_columns: bool,
    /// What may concern the reader, as far as that is known by where an object is.
    scope: Scope,
    /// The reader knows everything up to this version.
    cursor: u64,
    wake: watch::Receiver<u64>,
    faults: watch::Receiver<WatchState>,
    /// How often the watches of the resource had been dropped when this one began.
    drops: u64,
    /// The start is before what is remembered.
    refused: Option<Compacted>,
    stopping: watch::Receiver<bool>,
    /// Wakes when the kind may have changed.
    kinds: watch::Receiver<u64>,
    deadline: Instant,
    next_bookmark: Instant,
    /// Goes off at the earlier of the two.
    alarm: Pin<Box<Sleep>>,
    is_over: bool,
}

/// Starts a watch; fails if its start cannot be served at all.
pub(crate) fn watch(
    cluster: Arc<Cluster>,
    kind: Arc<Kind>,
    request: WatchRequest,
) -> Result<impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send, ApiError> {
    check(&request)?;
    let asked = list::parse_version(&request.resource_version)?;
    // Subscribed first, so that nothing that happens from here on goes unnoticed.
    let scope = Scope::new(&request.namespace, request.selector.name().unwrap_or_default());
    let wake = cluster.store.wake(&kind.storage, &scope);
    let wants_initial = request.send_initial_events.unwrap_or(asked == 0);
    let (initial, cursor) = if wants_initial {
        let current = cluster.store.version();
        if asked > current {
            return Err(ApiError::version_too_large(asked, current));
        }
        let namespace = Some(request.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        let snapshot = cluster
            .store
            .snapshot(&kind.storage, Extent { namespace, ..Extent::default() })
            .map_err(|compacted| ApiError::expired(asked, compacted.0))?;
        (snapshot.objects, snapshot.version)
    } else {
        (Vec::new(), if asked == 0 { cluster.store.version() } else { asked })
    };
    let refused = cluster.store.begins(&kind.storage, cursor).err();
    let faults = cluster.faults.watches();
    let drops = faults.borrow().drops(&kind.plural);
    let clock = cluster.clock.clone();
    let now = Instant::now();
    let mut kinds = cluster.registry.changes();
    // The kind may have changed since the request found it.
    kinds.mark_changed();
    let deadline = now + request.timeout.unwrap_or(DEFAULT_TIMEOUT).min(LONGEST);
    let watcher = Watcher {
        stopping: cluster.stopping.subscribe(),
        owes_end_mark: request.send_initial_events == Some(true) && request.bookmarks,
        deadline,
        next_bookmark: now + cluster.config.bookmark_interval.clamp(SHORTEST, LONGEST),
        alarm: Box::pin(tokio::time::sleep_until(deadline)),
        initial: initial.into_iter(),
        is_over: false,
        knows_columns: false,
        kinds,
        cluster,
        kind,
        request,
        scope,
        cursor,
        wake,
        faults,
        drops,
        refused,
    };
    Ok(futures::stream::unfold(watcher, move |mut watcher| {
        clock.scope(async move {
            let chunk = watcher.next().await?;
            Some((Ok(chunk), watcher))
        })
    }))
}

/// Whether the options go together, as `ValidateListOptions` of apimachinery has it.
fn check(request: &WatchRequest) -> Result<(), ApiError> {
    const FIELD: &str = "resourceVersionMatch";
    let wanted = request.version_match.as_str();
    let mut causes = Vec::new();
    if request.send_initial_events.is_some() && wanted != "NotOlderThan" {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        causes.push(Cause::forbidden(FIELD, why));
    }
    if !wanted.is_empty() && request.send_initial_events.is_none() {
        let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        causes.push(Cause::forbidden(FIELD, why));
    }
    if !matches!(wanted, "" | "NotOlderThan") {
        causes.push(Cause::unsupported(FIELD, &wanted.into(), &["NotOlderThan".into()]));
    }
    match causes.is_empty() {
        true => Ok(()),
        false => Err(ApiError::invalid_options("ListOptions", &causes)),
    }
}

impl Watcher {
    /// The next chunk of events; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.is_over || !self.passes().await {
                return None;
            }
            let mut chunk = BytesMut::new();
            let has_more = if self.initial.len() > 0 || self.owes_end_mark {
                self.send_initial(&mut chunk);
                self.initial.len() > 0
            } else {
                self.wake.mark_unchanged();
                self.send_events(&mut chunk)
            };
            if !chunk.is_empty() {
                return Some(chunk.freeze());
            }
            // A whole batch may be of events that this watch does not show.
            if !self.is_over && !has_more {
                self.wait(&mut chunk).await;
            }
            if !chunk.is_empty() {
                return Some(chunk.freeze());
            }
        }
    }

    /// Waits while watches are silent; false if this one is dropped, or ends.
    async fn passes(&mut self) -> bool {
        let plural = self.kind.plural.as_str();
        let goes_on = |faults: &WatchState| faults.drops(plural) != self.drops || !faults.is_silent(plural);
        // As it is nearly always: without waiting for anything.
        if goes_on(&self.faults.borrow()) && !*self.stopping.borrow() && Instant::now() < self.deadline {
            return self.faults.borrow().drops(plural) == self.drops;
        }
        tokio::select! {
            biased;
            faults = self.faults.wait_for(goes_on) => {
                faults.is_ok_and(|faults| faults.drops(plural) == self.drops)
            }
            _ = self.stopping.wait_for(|stop| *stop) => false,
            () = tokio::time::sleep_until(self.deadline) => false,
        }
    }

    fn send_initial(&mut self, chunk: &mut BytesMut) {
        let batch: Vec<_> = self.initial.by_ref().take(BATCH).collect();
        for object in batch {
            if self.request.selector.matches(&view::shaped(&self.kind, &object)) {
                self.write_event("ADDED", &object, chunk);
            }
        }
        if self.initial.len() == 0 && self.owes_end_mark {
            self.owes_end_mark = false;
            self.send_bookmark(true, chunk);
        }
    }

    /// Sends the next batch; tells whether there may be more.
    fn send_events(&mut self, chunk: &mut BytesMut) -> bool {
        let events = match self.refused {
            Some(compacted) => Err(compacted),
            None => self.cluster.store.events(&self.kind.storage, &self.scope, self.cursor, BATCH),
        };
        match events {
            Ok((events, informed)) => {
                let is_full = events.len() >= BATCH;
                for event in events {
                    let before = chunk.len();
                    self.send_event(&event, chunk);
                    if chunk.len() > before && self.cluster.faults.takes_duplicate(&self.kind.plural) {
                        self.send_event(&event, chunk);
                    }
                }
                self.cursor = informed;
                is_full
            }
            Err(compacted) => {
                let status = ApiError::expired(self.cursor, compacted.0).status();
                put_line("ERROR", &object::to_bytes(&status), chunk);
                self.is_over = true;
                false
            }
        }
    }

    /// Sends an event as the selector makes it look: an object that comes to match is added.
    fn send_event(&mut self, event: &Event, chunk: &mut BytesMut) {
        let request = &self.request;
        if !request.namespace.is_empty() && event.key.namespace != request.namespace {
            return;
        }
        let fits = |object: &Object| request.selector.matches(&view::shaped(&self.kind, object));
        let matched = event.previous.as_ref().is_some_and(|previous| fits(previous));
        let matches = event.change != Change::Deleted && fits(&event.object);
        match (matched, matches, &event.previous) {
            (false, true, _) => self.write_event("ADDED", &event.object, chunk),
            (true, true, _) => self.write_event("MODIFIED", &event.object, chunk),
            (true, false, _) if event.change == Change::Deleted => {
                self.write_event("DELETED", &event.object, chunk);
            }
            (true, false, Some(previous)) => {
                // The reader gets the state that matched last, with the version in which it stopped.
                let mut last = previous.json.clone();
                let version = event.object.version;
                object::set(&mut last, &["metadata", "resourceVersion"], version.to_string().into());
                self.write_event("DELETED", &Object::new(last, version), chunk);
            }
            _ => {}
        }
    }

    /// Sends a bookmark of the current version, unless there is more to send before it than fits: nothing wakes this
    /// watch for what does not concern it.
    fn send_up_to_now(&mut self, chunk: &mut BytesMut) {
        self.send_events(chunk);
        if !self.is_over {
            self.send_bookmark(false, chunk);
        }
    }

    fn write_event(&mut self, event_type: &str, object: &Object, chunk: &mut BytesMut) {
        let bytes = match self.request.form {
            Form::Table => {
                let kind = self.kind.clone();
                self.row(&view::present(&kind, object), &object.version.to_string())
            }
            form => list::object_bytes(&self.kind, object, form),
        };
        put_line(event_type, &bytes, chunk);
    }

    /// A table of one row. The first one says which columns there are.
    fn row(&mut self, json: &Json, version: &str) -> Bytes {
        let metadata = json!({ "resourceVersion": version });
        let table = if std::mem::replace(&mut self.knows_columns, true) { table::more } else { table::table };
        table(&self.kind, std::iter::once(json), &metadata, self.request.include)
    }

    fn send_bookmark(&mut self, ends_initial: bool, chunk: &mut BytesMut) {
        let version = self.cursor.to_string();
        let mut bookmark = types::of(&self.kind).map(types::empty).unwrap_or_default();
        bookmark.insert("kind".to_owned(), self.kind.kind.clone().into());
        bookmark.insert("apiVersion".to_owned(), self.kind.api_version().into());
        object::set(&mut bookmark, &["metadata", "resourceVersion"], version.clone().into());
        if ends_initial {
            object::set(
                &mut bookmark,
                &["metadata", "annotations", "k8s.io/initial-events-end"],
                "true".into(),
            );
        }
        let bytes = match self.request.form {
            Form::Full => object::to_bytes(&bookmark),
            Form::Metadata => list::metadata_only(&bookmark),
            Form::Table => self.row(&bookmark, &version),
        };
        put_line("BOOKMARK", &bytes, chunk);
        let interval = self.cluster.config.bookmark_interval.clamp(SHORTEST, LONGEST);
        self.next_bookmark = Instant::now() + interval;
    }

    /// Keeps what changed to itself for as long as events are to be delayed.
    async fn hold_back(&mut self) {
        let Some(delay) = self.faults.borrow().delay(&self.kind.plural) else { return };
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            _ = self.stopping.wait_for(|stop| *stop) => self.is_over = true,
        }
    }

    /// Waits until something changes or is due.
    async fn wait(&mut self, chunk: &mut BytesMut) {
        enum Woken {
            Changed,
            Faults,
            Closed,
            KindsChanged,
            Stopping,
            Deadline,
            Bookmark,
        }
        let due = match self.request.bookmarks {
            true => self.deadline.min(self.next_bookmark),
            false => self.deadline,
        };
        if self.alarm.deadline() != due {
            self.alarm.as_mut().reset(due);
        }
        let woken = tokio::select! {
            changed = self.wake.changed() => if changed.is_ok() { Woken::Changed } else { Woken::Closed },
            changed = self.kinds.changed() => if changed.is_ok() { Woken::KindsChanged } else { Woken::Closed },
            // The cluster has the other end.
            _ = self.faults.changed() => Woken::Faults,
            _ = self.stopping.wait_for(|stop| *stop) => Woken::Stopping,
            () = self.alarm.as_mut() => if due < self.deadline { Woken::Bookmark } else { Woken::Deadline },
        };
        match woken {
            Woken::KindsChanged if self.cluster.registry.still_serves(&self.kind) => {}
            Woken::Changed => self.hold_back().await,
            // They are looked at before anything is sent.
            Woken::Faults => {}
            Woken::Bookmark => self.send_up_to_now(chunk),
            Woken::Stopping => self.is_over = true,
            Woken::Deadline => {
                if self.request.bookmarks {
                    self.send_up_to_now(chunk);
                }
                self.is_over = true;
            }
            // The resource is no longer served, or not in this shape, once its last events are sent.
            Woken::Closed | Woken::KindsChanged => {
                while self.send_events(chunk) {}
                self.is_over = true;
            }
        }
    }
}

/// What is around the type and the object of an event.
const FRAME: usize = r#"{"type":"","object":}"#.len() + 1;

fn put_line(event_type: &str, object: &[u8], chunk: &mut BytesMut) {
    chunk.reserve(object.len().saturating_add(event_type.len()).saturating_add(FRAME));
    chunk.put_slice(b"{\"type\":\"");
    chunk.put_slice(event_type.as_bytes());
    chunk.put_slice(b"\",\"object\":");
    chunk.put_slice(object);
    chunk.put_slice(b"}\n");
}
