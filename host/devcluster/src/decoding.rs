//! Decodes what a client wrote of a built-in kind, or made of a custom resource by a patch, and tells what does not fit as
//! each way of writing tells it.
//!
//! Follows `fieldValidation` of the API reference: unknown fields are dropped in any case, and refused, warned of or
//! passed over.

use serde_json::Value;

use crate::defaults;
use crate::error::{ApiError, Cause};
use crate::go;
use crate::kind::Kind;
use crate::object::Json;
use crate::owners;
use crate::strict::StrictErrors;
use crate::types::{self, Findings, Mismatch};
use crate::write::{FieldValidation, Write};

/// How a new state of an object came to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    /// A client sent the whole object.
    Body,
    /// A JSON patch or a JSON merge patch, in which these fields come twice.
    JsonPatch(&'a [String]),
    /// This strategic merge patch, in which these fields come twice.
    Strategic(&'a Json, &'a [String]),
    /// Server-side apply, which has looked for unknown fields itself.
    Applied,
    /// The server itself.
    Internal,
}

impl Source<'_> {
    /// What is wrong with what was sent, before it is known what it leads to.
    fn doubled(&self) -> &[String] {
        match self {
            Self::JsonPatch(doubled) | Self::Strategic(_, doubled) => doubled,
            Self::Body | Self::Applied | Self::Internal => &[],
        }
    }

    /// Whether what was sent is read as a map, to which a number without a fraction is an integer.
    fn is_map(&self) -> bool {
        matches!(self, Self::Strategic(..) | Self::Applied)
    }
}

/// Holds an object to its kind's type; answers with warnings.
pub(crate) fn decode(write: &Write, json: &mut Json, source: Source<'_>) -> Result<Vec<String>, ApiError> {
    let findings = find(write, json, write.strict_errors(), source);
    let mut warnings = judge(write, findings, source, json)?;
    warnings.extend(owners::deduplicate(json, ""));
    Ok(warnings)
}

/// As [`decode`], for what `change` makes of the current state. What is wrong with that is nobody's fault: it was
/// stored before there was a type for it.
pub(crate) fn decode_change(
    write: &Write,
    current: &Json,
    source: Source<'_>,
    change: impl Fn(&Json) -> Result<Json, ApiError>,
) -> Result<(Json, Vec<String>), ApiError> {
    let find = |json: &mut Json, mut unknown: StrictErrors| match write.kind.schema() {
        Some(schema) => {
            schema.prune(json, &mut unknown);
            Findings { unknown, mismatch: None }
        }
        None => find(write, json, unknown, source),
    };
    let mut new = change(current)?;
    if find(&mut new, StrictErrors::default()).is_empty() && source.doubled().is_empty() {
        return Ok((new, Vec::new()));
    }
    let mut settled = current.clone();
    find(&mut settled, StrictErrors::default());
    let patched = change(&settled)?;
    let mut new = patched.clone();
    let findings = find(&mut new, write.strict_errors());
    let warnings = judge(write, findings, source, &patched)?;
    Ok((new, warnings))
}

/// What another server stored, as this one would have: an older one may have said the same in other words. What it has
/// that nobody knows stays as it is.
pub(crate) fn settled(kind: &Kind, stored: &Json) -> Option<Json> {
    let mut json = stored.clone();
    let findings = types::decode(types::of(kind)?, &mut json, StrictErrors::new(false), false);
    defaults::fill(kind, &mut json);
    (findings.is_empty() && json != *stored).then_some(json)
}

fn find(write: &Write, json: &mut Json, unknown: StrictErrors, source: Source<'_>) -> Findings {
    if write.kind.is("autoscaling", "horizontalpodautoscalers") && write.kind.version == "v1" {
        // The metrics that v1 has no field for are shown where v2 has them, and must not get lost.
        return Findings::default();
    }
    types::of(&write.kind)
        .map(|of_type| types::decode(of_type, json, unknown, source.is_map()))
        .unwrap_or_default()
}

