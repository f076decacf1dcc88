//! Events that plugins record. A call only takes note of them; a task for each plugin sends them, one
//! request at a time, and is gone when there is nothing left to send.
//!
//! The host's own take the same way: see [`HostEvents`](crate::HostEvents).
//!
//! It promises: what waits is bounded, in number and in time; what is lost is counted; each request
//! counts as one of the plugin's. It does not promise that an Event is ever seen: they are best effort,
//! as client-go's are, and what waits when the host ends is lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http::Method;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::sleep;
use wheelhouse_cache::{ApiResource, Failure, Rest, Status};
use wheelhouse_core::event::{EventText, RecordEvent};
use wheelhouse_core::printable::printable;
use wheelhouse_core::request::Get;
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{ApiError, ClusterAccess, Key, Kind, Permitted};

use crate::client::PluginClient;
pub use crate::ledger::EventConfig;
use crate::ledger::{EventKey, Ledger, Sending, Subject};
use crate::place::{home, path};

/// Bytes of a qualified name, behind its prefix.
const QUALIFIED: usize = 63;
/// Bytes of `reportingInstance`.
const INSTANCE: usize = 128;

/// The Events of one plugin, across its revisions. Clones share it.
#[derive(Clone)]
pub struct EventRecorder {
    inner: Arc<Inner>,
}

struct Inner {
    /// The machine, or the Pod, that this host is on.
    machine: String,
    resource: ApiResource,
    state: Mutex<State>,
    more: Notify,
    sent: AtomicU64,
    lost: AtomicU64,
}

struct State {
    ledger: Ledger,
    /// Whether the task is there.
    sending: bool,
}

/// What has become of a plugin's Events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventStats {
    /// Events, and counts of series, that the API server has taken.
    pub sent: u64,
    /// Events that it has refused, that could not be sent in time, or for which there was no room.
    pub lost: u64,
    /// What waits to be sent.
    pub waiting: u64,
}

impl Default for EventRecorder {
    fn default() -> Self {
        Self::new(EventConfig::default())
    }
}

impl EventRecorder {
    /// Of a plugin that has recorded nothing.
    pub fn new(config: EventConfig) -> Self {
        let state = Mutex::new(State { ledger: Ledger::new(config), sending: false });
        let resource = ApiResource {
            kind: Kind::new("events.k8s.io", "v1", "Event"),
            plural: "events".to_owned(),
            namespaced: true,
            subresources: Vec::new(),
        };
        let (sent, lost) = (AtomicU64::new(0), AtomicU64::new(0));
        Self {
            inner: Arc::new(Inner { machine: machine(), resource, state, more: Notify::new(), sent, lost }),
        }
    }

    /// What has become of them.
    pub fn stats(&self) -> EventStats {
        EventStats {
            sent: self.inner.sent.load(Ordering::Relaxed),
            lost: self.inner.lost.load(Ordering::Relaxed),
            waiting: self.inner.lock().ledger.waiting() as u64,
        }
    }

    /// Takes note of an Event, and sees to it that it is sent.
    pub(crate) fn take(
        &self,
        line: &Line,
        namespace: &str,
        regarding: Subject,
        related: Option<Subject>,
        text: &EventText,
    ) -> Result<(), ApiError> {
        let key = EventKey {
            regarding,
            related,
            event_type: text.event_type(),
            reason: text.reason().to_owned(),
            action: text.action().to_owned(),
        };
        let observed = json!(MicroTime(Timestamp::now()));
        let first = (key.clone(), observed.clone());
        let whole = || {
            let (key, observed) = first;
            let name = name(&key.regarding.key.name, &line.who);
            let event = self.whole(line, namespace, &key, text, &name, observed);
            (namespace.to_owned(), name, event)
        };
        let mut state = self.inner.lock();
        if state.ledger.note(key, observed, Instant::now(), whole).is_err() {
            self.inner.lost.fetch_add(1, Ordering::Relaxed);
            let message = format!(
                "{} Events wait to be sent to the API server already; this one is lost",
                state.ledger.waiting()
            );
            return Err(ApiError::Unavailable(message));
        }
        if std::mem::replace(&mut state.sending, true) {
            self.inner.more.notify_one();
        } else {
            tokio::spawn(send_all(Arc::clone(&self.inner), line.clone()));
        }
        Ok(())
    }

