//! Reads from the host's cache. They cost microseconds and no request to the API server, as long as they
//! stay within what the plugin's [sources](crate::Source) select; beyond that they are live.
//!
//! No read shows a part of a list, or "absent" for what was merely not seen yet, or (unless it was said
//! that the cache will do) an object older than this plugin's last write to it. An object may well be
//! older than the API server's. It has the fields that the plugin's sources of its kind declare, and no
//! others.

use std::sync::Arc;
use std::time::Duration;

use wheelhouse_core::encoding::ListReader;
use wheelhouse_core::spec::OWNER_INDEX;

use crate::bindings::wheelhouse::controller::objects as host;
use crate::spec::millis;
use crate::{ApiError, Object, ObjectKey};

/// The object, or `None` if it does not exist. `kind` is `group/version/Kind`, or `v1/Pod` for the
/// core group.
///
/// # Errors
/// [`Denied`](ApiError::Denied) without the permission to get it; [`Unreadable`](ApiError::Unreadable) if
/// it is there and the host cannot make sense of it; what a live read may return while the kind is not
/// synced.
pub fn get(kind: &str, key: &ObjectKey) -> Result<Option<Object>, ApiError> {
    Ok(host::get(kind, key, host::Consistency::OwnWrites)?.map(Object::from_encoded))
}

/// As [`get`], but as the watch has brought it: what this plugin wrote last may not be in it yet.
///
/// ```no_run
/// # use wheelhouse_sdk::{ApiError, ObjectKey, objects};
/// # fn f() -> Result<(), ApiError> {
/// // What others do to this ConfigMap is of interest; this plugin never writes it.
/// let settings = objects::get_cached("v1/ConfigMap", &ObjectKey::new("default", "settings"))?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// As [`get`].
pub fn get_cached(kind: &str, key: &ObjectKey) -> Result<Option<Object>, ApiError> {
    Ok(host::get(kind, key, host::Consistency::Cached)?.map(Object::from_encoded))
}

/// The objects of a kind; say which with [`List`]'s methods, then iterate or [count](List::count).
///
/// ```no_run
/// # use wheelhouse_sdk::{ApiError, objects};
/// # fn f() -> Result<(), ApiError> {
/// for pod in objects::list("v1/Pod").matching(".spec.nodeName", "node-1") {
///     println!("{}", pod?.name());
/// }
/// # Ok(()) }
/// ```
pub fn list(kind: &str) -> List {
    List {
        kind: kind.to_owned(),
        query: host::Query {
            namespace: String::new(),
            label_selector: String::new(),
            field_selector: String::new(),
            matches: Vec::new(),
            limit: 0,
            continue_: None,
            consistency: host::Consistency::OwnWrites,
        },
    }
}

/// Whether reads of this kind are answered from the cache now.
///
/// # Errors
/// [`Denied`](ApiError::Denied) without the permission to read it.
pub fn synced(kind: &str) -> Result<bool, ApiError> {
    Ok(host::synced(kind)?)
}

/// Waits until they are, and says whether they are. It waits at most this long, and ends early enough
/// before the call's own deadline to do something else: come back later, for one.
///
/// ```no_run
/// # use std::time::Duration;
/// # use wheelhouse_sdk::{Outcome, Result, objects};
/// # fn f() -> Result<Outcome> {
/// // A list that is answered live costs the API server a list, for each of many objects to reconcile.
/// if !objects::wait_synced("v1/Pod", Duration::from_secs(5))? {
///     return Ok(Outcome::RequeueAfter(Duration::from_secs(5)));
/// }
/// # Ok(Outcome::Done) }
/// ```
///
/// # Errors
/// As [`synced`].
pub fn wait_synced(kind: &str, within: Duration) -> Result<bool, ApiError> {
    Ok(host::wait_synced(kind, u32::try_from(millis(within)).unwrap_or(u32::MAX))?)
}

