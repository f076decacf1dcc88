//! Lists: selectors, paging from one consistent snapshot, and the forms that a list can take.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::accept::Form;
use crate::cluster::Cluster;
use crate::error::{ApiError, Cause};
use crate::kind::Kind;
use crate::object::{self, Json, Object};
use crate::selector::Selector;
use crate::store::{Extent, Key};
use crate::table::{self, Include};
use crate::view;

/// What a list request asks for.
#[derive(Debug, Clone)]
pub(crate) struct ListRequest {
    pub(crate) namespace: String,
    pub(crate) selector: Selector,
    pub(crate) limit: usize,
    pub(crate) continue_token: String,
    pub(crate) resource_version: String,
    pub(crate) version_match: String,
    pub(crate) send_initial_events: Option<bool>,
    pub(crate) include: Include,
}

/// The objects that a list request is answered with, and the metadata of the list.
pub(crate) struct Page {
    pub(crate) objects: Vec<Arc<Object>>,
    pub(crate) metadata: Value,
}

/// Answers a list request in a form.
pub(crate) fn list(
    cluster: &Cluster,
    kind: &Kind,
    request: &ListRequest,
    form: Form,
) -> Result<Bytes, ApiError> {
    let Page { objects, metadata } = page(cluster, kind, request)?;
    Ok(render(kind, objects.iter().map(|object| &**object), &metadata, form, request.include))
}

/// The page that a list request asks for.
pub(crate) fn page(cluster: &Cluster, kind: &Kind, request: &ListRequest) -> Result<Page, ApiError> {
    check_match(request)?;
    let start = match request.continue_token.as_str() {
        "" => None,
        token => Some(decode_token(token)?),
    };
    if start.is_some() && !matches!(request.resource_version.as_str(), "" | "0") {
        let why = "specifying resource version is not allowed when using continue";
        return Err(ApiError::bad_request(why));
    }
    let at = match &start {
        Some((version, _)) => {
            check_known(cluster, version.unwrap_or_default())?;
            *version
        }
        None => exact_version(cluster, request)?,
    };
    let extent = Extent {
        at,
        namespace: Some(request.namespace.as_str()).filter(|namespace| !namespace.is_empty()),
        after: start.as_ref().map(|(_, key)| key),
    };
    let snapshot = cluster.store.snapshot(&kind.storage, extent).map_err(|_| match &start {
        None => ApiError::list_expired(),
        Some((_, key)) => ApiError::continue_expired(encode_token(None, key)),
    })?;
    let mut objects: Vec<_> = snapshot.objects;
    if !request.selector.is_empty() {
        objects.retain(|object| request.selector.matches(&view::shaped(kind, object)));
    }
    let mut metadata = json!({ "resourceVersion": snapshot.version.to_string() });
    // Whoever takes any state gets it whole, as a cluster has it at hand.
    let is_any = request.resource_version == "0" && request.continue_token.is_empty();
    if request.limit > 0 && objects.len() > request.limit && !is_any {
        let remaining = objects.len().saturating_sub(request.limit);
        objects.truncate(request.limit);
        if let (Some(last), Some(metadata)) = (objects.last(), metadata.as_object_mut()) {
            let token = encode_token(Some(snapshot.version), &Key::of(&last.json));
            metadata.insert("continue".to_owned(), token.into());
            if request.selector.is_empty() {
                metadata.insert("remainingItemCount".to_owned(), remaining.into());
            }
        }
    }
    Ok(Page { objects, metadata })
}

/// A list of these objects, in a form.
pub(crate) fn render<'a>(
    kind: &Kind,
    objects: impl Iterator<Item = &'a Object>,
    metadata: &Value,
    form: Form,
    include: Include,
) -> Bytes {
    let (list_kind, api_version) = match form {
        Form::Full => (kind.list_kind.as_str(), kind.api_version()),
        Form::Metadata => ("PartialObjectMetadataList", "meta.k8s.io/v1".to_owned()),
        Form::Table => {
            let objects: Vec<_> = objects.map(|object| view::present(kind, object)).collect();
            return table::table(kind, objects.iter().map(|json| &**json), metadata, include);
        }
    };
    let head = json!({ "kind": list_kind, "apiVersion": api_version, "metadata": metadata }).to_string();
    let mut text = head.into_bytes();
    text.pop();
    text.extend_from_slice(b",\"items\":[");
    let items: Vec<Bytes> = objects.map(|object| item_bytes(kind, object, form)).collect();
    text.reserve(items.iter().fold(2, |size: usize, item| size.saturating_add(item.len()).saturating_add(2)));
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        text.push(b'{');
        text.extend_from_slice(item);
    }
    text.extend_from_slice(b"]}");
    Bytes::from(text)
}

