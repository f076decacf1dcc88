//! An API server in memory that can be made to fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::channel::mpsc::unbounded;
use serde_json::json;
use wheelhouse_cache::{
    BoxFuture, Event, EventStream, Failure, ListPage, ListRequest, ListWatch, Unreadable, WatchRequest,
};
use wheelhouse_core::{Fields, Key, Object, Scope};

use crate::script::{Answer, Events, bookmark, end_of_initial, key, object, refusal, unreadable};

/// An object as the server has it.
#[derive(Clone, Debug)]
struct Stored {
    object: Object,
    /// No client can decode it.
    odd: bool,
}

/// What happened: before and after.
#[derive(Clone, Debug)]
struct Happened {
    version: u64,
    before: Option<Stored>,
    after: Option<Stored>,
}

/// One watch.
struct Watch {
    events: Events,
    scope: Scope,
    fields: Fields,
}

#[derive(Default)]
struct State {
    version: u64,
    objects: BTreeMap<String, Stored>,
    uids: u64,
    log: Vec<Happened>,
    /// Events up to this are forgotten.
    compacted: u64,
    watches: Vec<Watch>,
    /// Watches that never hear of anything again.
    silent: Vec<Watch>,
    pages: BTreeMap<String, (u64, Vec<Stored>)>,
    refusals: Vec<u16>,
    /// Everything that ever was.
    history: BTreeMap<(Key, String, String), Object>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Server {
    state: Mutex<State>,
}

impl Watch {
    /// As a server tells of it: an object that comes to be selected is added. False if nobody listens.
    fn tell(&self, happened: &Happened) -> bool {
        // A server selects by what it has, odd or not.
        let selected = |stored: &Option<Stored>| stored.clone().filter(|s| self.scope.contains(&s.object));
        let event = match (selected(&happened.before), selected(&happened.after)) {
            (None, Some(after)) => self.event(after, Event::Added),
            (Some(_), Some(after)) => self.event(after, Event::Modified),
            (Some(before), None) => {
                let last = with_version(&before.object, happened.version);
                let deleted = self.event(Stored { object: last, ..before }, Event::Deleted);
                match deleted {
                    Event::Unreadable { unreadable, resource_version, .. } => {
                        Event::Unreadable { unreadable, resource_version, deleted: true }
                    }
                    event => event,
                }
            }
            (None, None) => return !self.events.is_closed(),
        };
        self.events.unbounded_send(Ok(event)).is_ok()
    }

    fn event(&self, stored: Stored, event: fn(Object) -> Event) -> Event {
        let Stored { object, odd } = stored;
        if !odd {
            return event(self.fields.project(&object));
        }
        let resource_version = object.resource_version().to_owned();
        Event::Unreadable { unreadable: unreadable(object.name()), resource_version, deleted: false }
    }
}

fn with_version(object: &Object, version: u64) -> Object {
    let mut value = object.value().to_value();
    value["metadata"]["resourceVersion"] = version.to_string().into();
    Object::from_value(&value).unwrap()
}

impl State {
    fn happen(&mut self, name: &str, after: Option<Stored>) {
        let before = match after.clone() {
            Some(after) => self.objects.insert(name.to_owned(), after),
            None => self.objects.remove(name),
        };
        let happened = Happened { version: self.version, before, after };
        self.watches.retain(|watch| watch.tell(&happened));
        self.log.push(happened);
    }

    fn put(&mut self, name: &str, content: u64, odd: bool) {
        self.version += 1;
        let uid = self.objects.get(name).map(|stored| stored.object.uid().to_owned());
        let uid = uid.unwrap_or_else(|| {
            self.uids += 1;
            format!("u{}", self.uids)
        });
        let labels = json!({"app": if content.is_multiple_of(2) { "web" } else { "db" }});
        let spec = json!({"content": content.to_string(), "more": "much"});
        let more = json!({"metadata": {"labels": labels}, "spec": spec});
        let new = object(name, &uid, &self.version.to_string(), more);
        if !odd {
            self.history.insert((new.key(), uid, new.resource_version().to_owned()), new.clone());
        }
        self.happen(name, Some(Stored { object: new, odd }));
    }
}

impl Server {
    pub(crate) fn put(&self, name: &str, content: u64) {
        self.state.lock().unwrap().put(name, content, false);
    }

    pub(crate) fn put_odd(&self, name: &str) {
        self.state.lock().unwrap().put(name, 0, true);
    }

    pub(crate) fn delete(&self, name: &str) {
        let mut state = self.state.lock().unwrap();
        if state.objects.contains_key(name) {
            state.version += 1;
            state.happen(name, None);
        }
    }

    pub(crate) fn bookmark(&self) {
        let mut state = self.state.lock().unwrap();
        let version = state.version.to_string();
        state.watches.retain(|watch| watch.events.unbounded_send(bookmark(&version)).is_ok());
    }

