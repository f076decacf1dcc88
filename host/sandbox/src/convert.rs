//! Between the contract's types and the host's.

use std::time::{Duration, SystemTime};

use wheelhouse_core::access::Page;
use wheelhouse_core::encoding::{EncodeOptions, PageBuilder};
use wheelhouse_core::error::Cause;
use wheelhouse_core::limits::{Limit, Limits};
use wheelhouse_core::printable::{excerpt, printable};
use wheelhouse_core::request::{Change, Consistency, IndexMatch, List, PatchType, Propagation, Write};
use wheelhouse_core::{ApiError, Key, Kind, Object, Outcome, Value};

use crate::bindings::exports::wheelhouse::controller::reconciler as wit;
use crate::bindings::wheelhouse::controller::{client, logging, objects, types};
use crate::declared;
use crate::error::DescribeError;
use crate::output::message;

/// Indexes that one query may name.
const MATCHES: usize = 64;

pub(crate) fn bad_request(problem: impl std::fmt::Display) -> ApiError {
    ApiError::BadRequest(printable(&problem.to_string(), 1000))
}

pub(crate) fn key_from(key: types::ObjectKey) -> Key {
    Key { namespace: key.namespace, name: key.name }
}

/// The key of an object that there may be. What none can be called is not kept, sent or remembered.
pub(crate) fn possible_key(kind: &Kind, key: types::ObjectKey) -> Result<Key, ApiError> {
    let key = key_from(key);
    if key.is_possible() {
        return Ok(key);
    }
    let (namespace, name) = (excerpt(&key.namespace), excerpt(&key.name));
    Err(bad_request(format_args!("no {kind} can have the name {name:?} in the namespace {namespace:?}")))
}

pub(crate) fn key_in(key: wit::ObjectKey) -> Key {
    Key { namespace: key.namespace, name: key.name }
}

/// What `map` has answered. What no object can be called is no object's key.
pub(crate) fn mapped(keys: Vec<wit::ObjectKey>) -> Vec<Key> {
    keys.into_iter().map(key_in).filter(Key::is_possible).collect()
}

/// What `index` has answered, if it is not more than so many bytes. A value costs its place besides its own.
///
/// # Errors
/// What to say of it.
pub(crate) fn indexed(values: Vec<String>, most: usize) -> Result<Vec<String>, String> {
    let bytes = values.iter().map(|value| value.len() + size_of::<String>()).sum::<usize>();
    if bytes <= most {
        return Ok(values);
    }
    let (limit, count) = (Limit::IndexBytes, values.len());
    Err(format!("limit {limit}: {count} values of {bytes} bytes, {most} are allowed"))
}

/// What `describe` says against its configuration.
pub(crate) fn rejected(error: wit::ConfigError) -> DescribeError {
    DescribeError::Config { field: message(&error.field), message: message(&error.message) }
}

pub(crate) fn key_out(key: Key) -> wit::ObjectKey {
    wit::ObjectKey { namespace: key.namespace, name: key.name }
}

