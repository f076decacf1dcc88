use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn kind(text: &str) -> Kind {
    text.parse().unwrap()
}

fn own() -> Kind {
    kind("v1/Service")
}

fn reader(name: &str) -> Arc<Key> {
    Arc::new(Key::new("a", name))
}

fn object(namespace: &str, name: &str, app: Option<&str>, node: Option<&str>) -> Object {
    let mut json = json!({"metadata": {"name": name}});
    if !namespace.is_empty() {
        json["metadata"]["namespace"] = json!(namespace);
    }
    if let Some(app) = app {
        json["metadata"]["labels"] = json!({"app": app});
    }
    if let Some(node) = node {
        json["spec"] = json!({"nodeName": node});
    }
    Object::from_value(&json).unwrap()
}

fn query(namespace: &str, labels: &str, node: Option<&str>) -> Query {
    let path = || ".spec.nodeName".parse().unwrap();
    Query {
        namespace: namespace.into(),
        labels: labels.parse().unwrap(),
        matches: node.map(|node| (path(), node.to_owned())).into_iter().collect(),
        ..Query::default()
    }
}

/// A selector that is longer than what is remembered of one.
fn long() -> String {
    let values: Vec<String> = (0..1_000).map(|i| format!("v{i}")).collect();
    format!("app in ({})", values.join(","))
}

fn names(readers: &[Arc<Key>]) -> BTreeSet<String> {
    let names: BTreeSet<String> = readers.iter().map(|key| key.name.clone()).collect();
    assert_eq!(names.len(), readers.len(), "each once");
    names
}

/// Whom an object's coming concerns.
fn coming(book: &Book, of: &str, object: &Object) -> Vec<String> {
    let (kind, key) = (kind(of), object.key());
    let change =
        Change { kind: &kind, key: &key, old: None, new: Some(object), folded: false, selected: true };
    names(&book.concerned(&own(), &change)).into_iter().collect()
}

fn reads(book: &mut Book, name: &str, whole: bool, reads: impl FnOnce(&mut Book, &Arc<Key>)) {
    let reader = reader(name);
    book.begin(&reader);
    reads(book, &reader);
    book.end(&reader, whole);
}

#[test]
fn what_was_looked_for_and_not_found_is_followed() {
    let mut book = Book::default();
    reads(&mut book, "r", true, |book, r| book.reads_object(r, &kind("v1/Pod"), &Key::new("a", "p")));
    assert_eq!(coming(&book, "v1/Pod", &object("a", "p", None, None)), ["r"]);
    for (of, other) in [("v1/Pod", ("b", "p")), ("v1/Pod", ("a", "q")), ("v1/ConfigMap", ("a", "p"))] {
        assert!(coming(&book, of, &object(other.0, other.1, None, None)).is_empty(), "{of} {other:?}");
    }
}

#[test]
fn a_read_counts_while_its_reconcile_still_runs() {
    let mut book = Book::default();
    let r = reader("r");
    book.begin(&r);
    book.reads_object(&r, &kind("v1/Pod"), &Key::new("a", "p"));
    assert_eq!(coming(&book, "v1/Pod", &object("a", "p", None, None)), ["r"]);
}

#[test]
fn a_reconcile_that_ends_well_leaves_what_it_read_and_any_other_leaves_both() {
    let mut book = Book::default();
    let pod = kind("v1/Pod");
    let concerned =
        |book: &Book| ["p", "q"].map(|p| !coming(book, "v1/Pod", &object("a", p, None, None)).is_empty());
    reads(&mut book, "r", true, |book, r| book.reads_object(r, &pod, &Key::new("a", "p")));
    assert_eq!(concerned(&book), [true, false]);
    reads(&mut book, "r", false, |book, r| book.reads_object(r, &pod, &Key::new("a", "q")));
    assert_eq!(concerned(&book), [true, true]);
    reads(&mut book, "r", true, |book, r| book.reads_object(r, &pod, &Key::new("a", "q")));
    assert_eq!(concerned(&book), [false, true]);
    reads(&mut book, "r", true, |_, _| {});
    assert_eq!((concerned(&book), book.len()), ([false, false], 0));
}

#[test]
fn trap_34_an_object_s_own_changes_are_left_to_its_source() {
    let mut book = Book::default();
    for name in ["r", "s"] {
        reads(&mut book, name, true, |book, r| {
            book.reads_object(r, &own(), &Key::new("a", "r"));
            book.reads_query(r, &own(), query("a", "", None));
        });
    }
    assert_eq!(coming(&book, "v1/Service", &object("a", "r", None, None)), ["s"]);
}

