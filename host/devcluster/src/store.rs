//! All objects, their versions and their owners, behind one lock that is held briefly, and by readers together.
//!
//! Promises: versions only grow, and every change has its own; a change is visible to readers, watches
//! and the owner index at once; a writer that read an older version is told so (`Rejected::Stale`).
//! Nothing in here serialises, validates or waits while it holds the lock.

mod addresses;
mod feed;
mod inner;
mod key;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{mpsc, watch};

use crate::disk::Disk;
use crate::history::{Change, Compacted, Event};
use crate::kind::ResourceId;
use crate::object::{Json, Object};
use addresses::Addresses;
use feed::Feed;
pub(crate) use feed::Scope;
pub(crate) use key::Key;

/// An object's place among all resources.
pub(crate) type Place = (ResourceId, Key);

/// Why a change was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    Exists,
    /// The object with this name is being deleted.
    ExistsStill,
    Gone,
    Stale,
    NamespaceMissing,
    NamespaceTerminating,
    NotDefined,
    DefinitionTerminating,
}

#[derive(Debug)]
pub(crate) struct Store {
    inner: RwLock<Inner>,
    history_limit: usize,
    disk: Option<Disk>,
}

#[derive(Debug, Default)]
struct Inner {
    version: u64,
    /// What was before this version is known to nobody any more.
    floor: u64,
    resources: HashMap<ResourceId, Resource>,
    places: HashMap<String, Place>,
    dependents: HashMap<String, BTreeSet<Place>>,
    addresses: Addresses,
    /// How many objects there are in each namespace that has any.
    counts: HashMap<String, usize>,
    subscribers: Vec<mpsc::UnboundedSender<Arc<Event>>>,
}

#[derive(Debug)]
struct Resource {
    objects: BTreeMap<Key, Arc<Object>>,
    feed: Feed,
    /// Its definition is gone: what is left is for the watches that are still to send it.
    is_closed: bool,
}

impl Resource {
    /// Whose changes before a version are not known.
    fn since(version: u64) -> Self {
        Self { objects: BTreeMap::new(), feed: Feed::since(version), is_closed: false }
    }
}

/// The objects of a list, and the version that the list is of.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) objects: Vec<Arc<Object>>,
    pub(crate) version: u64,
}

/// What a list covers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extent<'a> {
    /// As of this version, or the current one.
    pub(crate) at: Option<u64>,
    pub(crate) namespace: Option<&'a str>,
    /// Only what sorts after this key.
    pub(crate) after: Option<&'a Key>,
}

impl Store {
    pub(crate) fn new(history_limit: usize, disk: Option<Disk>) -> Self {
        // Milliseconds, so that a server on the port of an earlier one, which gave versions from its own start on, knows
        // none of those: what a client has from that one is then 410 here.
        let start = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(1).max(1);
        let inner = Inner { version: start, floor: start, ..Inner::default() };
        Self { inner: RwLock::new(inner), history_limit, disk }
    }

    /// Begins with what another server had. Subscribers are told of all of it, watches of none.
    pub(crate) fn restore(&self, version: u64, objects: Vec<(Place, Arc<Object>)>) {
        let mut inner = self.write();
        (inner.version, inner.floor) = (version, version);
        let mut events = Vec::new();
        for ((storage, key), object) in objects {
            inner.index((storage.clone(), key.clone()), &object);
            if !key.namespace.is_empty() {
                let count = inner.counts.entry(key.namespace.clone()).or_default();
                *count = count.saturating_add(1);
            }
            inner.resource(&storage).objects.insert(key.clone(), object.clone());
            events.push(Arc::new(Event { storage, key, change: Change::Added, object, previous: None }));
        }
        for event in events {
            inner.subscribers.retain(|subscriber| subscriber.send(event.clone()).is_ok());
        }
    }

    /// Returns when all is on the disk, if it is to be. What changes later is not.
    pub(crate) fn end(&self) {
        if let Some(disk) = &self.disk {
            disk.close();
        }
    }

    /// Waits until all that was changed up to a version, or else so far, is on the disk, if it is to be; whether it ever
    /// will be.
    pub(crate) fn kept(&self, to: Option<u64>) -> impl Future<Output = bool> + Send + use<> {
        let until = self.disk.as_ref().map(|disk| disk.until(to.unwrap_or_else(|| self.version())));
        async move {
            match until {
                Some(until) => until.await,
                None => true,
            }
        }
    }

