//! Readers and handlers of different fields while the store gets more fields and loses them again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use shuttle::future::block_on;
use shuttle::sync::atomic::AtomicUsize;
use shuttle::thread;
use wheelhouse_core::{FieldPath, Fields, Object};

use crate::informer::Informer;
use crate::order::in_many_orders;
use crate::sink::Sink;
use crate::world::{Told, informer, key, object, sink, version};

fn fields(paths: &[&str]) -> Fields {
    let paths: Vec<FieldPath> = paths.iter().map(|path| path.parse().unwrap()).collect();
    Fields::of(&paths)
}

fn narrow() -> Fields {
    fields(&["spec.a"])
}

fn wide() -> Fields {
    fields(&["spec.a", "spec.b"])
}

fn has(object: &Object) -> (bool, bool) {
    let has = |field| object.value().at(&["spec", field]).is_some();
    (has("a"), has("b"))
}

const NARROW: (bool, bool) = (true, false);
const WIDE: (bool, bool) = (true, true);

/// As `reflector.rs`: what it does about what is wanted, between two events.
struct Reflector {
    sink: Arc<Sink>,
    kept: Option<Fields>,
    version: u64,
}

impl Reflector {
    fn new(sink: &Arc<Sink>) -> Self {
        Self { sink: Arc::clone(sink), kept: None, version: 0 }
    }

    /// What the server sends of the object now.
    fn object(&mut self, fields: &Fields) -> Object {
        self.version += 1;
        fields.project(&object(&format!("x@{}", self.version)))
    }

    fn list(&mut self, wanted: &Fields) {
        let fields = self.kept.as_ref().map_or_else(|| wanted.clone(), |kept| kept.union(wanted));
        let object = self.object(&fields);
        self.sink.replace(vec![object], &[], &self.version.to_string(), &fields);
        self.kept = Some(fields);
    }

    fn focus(&mut self) {
        let wanted = self.sink.leases.wanted().borrow().clone();
        match &self.kept {
            Some(kept) if *kept == wanted => {}
            Some(kept) if kept.covers(&wanted) => {
                if self.sink.narrow(&wanted) {
                    self.kept = Some(wanted);
                }
            }
            _ => self.list(&wanted),
        }
    }

    /// Then an event comes.
    fn step(&mut self) {
        self.focus();
        let fields = self.kept.clone().unwrap_or_default();
        let object = self.object(&fields);
        self.sink.upsert(object);
    }
}

/// What a handle reads, by each of the ways to.
fn read(informer: &Informer) -> Vec<Object> {
    let got = informer.look_up(&key("x")).unwrap();
    let now = informer.snapshot();
    let listed = now.iter().map(|(_, object)| informer.view(&now, object.clone()));
    got.into_iter().chain(listed).collect()
}

/// A store that has synced, and somebody who reads the narrow fields of it.
fn synced() -> (Arc<Sink>, Informer, Reflector) {
    let sink = sink(&narrow());
    let reader = informer(&sink, &narrow());
    let mut reflector = Reflector::new(&sink);
    reflector.focus();
    (sink, reader, reflector)
}

fn check_narrow(reader: &Informer, times: usize) {
    for _ in 0..times {
        assert!(reader.synced());
        let read = read(reader);
        assert_eq!(read.len(), 2);
        read.iter().for_each(|object| assert_eq!(has(object), NARROW, "{object:?}"));
    }
}

#[test]
fn a_reader_sees_no_field_that_comes_for_another() {
    in_many_orders(|| {
        let (sink, reader, mut reflector) = synced();
        let comer = informer(&sink, &wide());
        let reflector = thread::spawn(move || {
            reflector.step();
            reflector.step();
        });
        let waiter = thread::spawn(move || {
            block_on(comer.wait_synced());
            assert!(read(&comer).iter().all(|object| has(object) == WIDE), "what it waited for");
            comer
        });
        check_narrow(&reader, 2);
        reflector.join().unwrap();
        check_narrow(&reader, 1);
        drop(waiter.join().unwrap());
    });
}

#[test]
fn a_reader_sees_no_field_that_goes_with_another() {
    in_many_orders(|| {
        let (sink, reader, mut reflector) = synced();
        let comer = informer(&sink, &wide());
        reflector.step();
        let reflector = thread::spawn(move || {
            drop(comer);
            reflector.step();
            reflector.step();
        });
        check_narrow(&reader, 2);
        reflector.join().unwrap();
        let stored = sink.store.get(&key("x")).unwrap();
        assert_eq!(has(&stored), NARROW, "what nobody reads is not kept");
    });
}

#[test]
fn who_is_synced_reads_its_fields_for_as_long_as_it_wants_them() {
    in_many_orders(|| {
        let (sink, reader, mut reflector) = synced();
        let first = informer(&sink, &wide());
        reflector.step();
        let comers = [Arc::clone(&sink), sink].map(|sink| {
            thread::spawn(move || {
                let comer = informer(&sink, &wide());
                let mut synced = false;
                for _ in 0..2 {
                    assert!(!synced || comer.synced(), "it was, and still wants its fields");
                    synced = comer.synced();
                    for object in read(&comer) {
                        assert!(!synced || has(&object) == WIDE, "{object:?}");
                    }
                }
            })
        });
        let reflector = thread::spawn(move || {
            reflector.step();
            reflector.step();
        });
        drop(first);
        check_narrow(&reader, 1);
        comers.into_iter().for_each(|comer| comer.join().unwrap());
        reflector.join().unwrap();
    });
}

/// Takes changes until there is this version; each of them has these fields, and no others.
fn handle(informer: &Informer, fields: (bool, bool), last: u64) {
    let mut subscription = informer.subscribe();
    let mut told = Told::default();
    while told.known.get("x").is_none_or(|object| version(object) < last) {
        let delta = block_on(subscription.next());
        for object in delta.old.iter().chain(&delta.new) {
            assert_eq!(has(object), fields, "{delta:?}");
        }
        told.take(&delta);
    }
}

#[test]
fn handlers_are_told_of_their_own_fields_all_of_them_and_no_others() {
    in_many_orders(|| {
        let sink = sink(&narrow());
        let reader = informer(&sink, &narrow());
        let mut reflector = Reflector::new(&sink);
        let coming = Arc::clone(&sink);
        let (mut last, done) = (0, Arc::new(AtomicUsize::new(0)));
        let comers = [(wide(), WIDE), (wide(), WIDE)].map(|(fields, expected)| {
            let sink = Arc::clone(&coming);
            last += 4;
            let done = Arc::clone(&done);
            thread::spawn(move || {
                handle(&informer(&sink, &fields), expected, last);
                done.fetch_add(1, Ordering::SeqCst);
            })
        });
        let handler = thread::spawn(move || handle(&reader, NARROW, 12));
        while reflector.version < 12 || done.load(Ordering::SeqCst) < 2 {
            reflector.step();
            thread::yield_now();
        }
        comers.into_iter().for_each(|comer| comer.join().unwrap());
        handler.join().unwrap();
    });
}
