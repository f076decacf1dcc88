//! The recent changes of one resource, for each part of it that somebody watches, and what wakes who watches it.
//!
//! Promises: who watches a part is woken for that part alone, reads nothing of the rest, and falls out of the window
//! only if something of that part did. The parts are views of one history: what that drops, they drop.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::history::{Compacted, Event, History};
use crate::store::Key;

/// Which objects of a resource are watched: those of this namespace, of this name, or both; "" is any.
pub(crate) type Scope = Key;

#[derive(Debug)]
pub(super) struct Feed {
    pub(super) history: History,
    wake: watch::Sender<u64>,
    /// Those that are watched, or were of late.
    parts: HashMap<Scope, Part>,
}

#[derive(Debug)]
struct Part {
    history: History,
    wake: watch::Sender<u64>,
}

impl Part {
    fn is_idle(&self) -> bool {
        self.wake.receiver_count() == 0
    }
}

/// The parts that an object is in, but for the whole.
fn scopes(key: &Key) -> impl Iterator<Item = Scope> {
    let both = (!key.namespace.is_empty()).then(|| key.clone());
    let namespace = both.as_ref().map(|key| Key::new(&key.namespace, ""));
    [namespace, Some(Key::new("", &key.name)), both].into_iter().flatten()
}

fn is_whole(scope: &Scope) -> bool {
    scope.namespace.is_empty() && scope.name.is_empty()
}

fn is_within(key: &Key, scope: &Scope) -> bool {
    (scope.namespace.is_empty() || scope.namespace == key.namespace)
        && (scope.name.is_empty() || scope.name == key.name)
}

impl Feed {
    /// Of what changes after a version.
    pub(super) fn since(version: u64) -> Self {
        Self { history: History::since(version), wake: watch::Sender::new(0), parts: HashMap::new() }
    }

    /// Changes whenever something in the scope does.
    pub(super) fn subscribe(&mut self, scope: &Scope) -> watch::Receiver<u64> {
        if is_whole(scope) {
            return self.wake.subscribe();
        }
        let history = &self.history;
        let part = self.parts.entry(scope.clone()).or_insert_with(|| Part {
            history: history.only(|key| is_within(key, scope)),
            wake: watch::Sender::new(0),
        });
        part.wake.subscribe()
    }

    /// The events of a scope after a version, oldest first, at most `max`.
    pub(super) fn after(
        &self,
        scope: &Scope,
        version: u64,
        max: usize,
    ) -> Result<Vec<Arc<Event>>, Compacted> {
        match self.parts.get(scope) {
            Some(part) => part.history.after(version, max),
            None => self.history.after(version, max),
        }
    }

    /// Keeps so many events. What is dropped is returned, to be freed elsewhere.
    pub(super) fn push(&mut self, event: &Arc<Event>, limit: usize) -> Vec<Arc<Event>> {
        let version = event.object.version;
        let dropped = self.history.push(event.clone(), limit);
        self.wake.send_replace(version);
        if self.parts.is_empty() {
            return dropped;
        }
        for scope in scopes(&event.key) {
            self.edit(&scope, |part| {
                part.history.push(event.clone(), usize::MAX);
                part.wake.send_replace(version);
            });
        }
        for dropped in &dropped {
            for scope in scopes(&dropped.key) {
                self.edit(&scope, |part| part.history.drop_to(dropped.object.version));
            }
        }
        dropped
    }

    /// Changes a part, or forgets it if nobody watches it any more.
    fn edit(&mut self, scope: &Scope, edit: impl FnOnce(&mut Part)) {
        match self.parts.get_mut(scope) {
            Some(part) if part.is_idle() => drop(self.parts.remove(scope)),
            Some(part) => edit(part),
            None => {}
        }
    }

    /// Drops all events: they are up to this version.
    pub(super) fn forget(&mut self, version: u64) {
        self.history.forget(version);
        self.parts.values_mut().for_each(|part| part.history.forget(version));
    }

    /// Tells who watches that there is nothing more to come.
    pub(super) fn close(&mut self) {
        self.wake = watch::Sender::new(0);
        self.parts.values_mut().for_each(|part| part.wake = watch::Sender::new(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Change;
    use crate::object::{Json, Object};

    fn push(feed: &mut Feed, namespace: &str, name: &str, version: u64) {
        let object = Arc::new(Object::new(Json::new(), version));
        let key = Key::new(namespace, name);
        let event = Event { storage: "pods".into(), key, change: Change::Added, object, previous: None };
        feed.push(&Arc::new(event), 3);
    }

    fn versions(feed: &Feed, scope: &Scope, after: u64) -> Result<Vec<u64>, Compacted> {
        Ok(feed.after(scope, after, 10)?.iter().map(|event| event.object.version).collect())
    }

    #[test]
    fn a_part_has_its_own_events_alone_and_wakes_for_them_alone() {
        for (scope, expected) in
            [(Key::new("a", ""), vec![1, 3]), (Key::new("", "x"), vec![1, 2]), (Key::new("b", "x"), vec![2])]
        {
            let mut feed = Feed::since(0);
            push(&mut feed, "a", "x", 1);
            let mut wake = feed.subscribe(&scope);
            push(&mut feed, "b", "x", 2);
            assert_eq!(wake.has_changed().unwrap(), expected.contains(&2));
            wake.mark_unchanged();
            push(&mut feed, "a", "y", 3);
            assert_eq!(wake.has_changed().unwrap(), expected.contains(&3));
            assert_eq!(versions(&feed, &scope, 0).unwrap(), expected);
        }
    }

    #[test]
    fn what_other_parts_lose_is_no_loss_and_what_a_part_loses_is() {
        let mut feed = Feed::since(0);
        let scope = Key::new("a", "");
        let _wake = feed.subscribe(&scope);
        push(&mut feed, "a", "x", 1);
        for version in 2..=4 {
            push(&mut feed, "b", "x", version);
        }
        assert_eq!(versions(&feed, &scope, 0).unwrap_err(), Compacted(1));
        push(&mut feed, "b", "x", 5);
        assert_eq!(versions(&feed, &scope, 1).unwrap(), [0; 0]);
        assert_eq!(feed.history.after(1, 10).unwrap_err(), Compacted(2));
    }

    #[test]
    fn a_part_that_nobody_watches_any_more_goes() {
        let mut feed = Feed::since(0);
        let wake = feed.subscribe(&Key::new("a", ""));
        push(&mut feed, "a", "x", 1);
        drop(wake);
        assert_eq!(feed.parts.len(), 1);
        push(&mut feed, "a", "x", 2);
        assert_eq!(feed.parts.len(), 0);
    }

    #[test]
    fn closing_is_told_to_all_and_forgetting_loses_all() {
        let mut feed = Feed::since(0);
        let scope = Key::new("a", "");
        let (part, whole) = (feed.subscribe(&scope), feed.subscribe(&Key::new("", "")));
        push(&mut feed, "a", "x", 1);
        feed.forget(1);
        assert_eq!(versions(&feed, &scope, 0).unwrap_err(), Compacted(1));
        assert_eq!(versions(&feed, &scope, 1).unwrap(), [0; 0]);
        feed.close();
        assert!(part.has_changed().is_err() && whole.has_changed().is_err());
    }
}
