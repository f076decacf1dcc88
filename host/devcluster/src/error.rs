//! Every way in which a request fails, and the `Status` body that says so.
//!
//! Follows the messages and reasons of apimachinery's `api/errors`, since clients match on them.

use serde_json::{Value, json};

pub(crate) use crate::cause::Cause;
use crate::kind::{Kind, resource_id};
use crate::object::Json;

/// A failed request: what goes into the `Status` body.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) details: Option<Value>,
    /// Where a list goes on that expired.
    pub(crate) continue_token: Option<String>,
    /// What the client is to be told besides.
    pub(crate) warnings: Box<[String]>,
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
            continue_token: None,
            warnings: Box::default(),
        }
    }

    /// With what the client is to be told besides, before what there is to tell already.
    pub(crate) fn warned(mut self, mut warnings: Vec<String>) -> Self {
        warnings.extend(std::mem::take(&mut self.warnings));
        self.warnings = warnings.into();
        self
    }

    fn about(mut self, kind: &Kind, name: &str) -> Self {
        self.details = Some(with_group(json!({ "name": name, "kind": kind.plural }), kind));
        self
    }

    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", kind.qualified());
        Self::new(404, "NotFound", message).about(kind, name)
    }

    pub(crate) fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    pub(crate) fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", kind.qualified());
        Self::new(409, "AlreadyExists", message).about(kind, name)
    }

    /// The one that has the name is on its way out.
    pub(crate) fn exists_still(kind: &Kind, name: &str) -> Self {
        let mut error = Self::already_exists(kind, name);
        error.message = format!("object is being deleted: {}", error.message);
        error
    }

    pub(crate) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.qualified());
        Self::new(409, "Conflict", message).about(kind, name)
    }

    /// A deletion was asked for of another object, or another version of it; this is told of by its kind.
    pub(crate) fn precondition(kind: &Kind, name: &str, why: &str) -> Self {
        let message = match kind.group.as_str() {
            "" => format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.kind),
            group => format!("Operation cannot be fulfilled on {}.{group} \"{name}\": {why}", kind.kind),
        };
        let mut error = Self::new(409, "Conflict", message);
        error.details = Some(with_group(json!({ "name": name, "kind": kind.kind }), kind));
        error
    }

    pub(crate) fn modified(kind: &Kind, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, name, why)
    }

    /// Server-side apply met fields of other managers; each cause is one field.
    pub(crate) fn apply_conflict(message: String, causes: &[Cause]) -> Self {
        let mut error = Self::new(409, "Conflict", message);
        error.details = Some(json!({ "causes": causes_json(causes) }));
        error
    }

    pub(crate) fn invalid(kind: &Kind, name: &str, causes: &[Cause]) -> Self {
        Self::invalid_of(&kind.group, &kind.kind, name, causes)
    }

    /// What is invalid need not be the object that was asked for.
    pub(crate) fn invalid_of(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let lines: Vec<String> = causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        let why = match lines.as_slice() {
            [only] => only.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let qualified = match group {
            "" => kind.to_owned(),
            group => format!("{kind}.{group}"),
        };
        let mut error = Self::new(422, "Invalid", format!("{qualified} \"{name}\" is invalid: {why}"));
        let mut details = Json::from_iter([("causes".to_owned(), causes_json(causes))]);
        for (field, text) in [("name", name), ("group", group), ("kind", kind)] {
            if !text.is_empty() {
                details.insert(field.to_owned(), text.into());
            }
        }
        error.details = Some(Value::Object(details));
        error
    }

    /// As the real server refuses an update before it looks at the object: the kind is the resource's name.
    pub(crate) fn invalid_resource(kind: &Kind, name: &str, cause: &Cause) -> Self {
        let message =
            format!("{} \"{name}\" is invalid: {}: {}", kind.qualified(), cause.field, cause.message);
        let mut error = Self::new(422, "Invalid", message).about(kind, name);
        if let Some(details) = error.details.as_mut().and_then(Value::as_object_mut) {
            details.insert("causes".into(), causes_json(std::slice::from_ref(cause)));
        }
        error
    }

    /// A patch leaves no object of its kind.
    pub(crate) fn invalid_patch(cause: &Cause) -> Self {
        let message = format!(" \"\" is invalid: {}: {}", cause.field, cause.message);
        let mut error = Self::new(422, "Invalid", message);
        error.details = Some(json!({ "causes": causes_json(std::slice::from_ref(cause)) }));
        error
    }

    /// The options of a request, rather than an object, are invalid.
    pub(crate) fn invalid_options(options: &str, causes: &[Cause]) -> Self {
        Self::invalid_body("meta.k8s.io", options, causes)
    }

    /// What was sent is invalid, and is no object of a served kind.
    pub(crate) fn invalid_body(group: &str, kind: &str, causes: &[Cause]) -> Self {
        let lines: Vec<String> = causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        let why = match lines.as_slice() {
            [only] => only.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let mut error = Self::new(422, "Invalid", format!("{kind}.{group} \"\" is invalid: {why}"));
        error.details = Some(json!({ "group": group, "kind": kind, "causes": causes_json(causes) }));
        error
    }

    /// A failure that the real server gives no reason for.
    pub(crate) fn unclassified(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn forbidden(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("{} \"{name}\" is forbidden: {why}", kind.qualified());
        Self::new(403, "Forbidden", message).about(kind, name)
    }

    /// A request that its sender may not make. What it is about need not be there, nor even be served.
    pub(crate) fn forbidden_request(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let qualified = resource_id(group, resource);
        let message = match (resource, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{qualified} is forbidden: {why}"),
            _ => format!("{qualified} \"{name}\" is forbidden: {why}"),
        };
        let mut details = Json::new();
        for (field, text) in [("name", name), ("group", group), ("kind", resource)] {
            if !text.is_empty() {
                details.insert(field.to_owned(), text.into());
            }
        }
        let mut error = Self::new(403, "Forbidden", message);
        error.details = Some(Value::Object(details));
        error
    }

    /// A request with a token that is nobody's.
    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// A create in a namespace that is going away; clients look for the cause.
    pub(crate) fn namespace_terminating(kind: &Kind, name: &str, namespace: &str) -> Self {
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut error = Self::forbidden(kind, name, &why);
        let cause = json!([{ "reason": "NamespaceTerminating", "field": "metadata.namespace",
            "message": format!("namespace {namespace} is being terminated") }]);
        if let Some(details) = error.details.as_mut().and_then(Value::as_object_mut) {
            details.insert("causes".into(), cause);
        }
        error
    }

    /// Whether this is about a namespace that is going away.
    pub(crate) fn is_of_ending_namespace(&self) -> bool {
        let reason = self.details.as_ref().and_then(|details| details.pointer("/causes/0/reason"));
        reason.is_some_and(|reason| reason == "NamespaceTerminating")
    }

    pub(crate) fn method_not_allowed(what: &str) -> Self {
        Self::new(405, "MethodNotAllowed", format!("the server does not allow this method on {what}"))
    }

    pub(crate) fn definition_terminating(kind: &Kind, name: &str) -> Self {
        Self::forbidden(kind, name, "create not allowed while custom resource definition is terminating")
    }

    pub(crate) fn unknown_representation() -> Self {
        let available = "application/json, application/yaml";
        Self::new(
            406,
            "NotAcceptable",
            format!("406: Not Acceptable\n\nAvailable representations: {available}"),
        )
    }

    pub(crate) fn not_acceptable() -> Self {
        Self::new(
            406,
            "NotAcceptable",
            "only the following media types are accepted: application/json, application/yaml",
        )
    }

    pub(crate) fn unsupported_media_type(given: &str, accepted: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted} (got {given:?})"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    pub(crate) fn too_large(why: &str) -> Self {
        Self::new(413, "RequestEntityTooLarge", format!("Request entity too large: {why}"))
    }

    /// What is understood and cannot be done, in the words that the real server has for whatever it has no others for.
    pub(crate) fn unprocessable() -> Self {
        let message = "the server rejected our request due to an error in our request";
        Self { details: Some(json!({})), ..Self::new(422, "Invalid", message) }
    }

    /// The version that a list or watch asked for is no longer known.
    pub(crate) fn expired(asked: u64, oldest: u64) -> Self {
        Self::new(410, "Expired", format!("too old resource version: {asked} ({oldest})"))
    }

    /// The version that a list is to be of exactly is no longer known.
    pub(crate) fn list_expired() -> Self {
        Self::new(410, "Expired", "The resourceVersion for the provided list is too old.")
    }

    /// A list cannot go on as of its version; with this token it can as of now.
    pub(crate) fn continue_expired(token: String) -> Self {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start \
                       a new list without the continue parameter, or use the continue token in this response to \
                       retrieve the remainder of the results. Continuing with the provided token results in an \
                       inconsistent list - objects that were created, modified, or deleted between the time the \
                       first chunk was returned and now may show up in the list.";
        Self { continue_token: Some(token), ..Self::new(410, "Expired", message) }
    }

    /// The version that a list asked for has not happened yet.
    pub(crate) fn version_too_large(asked: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let mut error = Self::new(504, "Timeout", message);
        error.details = Some(json!({ "retryAfterSeconds": 1, "causes": [
            { "reason": "ResourceVersionTooLarge", "message": "Too large resource version" }] }));
        error
    }

    pub(crate) fn too_many_conflicts(kind: &Kind, name: &str) -> Self {
        Self::conflict(kind, name, "too many concurrent writers; try again")
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "InternalError", format!("Internal error occurred: {}", message.into()))
    }

    /// The `Status` object of this failure.
    pub(crate) fn status(&self) -> Json {
        let mut status = Json::new();
        status.insert("kind".into(), "Status".into());
        status.insert("apiVersion".into(), "v1".into());
        let metadata = match &self.continue_token {
            Some(token) => json!({ "continue": token }),
            None => json!({}),
        };
        status.insert("metadata".into(), metadata);
        status.insert("status".into(), "Failure".into());
        status.insert("message".into(), self.message.clone().into());
        if !self.reason.is_empty() {
            status.insert("reason".into(), self.reason.into());
        }
        if let Some(details) = &self.details {
            status.insert("details".into(), details.clone());
        }
        status.insert("code".into(), self.code.into());
        status
    }
}

/// The `Status` object of a deletion that is complete.
pub(crate) fn deleted_status(kind: &Kind, name: &str, uid: &str) -> Json {
    let details = with_group(json!({ "name": name, "kind": kind.plural, "uid": uid }), kind);
    let mut status = Json::new();
    status.insert("kind".into(), "Status".into());
    status.insert("apiVersion".into(), "v1".into());
    status.insert("metadata".into(), json!({}));
    status.insert("status".into(), "Success".into());
    status.insert("details".into(), details);
    status
}

fn with_group(mut details: Value, kind: &Kind) -> Value {
    if let (false, Some(map)) = (kind.group.is_empty(), details.as_object_mut()) {
        map.insert("group".into(), kind.group.clone().into());
    }
    details
}

fn causes_json(causes: &[Cause]) -> Value {
    causes.iter().map(|c| json!({ "reason": c.reason, "message": c.message, "field": c.field })).collect()
}
