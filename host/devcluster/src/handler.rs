//! One request: what it addresses, which verb it is, and who answers it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use crate::accept::{self, Form};
use crate::cluster::Cluster;
use crate::delete::{self, DeleteOptions, Deleted};
use crate::error::{self, ApiError};
use crate::managed::Writer;
use crate::object::{self, Json, Object};
use crate::params::Params;
use crate::patch::Patch;
use crate::route::{self, Route, Target};
use crate::store::Key;
use crate::write::{self, Write};
use crate::{
    access, body, crd, discovery, documents, duplicates, gzip, list, patch, respond, scale, view, watch,
};

/// As many bytes as a body has at most that is worked on where other requests wait.
const LARGE: usize = 64 * 1024;

/// Answers any request.
pub(crate) async fn handle(State(cluster): State<Arc<Cluster>>, request: Request) -> Response {
    let (parts, request_body) = request.into_parts();
    let served = cluster.registry.served();
    let Some(route) = route::parse(parts.uri.path(), &served) else {
        return match route::is_builtin(parts.uri.path(), &served) {
            true => respond::error(&ApiError::no_such_path()),
            false => respond::no_such_path(),
        };
    };
    let mut warned = None;
    let result = match route {
        Route::Resource(target) => {
            warned = Some(target.kind.clone());
            resource(&cluster, target, &parts, request_body).await
        }
        route if parts.method == Method::GET || parts.method == Method::HEAD => {
            Ok(documents::document(&cluster, &served, &route, &parts.headers))
        }
        _ => Err(ApiError::method_not_allowed("the requested path")),
    };
    let mut response = result.unwrap_or_else(|error| {
        tracing::debug!(method = %parts.method, uri = %parts.uri, code = error.code, %error, "refused");
        respond::error(&error)
    });
    if let Some(kind) = warned {
        response = respond::deprecated(&kind, response);
    }
    if accept::wants_yaml(&parts.headers) {
        response = respond::in_yaml(response).await;
    }
    match parts.method {
        Method::GET => gzip::compressed(&parts.headers, response).await,
        _ => response,
    }
}

async fn resource(
    cluster: &Arc<Cluster>,
    target: Target,
    parts: &Parts,
    body: Body,
) -> Result<Response, ApiError> {
    let params = Params::parse(&parts.uri)?;
    if !target.is_watch && !params.is_watch() {
        params.check_timeout()?;
    }
    // Whether a deletion is a dry run, its body may say as well.
    let is_dry = params.dry_run() && parts.method != Method::DELETE;
    let is_kept = !matches!(parts.method, Method::GET | Method::HEAD) && !target.kind.is_virtual && !is_dry;
    let bytes = body::read(body).await?;
    let failed = || ApiError::internal("the data directory cannot be written");
    if is_kept && cluster.store.has_failed() {
        return Err(failed());
    }
    let answer = answer(cluster, target, params, parts, bytes).await;
    // What is refused for what somebody else has written tells of that, which is to be kept as well.
    let left = answer.as_ref().ok().and_then(respond::left);
    if is_kept && !cluster.store.kept(left).await {
        return Err(failed());
    }
    answer
}

/// Answers at once, or on a thread that nobody else waits for if there is much to do, or others to wait for.
async fn answer(
    cluster: &Arc<Cluster>,
    target: Target,
    params: Params,
    parts: &Parts,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    let defines = crd::is_definition(&target.kind) && !bytes.is_empty();
    if bytes.len() <= LARGE && !defines {
        return Call::new(cluster, target, params, parts).answer(parts, &bytes);
    }
    let (cluster, parts) = (cluster.clone(), parts.clone());
    let answer = move || Call::new(&cluster, target, params, &parts).answer(&parts, &bytes);
    tokio::task::spawn_blocking(answer).await.unwrap_or_else(|why| Err(ApiError::internal(why.to_string())))
}