    /// The Event as the API server wants it.
    fn whole(
        &self,
        line: &Line,
        namespace: &str,
        key: &EventKey,
        text: &EventText,
        name: &str,
        observed: Value,
    ) -> Value {
        let mut whole = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": observed,
            "reportingController": &*line.controller,
            "reportingInstance": printable(&format!("{}-{}", line.who, self.inner.machine), INSTANCE),
            "type": key.event_type.as_str(),
            "reason": key.reason,
            "action": key.action,
            "note": text.note(),
            "regarding": key.regarding.reference(),
        });
        if let (Some(related), Value::Object(whole)) = (&key.related, &mut whole) {
            whole.insert("related".to_owned(), related.reference());
        }
        whole
    }
}

/// What sending takes.
#[derive(Clone)]
pub(crate) struct Line {
    /// The plugin, or the host.
    pub(crate) who: Arc<str>,
    /// `reportingController`.
    pub(crate) controller: Arc<str>,
    pub(crate) rest: Rest,
    pub(crate) usage: Arc<Usage>,
    /// Where it is enough to say once that they are lost: whether it was.
    pub(crate) said: Option<Arc<AtomicBool>>,
}

impl PluginClient {
    pub(crate) async fn record_event(&self, request: Permitted<RecordEvent>) -> Result<(), ApiError> {
        let event = request.event();
        let regarding = self.subject(&event.regarding).await?;
        if regarding.uid.is_empty() {
            let Subject { kind, key, .. } = regarding;
            return Err(ApiError::NotFound(format!("{kind} {key} is not there, and so gets no Event")));
        }
        let related = match &event.related {
            Some(related) => Some(self.subject(related).await?),
            None => None,
        };
        let who = Arc::clone(request.plugin());
        let controller = controller(&who).into();
        let (rest, usage) = (self.rest.clone(), Arc::clone(&self.usage));
        let line = Line { who, controller, rest, usage, said: None };
        self.events.take(&line, event.namespace(), regarding, related, &event.text)
    }

    async fn subject(&self, request: &Permitted<Get>) -> Result<Subject, ApiError> {
        let object = self.get(request.clone()).await?;
        let uid = object.map(|object| object.uid().to_owned()).unwrap_or_default();
        Ok(Subject { kind: request.kind.clone(), key: request.key.clone(), uid })
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self, line: &Line, lost: u64, why: &Failure) {
        if lost == 0 {
            return;
        }
        self.lost.fetch_add(lost, Ordering::Relaxed);
        match &line.said {
            None => tracing::warn!(plugin = &*line.who, lost, "Events are lost: {why}"),
            Some(said) if !said.swap(true, Ordering::Relaxed) => {
                tracing::warn!("Events of the host itself are lost, which is said this once: {why}");
            }
            Some(_) => {}
        }
    }

    async fn request(&self, line: &Line, sending: &Sending) -> Result<(), Failure> {
        let place = |error: ApiError| Failure::BadRequest(error.to_string());
        let (method, path, content_type, body) = match sending {
            Sending::Create { namespace, event } => {
                (Method::POST, home(&self.resource, namespace).map_err(place)?, "application/json", event)
            }
            Sending::Patch { namespace, name, patch } => {
                let key = Key::new(namespace.as_str(), name.as_str());
                let path = path(&self.resource, &key, "").map_err(place)?;
                (Method::PATCH, path, "application/merge-patch+json", patch)
            }
        };
        let timeout = self.lock().ledger.config().timeout;
        let body = body.to_string().into_bytes();
        line.rest.send(method, &path, Some((content_type, body)), timeout).await.map(drop)
    }
}

/// Whether the same request may succeed later. It may have succeeded now: an Event that is there already
/// is one that was sent.
fn worth_another_try(failure: &Failure) -> bool {
    match failure {
        Failure::Status(status) => matches!(status.code, 401 | 408 | 429 | 500..),
        Failure::Unreachable(_) | Failure::TimedOut(_) => true,
        // What the next one in office finds is for it to tell.
        Failure::Unreadable(_) | Failure::BadRequest(_) | Failure::Fenced(_) | Failure::GivenUp(_) => false,
    }
}

