//! Content negotiation: in which form a client wants its answer.

use http::HeaderMap;
use http::header::ACCEPT;

use crate::error::ApiError;

/// A form of objects and lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Full,
    /// `PartialObjectMetadata`: type and metadata alone.
    Metadata,
    /// `Table`: what `kubectl get` prints.
    Table,
}

struct Range<'a> {
    media_type: &'a str,
    kind: &'a str,
    group: &'a str,
    version: &'a str,
}

fn ranges(headers: &HeaderMap) -> Vec<Range<'_>> {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let parts = values.flat_map(|value| value.split(','));
    parts
        .map(|part| {
            let mut fields = part.split(';').map(str::trim);
            let mut range =
                Range { media_type: fields.next().unwrap_or_default(), kind: "", group: "", version: "" };
            for field in fields {
                match field.split_once('=') {
                    Some(("as", value)) => range.kind = value,
                    Some(("g", value)) => range.group = value,
                    Some(("v", value)) => range.version = value,
                    _ => {}
                }
            }
            range
        })
        .collect()
}

fn is_json(media_type: &str) -> bool {
    matches!(media_type, "" | "*/*" | "application/*" | "application/json")
}

/// The first form that the client accepts and the server has.
pub(crate) fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return Ok(Form::Full);
    }
    ranges
        .iter()
        .filter(|range| is_json(range.media_type))
        .find_map(|range| match (range.kind, range.group, range.version) {
            ("", _, _) => Some(Form::Full),
            ("Table", "meta.k8s.io", "v1") => Some(Form::Table),
            ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", "v1") => {
                Some(Form::Metadata)
            }
            _ => None,
        })
        .ok_or_else(ApiError::not_acceptable)
}

/// The version of aggregated discovery that the client prefers to the plain documents.
pub(crate) fn aggregated_discovery(headers: &HeaderMap) -> bool {
    let ranges = ranges(headers);
    let known = ranges.iter().filter(|range| is_json(range.media_type)).find(|range| {
        range.kind.is_empty()
            || (range.kind == "APIGroupDiscoveryList"
                && range.group == "apidiscovery.k8s.io"
                && range.version == "v2")
    });
    known.is_some_and(|range| !range.kind.is_empty())
}
