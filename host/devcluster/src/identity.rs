//! Whether a body is of the kind, name and namespace that its address says, and what it says of itself is of any use;
//! and which state it replaces.

use crate::builtin;
use crate::error::{ApiError, Cause};
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::schema::metadata;
use crate::write::Write;

/// The built-in kinds, by group, that are replaced only by who knows their version; all custom
/// resources are too.
const VERSIONED: &[(&str, &[&str])] = &[
    ("admissionregistration.k8s.io", &[]),
    ("apiextensions.k8s.io", &[]),
    ("apiregistration.k8s.io", &[]),
    ("coordination.k8s.io", &[]),
    ("flowcontrol.apiserver.k8s.io", &[]),
    ("policy", &[]),
    ("storage.k8s.io", &["CSIDriver", "CSINode", "CSIStorageCapacity", "VolumeAttachment"]),
];

impl Write {
    /// Checks that a body is of the kind and in the place that its address says, and says so in it.
    pub(crate) fn check_identity(&self, json: &mut Json) -> Result<(), ApiError> {
        let (api_version, kind) = (self.kind.api_version(), &self.kind.kind);
        for (field, expected) in [("apiVersion", api_version.as_str()), ("kind", kind.as_str())] {
            match object::text(json, &[field]) {
                "" if self.kind.is_custom() => {
                    return Err(ApiError::bad_request(format!(
                        "Object '{field}' is missing: expected {expected:?}"
                    )));
                }
                "" => {
                    json.insert(field.to_owned(), expected.into());
                }
                found if found == expected => {}
                _ if !self.kind.is_custom() => {
                    let given = |field: &str, expected: &str| match object::text(json, &[field]) {
                        "" => expected.to_owned(),
                        given => given.to_owned(),
                    };
                    let (api_version, kind) = (given("apiVersion", &api_version), given("kind", kind));
                    return Err(ApiError::bad_request(of_another_kind(&self.kind, &api_version, &kind)));
                }
                found if field == "apiVersion" => {
                    return Err(ApiError::bad_request(other_version(found, expected)));
                }
                found => {
                    let cause = Cause::invalid("kind", &found.into(), &format!("must be {expected}"));
                    return Err(ApiError::invalid(&self.kind, object::name(json), &[cause]));
                }
            }
        }
        if let Some(why) = self.kind.custom.as_ref().and_then(|_| metadata::mismatch(json)) {
            let (kind, version) = (&self.kind.kind, &self.kind.version);
            let message = format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}");
            return Err(ApiError::bad_request(message));
        }
        let (namespace, name) = (object::namespace(json), object::name(json));
        let (expected, url_name) = (&self.key.namespace, &self.key.name);
        if self.kind.namespaced && !namespace.is_empty() && namespace != expected {
            let why = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(ApiError::bad_request(why));
        }
        if !url_name.is_empty() && !name.is_empty() && name != url_name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({url_name})"
            )));
        }
        object::edit_meta(json, |meta| {
            match self.kind.namespaced {
                true => meta.insert("namespace".to_owned(), self.key.namespace.clone().into()),
                false => meta.remove("namespace"),
            };
            if !self.key.name.is_empty() {
                meta.insert("name".to_owned(), self.key.name.clone().into());
            }
        });
        Ok(())
    }

    /// What is to become of a Pod names it.
    pub(crate) fn check_subject(&self, json: &Json) -> Result<(), ApiError> {
        let kind = match self.writer.subresource.as_str() {
            "binding" => "Binding",
            "eviction" => "Eviction",
            _ => return Ok(()),
        };
        match object::name(json) == self.key.name {
            true => Ok(()),
            false => Err(ApiError::bad_request(format!("name in URL does not match name in {kind} object"))),
        }
    }

    /// A new state of an existing object names it.
    pub(crate) fn check_name(&self, json: &Json) -> Result<(), ApiError> {
        match object::name(json).is_empty() {
            true => Err(self.unnamed()),
            false => Ok(()),
        }
    }

    /// Of a body without a name that needs one.
    pub(crate) fn unnamed(&self) -> ApiError {
        ApiError::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            self.key.name
        ))
    }

    /// A new state is of the object that the client saw, at the version that it saw.
    pub(crate) fn check_origin(&self, shown: &Json, new: &Json) -> Result<(), ApiError> {
        let (kind, name) = (&self.kind, &self.key.name);
        match object::meta_text(new, "resourceVersion") {
            "" | "0" if !may_be_blind(kind) => {
                let cause = Cause {
                    reason: "FieldValueInvalid",
                    field: "metadata.resourceVersion".to_owned(),
                    message: "Invalid value: 0: must be specified for an update".to_owned(),
                };
                return Err(ApiError::invalid_resource(kind, name, &cause));
            }
            "" | "0" => {}
            asked if asked == object::meta_text(shown, "resourceVersion") => {}
            asked if asked.parse::<u64>().is_ok() => return Err(ApiError::modified(kind, name)),
            asked => {
                let why = format!("strconv.ParseUint: parsing {asked:?}: invalid syntax");
                return Err(ApiError::unclassified(why));
            }
        }
        let uid = object::uid(new);
        if !uid.is_empty() && uid != object::uid(shown) {
            let cause = Cause::invalid("metadata.uid", &uid.into(), "field is immutable");
            return Err(ApiError::invalid(kind, name, &[cause]));
        }
        Ok(())
    }

    /// Whoever replaces an object and names a uid means no other object.
    pub(crate) fn check_uid(&self, shown: &Json, new: &Json) -> Result<(), ApiError> {
        let (uid, expected) = (object::uid(new), object::uid(shown));
        if uid.is_empty() || uid == expected {
            return Ok(());
        }
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {expected}");
        Err(ApiError::conflict(&self.kind, &self.key.name, &why))
    }
}

fn other_version(found: &str, expected: &str) -> String {
    format!("the API version in the data ({found}) does not match the expected API version ({expected})")
}

/// What a cluster says of a body of another kind than the built-in one that is expected: it reads it as what it says it
/// is, if there is that, and cannot make the other one of it.
fn of_another_kind(expected: &Kind, api_version: &str, kind: &str) -> String {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let is_known = || {
        let known = builtin::kinds();
        known.iter().any(|known| known.kind == kind && known.api_version() == api_version)
    };
    if kind == expected.kind && group == expected.group && !group.is_empty() {
        return other_version(api_version, &expected.api_version());
    }
    let wanted = &expected.kind;
    let why = match is_known() {
        true => {
            let package = match expected.group.split('.').next() {
                None | Some("") => "core",
                Some(package) => package,
            };
            format!("converting ({version}.{kind}) to ({package}.{wanted}): unknown conversion")
        }
        false => format!(
            "no kind {kind:?} is registered for version {api_version:?} in scheme \
             \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\""
        ),
    };
    format!("{kind} in version {version:?} cannot be handled as a {wanted}: {why}")
}

/// Whether an object may be replaced by who does not say which version of it.
fn may_be_blind(kind: &Kind) -> bool {
    let is_versioned = |(group, kinds): &(&str, &[&str])| {
        *group == kind.group && (kinds.is_empty() || kinds.contains(&kind.kind.as_str()))
    };
    !kind.is_custom() && !VERSIONED.iter().any(is_versioned)
}
