//! Reads from the API server: of what is not watched, of what has not synced, and where the plugin
//! asks for them.
//!
//! A read can be repeated, so it is: on a broken connection, 429 and 5xx, within bounds.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::time::sleep;
use wheelhouse_cache::rest::encode;
use wheelhouse_cache::{Decoder, Failure, Query, page};
use wheelhouse_core::access::Page;
use wheelhouse_core::request::{Get, List};
use wheelhouse_core::{ApiError, Object};

use crate::api_error::{from_cache, from_failure};
use crate::client::{PluginClient, WatchedKind};
use crate::place::path;
use crate::read::{answers, query, undeclared};

/// Objects in a page of a list.
const PAGE: u32 = 500;
/// How often a list whose token expired is begun.
const LISTS: u32 = 3;

fn worth_another_try(failure: &Failure) -> bool {
    match failure {
        Failure::Status(status) => matches!(status.code, 429 | 500 | 502 | 503 | 504),
        Failure::Unreachable(_) => true,
        Failure::TimedOut(_) | Failure::Unreadable(_) | Failure::BadRequest(_) => false,
    }
}

impl PluginClient {
    async fn read(&self, path: &str) -> Result<Bytes, Failure> {
        let mut patience = self.config.patience;
        let mut pause = self.config.pause;
        let mut left = self.config.tries.max(1);
        loop {
            let failure = match self.rest.send(Method::GET, path, None, self.config.timeout).await {
                Ok(body) => return Ok(body),
                Err(failure) => failure,
            };
            left -= 1;
            let wait = failure.retry_after().unwrap_or(pause);
            // A server that asks for more than the bound gets it from the plugin, which is told.
            if left == 0 || wait > patience || !worth_another_try(&failure) {
                return Err(failure);
            }
            sleep(wait).await;
            patience = patience.saturating_sub(wait.max(Duration::from_millis(1)));
            pause *= 2;
        }
    }
}

impl PluginClient {
    pub(crate) async fn live_get(&self, request: &Get) -> Result<Option<Object>, ApiError> {
        let resource = self.resources.resolve(&request.kind).await.map_err(from_cache)?;
        let path = path(&resource, &request.key, &request.subresource)?;
        let watched = self.kinds.get(&request.kind).filter(|_| request.subresource.is_empty());
        // Whichever object the plugin saw before the question is gone if the answer is "none".
        let before = watched.map(|w| w.overlay.uid_at(&request.key, w.informer.store())).unwrap_or_default();
        let object = match self.read(&path).await {
            Ok(body) => {
                let decoder = Decoder::new(&request.kind);
                let object = if request.subresource.is_empty() {
                    decoder.object(&body)
                } else {
                    decoder.answer(&body)
                };
                Some(object.map_err(from_failure)?)
            }
            Err(failure) if failure.code() == Some(404) => {
                if self.not_served(&failure, &request.kind).await {
                    return Err(from_failure(failure));
                }
                None
            }
            Err(failure) => return Err(from_failure(failure)),
        };
        // A cached read after this one is not older.
        if let Some(WatchedKind { overlay, informer, .. }) = watched {
            match &object {
                Some(object) => overlay.learn(object, informer.store()),
                None => overlay.learn_gone(&request.key, &before, informer.store()),
            }
        }
        Ok(object)
    }

    /// Whether a 404 says that the path is none, rather than that the object is. Then what was
    /// known of the kind is wrong, and is forgotten.
    pub(crate) async fn not_served(&self, failure: &Failure, kind: &wheelhouse_core::Kind) -> bool {
        let Failure::Status(status) = failure else { return false };
        status.code == 404 && status.reason.is_empty() && {
            let _ = self.resources.refresh(kind).await;
            true
        }
    }

    /// Every object that a list is for, in order.
    async fn live_objects(&self, request: &List) -> Result<Vec<Object>, ApiError> {
        let watched = self.kinds.get(&request.kind);
        let matches = match (watched, request.matches.first()) {
            (Some(watched), _) => watched.matches(request)?,
            (None, Some(first)) => return Err(undeclared(&first.index, request)),
            (None, None) => Vec::new(),
        };
        let query = query(request, &matches);
        let mut objects = self.fetch_all(request).await?;
        if let Some(watched) = watched {
            let indexes = watched.informer.snapshot();
            objects.retain(|object| answers(object, &indexes, &query));
            watched.raise_floor(objects.iter());
        }
        // The server orders by "namespace/name", which is not quite by namespace and name.
        objects.sort_by_cached_key(Object::key);
        Ok(objects)
    }

    async fn fetch_all(&self, request: &List) -> Result<Vec<Object>, ApiError> {
        let resource = self.resources.resolve(&request.kind).await.map_err(from_cache)?;
        let collection = crate::place::collection(&resource, &request.namespace)?;
        let decoder = Decoder::new(&request.kind);
        let mut first = format!("{collection}?limit={PAGE}");
        if !request.selector.is_empty() {
            first.push_str("&labelSelector=");
            first.push_str(&encode(&request.selector.to_string()));
        }
        let mut lists = LISTS;
        'list: loop {
            lists -= 1;
            let mut objects = Vec::new();
            let mut path = first.clone();
            loop {
                let page = match self.read(&path).await {
                    Ok(body) => decoder.list(&body).map_err(from_failure)?,
                    // Half a list is none.
                    Err(failure) if failure.expired() && lists > 0 => continue 'list,
                    Err(failure) => {
                        self.not_served(&failure, &request.kind).await;
                        return Err(from_failure(failure));
                    }
                };
                objects.extend(page.objects);
                if page.continue_token.is_empty() {
                    return Ok(objects);
                }
                path = format!("{first}&continue={}", encode(&page.continue_token));
            }
        }
    }

    pub(crate) async fn live_list(&self, request: &List) -> Result<Page, ApiError> {
        let objects = self.live_objects(request).await?;
        let query: Query<'_> = query(request, &[]);
        let after =
            objects.iter().filter(|object| request.after.as_ref().is_none_or(|after| object.key() > *after));
        Ok(page(after, &query))
    }

    pub(crate) async fn live_count(&self, request: &List) -> Result<u64, ApiError> {
        Ok(self.live_objects(request).await?.len() as u64)
    }
}
