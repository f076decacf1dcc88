//! An API server in memory that can be made to fail.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use futures::channel::mpsc::unbounded;
use serde_json::json;
use wheelhouse_cache::{BoxFuture, Event, EventStream, ListPage, ListWatch};
use wheelhouse_core::{Key, Object};

use crate::script::{Answer, Events, object, refusal};

#[derive(Default)]
struct State {
    version: u64,
    objects: BTreeMap<String, Object>,
    uids: u64,
    log: Vec<(u64, Event)>,
    /// Events up to this are forgotten.
    compacted: u64,
    watches: Vec<Events>,
    pages: BTreeMap<String, (u64, Vec<Object>)>,
    refusals: Vec<u16>,
    /// Everything that ever was.
    history: Vec<(Key, String, String)>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Server {
    state: Mutex<State>,
}

impl State {
    fn happen(&mut self, event: Event) {
        self.log.push((self.version, event.clone()));
        self.watches.retain(|watch| watch.unbounded_send(Ok(event.clone())).is_ok());
    }
}

impl Server {
    pub(crate) fn put(&self, name: &str, content: u64) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        let there = state.objects.get(name).map(|object| object.uid().to_owned());
        let fresh = there.is_none();
        let uid = there.unwrap_or_else(|| {
            state.uids += 1;
            format!("u{}", state.uids)
        });
        let new =
            object(name, &uid, &state.version.to_string(), json!({"spec": {"content": content.to_string()}}));
        state.history.push((new.key(), uid, new.resource_version().to_owned()));
        state.objects.insert(name.to_owned(), new.clone());
        state.happen(if fresh { Event::Added(new) } else { Event::Modified(new) });
    }

    pub(crate) fn delete(&self, name: &str) {
        let mut state = self.state.lock().unwrap();
        if let Some(last) = state.objects.remove(name) {
            state.version += 1;
            let version = state.version.to_string();
            let last = object(
                name,
                last.uid(),
                &version,
                last.value().to_value().get("spec").map_or(json!({}), |s| json!({"spec": s})),
            );
            state.happen(Event::Deleted(last));
        }
    }

    pub(crate) fn bookmark(&self) {
        let mut state = self.state.lock().unwrap();
        let event =
            Event::Bookmark { resource_version: state.version.to_string(), initial_events_end: false };
        state.watches.retain(|watch| watch.unbounded_send(Ok(event.clone())).is_ok());
    }

    /// Ends the watches: cleanly, or with a failure.
    pub(crate) fn disconnect(&self, failure: Option<u16>) {
        let mut state = self.state.lock().unwrap();
        for watch in state.watches.drain(..) {
            if let Some(code) = failure {
                let _ = watch.unbounded_send(Err(refusal(code, "")));
            }
        }
    }

    /// Forgets what happened so far, and all tokens.
    pub(crate) fn compact(&self) {
        let mut state = self.state.lock().unwrap();
        state.compacted = state.version;
        state.log.clear();
        state.pages.clear();
    }

    /// The next requests are refused so.
    pub(crate) fn refuse(&self, code: u16, times: usize) {
        self.state.lock().unwrap().refusals.extend(vec![code; times]);
    }

    pub(crate) fn objects(&self) -> Vec<Object> {
        self.state.lock().unwrap().objects.values().cloned().collect()
    }

    pub(crate) fn ever_had(&self, object: &Object) -> bool {
        let state = self.state.lock().unwrap();
        let found = (object.key(), object.uid().to_owned(), object.resource_version().to_owned());
        state.history.contains(&found)
    }
}

impl ListWatch for Server {
    fn list<'a>(&'a self, _limit: u32, token: &'a str) -> BoxFuture<'a, Answer<ListPage>> {
        Box::pin(async move {
            // Others get a turn: what happens between two pages matters.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let mut state = self.state.lock().unwrap();
            if let Some(code) = state.refusals.pop() {
                return Err(refusal(code, ""));
            }
            let (version, mut rest) = match token {
                "" => (state.version, state.objects.values().cloned().collect()),
                token => state.pages.remove(token).ok_or_else(|| refusal(410, "Expired"))?,
            };
            let after = rest.split_off(rest.len().min(2));
            let continue_token =
                if after.is_empty() { String::new() } else { format!("{version}-{}", after.len()) };
            if !after.is_empty() {
                state.pages.insert(continue_token.clone(), (version, after));
            }
            let resource_version = version.to_string();
            Ok(ListPage { objects: rest, resource_version, continue_token, undecodable: 0 })
        })
    }

    fn watch<'a>(&'a self, version: &'a str, _timeout: Duration) -> BoxFuture<'a, Answer<EventStream>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let mut state = self.state.lock().unwrap();
            if let Some(code) = state.refusals.pop() {
                return Err(refusal(code, ""));
            }
            let version: u64 = version.parse().unwrap();
            if version < state.compacted {
                return Err(refusal(410, "Expired"));
            }
            let (events, stream) = unbounded();
            for (_, event) in state.log.iter().filter(|(at, _)| *at > version) {
                events.unbounded_send(Ok(event.clone())).unwrap();
            }
            state.watches.push(events);
            let stream: EventStream = Box::pin(stream);
            Ok(stream)
        })
    }
}