fn judge(
    write: &Write,
    findings: Findings,
    source: Source<'_>,
    whole: &Json,
) -> Result<Vec<String>, ApiError> {
    if let Some(mismatch) = &findings.mismatch {
        return Err(refusal(write, source, whole, &problem(mismatch, source)));
    }
    if matches!(source, Source::Applied | Source::Internal) {
        return Ok(Vec::new());
    }
    let mut lines = source.doubled().to_vec();
    lines.append(&mut findings.unknown.into_lines());
    match write.validation {
        FieldValidation::Strict if !lines.is_empty() => {
            let why = format!("strict decoding error: {}", lines.join(", "));
            Err(refusal(write, source, whole, &why))
        }
        FieldValidation::Warn => Ok(lines),
        FieldValidation::Strict | FieldValidation::Ignore => Ok(Vec::new()),
    }
}

fn problem(mismatch: &Mismatch, source: Source<'_>) -> String {
    match source {
        Source::Body | Source::JsonPatch(_) | Source::Internal => mismatch.in_json(),
        Source::Strategic(..) | Source::Applied => mismatch.in_map(),
    }
}

fn refusal(write: &Write, source: Source<'_>, whole: &Json, why: &str) -> ApiError {
    let patch = |shown: String| ApiError::invalid_patch(&Cause::invalid("patch", &Value::from(shown), why));
    match source {
        Source::Body | Source::Internal => {
            let (kind, version) = (&write.kind.kind, &write.kind.version);
            ApiError::bad_request(format!(
                "{kind} in version {version:?} cannot be handled as a {kind}: {why}"
            ))
        }
        Source::JsonPatch(_) => patch(Value::Object(whole.clone()).to_string()),
        Source::Strategic(given, _) => patch(go::plain(&Value::Object(given.clone()))),
        Source::Applied => ApiError::unclassified(format!("failed to convert to unversioned: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::managed::Writer;
    use crate::object;
    use crate::store::Key;

    fn write() -> Write {
        let kind = crate::builtin::kinds().into_iter().find(|kind| kind.kind == "Deployment").unwrap();
        let writer = Writer { manager: "test".to_owned(), subresource: String::new() };
        let key = Key::new("default", "web");
        Write {
            kind: Arc::new(kind),
            key,
            writer,
            author: None,
            dry_run: false,
            validation: FieldValidation::Strict,
        }
    }

    #[test]
    fn what_an_older_server_stored_is_settled_once_unless_there_is_more_to_it() {
        let deployment = |spec: Value| {
            let json = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" }, "spec": {
                "template": { "spec": spec } } });
            json.as_object().cloned().unwrap()
        };
        let limits = |memory: &str| json!([{ "name": "a", "image": "a:1", "resources": { "limits": { "memory": memory } } }]);
        let kind = write().kind;
        let old = deployment(json!({ "hostNetwork": false, "volumes": [], "containers": limits("1024Mi") }));
        let settled = super::settled(&kind, &old).unwrap();
        assert_eq!(
            Some(&settled),
            super::settled(&kind, &deployment(json!({ "containers": limits("1Gi") }))).as_ref()
        );
        assert_eq!(super::settled(&kind, &settled), None, "nothing is left to do");
        let unknown = deployment(json!({ "hostNetwork": false, "containers": limits("1Gi"), "odd": 1 }));
        assert_eq!(super::settled(&kind, &unknown), None);
    }

    #[test]
    fn what_was_stored_before_there_were_types_is_nobody_s_fault() {
        let stored = json!({ "spec": { "replicas": "three", "replcias": 3, "paused": true } });
        let label = |current: &Json| {
            let mut new = current.clone();
            object::set(&mut new, &["metadata", "labels", "a"], json!("b"));
            Ok(new)
        };
        let source = Source::JsonPatch(&[]);
        let (new, warnings) = decode_change(&write(), stored.as_object().unwrap(), source, label).unwrap();
        let template = json!({ "metadata": {}, "spec": { "containers": null } });
        let expected = json!({ "metadata": { "labels": { "a": "b" } }, "status": {},
            "spec": { "paused": true, "strategy": {}, "template": template } });
        assert_eq!((Value::Object(new), warnings.len()), (expected, 0));
        let misspelt = |current: &Json| {
            let mut new = current.clone();
            object::set(&mut new, &["spec", "replcias"], json!(4));
            Ok(new)
        };
        let error = decode_change(&write(), stored.as_object().unwrap(), source, misspelt).unwrap_err();
        assert!(error.message.ends_with("strict decoding error: unknown field \"spec.replcias\""), "{error}");
    }
}
