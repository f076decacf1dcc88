//! What a deletion is asked to do, in the body of the request.
//!
//! Promises: a body that is of another kind, or has a value of another type, is refused before anything is deleted.

use serde_json::Value;

use super::Propagation;
use crate::error::{ApiError, Cause};
use crate::object::{self, Json};
use crate::params;

#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    /// Seconds that a Pod may take to end.
    pub(crate) grace: Option<i64>,
    pub(crate) propagation: Option<Propagation>,
    pub(crate) dry_run: bool,
}

impl DeleteOptions {
    /// Reads a `DeleteOptions` body.
    pub(crate) fn parse(body: &Json) -> Result<Self, ApiError> {
        check_kind(body)?;
        check_types(body)?;
        let precondition = |field: &str| {
            let value = object::at(body, &["preconditions", field])?;
            value.as_str().map(str::to_owned)
        };
        let mut options = Self {
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
            ..Self::default()
        };
        options.grace = body.get("gracePeriodSeconds").and_then(Value::as_i64);
        let orphan = body.get("orphanDependents").and_then(Value::as_bool);
        let mut causes = Vec::new();
        let dry_run: Vec<&str> = object::items(body, &["dryRun"]).iter().filter_map(Value::as_str).collect();
        options.dry_run = !dry_run.is_empty();
        match policy(body.get("propagationPolicy").and_then(Value::as_str), orphan) {
            Ok(propagation) => options.propagation = propagation,
            Err(cause) => causes.push(cause),
        }
        causes.extend(params::dry_run_problem(&dry_run));
        match causes.is_empty() {
            true => Ok(options),
            false => Err(ApiError::invalid_options("DeleteOptions", &causes)),
        }
    }
}

/// Whoever says nothing of the kind means these options, in any group.
fn check_kind(body: &Json) -> Result<(), ApiError> {
    let kind = object::text(body, &["kind"]);
    if matches!(kind, "" | "DeleteOptions") {
        return Ok(());
    }
    let version = Some(object::text(body, &["apiVersion"])).filter(|version| !version.is_empty());
    let version = version.unwrap_or("meta.k8s.io/v1");
    Err(ApiError::bad_request(format!(
        "no kind {kind:?} is registered for version {version:?} in scheme \
         \"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27\""
    )))
}

/// Refuses the first value of another type, with the names that Go has for the types.
fn check_types(body: &Json) -> Result<(), ApiError> {
    let options = |field: &str| (body.get(field), format!("DeleteOptions.{field}"));
    let precondition = |field: &str| {
        (object::at(body, &["preconditions", field]), format!("Preconditions.preconditions.{field}"))
    };
    let dry_runs =
        object::items(body, &["dryRun"]).iter().map(|item| (Some(item), "DeleteOptions.dryRun".to_owned()));
    let mut fields = vec![
        (options("gracePeriodSeconds"), "int64", Value::is_i64 as fn(&Value) -> bool),
        (options("preconditions"), "v1.Preconditions", Value::is_object),
        (precondition("uid"), "types.UID", Value::is_string),
        (precondition("resourceVersion"), "string", Value::is_string),
        (options("orphanDependents"), "bool", Value::is_boolean),
        (options("propagationPolicy"), "v1.DeletionPropagation", Value::is_string),
        (options("dryRun"), "[]string", Value::is_array),
    ];
    fields.extend(dry_runs.map(|item| (item, "string", Value::is_string as fn(&Value) -> bool)));
    for ((value, field), expected, fits) in fields {
        if let Some(value) = value.filter(|value| !value.is_null() && !fits(value)) {
            let found = match value {
                Value::Number(number) if expected == "int64" => format!("number {number}"),
                other => json_type(other).to_owned(),
            };
            return Err(ApiError::bad_request(format!(
                "json: cannot unmarshal {found} into Go struct field {field} of type {expected}"
            )));
        }
    }
    Ok(())
}

/// What Go's JSON decoder calls a value.
pub(crate) fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The policy that a client asks for in one of the two ways to say it.
pub(crate) fn policy(text: Option<&str>, orphan: Option<bool>) -> Result<Option<Propagation>, Cause> {
    if let (Some(text), Some(_)) = (text, orphan) {
        let why = "orphanDependents and deletionPropagation cannot be both set";
        return Err(Cause::invalid("propagationPolicy", &text.into(), why));
    }
    match (text, orphan) {
        (Some("Background"), _) | (None, Some(false)) => Ok(Some(Propagation::Background)),
        (Some("Foreground"), _) => Ok(Some(Propagation::Foreground)),
        (Some("Orphan"), _) | (None, Some(true)) => Ok(Some(Propagation::Orphan)),
        (None, None) => Ok(None),
        (Some(other), _) => {
            let supported = ["Foreground", "Background", "Orphan", "nil"].map(Value::from);
            Err(Cause::unsupported("propagationPolicy", &other.into(), &supported))
        }
    }
}
