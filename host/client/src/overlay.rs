//! What a plugin knows to be newer than the cache: its own writes' answers, and what it read live.
//!
//! An entry counts until the store has seen the kind's version of it, or a bounded time has passed
//! (which is counted: the watch lags by more than that). A deletion hides the one object with its
//! UID, which never comes again; so a deletion whose event overtook its answer hides nothing.
//!
//! There is one overlay per plugin and store; the plugin's revisions share it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;
use wheelhouse_cache::{Informer, Snapshot, version};
use wheelhouse_core::{Key, Kind, Object};

use crate::sync::{AtomicUsize, Mutex, MutexGuard, PoisonError};

/// After so long, the store is believed whatever it says.
pub(crate) const TTL: Duration = Duration::from_secs(30);

/// All of one plugin's overlays. Clones share them: hand a clone to each revision's client.
#[derive(Clone, Default)]
pub struct OwnWrites {
    kinds: Arc<Mutex<HashMap<Kind, Vec<Weak<Overlay>>>>>,
}

impl OwnWrites {
    fn lock(&self) -> MutexGuard<'_, HashMap<Kind, Vec<Weak<Overlay>>>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The overlay over an informer's store. A new one begins with what the others of the kind know: a
    /// revision that watches another scope goes on with what the one before has written.
    pub(crate) fn over(&self, informer: &Informer) -> Arc<Overlay> {
        let mut kinds = self.lock();
        let overlays = kinds.entry(informer.kind().clone()).or_default();
        overlays.retain(|overlay| overlay.strong_count() > 0);
        let living: Vec<Arc<Overlay>> = overlays.iter().filter_map(Weak::upgrade).collect();
        if let Some(overlay) = living.iter().find(|overlay| overlay.informer.id() == informer.id()) {
            return Arc::clone(overlay);
        }
        let overlay = Arc::new(Overlay::new(informer.clone()));
        living.iter().for_each(|other| overlay.take_over(other));
        overlays.push(Arc::downgrade(&overlay));
        overlay
    }

    /// Tells those over the stores that an object of this namespace may be in. None comes meanwhile: it
    /// would know neither this nor what the others know of it.
    fn tell(&self, kind: &Kind, namespace: &str, what: impl Fn(&Overlay)) {
        let kinds = self.lock();
        let living = kinds.get(kind).into_iter().flatten().filter_map(Weak::upgrade);
        living
            .filter(|overlay| overlay.informer.scope().has_namespace(namespace))
            .for_each(|overlay| what(&overlay));
    }

    /// The object as it is known to be by an answer of the API server.
    pub(crate) fn learn(&self, kind: &Kind, object: &Object) {
        self.tell(kind, object.namespace(), |overlay| overlay.learn([object]));
    }

    /// The object with this UID is gone.
    pub(crate) fn learn_gone(&self, kind: &Kind, key: &Key, uid: &str) {
        self.tell(kind, &key.namespace, |overlay| overlay.learn_gone(key, uid));
    }
}

#[derive(Clone, Debug)]
enum Known {
    /// This, or something newer, is there: as the API server answered, whatever of it the store is for.
    Object(Object),
    /// The objects with these UIDs are gone. One had reached this version before; "" if nobody knows.
    Gone { uids: Vec<String>, version: String },
}

#[derive(Clone, Debug)]
struct Entry {
    known: Known,
    /// What the plugin is shown of an object; none if it is none of those that the store is for.
    shown: Option<Object>,
    since: Instant,
}

/// What is newer than one store.
pub(crate) struct Overlay {
    informer: Informer,
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
    fn version(&self) -> &str {
        match self {
            Self::Object(object) => object.resource_version(),
            Self::Gone { version, .. } => version,
        }
    }
}

impl Entry {
    fn new(known: Known, informer: &Informer, since: Instant) -> Self {
        let shown = match &known {
            Known::Object(object) if informer.scope().contains(object) => {
                Some(informer.fields().project(object))
            }
            _ => None,
        };
        Self { known, shown, since }
    }

    fn judge(&self, stored: Option<&Object>, seen: &str) -> Verdict {
        match &self.known {
            Known::Object(object) if self.shown.is_some() => {
                let version = object.resource_version();
                let stored_is_it = stored.is_some_and(|stored| {
                    stored.uid() == object.uid() && stored.resource_version() == version
                });
                if version::reaches(seen, version) || stored_is_it {
                    Verdict::Settled
                } else {
                    Verdict::Shows(self.shown.clone())
                }
            }
            // It has left what the store is for: until the watch tells of that, it is hidden.
            Known::Object(object) => match stored {
                Some(stored)
                    if stored.uid() == object.uid()
                        && version::older(stored.resource_version(), object.resource_version()) =>
                {
                    Verdict::Shows(None)
                }
                _ => Verdict::Settled,
            },
            Known::Gone { uids, version } => match stored {
                // One of them, or one that had gone before they came.
                Some(stored)
                    if uids.iter().any(|uid| uid == stored.uid())
                        || version::older(stored.resource_version(), version) =>
                {
                    Verdict::Shows(None)
                }
                Some(_) => Verdict::Settled,
                None if !version.is_empty() && version::reaches(seen, version) => Verdict::Settled,
                None => Verdict::Keeps,
            },
        }
    }
}

impl Overlay {
    pub(crate) fn new(informer: Informer) -> Self {
        Self { informer, entries: Mutex::default(), len: AtomicUsize::new(0), expired: AtomicU64::new(0) }
    }

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

