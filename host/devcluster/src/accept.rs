//! Content negotiation: in which form a client wants its answer.

use http::HeaderMap;
use http::header::ACCEPT;

use crate::error::ApiError;

pub(crate) const YAML: &str = "application/yaml";

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

/// The first form that the client accepts and the server has, and whether it is to be in YAML.
fn negotiated(headers: &HeaderMap) -> Option<(Form, bool)> {
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return Some((Form::Full, false));
    }
    ranges.iter().find_map(|range| {
        let is_yaml = range.media_type == YAML;
        if !is_yaml && !is_json(range.media_type) {
            return None;
        }
        let form = match (range.kind, range.group, range.version) {
            ("", _, _) => Form::Full,
            ("Table", "meta.k8s.io", "v1") => Form::Table,
            ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", "v1") => Form::Metadata,
            _ => return None,
        };
        Some((form, is_yaml))
    })
}

/// The form in which the client wants objects.
pub(crate) fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    negotiated(headers).map(|(form, _)| form).ok_or_else(ApiError::not_acceptable)
}

/// Whether the client prefers YAML to JSON.
pub(crate) fn wants_yaml(headers: &HeaderMap) -> bool {
    negotiated(headers).is_some_and(|(_, is_yaml)| is_yaml)
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
