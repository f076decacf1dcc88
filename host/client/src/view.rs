//! What a plugin sees of one store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wheelhouse_cache::{Informer, Snapshot, version};
use wheelhouse_core::request::{Consistency, List};
use wheelhouse_core::{ApiError, Key, Object};

use crate::overlay::{Overlay, OwnWrites};
use crate::sync::{AtomicBool, Mutex, PoisonError};

/// An informer, and what the plugin knows to be newer.
pub(crate) struct View {
    pub(crate) informer: Informer,
    pub(crate) overlay: Arc<Overlay>,
    /// The newest version that was read live instead: until the store has seen it, its objects would
    /// be older than what the plugin knows.
    floor: Mutex<String>,
    /// The store is synced and has seen the floor; so that a read looks at one flag.
    ready: AtomicBool,
}

/// What a cached get comes to.
pub(crate) enum Found {
    /// The object.
    Object(Object),
    /// There is none.
    Absent,
    /// There is none that the store is for; whether there is another is the API server's to say.
    Unknown,
}

impl View {
    pub(crate) fn new(informer: Informer, own_writes: &OwnWrites) -> Self {
        let overlay = own_writes.over(&informer);
        Self { informer, overlay, floor: Mutex::default(), ready: AtomicBool::new(false) }
    }

    /// Whether the store is synced and not older than what was read while it was not.
    pub(crate) fn ready(&self) -> bool {
        if self.ready.load(Ordering::Acquire) {
            return true;
        }
        let mut floor = self.floor.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = self.informer.synced() && !version::older(self.informer.snapshot().seen(), &floor);
        if ready {
            floor.clear();
        }
        self.ready.store(ready, Ordering::Release);
        ready
    }

    /// Remembers that the plugin has read these: no cached read that comes after shows something older.
    pub(crate) fn have_been_read(&self, objects: &[Object]) {
        if self.ready() {
            return self
                .overlay
                .learn(objects.iter().filter(|object| self.informer.scope().contains(object)));
        }
        let mut floor = self.floor.lock().unwrap_or_else(PoisonError::into_inner);
        for object in objects {
            if floor.is_empty() || version::older(&floor, object.resource_version()) {
                floor.clear();
                floor.push_str(object.resource_version());
            }
        }
        self.ready.store(false, Ordering::Release);
    }

    /// Whether everything that a list is for is in the store.
    pub(crate) fn answers(&self, request: &List) -> bool {
        let scope = self.informer.scope();
        scope.has_namespace(&request.namespace)
            && scope.labels.covers(&request.selector)
            && scope.fields.covers(&request.field_selector)
    }

    pub(crate) fn get(&self, key: &Key, consistency: Consistency) -> Result<Found, ApiError> {
        let own = consistency == Consistency::OwnWrites && !self.overlay.is_empty();
        // In one look: what could not be read a moment ago may be readable now, and is not absent.
        let found = if own { self.overlay.get(key) } else { self.informer.look_up(key) };
        match found {
            Ok(Some(object)) => Ok(Found::Object(object)),
            Err(reason) => Err(unreadable(self.informer.kind().as_str(), key, &reason)),
            Ok(None) if self.informer.scope().selects_all() => Ok(Found::Absent),
            Ok(None) => Ok(Found::Unknown),
        }
    }

    pub(crate) fn look(&self, consistency: Consistency) -> (Snapshot, BTreeMap<Key, Option<Object>>) {
        if consistency == Consistency::Cached || self.overlay.is_empty() {
            (self.informer.snapshot(), BTreeMap::new())
        } else {
            self.overlay.snapshot()
        }
    }
}

pub(crate) fn unreadable(kind: &str, key: &Key, reason: &str) -> ApiError {
    ApiError::Unreadable(format!("{kind} {key} is there, and cannot be read: {reason}"))
}
