//! Writes: one request each, never repeated; but for one that the host itself held to the version by which
//! it judged it, and that the API server refused for that.
//!
//! What a plugin hands over is checked as far as the host has to know: that the object is of the
//! kind, and in the place, that the gate judged. Everything else is the API server's to judge.

use std::borrow::Cow;

use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value, json};
use wheelhouse_cache::rest::encode;
use wheelhouse_cache::{ApiResource, Decoder, Failure};
use wheelhouse_core::request::{Change, Consistency, Get, PatchType, Propagation, Write};
use wheelhouse_core::{ApiError, Key, Kind, Object, Permitted};

use crate::api_error::{from_cache, from_failure};
use crate::client::PluginClient;
use crate::place::{home, path};
use crate::view::Found;

const JSON: &str = "application/json";

/// A request, in HTTP's words.
struct Wire<'a> {
    method: Method,
    path: String,
    content_type: &'static str,
    body: Body<'a>,
}

enum Body<'a> {
    /// It is sent as it is.
    Text(Cow<'a, [u8]>),
    /// It was read once, and is written out when it is sent.
    Object(Map<String, Value>),
}

impl Wire<'_> {
    /// The version that the object must have, as the write itself says.
    fn named_version(&self) -> Option<String> {
        let Body::Object(object) = &self.body else { return None };
        let version = object.get("metadata")?.get("resourceVersion")?.as_str()?;
        (!version.is_empty()).then(|| version.to_owned())
    }

    /// Holds it to a version, or to none, where the object itself names none.
    fn hold_to(&mut self, version: Option<&str>) {
        let Body::Object(object) = &mut self.body else { return };
        let Some(Value::Object(metadata)) = object.get_mut("metadata") else { return };
        match version {
            Some(version) => metadata.insert("resourceVersion".to_owned(), version.into()),
            None => metadata.remove("resourceVersion"),
        };
    }

    fn body(&self) -> Result<Vec<u8>, ApiError> {
        match &self.body {
            Body::Text(text) => Ok(text.to_vec()),
            Body::Object(object) => {
                serde_json::to_vec(object).map_err(|error| ApiError::BadRequest(error.to_string()))
            }
        }
    }
}

impl PluginClient {
    pub(crate) async fn carry_out(&self, request: &Permitted<Write>) -> Result<Option<Object>, ApiError> {
        self.usage.api_request()?;
        let resource = self.resources.resolve(&request.kind).await.map_err(from_cache)?;
        let deletes = matches!(request.change, Change::Delete { .. });
        let before = match self.view(&request.kind, &request.key.namespace) {
            Some(view) if deletes => view.overlay.uid_at(&request.key),
            _ => String::new(),
        };
        // A body that cannot be sent costs no look at the object.
        let mut wire = wire(request, &resource)?;
        let named = wire.named_version();
        let judged = self.check_owners(request, named.as_deref(), false).await?;
        if judged.is_some() {
            wire.hold_to(judged.as_deref());
        }
        let mut answer = self.send(&wire, wire.body()?).await;
        if judged.is_some() && answer.as_ref().is_err_and(is_conflict) {
            // The plugin did not ask for that version: the object has changed since it was judged.
            self.usage.api_request()?;
            let judged = self.check_owners(request, named.as_deref(), true).await?;
            wire.hold_to(judged.as_deref());
            answer = self.send(&wire, wire.body()?).await;
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => {
                self.not_served(&failure, &request.kind).await;
                return Err(from_failure(failure));
            }
        };
        let answer = self.decode(request, &answer).map_err(from_failure)?;
        if !request.dry_run && self.kinds.contains_key(&request.kind) {
            if is_a(&answer, request) {
                self.learn(&request.kind, &answer, deletes);
            } else if deletes {
                // A Status: it says whose deletion it was, or nothing.
                let uid =
                    answer.value().at(&["details", "uid"]).and_then(|uid| uid.as_str()).unwrap_or(&before);
                self.own_writes.learn_gone(&request.kind, &request.key, uid);
            } else if !request.key.name.is_empty() {
                // The subresource's own answer (a Scale, a Status) does not say what became of the
                // object; ask, and if that fails, leave it to the watch.
                let get = Get {
                    kind: request.kind.clone(),
                    key: request.key.clone(),
                    subresource: String::new(),
                    consistency: Consistency::OwnWrites,
                };
                let _ = self.live_get(&get).await;
            }
        }
        Ok((!deletes).then_some(answer))
    }

