//! Reads from the API server: of what is not watched, of what has not synced, and where the plugin
//! asks for them.
//!
//! A read can be repeated, so it is: on a broken connection, 429 and 5xx, within bounds.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;
use wheelhouse_cache::rest::encode;
use wheelhouse_cache::{Decoder, Failure, Pager, Query};
use wheelhouse_core::access::Page;
use wheelhouse_core::limits::Limit;
use wheelhouse_core::request::{Get, List};
use wheelhouse_core::{ApiError, Key, Kind, Object};

use crate::api_error::{from_cache, from_failure};
use crate::breaks::{DECODING, PROJECTION, in_turns};
use crate::client::PluginClient;
use crate::place::path;
use crate::read::{Plan, answers, plan_without_indexes};
use crate::view::{View, unreadable};

/// Objects in a page of a list.
const PAGE: u32 = 500;
/// How often a list whose token expired is begun.
const LISTS: u32 = 3;

fn worth_another_try(failure: &Failure) -> bool {
    match failure {
        Failure::Status(status) => matches!(status.code, 429 | 500 | 502 | 503 | 504),
        Failure::Unreachable(_) => true,
        Failure::TimedOut(_) | Failure::Unreadable(_) | Failure::BadRequest(_) => false,
        Failure::Fenced(_) | Failure::GivenUp(_) => false,
    }
}

impl PluginClient {
    /// One request, which its caller has accounted for, and as many more as it takes. None if the answer has
    /// more than so many bytes.
    async fn read(&self, path: &str, most: usize) -> Result<Option<Bytes>, Failure> {
        let mut patience = self.config.patience;
        let mut pause = self.config.pause;
        let mut left = self.config.tries.max(1);
        loop {
            let failure = match self.rest.get_at_most(path, most, self.config.timeout).await {
                Ok(body) => return Ok(body),
                Err(failure) => failure,
            };
            left -= 1;
            let wait = failure.retry_after().unwrap_or(pause);
            // A server that asks for more than the bound gets it from the plugin, which is told.
            let again = left > 0 && wait <= patience && worth_another_try(&failure);
            if !again || self.usage.api_request().is_err() {
                return Err(failure);
            }
            sleep(wait).await;
            patience = patience.saturating_sub(wait.max(Duration::from_millis(1)));
            pause *= 2;
        }
    }
}

/// Every object that a list is for, in order, and those that cannot be made sense of.
struct Listed {
    objects: Vec<Object>,
    unreadable: Vec<Key>,
}

impl PluginClient {
    pub(crate) async fn live_get(&self, request: &Get) -> Result<Option<Object>, ApiError> {
        self.reads.of(&request.kind).of_server(self.get_from_server(request)).await
    }

    /// The view of an object's namespace.
    pub(crate) fn view(&self, kind: &Kind, namespace: &str) -> Option<&View> {
        self.kinds.get(kind)?.view(namespace)
    }

    async fn get_from_server(&self, request: &Get) -> Result<Option<Object>, ApiError> {
        let Get { kind, key, subresource, .. } = request;
        // Before the kind is looked up, which may take a request of its own.
        self.usage.api_request()?;
        let resource = self.resources.resolve(kind).await.map_err(from_cache)?;
        let path = path(&resource, key, subresource)?;
        let view = self.view(kind, &key.namespace).filter(|_| subresource.is_empty());
        // Whichever object the plugin saw before the question is gone if the answer is "none".
        let before = view.map(|view| view.overlay.uid_at(key)).unwrap_or_default();
        let most = self.config.list_bytes;
        let object = match self.read(&path, most).await {
            Ok(None) => {
                let reason = format!("it is larger than {most} bytes");
                return Err(unreadable(kind.as_str(), key, &reason));
            }
            Ok(Some(body)) => {
                let decoder = Decoder::new(kind);
                let object =
                    if subresource.is_empty() { decoder.object(&body) } else { decoder.answer(&body) };
                Some(object.map_err(|failure| unreadable(kind.as_str(), key, &failure.to_string()))?)
            }
            Err(failure) if failure.code() == Some(404) => {
                if self.not_served(&failure, kind).await {
                    return Err(from_failure(failure));
                }
                None
            }
            Err(failure) => return Err(from_failure(failure)),
        };
        // A cached read after this one is not older.
        if let Some(view) = view {
            match &object {
                Some(object) => view.have_been_read(std::slice::from_ref(object)),
                None => self.own_writes.learn_gone(kind, key, &before),
            }
        }
        Ok(object)
    }

    /// Whether a 404 says that the path is none, rather than that the object is. Then what was
    /// known of the kind is wrong, and is forgotten.
    pub(crate) async fn not_served(&self, failure: &Failure, kind: &Kind) -> bool {
        let Failure::Status(status) = failure else { return false };
        status.code == 404 && status.reason.is_empty() && {
            let _ = self.resources.refresh(kind).await;
            true
        }
    }

