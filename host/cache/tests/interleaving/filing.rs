//! A store with several readers, one who writes, and those who add indexes and drop them.

use std::collections::BTreeMap;
use std::sync::Arc;

use shuttle::thread;
use wheelhouse_core::{Fields, Key, Object};

use crate::index::IndexFn;
use crate::list_watch::Unreadable;
use crate::order::in_many_orders;
use crate::snapshot::{Query, Snapshot};
use crate::store::{OWNER_INDEX, Store};
use crate::version;
use crate::world::{key, object, objects, version as of};

const APPS: [&str; 3] = ["web", "db", "none"];

/// An index whose entries are remembered, since nobody knows what the function would say again.
fn app() -> IndexFn {
    IndexFn::from_fn(|object| {
        let app = object.value().at(&["metadata", "labels", "app"]).and_then(|app| app.as_str());
        app.into_iter().map(Into::into).collect()
    })
}

fn app_by_path() -> IndexFn {
    IndexFn::field("metadata.labels.app".parse().unwrap())
}

fn filed(now: &Snapshot, index: &str, value: &str) -> Vec<Object> {
    let query = Query { matches: &[(index, value)], ..Query::default() };
    now.scan(&query).unwrap().flatten().map(|(_, object)| object.clone()).collect()
}

/// An index has what its function says of the objects that are there, and nothing else.
fn check_index(now: &Snapshot, index: &str, values: &[&str]) {
    let function = now.index_fn(index).unwrap();
    let mut entries = 0;
    for value in values {
        let expected: Vec<Object> = now
            .iter()
            .filter(|(_, object)| function.values(object).iter().any(|has| has == value))
            .map(|(_, object)| object.clone())
            .collect();
        assert_eq!(filed(now, index, value), expected, "{index}={value}");
        entries += expected.len();
    }
    let (_, size) = now.index_sizes().into_iter().find(|(name, _)| &**name == index).unwrap();
    assert_eq!(size, entries, "{index} has entries of nothing");
}

/// All that is in a snapshot agrees.
fn check(now: &Snapshot) {
    let mut bytes = 0;
    for (key, object) in now.iter() {
        assert_eq!(now.get(key), Some(object), "{key} in order and by key");
        assert_eq!(**key, object.key());
        assert!(version::reaches(now.seen(), object.resource_version()), "{object:?} after {}", now.seen());
        bytes += object.as_bytes().len() as u64;
    }
    assert_eq!(now.bytes(), bytes);
    check_index(now, OWNER_INDEX, &["o0", "o1"]);
    for index in ["app", "path"] {
        if now.index_fn(index).is_some() {
            check_index(now, index, &APPS);
        }
    }
}

/// Somebody who reads again and again.
#[derive(Default)]
struct Reader {
    seen: String,
    versions: BTreeMap<Key, u64>,
}

impl Reader {
    fn saw(&mut self, object: &Object) {
        let version = of(object);
        let before = self.versions.insert(object.key(), version);
        assert!(before.is_none_or(|before| before <= version), "{object:?} after version {before:?}");
    }

    fn read(&mut self, store: &Store, names: &[&str]) {
        for name in names {
            if let Some(object) = store.get(&key(name)) {
                self.saw(&object);
            }
            let now = store.snapshot();
            check(&now);
            assert!(!version::older(now.seen(), &self.seen), "{} after {}", now.seen(), self.seen);
            self.seen = now.seen().to_owned();
            now.iter().for_each(|(_, object)| self.saw(object));
        }
    }
}

#[test]
fn a_snapshot_is_of_one_moment_and_time_never_goes_back() {
    let list = objects(&["a@1/web", "b@2/db", "c@3/web"]);
    let steps = objects(&["a@5/db", "b@6/web", "c@7/none"]);
    let overtaken = object("a@4/none");
    let relist = objects(&["a@8/web", "b@6/web"]);
    in_many_orders(move || {
        let store = Arc::new(Store::default());
        store.add_index("path", app_by_path());
        store.add_index("app", app());
        store.begin().replace(list.clone(), &[], "3", &Fields::all());
        let readers = [["a", "b"], ["c", "a"]].map(|names| {
            let store = Arc::clone(&store);
            thread::spawn(move || Reader::default().read(&store, &names))
        });
        for object in &steps {
            store.begin().upsert(object.clone());
        }
        assert!(store.begin().upsert(overtaken.clone()).is_empty());
        store.begin().remove(&steps[2]);
        store.begin().unreadable(&key("b"), "no", false, "7");
        store.begin().replace(relist.clone(), &[], "9", &Fields::all());
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        check(&store.snapshot());
        assert_eq!((store.len(), store.snapshot().seen()), (2, "9"));
    });
}