/// A query of a kind's objects. Iterating fetches it page by page, as it goes, ordered by namespace
/// and name; each item is read in place in its page.
///
/// What asks for more than the plugin's sources of the kind select is not in the cache: it is a list at
/// the API server, and costs that.
#[derive(Clone, Debug)]
#[must_use = "a query does nothing until it is iterated over or counted"]
pub struct List {
    kind: String,
    query: host::Query,
}

impl List {
    /// Only objects of this namespace.
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.query.namespace = namespace.into();
        self
    }

    /// Only objects that this label selector selects: `app=web,tier in (a,b),!canary`. By itself it
    /// costs a look at each object of the namespace, unless it requires one value of a label that has an
    /// [index](crate::Index::label).
    pub fn labelled(mut self, selector: impl Into<String>) -> Self {
        self.query.label_selector = selector.into();
        self
    }

    /// Only objects that this field selector selects: `spec.nodeName=n1,metadata.name!=a`; an absent
    /// field has the values "", "false" and "0". It may name `metadata.name`, `metadata.namespace` and the
    /// fields that have an [index](crate::Index::field), and costs what a required value of one of those
    /// finds.
    pub fn where_field(mut self, selector: impl Into<String>) -> Self {
        self.query.field_selector = selector.into();
        self
    }

    /// Only objects that the object with this UID owns, whether it is their controller or not. Every
    /// cached kind has this index without being told. It costs what it finds.
    ///
    /// ```no_run
    /// # use wheelhouse_sdk::{ApiError, Object, objects};
    /// # fn f(replica_set: &Object) -> Result<(), ApiError> {
    /// let pods = objects::list("v1/Pod").in_namespace(replica_set.namespace());
    /// let pods = pods.owned_by(replica_set.uid()).count()?;
    /// # Ok(()) }
    /// ```
    pub fn owned_by(self, uid: impl Into<String>) -> Self {
        self.matching(OWNER_INDEX, uid)
    }

    /// Only objects with this value in this index, which `describe` must have declared. It costs what
    /// it finds. Several must all match; they are answered from one snapshot.
    pub fn matching(mut self, index: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.matches.push(host::IndexMatch { index: index.into(), value: value.into() });
        self
    }

    /// As the watch has brought them: what this plugin wrote last may not be in them yet.
    pub fn cached(mut self) -> Self {
        self.query.consistency = host::Consistency::Cached;
        self
    }

    /// The most objects to fetch at once; left to the host by default, which knows how large they are.
    pub fn page_size(mut self, objects: u32) -> Self {
        self.query.limit = objects;
        self
    }

    /// How many objects match; none is fetched. Those that the host cannot make sense of are not
    /// counted, and only iterating tells of them.
    ///
    /// # Errors
    /// As iterating.
    pub fn count(&self) -> Result<u64, ApiError> {
        Ok(host::count(&self.kind, &self.query)?)
    }
}

impl IntoIterator for List {
    type Item = Result<Object, ApiError>;
    type IntoIter = Items;

    fn into_iter(self) -> Items {
        Items { list: self, page: Arc::default(), next: 0, unreadable: Vec::new().into_iter(), more: true }
    }
}

/// The objects of a [`List`].
///
/// An object that the host cannot make sense of, and that may or may not match, is an
/// [`Unreadable`](ApiError::Unreadable) with its key in the message. It comes after the objects of its
/// page, and the iteration goes on after it: whoever can do without such objects passes them over, and
/// whoever uses `?` fails, rather than take what is there for missing. After any other error the
/// iteration ends.
///
/// ```no_run
/// # use wheelhouse_sdk::{ApiError, objects, warn};
/// # fn f() -> Result<(), ApiError> {
/// for pod in objects::list("v1/Pod") {
///     match pod {
///         Ok(pod) => println!("{}", pod.name()),
///         Err(ApiError::Unreadable(message)) => warn!("left out: {message}"),
///         Err(error) => return Err(error),
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Items {
    list: List,
    page: Arc<Vec<u8>>,
    next: usize,
    unreadable: std::vec::IntoIter<ObjectKey>,
    more: bool,
}

impl Iterator for Items {
    type Item = Result<Object, ApiError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance(host::list)
    }
}