/// 0 for what was before 1970.
pub(crate) fn unix_millis(moment: SystemTime) -> u64 {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A continue token: where the last page ended. A forged one starts a page elsewhere among what
/// the query may see, and nothing more.
pub(crate) fn token(after: &Key) -> String {
    format!("{}/{}", after.namespace, after.name)
}

fn after(token: &str) -> Result<Key, ApiError> {
    match token.split_once('/') {
        Some((namespace, name)) if !name.is_empty() && token.len() < 1024 => Ok(Key::new(namespace, name)),
        _ => Err(bad_request("the continue token is none that this host gave; start the list again")),
    }
}

pub(crate) fn consistency(consistency: objects::Consistency) -> Consistency {
    match consistency {
        objects::Consistency::OwnWrites => Consistency::OwnWrites,
        objects::Consistency::Cached => Consistency::Cached,
    }
}

pub(crate) fn list_request(kind: Kind, query: objects::Query, limits: &Limits) -> Result<List, ApiError> {
    if query.matches.len() > MATCHES {
        let count = query.matches.len();
        return Err(bad_request(format_args!("the query names {count} indexes, at most {MATCHES} may be")));
    }
    if let Some(m) = query.matches.iter().find(|m| !declared::is_name(&m.index)) {
        return Err(bad_request(format_args!("{:?} names no index", excerpt(&m.index))));
    }
    let matches = query.matches.into_iter().map(|m| IndexMatch { index: m.index, value: m.value });
    Ok(List {
        kind,
        namespace: query.namespace,
        selector: query.label_selector.parse().map_err(bad_request)?,
        field_selector: query.field_selector.parse().map_err(bad_request)?,
        matches: matches.collect(),
        limit: if query.limit == 0 { limits.page_items } else { query.limit.min(limits.page_items) },
        bytes: limits.answer_bytes,
        after: query.continue_.as_deref().map(after).transpose()?,
        consistency: consistency(query.consistency),
    })
}

/// A page for a guest. Objects are bounded by who made it, those that are unreadable are here: the page
/// ends at the last of `limit`, and the next one goes on after it.
pub(crate) fn page(mut page: Page, limit: u32) -> objects::Page {
    page.unreadable.sort_unstable();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
    if page.unreadable.len() > limit {
        page.unreadable.truncate(limit);
        page.more_after = page.unreadable.last().cloned();
        page.objects.retain(|object| Some(object.key()) <= page.more_after);
    }
    let mut items = PageBuilder::default();
    page.objects.into_iter().for_each(|object| items.push(object));
    objects::Page {
        items: items.finish(),
        unreadable: page.unreadable.into_iter().map(key_out).collect(),
        continue_: page.more_after.as_ref().map(token),
    }
}

/// What a write aims at, besides its object.
pub(crate) struct Target {
    pub(crate) subresource: String,
    pub(crate) dry_run: bool,
    pub(crate) field_manager: String,
}

impl Target {
    pub(crate) fn new(options: client::WriteOptions, plugin: &str) -> Self {
        let client::WriteOptions { subresource, dry_run } = options;
        Self { subresource, dry_run, field_manager: plugin.to_owned() }
    }

    pub(crate) fn write(self, kind: Kind, key: Key, change: Change) -> Write {
        let Self { subresource, dry_run, field_manager } = self;
        Write { kind, key, subresource, dry_run, field_manager, change }
    }

    /// A write of an object, whose key stands in it.
    pub(crate) fn write_object(
        self,
        kind: Kind,
        object: Vec<u8>,
        change: impl FnOnce(Vec<u8>) -> Change,
    ) -> Result<Write, ApiError> {
        let read = Object::from_json(&object, &EncodeOptions::default()).map_err(bad_request)?;
        for (field, expected) in [("apiVersion", kind.api_version()), ("kind", kind.kind())] {
            let found = read.value().get(field).map(Value::as_str);
            if found.is_some_and(|found| found != Some(expected)) {
                return Err(bad_request(format_args!("the object's {field} is not that of {kind}")));
            }
        }
        Ok(self.write(kind, read.key(), change(object)))
    }
}

pub(crate) fn patch_type(patch_type: client::PatchType) -> PatchType {
    match patch_type {
        client::PatchType::Json => PatchType::Json,
        client::PatchType::Merge => PatchType::Merge,
        client::PatchType::Strategic => PatchType::Strategic,
    }
}

pub(crate) fn delete(options: client::DeleteOptions) -> Change {
    Change::Delete {
        propagation: options.propagation.map(|propagation| match propagation {
            client::Propagation::Background => Propagation::Background,
            client::Propagation::Foreground => Propagation::Foreground,
            client::Propagation::Orphan => Propagation::Orphan,
        }),
        grace_period: options.grace_period_seconds.map(|seconds| Duration::from_secs(seconds.into())),
        uid: options.uid,
        resource_version: options.resource_version,
    }
}

pub(crate) fn level(level: logging::Level) -> tracing::Level {
    match level {
        logging::Level::Trace => tracing::Level::TRACE,
        logging::Level::Debug => tracing::Level::DEBUG,
        logging::Level::Info => tracing::Level::INFO,
        logging::Level::Warn => tracing::Level::WARN,
        logging::Level::Error => tracing::Level::ERROR,
    }
}

pub(crate) fn outcome(outcome: wit::Outcome) -> Outcome {
    match outcome {
        wit::Outcome::Done => Outcome::Done,
        wit::Outcome::RequeueAfter(ms) => Outcome::RequeueAfter(Duration::from_millis(ms)),
        wit::Outcome::Transient(text) => Outcome::Transient(message(&text)),
        wit::Outcome::Terminal(text) => Outcome::Terminal(message(&text)),
    }
}

fn rejection(message: String, causes: Vec<Cause>) -> types::Rejection {
    let causes = causes.into_iter().map(|Cause { field, reason, message }| types::FieldCause {
        field,
        reason,
        message,
    });
    types::Rejection { message, causes: causes.collect() }
}

pub(crate) fn error(error: ApiError) -> types::Error {
    use types::Error as Wit;
    match error {
        ApiError::NotFound(message) => Wit::NotFound(message),
        ApiError::AlreadyExists(message) => Wit::AlreadyExists(message),
        ApiError::Conflict { message, causes } => Wit::Conflict(rejection(message, causes)),
        ApiError::Expired(message) => Wit::Expired(message),
        ApiError::Invalid { message, causes } => Wit::Invalid(rejection(message, causes)),
        ApiError::BadRequest(message) => Wit::BadRequest(message),
        ApiError::Forbidden(message) => Wit::Forbidden(message),
        ApiError::Denied(denied) => Wit::Denied(types::Denial {
            message: denied.to_string(),
            verb: denied.verb.to_string(),
            kind: denied.kind.as_str().to_owned(),
            subresource: denied.subresource,
            namespace: denied.namespace,
        }),
        ApiError::UndeclaredIndex { index, .. } => Wit::UndeclaredIndex(index),
        ApiError::LimitExceeded { limit, message } => {
            Wit::LimitExceeded(types::LimitBreach { limit: limit.to_string(), message })
        }
        ApiError::TooManyRequests { message, retry_after } => {
            let retry_after_ms =
                retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
            Wit::TooManyRequests(types::Throttle { message, retry_after_ms })
        }
        ApiError::Unreadable(message) => Wit::Unreadable(message),
        ApiError::Timeout(message) => Wit::Timeout(message),
        ApiError::Unavailable(message) => Wit::Unavailable(message),
        ApiError::Other { code, reason, message } => Wit::Other(types::Status { code, reason, message }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str) -> Object {
        Object::from_value(&json!({"metadata": {"namespace": "default", "name": name}})).unwrap()
    }

    fn names(page: &objects::Page) -> (Vec<String>, Vec<&str>, Option<&str>) {
        let list = wheelhouse_core::encoding::ListReader::new(&page.items);
        let object = |i| list.range(i).map(|range| Object::from_bytes(&page.items[range]).name().to_owned());
        (
            (0..).map_while(object).collect(),
            page.unreadable.iter().map(|key| key.name.as_str()).collect(),
            page.continue_.as_deref(),
        )
    }

    #[test]
    fn a_page_ends_where_it_would_name_too_many_unreadable_objects() {
        let made = Page {
            objects: ["a", "d", "g"].map(object).into(),
            more_after: Some(Key::new("default", "h")),
            unreadable: ["h", "f", "b", "c"].map(|name| Key::new("default", name)).into(),
        };
        let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (limit, objects, unreadable, token) in [
            (0, &["a"][..], &["b"][..], "default/b"),
            (1, &["a"], &["b"], "default/b"),
            (2, &["a"], &["b", "c"], "default/c"),
            (3, &["a", "d"], &["b", "c", "f"], "default/f"),
            (4, &["a", "d", "g"], &["b", "c", "f", "h"], "default/h"),
            (5, &["a", "d", "g"], &["b", "c", "f", "h"], "default/h"),
        ] {
            let page = page(made.clone(), limit);
            assert_eq!(names(&page), (strings(objects), unreadable.to_vec(), Some(token)), "{limit}");
        }
        let last = page(Page { more_after: None, ..made }, 9);
        assert_eq!(last.continue_, None);
    }
}