#[test]
fn a_relist_is_seen_whole_or_not_at_all() {
    let (before, after) = (objects(&["a@1", "b@2", "c@3"]), objects(&["b@6", "c@7", "d@8"]));
    in_many_orders(move || {
        let store = Arc::new(Store::default());
        let relisted = Arc::clone(&store);
        let (first, second) = (before.clone(), after.clone());
        let writer = thread::spawn(move || {
            relisted.begin().replace(first, &[], "3", &Fields::all());
            let unreadable = [Unreadable { key: Some(key("a")), reason: "no".into() }];
            relisted.begin().replace(second, &unreadable, "8", &Fields::all());
        });
        for _ in 0..3 {
            let now = store.snapshot();
            let all: Vec<Object> = now.iter().map(|(_, object)| object.clone()).collect();
            let expected: (&[Object], &str, usize) = match now.seen() {
                "" => (&[], "", 0),
                "3" => (&before, "3", 0),
                _ => (&after, "8", 1),
            };
            assert_eq!((all.as_slice(), now.seen(), now.unreadable()), expected);
            assert_eq!(now.synced(), !now.seen().is_empty());
        }
        writer.join().unwrap();
    });
}

#[test]
fn an_index_that_is_added_while_objects_change_has_all_of_them() {
    let list = objects(&["a@1/web", "b@2/db", "c@3/web"]);
    let steps = objects(&["a@5/db", "d@6/web", "b@7/none"]);
    in_many_orders(move || {
        let store = Arc::new(Store::default());
        store.begin().replace(list.clone(), &[], "3", &Fields::all());
        let others = [("app", app()), ("app", app()), ("path", app_by_path())].map(|(name, function)| {
            let store = Arc::clone(&store);
            thread::spawn(move || {
                store.add_index(name, function);
                check(&store.snapshot());
                assert!(store.snapshot().index_fn(name).is_some(), "who adds an index can use it");
            })
        });
        for object in &steps {
            store.begin().upsert(object.clone());
            check(&store.snapshot());
        }
        store.begin().remove(&steps[0]);
        others.into_iter().for_each(|other| other.join().unwrap());
        // What is remembered of each entry is right, too: what changes now moves.
        store.begin().upsert(object("d@9/db"));
        store.begin().remove(&steps[2]);
        let now = store.snapshot();
        check(&now);
        assert_eq!(now.index_sizes().len(), 3, "one of each name");
    });
}

#[test]
fn an_index_that_is_dropped_while_objects_change_takes_no_other_with_it() {
    let list = objects(&["a@1/web", "b@2/db", "c@3/web"]);
    let steps = objects(&["a@5/db", "b@6/web", "c@7/none"]);
    in_many_orders(move || {
        let store = Arc::new(Store::default());
        store.begin().replace(list.clone(), &[], "3", &Fields::all());
        store.add_index("path", app_by_path());
        store.add_index("gone", app());
        store.add_index("app", app());
        let [one, other, reading] = [(); 3].map(|()| Arc::clone(&store));
        let others = [
            thread::spawn(move || one.remove_index("path")),
            thread::spawn(move || other.remove_index("gone")),
            thread::spawn(move || Reader::default().read(&reading, &["a", "b"])),
        ];
        for object in &steps {
            store.begin().upsert(object.clone());
        }
        store.begin().remove(&steps[1]);
        others.into_iter().for_each(|other| other.join().unwrap());
        store.begin().upsert(object("a@9/none"));
        let now = store.snapshot();
        check(&now);
        let names: Vec<_> = now.index_sizes().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [OWNER_INDEX.into(), "app".into()]);
    });
}

#[test]
fn an_index_stays_while_one_of_two_holds_it() {
    let list = objects(&["a@1/web", "b@2/db"]);
    in_many_orders(move || {
        let store = Arc::new(Store::default());
        store.begin().replace(list.clone(), &[], "2", &Fields::all());
        let (other, holder) = (Arc::clone(&store), Arc::clone(&store));
        let others = [
            thread::spawn(move || {
                other.add_index("app", app());
                other.remove_index("app");
            }),
            thread::spawn(move || {
                holder.add_index("app", app());
                assert!(holder.snapshot().index_fn("app").is_some());
            }),
        ];
        store.begin().upsert(object("a@3/db"));
        others.into_iter().for_each(|other| other.join().unwrap());
        check(&store.snapshot());
        check_index(&store.snapshot(), "app", &APPS);
        store.remove_index("app");
        assert!(store.snapshot().index_fn("app").is_none());
    });
}
