//! All that is there, at one moment: by a streaming list, or by pages.
//!
//! A streaming list (KEP-3157) costs the API server one object's memory at a time where a page costs a
//! page's, and the watch goes on from it without a gap. A server that has none says so, and is not
//! asked again.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;
use tokio::time::{Instant, timeout, timeout_at};
use wheelhouse_core::{Fields, Key, Object};

use crate::list_watch::{Event, EventStream, ListRequest, ListWatch, Unreadable, WatchRequest};
use crate::reflector::ReflectorConfig;
use crate::rest::Failure;
use crate::sink::Sink;
use crate::stats::add;
use crate::writer::same_version;

/// What was there.
pub(crate) struct Initial {
    pub(crate) objects: Vec<Object>,
    pub(crate) unreadable: Vec<Unreadable>,
    pub(crate) version: String,
    /// What has happened since, if it was a streaming list.
    pub(crate) events: Option<EventStream>,
}

/// Fetches it.
pub(crate) struct Lister {
    sink: Arc<Sink>,
    source: Arc<dyn ListWatch>,
    config: ReflectorConfig,
    streaming: bool,
}

impl Lister {
    pub(crate) fn new(sink: Arc<Sink>, source: Arc<dyn ListWatch>, config: ReflectorConfig) -> Self {
        let streaming = config.streaming;
        Self { sink, source, config, streaming }
    }

    /// All of it, or none. With `afresh`, nothing of what is known already is used again.
    pub(crate) async fn fetch(&mut self, fields: &Fields, afresh: bool) -> Result<Initial, Failure> {
        if self.streaming {
            match self.stream(fields, afresh).await {
                Ok(Some(initial)) => return Ok(initial),
                Ok(None) => self.streaming = false,
                Err(failure) if matches!(failure.code(), Some(400 | 406 | 422)) => self.streaming = false,
                Err(failure) => return Err(failure),
            }
            tracing::debug!(kind = %self.sink.kind, "the API server has no streaming lists of this kind: listing by pages");
        }
        self.pages(fields, afresh).await
    }

    /// By pages. A token that expires between two of them fails the whole: half of it is of no use.
    async fn pages(&self, fields: &Fields, afresh: bool) -> Result<Initial, Failure> {
        let (mut objects, mut unreadable) = (Vec::new(), Vec::new());
        let mut token = String::new();
        loop {
            let request = ListRequest { limit: self.config.page, continue_token: &token, fields };
            let page = self.source.list(request).await?;
            add(&self.sink.counters.unreadable, page.unreadable.len() as u64);
            objects.extend(page.objects.into_iter().map(|object| self.known(object, afresh)));
            unreadable.extend(page.unreadable);
            if page.continue_token.is_empty() {
                return Ok(Initial { objects, unreadable, version: page.resource_version, events: None });
            }
            token = page.continue_token;
        }
    }

    /// By a watch. None if what came was no streaming list after all.
    async fn stream(&self, fields: &Fields, afresh: bool) -> Result<Option<Initial>, Failure> {
        let asked = self.config.watch_for();
        let request = WatchRequest { resource_version: "", initial_events: true, timeout: asked, fields };
        let deadline = Instant::now() + asked + self.config.watch_grace;
        let silent = |_| Failure::TimedOut(asked + self.config.watch_grace);
        let mut events = timeout_at(deadline, self.source.watch(request)).await.map_err(silent)??;
        let mut objects: HashMap<Key, Object> = HashMap::new();
        let mut unreadable: HashMap<Key, Unreadable> = HashMap::new();
        loop {
            let event = match timeout(self.config.silence, events.next()).await {
                // A server (or a proxy before it) that does not say where the initial events end.
                Err(_) | Ok(None) => return Ok(None),
                Ok(Some(event)) => event?,
            };
            match event {
                Event::Added(object) | Event::Modified(object) => {
                    let key = object.key();
                    unreadable.remove(&key);
                    objects.insert(key, self.known(object, afresh));
                }
                Event::Deleted(object) => {
                    unreadable.remove(&object.key());
                    objects.remove(&object.key());
                }
                Event::Unreadable { unreadable: found, deleted, .. } => {
                    add(&self.sink.counters.unreadable, 1);
                    let Some(key) = found.key.clone() else { continue };
                    objects.remove(&key);
                    if deleted {
                        unreadable.remove(&key)
                    } else {
                        unreadable.insert(key, found)
                    };
                }
                Event::Bookmark { resource_version, initial_events_end: true } => {
                    let objects = objects.into_values().collect();
                    let unreadable = unreadable.into_values().collect();
                    return Ok(Some(Initial {
                        objects,
                        unreadable,
                        version: resource_version,
                        events: Some(events),
                    }));
                }
                Event::Bookmark { .. } => {}
                Event::Error(failure) => return Err(failure),
            }
        }
    }

    /// The same object as the store has, if it has it: else a list would need the memory of a second store.
    fn known(&self, object: Object, afresh: bool) -> Object {
        if afresh {
            return object;
        }
        self.sink.store.get(&object.key()).filter(|there| same_version(there, &object)).unwrap_or(object)
    }
}
