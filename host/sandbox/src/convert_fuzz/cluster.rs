//! A cluster that notes what does not belong to the namespace `a`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wheelhouse_core::access::{BoxFuture, Page};
use wheelhouse_core::event::RecordEvent;
use wheelhouse_core::request::{Change, Get, List, Synced, Write};
use wheelhouse_core::{ApiError, ClusterAccess, Key, Object, Permitted};

#[derive(Default)]
pub(super) struct Witness {
    pub(super) strays: Mutex<Vec<String>>,
    pub(super) asked: AtomicU64,
}

impl Witness {
    fn note(&self, what: &str, namespace: &str) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if namespace != "a" {
            self.strays.lock().unwrap().push(format!("{what} in {namespace:?}"));
        }
    }

    /// Of one object.
    fn note_key(&self, what: &str, key: &Key) {
        self.note(what, &key.namespace);
        if !key.is_possible() {
            self.strays.lock().unwrap().push(format!("{what} of what no object is called"));
        }
    }

    fn list(&self, request: &List) -> Result<(), ApiError> {
        self.note("list", &request.namespace);
        match request.matches.first() {
            Some(m) => {
                Err(ApiError::UndeclaredIndex { index: m.index.clone(), kind: request.kind.to_string() })
            }
            None => Ok(()),
        }
    }

    /// As another reader of JSON sees it, for whom the first of two members counts.
    fn written(&self, body: &[u8]) {
        use serde_json::Value;
        let json: Value = serde_json::from_slice(body).expect("what is written is JSON");
        if let Some(namespace) = json.pointer("/metadata/namespace").and_then(Value::as_str) {
            self.note("body", namespace);
        }
        let text = String::from_utf8_lossy(body);
        if text.contains(r#""namespace":"b","namespace":"a""#) {
            self.note("body", "a or b");
        }
    }
}

impl ClusterAccess for Witness {
    fn get(&self, request: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        self.note_key("get", &request.key);
        Box::pin(async { Ok(None) })
    }
    fn list(&self, request: Permitted<List>) -> BoxFuture<'_, Result<Page, ApiError>> {
        let listed = self.list(&request);
        Box::pin(async move {
            listed.map(|()| Page { objects: Vec::new(), more_after: None, unreadable: Vec::new() })
        })
    }
    fn count(&self, request: Permitted<List>) -> BoxFuture<'_, Result<u64, ApiError>> {
        let listed = self.list(&request);
        Box::pin(async move { listed.map(|()| 0) })
    }
    fn synced(&self, _: Permitted<Synced>) -> bool {
        true
    }
    fn wait_synced(&self, _: Permitted<Synced>, within: Duration) -> BoxFuture<'_, bool> {
        assert!(within <= Duration::from_secs(3600));
        Box::pin(async { true })
    }
    fn get_live(&self, request: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        self.get(request)
    }
    fn record(&self, request: Permitted<RecordEvent>) -> BoxFuture<'_, Result<(), ApiError>> {
        let event = request.event();
        self.note("Event", event.namespace());
        self.note("Event on", &event.regarding.key.namespace);
        event.related.iter().for_each(|related| self.note("Event with", &related.key.namespace));
        Box::pin(async { Ok(()) })
    }
    fn write(&self, request: Permitted<Write>) -> BoxFuture<'_, Result<Option<Object>, ApiError>> {
        match &request.change {
            // Its name is the API server's to judge.
            Change::Create(body) | Change::Update(body) | Change::Apply { object: body, .. } => {
                self.note("write", &request.key.namespace);
                self.written(body)
            }
            Change::Patch(..) | Change::Delete { .. } => self.note_key("write", &request.key),
        }
        Box::pin(async { Ok(None) })
    }
}
