//! What a plugin knows to be newer than the cache: its own writes' answers, and what it read live.
//!
//! An entry counts until the store has seen the kind's version of it, or a bounded time has passed
//! (which is counted: the watch lags by more than that). A deletion hides the one object with its
//! UID, which never comes again; so a deletion whose event overtook its answer hides nothing.
//!
//! There is one overlay per plugin and kind, and it outlives the plugin's revisions.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use wheelhouse_cache::{Snapshot, Store, version};
use wheelhouse_core::{Key, Kind, Object};

/// After so long, the store is believed whatever it says.
pub(crate) const TTL: Duration = Duration::from_secs(30);

/// All of one plugin's overlays. Clones share them: hand a clone to each revision's client.
#[derive(Clone, Default)]
pub struct OwnWrites {
    kinds: Arc<Mutex<HashMap<Kind, Arc<Overlay>>>>,
}

impl OwnWrites {
    pub(crate) fn of(&self, kind: &Kind) -> Arc<Overlay> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(kinds.entry(kind.clone()).or_default())
    }
}

#[derive(Clone, Debug)]
enum Known {
    /// This, or something newer, is there.
    Object(Object),
    /// The object with this UID is gone. It had reached this version before; "" if nobody knows.
    Gone { uid: String, version: String },
}

#[derive(Debug)]
struct Entry {
    known: Known,
    since: Instant,
}

/// One kind's.
#[derive(Default)]
pub(crate) struct Overlay {
    entries: Mutex<HashMap<Key, Entry>>,
    /// So that a read of a quiet plugin takes no lock.
    len: AtomicUsize,
    expired: AtomicU64,
}

/// What an entry does to a read.
enum Verdict {
    /// The store has it, or has moved on.
    Settled,
    /// The store is behind: this is what is there.
    Shows(Option<Object>),
    /// Nothing now, but the store may still bring what must be hidden.
    Keeps,
}

impl Known {
    fn judge(&self, stored: Option<&Object>, seen: &str) -> Verdict {
        match self {
            Self::Object(object) => {
                let version = object.resource_version();
                let stored_is_it = stored.is_some_and(|stored| {
                    stored.uid() == object.uid() && stored.resource_version() == version
                });
                if version::reaches(seen, version) || stored_is_it {
                    Verdict::Settled
                } else {
                    Verdict::Shows(Some(object.clone()))
                }
            }
            Self::Gone { uid, version } => match stored {
                Some(stored) if stored.uid() == uid => Verdict::Shows(None),
                Some(_) => Verdict::Settled,
                None if !version.is_empty() && version::reaches(seen, version) => Verdict::Settled,
                None => Verdict::Keeps,
            },
        }
    }
}

