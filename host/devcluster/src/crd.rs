//! CustomResourceDefinitions: what they are checked for, the status that they get, the kinds they make.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::error::{ApiError, Cause};
use crate::kind::{Custom, Kind, ScalePaths, resource_id};
use crate::object::{self, Json};
use crate::registry::Served;
use crate::schema::Schema;

/// Where the definitions themselves are stored.
pub(crate) const STORAGE: &str = "customresourcedefinitions.apiextensions.k8s.io";
/// Holds a definition back until its objects are gone.
pub(crate) const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

pub(crate) fn is_definition(kind: &Kind) -> bool {
    &*kind.storage == STORAGE
}

/// The storage of the objects that a definition defines.
pub(crate) fn storage_of(definition: &Json) -> crate::kind::ResourceId {
    resource_id(
        object::text(definition, &["spec", "group"]),
        object::text(definition, &["spec", "names", "plural"]),
    )
}

/// Fills in the names that a definition left out.
pub(crate) fn default(definition: &mut Json) {
    let kind = object::text(definition, &["spec", "names", "kind"]).to_owned();
    for (field, value) in [("singular", kind.to_lowercase()), ("listKind", format!("{kind}List"))] {
        if object::text(definition, &["spec", "names", field]).is_empty() {
            object::set(definition, &["spec", "names", field], value.into());
        }
    }
    if object::at(definition, &["spec", "conversion"]).is_none() {
        object::set(definition, &["spec", "conversion"], json!({ "strategy": "None" }));
    }
}

pub(crate) fn validate(kind: &Kind, definition: &Json) -> Result<(), ApiError> {
    let mut causes = Vec::new();
    let spec = |path: &[&str]| object::text(definition, &[&["spec"], path].concat()).to_owned();
    let (group, plural, name) = (spec(&["group"]), spec(&["names", "plural"]), object::name(definition));
    for (field, value) in [
        ("spec.group", &group),
        ("spec.names.plural", &plural),
        ("spec.names.kind", &spec(&["names", "kind"])),
        ("spec.scope", &spec(&["scope"])),
    ] {
        if value.is_empty() {
            causes.push(Cause::required(field, ""));
        }
    }
    let scope = spec(&["scope"]);
    if !scope.is_empty() && scope != "Cluster" && scope != "Namespaced" {
        causes.push(Cause::unsupported(
            "spec.scope",
            &json!(scope),
            &[json!("Cluster"), json!("Namespaced")],
        ));
    }
    if name != format!("{plural}.{group}") {
        let why = "must be spec.names.plural+\".\"+spec.group";
        causes.push(Cause::invalid("metadata.name", &json!(name), why));
    }
    let strategy = spec(&["conversion", "strategy"]);
    if strategy != "None" {
        let why = "conversion webhooks are not served by the development cluster: use strategy None";
        causes.push(Cause::invalid("spec.conversion.strategy", &json!(strategy), why));
    }
    let versions = versions(definition);
    if versions.is_empty() {
        causes.push(Cause::required("spec.versions", "must have at least one version"));
    }
    let stored = versions.iter().filter(|version| is_true(version, "storage")).count();
    if !versions.is_empty() && stored != 1 {
        let why = "must have exactly one version marked as storage version";
        causes.push(Cause::invalid("spec.versions", &json!(versions.len()), why));
    }
    for (index, version) in versions.iter().enumerate() {
        let schema = version.get("schema").and_then(|schema| schema.get("openAPIV3Schema"));
        if !schema.is_some_and(Value::is_object) {
            let path = format!("spec.versions[{index}].schema.openAPIV3Schema");
            causes.push(Cause::required(path, "schemas are required"));
        }
    }
    match causes.is_empty() {
        true => Ok(()),
        false => Err(ApiError::invalid(kind, name, &causes)),
    }
}