#[test]
fn a_query_concerns_what_it_finds_before_or_after_a_change() {
    let mut book = Book::default();
    let pod = kind("v1/Pod");
    reads(&mut book, "label", true, |book, r| book.reads_query(r, &pod, query("a", "app=x", None)));
    reads(&mut book, "node", true, |book, r| book.reads_query(r, &pod, query("", "", Some("n1"))));
    reads(&mut book, "none", true, |book, r| book.reads_query(r, &pod, query("", "!app", Some("n1"))));
    let moved = |old: &Object, new: &Object, folded| {
        let key = new.key();
        let change = Change { kind: &pod, key: &key, old: Some(old), new: Some(new), folded, selected: true };
        names(&book.concerned(&own(), &change)).into_iter().collect::<Vec<_>>()
    };
    let of = |app, node| object("a", "p", app, node);
    assert_eq!(moved(&of(Some("x"), None), &of(None, None), false), ["label"], "it leaves");
    assert_eq!(moved(&of(None, None), &of(Some("x"), None), false), ["label"], "it comes");
    assert_eq!(moved(&of(None, Some("n1")), &of(Some("y"), Some("n2")), false), ["node", "none"]);
    assert!(moved(&of(None, None), &of(Some("y"), Some("n2")), false).is_empty());
    // What it was in between, nobody knows.
    assert_eq!(moved(&of(None, None), &of(Some("y"), Some("n2")), true), ["label", "node", "none"]);
}

#[test]
fn a_reader_that_reads_too_much_of_a_kind_follows_all_of_it() {
    let mut book = Book::new(Bounds { per_reader: 10, ..Bounds::default() });
    let pod = kind("v1/Pod");
    let many = |book: &mut Book, r: &Arc<Key>| {
        for i in 0..30 {
            book.reads_object(r, &pod, &Key::new("a", format!("p{i}")));
        }
    };
    reads(&mut book, "r", true, |book, r| {
        book.reads_object(r, &kind("v1/ConfigMap"), &Key::new("a", "c"));
        many(book, r);
    });
    assert_eq!((book.len(), book.coarsened()), (2, 1));
    assert_eq!(coming(&book, "v1/Pod", &object("b", "other", None, None)), ["r"]);
    assert_eq!(coming(&book, "v1/ConfigMap", &object("a", "c", None, None)), ["r"]);
    assert!(coming(&book, "v1/ConfigMap", &object("a", "d", None, None)).is_empty());
    // It reads less, and follows less.
    reads(&mut book, "r", true, |book, r| book.reads_object(r, &pod, &Key::new("a", "p1")));
    assert_eq!(coming(&book, "v1/Pod", &object("b", "other", None, None)), [""; 0]);
}

#[test]
fn hostile_queries_and_keys_without_end_take_a_bounded_room_and_hide_nothing() {
    let bounds = Bounds { per_reader: 1_000, bytes: 1 << 18 };
    let mut book = Book::new(bounds);
    let pod = kind("v1/Pod");
    let long = long();
    for i in 0..30 {
        reads(&mut book, &format!("r{i}"), i % 2 == 0, |book, r| {
            book.reads_query(r, &pod, query(&format!("n{i}"), &long, None));
            for j in 0..200 {
                book.reads_query(r, &pod, query("a", &format!("l{i}-{j}=x"), Some(&"v".repeat(1_000))));
                book.reads_object(r, &pod, &Key::new("a", format!("{i}-{j}")));
            }
        });
    }
    assert!(book.bytes <= bounds.bytes + 30 * ENTRY, "{}", book.bytes);
    assert!(book.coarsened() > 0);
    for i in 0..30 {
        let concerned = coming(&book, "v1/Pod", &object("a", &format!("{i}-7"), None, None));
        assert!(concerned.contains(&format!("r{i}")), "{i}");
    }
    for i in 0..30 {
        book.forget(&reader(&format!("r{i}")));
    }
    assert_eq!((book.len(), book.bytes, book.readers.len()), (0, 0, 0));
    let OfKind { objects, queries, buckets, all } = &book.kinds[&pod];
    assert!(objects.is_empty() && queries.is_empty() && buckets.is_empty() && all.is_empty());
}

#[test]
fn hostile_what_is_followed_for_want_of_room_is_no_more_than_what_may_be_read() {
    let mut book = Book::new(Bounds { per_reader: 2, ..Bounds::default() });
    let pod = kind("v1/Pod");
    reads(&mut book, "r", true, |book, r| {
        (0..9).for_each(|i| book.reads_object(r, &pod, &Key::new("a", format!("p{i}"))));
    });
    // The informer is shared with a plugin that watches more.
    let (neighbour, key) = (object("b", "p", None, None), Key::new("b", "p"));
    let change =
        |selected| Change { kind: &pod, key: &key, old: None, new: Some(&neighbour), folded: true, selected };
    assert!(book.concerned(&own(), &change(false)).is_empty());
    assert_eq!(book.concerned(&own(), &change(true)).len(), 1);
    // A list of one name, with a selector that is too long to be remembered.
    let long = Query { fields: "metadata.name=mine".parse().unwrap(), ..query("b", &long(), None) };
    let mut book = Book::default();
    reads(&mut book, "r", true, |book, r| book.reads_query(r, &pod, long));
    assert!(book.concerned(&own(), &change(true)).is_empty());
    assert_eq!(coming(&book, "v1/Pod", &object("b", "mine", None, None)), ["r"]);
}