    fn take_over(&self, other: &Self) {
        let theirs: Vec<(Key, Entry)> =
            other.lock().iter().map(|(key, entry)| (key.clone(), entry.clone())).collect();
        let mut entries = self.lock();
        for (key, entry) in theirs {
            let known = entries.get(&key).map(|known| known.known.version());
            let newer = known.is_none_or(|known| version::older(known, entry.known.version()));
            if newer && self.informer.scope().has_namespace(&key.namespace) {
                entries.insert(key, Entry::new(entry.known, &self.informer, entry.since));
            }
        }
        self.sweep(&mut entries, &self.informer.snapshot(), |_, _| {});
    }

    /// Drops what is settled or too old, and tells what each of the others does.
    fn sweep(
        &self,
        entries: &mut HashMap<Key, Entry>,
        now: &Snapshot,
        mut shows: impl FnMut(&Key, Option<Object>),
    ) {
        let mut expired = 0;
        entries.retain(|key, entry| match entry.judge(now.get(key), now.seen()) {
            Verdict::Settled => false,
            _ if entry.since.elapsed() >= TTL => {
                // A deletion that hid nothing has done its duty.
                let late = !matches!(entry.known, Known::Gone { .. } if now.get(key).is_none());
                if late {
                    let (kind, version) = (self.informer.kind(), entry.known.version());
                    tracing::warn!(%kind, object = %key, version, seen = now.seen(), "the watch has not brought a plugin's own write within {TTL:?}: from now on it may read what was before");
                }
                expired += u64::from(late);
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

    /// Objects as they are known to be by an answer of the API server.
    pub(crate) fn learn<'a>(&self, objects: impl IntoIterator<Item = &'a Object>) {
        let since = Instant::now();
        let mut entries = self.lock();
        let now = self.informer.snapshot();
        for object in objects {
            let (uid, version) = (object.uid(), object.resource_version());
            if uid.is_empty() || version.is_empty() {
                continue;
            }
            let key = object.key();
            let outdated = entries.get(&key).is_some_and(|entry| match &entry.known {
                Known::Gone { uids, .. } if uids.iter().any(|gone| gone == uid) => true,
                // Of whichever UID: an answer that was overtaken by another one's creation.
                known => version::older(version, known.version()),
            });
            if outdated
                || now.get(&key).is_some_and(|stored| version::reaches(stored.resource_version(), version))
            {
                continue;
            }
            entries.insert(key, Entry::new(Known::Object(object.clone()), &self.informer, since));
        }
        self.sweep(&mut entries, &now, |_, _| {});
    }

    /// The object with this UID is gone.
    pub(crate) fn learn_gone(&self, key: &Key, uid: &str) {
        if uid.is_empty() {
            return;
        }
        let mut entries = self.lock();
        let now = self.informer.snapshot();
        let of_uid = |object: &Object| (object.uid() == uid).then(|| object.resource_version().to_owned());
        let known = entries.get(key).map(|entry| &entry.known);
        let version = match known {
            Some(Known::Object(known)) if known.uid() != uid => return,
            Some(known) => Some(known.version().to_owned()),
            None => now.get(key).and_then(of_uid),
        };
        // Answers overtake each other: nobody knows which of two went last.
        let mut uids = match known {
            Some(Known::Gone { uids, .. }) => uids.clone(),
            _ => Vec::new(),
        };
        uids.push(uid.to_owned());
        let known = Known::Gone { uids, version: version.unwrap_or_default() };
        entries.insert(key.clone(), Entry::new(known, &self.informer, Instant::now()));
        self.sweep(&mut entries, &now, |_, _| {});
    }

    /// The UID that the plugin would now read at a key, or "".
    pub(crate) fn uid_at(&self, key: &Key) -> String {
        let object = self.get(key).ok().flatten();
        object.map(|object| object.uid().to_owned()).unwrap_or_default()
    }

    /// One object, if there is one; an error if it cannot be made sense of: why.
    pub(crate) fn get(&self, key: &Key) -> Result<Option<Object>, Arc<str>> {
        // The lock is taken before the store is looked at: an entry that is dropped because the
        // store has caught up is not missed by a look at the store before it did.
        let mut entries = self.lock();
        let Some(entry) = entries.get(key) else {
            drop(entries);
            return self.informer.look_up(key);
        };
        let now = self.informer.snapshot();
        let stored = || now.look_up(key).map(|object| object.map(|object| self.informer.view(&now, object)));
        let verdict = entry.judge(now.get(key), now.seen());
        if matches!(verdict, Verdict::Settled) || entry.since.elapsed() >= TTL {
            self.sweep(&mut entries, &now, |_, _| {});
            return stored();
        }
        match verdict {
            Verdict::Shows(object) => Ok(object),
            Verdict::Keeps | Verdict::Settled => stored(),
        }
    }

    /// The store at one moment, and what is different from it: objects that are newer or new, and
    /// none for those that are gone.
    pub(crate) fn snapshot(&self) -> (Snapshot, BTreeMap<Key, Option<Object>>) {
        let mut newer = BTreeMap::new();
        let mut entries = self.lock();
        let now = self.informer.snapshot();
        self.sweep(&mut entries, &now, |key, object| {
            newer.insert(key.clone(), object);
        });
        (now, newer)
    }
}