    async fn live_objects(&self, request: &List) -> Result<Listed, ApiError> {
        self.reads.of(&request.kind).of_server(self.list_from_server(request)).await
    }

    async fn list_from_server(&self, request: &List) -> Result<Listed, ApiError> {
        let cached = self.kinds.get(&request.kind);
        let plan: Plan<'_> = match cached {
            Some(cached) => cached.plan(request)?,
            None => plan_without_indexes(request)?,
        };
        let mut listed = self.fetch_all(request, &plan).await?;
        for view in cached.into_iter().flat_map(|cached| &cached.views) {
            view.have_been_read(&listed.objects);
        }
        // The server orders by "namespace/name", which is not quite by namespace and name.
        listed.objects.sort_by_cached_key(Object::key);
        listed.unreadable.sort_unstable();
        Ok(listed)
    }

    /// Adds those of a page that a list is for. The server has selected by their labels already.
    async fn select(&self, page: Vec<Object>, request: &List, plan: &Plan<'_>, selected: &mut Vec<Object>) {
        let query = Query { selector: Query::default().selector, ..plan.query(request) };
        // The views of one kind have the same indexes.
        let view = self.kinds.get(&request.kind).and_then(|cached| cached.views.first());
        let indexes = view.map(|view| view.informer.snapshot());
        in_turns(page, plan.conditions(), |object| {
            let is = match &indexes {
                Some(indexes) => answers(&object, indexes, &query),
                None => query.selects(&object),
            };
            if is {
                selected.push(object);
            }
            ControlFlow::Continue(())
        })
        .await;
    }

    fn too_large(&self, kind: &Kind) -> ApiError {
        self.usage.breach(Limit::AnswerBytes);
        let limit = self.config.list_bytes;
        let message = format!(
            "a live list of {kind} has more than {limit} bytes: ask for less of it, by a namespace or a label selector, or have a source of the kind, and read from the cache"
        );
        ApiError::LimitExceeded { limit: Limit::AnswerBytes, message }
    }

    async fn fetch_all(&self, request: &List, plan: &Plan<'_>) -> Result<Listed, ApiError> {
        // As for a get: the first page is accounted for before anything is sent.
        self.usage.api_request()?;
        let mut accounted = true;
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
            let mut listed = Listed { objects: Vec::new(), unreadable: Vec::new() };
            let mut left = self.config.list_bytes;
            let mut path = first.clone();
            loop {
                if !std::mem::take(&mut accounted) {
                    self.usage.api_request()?;
                }
                let page = match self.read(&path, left).await {
                    Ok(Some(body)) => {
                        left = left.saturating_sub(body.len());
                        let (items, mut page) = decoder.items(&body).map_err(from_failure)?;
                        in_turns(items, DECODING, |item| {
                            decoder.add(item, &mut page);
                            ControlFlow::Continue(())
                        })
                        .await;
                        page
                    }
                    Ok(None) => return Err(self.too_large(&request.kind)),
                    // Half a list is none.
                    Err(failure) if failure.expired() && lists > 0 => continue 'list,
                    Err(failure) => {
                        self.not_served(&failure, &request.kind).await;
                        return Err(from_failure(failure));
                    }
                };
                self.select(page.objects, request, plan, &mut listed.objects).await;
                listed.unreadable.extend(page.unreadable.into_iter().filter_map(|unreadable| unreadable.key));
                if page.continue_token.is_empty() {
                    return Ok(listed);
                }
                path = format!("{first}&continue={}", encode(&page.continue_token));
            }
        }
    }

    pub(crate) async fn live_list(&self, request: &List) -> Result<Page, ApiError> {
        let Listed { objects, unreadable } = self.live_objects(request).await?;
        let fields = self.declared(&request.kind);
        let comes_after = |key: &Key| request.after.as_ref().is_none_or(|after| key > after);
        let bounds = Query { limit: request.limit as usize, bytes: request.bytes, ..Query::default() };
        let mut pager = Pager::new(&bounds);
        let objects = objects.into_iter().skip_while(|object| !comes_after(&object.key()));
        in_turns(objects, PROJECTION, |object| pager.take(&fields.project(&object))).await;
        let mut page = pager.page;
        let last = page.more_after.as_ref();
        let inside = |key: &Key| comes_after(key) && last.is_none_or(|last| key <= last);
        let told = |key: &Key| inside(key) && request.may_have(key);
        page.unreadable = unreadable.into_iter().filter(told).collect();
        Ok(page)
    }

    pub(crate) async fn live_count(&self, request: &List) -> Result<u64, ApiError> {
        Ok(self.live_objects(request).await?.objects.len() as u64)
    }
}
