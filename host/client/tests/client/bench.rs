//! A plugin's client between a scripted API server and a cache that the test feeds.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use wheelhouse_cache::{
    ApiResource, BoxFuture, Event, EventStream, Failure, Informer, InformerFactory, Interest, ListPage,
    ListRequest, ListWatch, ReflectorConfig, ResourceMap, Rest, WatchRequest, rest,
};
use wheelhouse_client::{
    ClientConfig, EventConfig, EventRecorder, OwnWrites, PluginClient, ReadMetrics, Watched,
};
use wheelhouse_core::access::Page;
use wheelhouse_core::event::{EventText, EventType, NewEvent, RecordEvent};
use wheelhouse_core::gate::{Permission, Verb};
use wheelhouse_core::limits::Limits;
use wheelhouse_core::request::{Change, Consistency, Get, IndexMatch, List, Write};
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{ApiError, ClusterAccess, Fence, Gate, Key, Kind, Object};

/// What the server was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `GET /api/v1/...`
    pub(crate) what: String,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

#[derive(Default)]
struct Answers {
    next: Mutex<VecDeque<String>>,
    asked: Mutex<Vec<Asked>>,
    /// Bytes that were taken of the last answer.
    taken: AtomicUsize,
}

/// The cache's source: a list that comes when it is told to, and events by hand.
struct Feed {
    list: watch::Sender<Option<ListPage>>,
    events: watch::Sender<Vec<Event>>,
}

impl ListWatch for Feed {
    fn list<'a>(&'a self, request: ListRequest<'a>) -> BoxFuture<'a, Result<ListPage, Failure>> {
        Box::pin(async move {
            let mut lists = self.list.subscribe();
            let mut page = lists.wait_for(Option::is_some).await.unwrap().clone().unwrap();
            page.objects.iter_mut().for_each(|object| *object = request.fields.project(object));
            Ok(page)
        })
    }

    fn watch<'a>(&'a self, _: WatchRequest<'a>) -> BoxFuture<'a, Result<EventStream, Failure>> {
        Box::pin(async {
            // All of them, each time: what is known already is no news.
            let events = (self.events.subscribe(), 0);
            let stream = futures::stream::unfold(events, |(mut events, next)| async move {
                let event = events.wait_for(|events| events.len() > next).await.ok()?.get(next)?.clone();
                Some((Ok(event), (events, next + 1)))
            });
            Ok(Box::pin(stream) as EventStream)
        })
    }
}

pub(crate) struct Bench {
    pub(crate) client: PluginClient,
    pub(crate) informer: Informer,
    pub(crate) reads: ReadMetrics,
    pub(crate) own_writes: OwnWrites,
    pub(crate) usage: Arc<Usage>,
    pub(crate) factory: InformerFactory,
    pub(crate) gate: Gate,
    pub(crate) fence: Fence,
    answers: Arc<Answers>,
    feed: Arc<Feed>,
}

pub(crate) fn kind() -> Kind {
    "v1/ConfigMap".parse().unwrap()
}

/// The path of the index "app".
const APP: &str = ".metadata.labels.app";

/// Permitted, cluster-scoped, and not watched.
pub(crate) fn node() -> Kind {
    "v1/Node".parse().unwrap()
}

fn resource(kind: &Kind, plural: &str, namespaced: bool) -> ApiResource {
    ApiResource { kind: kind.clone(), plural: plural.into(), namespaced, subresources: vec![] }
}

pub(crate) fn key(name: &str) -> Key {
    Key::new("n", name)
}

/// `n/name`, whose UID is its name, with the label `app`.
pub(crate) fn json_of(name: &str, version: u64, app: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "namespace": "n", "name": name, "uid": name, "resourceVersion": version.to_string(), "labels": {"app": app}}})
}

pub(crate) fn object(name: &str, version: u64, app: &str) -> Object {
    Object::from_value(&json_of(name, version, app)).unwrap()
}

