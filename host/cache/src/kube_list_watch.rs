//! The API server as a [`ListWatch`].

use std::time::Duration;

use bytes::BytesMut;
use futures::StreamExt;
use futures::stream;
use http::Method;
use http_body_util::BodyExt;
use tokio::time::timeout;
use wheelhouse_core::Kind;

use crate::decode::Decoder;
use crate::error::CacheError;
use crate::list_watch::{BoxFuture, Event, EventStream, ListPage, ListWatch};
use crate::resource::ResourceMap;
use crate::rest::{Failure, Rest, Status, chain, encode};

/// Of one page of a list, and of a watch until its headers have come.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest event of a watch.
const MAX_LINE: usize = 64 << 20;

/// Lists and watches one kind in all namespaces.
pub struct KubeListWatch {
    rest: Rest,
    resources: ResourceMap,
    kind: Kind,
    decoder: Decoder,
}

impl KubeListWatch {
    /// The kind need not be served yet.
    pub fn new(rest: Rest, resources: ResourceMap, kind: &Kind) -> Self {
        Self { rest, resources, kind: kind.clone(), decoder: Decoder::new(kind) }
    }

    async fn path(&self, query: &str) -> Result<String, Failure> {
        let resource = self.resources.resolve(&self.kind).await.map_err(|error| match error {
            CacheError::Discovery { failure, .. } => failure,
            unknown @ CacheError::UnknownKind { .. } => {
                let message = unknown.to_string();
                Failure::Status(Status { code: 404, reason: "NotFound".into(), message, ..Status::default() })
            }
        })?;
        Ok(format!("{}?{query}", resource.path("", "", "")))
    }

    /// A kind that is not where it was may come back elsewhere: another plural, another scope.
    async fn relearn<T>(&self, answer: Result<T, Failure>) -> Result<T, Failure> {
        if answer.as_ref().is_err_and(|failure| failure.code() == Some(404)) {
            let _ = self.resources.refresh(&self.kind).await;
        }
        answer
    }
}

impl ListWatch for KubeListWatch {
    fn list<'a>(&'a self, limit: u32, continue_token: &'a str) -> BoxFuture<'a, Result<ListPage, Failure>> {
        Box::pin(async move {
            let mut query = format!("limit={limit}");
            if !continue_token.is_empty() {
                query.push_str("&continue=");
                query.push_str(&encode(continue_token));
            }
            let path = self.path(&query).await?;
            let answer = self.rest.send(Method::GET, &path, None, ANSWER_TIMEOUT).await;
            self.decoder.list(&self.relearn(answer).await?)
        })
    }

    fn watch<'a>(
        &'a self,
        resource_version: &'a str,
        timeout_: Duration,
    ) -> BoxFuture<'a, Result<EventStream, Failure>> {
        Box::pin(async move {
            let query = format!(
                "watch=true&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={}",
                encode(resource_version),
                timeout_.as_secs().max(1)
            );
            let path = self.path(&query).await?;
            let answer = timeout(ANSWER_TIMEOUT, self.rest.open(Method::GET, &path, None)).await;
            let answer = answer.unwrap_or(Err(Failure::TimedOut(ANSWER_TIMEOUT)));
            let body = self.relearn(answer).await?.into_body().into_data_stream();
            let lines = Lines { body, rest: BytesMut::new(), scanned: 0, decoder: self.decoder.clone() };
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
