//! What a definition is refused for.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::columns::{columns, scale, selectable};
use super::{is_true, strings, structural, text, versions};
use crate::builtin;
use crate::error::Cause;
use crate::object::{self, Json};
use crate::validate::{SUBDOMAIN, is_label, is_subdomain};

const DNS_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                        alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or \
                        'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const ONE_STORED: &str = "must have exactly one version marked as storage version";
const SOME_STORED: &str = "must have at least one stored version";

/// What a definition that is to be stored is refused for. One whose spec is as before has passed already.
pub(crate) fn validate(definition: &Json, old: Option<&Json>) -> Vec<Cause> {
    let mut causes = Vec::new();
    if old.is_some_and(|old| old.get("spec") == definition.get("spec")) {
        return causes;
    }
    names(definition, old.is_none(), &mut causes);
    match old {
        Some(old) => immutable(definition, old, &mut causes),
        None => causes.extend(approval(definition)),
    }
    let all = versions(definition);
    for (index, version) in all.iter().enumerate() {
        check_version(version, &format!("spec.versions[{index}]"), &mut causes);
        if let Some(place) = place(all, "schema", index) {
            let schema =
                if place == "spec" { "spec.validation".to_owned() } else { format!("{place}.schema") };
            check_schema(version, &schema, &mut causes);
            // Those in another place than the schema are refused for that.
            if self::place(all, "selectableFields", index).is_some_and(|of_fields| of_fields == place) {
                selectable(version, &place, &mut causes);
            }
        }
        if let Some(place) = place(all, "subresources", index) {
            scale(version, &format!("{place}.subresources.scale"), &mut causes);
        }
        if let Some(place) = place(all, "additionalPrinterColumns", index) {
            columns(version, &place, &mut causes);
        }
    }
    shared(definition, &mut causes);
    whole(definition, &mut causes);
    causes
}

/// A cluster keeps what all versions have in common in one place for them all, and wants the selectable fields to be in
/// the same place as the schema that they are of.
fn shared(definition: &Json, causes: &mut Vec<Cause>) {
    let all = versions(definition);
    let selects =
        |version: &Value| version.get("selectableFields").is_some_and(|fields| fields != &json!([]));
    match (
        is_shared(all, "schema"),
        all.iter().all(|one| !selects(one)) || is_shared(all, "selectableFields"),
    ) {
        (false, true) if all.iter().any(selects) => {
            let why = "may only be set when validations.schema is included";
            causes.push(Cause::invalid("spec.selectableFields", &json!(""), why));
        }
        (true, false) => {
            let why = "may only be set when `version.schema.openAPIV3Schema` is not included";
            for (index, _) in all.iter().enumerate().filter(|(_, version)| selects(version)) {
                let field = format!("spec.versions[{index}].selectableFields");
                causes.push(Cause::invalid(field, &json!(""), why));
            }
        }
        _ => {}
    }
}

/// Whether all versions have the same in a field.
fn is_shared(all: &[Value], field: &str) -> bool {
    all.windows(2).all(|pair| matches!(pair, [one, other] if one.get(field) == other.get(field)))
}

/// Where a cluster keeps what a version has in a field: in one place for all if they all have the same, where it is
/// judged once.
fn place(all: &[Value], field: &str, index: usize) -> Option<String> {
    match (is_shared(all, field), index) {
        (true, 0) => Some("spec".to_owned()),
        (true, _) => None,
        (false, index) => Some(format!("spec.versions[{index}]")),
    }
}

