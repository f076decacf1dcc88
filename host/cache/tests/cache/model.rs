//! Random histories of a server, its failures included: in the end the store is the server, every
//! handler saw every key's last state, and on the way nobody went back in time, read what never was, or
//! saw a field that somebody else had asked for.
//!
//! `WHEELHOUSE_SEQUENCES` is how many are tried (10,000 if it is not set, by four tests together), and
//! `WHEELHOUSE_SEED` the one to try again: a failure names it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use wheelhouse_cache::{
    Delta, IndexFn, Informer, InformerFactory, Interest, ListWatch, Query, ReflectorConfig, ResourceMap,
    Subscription, version,
};
use wheelhouse_core::{FieldPath, Fields, Key, Object, Scope};

use crate::script::{kind, resource, until};
use crate::server::{Scoped, Server};

#[derive(Clone, Debug)]
enum Step {
    Put(usize, u64),
    /// One that nobody can decode.
    PutOdd(usize),
    Delete(usize),
    Bookmark,
    Close,
    Break(u16),
    Compact,
    Refuse(u16, usize),
    Silence,
    Wait(u64),
    /// The handler takes so many.
    Take(usize),
    /// Somebody else comes or goes.
    Join(usize),
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let code = prop::sample::select(vec![403_u16, 410, 422, 429, 500, 503]);
    prop_oneof![
        8 => (0..6_usize, 0..4_u64).prop_map(|(name, content)| Step::Put(name, content)),
        1 => (0..6_usize).prop_map(Step::PutOdd),
        4 => (0..6_usize).prop_map(Step::Delete),
        1 => Just(Step::Bookmark),
        2 => Just(Step::Close),
        1 => code.clone().prop_map(Step::Break),
        2 => Just(Step::Compact),
        1 => (code, 1..3_usize).prop_map(|(code, times)| Step::Refuse(code, times)),
        1 => Just(Step::Silence),
        6 => (0..3000_u64).prop_map(Step::Wait),
        3 => (1..5_usize).prop_map(Step::Take),
        2 => (0..INTERESTS).prop_map(Step::Join),
        2 => (0..INTERESTS).prop_map(Step::Leave),
    ]
}

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const INTERESTS: usize = 4;

fn path(text: &str) -> FieldPath {
    text.parse().unwrap()
}

/// What each of them wants: the first is there all the time.
fn interest(which: usize) -> Interest {
    let wanted = Interest::from(&kind());
    let web = Scope { labels: "app=web".parse().unwrap(), ..Scope::default() };
    match which {
        0 => wanted.reading(Fields::of([&path(".spec.content")])),
        1 => wanted.scoped(web).reading(Fields::of([])),
        2 => wanted,
        _ => wanted.scoped(web).reading(Fields::of([&path(".spec.more"), &path(".spec.content")])),
    }
}

/// Somebody who reads and is told: nothing may go back, nor come from nowhere.
struct Client {
    informer: Informer,
    subscription: Subscription,
    read: BTreeMap<Key, String>,
    /// What it believes, from deltas alone.
    world: BTreeMap<Key, Object>,
}

fn content() -> IndexFn {
    IndexFn::field(path(".spec.content"))
}

impl Client {
    async fn new(factory: &InformerFactory, which: usize) -> Self {
        let informer = factory.informer(interest(which)).await.unwrap();
        if which != 1 {
            informer.add_index("content", content());
        }
        let subscription = informer.subscribe();
        Self { informer, subscription, read: BTreeMap::new(), world: BTreeMap::new() }
    }

    fn check_fields(&self, object: &Object) {
        let seen = self.informer.fields().project(object);
        assert_eq!(seen.value(), object.value(), "more than {} was shown", self.informer.fields());
    }

    fn look(&mut self, server: &Server) {
        let now = self.informer.snapshot();
        for (key, object) in now.iter() {
            let object = self.informer.view(&now, object.clone());
            self.check_fields(&object);
            assert!(
                server.ever_had(&object, self.informer.fields(), self.informer.synced()),
                "{object:?} never was"
            );
            if let Some(last) = self.read.get(&**key) {
                assert!(version::reaches(object.resource_version(), last), "{key} went back to {object:?}");
            }
            self.read.insert(key.as_ref().clone(), object.resource_version().to_owned());
        }
        if now.index_fn("content").is_some() {
            for value in ["0", "1", "2", "3"] {
                let matches = [("content", value)];
                let found = now.scan(&Query { matches: &matches, ..Query::default() }).unwrap().flatten();
                let has = |object: &Object| content().values(object).iter().any(|found| found == value);
                let recomputed = now.iter().filter(|(_, object)| has(object));
                assert!(found.eq(recomputed), "the index is not what the objects say of {value}");
            }
        }
    }