    /// Ends the watches: cleanly, or with a failure.
    pub(crate) fn disconnect(&self, failure: Option<u16>) {
        let mut state = self.state.lock().unwrap();
        for watch in state.watches.drain(..) {
            if let Some(code) = failure {
                let _ = watch.events.unbounded_send(Err(refusal(code, "")));
            }
        }
    }

    /// The watches' connections die, and nobody is told.
    pub(crate) fn fall_silent(&self) {
        let mut state = self.state.lock().unwrap();
        let dead: Vec<Watch> = state.watches.drain(..).collect();
        state.silent.extend(dead);
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

    /// What a client with these fields must see of a scope, and which objects it cannot.
    pub(crate) fn contents(&self, scope: &Scope, fields: &Fields) -> (Vec<Object>, Vec<Key>) {
        let state = self.state.lock().unwrap();
        let selected = state.objects.values().filter(|stored| scope.contains(&stored.object));
        let (odd, well): (Vec<&Stored>, Vec<&Stored>) = selected.partition(|stored| stored.odd);
        let well = well.into_iter().map(|stored| fields.project(&stored.object)).collect();
        (well, odd.into_iter().map(|stored| stored.object.key()).collect())
    }

    /// Whether an object is one that was there; `whole` if it has to have all of these fields.
    pub(crate) fn ever_had(&self, object: &Object, fields: &Fields, whole: bool) -> bool {
        let state = self.state.lock().unwrap();
        let found = (object.key(), object.uid().to_owned(), object.resource_version().to_owned());
        state.history.get(&found).is_some_and(|was| !whole || fields.project(was).value() == object.value())
    }
}

/// The server, as a client of one scope asks it.
pub(crate) struct Scoped {
    server: Arc<Server>,
    scope: Scope,
}

impl Scoped {
    pub(crate) fn new(server: &Arc<Server>, scope: &Scope) -> Self {
        Self { server: Arc::clone(server), scope: scope.clone() }
    }

    /// Others get a turn: what happens between two requests matters.
    async fn turn(&self) -> Result<(), Failure> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        match self.server.state.lock().unwrap().refusals.pop() {
            Some(code) => Err(refusal(code, "")),
            None => Ok(()),
        }
    }
}

impl ListWatch for Scoped {
    fn list<'a>(&'a self, request: ListRequest<'a>) -> BoxFuture<'a, Answer<ListPage>> {
        Box::pin(async move {
            self.turn().await?;
            let mut state = self.server.state.lock().unwrap();
            let (version, mut rest) = match request.continue_token {
                "" => {
                    let all = state.objects.values().filter(|stored| self.scope.contains(&stored.object));
                    (state.version, all.cloned().collect())
                }
                token => state.pages.remove(token).ok_or_else(|| refusal(410, "Expired"))?,
            };
            let after = rest.split_off(rest.len().min(2));
            let continue_token = if after.is_empty() {
                String::new()
            } else {
                format!("{}-{version}-{}", self.scope, after.len())
            };
            if !after.is_empty() {
                state.pages.insert(continue_token.clone(), (version, after));
            }
            let (odd, well): (Vec<Stored>, Vec<Stored>) = rest.into_iter().partition(|stored| stored.odd);
            let unreadable: Vec<Unreadable> =
                odd.iter().map(|stored| unreadable(stored.object.name())).collect();
            let objects = well.iter().map(|stored| request.fields.project(&stored.object)).collect();
            Ok(ListPage { objects, resource_version: version.to_string(), continue_token, unreadable })
        })
    }

    fn watch<'a>(&'a self, request: WatchRequest<'a>) -> BoxFuture<'a, Answer<EventStream>> {
        Box::pin(async move {
            self.turn().await?;
            let mut state = self.server.state.lock().unwrap();
            let (events, stream) = unbounded();
            let watch = Watch { events, scope: self.scope.clone(), fields: request.fields.clone() };
            if request.initial_events {
                let version = state.version;
                for stored in state.objects.values() {
                    watch.tell(&Happened { version, before: None, after: Some(stored.clone()) });
                }
                watch.events.unbounded_send(end_of_initial(&version.to_string())).unwrap();
            } else {
                let version: u64 = request.resource_version.parse().unwrap();
                if version < state.compacted {
                    return Err(refusal(410, "Expired"));
                }
                state.log.iter().filter(|happened| happened.version > version).for_each(|happened| {
                    watch.tell(happened);
                });
            }
            state.watches.push(watch);
            let stream: EventStream = Box::pin(stream);
            Ok(stream)
        })
    }
}

#[test]
fn the_model_server_selects_as_the_real_one_does() {
    let server = Arc::new(Server::default());
    let web = Scope { labels: "app=web".parse().unwrap(), ..Scope::default() };
    server.put("a", 0);
    server.put("b", 1);
    let (objects, odd) = server.contents(&web, &Fields::of([]));
    assert_eq!((objects.len(), odd.len(), objects[0].key()), (1, 0, key("a")));
    assert!(objects[0].value().get("spec").is_none());
}