    async fn send(&self, wire: &Wire<'_>, body: Vec<u8>) -> Result<Bytes, Failure> {
        let Wire { method, path, content_type, .. } = wire;
        self.rest.send(method.clone(), path, Some((content_type, body)), self.config.timeout).await
    }

    /// What the gate could not judge without the object: whether the write changes its owners. The version
    /// by which that was judged, to which the write has to be held unless it names one itself; none if
    /// there is no object.
    async fn check_owners(
        &self,
        request: &Permitted<Write>,
        named: Option<&str>,
        fresh: bool,
    ) -> Result<Option<String>, ApiError> {
        let Some(owners) = request.owners_stay() else { return Ok(None) };
        let Write { kind, key, .. } = &**request;
        let version = |object: &Object| named.is_none().then(|| object.resource_version().to_owned());
        let cached = self.view(kind, &key.namespace).filter(|view| view.ready() && !fresh);
        if let Some(Ok(Found::Object(object))) = cached.map(|view| view.get(key, Consistency::OwnWrites))
            && named.is_none_or(|named| named == object.resource_version())
            && owners.stay(&object)
        {
            return Ok(version(&object));
        }
        // That there is none, or that it has other owners, may be news that the watch has yet to bring.
        let (subresource, consistency) = (String::new(), Consistency::OwnWrites);
        let get = Get { kind: kind.clone(), key: key.clone(), subresource, consistency };
        let object = self.live_get(&get).await?;
        owners.judge(object.as_ref())?;
        Ok(object.as_ref().and_then(version))
    }

    fn decode(&self, request: &Write, answer: &[u8]) -> Result<Object, Failure> {
        let decoder = Decoder::new(&request.kind);
        let whole = request.subresource.is_empty() && !matches!(request.change, Change::Delete { .. });
        if whole { decoder.object(answer) } else { decoder.answer(answer) }
    }
}

/// Whether the object is of another version than the request said.
fn is_conflict(failure: &Failure) -> bool {
    let Failure::Status(status) = failure else { return false };
    let of_managers = || status.causes.iter().any(|cause| cause.reason == "FieldManagerConflict");
    status.code == 409 && status.reason == "Conflict" && !of_managers()
}

/// Whether an answer is an object of the request's kind.
fn is_a(answer: &Object, request: &Write) -> bool {
    let text = |field| answer.value().get(field).and_then(|value| value.as_str());
    text("apiVersion") == Some(request.kind.api_version()) && text("kind") == Some(request.kind.kind())
}

impl PluginClient {
    /// Takes note of the object that a write was answered with.
    fn learn(&self, kind: &Kind, answer: &Object, deletes: bool) {
        let meta = |field| answer.value().at(&["metadata", field]).filter(|value| !value.is_null());
        let terminating = meta("deletionTimestamp").is_some();
        // After `ShouldDeleteDuringUpdate`: nobody holds it, and there is no grace.
        let released = meta("finalizers").is_none_or(|f| f.is_empty())
            && meta("deletionGracePeriodSeconds").and_then(|s| s.as_i64()).unwrap_or(0) == 0;
        if (deletes && !terminating) || (terminating && released) {
            self.own_writes.learn_gone(kind, &answer.key(), answer.uid());
        } else {
            self.own_writes.learn(kind, answer);
        }
    }
}

