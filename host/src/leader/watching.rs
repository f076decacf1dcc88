//! Sees at once that a Lease was given back: by a watch of it, while somebody else holds it.
//!
//! What it says is a hint. Who stands for the lease reads it then, and reads it now and then whatever the watch
//! says; so a watch that is forbidden, cut or late costs time and nothing else.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::{Instant, sleep_until};
use wheelhouse_cache::{
    ApiResource, Event, EventStream, Failure, KubeListWatch, ListWatch, ResourceMap, Rest, WatchRequest,
};
use wheelhouse_core::{FieldSelector, Fields, Kind, Object, Scope};

/// Then the server closes the watch, and another one is opened.
const TIMEOUT: Duration = Duration::from_secs(300);

/// See the module.
pub(crate) struct Watching {
    source: Option<KubeListWatch>,
    /// Behind a lock that nobody takes: a stream alone cannot be shared by reference.
    events: Option<Mutex<EventStream>>,
    /// Not before then is another one opened.
    open: Instant,
    pause: Duration,
    name: String,
    /// Whether the log has it that this does not work.
    said: bool,
}

impl Watching {
    /// Of one Lease. Between one try to open the watch and another there is the pause.
    pub(crate) fn new(rest: Rest, namespace: &str, name: &str, pause: Duration) -> Self {
        let source = source(rest, namespace, name);
        Self { source, events: None, open: Instant::now(), pause, name: name.to_owned(), said: false }
    }

    /// Ends when the Lease is seen to be nobody's. Dropped and called again, it goes on where it was.
    pub(crate) async fn freed(&mut self) {
        loop {
            if self.events.is_none() {
                sleep_until(self.open).await;
                self.open = Instant::now() + self.pause;
                match self.watch().await {
                    Ok(events) => self.events = Some(Mutex::new(events)),
                    Err(failure) => self.failed(&failure),
                }
            }
            while let Some(events) = &mut self.events {
                match events.get_mut().unwrap_or_else(PoisonError::into_inner).next().await {
                    Some(Ok(Event::Added(lease) | Event::Modified(lease))) if is_free(&lease) => return,
                    Some(Ok(Event::Deleted(_))) => return,
                    Some(Ok(Event::Error(_)) | Err(_)) | None => self.events = None,
                    Some(Ok(_)) => {}
                }
            }
        }
    }

    /// Until it is asked again: who holds the lease need not watch it.
    pub(crate) fn stop(&mut self) {
        self.events = None;
    }

    async fn watch(&self) -> Result<EventStream, Failure> {
        let Some(source) = &self.source else { std::future::pending().await };
        // Without a version, the first event is what is there.
        let request = WatchRequest {
            resource_version: "",
            initial_events: false,
            timeout: TIMEOUT,
            fields: &Fields::all(),
        };
        source.watch(request).await
    }

    fn failed(&mut self, failure: &Failure) {
        if !self.said {
            tracing::info!(
                lease = self.name,
                "the lease cannot be watched: that it was given back will be seen a little later (the host needs watch of leases.coordination.k8s.io for this): {failure}"
            );
            self.said = true;
        }
    }
}

fn source(rest: Rest, namespace: &str, name: &str) -> Option<KubeListWatch> {
    let kind: Kind = "coordination.k8s.io/v1/Lease".parse().ok()?;
    let fields: FieldSelector = format!("metadata.name={name}").parse().ok()?;
    let resource =
        ApiResource { kind: kind.clone(), plural: "leases".into(), namespaced: true, subresources: vec![] };
    let scope = Scope { fields, ..Scope::in_namespace(namespace) };
    Some(KubeListWatch::new(rest, ResourceMap::fixed([resource]), &kind, &scope))
}

fn is_free(lease: &Object) -> bool {
    let holder = lease.value().at(&["spec", "holderIdentity"]);
    holder.and_then(|holder| holder.as_str()).is_none_or(str::is_empty)
}
