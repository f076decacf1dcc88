//! The store against a naive model: random writes, indexes and queries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use proptest::prelude::*;
use serde_json::json;
use wheelhouse_core::{Fields, Key, LabelSelector, Object};

use crate::index::IndexFn;
use crate::snapshot::{Query, Snapshot};
use crate::store::{OWNER_INDEX, Store};

/// What varies of an object.
#[derive(Clone, Debug)]
struct Shape {
    namespace: usize,
    name: usize,
    uid: usize,
    owner: usize,
    app: usize,
    zones: Vec<usize>,
}

impl Shape {
    fn object(&self, version: u64) -> Object {
        Object::from_value(&json!({
            "metadata": {
                "namespace": (["", "a", "a-b", "b"][self.namespace]),
                "name": (["x", "y", "z", "x-1"][self.name]),
                "uid": format!("{}-{}-{}", self.namespace, self.name, self.uid),
                "resourceVersion": version.to_string(),
                "labels": {"app": (["web", "db"][self.app])},
                "ownerReferences": [{"uid": format!("o{}", self.owner)}],
            },
            "spec": {"zones": self.zones.iter().map(|z| format!("z{z}")).collect::<Vec<_>>()},
        }))
        .unwrap()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Upsert(Shape),
    /// An event that was overtaken.
    Stale(Shape),
    Remove(Shape),
    Replace(Vec<Shape>),
    AddIndex(usize),
    RemoveIndex(usize),
}

fn shape() -> impl Strategy<Value = Shape> {
    (0..4_usize, 0..4_usize, 0..2_usize, 0..3_usize, 0..2_usize, prop::collection::vec(0..3_usize, 0..4))
        .prop_map(|(namespace, name, uid, owner, app, zones)| Shape {
            namespace,
            name,
            uid,
            owner,
            app,
            zones,
        })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => shape().prop_map(Step::Upsert),
        1 => shape().prop_map(Step::Stale),
        3 => shape().prop_map(Step::Remove),
        1 => prop::collection::vec(shape(), 0..12).prop_map(Step::Replace),
        1 => (0..3_usize).prop_map(Step::AddIndex),
        1 => (0..3_usize).prop_map(Step::RemoveIndex),
    ]
}

const INDEXES: [&str; 3] = ["zone", "odd", "label"];

fn index(which: usize) -> IndexFn {
    match which {
        0 => IndexFn::field(".spec.zones[*]".parse().unwrap()),
        2 => IndexFn::field(".metadata.labels.app".parse().unwrap()),
        _ => IndexFn::from_fn(|object| vec![object.uid().to_owned(), object.uid().to_owned()]),
    }
}

fn values(name: &str, object: &Object) -> Vec<String> {
    match name {
        OWNER_INDEX => IndexFn::owner_uid().values(object),
        "zone" => index(0).values(object),
        "label" => index(2).values(object),
        _ => index(1).values(object),
    }
}