/// Sends until nothing waits.
async fn send_all(inner: Arc<Inner>, line: Line) {
    let config = inner.lock().ledger.config().clone();
    let mut pause = config.pause;
    loop {
        let (key, due) = {
            let mut state = inner.lock();
            match state.ledger.next() {
                Some(next) => next,
                None => {
                    state.sending = false;
                    return;
                }
            }
        };
        let wait = due.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            // Another one may be due earlier.
            tokio::select! {
                () = sleep(wait) => {}
                () = inner.more.notified() => {}
            }
            continue;
        }
        let Some((sending, count)) = inner.lock().ledger.sending(&key) else { continue };
        let answer = match line.usage.api_request() {
            Ok(()) => inner.request(&line, &sending).await,
            // It has its turn when the plugin's other requests leave it room.
            Err(limit) => {
                Err(Failure::Status(Status { code: 429, message: limit.to_string(), ..Status::default() }))
            }
        };
        let now = Instant::now();
        let Err(failure) = answer else {
            inner.lock().ledger.sent(&key, count, now);
            inner.sent.fetch_add(1, Ordering::Relaxed);
            pause = config.pause;
            continue;
        };
        match (&sending, failure.code()) {
            // The answer to an earlier try was lost on the way; it may have said less.
            (Sending::Create { .. }, Some(409)) => inner.lock().ledger.sent(&key, 1, now),
            (Sending::Patch { .. }, Some(404)) => inner.lock().ledger.gone(&key),
            _ if worth_another_try(&failure) => {
                let wait = failure.retry_after().unwrap_or(pause).min(config.longest_pause);
                pause = (pause * 2).min(config.longest_pause);
                let lost = inner.lock().ledger.failed(&key, now + wait, now);
                inner.lose(&line, lost, &failure);
                // Whoever cannot answer one request can answer none.
                sleep(wait).await;
            }
            _ => {
                let lost = inner.lock().ledger.refused(&key);
                inner.lose(&line, lost, &failure);
            }
        }
    }
}

/// What `reportingController` has of a plugin: a qualified name, which may be shorter than the plugin's.
fn controller(plugin: &str) -> String {
    let short: String = plugin.chars().take(QUALIFIED).collect();
    format!("wheelhouse.dev/{}", short.trim_end_matches(['-', '.']))
}

/// client-go's `GenerateEventName`: the object's name and a number that no other Event has.
fn name(object: &str, plugin: &str) -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    let next = |last: u64| now.max(last.wrapping_add(1));
    let number = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
    let number = number.map_or(now, next);
    // Not every kind's names are DNS subdomains, as those of Events must be; a plugin's is.
    let part = |part: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !part.is_empty() && part.bytes().all(inner) && !part.starts_with('-') && !part.ends_with('-')
    };
    let fits = object.len() <= 253 - 17 && object.split('.').all(part);
    format!("{}.{number:x}", if fits { object } else { plugin })
}

/// In a Pod, its name.
fn machine() -> String {
    let of_kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = std::env::var("HOSTNAME").ok().or_else(of_kernel).unwrap_or_default();
    let name = printable(name.trim(), 64);
    if name.is_empty() { "unknown".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_event_is_named_after_its_object_where_that_makes_a_name_and_never_as_another_one() {
        assert!(name("web-1.example", "p").starts_with("web-1.example."));
        let long = "x".repeat(240);
        for object in ["system:node", "Upper", "a..b", "-a", "a/b", "é", long.as_str()] {
            assert!(name(object, "p").starts_with("p."), "{object}");
        }
        let names: HashSet<String> = (0..10_000).map(|_| name("a", "p")).collect();
        assert_eq!(names.len(), 10_000);
    }

    #[test]
    fn a_reporting_controller_is_a_qualified_name() {
        assert_eq!(controller("team-a.echo"), "wheelhouse.dev/team-a.echo");
        let long = format!("{}.{}", "n".repeat(62), "p".repeat(63));
        assert_eq!(controller(&long), format!("wheelhouse.dev/{}", "n".repeat(62)));
    }

    #[test]
    fn a_refusal_is_final_and_a_server_in_trouble_is_not() {
        let status = |code| Failure::Status(Status { code, ..Status::default() });
        assert!([401, 429, 500, 503, 504].into_iter().all(|code| worth_another_try(&status(code))));
        assert!(![400, 403, 404, 409, 413, 422].into_iter().any(|code| worth_another_try(&status(code))));
        assert!(worth_another_try(&Failure::TimedOut(Duration::from_secs(1))));
    }
}
