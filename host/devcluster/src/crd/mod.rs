//! CustomResourceDefinitions: what they are checked for, the status that they get, the kinds they make.

mod columns;
mod formats;
mod names;
mod structural;
mod structural_lists;
mod validate;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::kind::{Custom, Kind, ScalePaths, resource_id};
use crate::object::{self, Json};
use crate::registry::Served;
use crate::schema::{Schema, is_true, text};

pub(crate) use formats::warnings;
pub(crate) use names::{has_begun_to_go, is_accepted, set_status, set_terminating};
pub(crate) use validate::{kind_in_other_case, validate};

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
        if !kind.is_empty() && object::text(definition, &["spec", "names", field]).is_empty() {
            object::set(definition, &["spec", "names", field], value.into());
        }
    }
    if object::at(definition, &["spec", "conversion"]).is_none() {
        object::set(definition, &["spec", "conversion"], json!({ "strategy": "None" }));
    }
}

/// Whether the objects of a definition are served at all.
pub(crate) fn is_established(definition: &Json) -> bool {
    object::has_condition(definition, "Established")
}

/// The kinds that an established definition serves, one per served version, preferred first.
/// Schemas that have not changed are taken from those served before.
pub(crate) fn kinds(definition: &Json, before: &Served) -> Vec<Kind> {
    if !is_established(definition) {
        return Vec::new();
    }
    let mut served: Vec<&Value> =
        versions(definition).iter().filter(|version| is_true(version, "served")).collect();
    served.sort_by_key(|version| std::cmp::Reverse(version_priority(text(version, "name"))));
    served.into_iter().map(|version| kind(definition, version, before)).collect()
}

/// The kind of the objects of an established definition that serves no version: that which they are stored in.
pub(crate) fn unserved_kind(definition: &Json, before: &Served) -> Option<Kind> {
    let versions = versions(definition);
    if !is_established(definition) || versions.iter().any(|version| is_true(version, "served")) {
        return None;
    }
    let stored = versions.iter().find(|version| is_true(version, "storage"))?;
    Some(kind(definition, stored, before))
}

/// Counts the specifications that a definition has had.
fn specifications(definition: &Json) -> u64 {
    object::meta(definition, "generation").and_then(Value::as_u64).unwrap_or_default()
}

fn kind(definition: &Json, version: &Value, before: &Served) -> Kind {
    let name = |field: &str| object::text(definition, &["status", "acceptedNames", field]).to_owned();
    let names = |field: &str| strings(object::at(definition, &["status", "acceptedNames", field]));
    let subresource = |field: &str| version.get("subresources").and_then(|all| all.get(field));
    let list = |field: &str| version.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let selectable = list("selectableFields");
    let (group, version_name) = (object::text(definition, &["spec", "group"]), text(version, "name"));
    let plural = name("plural");
    let schema_of = |version: &Value| {
        let schema = version.get("schema")?.get("openAPIV3Schema")?;
        let previous = before.find(group, text(version, "name"), &plural);
        let previous = previous.and_then(|kind| kind.custom.as_ref()?.schema.clone());
        let same = previous.filter(|previous| previous.json() == schema);
        Some(same.unwrap_or_else(|| Arc::new(Schema::new(schema.clone()))))
    };
    let schema = schema_of(version);
    let stored = versions(definition).iter().find(|version| is_true(version, "storage"));
    let stored = stored.filter(|stored| text(stored, "name") != version_name).and_then(schema_of);
    Kind {
        group: group.to_owned(),
        version: version_name.to_owned(),
        kind: name("kind"),
        list_kind: name("listKind"),
        plural,
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
            schema,
            stored,
            generation: specifications(definition),
            columns: list("additionalPrinterColumns"),
            selectable: selectable.iter().map(|field| text(field, "jsonPath").to_owned()).collect(),
            terminating: object::is_deleting(definition),
            deprecation: is_true(version, "deprecated").then(|| {
                let usual = || {
                    let kind = name("kind");
                    let instead = successor(definition, version_name)
                        .map(|other| format!("; use {group}/{other} {kind}"))
                        .unwrap_or_default();
                    format!("{group}/{version_name} {kind} is deprecated{instead}")
                };
                let own = version.get("deprecationWarning").and_then(Value::as_str);
                own.map_or_else(usual, str::to_owned)
            }),
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

/// The version to use instead of a deprecated one: the first of those that come before it and are not.
fn successor<'a>(definition: &'a Json, deprecated: &str) -> Option<&'a str> {
    let is_fit = |version: &&Value| is_true(version, "served") && !is_true(version, "deprecated");
    let others = versions(definition).iter().filter(is_fit).map(|version| text(version, "name"));
    let first = others.max_by_key(|name| version_priority(name))?;
    (version_priority(first) > version_priority(deprecated)).then_some(first)
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

fn strings(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{kinds, version_priority};
    use crate::registry::Registry;

    #[test]
    fn the_objects_of_a_definition_that_goes_look_as_they_did() {
        let shown = |generation: u64, more: serde_json::Value| {
            let mut definition = json!({ "metadata": { "name": "as.example.com", "generation": generation },
                "spec": { "group": "example.com", "versions": [{ "name": "v1", "served": true }] },
                "status": { "acceptedNames": { "plural": "as", "kind": "A" },
                    "conditions": [{ "type": "Established", "status": "True" }] } });
            definition["metadata"]["deletionTimestamp"] = more;
            kinds(definition.as_object().unwrap(), &Registry::new().served()).remove(0)
        };
        let (there, going) = (shown(1, json!(null)), shown(1, json!("2024-01-01T00:00:00Z")));
        assert!(going.shows_as(&there));
        assert!(!shown(2, json!("2024-01-01T00:00:00Z")).shows_as(&there));
        assert!(!shown(2, json!(null)).shows_as(&there));
    }

    #[test]
    fn stable_versions_come_before_beta_before_alpha_before_others() {
        let mut versions = ["v1alpha1", "foo", "v1", "v2beta1", "v10", "v1beta2", "v2"];
        versions.sort_by_key(|version| std::cmp::Reverse(version_priority(version)));
        assert_eq!(versions, ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1alpha1", "foo"]);
    }
}
