//! Which kinds are served right now: the built-in ones and those of the CustomResourceDefinitions.
//!
//! Readers take a snapshot and are never blocked by a definition that comes or goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::watch;

use crate::kind::Kind;
use crate::store::Store;
use crate::{builtin, crd};

/// The kinds served at one moment.
#[derive(Debug, Default)]
pub(crate) struct Served {
    /// In discovery order: the core group first, then each group's versions by preference.
    pub(crate) kinds: Vec<Arc<Kind>>,
    /// Of definitions that serve no version: for their objects to go with them or with a namespace.
    unserved: Vec<Arc<Kind>>,
    index: HashMap<(String, String, String), Arc<Kind>>,
    /// Grows with every change; part of what clients cache discovery documents by.
    pub(crate) generation: u64,
}

impl Served {
    fn new(kinds: Vec<Arc<Kind>>, unserved: Vec<Arc<Kind>>, generation: u64) -> Self {
        let key = |kind: &Arc<Kind>| (kind.group.clone(), kind.version.clone(), kind.plural.clone());
        let index = kinds.iter().map(|kind| (key(kind), kind.clone())).collect();
        Self { kinds, unserved, index, generation }
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        self.index.get(&(group.to_owned(), version.to_owned(), plural.to_owned())).cloned()
    }

    /// The kind that an object's `apiVersion` and `kind` name.
    pub(crate) fn of_kind(&self, api_version: &str, kind: &str) -> Option<Arc<Kind>> {
        self.kinds.iter().find(|known| known.kind == kind && known.api_version() == api_version).cloned()
    }

    /// The groups and their versions, preferred first, without the core group.
    pub(crate) fn groups(&self) -> Vec<(&str, Vec<&str>)> {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for kind in self.kinds.iter().filter(|kind| !kind.group.is_empty()) {
            let versions = match groups.iter_mut().find(|(group, _)| *group == kind.group) {
                Some((_, versions)) => versions,
                None => {
                    groups.push((&kind.group, Vec::new()));
                    match groups.last_mut() {
                        Some((_, versions)) => versions,
                        None => continue,
                    }
                }
            };
            if !versions.contains(&kind.version.as_str()) {
                versions.push(&kind.version);
            }
        }
        for (_, versions) in &mut groups {
            versions.sort_by_key(|version| std::cmp::Reverse(crd::version_priority(version)));
        }
        groups
    }

    /// The stored kinds, one version of each storage.
    pub(crate) fn storages(&self) -> impl Iterator<Item = &Arc<Kind>> {
        let mut seen = std::collections::HashSet::new();
        let all = self.kinds.iter().chain(&self.unserved);
        all.filter(move |kind| !kind.is_virtual && seen.insert(kind.storage.clone()))
    }
}

#[derive(Debug)]
pub(crate) struct Registry {
    builtin: Vec<Arc<Kind>>,
    served: RwLock<Arc<Served>>,
    /// Held while what is to be served is made, which may take long.
    refreshing: Mutex<()>,
    /// Tells of every change of what is served.
    changes: watch::Sender<u64>,
}

impl Registry {
    pub(crate) fn new() -> Self {
        let builtin: Vec<Arc<Kind>> = builtin::kinds().into_iter().map(Arc::new).collect();
        let served = RwLock::new(Arc::new(Served::new(builtin.clone(), Vec::new(), 1)));
        Self { builtin, served, refreshing: Mutex::default(), changes: watch::Sender::new(1) }
    }

    pub(crate) fn served(&self) -> Arc<Served> {
        self.served.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves what the stored CustomResourceDefinitions say. Called after each write to one of them.
    pub(crate) fn refresh(&self, store: &Store) {
        // Read under the lock, so that two refreshes cannot overtake each other.
        let _one_at_a_time = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        let served = self.served();
        let definitions = store.list_all(crd::STORAGE);
        let mut kinds = self.builtin.clone();
        for definition in &definitions {
            kinds.extend(crd::kinds(&definition.json, &served).into_iter().map(Arc::new));
        }
        let unserved = definitions.iter().filter_map(|it| crd::unserved_kind(&it.json, &served));
        let unserved = unserved.map(Arc::new).collect();
        let generation = served.generation.saturating_add(1);
        let next = Arc::new(Served::new(kinds, unserved, generation));
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = next;
        self.changes.send_replace(generation);
    }

    /// Wakes whoever depends on a kind whenever there may be another state of it.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Whether a kind is still served, and as it was.
    pub(crate) fn still_serves(&self, kind: &Kind) -> bool {
        let now = self.served().find(&kind.group, &kind.version, &kind.plural);
        now.is_some_and(|now| now.shows_as(kind))
    }
}