fn wire<'a>(request: &'a Write, resource: &ApiResource) -> Result<Wire<'a>, ApiError> {
    let Write { key, subresource, change, .. } = request;
    let mut query: Vec<(&str, &str)> = Vec::new();
    if request.dry_run {
        query.push(("dryRun", "All"));
    }
    if !request.field_manager.is_empty() && !matches!(change, Change::Delete { .. }) {
        query.push(("fieldManager", &request.field_manager));
    }
    let (method, path, content_type, body) = match change {
        Change::Create(object) if subresource.is_empty() => {
            (Method::POST, home(resource, &key.namespace)?, JSON, checked(object, request)?)
        }
        Change::Create(object) => {
            (Method::POST, path(resource, key, subresource)?, JSON, checked(object, request)?)
        }
        Change::Update(object) => {
            (Method::PUT, path(resource, key, subresource)?, JSON, checked(object, request)?)
        }
        Change::Patch(patch_type, patch) => {
            let content_type = match patch_type {
                PatchType::Json => "application/json-patch+json",
                PatchType::Merge => "application/merge-patch+json",
                PatchType::Strategic => "application/strategic-merge-patch+json",
            };
            is_json(patch)?;
            (Method::PATCH, path(resource, key, subresource)?, content_type, Body::Text(patch.into()))
        }
        Change::Apply { object, force } => {
            query.push(("force", if *force { "true" } else { "false" }));
            let body = checked(object, request)?;
            (Method::PATCH, path(resource, key, subresource)?, "application/apply-patch+yaml", body)
        }
        Change::Delete { .. } => {
            let options = Body::Text(delete_options(change).into());
            (Method::DELETE, path(resource, key, subresource)?, JSON, options)
        }
    };
    let query: Vec<String> =
        query.into_iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let path = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
    Ok(Wire { method, path, content_type, body })
}

fn delete_options(change: &Change) -> Vec<u8> {
    let mut options = Map::new();
    let mut set = |field: &str, value: Value| options.insert(field.to_owned(), value);
    set("apiVersion", "v1".into());
    set("kind", "DeleteOptions".into());
    if let Change::Delete { propagation, grace_period, uid, resource_version } = change {
        if let Some(propagation) = propagation {
            let policy = match propagation {
                Propagation::Background => "Background",
                Propagation::Foreground => "Foreground",
                Propagation::Orphan => "Orphan",
            };
            set("propagationPolicy", policy.into());
        }
        if let Some(grace_period) = grace_period {
            set("gracePeriodSeconds", grace_period.as_secs().into());
        }
        let given = [("uid", uid), ("resourceVersion", resource_version)];
        let preconditions: Map<String, Value> = given
            .into_iter()
            .filter_map(|(field, value)| Some((field.to_owned(), value.as_deref()?.into())))
            .collect();
        if !preconditions.is_empty() {
            set("preconditions", Value::Object(preconditions));
        }
    }
    Value::Object(options).to_string().into_bytes()
}

fn is_json(text: &[u8]) -> Result<(), ApiError> {
    serde_json::from_slice::<serde::de::IgnoredAny>(text)
        .map(|_| ())
        .map_err(|e| ApiError::BadRequest(format!("the patch is no JSON: {e}")))
}

/// The object with what the host knows of it filled in, and refused if it says otherwise.
fn checked(object: &[u8], request: &Write) -> Result<Body<'static>, ApiError> {
    let bad = ApiError::BadRequest;
    let mut object: Map<String, Value> =
        serde_json::from_slice(object).map_err(|e| bad(format!("the object is no JSON object: {e}")))?;
    // A subresource's object may be of a kind of its own: a Scale, an Eviction.
    if matches!(request.subresource.as_str(), "" | "status") {
        for (field, expected) in [("apiVersion", request.kind.api_version()), ("kind", request.kind.kind())] {
            agree(&mut object, field, expected).map_err(bad)?;
        }
    }
    let metadata = object.entry("metadata").or_insert_with(|| json!({}));
    let Value::Object(metadata) = metadata else { return Err(bad("metadata is no object".into())) };
    let Key { namespace, name } = &request.key;
    agree(metadata, "namespace", namespace).map_err(bad)?;
    agree(metadata, "name", name).map_err(bad)?;
    Ok(Body::Object(object))
}

/// Puts a text into a field that is missing or empty; it must be that if it is not.
fn agree(object: &mut Map<String, Value>, field: &str, expected: &str) -> Result<(), String> {
    match object.get(field) {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) if text.is_empty() => {}
        Some(Value::String(text)) if text == expected => return Ok(()),
        Some(other) => {
            return Err(format!("the object's {field} is {other}, and the request's is {expected:?}"));
        }
    }
    object.remove(field);
    if !expected.is_empty() {
        object.insert(field.to_owned(), expected.into());
    }
    Ok(())
}
