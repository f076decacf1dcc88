//! A change of the objects, and of all that finds them.

use std::sync::Arc;

use serde_json::Value;

use super::{Inner, Key, Place, Rejected, Resource};
use crate::history::{Change, Compacted, Event};
use crate::kind::ResourceId;
use crate::object::{self, Json, Object};

impl Inner {
    pub(super) fn check_create(&self, storage: &str, key: &Key) -> Result<(), Rejected> {
        self.check_namespace(&key.namespace)?;
        match self.resources.get(storage).and_then(|resource| resource.objects.get(key)) {
            Some(object) if object::is_deleting(&object.json) => Err(Rejected::ExistsStill),
            Some(_) => Err(Rejected::Exists),
            None => Ok(()),
        }
    }

    /// Whether something can be made in a namespace, or outside of any.
    pub(super) fn check_namespace(&self, name: &str) -> Result<(), Rejected> {
        if name.is_empty() {
            return Ok(());
        }
        match self.resources.get("namespaces").and_then(|r| r.objects.get(&Key::new("", name))) {
            None => Err(Rejected::NamespaceMissing),
            Some(namespace) if object::is_deleting(&namespace.json) => Err(Rejected::NamespaceTerminating),
            Some(_) => Ok(()),
        }
    }

    /// A definition is named as the storage of its objects.
    pub(super) fn check_defined(&self, storage: &str) -> Result<(), Rejected> {
        let definitions = self.resources.get(crate::crd::STORAGE);
        match definitions.and_then(|r| r.objects.get(&Key::new("", storage))) {
            None => Err(Rejected::NotDefined),
            Some(definition) if object::is_deleting(&definition.json) => Err(Rejected::DefinitionTerminating),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn check_version(
        &self,
        storage: &str,
        key: &Key,
        version: u64,
    ) -> Result<&Arc<Object>, Rejected> {
        match self.resources.get(storage).and_then(|r| r.objects.get(key)) {
            None => Err(Rejected::Gone),
            Some(object) if object.version != version => Err(Rejected::Stale),
            Some(object) => Ok(object),
        }
    }

    /// Returns the change, and those that are remembered no more, to be freed without the lock.
    pub(super) fn commit(
        &mut self,
        storage: &ResourceId,
        key: &Key,
        change: Change,
        mut json: Json,
        limit: usize,
    ) -> (Arc<Event>, Vec<Arc<Event>>) {
        self.version = self.version.saturating_add(1);
        let version = self.version;
        object::set(&mut json, &["metadata", "resourceVersion"], Value::String(version.to_string()));
        let object = Arc::new(Object::new(json, version));
        let resource = self.resource(storage);
        let previous = match change {
            Change::Deleted => resource.objects.remove(key),
            Change::Added | Change::Modified => resource.objects.insert(key.clone(), object.clone()),
        };
        let place: Place = (storage.clone(), key.clone());
        if !key.namespace.is_empty() {
            let before = self.counts.remove(&key.namespace).unwrap_or(0);
            let count = match (change, &previous) {
                (Change::Deleted, Some(_)) => before.saturating_sub(1),
                (Change::Added, None) => before.saturating_add(1),
                _ => before,
            };
            if count > 0 {
                self.counts.insert(key.namespace.clone(), count);
            }
        }
        if let Some(previous) = &previous {
            self.places.remove(object::uid(&previous.json));
            self.addresses.remove(storage, &previous.json);
            for owner in object::owners(&previous.json) {
                if let Some(places) = self.dependents.get_mut(owner.uid) {
                    places.remove(&place);
                    if places.is_empty() {
                        self.dependents.remove(owner.uid);
                    }
                }
            }
        }
        if change != Change::Deleted {
            self.index(place, &object);
        }
        let event = Arc::new(Event {
            storage: storage.clone(),
            key: key.clone(),
            change,
            object: object.clone(),
            previous,
        });
        let dropped = self.resource(storage).feed.push(&event, limit);
        self.subscribers.retain(|subscriber| subscriber.send(event.clone()).is_ok());
        (event, dropped)
    }

    /// Makes it if it is not there.
    pub(super) fn resource(&mut self, storage: &ResourceId) -> &mut Resource {
        let floor = self.floor;
        let resource = self.resources.entry(storage.clone()).or_insert_with(|| Resource::since(floor));
        resource.is_closed = false;
        resource
    }

    /// Finds an object by its uid from now on, by its owners' and by its address.
    pub(super) fn index(&mut self, place: Place, object: &Object) {
        self.addresses.add(&place.0, &object.json);
        for owner in object::owners(&object.json) {
            self.dependents.entry(owner.uid.to_owned()).or_default().insert(place.clone());
        }
        self.places.insert(object::uid(&object.json).to_owned(), place);
    }

    pub(super) fn reaches(&self, version: u64) -> Result<(), Compacted> {
        if version < self.floor { Err(Compacted(self.floor)) } else { Ok(()) }
    }
}
