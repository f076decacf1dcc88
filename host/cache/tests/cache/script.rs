//! A list/watch conversation, word by word.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::channel::mpsc::{UnboundedSender, unbounded};
use serde_json::{Value, json};
use tokio::time::Instant;
use wheelhouse_cache::{
    ApiResource, BoxFuture, Delta, Event, EventStream, Failure, Informer, InformerFactory, ListPage,
    ListRequest, ListWatch, ReflectorConfig, ResourceMap, Status, Subscription, Unreadable, WatchRequest,
};
use wheelhouse_core::{Key, Kind, Object};

pub(crate) type Answer<T> = Result<T, Failure>;
pub(crate) type Events = UnboundedSender<Answer<Event>>;

enum Next {
    List(Answer<ListPage>),
    Watch(Answer<EventStream>),
}

/// What the server says next. When it has nothing left to say, it is silent.
#[derive(Default)]
pub(crate) struct Script {
    next: Mutex<VecDeque<Next>>,
    asked: Mutex<Vec<(String, Instant)>>,
}

impl Script {
    pub(crate) fn list(&self, answer: Answer<ListPage>) {
        self.next.lock().unwrap().push_back(Next::List(answer));
    }

    /// A watch that lasts until the sender is dropped.
    pub(crate) fn watch(&self) -> Events {
        let (events, stream) = unbounded();
        self.next.lock().unwrap().push_back(Next::Watch(Ok(Box::pin(stream))));
        events
    }

    pub(crate) fn refuse_watch(&self, failure: Failure) {
        self.next.lock().unwrap().push_back(Next::Watch(Err(failure)));
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(what, _)| what.clone()).collect()
    }

    /// How long after the one before each was asked.
    pub(crate) fn pauses(&self) -> Vec<Duration> {
        let asked = self.asked.lock().unwrap();
        asked.windows(2).map(|pair| pair[1].1 - pair[0].1).collect()
    }

    fn ask(&self, what: String) -> Option<Next> {
        self.asked.lock().unwrap().push((what, Instant::now()));
        self.next.lock().unwrap().pop_front()
    }
}

/// Fields are named in what was asked, and are not the script's to leave out.
impl ListWatch for Script {
    fn list<'a>(&'a self, request: ListRequest<'a>) -> BoxFuture<'a, Answer<ListPage>> {
        Box::pin(async move {
            let fields =
                if request.fields.is_all() { String::new() } else { format!(" of {}", request.fields) };
            let asked = format!("list {}", request.continue_token);
            match self.ask(format!("{}{fields}", asked.trim())) {
                Some(Next::List(answer)) => answer,
                Some(Next::Watch(_)) => panic!("a list came where a watch was expected: {:?}", self.asked()),
                None => std::future::pending().await,
            }
        })
    }

    fn watch<'a>(&'a self, request: WatchRequest<'a>) -> BoxFuture<'a, Answer<EventStream>> {
        Box::pin(async move {
            let from = if request.initial_events { "everything" } else { request.resource_version };
            let fields =
                if request.fields.is_all() { String::new() } else { format!(" of {}", request.fields) };
            match self.ask(format!("watch {from}{fields}")) {
                Some(Next::Watch(answer)) => answer,
                Some(Next::List(_)) => panic!("a watch came where a list was expected: {:?}", self.asked()),
                None => std::future::pending().await,
            }
        })
    }
}

pub(crate) fn kind() -> Kind {
    "v1/Pod".parse().unwrap()
}

pub(crate) fn resource(kind: &Kind) -> ApiResource {
    ApiResource { kind: kind.clone(), plural: "pods".into(), namespaced: true, subresources: vec![] }
}

/// An informer of the script, alone in its factory.
pub(crate) async fn informer(script: &Arc<Script>) -> Informer {
    factory(script).informer(&kind()).await.unwrap()
}

/// Lists by pages.
pub(crate) fn factory(script: &Arc<Script>) -> InformerFactory {
    configured(script, ReflectorConfig { streaming: false, ..ReflectorConfig::default() })
}

/// Asks for streaming lists first.
pub(crate) fn streaming(script: &Arc<Script>) -> InformerFactory {
    configured(script, ReflectorConfig::default())
}

fn configured(script: &Arc<Script>, config: ReflectorConfig) -> InformerFactory {
    let script = Arc::clone(script);
    InformerFactory::with_source(
        ResourceMap::fixed([resource(&kind())]),
        move |_, _| Arc::clone(&script) as Arc<dyn ListWatch>,
        config,
    )
}

/// `n/name` with a UID, a version, and more.
pub(crate) fn object(name: &str, uid: &str, version: &str, more: Value) -> Object {
    let mut value =
        json!({"metadata": {"namespace": "n", "name": name, "uid": uid, "resourceVersion": version}});
    for (field, content) in more.as_object().unwrap() {
        match content {
            Value::Object(fields) if field == "metadata" => {
                value["metadata"].as_object_mut().unwrap().extend(fields.clone());
            }
            _ => value[field] = content.clone(),
        }
    }
    Object::from_value(&value).unwrap()
}

/// `n/name`, whose UID is its name.
pub(crate) fn pod(name: &str, version: &str) -> Object {
    object(name, name, version, json!({}))
}

pub(crate) fn key(name: &str) -> Key {
    Key::new("n", name)
}

pub(crate) fn page(version: &str, objects: impl IntoIterator<Item = Object>) -> Answer<ListPage> {
    Ok(ListPage {
        objects: objects.into_iter().collect(),
        resource_version: version.into(),
        ..ListPage::default()
    })
}

/// A page with more to come.
pub(crate) fn part(
    version: &str,
    token: &str,
    objects: impl IntoIterator<Item = Object>,
) -> Answer<ListPage> {
    page(version, objects).map(|page| ListPage { continue_token: token.into(), ..page })
}

pub(crate) fn refusal(code: u16, reason: &str) -> Failure {
    let message = format!("{code} {reason}");
    Failure::Status(Status { code, reason: reason.into(), message, ..Status::default() })
}

pub(crate) fn bookmark(version: &str) -> Answer<Event> {
    Ok(Event::Bookmark { resource_version: version.into(), initial_events_end: false })
}

/// The end of a streaming list.
pub(crate) fn end_of_initial(version: &str) -> Answer<Event> {
    Ok(Event::Bookmark { resource_version: version.into(), initial_events_end: true })
}

/// `n/name`, which does not decode.
pub(crate) fn unreadable(name: &str) -> Unreadable {
    Unreadable { key: Some(key(name)), reason: "it is too odd".into() }
}

/// Lets everything happen that can, up to a bound of (paused) time.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(3600);
    let mut pause = Duration::from_millis(10);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(Duration::from_secs(1));
    }
}

/// What a handler is told next: a test that waits for what never comes should fail, and not hang.
pub(crate) async fn next(handler: &mut Subscription) -> Delta {
    let told = tokio::time::timeout(Duration::from_secs(600), handler.next()).await;
    told.expect("a handler is told of nothing more")
}

/// The names and versions in the store.
pub(crate) fn contents(informer: &Informer) -> Vec<String> {
    let now = informer.snapshot();
    now.iter().map(|(_, object)| format!("{}@{}", object.name(), object.resource_version())).collect()
}
