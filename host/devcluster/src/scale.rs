//! The `scale` subresource: the replica counts of any scalable kind in one shape.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::error::{ApiError, Cause};
use crate::kind::{Kind, ScalePaths};
use crate::object::{self, Json};
use crate::operations::Operations;
use crate::schema::Covers;
use crate::selector::LabelSelector;
use crate::write::{self, Write, Written};
use crate::{delete, go, patch};

/// The Scale of an object.
pub(crate) fn of(paths: &ScalePaths, json: &Json) -> Json {
    let count = |path: &[String]| at(json, path).and_then(Value::as_i64).unwrap_or(0);
    let meta = |field: &str| object::meta(json, field).cloned().unwrap_or(Value::Null);
    let mut status = json!({ "replicas": count(&paths.status) });
    let selector = paths.selector.as_deref().and_then(|path| at(json, path)).map(selector_text);
    if let (Some(selector), Some(status)) = (selector, status.as_object_mut()) {
        status.insert("selector".to_owned(), selector.into());
    }
    let mut metadata = Json::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if !meta(field).is_null() {
            metadata.insert(field.to_owned(), meta(field));
        }
    }
    let mut scale = Json::new();
    scale.insert("kind".to_owned(), "Scale".into());
    scale.insert("apiVersion".to_owned(), "autoscaling/v1".into());
    scale.insert("metadata".to_owned(), Value::Object(metadata));
    // None are left out where they are wanted, and counted where they are.
    let spec = Some(count(&paths.spec)).filter(|count| *count != 0);
    scale.insert("spec".to_owned(), spec.map_or_else(|| json!({}), |count| json!({ "replicas": count })));
    scale.insert("status".to_owned(), status);
    scale
}

/// The kind that the Scales of a kind are of.
pub(crate) fn kind(of: &Kind) -> Kind {
    let (group, version) = ("autoscaling".to_owned(), "v1".to_owned());
    Kind { group, version, kind: "Scale".to_owned(), custom: None, ..of.clone() }
}

/// The Scale of an object that has a replica count, which one that may be scaled need not have.
pub(crate) fn shown(kind: &Kind, json: &Json) -> Result<Json, ApiError> {
    let paths = paths(kind)?;
    match at(json, &paths.spec) {
        Some(_) => Ok(of(paths, json)),
        None => {
            let path = format!(".{}", paths.spec.join("."));
            Err(ApiError::internal(format!("the spec replicas field {path:?} does not exist")))
        }
    }
}

/// What is wrong with the counts of a custom resource.
pub(crate) fn problems(kind: &Kind, json: &Json, covers: Covers) -> Vec<Cause> {
    let mut causes = Vec::new();
    let Some(paths) = kind.scale.as_ref().filter(|_| kind.is_custom()) else { return causes };
    let spec = Some(&paths.spec).filter(|_| covers == Covers::Object);
    for path in spec.into_iter().chain([&paths.status]) {
        let field = format!(".{}", path.join("."));
        let Some(value) = at(json, path) else { continue };
        match value.as_i64() {
            Some(count) if count < 0 => {
                causes.push(Cause::invalid(field, value, "should be a non-negative integer"));
            }
            Some(count) if count > i64::from(i32::MAX) => {
                let why = format!("should be less than or equal to {}", i32::MAX);
                causes.push(Cause::invalid(field, value, &why));
            }
            Some(_) => {}
            None => {
                let why = format!(
                    "{field} accessor error: {} is of the type {}, expected int64",
                    go::plain(value),
                    go::type_of(value)
                );
                causes.push(Cause::invalid(field, &json!(0), &why));
            }
        }
    }
    causes
}

/// Replaces the Scale of an object by a whole one.
pub(crate) fn replace(
    cluster: &Cluster,
    write: &Write,
    paths: &ScalePaths,
    scale: &Json,
) -> Result<Written, ApiError> {
    write.check_name(scale)?;
    change(cluster, write, paths, |_| Ok(scale.clone()))
}

/// A Scale is of the kind and the name that its address says.
fn check_identity(write: &Write, scale: &Json) -> Result<(), ApiError> {
    for (field, expected) in [("apiVersion", "autoscaling/v1"), ("kind", "Scale")] {
        let found = object::text(scale, &[field]);
        if !found.is_empty() && found != expected {
            return Err(ApiError::bad_request(format!(
                "the {field} in the data ({found}) does not match the expected {field} ({expected})"
            )));
        }
    }
    let (name, expected) = (object::name(scale), &write.key.name);
    match name.is_empty() || name == expected {
        true => Ok(()),
        false => Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({expected})"
        ))),
    }
}