fn names(definition: &Json, is_new: bool, causes: &mut Vec<Cause>) {
    let spec = |path: &[&str]| object::text(definition, &[&["spec"], path].concat()).to_owned();
    let (group, plural, name) = (spec(&["group"]), spec(&["names", "plural"]), object::name(definition));
    if is_new && name != format!("{plural}.{group}") {
        let why = "must be spec.names.plural+\".\"+spec.group";
        causes.push(Cause::invalid("metadata.name", &json!(name), why));
    }
    if builtin::kinds().iter().any(|kind| kind.is(&group, &plural)) {
        causes.push(Cause::invalid("metadata.name", &json!(name), "is a resource of the server itself"));
    }
    let kind = spec(&["names", "kind"]);
    for (field, value) in [
        ("spec.group", &group),
        ("spec.names.plural", &plural),
        ("spec.names.singular", &spec(&["names", "singular"])),
        ("spec.names.kind", &kind),
        ("spec.names.listKind", &spec(&["names", "listKind"])),
        ("spec.scope", &spec(&["scope"])),
    ] {
        if value.is_empty() {
            causes.push(Cause::required(field, ""));
        }
    }
    if !group.is_empty() && !is_subdomain(&group) {
        causes.push(Cause::invalid("spec.group", &json!(group), SUBDOMAIN));
    } else if !group.is_empty() && group.split('.').count() < 2 {
        causes.push(Cause::invalid("spec.group", &json!(group), "should be a domain with at least one dot"));
    }
    for (field, value) in [("plural", plural), ("singular", spec(&["names", "singular"]))] {
        if !value.is_empty() && !is_dns_1035(&value) {
            causes.push(Cause::invalid(format!("spec.names.{field}"), &json!(value), DNS_1035));
        }
    }
    for field in ["kind", "listKind"] {
        causes.extend(kind_in_other_case(&spec(&["names", field]), &format!("spec.names.{field}")));
    }
    for field in ["shortNames", "categories"] {
        for (index, name) in strings(object::at(definition, &["spec", "names", field])).iter().enumerate() {
            if !is_dns_1035(name) {
                let path = format!("spec.names.{field}[{index}]");
                causes.push(Cause::invalid(path, &json!(name), DNS_1035));
            }
        }
    }
    if !kind.is_empty() && kind == spec(&["names", "listKind"]) {
        causes.push(Cause::invalid(
            "spec.names.listKind",
            &json!(kind),
            "kind and listKind may not be the same",
        ));
    }
    let scope = spec(&["scope"]);
    if !scope.is_empty() && scope != "Cluster" && scope != "Namespaced" {
        causes.push(Cause::unsupported(
            "spec.scope",
            &json!(scope),
            &[json!("Cluster"), json!("Namespaced")],
        ));
    }
}

/// What a kind is refused for that is no name, whatever case its letters have.
pub(crate) fn kind_in_other_case(kind: &str, field: &str) -> Option<Cause> {
    let why = || format!("may have mixed case, but should otherwise match: {DNS_1035}");
    let is_fit = kind.is_empty() || is_dns_1035(&kind.to_lowercase());
    (!is_fit).then(|| Cause::invalid(field, &json!(kind), &why()))
}

/// What a definition in a group of Kubernetes' own needs.
fn approval(definition: &Json) -> Option<Cause> {
    const FIELD: &str = "metadata.annotations[api-approved.kubernetes.io]";
    let group = object::text(definition, &["spec", "group"]);
    let is_protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    let approved = object::text(definition, &["metadata", "annotations", "api-approved.kubernetes.io"]);
    let (needs, see) = (
        "protected groups must have approval annotation \"api-approved.kubernetes.io\"",
        "see https://github.com/kubernetes/enhancements/pull/1111",
    );
    let is_approval = approved.starts_with("unapproved") || approved.contains("://");
    match approved {
        _ if !is_protected => None,
        "" => Some(Cause::required(FIELD, &format!("{needs}, {see}"))),
        _ if is_approval => None,
        other => {
            let why = format!("{needs} with either a URL or a reason starting with \"unapproved\", {see}");
            Some(Cause::invalid(FIELD, &json!(other), &why))
        }
    }
}

fn is_dns_1035(text: &str) -> bool {
    is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

/// What may not change, and versions that may not go while objects may be stored in them.
fn immutable(definition: &Json, old: &Json, causes: &mut Vec<Cause>) {
    let fixed: &[&[&str]] = match super::is_established(old) {
        true => &[
            &["spec", "group"],
            &["spec", "scope"],
            &["spec", "names", "kind"],
            &["spec", "names", "plural"],
        ],
        false => &[&["spec", "group"], &["spec", "names", "plural"]],
    };
    for path in fixed {
        let (now, before) = (object::text(definition, path), object::text(old, path));
        if now != before {
            causes.push(Cause::invalid(path.join("."), &json!(now), "field is immutable"));
        }
    }
    let stored = object::at(old, &["status", "storedVersions"]).and_then(Value::as_array);
    for (index, version) in stored.into_iter().flatten().enumerate() {
        if !versions(definition).iter().any(|one| one.get("name") == Some(version)) {
            let field = format!("status.storedVersions[{index}]");
            let name = version.as_str().unwrap_or_default();
            let why = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {name} and removes {name} from \
                 status.storedVersions"
            );
            causes.push(Cause::invalid(field, version, &why));
        }
    }
}