    fn take(&mut self) -> bool {
        let Some(Delta { key, old, new, .. }) = self.subscription.try_next() else { return false };
        old.iter().chain(&new).for_each(|object| self.check_fields(object));
        if let (Some(old), Some(new)) = (&old, &new) {
            assert_eq!(old.uid(), new.uid(), "a new UID is no update");
        }
        if let (Some(there), Some(new)) = (self.world.get(&key), &new) {
            assert_eq!(there.uid(), new.uid(), "the deletion of the one before was not told");
        }
        match new {
            Some(new) => self.world.insert(key, new),
            None => self.world.remove(&key),
        };
        true
    }

    /// Insists that it has what the server has.
    async fn settle(&mut self, server: &Server) {
        let (expected, odd) = server.contents(self.informer.scope(), self.informer.fields());
        until("the store is the server", || {
            self.look(server);
            let now = self.informer.snapshot();
            let seen = now.iter().map(|(_, object)| self.informer.view(&now, object.clone()));
            let told = odd.iter().all(|key| self.informer.store().unreadable(key).is_some());
            self.informer.synced() && same(seen, &expected) && told && now.unreadable() == odd.len()
        })
        .await;
        while self.take() {}
        assert!(same(self.world.values().cloned(), &expected), "the handler believes {:?}", self.world);
        assert!(self.subscription.initial_done());
    }
}

/// Equal as JSON: an object may have been encoded once or twice.
fn same(objects: impl Iterator<Item = Object>, expected: &[Object]) -> bool {
    let objects: Vec<Object> = objects.collect();
    objects.len() == expected.len()
        && objects.iter().zip(expected).all(|(one, other)| one.value() == other.value())
}

async fn run(steps: Vec<Step>, streaming: bool) {
    let server = Arc::new(Server::default());
    let source = Arc::clone(&server);
    let factory = InformerFactory::with_source(
        ResourceMap::fixed([resource(&kind())]),
        move |_, scope| Arc::new(Scoped::new(&source, scope)) as Arc<dyn ListWatch>,
        ReflectorConfig { streaming, ..ReflectorConfig::default() },
    );
    let mut clients: BTreeMap<usize, Client> = BTreeMap::from([(0, Client::new(&factory, 0).await)]);
    for step in steps {
        match step {
            Step::Put(name, content) => server.put(NAMES[name], content),
            Step::PutOdd(name) => server.put_odd(NAMES[name]),
            Step::Delete(name) => server.delete(NAMES[name]),
            Step::Bookmark => server.bookmark(),
            Step::Close => server.disconnect(None),
            Step::Break(code) => server.disconnect(Some(code)),
            Step::Compact => server.compact(),
            Step::Refuse(code, times) => server.refuse(code, times),
            Step::Silence => server.fall_silent(),
            Step::Wait(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Step::Take(most) => clients.values_mut().for_each(|client| {
                let _ = (0..most).all(|_| client.take());
            }),
            Step::Join(which) => {
                if let Entry::Vacant(place) = clients.entry(which) {
                    place.insert(Client::new(&factory, which).await);
                }
            }
            Step::Leave(which) => {
                if which > 0 {
                    clients.remove(&which);
                }
            }
        }
        tokio::task::yield_now().await;
        clients.values_mut().for_each(|client| client.look(&server));
    }
    for client in clients.values_mut() {
        client.settle(&server).await;
    }
}

/// One part of all sequences: tests run beside each other.
fn sequences(part: u64) {
    const PARTS: u64 = 4;
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let only = number("WHEELHOUSE_SEED");
    let seeds = match only {
        Some(seed) => seed..seed + 1,
        None => 0..number("WHEELHOUSE_SEQUENCES").unwrap_or(10_000),
    };
    for seed in seeds.filter(|seed| only.is_some() || seed % PARTS == part) {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let config =
            Config { cases: 1, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
        let strategy = (prop::collection::vec(step(), 1..40), any::<bool>());
        let tried = TestRunner::new_with_rng(config, rng).run(&strategy, |(steps, streaming)| {
            let builder = &mut tokio::runtime::Builder::new_current_thread();
            builder.enable_time().start_paused(true).build().unwrap().block_on(run(steps, streaming));
            Ok(())
        });
        match tried {
            Ok(()) => {}
            Err(TestError::Fail(reason, (steps, streaming))) => {
                panic!("WHEELHOUSE_SEED={seed} fails: {reason}\nstreaming: {streaming}, steps: {steps:?}")
            }
            Err(TestError::Abort(reason)) => panic!("WHEELHOUSE_SEED={seed}: {reason}"),
        }
    }
}

#[test]
fn whatever_happens_all_end_up_with_what_the_server_has_1() {
    sequences(0);
}

#[test]
fn whatever_happens_all_end_up_with_what_the_server_has_2() {
    sequences(1);
}

#[test]
fn whatever_happens_all_end_up_with_what_the_server_has_3() {
    sequences(2);
}

#[test]
fn whatever_happens_all_end_up_with_what_the_server_has_4() {
    sequences(3);
}
