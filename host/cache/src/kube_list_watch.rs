//! The API server as a [`ListWatch`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream;
use http::Response;
use http_body_util::BodyExt;
use kube::client::Body;
use tokio::time::timeout;
use wheelhouse_core::{Fields, Kind, Scope};

use crate::decode::Decoder;
use crate::error::CacheError;
use crate::list_watch::{BoxFuture, Event, EventStream, ListPage, ListRequest, ListWatch, WatchRequest};
use crate::resource::ResourceMap;
use crate::rest::{Failure, Rest, Status, chain, encode};

/// Of one page of a list, and of a watch until its headers have come.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest event of a watch.
const MAX_LINE: usize = 64 << 20;

/// Asks for metadata alone, and takes whole objects from a server that knows no less.
const METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
const WHOLE: &str = "application/json";

/// Lists and watches one kind, as far as a scope goes.
pub struct KubeListWatch {
    rest: Rest,
    resources: ResourceMap,
    kind: Kind,
    scope: Scope,
    /// The server does not select by these fields: it is done here.
    selects_here: AtomicBool,
}

impl KubeListWatch {
    /// The kind need not be served yet.
    pub fn new(rest: Rest, resources: ResourceMap, kind: &Kind, scope: &Scope) -> Self {
        let selects_here = AtomicBool::new(false);
        Self { rest, resources, kind: kind.clone(), scope: scope.clone(), selects_here }
    }

    /// Of an answer that has come: by now it is known who selects.
    fn decoder(&self, fields: &Fields) -> Decoder {
        let decoder = Decoder::new(&self.kind).reading(fields);
        if self.selects_here.load(Ordering::Relaxed) {
            decoder.selecting(&self.scope.fields)
        } else {
            decoder
        }
    }

    /// Asks with the scope's selectors. Where the server refuses to select by a field (it knows but a
    /// few of each kind), it is asked without.
    async fn ask(&self, query: &str, accept: &str) -> Result<Response<Body>, Failure> {
        let selects_here = self.scope.fields.is_empty() || self.selects_here.load(Ordering::Relaxed);
        let answer = self.ask_once(query, accept, !selects_here).await;
        let refused = !selects_here && answer.as_ref().is_err_and(|failure| failure.code() == Some(400));
        if !refused {
            return answer;
        }
        let answer = self.ask_once(query, accept, false).await;
        if answer.is_ok() && !self.selects_here.swap(true, Ordering::Relaxed) {
            let (kind, selector) = (&self.kind, &self.scope.fields);
            tracing::info!(%kind, %selector, "the API server does not select this kind by these fields: all of it is watched, and what is not selected is dropped");
        }
        answer
    }

    async fn ask_once(&self, query: &str, accept: &str, fields: bool) -> Result<Response<Body>, Failure> {
        let resource = self.resources.resolve(&self.kind).await.map_err(|error| match error {
            CacheError::Discovery { failure, .. } => failure,
            unknown @ CacheError::UnknownKind { .. } => {
                let message = unknown.to_string();
                Failure::Status(Status { code: 404, reason: "NotFound".into(), message, ..Status::default() })
            }
        })?;
        let namespace = if resource.namespaced { self.scope.namespace.as_str() } else { "" };
        let mut path = format!("{}?{query}", resource.path(namespace, "", ""));
        if !self.scope.labels.is_empty() {
            path.push_str("&labelSelector=");
            path.push_str(&encode(&self.scope.labels.to_string()));
        }
        if fields {
            path.push_str("&fieldSelector=");
            path.push_str(&encode(&self.scope.fields.to_string()));
        }
        let answer = timeout(ANSWER_TIMEOUT, self.rest.open(&path, accept)).await;
        let answer = answer.unwrap_or(Err(Failure::TimedOut(ANSWER_TIMEOUT)));
        if answer.as_ref().is_err_and(|failure| failure.code() == Some(404)) {
            // A kind that is not where it was may come back elsewhere: another plural, another scope.
            let _ = self.resources.refresh(&self.kind).await;
        }
        answer
    }
}