    /// Whether what is written now cannot be kept, though it is to be.
    pub(crate) fn has_failed(&self) -> bool {
        self.disk.as_ref().is_some_and(Disk::has_failed)
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // Every change to `Inner` is complete before anything in it could panic.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn version(&self) -> u64 {
        self.read().version
    }

    /// Every change from now on, in order. For the server's own controllers, which keep up.
    pub(crate) fn subscribe(&self) -> mpsc::UnboundedReceiver<Arc<Event>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.write().subscribers.push(sender);
        receiver
    }

    pub(crate) fn get(&self, storage: &str, key: &Key) -> Option<Arc<Object>> {
        self.read().resources.get(storage)?.objects.get(key).cloned()
    }

    /// The current state of the object with a uid, and where it is.
    pub(crate) fn by_uid(&self, uid: &str) -> Option<(Place, Arc<Object>)> {
        let inner = self.read();
        let place = inner.places.get(uid)?.clone();
        let object = inner.resources.get(&place.0)?.objects.get(&place.1)?.clone();
        Some((place, object))
    }

    /// The objects whose owner references name a uid.
    pub(crate) fn dependents(&self, uid: &str) -> Vec<(Place, Arc<Object>)> {
        let inner = self.read();
        let places = inner.dependents.get(uid).into_iter().flatten();
        places
            .filter_map(|place| {
                let object = inner.resources.get(&place.0)?.objects.get(&place.1)?;
                Some((place.clone(), object.clone()))
            })
            .collect()
    }

    pub(crate) fn list_all(&self, storage: &str) -> Vec<Arc<Object>> {
        let inner = self.read();
        inner.resources.get(storage).map(|r| r.objects.values().cloned().collect()).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self, storage: &str) -> bool {
        self.read().resources.get(storage).is_none_or(|resource| resource.objects.is_empty())
    }

    pub(crate) fn is_namespace_empty(&self, namespace: &str) -> bool {
        !self.read().counts.contains_key(namespace)
    }

    /// The objects of an extent, as of one version, sorted by key.
    pub(crate) fn snapshot(&self, storage: &str, extent: Extent<'_>) -> Result<Snapshot, Compacted> {
        let inner = self.read();
        let version = extent.at.unwrap_or(inner.version);
        let Some(resource) = inner.resources.get(storage) else {
            inner.reaches(version)?;
            return Ok(Snapshot { objects: Vec::new(), version });
        };
        let start = match (extent.after, extent.namespace) {
            (Some(key), _) => Bound::Excluded(key.clone()),
            (None, Some(namespace)) => Bound::Included(Key::new(namespace, "")),
            (None, None) => Bound::Unbounded,
        };
        let bounds = (start, Bound::Unbounded);
        let inside = |key: &Key| extent.namespace.is_none_or(|namespace| key.namespace == namespace);
        let current = resource.objects.range(bounds.clone()).take_while(|(key, _)| inside(key));
        let undone = resource.feed.history.undone(version)?;
        let objects = if undone.is_empty() {
            current.map(|(_, object)| object.clone()).collect()
        } else {
            let mut then: BTreeMap<&Key, &Arc<Object>> = current.collect();
            for (key, previous) in undone.range(bounds).filter(|(key, _)| inside(key)) {
                match previous {
                    Some(object) => then.insert(key, object),
                    None => then.remove(key),
                };
            }
            then.into_values().cloned().collect()
        };
        Ok(Snapshot { objects, version })
    }

    /// The next events of a scope after a version, and the version up to which the reader is then informed.
    pub(crate) fn events(
        &self,
        storage: &str,
        scope: &Scope,
        after: u64,
        max: usize,
    ) -> Result<(Vec<Arc<Event>>, u64), Compacted> {
        let inner = self.read();
        let Some(resource) = inner.resources.get(storage) else {
            inner.reaches(after)?;
            return Ok((Vec::new(), after.max(inner.version)));
        };
        let events = resource.feed.after(scope, after, max)?;
        let informed = match events.last() {
            Some(last) if events.len() >= max => last.object.version,
            _ => after.max(inner.version),
        };
        Ok((events, informed))
    }

    /// Whether a watch may begin at a version.
    pub(crate) fn begins(&self, storage: &str, version: u64) -> Result<(), Compacted> {
        let inner = self.read();
        match inner.resources.get(storage) {
            Some(resource) => resource.feed.history.begins(version),
            None => inner.reaches(version),
        }
    }

    /// Forgets what happened up to now.
    pub(crate) fn compact(&self) {
        let mut inner = self.write();
        let version = inner.version;
        inner.resources.values_mut().for_each(|resource| resource.feed.forget(version));
    }

    /// Changes whenever something in the scope does; closes when the resource is no longer served.
    pub(crate) fn wake(&self, storage: &ResourceId, scope: &Scope) -> watch::Receiver<u64> {
        self.write().resource(storage).feed.subscribe(scope)
    }

    /// Ends the watches of a resource that is no longer served. What was closed before is forgotten.
    pub(crate) fn close(&self, storage: &str) {
        let mut inner = self.write();
        let count = inner.resources.len();
        inner.resources.retain(|_, resource| !resource.is_closed || !resource.objects.is_empty());
        if inner.resources.len() < count {
            inner.floor = inner.version;
        }
        if let Some(resource) = inner.resources.get_mut(storage) {
            resource.feed.close();
            resource.is_closed = true;
        }
    }

    /// Whether an object could be made here now.
    pub(crate) fn check_create(&self, storage: &str, key: &Key) -> Result<(), Rejected> {
        self.read().check_create(storage, key)
    }

    /// Whether an object could be made in this namespace now.
    pub(crate) fn check_namespace(&self, name: &str) -> Result<(), Rejected> {
        self.read().check_namespace(name)
    }

    /// Makes an object; what needs a definition is not made once that has gone, or begun to.
    pub(crate) fn create(
        &self,
        storage: &ResourceId,
        key: &Key,
        json: Json,
        needs_definition: bool,
    ) -> Result<Arc<Object>, Rejected> {
        let inner = self.write();
        if needs_definition {
            inner.check_defined(storage)?;
        }
        inner.check_create(storage, key)?;
        Ok(self.commit(inner, storage, key, Change::Added, json))
    }

    /// Replaces the object that has this version.
    pub(crate) fn replace(
        &self,
        storage: &ResourceId,
        key: &Key,
        version: u64,
        json: Json,
    ) -> Result<Arc<Object>, Rejected> {
        let inner = self.write();
        inner.check_version(storage, key, version)?;
        Ok(self.commit(inner, storage, key, Change::Modified, json))
    }

    /// Removes the object that has this version. What is said of it is the last state that was stored: one that its last
    /// finalizer went from has that still.
    pub(crate) fn remove(
        &self,
        storage: &ResourceId,
        key: &Key,
        version: u64,
    ) -> Result<Arc<Object>, Rejected> {
        let inner = self.write();
        let last = inner.check_version(storage, key, version)?.json.clone();
        Ok(self.commit(inner, storage, key, Change::Deleted, last))
    }

    fn commit(
        &self,
        mut inner: RwLockWriteGuard<'_, Inner>,
        storage: &ResourceId,
        key: &Key,
        change: Change,
        json: Json,
    ) -> Arc<Object> {
        let (event, dropped) = inner.commit(storage, key, change, json, self.history_limit);
        if let Some(disk) = &self.disk {
            disk.put(event.clone());
        }
        drop(inner);
        // This may be the end of large objects.
        drop(dropped);
        event.object.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_of_a_resource_that_is_gone_is_forgotten_when_another_goes() {
        let store = Store::new(100, None);
        for plural in ["one", "two"] {
            let (storage, key) = (plural.into(), Key::new("", "a"));
            let made = store.create(&storage, &key, Json::new(), false).unwrap();
            store.remove(&storage, &key, made.version).unwrap();
        }
        let before = store.version().saturating_sub(3);
        store.close("one");
        // Its watches are still to send what happened last.
        assert_eq!(store.events("one", &Scope::new("", ""), before, 10).unwrap().0.len(), 1);
        store.close("two");
        assert!(store.events("one", &Scope::new("", ""), before, 10).is_err());
        assert!(store.begins("one", before).is_err());
        store.begins("one", store.version()).unwrap();
        // One that is there again is not forgotten.
        store.create(&"two".into(), &Key::new("", "a"), Json::new(), false).unwrap();
        store.close("one");
        assert_eq!(store.list_all("two").len(), 1);
    }
}
