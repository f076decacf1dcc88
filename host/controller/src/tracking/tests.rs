use std::sync::atomic::{AtomicU64, Ordering};

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::{StreamExt as _, stream};
use prometheus_client::metrics::counter::Counter;
use serde_json::{Value as Json, json};
use wheelhouse_cache::{
    ApiResource, Event, EventStream, Failure, InformerFactory, ListPage, ListRequest, ListWatch,
    ReflectorConfig, ResourceMap, WatchRequest,
};
use wheelhouse_core::gate::{Permission, Verb};
use wheelhouse_core::spec::{Options, Source};
use wheelhouse_core::{Fields, Gate, Scope};
use wheelhouse_queue::BackoffPolicy;

use super::*;

const SERVICE: &str = "v1/Service";
const POD: &str = "v1/Pod";

fn kind(text: &str) -> Kind {
    text.parse().unwrap()
}

type Events = UnboundedSender<Result<Event, Failure>>;
type Taken = Mutex<Option<UnboundedReceiver<Result<Event, Failure>>>>;

/// A kind of which nothing is there at first, and its events.
struct Kinds(HashMap<Kind, Taken>);

struct OfKind(Arc<Kinds>, Kind);

impl ListWatch for OfKind {
    fn list<'a>(&'a self, _: ListRequest<'a>) -> BoxFuture<'a, Result<ListPage, Failure>> {
        Box::pin(async { Ok(ListPage { resource_version: "1".into(), ..ListPage::default() }) })
    }

    fn watch<'a>(&'a self, _: WatchRequest<'a>) -> BoxFuture<'a, Result<EventStream, Failure>> {
        let events = self.0.0[&self.1].lock().unwrap().take();
        Box::pin(async move {
            Ok(events.map_or_else(|| stream::pending().boxed() as EventStream, |events| Box::pin(events)))
        })
    }
}

/// A cluster that is read from its stores; something may happen between that and the answer.
struct Stores {
    informers: HashMap<Kind, Vec<Informer>>,
    meanwhile: Mutex<Option<BoxFuture<'static, ()>>>,
}

impl ClusterAccess for Stores {
    fn get(&self, request: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        let found = self.informers.get(&request.kind).and_then(|all| all[0].store().get(&request.key));
        let meanwhile = self.meanwhile.lock().unwrap().take();
        Box::pin(async move {
            if let Some(meanwhile) = meanwhile {
                meanwhile.await;
            }
            Ok(found)
        })
    }

    fn list(&self, _: Permitted<List>) -> BoxFuture<'_, Result<Page, ApiError>> {
        unreachable!("no test lists")
    }

    fn count(&self, request: Permitted<List>) -> BoxFuture<'_, Result<u64, ApiError>> {
        let objects = self.informers[&request.kind][0].snapshot();
        let selected = objects.iter().filter(|(_, o)| request.field_selector.matches(o.value())).count();
        Box::pin(async move { Ok(selected as u64) })
    }

    fn synced(&self, _: Permitted<Synced>) -> bool {
        true
    }

    fn wait_synced(&self, _: Permitted<Synced>, _: Duration) -> BoxFuture<'_, bool> {
        Box::pin(async { true })
    }

    fn get_live(&self, request: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        self.get(request)
    }

    fn write(&self, _: Permitted<Write>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        unreachable!("no test writes")
    }

    fn record(&self, _: Permitted<RecordEvent>) -> BoxFuture<'_, Result<(), ApiError>> {
        unreachable!("no test records")
    }
}

/// A plugin that reconciles Services and caches Pods, and tracks.
struct World {
    events: HashMap<&'static str, Events>,
    cluster: Arc<Stores>,
    tracking: Arc<Tracking>,
    queue: WorkQueue<Key>,
    requeues: Counter,
    retired: watch::Sender<bool>,
    gate: Gate,
}

fn source(of: &str) -> Source {
    Source {
        kind: kind(of),
        namespaces: Vec::new(),
        selector: Default::default(),
        field_selector: Default::default(),
        fields: Fields::all(),
        predicate: Default::default(),
    }
}

fn spec() -> Spec {
    Spec {
        name: "p".into(),
        version: "1".into(),
        reconciles: source(SERVICE),
        owns: Vec::new(),
        watches: Vec::new(),
        caches: vec![source(POD)],
        ticks: Vec::new(),
        indexes: Vec::new(),
        permissions: vec![Permission {
            verbs: vec![Verb::Get],
            kind: kind("v1/Secret"),
            subresource: String::new(),
            namespaces: Vec::new(),
        }],
        options: Options { concurrency: 1, resync: None, timeout: None, track_dependencies: true },
    }
}

