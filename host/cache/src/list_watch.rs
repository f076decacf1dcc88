//! Where a reflector gets its objects: a list by pages, and a watch. Tests script it.

use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
pub use wheelhouse_core::access::BoxFuture;
use wheelhouse_core::{Fields, Key, Object};

use crate::rest::Failure;

/// The events of one watch. Its end is the server's clean close.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<Event, Failure>> + Send>>;

/// A page that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct ListRequest<'a> {
    /// Objects in it, at most.
    pub limit: u32,
    /// "" for the first.
    pub continue_token: &'a str,
    /// What is kept of the objects.
    pub fields: &'a Fields,
}

/// A watch that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct WatchRequest<'a> {
    /// What happened after this; "" with the initial events.
    pub resource_version: &'a str,
    /// A streaming list (KEP-3157): first all that is there, and a bookmark that says that this was it.
    pub initial_events: bool,
    /// The server is asked to close the watch after so long.
    pub timeout: Duration,
    /// What is kept of the objects.
    pub fields: &'a Fields,
}

/// One page of a list.
#[derive(Clone, Debug, Default)]
pub struct ListPage {
    /// The objects.
    pub objects: Vec<Object>,
    /// The collection's version.
    pub resource_version: String,
    /// The next page's token; "" after the last.
    pub continue_token: String,
    /// Objects that did not decode.
    pub unreadable: Vec<Unreadable>,
}

/// An object that did not decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// If that much could be read.
    pub key: Option<Key>,
    /// Why not.
    pub reason: String,
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
    /// An event whose object does not decode. The watch goes on.
    Unreadable {
        /// The object.
        unreadable: Unreadable,
        /// Its version, or "".
        resource_version: String,
        /// It is gone.
        deleted: bool,
    },
    /// The server ends the watch with this.
    Error(Failure),
}

/// A source of objects of one kind and scope. No method is called by two at once.
pub trait ListWatch: Send + Sync + 'static {
    /// One page.
    fn list<'a>(&'a self, request: ListRequest<'a>) -> BoxFuture<'a, Result<ListPage, Failure>>;

    /// What happens from a version on. Status 400, 406 or 422 in answer to a request for initial events
    /// means that the server has no streaming lists.
    fn watch<'a>(&'a self, request: WatchRequest<'a>) -> BoxFuture<'a, Result<EventStream, Failure>>;
}