/// What concerns the versions together.
fn whole(definition: &Json, causes: &mut Vec<Cause>) {
    if object::at(definition, &["spec", "preserveUnknownFields"]) == Some(&json!(true)) {
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
                   spec.versions[*].schema instead";
        causes.push(Cause::invalid("spec.preserveUnknownFields", &json!(true), why));
    }
    let strategy = object::text(definition, &["spec", "conversion", "strategy"]);
    match strategy {
        "None" => {}
        "Webhook" => {
            let why = "conversion webhooks are not served by the development cluster: use strategy None";
            causes.push(Cause::invalid("spec.conversion.strategy", &json!(strategy), why));
        }
        "" => causes.push(Cause::required("spec.conversion.strategy", "")),
        other => {
            let known = [json!("None"), json!("Webhook")];
            causes.push(Cause::unsupported("spec.conversion.strategy", &json!(other), &known));
        }
    }
    let versions = versions(definition);
    if versions.is_empty() {
        let given = object::at(definition, &["spec", "versions"]).cloned().unwrap_or_default();
        causes.push(Cause::invalid("spec.versions", &given, ONE_STORED));
        causes.push(Cause::invalid("status.storedVersions", &Value::Null, SOME_STORED));
        return;
    }
    let shown: Vec<&str> = versions.iter().map(|version| text(version, "name")).collect();
    let unique: BTreeSet<&&str> = shown.iter().collect();
    if unique.len() != shown.len() {
        causes.push(Cause::invalid("spec.versions", &json!(shown), "must contain unique version names"));
    }
    let stored = versions.iter().filter(|version| is_true(version, "storage")).count();
    if stored != 1 {
        causes.push(Cause::invalid("spec.versions", &json!(shown), ONE_STORED));
    }
    if stored == 0 && object::items(definition, &["status", "storedVersions"]).is_empty() {
        causes.push(Cause::invalid("status.storedVersions", &Value::Null, SOME_STORED));
    }
}

fn check_version(version: &Value, path: &str, causes: &mut Vec<Cause>) {
    let name = text(version, "name");
    if !is_dns_1035(name) {
        causes.push(Cause::invalid(format!("{path}.name"), &json!(name), DNS_1035));
        // A cluster has the name of the first once more by itself.
        if path == "spec.versions[0]" {
            causes.push(Cause::invalid("spec.version", &json!(name), DNS_1035));
        }
    }
    let warning = text(version, "deprecationWarning");
    if version.get("deprecationWarning").is_some_and(|warning| warning == "") {
        let why = "must not be an empty string";
        causes.push(Cause::invalid(format!("{path}.deprecationWarning"), &json!(warning), why));
    }
    if !warning.is_empty() && !is_true(version, "deprecated") {
        let why = "can only be set for deprecated versions";
        causes.push(Cause::invalid(format!("{path}.deprecationWarning"), &json!(warning), why));
    }
    if warning.len() > 256 {
        let why = "must be <= 256 characters long";
        causes.push(Cause::invalid(format!("{path}.deprecationWarning"), &json!(warning), why));
    }
    if schema_of(version).is_none() {
        causes.push(Cause::required(format!("{path}.schema.openAPIV3Schema"), ""));
    }
}

pub(super) fn schema_of(version: &Value) -> Option<&Value> {
    version.get("schema").and_then(|schema| schema.get("openAPIV3Schema")).filter(|schema| schema.is_object())
}

fn check_schema(version: &Value, at: &str, causes: &mut Vec<Cause>) {
    if let Some(schema) = schema_of(version) {
        structural::check(schema, &format!("{at}.openAPIV3Schema"), causes);
    }
}
