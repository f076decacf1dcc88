//! The recent changes of one resource: what watches are served from, and what lets a list be made as of
//! an earlier version.
//!
//! It is bounded. Whoever needs a change that was dropped learns the version up to which all is lost.

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

#[derive(Debug, Default)]
pub(crate) struct History {
    events: VecDeque<Arc<Event>>,
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
        let events = self.events.iter().filter(|event| is_meant(&event.key)).cloned().collect();
        Self { events, ..*self }
    }

    /// Keeps so many events, and returns those that it drops.
    pub(crate) fn push(&mut self, event: Arc<Event>, limit: usize) -> Vec<Arc<Event>> {
        self.events.push_back(event);
        let excess = self.events.len().saturating_sub(limit.max(1));
        let dropped: Vec<_> = self.events.drain(..excess).collect();
        if let Some(newest) = dropped.last() {
            self.compacted = newest.object.version;
        }
        dropped
    }

    /// Drops the events up to a version.
    pub(crate) fn drop_to(&mut self, version: u64) {
        while let Some(dropped) = self.events.pop_front_if(|event| event.object.version <= version) {
            self.compacted = dropped.object.version;
        }
    }

    /// Drops all events: they are up to this version.
    pub(crate) fn forget(&mut self, version: u64) {
        if let Some(last) = self.events.back() {
            self.compacted = last.object.version;
        }
        self.events.clear();
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