impl Overlay {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store alone is right.
    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Acquire) == 0
    }

    pub(crate) fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire) as u64
    }

    pub(crate) fn expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
    }

    /// Drops what is settled or too old, and tells what each of the others does.
    fn sweep(
        &self,
        entries: &mut HashMap<Key, Entry>,
        now: &Snapshot,
        mut shows: impl FnMut(&Key, Option<Object>),
    ) {
        let mut expired = 0;
        entries.retain(|key, entry| match entry.known.judge(now.get(key), now.seen()) {
            Verdict::Settled => false,
            _ if entry.since.elapsed() >= TTL => {
                // A deletion that hid nothing has done its duty.
                expired += u64::from(!matches!(entry.known, Known::Gone { .. } if now.get(key).is_none()));
                false
            }
            Verdict::Keeps => true,
            Verdict::Shows(object) => {
                shows(key, object);
                true
            }
        });
        self.expired.fetch_add(expired, Ordering::Relaxed);
        self.len.store(entries.len(), Ordering::Release);
    }

    /// The object as it is known to be by an answer of the API server.
    pub(crate) fn learn(&self, object: &Object, store: &Store) {
        if object.uid().is_empty() || object.resource_version().is_empty() {
            return;
        }
        let mut entries = self.lock();
        let key = object.key();
        let outdated = entries.get(&key).is_some_and(|entry| match &entry.known {
            Known::Object(known) => version::older(object.resource_version(), known.resource_version()),
            Known::Gone { uid, .. } => uid == object.uid(),
        });
        if !outdated {
            entries.insert(key, Entry { known: Known::Object(object.clone()), since: Instant::now() });
        }
        self.sweep(&mut entries, &store.snapshot(), |_, _| {});
    }

    /// The object with this UID is gone.
    pub(crate) fn learn_gone(&self, key: &Key, uid: &str, store: &Store) {
        if uid.is_empty() {
            return;
        }
        let mut entries = self.lock();
        let now = store.snapshot();
        let of_uid = |object: &Object| (object.uid() == uid).then(|| object.resource_version().to_owned());
        let known = entries.get(key).map(|entry| &entry.known);
        let version = match known {
            Some(Known::Object(known)) if known.uid() != uid => return,
            Some(Known::Object(known)) => Some(known.resource_version().to_owned()),
            Some(Known::Gone { version, .. }) => Some(version.clone()),
            None => now.get(key).and_then(of_uid),
        };
        let known = Known::Gone { uid: uid.to_owned(), version: version.unwrap_or_default() };
        entries.insert(key.clone(), Entry { known, since: Instant::now() });
        self.sweep(&mut entries, &now, |_, _| {});
    }

    /// The UID that the plugin would now read at a key, or "".
    pub(crate) fn uid_at(&self, key: &Key, store: &Store) -> String {
        self.get(key, store).map(|object| object.uid().to_owned()).unwrap_or_default()
    }

    /// One object.
    pub(crate) fn get(&self, key: &Key, store: &Store) -> Option<Object> {
        // The lock is taken before the store is looked at: an entry that is dropped because the
        // store has caught up is not missed by a look at the store before it did.
        let mut entries = self.lock();
        let Some(entry) = entries.get(key) else {
            drop(entries);
            return store.get(key);
        };
        let now = store.snapshot();
        let verdict = entry.known.judge(now.get(key), now.seen());
        if matches!(verdict, Verdict::Settled) || entry.since.elapsed() >= TTL {
            self.sweep(&mut entries, &now, |_, _| {});
            return now.get(key).cloned();
        }
        match verdict {
            Verdict::Shows(object) => object,
            Verdict::Keeps | Verdict::Settled => now.get(key).cloned(),
        }
    }

    /// The store at one moment, and what is different from it: objects that are newer or new, and
    /// none for those that are gone.
    pub(crate) fn snapshot(&self, store: &Store) -> (Snapshot, BTreeMap<Key, Option<Object>>) {
        let mut newer = BTreeMap::new();
        let mut entries = self.lock();
        let now = store.snapshot();
        self.sweep(&mut entries, &now, |key, object| {
            newer.insert(key.clone(), object);
        });
        (now, newer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(version: u64) -> Object {
        let metadata =
            json!({"namespace": "n", "name": "a", "uid": "u", "resourceVersion": version.to_string()});
        Object::from_value(&json!({"metadata": metadata})).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_remembered_for_ever_and_what_was_never_confirmed_is_counted() {
        let (overlay, store) = (Overlay::default(), Store::default());
        let key = Key::new("n", "a");
        overlay.learn(&object(5), &store);
        assert!(overlay.get(&key, &store).is_some());
        tokio::time::advance(TTL).await;
        assert!(overlay.get(&key, &store).is_none());
        assert_eq!((overlay.len(), overlay.expired()), (0, 1));
        overlay.learn_gone(&key, "u", &store);
        tokio::time::advance(TTL).await;
        assert!(overlay.snapshot(&store).1.is_empty() && overlay.is_empty());
        assert_eq!(overlay.expired(), 1, "a deletion of what is not there is no lag");
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_overtake_each_other_leave_the_newest() {
        let (overlay, store) = (Overlay::default(), Store::default());
        let key = Key::new("n", "a");
        let version = || overlay.get(&key, &store).map(|o| o.resource_version().to_owned());
        overlay.learn(&object(7), &store);
        overlay.learn(&object(6), &store);
        assert_eq!(version().as_deref(), Some("7"));
        overlay.learn_gone(&key, "u", &store);
        overlay.learn(&object(8), &store);
        assert_eq!(version(), None, "a UID does not come again");
    }

    #[test]
    fn a_plugins_revisions_share_what_it_wrote() {
        let writes = OwnWrites::default();
        let kind: Kind = "v1/Pod".parse().unwrap();
        assert!(Arc::ptr_eq(&writes.of(&kind), &writes.clone().of(&kind)));
    }
}