/// A request to a resource.
struct Call<'a> {
    cluster: &'a Arc<Cluster>,
    target: Target,
    params: Params,
    headers: &'a HeaderMap,
    /// Who sent it; nobody in a cluster that does not ask.
    user: Option<Arc<access::User>>,
}

impl<'a> Call<'a> {
    fn new(cluster: &'a Arc<Cluster>, target: Target, params: Params, parts: &'a Parts) -> Self {
        Self { cluster, target, params, headers: &parts.headers, user: parts.extensions.get().cloned() }
    }

    fn answer(&self, parts: &Parts, bytes: &Bytes) -> Result<Response, ApiError> {
        self.check_verb(&parts.method)?;
        // Before anything is done for who could not be told.
        self.form()?;
        self.params.include()?;
        match (&parts.method, self.target.name.is_some()) {
            (&Method::POST, false) => self.create(bytes),
            (&Method::POST, true) => self.create_subresource(bytes),
            (&Method::GET, false) => self.list_or_watch(),
            (&Method::GET, true) => self.get(),
            (&Method::PUT, true) => self.update(bytes),
            (&Method::PATCH, true) => self.patch(bytes),
            (&Method::DELETE, true) => self.delete(bytes),
            (&Method::DELETE, false) => self.delete_collection(bytes),
            _ => Err(ApiError::method_not_allowed("the requested resource")),
        }
    }

    /// What the method means here is something that the resource, or its subresource, offers.
    fn check_verb(&self, method: &Method) -> Result<(), ApiError> {
        self.check_subresource()?;
        let Target { kind, namespace, name, subresource, is_watch } = &self.target;
        let verb = match (method, name.is_some()) {
            (&Method::GET, true) => "get",
            (&Method::GET, false) => "list",
            (&Method::POST, is_named) if is_named != subresource.is_empty() => "create",
            (&Method::PUT, true) => "update",
            (&Method::PATCH, true) => "patch",
            (&Method::DELETE, true) => "delete",
            (&Method::DELETE, false) => "deletecollection",
            _ => "",
        };
        let is_read = matches!(verb, "get" | "list");
        let spans_namespaces = kind.namespaced && namespace.is_empty();
        match discovery::offers(kind, subresource, verb) && (is_read || !(*is_watch || spans_namespaces)) {
            true => Ok(()),
            false => Err(ApiError::method_not_allowed("the requested resource")),
        }
    }

    fn form(&self) -> Result<Form, ApiError> {
        accept::form(self.headers)
    }

