//! Lists and watch events, from their JSON straight into encoded objects.
//!
//! An object that does not decode costs itself alone: each is cut out of the answer by a scan that
//! has no depth limit, and then decoded on its own.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use wheelhouse_core::encoding::EncodeOptions;
use wheelhouse_core::{FieldSelector, Fields, Key, Kind, Object};

use crate::list_watch::{Event, ListPage, Unreadable};
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
    #[serde(borrow, default, rename = "resourceVersion")]
    resource_version: Cow<'a, str>,
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

/// An item of a list, as it came.
#[derive(Clone, Copy)]
pub struct Item<'a>(&'a RawValue);

/// Decodes one kind's objects, pruned, with the kind's `apiVersion` and `kind` put in.
#[derive(Clone)]
pub struct Decoder {
    kind: Kind,
    options: EncodeOptions,
    /// What the server does not select.
    select: FieldSelector,
}

impl Decoder {
    /// Of this kind.
    pub fn new(kind: &Kind) -> Self {
        let type_meta = Some((Arc::from(kind.api_version()), Arc::from(kind.kind())));
        let options = EncodeOptions { type_meta, ..EncodeOptions::default() };
        Self { kind: kind.clone(), options, select: FieldSelector::default() }
    }

    /// Which keeps only these fields.
    #[must_use]
    pub fn reading(mut self, fields: &Fields) -> Self {
        self.options.fields = fields.clone();
        self
    }

    /// For which an object that this does not select is not there.
    #[must_use]
    pub(crate) fn selecting(mut self, select: &FieldSelector) -> Self {
        self.select = select.clone();
        self
    }

    /// The object; or what can be told of it, and its version.
    fn item(&self, json: &RawValue) -> Result<Object, (Unreadable, String)> {
        let reason = match Object::from_json(json.get().as_bytes(), &self.options) {
            Ok(object) if !object.name().is_empty() => return Ok(object),
            Ok(_) => "it has no metadata.name".to_owned(),
            Err(error) => error.to_string(),
        };
        let named = serde_json::from_str::<Named<'_>>(json.get()).ok().map(|named| named.metadata);
        let version = named.as_ref().map(|meta| meta.resource_version.to_string()).unwrap_or_default();
        let key = named.map(|meta| Key::new(meta.namespace, meta.name)).filter(|key| !key.name.is_empty());
        let name = key.as_ref().map_or_else(|| "(unnamed)".to_owned(), Key::to_string);
        tracing::warn!(kind = %self.kind, object = %name, bytes = json.get().len(), %reason, "an object does not decode: it cannot be read");
        Err((Unreadable { key, reason }, version))
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
        let (items, mut page) = self.items(json)?;
        items.into_iter().for_each(|item| self.add(item, &mut page));
        Ok(page)
    }

    /// Likewise, one after the other: what is in the page, and the page without any of it. That is a scan;
    /// what takes long is [`Self::add`].
    ///
    /// # Errors
    /// If it is none.
    pub fn items<'a>(&self, json: &'a [u8]) -> Result<(Vec<Item<'a>>, ListPage), Failure> {
        let RawList { metadata, items } =
            serde_json::from_slice(json).map_err(|e| Failure::Unreadable(format!("no list: {e}")))?;
        let page = ListPage {
            objects: Vec::new(),
            unreadable: Vec::new(),
            resource_version: metadata.resource_version.into_owned(),
            continue_token: metadata.continue_token.unwrap_or_default().into_owned(),
        };
        Ok((items.unwrap_or_default().into_iter().map(Item).collect(), page))
    }

    /// Adds an item to its page: as an object, or as one that does not decode.
    pub fn add(&self, Item(item): Item<'_>, page: &mut ListPage) {
        match self.item(item) {
            Ok(object) if self.select.matches(object.value()) => page.objects.push(object),
            Ok(_) => {}
            Err((unreadable, _)) => page.unreadable.push(unreadable),
        }
    }

    /// One line of a watch. None for an event of a type that is new to us.
    pub(crate) fn event(&self, line: &[u8]) -> Result<Option<Event>, Failure> {
        let unreadable = |e: serde_json::Error| Failure::Unreadable(format!("no watch event: {e}"));
        let raw: RawEvent<'_> = serde_json::from_slice(line).map_err(unreadable)?;
        let object = |event: fn(Object) -> Event| {
            Some(match self.item(raw.object) {
                Ok(object) if self.select.matches(object.value()) => event(object),
                Ok(object) => Event::Deleted(object),
                Err((unreadable, resource_version)) => {
                    Event::Unreadable { unreadable, resource_version, deleted: raw.kind == "DELETED" }
                }
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
        assert_eq!((page.objects.len(), page.unreadable.len()), (1, 3));
        assert_eq!(page.unreadable[0].key, Some(Key::new("", "deep")));
        let event = decoder().event(format!(r#"{{"type":"ADDED","object":{deep}}}"#).as_bytes()).unwrap();
        let Some(Event::Unreadable { unreadable, deleted: false, .. }) = event else { panic!("{event:?}") };
        assert_eq!(unreadable.key, Some(Key::new("", "deep")));
        assert!(unreadable.reason.contains("recursion limit"), "{unreadable:?}");
    }

    #[test]
    fn what_the_server_does_not_select_is_selected_here_and_one_that_no_longer_matches_is_gone() {
        let decoder = decoder().selecting(&"spec.nodeName=n1".parse().unwrap());
        let pod = |name: &str, node: &str| {
            format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{"nodeName":"{node}"}}}}"#)
        };
        let list = format!(r#"{{"items":[{},{}]}}"#, pod("a", "n1"), pod("b", "n2"));
        let names: Vec<String> =
            decoder.list(list.as_bytes()).unwrap().objects.iter().map(|o| o.name().to_owned()).collect();
        assert_eq!(names, ["a"]);
        let event =
            |node| decoder.event(format!(r#"{{"type":"MODIFIED","object":{}}}"#, pod("a", node)).as_bytes());
        assert!(matches!(event("n1"), Ok(Some(Event::Modified(_)))));
        assert!(matches!(event("n2"), Ok(Some(Event::Deleted(_)))));
    }

    #[test]
    fn a_metadata_only_answer_is_of_the_kind_that_was_asked_for() {
        let fields = Fields::of([]);
        let list = br#"{"kind":"PartialObjectMetadataList","items":[{"kind":"PartialObjectMetadata",
            "apiVersion":"meta.k8s.io/v1","metadata":{"name":"a"},"spec":{"more":"than asked for"}}]}"#;
        let page = decoder().reading(&fields).list(list).unwrap();
        assert_eq!(
            page.objects[0].value().to_json(),
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}"#
        );
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