impl Items {
    fn advance(
        &mut self,
        mut fetch: impl FnMut(&str, &host::Query) -> Result<host::Page, host::Error>,
    ) -> Option<Result<Object, ApiError>> {
        loop {
            if let Some(range) = ListReader::new(&self.page).range(self.next) {
                self.next += 1;
                return Some(Ok(Object::part_of(&self.page, range)));
            }
            if let Some(key) = self.unreadable.next() {
                let message = format!("{} {key} is there, and the host cannot read it", self.list.kind);
                return Some(Err(ApiError::Unreadable(message)));
            }
            if !self.more {
                return None;
            }
            match fetch(&self.list.kind, &self.list.query) {
                Ok(page) => {
                    self.more = page.continue_.is_some();
                    self.list.query.continue_ = page.continue_;
                    self.page = Arc::new(page.items);
                    self.next = 0;
                    self.unreadable = page.unreadable.into_iter();
                }
                Err(error) => {
                    self.more = false;
                    return Some(Err(error.into()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wheelhouse_core::encoding::PageBuilder;

    use super::*;

    fn page(objects: &[&str], unreadable: &[&str], token: Option<&str>) -> host::Page {
        let mut items = PageBuilder::default();
        for name in objects {
            let object = json!({"metadata": {"name": name}});
            items.push(wheelhouse_core::Object::from_value(&object).unwrap());
        }
        host::Page {
            items: items.finish(),
            unreadable: unreadable.iter().map(|name| ObjectKey::new("default", *name)).collect(),
            continue_: token.map(str::to_owned),
        }
    }

    /// What iterating gives: names, and messages of errors. The pages, and the tokens that they are
    /// asked for by.
    fn iterated(pages: Vec<(Option<&str>, Result<host::Page, host::Error>)>) -> Vec<String> {
        let mut pages = pages.into_iter();
        let mut items = list("v1/Pod").into_iter();
        let mut next = || {
            items.advance(|kind, query| {
                let (token, page) = pages.next().expect("no more pages are asked for than there are");
                assert_eq!((kind, query.continue_.as_deref()), ("v1/Pod", token));
                page
            })
        };
        let seen = std::iter::from_fn(|| {
            Some(next()?.map_or_else(|error| format!("{error:?}"), |object| object.name().to_owned()))
        });
        let seen = seen.collect();
        assert!(next().is_none());
        assert!(pages.next().is_none());
        seen
    }

    #[test]
    fn what_cannot_be_read_is_an_error_for_each_after_which_the_list_goes_on() {
        let seen = iterated(vec![
            (None, Ok(page(&["a", "d"], &["b", "c"], Some("t")))),
            (Some("t"), Ok(page(&[], &["e"], Some("u")))),
            (Some("u"), Ok(page(&["f"], &[], None))),
        ]);
        let unreadable =
            |name| format!("Unreadable(\"v1/Pod default/{name} is there, and the host cannot read it\")");
        let (b, c, e) = (unreadable("b"), unreadable("c"), unreadable("e"));
        assert_eq!(seen, ["a", "d", &b, &c, &e, "f"]);
    }

    #[test]
    fn any_other_error_ends_the_list() {
        let seen = iterated(vec![
            (None, Ok(page(&["a"], &[], Some("t")))),
            (Some("t"), Err(host::Error::Timeout("late".to_owned()))),
        ]);
        assert_eq!(seen, ["a", r#"Timeout("late")"#]);
    }

    #[test]
    fn a_query_says_what_was_asked_of_it() {
        let List { query, .. } = list("v1/Pod").where_field("spec.nodeName=n1").owned_by("1-2").cached();
        assert_eq!(query.field_selector, "spec.nodeName=n1");
        assert_eq!(query.consistency, host::Consistency::Cached);
        let owner = host::IndexMatch { index: OWNER_INDEX.to_owned(), value: "1-2".to_owned() };
        assert_eq!(query.matches, [owner]);
        assert_eq!(list("v1/Pod").query.consistency, host::Consistency::OwnWrites);
    }
}
