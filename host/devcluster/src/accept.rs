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
    /// How much it is wanted, in thousandths.
    weight: u16,
    kind: &'a str,
    group: &'a str,
    version: &'a str,
}

/// What the client accepts, in the order in which it prefers it (RFC 9110, section 12.5.1).
fn ranges(headers: &HeaderMap) -> Vec<Range<'_>> {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let parts = values.flat_map(|value| value.split(','));
    let mut ranges: Vec<_> = parts
        .map(|part| {
            let mut fields = part.split(';').map(str::trim);
            let media_type = fields.next().unwrap_or_default();
            let mut range = Range { media_type, weight: 1000, kind: "", group: "", version: "" };
            for field in fields {
                match field.split_once('=') {
                    Some(("as", value)) => range.kind = value,
                    Some(("g", value)) => range.group = value,
                    Some(("v", value)) => range.version = value,
                    Some(("q", value)) => range.weight = weight(value),
                    _ => {}
                }
            }
            range
        })
        .collect();
    ranges.sort_by_key(|range| (std::cmp::Reverse(range.weight), range.media_type == "*/*"));
    ranges
}

fn weight(text: &str) -> u16 {
    let thousandths = text.parse::<f32>().ok().map(|weight| weight.clamp(0.0, 1.0) * 1000.0);
    thousandths.and_then(|weight| format!("{weight:.0}").parse().ok()).unwrap_or(1000)
}

fn is_json(media_type: &str) -> bool {
    matches!(media_type, "" | "*/*" | "application/json")
}

/// Whether a cluster has answers of this type, though they may not be had here.
fn is_known(media_type: &str) -> bool {
    is_json(media_type) || matches!(media_type, YAML | "application/vnd.kubernetes.protobuf")
}

/// The first form that the client accepts and the server has, and whether it is to be in YAML.
fn negotiated(headers: &HeaderMap) -> Result<(Form, bool), ApiError> {
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return Ok((Form::Full, false));
    }
    if !ranges.iter().any(|range| is_known(range.media_type)) {
        return Err(ApiError::unknown_representation());
    }
    let found = ranges.iter().find_map(|range| {
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
    });
    found.ok_or_else(ApiError::not_acceptable)
}

/// The form in which the client wants objects.
pub(crate) fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    negotiated(headers).map(|(form, _)| form)
}

/// Whether the client prefers YAML to JSON.
pub(crate) fn wants_yaml(headers: &HeaderMap) -> bool {
    negotiated(headers).is_ok_and(|(_, is_yaml)| is_yaml)
}

/// Whether the client names this type.
pub(crate) fn names(headers: &HeaderMap, media_type: &str) -> bool {
    ranges(headers).iter().any(|range| range.media_type == media_type)
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