fn check(now: &Snapshot, model: &BTreeMap<Key, Object>, indexes: &[&str]) {
    let all: Vec<_> = now.iter().map(|(key, object)| (key.as_ref().clone(), object.clone())).collect();
    let expected: Vec<_> = model.iter().map(|(key, object)| (key.clone(), object.clone())).collect();
    assert_eq!(all, expected);
    for (namespace, name) in
        ["", "a", "a-b", "b"].iter().flat_map(|ns| ["x", "y", "z", "x-1"].map(|n| (*ns, n)))
    {
        let key = Key::new(namespace, name);
        assert_eq!(now.get(&key), model.get(&key));
    }
    assert_eq!(now.bytes(), model.values().map(|o| o.as_bytes().len() as u64).sum::<u64>());
    for (name, entries) in now.index_sizes() {
        assert!(indexes.contains(&name.as_ref()), "{name}");
        assert_eq!(entries, model.values().map(|o| values(&name, o).len()).sum::<usize>(), "{name}");
    }
    for matches in [
        vec![],
        vec![(OWNER_INDEX, "o1")],
        vec![("zone", "z1")],
        vec![("zone", "z1"), ("zone", "z2"), (OWNER_INDEX, "o0")],
        vec![("odd", "1-1-0")],
        vec![("odd", "none"), (OWNER_INDEX, "o0")],
    ] {
        for (namespace, selector) in
            [("", ""), ("a", ""), ("a", "app=web"), ("", "app in (web),app!=db"), ("a-b", ""), ("none", "")]
        {
            let selector: LabelSelector = selector.parse().unwrap();
            let query = Query {
                namespace,
                selector: &selector,
                fields: &[],
                matches: &matches,
                limit: 2,
                bytes: 0,
                after: None,
            };
            if !matches.iter().all(|(name, _)| indexes.contains(name)) {
                assert!(now.list(&query).is_err());
                continue;
            }
            let expected: Vec<&Object> = model
                .values()
                .filter(|o| namespace.is_empty() || o.namespace() == namespace)
                .filter(|o| selector.matches(o.value()))
                .filter(|o| matches.iter().all(|(name, value)| values(name, o).iter().any(|v| v == value)))
                .collect();
            assert_eq!(now.count(&query).unwrap(), expected.len() as u64, "{query:?}");
            let mut found = Vec::new();
            let mut after = None;
            loop {
                let page = now.list(&Query { after: after.as_ref(), ..query }).unwrap();
                assert!(page.objects.len() <= 2);
                found.extend(page.objects);
                after = page.more_after;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Traps 2, 14, 15 and 16, and whatever else there is.
    #[test]
    fn trap_14_the_store_and_its_indexes_are_those_of_a_naive_model(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let store = Store::default();
        let mut model: BTreeMap<Key, Object> = BTreeMap::new();
        let mut indexes = vec![OWNER_INDEX];
        let mut version = 100;
        for step in steps {
            version += 1;
            match step {
                Step::Upsert(shape) => {
                    let object = shape.object(version);
                    model.insert(object.key(), object.clone());
                    store.begin().upsert(object);
                }
                Step::Stale(shape) => {
                    let object = shape.object(5);
                    if model.contains_key(&object.key()) {
                        store.begin().upsert(object);
                    }
                }
                Step::Remove(shape) => {
                    let object = shape.object(version);
                    if model.get(&object.key()).is_some_and(|there| there.uid() == object.uid()) {
                        model.remove(&object.key());
                    }
                    store.begin().remove(&object);
                }
                Step::Replace(shapes) => {
                    let objects: BTreeMap<Key, Object> =
                        shapes.iter().map(|s| s.object(version)).map(|o| (o.key(), o)).collect();
                    model = objects.clone();
                    let objects = objects.into_values().collect();
                    store.begin().replace(objects, &[], &version.to_string(), &Fields::all());
                }
                // An index is there as long as somebody wants it.
                Step::AddIndex(which) => {
                    store.add_index(INDEXES[which], index(which));
                    indexes.push(INDEXES[which]);
                }
                Step::RemoveIndex(which) => {
                    store.remove_index(INDEXES[which]);
                    if let Some(at) = indexes.iter().position(|name| *name == INDEXES[which]) {
                        indexes.remove(at);
                    }
                }
            }
            check(&store.snapshot(), &model, &indexes);
        }
    }
}

fn pod(name: &str, node: &str, version: u64) -> Object {
    Object::from_value(&json!({
        "metadata": {"namespace": "n", "name": name, "uid": name, "resourceVersion": version.to_string()},
        "spec": {"nodeName": node},
    }))
    .unwrap()
}

#[test]
fn trap_16_a_query_sees_one_moment_while_the_store_goes_on() {
    let store = Arc::new(Store::default());
    store.add_index("node", IndexFn::field(".spec.nodeName".parse().unwrap()));
    store.begin().replace(
        (0..100).map(|n| pod(&format!("p{n}"), "n0", 1)).collect(),
        &[],
        "1",
        &Fields::all(),
    );
    let writer = Arc::clone(&store);
    let moving = thread::spawn(move || {
        for version in 2..200 {
            let node = format!("n{}", version % 2);
            let all = (0..100).map(|n| pod(&format!("p{n}"), &node, version)).collect();
            writer.begin().replace(all, &[], &version.to_string(), &Fields::all());
        }
    });
    let everything = LabelSelector::default();
    while !moving.is_finished() {
        let now = store.snapshot();
        let on = |node| {
            let matches = [("node", node)];
            let query = Query {
                namespace: "",
                selector: &everything,
                fields: &[],
                matches: &matches,
                limit: 0,
                bytes: 0,
                after: None,
            };
            now.count(&query).unwrap()
        };
        assert_eq!((on("n0") + on("n1"), on("n0") % 100), (100, 0));
    }
    moving.join().unwrap();
}

#[test]
fn trap_17_an_index_function_that_panics_harms_only_its_own_index() {
    let store = Store::default();
    store.add_index(
        "bad",
        IndexFn::from_fn(|object| if object.name() == "x" { panic!("bug") } else { vec!["v".into()] }),
    );
    store.add_index("good", IndexFn::field(".spec.nodeName".parse().unwrap()));
    store.begin().upsert(pod("x", "n0", 1));
    store.begin().upsert(pod("y", "n0", 2));
    let sizes: Vec<usize> = store.snapshot().index_sizes().into_iter().map(|(_, entries)| entries).collect();
    assert_eq!(sizes, [0, 1, 2]);
}

#[test]
fn trap_18_an_object_that_was_read_stays_what_it_was() {
    let store = Store::default();
    store.begin().upsert(pod("x", "n0", 1));
    let read = store.get(&Key::new("n", "x")).unwrap();
    let mut bytes = read.as_bytes().to_vec();
    bytes.fill(0);
    store.begin().upsert(pod("x", "n1", 2));
    assert_eq!(read, pod("x", "n0", 1));
    assert_eq!(store.get(&Key::new("n", "x")).unwrap(), pod("x", "n1", 2));
}

#[test]
fn trap_15_a_namespace_is_not_mixed_up_with_one_that_begins_like_it() {
    let store = Store::default();
    for namespace in ["", "a", "a-b", "ab"] {
        let object = json!({"metadata": {"namespace": namespace, "name": "x", "uid": namespace,
            "resourceVersion": "1", "ownerReferences": [{"uid": "o"}]}});
        store.begin().upsert(Object::from_value(&object).unwrap());
    }
    let everything = LabelSelector::default();
    for matches in [&[][..], &[(OWNER_INDEX, "o")]] {
        for (namespace, expected) in [("a", 1), ("a-", 0), ("", 4), ("ab", 1)] {
            let query = Query {
                namespace,
                selector: &everything,
                fields: &[],
                matches,
                limit: 0,
                bytes: 0,
                after: None,
            };
            assert_eq!(store.count(&query).unwrap(), expected, "{namespace:?}");
        }
    }
}

#[test]
fn a_page_ends_at_the_object_that_reaches_its_bytes() {
    let store = Store::default();
    (0..5).for_each(|n| drop(store.begin().upsert(pod(&format!("p{n}"), "n", n + 1))));
    let everything = LabelSelector::default();
    let size = pod("p0", "n", 1).as_bytes().len();
    let query = |bytes| Query {
        namespace: "",
        selector: &everything,
        fields: &[],
        matches: &[],
        limit: 0,
        bytes,
        after: None,
    };
    for (bytes, expected) in [(1, 1), (size, 1), (size + 1, 2), (0, 5), (size * 5, 5)] {
        let page = store.list(&query(bytes)).unwrap();
        assert_eq!((page.objects.len(), page.more_after.is_some()), (expected, expected < 5), "{bytes}");
    }
}