/// What can happen.
#[derive(Clone, Debug)]
enum Step {
    Begin(u8),
    Object(u8, u8, u8),
    Query(u8, u8, Query),
    End(u8, bool),
    Forget(u8),
    Change { kind: u8, old: Option<Object>, new: Option<Object>, folded: bool },
}

const KINDS: [&str; 3] = ["v1/Pod", "v1/ConfigMap", "v1/Service"];
const NAMES: [&str; 4] = ["r0", "r1", "r2", "x"];

fn queries() -> impl Strategy<Value = Query> {
    let labels = prop::sample::select(vec!["", "app=x", "app=y", "app in (x,y)", "app!=x", "!app", "app"]);
    let node = prop::option::of(prop::sample::select(vec!["n1", "n2"]));
    let fields = prop::sample::select(vec![
        "",
        "metadata.name=x",
        "spec.nodeName=n1",
        "spec.nodeName=",
        "spec.nodeName!=n2",
    ]);
    let namespace = prop::sample::select(vec!["", "a", "b"]);
    (namespace, labels, node, fields).prop_map(|(namespace, labels, node, fields)| Query {
        fields: fields.parse().unwrap(),
        ..query(namespace, labels, node)
    })
}

fn steps() -> impl Strategy<Value = Step> {
    let state = || {
        let app = prop::option::of(prop::sample::select(vec!["x", "y", "z"]));
        prop::option::of((app, prop::option::of(prop::sample::select(vec!["n1", "n2", ""]))))
    };
    let change = (0..3_u8, 0..3_usize, 0..4_usize, state(), state(), prop::bool::weighted(0.2));
    let change = change.prop_map(|(kind, namespace, name, old, new, folded)| {
        let of = |(app, node)| object(["", "a", "b"][namespace], NAMES[name], app, node);
        Step::Change { kind, old: old.map(of), new: new.map(of), folded }
    });
    prop_oneof![
        1 => (0..3_u8).prop_map(Step::Begin),
        3 => (0..3_u8, 0..3_u8, 0..4_u8).prop_map(|(reader, kind, name)| Step::Object(reader, kind, name)),
        3 => (0..3_u8, 0..3_u8, queries()).prop_map(|(reader, kind, query)| Step::Query(reader, kind, query)),
        1 => (0..3_u8, any::<bool>()).prop_map(|(reader, whole)| Step::End(reader, whole)),
        1 => (0..3_u8).prop_map(Step::Forget),
        4 => change,
    ]
}

/// All that was read, in a row.
#[derive(Default)]
struct Naive(Vec<(u8, Kind, Read, bool)>);

#[derive(Clone, PartialEq)]
enum Read {
    Object(Key),
    Query(Query),
}

impl Naive {
    fn read(&mut self, reader: u8, kind: &Kind, read: Read) {
        self.0.retain(|(r, k, what, _)| !(*r == reader && k == kind && *what == read));
        self.0.push((reader, kind.clone(), read, true));
    }

    fn concerned(&self, change: &Change<'_>) -> BTreeSet<String> {
        let concerns = |read: &Read| match read {
            Read::Object(key) => key == change.key,
            Read::Query(query) if change.folded => query.may_find(change.key),
            Read::Query(query) => [change.old, change.new].into_iter().flatten().any(|o| query.finds(o)),
        };
        let concerned = self.0.iter().filter(|(_, kind, read, _)| kind == change.kind && concerns(read));
        let named = concerned.map(|(reader, ..)| format!("r{reader}"));
        let own = |name: &String| *change.kind == own() && *change.key == Key::new("a", name);
        named.filter(|name| !own(name)).collect()
    }
}

