//! The state that every request shares.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::DevClusterConfig;
use crate::disk::Disk;
use crate::kind::Kind;
use crate::object::{Json, Object};
use crate::registry::Registry;
use crate::store::{Key, Store};
use crate::{access, crd, faults, object, workloads};

#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) config: DevClusterConfig,
    pub(crate) clock: Clock,
    pub(crate) access: access::State,
    pub(crate) faults: faults::State,
    pub(crate) failures: workloads::Failures,
    definitions: Mutex<()>,
    services: Mutex<()>,
    /// Tells documents of this server apart from those of one that ran on the same port before.
    pub(crate) instance: String,
    /// Becomes true when the server stops.
    pub(crate) stopping: watch::Sender<bool>,
}

impl Cluster {
    pub(crate) fn new(config: DevClusterConfig, access: access::State, disk: Option<Disk>) -> Arc<Self> {
        let cluster = Self {
            store: Store::new(config.watch_history, disk),
            access,
            registry: Registry::new(),
            config,
            clock: Clock::default(),
            faults: faults::State::default(),
            failures: workloads::Failures::default(),
            definitions: Mutex::default(),
            services: Mutex::default(),
            instance: uuid::Uuid::new_v4().simple().to_string(),
            stopping: watch::Sender::new(false),
        };
        Arc::new(cluster)
    }

    /// One that nobody is refused by.
    #[cfg(test)]
    pub(crate) fn open(disk: Option<Disk>) -> Arc<Self> {
        let access = access::State::new(&access::Access::default(), None).unwrap();
        Self::new(DevClusterConfig::default(), access, disk)
    }

    /// To be called after each committed write: a change of a definition changes what is served.
    pub(crate) fn after_write(&self, storage: &str, object: &Object) {
        if storage != crd::STORAGE {
            return;
        }
        self.registry.refresh(&self.store);
        let still_there = self.store.get(storage, &Key::of(&object.json)).is_some();
        if !still_there {
            self.store.close(&crd::storage_of(&object.json));
        }
        self.judge_names_again();
    }

    /// To be held from when a definition's names are judged until it is stored, so that no two get the same.
    pub(crate) fn definitions(&self) -> MutexGuard<'_, ()> {
        self.definitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be held from when a Service's address and node ports are chosen until it is stored, so that no two get the same.
    pub(crate) fn services(&self) -> MutexGuard<'_, ()> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Definitions that did not get their names get them once whoever had them gives them up.
    fn judge_names_again(&self) {
        let definitions = self.store.list_all(crd::STORAGE);
        for definition in definitions.iter().filter(|definition| !crd::is_accepted(&definition.json)) {
            let turn = self.definitions();
            let changed = self.change(&crd::STORAGE.into(), &Key::of(&definition.json), |json| {
                crd::set_status(json, &self.store.list_all(crd::STORAGE));
            });
            drop(turn);
            if let Some(object) = changed {
                self.after_write(crd::STORAGE, &object);
            }
        }
    }

    /// A write by the server itself, which no manager is recorded for. Retried until it fits; the
    /// object goes if it is being deleted and the edit took its last finalizer.
    pub(crate) fn edit(&self, storage: &crate::kind::ResourceId, key: &Key, edit: impl Fn(&mut Json)) {
        if let Some(object) = self.change(storage, key, edit) {
            self.after_write(storage, &object);
        }
    }

    /// The object as it was edited, if that changed anything.
    fn change(
        &self,
        storage: &crate::kind::ResourceId,
        key: &Key,
        edit: impl Fn(&mut Json),
    ) -> Option<Arc<Object>> {
        while let Some(current) = self.store.get(storage, key) {
            let mut json = current.json.clone();
            edit(&mut json);
            if json == current.json {
                return None;
            }
            let result = match object::may_go(&json) {
                true => self.store.remove(storage, key, current.version),
                false => self.store.replace(storage, key, current.version, json),
            };
            if let Ok(object) = result {
                return Some(object);
            }
        }
        None
    }

    /// The kind of a stored object, in any of its versions.
    pub(crate) fn kind_of(&self, storage: &str) -> Option<Arc<Kind>> {
        self.registry.served().storages().find(|kind| &*kind.storage == storage).cloned()
    }
}
