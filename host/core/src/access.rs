//! The one door from a sandbox to the cluster. The client implements it; the sandbox calls it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::event::RecordEvent;
use crate::request::{Get, List, Synced, Write};
use crate::{ApiError, Key, Object, Permitted};

/// A future of a trait object's method.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// Ordered by namespace and name.
    pub objects: Vec<Object>,
    /// The last key, if there is more after it.
    pub more_after: Option<Key>,
    /// Objects within the page's part of the order that the host cannot make sense of: they may or may
    /// not match.
    pub unreadable: Vec<Key>,
}

/// Cached reads, live reads and writes on behalf of plugins.
///
/// Every method takes a [`Permitted`] request, which only the gate makes. None blocks a thread, and
/// none waits without a bound.
pub trait ClusterAccess: Send + Sync + 'static {
    /// A read from the cache; live while the kind has not synced or is not watched. The fast path
    /// is `Ready` at once.
    fn get(&self, request: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>>;

    /// Likewise, a page of objects.
    fn list(&self, request: Permitted<List>) -> BoxFuture<'_, Result<Page, ApiError>>;

    /// Likewise, a count of what matches.
    fn count(&self, request: Permitted<List>) -> BoxFuture<'_, Result<u64, ApiError>>;

    /// Whether this kind's reads come from the cache now.
    fn synced(&self, request: Permitted<Synced>) -> bool;

    /// Waits for that, up to so long; whether they do. A kind that is not cached never does.
    fn wait_synced(&self, request: Permitted<Synced>, within: Duration) -> BoxFuture<'_, bool>;

    /// A read from the API server.
    fn get_live(&self, request: Permitted<Get>) -> BoxFuture<'_, Result<Option<Object>, ApiError>>;

    /// A write to the API server. The object as it was stored; none after a deletion.
    fn write(&self, request: Permitted<Write>) -> BoxFuture<'_, Result<Option<Object>, ApiError>>;

    /// Takes an Event to be sent, in the background: it waits for no more than a read of the object that
    /// it is on.
    fn record(&self, request: Permitted<RecordEvent>) -> BoxFuture<'_, Result<(), ApiError>>;
}
