//! Where a reflector gets its objects: a list by pages, and a watch. Tests script it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use wheelhouse_core::{Key, Object};

use crate::rest::Failure;

/// A future of a trait object's method.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The events of one watch. Its end is the server's clean close.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<Event, Failure>> + Send>>;

/// One page of a list.
#[derive(Clone, Debug, Default)]
pub struct ListPage {
    /// The objects.
    pub objects: Vec<Object>,
    /// The collection's version.
    pub resource_version: String,
    /// The next page's token; "" after the last.
    pub continue_token: String,
    /// Objects that did not decode, and are left out.
    pub undecodable: u64,
}

/// One event of a watch.
#[derive(Clone, Debug)]
pub enum Event {
    /// It is there now.
    Added(Object),
    /// It changed.
    Modified(Object),
    /// It is gone; this is its last state.
    Deleted(Object),
    /// Nothing happened up to this version.
    Bookmark {
        /// Where a watch can be resumed.
        resource_version: String,
        /// The end of a streaming list's initial events.
        initial_events_end: bool,
    },
    /// An event whose object cannot be decoded. The watch goes on.
    Undecodable {
        /// If that much could be read.
        key: Option<Key>,
    },
    /// The server ends the watch with this.
    Error(Failure),
}

/// A source of objects of one kind. No method is called by two at once.
pub trait ListWatch: Send + Sync + 'static {
    /// One page. The token is "" for the first.
    fn list<'a>(&'a self, limit: u32, continue_token: &'a str) -> BoxFuture<'a, Result<ListPage, Failure>>;

    /// What happened after a version. The server is asked to close the watch after so long.
    fn watch<'a>(
        &'a self,
        resource_version: &'a str,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<EventStream, Failure>>;
}