    fn media_type(&self) -> String {
        let value = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    fn name(&self) -> &str {
        self.target.name.as_deref().unwrap_or_default()
    }

    fn key(&self) -> Key {
        Key::new(&self.target.namespace, self.name())
    }

    /// The subresource is one of the kind's, or the path leads nowhere.
    fn check_subresource(&self) -> Result<(), ApiError> {
        let kind = &self.target.kind;
        let known = match self.target.subresource.as_str() {
            "" => true,
            "status" => kind.has_status,
            "scale" => kind.scale.is_some(),
            other => kind.extra.contains(&other),
        };
        // Only lists may span all namespaces.
        let is_complete = self.target.name.is_none() || !kind.namespaced || !self.target.namespace.is_empty();
        if known && is_complete { Ok(()) } else { Err(ApiError::no_such_path()) }
    }

    /// The write that this request asks for, with the kind of its options.
    fn write(&self, options: &str) -> Result<Write, ApiError> {
        self.params.check_write(options, self.media_type() == patch::APPLY)?;
        let manager = self.params.field_manager(self.headers);
        Ok(Write {
            kind: self.target.kind.clone(),
            key: self.key(),
            writer: Writer { manager, subresource: self.target.subresource.clone() },
            author: self.user.clone(),
            dry_run: self.params.dry_run(),
            validation: self.params.field_validation(),
        })
    }

    fn stored(&self) -> Result<Arc<Object>, ApiError> {
        let object = self.cluster.store.get(&self.target.kind.storage, &self.key());
        object.ok_or_else(|| ApiError::not_found(&self.target.kind, self.name()))
    }

    fn written(&self, written: &write::Written) -> Result<Response, ApiError> {
        Ok(respond::written(&self.target.kind, written, self.form()?, self.params.include()?))
    }

    /// What is to be told of the fields that an object's body has twice, which was read as `json`.
    fn doubled(&self, write: &Write, bytes: &[u8], json: &Json) -> Result<Vec<String>, ApiError> {
        let media_type = self.media_type();
        write.judge_strictly(write.doubled(bytes, &media_type, duplicates::fields_of(json)), &media_type)
    }

    fn list_or_watch(&self) -> Result<Response, ApiError> {
        if self.target.is_watch || self.params.is_watch() {
            return self.watch();
        }
        let request = self.params.list(&self.target)?;
        list::list(self.cluster, &self.target.kind, &request, self.form()?).map(respond::list_bytes)
    }

    fn watch(&self) -> Result<Response, ApiError> {
        if accept::wants_yaml(self.headers) {
            return Err(ApiError::not_acceptable());
        }
        let request = self.params.watch(&self.target, self.form()?)?;
        let stream = watch::watch(self.cluster.clone(), self.target.kind.clone(), request)?;
        Ok(respond::bytes(StatusCode::OK, respond::JSON, Body::from_stream(stream)))
    }

    fn get(&self) -> Result<Response, ApiError> {
        if self.target.is_watch {
            return self.watch();
        }
        let object = self.stored()?;
        if self.target.subresource == "scale" {
            let kind = &self.target.kind;
            let scale = Object::new(scale::shown(kind, &view::shaped(kind, &object))?, object.version);
            let kind = scale::kind(kind);
            return Ok(respond::one(StatusCode::OK, &kind, &scale, self.form()?, self.params.include()?));
        }
        Ok(respond::one(StatusCode::OK, &self.target.kind, &object, self.form()?, self.params.include()?))
    }

    fn create(&self, bytes: &[u8]) -> Result<Response, ApiError> {
        let kind = &self.target.kind;
        let json = body::decode_object(bytes, &self.media_type())?;
        let write = self.write("CreateOptions")?;
        let doubled = self.doubled(&write, bytes, &json)?;
        if kind.is_virtual {
            return Ok(respond::made(&access::review(self.cluster, &write, json)?, &doubled));
        }
        self.written(&write::warned(write::create(self.cluster, &write, json), doubled)?)
    }

    fn create_subresource(&self, bytes: &[u8]) -> Result<Response, ApiError> {
        let json = body::decode_object(bytes, &self.media_type())?;
        let write = self.write("CreateOptions")?;
        write.check_subject(&json)?;
        match self.target.subresource.as_str() {
            "token" => {
                let doubled = self.doubled(&write, bytes, &json)?;
                return Ok(respond::made(&access::request_token(self.cluster, &write, json)?, &doubled));
            }
            "eviction" => {
                let inner = json.get("deleteOptions").and_then(Value::as_object).cloned().unwrap_or_default();
                let mut options = DeleteOptions::parse(&inner)?;
                options.dry_run |= write.dry_run;
                delete::delete(self.cluster, &write.kind, &write.key, &options)?;
            }
            "binding" => {
                let node =
                    json.get("target").and_then(|target| target.get("name")).cloned().unwrap_or_default();
                write::change(self.cluster, &write, |pod| {
                    if !object::text(pod, &["spec", "nodeName"]).is_empty() {
                        return Err(ApiError::conflict(
                            &write.kind,
                            self.name(),
                            "the pod is already assigned to a node",
                        ));
                    }
                    let mut pod = pod.clone();
                    object::set(&mut pod, &["spec", "nodeName"], node.clone());
                    Ok(pod)
                })?;
            }
            _ => return Err(ApiError::method_not_allowed("the requested resource")),
        }
        let mut status = Json::new();
        status.insert("kind".to_owned(), "Status".into());
        status.insert("apiVersion".to_owned(), "v1".into());
        status.insert("metadata".to_owned(), json!({}));
        status.insert("status".to_owned(), "Success".into());
        status.insert("code".to_owned(), 201.into());
        Ok(respond::json(StatusCode::CREATED, &status))
    }

    fn update(&self, bytes: &[u8]) -> Result<Response, ApiError> {
        let decode = || match self.target.subresource.as_str() {
            "approval" | "status" => body::decode_status(bytes, &self.media_type()),
            _ => body::decode_object(bytes, &self.media_type()),
        };
        let json = decode()?;
        let write = self.write("UpdateOptions")?;
        if self.target.subresource == "scale" {
            let paths = scale::paths(&write.kind)?;
            let written = scale::replace(self.cluster, &write, paths, &json)?;
            return Ok(respond::json(StatusCode::OK, &scale::of(paths, &written.object.json)));
        }
        let doubled = self.doubled(&write, bytes, &json)?;
        self.written(&write::warned(write::update(self.cluster, &write, json, decode), doubled)?)
    }

    fn patch(&self, bytes: &[u8]) -> Result<Response, ApiError> {
        let media_type = self.media_type();
        let write = self.write("PatchOptions")?;
        let force = self.params.force();
        patch::check_media_type(&write.kind, &media_type)?;
        let body = body::decode_patch(bytes, &media_type)?;
        let doubled = write.doubled(bytes, &media_type, duplicates::fields(&body));
        if self.target.subresource == "scale" {
            let paths = scale::paths(&write.kind)?;
            let written = scale::patch(self.cluster, &write, paths, &media_type, &body, force)?;
            return Ok(respond::json(StatusCode::OK, &scale::of(paths, &written.object.json)));
        }
        let patch = Patch { media_type: &media_type, body, doubled, force };
        self.written(&patch.apply(self.cluster, &write)?)
    }

    fn delete_options(&self, bytes: &[u8]) -> Result<DeleteOptions, ApiError> {
        match bytes.is_empty() {
            true => self.params.delete_options(),
            false => DeleteOptions::parse(&body::decode_object(bytes, &self.media_type())?),
        }
    }

    fn delete(&self, bytes: &[u8]) -> Result<Response, ApiError> {
        let kind = &self.target.kind;
        let options = self.delete_options(bytes)?;
        let mut response = match delete::delete(self.cluster, kind, &self.key(), &options)? {
            Deleted::Gone(object) if !delete::is_returned(kind) => {
                let status = error::deleted_status(kind, self.name(), object::uid(&object.json));
                respond::json(StatusCode::OK, &status)
            }
            Deleted::Gone(object) | Deleted::Pending(object) => {
                respond::one(StatusCode::OK, kind, &object, self.form()?, self.params.include()?)
            }
        };
        respond::add_warnings(&mut response, delete::warning(kind, &options).as_slice());
        Ok(response)
    }

    fn delete_collection(&self, bytes: &[u8]) -> Result<Response, ApiError> {
        let kind = &self.target.kind;
        let options = self.delete_options(bytes)?;
        let list::Page { objects, metadata } =
            list::page(self.cluster, kind, &self.params.list(&self.target)?)?;
        let mut deleted = Vec::new();
        for object in objects {
            match delete::delete(self.cluster, kind, &Key::of(&object.json), &options) {
                Ok(Deleted::Gone(object) | Deleted::Pending(object)) => deleted.push(object),
                // Somebody else was faster.
                Err(error) if error.reason == "NotFound" => {}
                Err(error) => return Err(error),
            }
        }
        let objects = deleted.iter().map(|object| &**object);
        Ok(respond::list_bytes(list::render(kind, objects, &metadata, Form::Full, self.params.include()?)))
    }
}