/// An HTTP answer.
pub(crate) fn http(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// What a live list may have of bytes here.
pub(crate) const LIST_BYTES: usize = 1 << 20;

pub(crate) fn ok(body: &Value) -> String {
    http(200, "", &body.to_string())
}

pub(crate) fn refusal(code: u16, reason: &str) -> String {
    http(code, "", &json!({"kind": "Status", "code": code, "reason": reason, "message": reason}).to_string())
}

async fn serve(mut socket: TcpStream, answers: Arc<Answers>) {
    let mut request = Vec::new();
    let (head, length) = loop {
        let mut chunk = [0; 4096];
        let n = socket.read(&mut chunk).await.unwrap_or(0);
        if n == 0 {
            return;
        }
        request.extend_from_slice(&chunk[..n]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let header = |name: &str| {
                head.lines()
                    .filter_map(|l| l.split_once(": "))
                    .find(|(n, _)| n.eq_ignore_ascii_case(name))
                    .map(|(_, v)| v.to_owned())
            };
            let length: usize = header("content-length").map_or(0, |v| v.parse().unwrap());
            break ((head.to_owned(), header("content-type").unwrap_or_default()), length);
        }
    };
    let (head, content_type) = head;
    let start = head.len() + 4;
    while request.len() < start + length {
        let mut chunk = [0; 4096];
        let n = socket.read(&mut chunk).await.unwrap();
        request.extend_from_slice(&chunk[..n]);
    }
    let what = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    let body = serde_json::from_slice(&request[start..]).unwrap_or(Value::Null);
    answers.asked.lock().unwrap().push(Asked { what, content_type, body });
    let answer = answers.next.lock().unwrap().pop_front();
    match answer.as_deref() {
        // The connection breaks.
        Some("") => {}
        Some(answer) => {
            answers.taken.store(0, Ordering::Relaxed);
            for chunk in answer.as_bytes().chunks(64 << 10) {
                if socket.write_all(chunk).await.is_err() {
                    return;
                }
                answers.taken.fetch_add(chunk.len(), Ordering::Relaxed);
            }
        }
        // Silence.
        None => std::future::pending().await,
    }
}

impl Bench {
    /// Of a plugin that caches all of the kind.
    pub(crate) async fn new() -> Self {
        Self::wanting((&kind()).into()).await
    }

    /// Of a plugin that caches this.
    pub(crate) async fn wanting(interest: Interest) -> Self {
        Self::with(interest, OwnWrites::default(), true).await
    }

    /// Of a plugin that caches all of the kind, in a cluster where it has no namespaces.
    pub(crate) async fn cluster_scoped() -> Self {
        Self::with((&kind()).into(), OwnWrites::default(), false).await
    }

    /// Of the same plugin's next revision, which caches all of the kind, from a watch of its own.
    pub(crate) async fn after(&self) -> Self {
        Self::with((&kind()).into(), self.own_writes.clone(), true).await
    }

    async fn with(interest: Interest, own_writes: OwnWrites, namespaced: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let answers = Arc::new(Answers::default());
        let answering = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&answering)));
            }
        });
        let feed = Arc::new(Feed { list: watch::Sender::new(None), events: watch::Sender::new(Vec::new()) });
        let source = Arc::clone(&feed);
        let factory = InformerFactory::with_source(
            ResourceMap::fixed([
                resource(&kind(), "configmaps", namespaced),
                resource(&node(), "nodes", false),
            ]),
            move |_, _| Arc::clone(&source) as Arc<dyn ListWatch>,
            ReflectorConfig { streaming: false, ..ReflectorConfig::default() },
        );
        let informer = factory.informer(interest).await.unwrap();
        informer.add_index(APP, wheelhouse_cache::IndexFn::field(APP.parse().unwrap()));
        let fence = Fence::open();
        let rest = Rest::new(rest::connect(kube::Config::new(uri)).unwrap()).fenced(&fence);
        let watched =
            Watched { informers: vec![informer.clone()], indexes: vec![("app".into(), APP.into())] };
        let pause = Duration::from_millis(1);
        let config = ClientConfig { pause, list_bytes: LIST_BYTES, ..ClientConfig::default() };
        let reads = ReadMetrics::default();
        let usage = Arc::new(Usage::new(&Limits::default()));
        let client = PluginClient::new(rest, &factory, [watched], &own_writes, &usage, &reads, config);
        let client = client.recording(&EventRecorder::new(quick()));
        let all = [Verb::Get, Verb::List, Verb::Create, Verb::Update, Verb::Patch, Verb::Delete];
        let permission = |kind: Kind, subresource: &str| Permission {
            verbs: all.to_vec(),
            kind,
            subresource: subresource.into(),
            namespaces: vec![],
        };
        let permissions = vec![
            permission(kind(), ""),
            permission(node(), ""),
            permission(kind(), "scale"),
            permission(kind(), "status"),
            permission("events.k8s.io/v1/Event".parse().unwrap(), ""),
        ];
        Self {
            client,
            informer,
            reads,
            own_writes,
            usage,
            factory,
            gate: Gate::granting("p", permissions),
            fence,
            answers,
            feed,
        }
    }

    /// With a cache that has these at a version.
    pub(crate) async fn synced(version: u64, objects: impl IntoIterator<Item = Object>) -> Self {
        let bench = Self::new().await;
        bench.sync(version, objects).await;
        bench
    }

    pub(crate) async fn sync(&self, version: u64, objects: impl IntoIterator<Item = Object>) {
        let objects = objects.into_iter().collect();
        let page = ListPage { objects, resource_version: version.to_string(), ..ListPage::default() };
        self.feed.list.send_replace(Some(page));
        self.informer.wait_synced().await;
    }

    /// Sends an event and waits until the store has seen that version.
    pub(crate) async fn event(&self, event: Event, version: u64) {
        self.feed.events.send_modify(|events| events.push(event));
        let deadline = Instant::now() + Duration::from_secs(20);
        while !wheelhouse_cache::version::reaches(self.informer.snapshot().seen(), &version.to_string()) {
            assert!(Instant::now() < deadline, "the event is not seen");
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn answer(&self, answer: impl Into<String>) {
        self.answers.next.lock().unwrap().push_back(answer.into());
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.answers.asked.lock().unwrap().clone()
    }

    pub(crate) fn asked_what(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.what).collect()
    }

    /// Bytes that were taken of the last answer, by the client or the kernel.
    pub(crate) fn taken(&self) -> usize {
        self.answers.taken.load(Ordering::Relaxed)
    }

    fn get_request(&self, kind: Kind, key: Key) -> wheelhouse_core::Permitted<Get> {
        self.get_with(kind, key, Consistency::OwnWrites)
    }

    fn get_with(&self, kind: Kind, key: Key, consistency: Consistency) -> wheelhouse_core::Permitted<Get> {
        self.gate.permit(Get { kind, key, subresource: String::new(), consistency }).unwrap()
    }

    /// What the watch has brought, whatever the plugin has written.
    pub(crate) async fn get_cached(&self, name: &str) -> Result<Option<Object>, ApiError> {
        self.client.get(self.get_with(kind(), key(name), Consistency::Cached)).await
    }

    pub(crate) async fn page(&self, list: List) -> Result<Page, ApiError> {
        self.client.list(self.gate.permit(list).unwrap()).await
    }

    pub(crate) async fn get(&self, name: &str) -> Result<Option<Object>, ApiError> {
        self.client.get(self.get_request(kind(), key(name))).await
    }

    pub(crate) async fn get_live(&self, kind: Kind, key: Key) -> Result<Option<Object>, ApiError> {
        self.client.get_live(self.get_request(kind, key)).await
    }

    /// The version at which a name is read, or "".
    pub(crate) async fn version(&self, name: &str) -> String {
        self.get(name).await.unwrap().map(|object| object.resource_version().to_owned()).unwrap_or_default()
    }

    pub(crate) async fn list_of(&self, list: List) -> Result<Vec<String>, ApiError> {
        let mut found = Vec::new();
        let count = self.client.count(self.gate.permit(list.clone()).unwrap()).await?;
        let mut list = list;
        loop {
            let page = self.client.list(self.gate.permit(list.clone()).unwrap()).await?;
            found.extend(page.objects.iter().map(|o| format!("{}@{}", o.name(), o.resource_version())));
            list.after = page.more_after;
            if list.after.is_none() {
                assert_eq!(count, found.len() as u64);
                return Ok(found);
            }
        }
    }

    pub(crate) async fn list(&self) -> Vec<String> {
        self.list_of(everything()).await.unwrap()
    }

    /// Records an Event, which is related to the node.
    pub(crate) async fn record(&self, kind: Kind, key: Key, reason: &str) -> Result<(), ApiError> {
        let related = self.get_request(node(), Key::new("", "n1"));
        self.record_related(kind, key, reason, Some(related)).await
    }

    pub(crate) async fn record_related(
        &self,
        kind: Kind,
        key: Key,
        reason: &str,
        related: Option<wheelhouse_core::Permitted<Get>>,
    ) -> Result<(), ApiError> {
        let text = EventText::new(EventType::Warning, reason, "Try", "It did not work.").unwrap();
        let event = NewEvent::new(self.get_request(kind, key), related, text);
        let event = self.gate.permit(event).unwrap();
        self.client.record(self.gate.permit(RecordEvent::new(event)).unwrap()).await
    }

    pub(crate) async fn write(&self, name: &str, change: Change) -> Result<Option<Object>, ApiError> {
        self.write_as(written(name, change)).await
    }

    pub(crate) async fn write_as(&self, write: Write) -> Result<Option<Object>, ApiError> {
        self.client.write(self.gate.permit(write)?).await
    }
}

/// Events are sent at once, and few are kept.
fn quick() -> EventConfig {
    let instant = Duration::from_millis(1);
    EventConfig { pace: instant, pause: instant, longest_pause: instant, kept: 2, ..EventConfig::default() }
}

pub(crate) fn everything() -> List {
    List {
        kind: kind(),
        namespace: String::new(),
        selector: Default::default(),
        field_selector: Default::default(),
        consistency: Default::default(),
        matches: vec![],
        limit: 2,
        bytes: usize::MAX,
        after: None,
    }
}

pub(crate) fn with_app(app: &str) -> List {
    List { matches: vec![IndexMatch { index: "app".into(), value: app.into() }], ..everything() }
}

pub(crate) fn written(name: &str, change: Change) -> Write {
    Write {
        kind: kind(),
        key: key(name),
        subresource: String::new(),
        dry_run: false,
        field_manager: "p".into(),
        change,
    }
}

pub(crate) fn delete() -> Change {
    Change::Delete { propagation: None, grace_period: None, uid: None, resource_version: None }
}

pub(crate) fn create(name: &str) -> Change {
    Change::Create(json!({"metadata": {"name": name}}).to_string().into_bytes())
}