/// Runs the steps on a book and on a list, and compares whom each change concerns.
fn compare(steps: Vec<Step>, bounds: Bounds, same: fn(&BTreeSet<String>, &BTreeSet<String>) -> bool) {
    let (mut book, mut naive) = (Book::new(bounds), Naive::default());
    let named = |reader: u8| super::tests::reader(&format!("r{reader}"));
    for step in steps {
        match step {
            Step::Begin(reader) => {
                book.begin(&named(reader));
                naive.0.iter_mut().filter(|(r, ..)| *r == reader).for_each(|read| read.3 = false);
            }
            Step::Object(reader, of, name) => {
                let (kind, key) = (kind(KINDS[of as usize]), Key::new("a", NAMES[name as usize]));
                book.reads_object(&named(reader), &kind, &key);
                naive.read(reader, &kind, Read::Object(key));
            }
            Step::Query(reader, of, query) => {
                let kind = kind(KINDS[of as usize]);
                book.reads_query(&named(reader), &kind, query.clone());
                naive.read(reader, &kind, Read::Query(query));
            }
            Step::End(reader, whole) => {
                book.end(&named(reader), whole);
                naive.0.retain(|(r, _, _, read_now)| *r != reader || !whole || *read_now);
            }
            Step::Forget(reader) => {
                book.forget(&named(reader));
                naive.0.retain(|(r, ..)| *r != reader);
            }
            Step::Change { kind: of, old, new, folded } => {
                let Some(key) = old.as_ref().or(new.as_ref()).map(Object::key) else { continue };
                let kind = kind(KINDS[of as usize]);
                let (old, new) = (old.as_ref(), new.as_ref());
                let change = Change { kind: &kind, key: &key, old, new, folded, selected: true };
                let (found, expected) = (names(&book.concerned(&own(), &change)), naive.concerned(&change));
                assert!(same(&found, &expected), "{found:?} instead of {expected:?}, by {:?}", change.key);
            }
        }
    }
    let of_readers: usize = book.readers.values().map(HashMap::len).sum();
    assert_eq!(book.len(), of_readers);
    let bytes: usize = book.readers.values().flat_map(HashMap::keys).map(|(_, on)| on.bytes()).sum();
    assert_eq!(book.bytes, bytes);
}

proptest! {
    #[test]
    fn a_book_finds_whom_a_list_of_all_reads_finds(steps in prop::collection::vec(steps(), 1..60)) {
        compare(steps, Bounds::default(), |found, expected| found == expected);
    }

    #[test]
    fn a_book_that_is_full_finds_no_fewer(steps in prop::collection::vec(steps(), 1..60)) {
        compare(steps.clone(), Bounds { per_reader: 2, ..Bounds::default() }, |found, expected| found.is_superset(expected));
        compare(steps, Bounds { bytes: 3 * ENTRY, ..Bounds::default() }, |found, expected| found.is_superset(expected));
    }
}

/// A measure, and not a test of speed: what a change looks at is what it finds.
#[test]
fn a_change_is_looked_up_by_its_own_values_and_not_by_all_readers() {
    let mut book = Book::default();
    let pod = kind("v1/Pod");
    for i in 0..2_000 {
        reads(&mut book, &format!("r{i}"), true, |book, r| {
            book.reads_query(r, &pod, query("", "", Some(&format!("n{i}"))));
        });
    }
    let of_kind = &book.kinds[&pod];
    let largest =
        of_kind.buckets.values().flat_map(HashMap::values).flat_map(HashMap::values).map(HashSet::len).max();
    assert_eq!((of_kind.buckets.len(), largest), (1, Some(1)));
    assert_eq!(coming(&book, "v1/Pod", &object("a", "p", None, Some("n7"))), ["r7"]);
}

#[test]
fn what_a_list_asks_for_is_what_its_indexes_are_of() {
    use wheelhouse_core::request::{IndexMatch, List};
    use wheelhouse_core::spec::{FieldIndex, IndexSource, OWNER_INDEX};
    let index = |name: &str, source| FieldIndex { kind: kind("v1/Pod"), name: name.into(), source };
    let indexes = [
        index("by-node", IndexSource::Field(".spec.nodeName".parse().unwrap())),
        index("own", IndexSource::Plugin),
    ];
    let matches = [("by-node", "n1"), ("own", "x"), (OWNER_INDEX, "u1")];
    let list = List {
        kind: kind("v1/Pod"),
        namespace: "a".into(),
        selector: Default::default(),
        field_selector: Default::default(),
        matches: matches.map(|(index, value)| IndexMatch { index: index.into(), value: value.into() }).into(),
        limit: 1,
        bytes: 1,
        after: Some(Key::new("a", "m")),
        consistency: Default::default(),
    };
    let query = Query::of(&list, &indexes);
    let pod = |node: &str, owner: &str| -> Json {
        json!({"metadata": {"namespace": "a", "name": "b", "ownerReferences": [{"uid": owner}]},
               "spec": {"nodeName": node}})
    };
    let finds = |json: Json| query.finds(&Object::from_value(&json).unwrap());
    // The page, and what the plugin's own function says, do not narrow it.
    assert!(finds(pod("n1", "u1")));
    assert!(!finds(pod("n2", "u1")) && !finds(pod("n1", "u2")));
}
