//! Lists and watch events, from their JSON straight into encoded objects.
//!
//! An object that does not decode costs itself alone: each is cut out of the answer by a scan that
//! has no depth limit, and then decoded on its own.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use wheelhouse_core::encoding::EncodeOptions;
use wheelhouse_core::{Key, Kind, Object};

use crate::list_watch::{Event, ListPage};
use crate::rest::{Failure, RawStatus};

#[derive(Deserialize)]
struct RawList<'a> {
    #[serde(default)]
    metadata: ListMeta<'a>,
    /// Go writes an empty list as null.
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ListMeta<'a> {
    #[serde(borrow, rename = "resourceVersion")]
    resource_version: Cow<'a, str>,
    #[serde(borrow, rename = "continue")]
    continue_token: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct RawEvent<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// What names an object; the rest is skipped unread.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    metadata: NamedMeta<'a>,
}

#[derive(Deserialize)]
struct NamedMeta<'a> {
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct RawBookmark {
    metadata: BookmarkMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BookmarkMeta {
    resource_version: String,
    #[serde(default)]
    annotations: Option<std::collections::HashMap<String, String>>,
}

/// Decodes one kind's objects, pruned, with `apiVersion` and `kind` put in where they are missing.
#[derive(Clone)]
pub struct Decoder {
    kind: Kind,
    options: EncodeOptions,
}

impl Decoder {
    /// Of this kind.
    pub fn new(kind: &Kind) -> Self {
        let type_meta = Some((Arc::from(kind.api_version()), Arc::from(kind.kind())));
        Self { kind: kind.clone(), options: EncodeOptions { prune: true, type_meta } }
    }

    /// The object, or its key as far as it can be told.
    fn item(&self, json: &RawValue) -> Result<Object, Option<Key>> {
        let problem = match Object::from_json(json.get().as_bytes(), &self.options) {
            Ok(object) if !object.name().is_empty() => return Ok(object),
            Ok(_) => "it has no metadata.name".to_owned(),
            Err(error) => error.to_string(),
        };
        let named = serde_json::from_str::<Named<'_>>(json.get()).ok();
        let key = named.map(|named| Key::new(named.metadata.namespace, named.metadata.name));
        let name = key.as_ref().map_or_else(|| "(unnamed)".to_owned(), Key::to_string);
        tracing::warn!(kind = %self.kind, object = %name, bytes = json.get().len(), %problem, "an object does not decode and is left out");
        Err(key)
    }

    /// One object.
    ///
    /// # Errors
    /// If it is none.
    pub fn object(&self, json: &[u8]) -> Result<Object, Failure> {
        let object = Object::from_json(json, &self.options);
        object.map_err(|e| Failure::Unreadable(format!("no object: {e}")))
    }

    /// Whatever an API answers with, which may be of another kind: nothing is put in.
    ///
    /// # Errors
    /// If it is no JSON.
    pub fn answer(&self, json: &[u8]) -> Result<Object, Failure> {
        let object = Object::from_json(json, &EncodeOptions::default());
        object.map_err(|e| Failure::Unreadable(format!("no object: {e}")))
    }

    /// A list's page.
    ///
    /// # Errors
    /// If it is none; an item that does not decode is left out.
    pub fn list(&self, json: &[u8]) -> Result<ListPage, Failure> {
        let raw: RawList<'_> =
            serde_json::from_slice(json).map_err(|e| Failure::Unreadable(format!("no list: {e}")))?;
        let items = raw.items.unwrap_or_default();
        let objects: Vec<Object> = items.iter().filter_map(|item| self.item(item).ok()).collect();
        Ok(ListPage {
            undecodable: (items.len() - objects.len()) as u64,
            objects,
            resource_version: raw.metadata.resource_version.into_owned(),
            continue_token: raw.metadata.continue_token.unwrap_or_default().into_owned(),
        })
    }

    /// One line of a watch. None for an event of a type that is new to us.
    pub(crate) fn event(&self, line: &[u8]) -> Result<Option<Event>, Failure> {
        let unreadable = |e: serde_json::Error| Failure::Unreadable(format!("no watch event: {e}"));
        let raw: RawEvent<'_> = serde_json::from_slice(line).map_err(unreadable)?;
        let object = |event: fn(Object) -> Event| {
            Some(match self.item(raw.object) {
                Ok(object) => event(object),
                Err(key) => Event::Undecodable { key },
            })
        };
        Ok(match raw.kind.as_ref() {
            "ADDED" => object(Event::Added),
            "MODIFIED" => object(Event::Modified),
            "DELETED" => object(Event::Deleted),
            "BOOKMARK" => {
                let mark: RawBookmark = serde_json::from_str(raw.object.get()).map_err(unreadable)?;
                let end = mark.metadata.annotations.unwrap_or_default();
                let end = end.get("k8s.io/initial-events-end").is_some_and(|value| value == "true");
                Some(Event::Bookmark {
                    resource_version: mark.metadata.resource_version,
                    initial_events_end: end,
                })
            }
            "ERROR" => {
                let status: RawStatus = serde_json::from_str(raw.object.get()).map_err(unreadable)?;
                Some(Event::Error(Failure::Status(status.into_status(None))))
            }
            other => {
                tracing::debug!(kind = %self.kind, event = other, "a watch event of an unknown type is ignored");
                None
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoder() -> Decoder {
        Decoder::new(&"v1/Pod".parse().unwrap())
    }

    #[test]
    fn items_of_a_list_get_their_kind_and_lose_their_managed_fields() {
        let page = decoder()
            .list(
                br#"{"kind":"PodList","metadata":{"resourceVersion":"9","continue":"t"},"items":[
                {"metadata":{"name":"a","namespace":"n","managedFields":[{"manager":"x"}]}}]}"#,
            )
            .unwrap();
        assert_eq!((page.resource_version.as_str(), page.continue_token.as_str()), ("9", "t"));
        assert_eq!(
            page.objects[0].value().to_json(),
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"n"}}"#
        );
    }

    #[test]
    fn an_empty_list_may_be_null() {
        let page = decoder().list(br#"{"metadata":{"resourceVersion":"9"},"items":null}"#).unwrap();
        assert!(page.objects.is_empty() && page.continue_token.is_empty());
    }

    #[test]
    fn one_object_that_does_not_decode_costs_only_itself() {
        let deep =
            format!(r#"{{"metadata":{{"name":"deep"}},"x":{}{}}}"#, "[".repeat(1000), "]".repeat(1000));
        let list = format!(
            r#"{{"metadata":{{"resourceVersion":"9"}},"items":[{deep},{{"metadata":{{"name":"a"}}}},7,{{"metadata":null}}]}}"#
        );
        let page = decoder().list(list.as_bytes()).unwrap();
        assert_eq!((page.objects.len(), page.undecodable), (1, 3));
        let event = decoder().event(format!(r#"{{"type":"ADDED","object":{deep}}}"#).as_bytes()).unwrap();
        let Some(Event::Undecodable { key: Some(key) }) = event else { panic!("{event:?}") };
        assert_eq!(key, Key::new("", "deep"));
    }

    #[test]
    fn trap_08_initial_events_end_at_the_bookmark_that_says_true() {
        for (value, ends) in [("true", true), ("false", false)] {
            let line = format!(
                r#"{{"type":"BOOKMARK","object":{{"metadata":{{"resourceVersion":"5","annotations":{{"k8s.io/initial-events-end":"{value}"}}}}}}}}"#
            );
            let event = decoder().event(line.as_bytes()).unwrap();
            let Some(Event::Bookmark { initial_events_end, .. }) = event else { panic!("{event:?}") };
            assert_eq!(initial_events_end, ends);
        }
    }

    #[test]
    fn an_error_event_is_its_status() {
        let line = br#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}"#;
        let Ok(Some(Event::Error(failure))) = decoder().event(line) else { panic!() };
        assert!(failure.expired());
    }
}