/// Sets the conditions that the real server's controllers would set a moment later.
pub(crate) fn set_status(definition: &mut Json, served: &Served) {
    let taken = name_taken(definition, served);
    let names = match object::at(definition, &["spec", "names"]) {
        Some(names) if taken.is_none() => names.clone(),
        _ => json!({ "kind": "", "plural": "" }),
    };
    let condition = |of_type: &str, ok: bool, reason: &str, message: &str| {
        let previous = object::at(definition, &["status", "conditions"]).and_then(Value::as_array);
        let previous = previous.into_iter().flatten().find(|condition| {
            condition.get("type") == Some(&json!(of_type))
                && condition.get("status") == Some(&json!(bool_text(ok)))
        });
        let since = previous.and_then(|condition| condition.get("lastTransitionTime").cloned());
        json!({ "type": of_type, "status": bool_text(ok), "reason": reason, "message": message,
            "lastTransitionTime": since.unwrap_or_else(|| object::now().into()) })
    };
    let conditions = match &taken {
        None => vec![
            condition("NamesAccepted", true, "NoConflicts", "no conflicts found"),
            condition("Established", true, "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        Some(why) => vec![
            condition("NamesAccepted", false, "NameConflict", why),
            condition("Established", false, "NotAccepted", "not all names are accepted"),
        ],
    };
    let mut stored: Vec<Value> = object::at(definition, &["status", "storedVersions"])
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    for version in versions(definition).iter().filter(|version| is_true(version, "storage")) {
        if let Some(name) = version.get("name").filter(|name| !stored.contains(name)) {
            stored.push(name.clone());
        }
    }
    let status = json!({ "acceptedNames": names, "conditions": conditions, "storedVersions": stored });
    definition.insert("status".to_owned(), status);
}

/// Which name of a definition something else in its group has already.
fn name_taken(definition: &Json, served: &Served) -> Option<String> {
    let group = object::text(definition, &["spec", "group"]);
    let (plural, kind) = (
        object::text(definition, &["spec", "names", "plural"]),
        object::text(definition, &["spec", "names", "kind"]),
    );
    let others = served.kinds.iter().filter(|other| other.group == group && other.plural != plural);
    others
        .into_iter()
        .find(|other| other.kind == kind)
        .map(|other| format!("{:?} is already in use", other.kind))
}

/// The kinds that an established definition serves, one per served version, preferred first.
pub(crate) fn kinds(definition: &Json) -> Vec<Kind> {
    let established =
        object::at(definition, &["status", "conditions"]).and_then(Value::as_array).is_some_and(|list| {
            list.iter().any(|c| {
                c.get("type") == Some(&json!("Established")) && c.get("status") == Some(&json!("True"))
            })
        });
    if !established {
        return Vec::new();
    }
    let mut served: Vec<&Value> =
        versions(definition).iter().filter(|version| is_true(version, "served")).collect();
    served.sort_by_key(|version| std::cmp::Reverse(version_priority(text(version, "name"))));
    served.into_iter().map(|version| kind(definition, version)).collect()
}

fn kind(definition: &Json, version: &Value) -> Kind {
    let name = |field: &str| object::text(definition, &["spec", "names", field]).to_owned();
    let names = |field: &str| strings(object::at(definition, &["spec", "names", field]));
    let subresource = |field: &str| version.get("subresources").and_then(|all| all.get(field));
    let schema = version.get("schema").and_then(|schema| schema.get("openAPIV3Schema")).cloned();
    let list = |field: &str| version.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let selectable = list("selectableFields");
    Kind {
        group: object::text(definition, &["spec", "group"]).to_owned(),
        version: text(version, "name").to_owned(),
        kind: name("kind"),
        list_kind: name("listKind"),
        plural: name("plural"),
        singular: name("singular"),
        short_names: names("shortNames"),
        categories: names("categories"),
        namespaced: object::text(definition, &["spec", "scope"]) == "Namespaced",
        storage: storage_of(definition),
        has_status: subresource("status").is_some(),
        has_generation: true,
        scale: subresource("scale").map(scale_paths),
        extra: &[],
        is_virtual: false,
        custom: Some(Custom {
            schema: schema.map(|schema| Arc::new(Schema::new(schema))),
            columns: list("additionalPrinterColumns"),
            selectable: selectable.iter().map(|field| text(field, "jsonPath").to_owned()).collect(),
            terminating: object::is_deleting(definition),
        }),
    }
}

fn scale_paths(scale: &Value) -> ScalePaths {
    let path = |field: &str| -> Vec<String> {
        text(scale, field).split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let selector = path("labelSelectorPath");
    ScalePaths {
        spec: path("specReplicasPath"),
        status: path("statusReplicasPath"),
        selector: (!selector.is_empty()).then_some(selector),
    }
}

/// Sorts versions as Kubernetes does: v2 before v1, v1 before v1beta2, before v1alpha1, before others.
pub(crate) fn version_priority(version: &str) -> (u8, u64, u64) {
    let parsed = version.strip_prefix('v').and_then(|rest| {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (major, stage) = rest.split_at_checked(digits)?;
        let major = major.parse().ok()?;
        let (rank, minor) = match (stage.strip_prefix("beta"), stage.strip_prefix("alpha")) {
            _ if stage.is_empty() => return Some((3, major, 0)),
            (Some(minor), _) => (2, minor),
            (_, Some(minor)) => (1, minor),
            _ => return None,
        };
        Some((rank, major, minor.parse().ok()?))
    });
    parsed.unwrap_or((0, 0, 0))
}

fn versions(definition: &Json) -> &[Value] {
    object::at(definition, &["spec", "versions"])
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn bool_text(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

fn is_true(value: &Value, field: &str) -> bool {
    value.get(field).and_then(Value::as_bool).unwrap_or(false)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::version_priority;

    #[test]
    fn stable_versions_come_before_beta_before_alpha_before_others() {
        let mut versions = ["v1alpha1", "foo", "v1", "v2beta1", "v10", "v1beta2", "v2"];
        versions.sort_by_key(|version| std::cmp::Reverse(version_priority(version)));
        assert_eq!(versions, ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1alpha1", "foo"]);
    }
}
