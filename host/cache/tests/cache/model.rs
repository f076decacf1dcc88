//! Random histories of a server, its failures included: in the end the store is the server, every
//! handler saw every key's last state, and on the way nobody went back in time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use wheelhouse_cache::{
    IndexFn, Informer, InformerFactory, ListWatch, ReflectorConfig, ResourceMap, version,
};
use wheelhouse_core::{Key, Object};

use crate::script::{kind, resource, until};
use crate::server::Server;

#[derive(Clone, Debug)]
enum Step {
    Put(usize, u64),
    Delete(usize),
    Bookmark,
    Close,
    Break(u16),
    Compact,
    Refuse(u16, usize),
    Wait(u64),
    /// The handler takes so many.
    Take(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let code = prop::sample::select(vec![403_u16, 410, 429, 500, 503]);
    prop_oneof![
        8 => (0..6_usize, 0..3_u64).prop_map(|(name, content)| Step::Put(name, content)),
        4 => (0..6_usize).prop_map(Step::Delete),
        1 => Just(Step::Bookmark),
        2 => Just(Step::Close),
        1 => code.clone().prop_map(Step::Break),
        2 => Just(Step::Compact),
        1 => (code, 1..3_usize).prop_map(|(code, times)| Step::Refuse(code, times)),
        6 => (0..3000_u64).prop_map(Step::Wait),
        3 => (1..5_usize).prop_map(Step::Take),
    ]
}

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// One reader: it insists that nothing goes back.
#[derive(Default)]
struct Reader {
    last: BTreeMap<Key, String>,
}

impl Reader {
    fn look(&mut self, informer: &Informer, server: &Server) {
        let now = informer.snapshot();
        for (key, object) in now.iter() {
            assert!(server.ever_had(object), "{object:?} never was");
            if let Some(last) = self.last.get(&**key) {
                assert!(version::reaches(object.resource_version(), last), "{key} went back to {object:?}");
            }
            self.last.insert(key.as_ref().clone(), object.resource_version().to_owned());
        }
        let entries: usize = now.iter().map(|(_, o)| content(o).len()).sum();
        assert!(now.index_sizes().iter().any(|(name, size)| &**name == "content" && *size == entries));
    }
}

fn content(object: &Object) -> Vec<String> {
    index().values(object)
}

fn index() -> IndexFn {
    IndexFn::field(".spec.content".parse().unwrap())
}

/// What a handler believes, from deltas alone.
#[derive(Default)]
struct Handler {
    world: BTreeMap<Key, Object>,
}

impl Handler {
    fn take(&mut self, delta: wheelhouse_cache::Delta) {
        if let (Some(old), Some(new)) = (&delta.old, &delta.new) {
            assert_eq!(old.uid(), new.uid(), "a new UID is no update");
        }
        if let (Some(there), Some(new)) = (self.world.get(&delta.key), &delta.new) {
            assert_eq!(there.uid(), new.uid(), "the deletion of the one before was not told");
        }
        match delta.new {
            Some(new) => self.world.insert(delta.key, new),
            None => self.world.remove(&delta.key),
        };
    }
}

async fn run(steps: Vec<Step>) {
    let server = Arc::new(Server::default());
    let source = Arc::clone(&server);
    let factory = InformerFactory::with_source(
        ResourceMap::fixed([resource(&kind())]),
        move |_| Arc::clone(&source) as Arc<dyn ListWatch>,
        ReflectorConfig::default(),
    );
    let informer = factory.informer(&kind()).await.unwrap();
    informer.add_index("content", index());
    let mut subscription = informer.subscribe();
    let (mut handler, mut reader) = (Handler::default(), Reader::default());
    for step in steps {
        match step {
            Step::Put(name, content) => server.put(NAMES[name], content),
            Step::Delete(name) => server.delete(NAMES[name]),
            Step::Bookmark => server.bookmark(),
            Step::Close => server.disconnect(None),
            Step::Break(code) => server.disconnect(Some(code)),
            Step::Compact => server.compact(),
            Step::Refuse(code, times) => server.refuse(code, times),
            Step::Wait(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Step::Take(most) => {
                (0..most).map_while(|_| subscription.try_next()).for_each(|delta| handler.take(delta));
            }
        }
        tokio::task::yield_now().await;
        reader.look(&informer, &server);
    }
    let expected = server.objects();
    until("the store is the server", || {
        reader.look(&informer, &server);
        informer.synced() && informer.snapshot().iter().map(|(_, o)| o).eq(&expected)
    })
    .await;
    while let Some(delta) = subscription.try_next() {
        handler.take(delta);
    }
    assert!(handler.world.values().eq(&expected), "the handler believes {:?}", handler.world);
    assert!(subscription.initial_done());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_store_and_the_handlers_end_up_with_what_the_server_has(
        steps in prop::collection::vec(step(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(steps));
    }
}