/// Writes an object's replica count as a change of its Scale; `change` gets the current Scale.
fn change(
    cluster: &Cluster,
    write: &Write,
    paths: &ScalePaths,
    change: impl Fn(&Json) -> Result<Json, ApiError>,
) -> Result<Written, ApiError> {
    write::change(cluster, write, |current| {
        let scale = change(&of(paths, current))?;
        check_identity(write, &scale)?;
        write.check_uid(current, &scale)?;
        let given = object::at(&scale, &["spec", "replicas"]).filter(|given| !given.is_null());
        let replicas = given.cloned().unwrap_or_else(|| json!(0));
        check_count(write, &replicas)?;
        let mut json = current.clone();
        let path: Vec<&str> = paths.spec.iter().map(String::as_str).collect();
        object::set(&mut json, &path, replicas);
        let version = object::meta_text(&scale, "resourceVersion");
        if !version.is_empty() {
            object::set(&mut json, &["metadata", "resourceVersion"], version.into());
        }
        Ok(json)
    })
}

/// Changes a replica count by a patch of the Scale.
pub(crate) fn patch(
    cluster: &Cluster,
    write: &Write,
    paths: &ScalePaths,
    media_type: &str,
    body: &Value,
    force: bool,
) -> Result<Written, ApiError> {
    match media_type {
        patch::APPLY => write::apply(cluster, write, applied(write, paths, body)?, force),
        patch::JSON => {
            let operations = Operations::parse(body.clone())?;
            change(cluster, write, paths, |scale| {
                let mut value = Value::Object(scale.clone());
                operations.apply(&mut value)?;
                map(value)
            })
        }
        // A Scale has no lists, so that these two mean the same.
        patch::MERGE | patch::STRATEGIC if media_type == patch::MERGE || !write.kind.is_custom() => {
            change(cluster, write, paths, |scale| {
                let mut value = Value::Object(scale.clone());
                json_patch::merge(&mut value, body);
                map(value)
            })
        }
        other => Err(patch::unsupported(&write.kind, other)),
    }
}

fn map(value: Value) -> Result<Json, ApiError> {
    value.as_object().cloned().ok_or_else(|| ApiError::bad_request("the patch leaves no Scale"))
}

/// What an applied Scale says about the object itself.
fn applied(write: &Write, paths: &ScalePaths, scale: &Value) -> Result<Json, ApiError> {
    let scale = scale.as_object().ok_or_else(|| ApiError::bad_request("the body must be an object"))?;
    if object::text(scale, &["kind"]) != "Scale" {
        return Err(ApiError::bad_request("the body must be a Scale"));
    }
    let mut json = Json::new();
    json.insert("apiVersion".to_owned(), write.kind.api_version().into());
    json.insert("kind".to_owned(), write.kind.kind.clone().into());
    for field in ["name", "namespace", "resourceVersion", "uid"] {
        if let Some(value) = object::meta(scale, field) {
            object::set(&mut json, &["metadata", field], value.clone());
        }
    }
    if let Some(replicas) = object::at(scale, &["spec", "replicas"]) {
        check_count(write, replicas)?;
        let path: Vec<&str> = paths.spec.iter().map(String::as_str).collect();
        object::set(&mut json, &path, replicas.clone());
    }
    Ok(json)
}

fn check_count(write: &Write, replicas: &Value) -> Result<(), ApiError> {
    let is_whole = replicas.as_i64().and_then(|replicas| i32::try_from(replicas).ok()).is_some();
    if !is_whole && !replicas.is_null() {
        let found = match replicas {
            Value::Number(number) => format!("number {number}"),
            other => delete::json_type(other).to_owned(),
        };
        return Err(ApiError::bad_request(format!(
            "Scale in version \"v1\" cannot be handled as a Scale: json: cannot unmarshal {found} into Go struct field \
             ScaleSpec.spec.replicas of type int32"
        )));
    }
    if replicas.as_i64().is_some_and(|replicas| replicas >= 0) {
        return Ok(());
    }
    if write.kind.is_custom() {
        let cause = Cause::invalid(".spec.replicas", replicas, "should be a non-negative integer");
        return Err(ApiError::invalid(&write.kind, &write.key.name, &[cause]));
    }
    let cause = Cause::invalid("spec.replicas", replicas, "must be greater than or equal to 0");
    Err(ApiError::invalid_of("autoscaling", "Scale", &write.key.name, &[cause]))
}

/// The scale paths of a kind, or the 404 of a kind without.
pub(crate) fn paths(kind: &Kind) -> Result<&ScalePaths, ApiError> {
    kind.scale.as_ref().ok_or_else(ApiError::no_such_path)
}

fn at<'a>(json: &'a Json, path: &[String]) -> Option<&'a Value> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    object::at(json, &path)
}

fn selector_text(selector: &Value) -> String {
    match selector {
        Value::String(text) => text.clone(),
        selector => selector.as_object().map(LabelSelector::of).unwrap_or_default().to_string(),
    }
}
