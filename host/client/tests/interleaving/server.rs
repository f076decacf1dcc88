//! An API server of one kind, and somebody who reads of it through a cache and believes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shuttle::sync::mpsc::{Receiver, Sender, channel};
use wheelhouse_core::request::{Consistency, Get, List};
use wheelhouse_core::{Fields, Kind, Object};

use crate::informer::Informer;
use crate::overlay::OwnWrites;
use crate::read::CachedKind;
use crate::sink::Sink;
use crate::sync::Mutex;
use crate::view::{Found, View};
use crate::world::{informer, key, object, sink, version};

/// What a watch brings.
#[derive(Clone)]
pub(crate) enum Event {
    Is(Object),
    Gone(Object),
}

struct State {
    version: u64,
    objects: BTreeMap<String, Object>,
    /// By name, the versions at which one was deleted.
    deleted: BTreeMap<String, Vec<u64>>,
    watches: Vec<Sender<Event>>,
}

/// Each write gets the next version, and is told to the watches in this order.
pub(crate) struct Server {
    state: Mutex<State>,
}

impl Server {
    /// It has these, each by its UID.
    pub(crate) fn new(uids: &[&str]) -> Self {
        let state =
            State { version: 0, objects: BTreeMap::new(), deleted: BTreeMap::new(), watches: Vec::new() };
        let server = Self { state: Mutex::new(state) };
        for uid in uids {
            server.put(uid);
        }
        server
    }

    /// A list and the watch from there on.
    pub(crate) fn list_and_watch(&self) -> (Vec<Object>, String, Receiver<Event>) {
        let (sender, receiver) = channel();
        let mut state = self.state.lock().unwrap();
        state.watches.push(sender);
        (state.objects.values().cloned().collect(), state.version.to_string(), receiver)
    }

    /// The watches end.
    pub(crate) fn close(&self) {
        self.state.lock().unwrap().watches.clear();
    }

    /// Creates or updates; the answer.
    pub(crate) fn put(&self, uid: &str) -> Object {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        let object = object(&format!("{uid}@{}", state.version));
        state.objects.insert(object.name().to_owned(), object.clone());
        state.tell(&Event::Is(object.clone()));
        object
    }

    /// Updates what is there.
    pub(crate) fn update(&self, name: &str) {
        let mut state = self.state.lock().unwrap();
        let Some(uid) = state.objects.get(name).map(|object| object.uid().to_owned()) else { return };
        state.version += 1;
        let object = object(&format!("{uid}@{}", state.version));
        state.objects.insert(name.to_owned(), object.clone());
        state.tell(&Event::Is(object));
    }

    /// Deletes; the UID of what was there, and the version at which it went.
    pub(crate) fn delete(&self, name: &str) -> (String, u64) {
        let mut state = self.state.lock().unwrap();
        let gone = state.objects.remove(name).unwrap();
        state.version += 1;
        let version = state.version;
        state.deleted.entry(name.to_owned()).or_default().push(version);
        let last = object(&format!("{}@{version}", gone.uid()));
        state.tell(&Event::Gone(last));
        (gone.uid().to_owned(), version)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Object> {
        self.state.lock().unwrap().objects.get(name).cloned()
    }

    /// The first version at or after this one at which there was none of this name.
    fn absent_since(&self, name: &str, version: u64) -> Option<u64> {
        let state = self.state.lock().unwrap();
        state.deleted.get(name)?.iter().copied().find(|deleted| *deleted >= version)
    }
}

impl State {
    fn tell(&self, event: &Event) {
        self.watches.iter().for_each(|watch| watch.send(event.clone()).unwrap());
    }
}

/// As a reflector: the list, if the store has none yet, and then what the watch brings until it ends.
pub(crate) fn reflect(sink: &Sink, list: Vec<Object>, version: &str, watch: &Receiver<Event>) {
    if !sink.store.synced() {
        sink.replace(list, &[], version, &Fields::all());
    }
    for event in watch.iter() {
        match event {
            Event::Is(object) => sink.upsert(object),
            Event::Gone(last) => sink.remove(&last),
        }
    }
}

pub(crate) fn kind() -> Kind {
    "v1/ConfigMap".parse().unwrap()
}

pub(crate) fn store() -> (Arc<Sink>, Informer) {
    let sink = sink(&Fields::all());
    let informer = informer(&sink, &Fields::all());
    (sink, informer)
}

pub(crate) fn cached(informer: &Informer, writes: &OwnWrites) -> Arc<CachedKind> {
    let views = vec![View::new(informer.clone(), writes)];
    let (indexes, warned) = (std::collections::HashMap::new(), Default::default());
    Arc::new(CachedKind { views, indexes, reads: Arc::default(), warned })
}

/// One of a plugin's workers: what it knows.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) server: Arc<Server>,
    pub(crate) writes: OwnWrites,
    pub(crate) cached: Arc<CachedKind>,
    /// By name, the version that it has seen, be it of an object or of a deletion.
    seen: BTreeMap<String, u64>,
    present: BTreeMap<String, String>,
    gone: BTreeSet<String>,
}