/// One object in a form other than a table, serialised at most once where it is shown as stored.
pub(crate) fn object_bytes(kind: &Kind, object: &Object, form: Form) -> Bytes {
    match (form, view::present(kind, object)) {
        (Form::Metadata, json) => metadata_only(&json),
        (_, Cow::Borrowed(_)) => object.bytes(),
        (_, Cow::Owned(json)) => object::to_bytes(&json),
    }
}

/// One item of a list, without the brace that opens it. What it is, the list says for all items of a built-in kind.
fn item_bytes(kind: &Kind, object: &Object, form: Form) -> Bytes {
    let is_typed = form != Form::Full || kind.is_custom();
    let bytes = match (is_typed, view::present(kind, object)) {
        (true, _) => object_bytes(kind, object, form),
        (false, Cow::Borrowed(_)) => return object.untyped_bytes(),
        (false, Cow::Owned(mut json)) => {
            json.retain(|field, _| !object::is_type(field));
            object::to_bytes(&json)
        }
    };
    bytes.slice(bytes.len().min(1)..)
}

/// The `PartialObjectMetadata` of an object, serialised.
pub(crate) fn metadata_only(json: &Json) -> Bytes {
    let mut text = br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":"#.to_vec();
    match json.get("metadata").and_then(Value::as_object) {
        Some(metadata) => text.extend_from_slice(&object::to_bytes(metadata)),
        None => text.extend_from_slice(b"{}"),
    }
    text.push(b'}');
    Bytes::from(text)
}

/// Whether a version match goes with the rest of the request.
fn check_match(request: &ListRequest) -> Result<(), ApiError> {
    const FIELD: &str = "resourceVersionMatch";
    let wanted = request.version_match.as_str();
    let mut causes = Vec::new();
    if !wanted.is_empty() && request.resource_version.is_empty() {
        let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        causes.push(Cause::forbidden(FIELD, why));
    }
    if !wanted.is_empty() && !request.continue_token.is_empty() {
        causes.push(Cause::forbidden(FIELD, "resourceVersionMatch is forbidden when continue is provided"));
    }
    match wanted {
        "Exact" if request.resource_version == "0" => {
            let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            causes.push(Cause::forbidden(FIELD, why));
        }
        "" | "Exact" | "NotOlderThan" => {}
        other => {
            let supported = ["Exact", "NotOlderThan", ""].map(Value::from);
            causes.push(Cause::unsupported(FIELD, &other.into(), &supported));
        }
    }
    if request.send_initial_events.is_some() {
        causes.push(Cause::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
    }
    match causes.is_empty() {
        true => Ok(()),
        false => Err(ApiError::invalid_options("ListOptions", &causes)),
    }
}

/// The version that a list must be of exactly, if the request wants one; 504 for one in the future.
fn exact_version(cluster: &Cluster, request: &ListRequest) -> Result<Option<u64>, ApiError> {
    let version = parse_version(&request.resource_version)?;
    // A page of a version is of that version, as it was before there was a match to ask for.
    let is_exact = match request.version_match.as_str() {
        "" => request.limit > 0 && version > 0,
        wanted => wanted == "Exact",
    };
    check_known(cluster, version)?;
    Ok(is_exact.then_some(version))
}

/// Only versions that were given can be asked for.
fn check_known(cluster: &Cluster, version: u64) -> Result<(), ApiError> {
    let current = cluster.store.version();
    match version > current {
        true => Err(ApiError::version_too_large(version, current)),
        false => Ok(()),
    }
}

/// Reads a resource version; none is 0.
pub(crate) fn parse_version(text: &str) -> Result<u64, ApiError> {
    match text {
        "" => Ok(0),
        text => text.parse().map_err(|_| ApiError::bad_request(format!("invalid resource version {text:?}"))),
    }
}

/// What a token says of the version if the rest of the list is to be as it is then.
const ANY_VERSION: i64 = -1;

fn encode_token(version: Option<u64>, key: &Key) -> String {
    let version = version.map_or_else(|| json!(ANY_VERSION), |version| json!(version));
    let token = json!({ "v": "meta.k8s.io/v1", "rv": version, "namespace": key.namespace, "name": key.name });
    URL_SAFE_NO_PAD.encode(token.to_string())
}

fn decode_token(token: &str) -> Result<(Option<u64>, Key), ApiError> {
    let decoded = URL_SAFE_NO_PAD.decode(token).ok();
    let json: Option<Value> = decoded.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let read = |json: Value| {
        let text = |field: &str| json.get(field).and_then(Value::as_str).map(str::to_owned);
        let key = Key { namespace: text("namespace")?, name: text("name")? };
        match json.get("rv")? {
            version if version.as_i64() == Some(ANY_VERSION) => Some((None, key)),
            version => Some((Some(version.as_u64()?), key)),
        }
    };
    json.and_then(read).ok_or_else(|| ApiError::bad_request("continue key is not valid"))
}