impl World {
    /// Its followers are not started yet.
    async fn new(scope: Scope) -> (Self, Vec<(Follower, Subscription)>) {
        let mut events = HashMap::new();
        let mut kinds = HashMap::new();
        for of in [SERVICE, POD] {
            let (sender, receiver) = unbounded();
            events.insert(of, sender);
            kinds.insert(kind(of), Mutex::new(Some(receiver)));
        }
        let kinds = Arc::new(Kinds(kinds));
        let resource = |of: &str| ApiResource {
            kind: kind(of),
            plural: of.to_lowercase(),
            namespaced: true,
            subresources: vec![],
        };
        let factory = InformerFactory::with_source(
            ResourceMap::fixed([resource(SERVICE), resource(POD)]),
            move |kind, _| Arc::new(OfKind(Arc::clone(&kinds), kind.clone())) as Arc<dyn ListWatch>,
            ReflectorConfig { streaming: false, ..ReflectorConfig::default() },
        );
        let mut informers = HashMap::new();
        for of in [SERVICE, POD] {
            let interest = wheelhouse_cache::Interest::from(&kind(of)).scoped(scope.clone());
            let informer = factory.informer(interest).await.unwrap();
            informer.wait_synced().await;
            informers.insert(kind(of), vec![informer]);
        }
        let spec = Arc::new(spec());
        let cluster = Arc::new(Stores { informers: informers.clone(), meanwhile: Mutex::default() });
        let tracking = Tracking::new(&spec, Arc::clone(&cluster) as _, &Arc::default(), &informers);
        let gate = Gate::granting("p", spec.all_permissions());
        let (queue, requeues) = (WorkQueue::new(BackoffPolicy::default()), Counter::default());
        let world =
            Self { events, cluster, tracking, queue, requeues, retired: watch::Sender::new(false), gate };
        let followers = Follower::subscriptions(&world.tracking).into_iter();
        let followers = followers.map(|subscription| (world.follower(), subscription)).collect();
        (world, followers)
    }

    fn follower(&self) -> Follower {
        Follower::new(&self.tracking, &self.queue, &self.requeues, self.retired.subscribe())
    }

    /// With followers.
    async fn following() -> Self {
        let (world, followers) = Self::new(Scope::default()).await;
        for (follower, subscription) in followers {
            tokio::spawn(follower.run(subscription));
        }
        world
    }

    async fn tell(&self, of: &'static str, event: Event) {
        self.events[of].unbounded_send(Ok(event)).unwrap();
        settle().await;
    }

    fn get(&self, of: &str, name: &str) -> Permitted<Get> {
        let key = Key::new("a", name);
        let get = Get { kind: kind(of), key, subresource: String::new(), consistency: Default::default() };
        self.gate.permit(get).unwrap()
    }

    /// A reconcile that looks for a Pod.
    async fn reads(&self, reader: &str, pod: &str, outcome: Outcome) {
        let run = self.tracking.begin(&Key::new("a", reader));
        run.access().get(self.get(POD, pod)).await.unwrap();
        run.end(Some(&outcome));
    }

    /// Who waits, in order; they wait no more.
    async fn requested(&self) -> Vec<String> {
        settle().await;
        let mut names = Vec::new();
        while self.queue.stats().ready > 0 {
            let work = self.queue.next().await.unwrap();
            names.push(work.key().name.clone());
            work.done();
        }
        names.sort_unstable();
        names
    }
}

/// The clock is paused: it moves when every task has nothing left to do.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn object(name: &str, more: Json) -> Object {
    static VERSION: AtomicU64 = AtomicU64::new(10);
    let version = VERSION.fetch_add(1, Ordering::Relaxed).to_string();
    let mut json =
        json!({"metadata": {"namespace": "a", "name": name, "uid": name, "resourceVersion": version}});
    json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Object::from_value(&json).unwrap()
}

fn added(name: &str) -> Event {
    Event::Added(object(name, json!({})))
}