impl Worker {
    pub(crate) fn new(server: &Arc<Server>, writes: &OwnWrites, cached: &Arc<CachedKind>) -> Self {
        let (server, writes, cached) = (Arc::clone(server), writes.clone(), Arc::clone(cached));
        let (seen, present, gone) = Default::default();
        Self { server, writes, cached, seen, present, gone }
    }

    pub(crate) fn view(&self) -> &View {
        &self.cached.views[0]
    }

    pub(crate) fn put(&mut self, uid: &str) {
        let answer = self.server.put(uid);
        self.writes.learn(&kind(), &answer);
        self.saw(answer.name(), Some(&answer));
        self.look(answer.name());
    }

    pub(crate) fn delete(&mut self, name: &str) {
        // As `write.rs` does.
        let before = self.view().overlay.uid_at(&key(name));
        let (uid, version) = self.server.delete(name);
        assert!(before.is_empty() || self.gone.contains(&before) || before == uid || !self.knows(name));
        self.writes.learn_gone(&kind(), &key(name), &uid);
        self.gone.insert(uid);
        self.present.remove(name);
        self.seen.insert(name.to_owned(), version);
        self.look(name);
    }

    fn knows(&self, name: &str) -> bool {
        self.seen.contains_key(name)
    }

    /// As `live.rs` does.
    pub(crate) fn read_live(&mut self, name: &str) {
        let before = self.view().overlay.uid_at(&key(name));
        match self.server.get(name) {
            Some(object) => {
                self.view().have_been_read(std::slice::from_ref(&object));
                self.saw(name, Some(&object));
            }
            None => {
                self.writes.learn_gone(&kind(), &key(name), &before);
                self.saw(name, None);
            }
        }
    }

    /// What it is shown is never older than what it has seen, and never what it knows to be gone.
    pub(crate) fn saw(&mut self, name: &str, object: Option<&Object>) {
        let seen = self.seen.get(name).copied().unwrap_or_default();
        let now = match object {
            Some(object) => {
                assert!(version(object) >= seen, "{object:?} is older than version {seen}");
                assert!(!self.gone.contains(object.uid()), "{object:?} is gone");
                let before = self.present.insert(name.to_owned(), object.uid().to_owned());
                self.gone.extend(before.filter(|before| before != object.uid()));
                version(object)
            }
            None => {
                let absent = self.server.absent_since(name, seen);
                self.gone.extend(self.present.remove(name));
                absent.unwrap_or_else(|| panic!("{name} is there since version {seen}, and was not found"))
            }
        };
        self.seen.insert(name.to_owned(), now);
    }

    fn got(&self, name: &str) -> Option<Object> {
        let (kind, key, consistency) = (kind(), key(name), Consistency::OwnWrites);
        match self.cached.get(&Get { kind, key, subresource: String::new(), consistency }).unwrap() {
            Found::Object(object) => Some(object),
            Found::Absent => None,
            Found::Unknown => panic!("everything is cached"),
        }
    }

    fn list(&self) -> List {
        List {
            kind: kind(),
            namespace: String::new(),
            selector: Default::default(),
            field_selector: Default::default(),
            matches: Vec::new(),
            limit: 0,
            bytes: 0,
            after: None,
            consistency: Consistency::OwnWrites,
        }
    }

    /// Reads by each of the ways to; each comes after the one before.
    pub(crate) fn look(&mut self, name: &str) {
        let got = self.got(name);
        self.saw(name, got.as_ref());
        let listed = shuttle::future::block_on(self.cached.list(self.view(), &self.list()));
        let listed = listed.unwrap().objects;
        let found: Vec<&Object> = listed.iter().filter(|object| object.name() == name).collect();
        assert!(found.len() < 2, "{found:?}");
        self.saw(name, found.first().copied());
        let got = self.got(name);
        self.saw(name, got.as_ref());
    }
}