impl ListWatch for KubeListWatch {
    fn list<'a>(&'a self, request: ListRequest<'a>) -> BoxFuture<'a, Result<ListPage, Failure>> {
        Box::pin(async move {
            let mut query = format!("limit={}", request.limit);
            if !request.continue_token.is_empty() {
                query.push_str("&continue=");
                query.push_str(&encode(request.continue_token));
            }
            let accept = if request.fields.is_metadata() { METADATA_LIST } else { WHOLE };
            let answer = self.ask(&query, accept).await?;
            let body = timeout(ANSWER_TIMEOUT, crate::rest::body(answer)).await;
            let body: Bytes = body.unwrap_or(Err(Failure::TimedOut(ANSWER_TIMEOUT)))?;
            self.decoder(request.fields).list(&body)
        })
    }

    fn watch<'a>(&'a self, request: WatchRequest<'a>) -> BoxFuture<'a, Result<EventStream, Failure>> {
        Box::pin(async move {
            let seconds = request.timeout.as_secs().max(1);
            let mut query = format!("watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}");
            if request.initial_events {
                query.push_str("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
            } else {
                query.push_str("&resourceVersion=");
                query.push_str(&encode(request.resource_version));
            }
            let accept = if request.fields.is_metadata() { METADATA } else { WHOLE };
            let body = self.ask(&query, accept).await?.into_body().into_data_stream();
            let decoder = self.decoder(request.fields);
            let lines = Lines { body, rest: BytesMut::new(), scanned: 0, decoder };
            let events: EventStream = Box::pin(stream::unfold(Some(lines), |lines| async {
                let mut lines = lines?;
                match lines.next().await? {
                    Ok(event) => Some((Ok(event), Some(lines))),
                    Err(failure) => Some((Err(failure), None)),
                }
            }));
            Ok(events)
        })
    }
}

/// Cuts a body into lines, and those into events.
struct Lines<B> {
    body: B,
    rest: BytesMut,
    /// So much of the rest has no line's end in it.
    scanned: usize,
    decoder: Decoder,
}

impl<B, E> Lines<B>
where
    B: futures::Stream<Item = Result<bytes::Bytes, E>> + Unpin,
    E: std::error::Error,
{
    fn line(&mut self) -> Option<BytesMut> {
        let end = self.rest.iter().skip(self.scanned).position(|byte| *byte == b'\n');
        let Some(end) = end else {
            self.scanned = self.rest.len();
            return None;
        };
        let line = self.rest.split_to(self.scanned + end + 1);
        self.scanned = 0;
        Some(line)
    }

    /// The next event; none at a clean end. What is left without a line's end was cut off, and
    /// comes again when the watch is resumed.
    async fn next(&mut self) -> Option<Result<Event, Failure>> {
        loop {
            while let Some(line) = self.line() {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                match self.decoder.event(&line) {
                    Ok(Some(event)) => return Some(Ok(event)),
                    Ok(None) => {}
                    Err(failure) => return Some(Err(failure)),
                }
            }
            if self.rest.len() > MAX_LINE {
                return Some(Err(Failure::Unreadable(format!("an event is larger than {MAX_LINE} bytes"))));
            }
            match self.body.next().await? {
                Ok(chunk) => self.rest.extend_from_slice(&chunk),
                Err(error) => return Some(Err(Failure::Unreachable(chain(&error)))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn events_are_found_however_the_bytes_are_cut_and_half_an_event_is_none() {
        let text = "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\"}}}\n\n\
                    {\"type\":\"NEWS\",\"object\":{}}\n\
                    {\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"b\"}}}\n{\"type\":\"ADD";
        for size in 1..text.len() {
            let chunks = text.as_bytes().chunks(size).map(|c| Ok(bytes::Bytes::copy_from_slice(c)));
            let chunks: Vec<Result<bytes::Bytes, std::io::Error>> = chunks.collect();
            let decoder = Decoder::new(&"v1/Pod".parse().unwrap());
            let mut lines = Lines { body: stream::iter(chunks), rest: BytesMut::new(), scanned: 0, decoder };
            assert!(matches!(lines.next().await, Some(Ok(Event::Added(o))) if o.name() == "a"));
            assert!(matches!(lines.next().await, Some(Ok(Event::Deleted(o))) if o.name() == "b"));
            assert!(lines.next().await.is_none());
        }
    }
}