#[tokio::test(start_paused = true)]
async fn a_change_between_a_read_and_its_answer_is_not_lost() {
    let world = World::following().await;
    world.tell(SERVICE, added("r")).await;
    world.queue.add(Key::new("a", "r"), Priority::High);
    let work = world.queue.next().await.unwrap();
    let run = world.tracking.begin(work.key());
    let pods = world.events[POD].clone();
    *world.cluster.meanwhile.lock().unwrap() = Some(Box::pin(async move {
        pods.unbounded_send(Ok(added("p"))).unwrap();
        settle().await;
    }));
    let found = run.access().get(world.get(POD, "p")).await.unwrap();
    assert_eq!(found, None, "it came after the read");
    assert_eq!(world.queue.stats().ready, 0, "no two runs of one key at once");
    run.end(Some(&Outcome::Done));
    work.done();
    assert_eq!(world.requested().await, ["r"], "exactly once more, after");
    assert_eq!(world.requeues.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_comes_changes_and_goes_requests_those_who_have_read_it() {
    let world = World::following().await;
    for (reader, pod) in [("r", "p"), ("s", "p"), ("t", "q")] {
        world.tell(SERVICE, added(reader)).await;
        world.reads(reader, pod, Outcome::Done).await;
    }
    assert_eq!(world.requested().await, [""; 0]);
    world.tell(POD, added("p")).await;
    assert_eq!(world.requested().await, ["r", "s"]);
    world.tell(POD, Event::Modified(object("p", json!({"spec": {"a": 1}})))).await;
    assert_eq!(world.requested().await, ["r", "s"]);
    world.tell(POD, Event::Modified(object("p", json!({"spec": {"a": 1}})))).await;
    assert_eq!(world.requested().await, [""; 0], "nothing that the plugin reads is different");
    world.tell(POD, Event::Deleted(object("p", json!({})))).await;
    assert_eq!(world.requested().await, ["r", "s"]);
}

#[tokio::test(start_paused = true)]
async fn a_read_of_the_kind_that_is_not_cached_and_the_own_object_are_not_followed() {
    let world = World::following().await;
    world.tell(SERVICE, added("r")).await;
    let run = world.tracking.begin(&Key::new("a", "r"));
    let access = run.access();
    access.get(world.get("v1/Secret", "x")).await.unwrap();
    access.get(world.get(SERVICE, "r")).await.unwrap();
    drop(access);
    run.end(Some(&Outcome::Done));
    assert_eq!(world.tracking.dependencies.counts().0, 0);
    let warned: Vec<Kind> = world.tracking.warned.lock().unwrap().iter().cloned().collect();
    assert_eq!(warned, [kind("v1/Secret")]);
}

#[tokio::test(start_paused = true)]
async fn what_is_read_beyond_the_sources_is_told_once() {
    let scope = Scope { labels: "x=y".parse().unwrap(), ..Scope::default() };
    let (world, _) = World::new(scope).await;
    let run = world.tracking.begin(&Key::new("a", "r"));
    run.access().get(world.get(POD, "p")).await.unwrap();
    assert!(world.tracking.warned.lock().unwrap().contains(&kind(POD)));
    // It may come to be selected.
    assert_eq!(world.tracking.dependencies.counts().0, 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_of_a_key_whose_object_is_gone() {
    let world = World::following().await;
    world.tell(SERVICE, added("r")).await;
    let count = || world.tracking.dependencies.counts().0;
    world.reads("r", "p", Outcome::Done).await;
    world.tell(SERVICE, Event::Deleted(object("r", json!({})))).await;
    assert_eq!(count(), 1, "it has not been reconciled since");
    // Whoever wants to come back is not done with it.
    world.reads("r", "p", Outcome::RequeueAfter(Duration::from_secs(1))).await;
    assert_eq!(count(), 1);
    world.reads("r", "p", Outcome::Transient("later".into())).await;
    assert_eq!(count(), 1);
    world.reads("r", "p", Outcome::Done).await;
    assert_eq!(count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_state_that_was_read_and_that_no_change_shows_is_followed_too() {
    let (world, mut followers) = World::new(Scope::default()).await;
    world.tell(SERVICE, added("r")).await;
    world.tell(POD, Event::Added(object("p", json!({"status": {"phase": "Pending"}})))).await;
    for (_, subscription) in &mut followers {
        while subscription.try_next().is_some() {}
    }
    // From here on the followers are slow.
    world.tell(POD, Event::Modified(object("p", json!({"status": {"phase": "Running"}})))).await;
    let run = world.tracking.begin(&Key::new("a", "r"));
    let running = List {
        kind: kind(POD),
        namespace: "a".into(),
        selector: Default::default(),
        field_selector: "status.phase=Running".parse().unwrap(),
        matches: Vec::new(),
        limit: 1,
        bytes: 1,
        after: None,
        consistency: Default::default(),
    };
    assert_eq!(run.access().count(world.gate.permit(running).unwrap()).await, Ok(1));
    run.end(Some(&Outcome::Done));
    world.tell(POD, Event::Modified(object("p", json!({"status": {"phase": "Failed"}})))).await;
    for (follower, subscription) in followers {
        tokio::spawn(follower.run(subscription));
    }
    assert_eq!(world.requested().await, ["r"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_revision_before_has_read_counts_until_the_next_one_has_reconciled_the_object() {
    let mut world = World::following().await;
    world.tell(SERVICE, added("r")).await;
    world.tell(POD, added("p")).await;
    world.reads("r", "p", Outcome::Done).await;
    world.retired.send_replace(true);
    let Tracking { spec, cluster, dependencies, informers, .. } = world.tracking.as_ref();
    world.tracking = Tracking::new(spec, Arc::clone(cluster), dependencies, informers);
    world.retired = watch::Sender::new(false);
    for subscription in Follower::subscriptions(&world.tracking) {
        tokio::spawn(world.follower().run(subscription));
    }
    assert_eq!(world.requested().await, [""; 0], "what is there is no change");
    world.tell(POD, Event::Deleted(object("p", json!({})))).await;
    assert_eq!(world.requested().await, ["r"]);
    world.reads("r", "q", Outcome::Done).await;
    world.tell(POD, added("p")).await;
    assert_eq!(world.requested().await, [""; 0]);
    world.tell(POD, added("q")).await;
    assert_eq!(world.requested().await, ["r"]);
}
