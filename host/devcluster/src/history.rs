//! The recent changes of one resource: what watches are served from, and what lets a list be made as of
//! an earlier version.
//!
//! It is bounded, in changes and in bytes. Whoever needs a change that was dropped learns the version up to which all is lost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::kind::ResourceId;
use crate::object::Object;
use crate::store::Key;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

/// One committed change.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) storage: ResourceId,
    pub(crate) key: Key,
    pub(crate) change: Change,
    /// The new state; of a deletion the last one, with the version of the deletion.
    pub(crate) object: Arc<Object>,
    pub(crate) previous: Option<Arc<Object>>,
}

/// The events in question were dropped; `0` is the newest version that is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compacted(pub(crate) u64);

/// How many bytes of objects are remembered at most, more or less: but for the newest change.
const LARGEST: usize = 64 * 1024 * 1024;

#[derive(Debug, Default)]
pub(crate) struct History {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    compacted: u64,
    /// What was before this version is not told any more, though nothing of it need be lost.
    forgotten: u64,
}

impl History {
    /// Of what changes after a version.
    pub(crate) fn since(version: u64) -> Self {
        Self { compacted: version, ..Self::default() }
    }

    /// The same of some objects alone.
    pub(crate) fn only(&self, is_meant: impl Fn(&Key) -> bool) -> Self {
        let events: VecDeque<_> = self.events.iter().filter(|event| is_meant(&event.key)).cloned().collect();
        let bytes = events.iter().map(|event| event.object.weight()).fold(0, usize::saturating_add);
        Self { events, bytes, ..*self }
    }

    /// Keeps so many events, or less if they are large, and returns those that it drops.
    pub(crate) fn push(&mut self, event: Arc<Event>, limit: usize) -> Vec<Arc<Event>> {
        self.bytes = self.bytes.saturating_add(event.object.weight());
        self.events.push_back(event);
        let mut dropped = Vec::new();
        while self.events.len() > limit.max(1) || (self.bytes > LARGEST && self.events.len() > 1) {
            dropped.extend(self.pop_if(|_| true));
        }
        dropped
    }

    /// Drops the events up to a version.
    pub(crate) fn drop_to(&mut self, version: u64) {
        while self.pop_if(|event| event.object.version <= version).is_some() {}
    }

    fn pop_if(&mut self, is_meant: impl FnOnce(&Event) -> bool) -> Option<Arc<Event>> {
        let dropped = self.events.pop_front_if(|event| is_meant(event))?;
        self.bytes = self.bytes.saturating_sub(dropped.object.weight());
        self.compacted = dropped.object.version;
        Some(dropped)
    }

    /// Drops all events: they are up to this version.
    pub(crate) fn forget(&mut self, version: u64) {
        if let Some(last) = self.events.back() {
            self.compacted = last.object.version;
        }
        self.events.clear();
        self.bytes = 0;
        self.forgotten = version;
    }

    /// Whether a reader may begin at a version; one that is reading already has lost only what it has
    /// not read.
    pub(crate) fn begins(&self, version: u64) -> Result<(), Compacted> {
        if version < self.forgotten { Err(Compacted(self.forgotten)) } else { self.reaches(version) }
    }

    /// The events after a version, oldest first, at most `max`.
    pub(crate) fn after(&self, version: u64, max: usize) -> Result<Vec<Arc<Event>>, Compacted> {
        self.reaches(version)?;
        let start = self.events.partition_point(|event| event.object.version <= version);
        Ok(self.events.iter().skip(start).take(max).cloned().collect())
    }

    /// What each object that changed after a version was at that version (`None`: not there).
    pub(crate) fn undone(&self, version: u64) -> Result<BTreeMap<Key, Option<Arc<Object>>>, Compacted> {
        self.begins(version)?;
        let changed = self.events.iter().rev().take_while(|event| event.object.version > version);
        Ok(changed.map(|event| (event.key.clone(), event.previous.clone())).collect())
    }

    fn reaches(&self, version: u64) -> Result<(), Compacted> {
        if version < self.compacted { Err(Compacted(self.compacted)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Json;

    fn event(name: &str, version: u64, previous: Option<u64>) -> Arc<Event> {
        Arc::new(Event {
            storage: "pods".into(),
            key: Key::new("", name),
            change: Change::Modified,
            object: Arc::new(Object::new(Json::new(), version)),
            previous: previous.map(|version| Arc::new(Object::new(Json::new(), version))),
        })
    }

    #[test]
    fn a_version_before_the_window_is_compacted_and_the_edge_is_not() {
        let mut history = History::default();
        for version in 1..=5 {
            history.push(event("a", version, None), 2);
        }
        assert_eq!(history.after(2, 10).unwrap_err(), Compacted(3));
        assert_eq!(history.after(3, 10).unwrap().len(), 2);
    }

    #[test]
    fn large_objects_make_the_window_shorter() {
        let mut history = History::default();
        let large = |version: u64| {
            let mut json = Json::new();
            json.insert("data".to_owned(), "x".repeat(1 << 20).into());
            Event {
                object: Arc::new(Object::new(json, version)),
                ..Arc::into_inner(event("a", 0, None)).unwrap()
            }
        };
        for version in 1..=100 {
            history.push(Arc::new(large(version)), 1000);
        }
        assert!(history.after(1, 1).is_err());
        let left = history.after(60, 1000).unwrap().len();
        assert!((40..=64).contains(&left), "{left}");
        // However large it is, the newest change is there.
        let mut json = Json::new();
        json.insert("data".to_owned(), "x".repeat(LARGEST).into());
        history.push(
            Arc::new(Event {
                object: Arc::new(Object::new(json, 101)),
                ..Arc::into_inner(event("a", 0, None)).unwrap()
            }),
            1000,
        );
        assert_eq!(history.after(100, 10).unwrap().len(), 1);
    }

    #[test]
    fn undoing_several_changes_of_an_object_gives_the_oldest_state() {
        let mut history = History::default();
        history.push(event("a", 5, None), 10);
        history.push(event("a", 6, Some(5)), 10);
        history.push(event("a", 7, Some(6)), 10);
        let undone = history.undone(5).unwrap();
        let state = undone.get(&Key::new("", "a")).unwrap().as_ref().unwrap();
        assert_eq!(state.version, 5);
        assert!(history.undone(4).unwrap().get(&Key::new("", "a")).unwrap().is_none());
    }
}
