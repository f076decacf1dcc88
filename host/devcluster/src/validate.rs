//! The rules for names, labels and the rest of the metadata, with the causes that a client is told.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::error::Cause;
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::{collector, emptying};

pub(crate) const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
                         '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
                         validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
pub(crate) const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                     start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for \
                     validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
                         with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
                         validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const TWO_SLASHES: &str = "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and \
                           end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used \
                           for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain \
                           prefix and '/' (e.g. 'example.com/MyName')";
const PREFIX: &str = "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' \
                      or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
                      validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
                           '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  \
                           or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// The names of its Jobs add the time to a CronJob's.
const LONGEST_CRON_JOB: usize = 52;

/// What the metadata of an object that is to be stored is refused for.
///
/// One that is stored already keeps the name that it has.
pub(crate) fn metadata(kind: &Kind, json: &Json, is_new: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    if is_new {
        names(kind, json, &mut causes);
    }
    if let Some(generation) = object::meta(json, "generation").filter(|found| found.as_i64() < Some(0)) {
        causes.push(Cause::invalid("metadata.generation", generation, "must be greater than or equal to 0"));
    }
    let namespace = object::namespace(json);
    if !namespace.is_empty() && !is_label(namespace) {
        causes.push(Cause::invalid("metadata.namespace", &json!(namespace), LABEL));
    }
    labels(json, &mut causes);
    annotations(json, &mut causes);
    finalizers(kind, json, &mut causes);
    owner_references(json, &mut causes);
    causes
}

fn names(kind: &Kind, json: &Json, causes: &mut Vec<Cause>) {
    let (name, prefix) = (object::name(json), object::meta_text(json, "generateName"));
    // What follows a last dash may make a name of it.
    let completed = match prefix.strip_suffix('-').and_then(|begin| begin.get(..begin.len().checked_sub(1)?))
    {
        Some(begin) => format!("{begin}a"),
        None => prefix.to_owned(),
    };
    for problem in name_problems(kind, &completed).into_iter().filter(|_| !prefix.is_empty()) {
        causes.push(Cause::invalid("metadata.generateName", &json!(prefix), problem));
    }
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
    } else {
        let problems = name_problems(kind, name).into_iter();
        causes.extend(problems.map(|problem| Cause::invalid("metadata.name", &json!(name), problem)));
        if kind.is("batch", "cronjobs") && name.len() > LONGEST_CRON_JOB {
            let why = "must be no more than 52 characters";
            causes.push(Cause::invalid("metadata.name", &json!(name), why));
        }
    }
}

/// Checks the metadata of an object within an object, which need not have a name.
pub(crate) fn embedded_metadata(json: &Json) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = object::name(json);
    if name == "." || name == ".." || name.contains(['/', '%']) {
        let why = "may not be '.' or '..' and may not contain '/' or '%'";
        causes.push(Cause::invalid("metadata.name", &json!(name), why));
    }
    labels(json, &mut causes);
    annotations(json, &mut causes);
    causes
}

fn labels(json: &Json, causes: &mut Vec<Cause>) {
    for (key, value) in object::meta(json, "labels").and_then(Value::as_object).into_iter().flatten() {
        let problems = label_key_problems(key).into_iter();
        causes.extend(problems.map(|problem| Cause::invalid("metadata.labels", &json!(key), problem)));
        match value.as_str() {
            Some(text) => {
                if let Some(problem) = label_value_problem(text) {
                    causes.push(Cause::invalid("metadata.labels", value, problem));
                }
            }
            None => causes.push(Cause::invalid("metadata.labels", value, "must be a string")),
        }
    }
}

fn annotations(json: &Json, causes: &mut Vec<Cause>) {
    let mut size = 0_usize;
    for (key, value) in object::meta(json, "annotations").and_then(Value::as_object).into_iter().flatten() {
        let problems = label_key_problems(&key.to_lowercase()).into_iter();
        causes.extend(problems.map(|problem| Cause::invalid("metadata.annotations", &json!(key), problem)));
        match value.as_str() {
            Some(text) => size = size.saturating_add(key.len()).saturating_add(text.len()),
            None => causes.push(Cause::invalid("metadata.annotations", value, "must be a string")),
        }
    }
    if size > 256 * 1024 {
        let message = "Too long: may not be more than 262144 bytes".to_owned();
        causes.push(Cause { reason: "FieldValueTooLong", field: "metadata.annotations".into(), message });
    }
}

/// The finalizers that need no domain.
const STANDARD: &[&str] = &[emptying::FINALIZER, collector::FOREGROUND, collector::ORPHAN];

fn finalizers(kind: &Kind, json: &Json, causes: &mut Vec<Cause>) {
    let all: Vec<&str> = object::finalizers(json).collect();
    for finalizer in &all {
        let problems = label_key_problems(finalizer).into_iter();
        causes.extend(
            problems.map(|problem| Cause::invalid("metadata.finalizers", &json!(finalizer), problem)),
        );
    }
    if all.contains(&collector::FOREGROUND) && all.contains(&collector::ORPHAN) {
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        causes.push(Cause::invalid("metadata.finalizers", &json!(all), why));
    }
    // Whoever defines kinds, and their kinds, may have others.
    let is_free =
        kind.is_custom() || matches!(&*kind.group, "apiextensions.k8s.io" | "apiregistration.k8s.io");
    for (index, finalizer) in all.iter().enumerate().filter(|_| !is_free) {
        if !finalizer.contains('/') && !STANDARD.contains(finalizer) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            causes.push(Cause::invalid(format!("metadata.finalizers[{index}]"), &json!(finalizer), why));
        }
    }
}

/// What is to be told of the finalizers of a custom resource that it did not have before.
pub(crate) fn finalizer_warnings(json: &Json, old: Option<&Json>) -> Vec<String> {
    let had =
        |finalizer: &str| old.is_some_and(|old| object::finalizers(old).any(|other| other == finalizer));
    let is_loose =
        |finalizer: &&str| !finalizer.contains('/') && !STANDARD.contains(finalizer) && !had(finalizer);
    let warning = |finalizer: &str| {
        let path = if finalizer.contains('.') { " including a path (/)" } else { "" };
        format!(
            "metadata.finalizers: {finalizer:?}: prefer a domain-qualified finalizer name{path} to avoid accidental \
             conflicts with other finalizer writers"
        )
    };
    let loose: BTreeSet<&str> = object::finalizers(json).filter(is_loose).collect();
    loose.into_iter().map(warning).collect()
}

fn owner_references(json: &Json, causes: &mut Vec<Cause>) {
    let owners = object::meta(json, "ownerReferences").and_then(Value::as_array).into_iter().flatten();
    let mut controller: Option<String> = None;
    for owner in owners {
        let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
        let api_version = text("apiVersion");
        let version = api_version.split_once('/').map_or(api_version, |(_, version)| version);
        if version.is_empty() || version.contains('/') {
            let why = "version must not be empty";
            causes.push(Cause::invalid("metadata.ownerReferences.apiVersion", &json!(api_version), why));
        }
        for field in ["kind", "name", "uid"].into_iter().filter(|field| text(field).is_empty()) {
            let why = "must not be empty";
            causes.push(Cause::invalid(format!("metadata.ownerReferences.{field}"), &json!(""), why));
        }
        if text("apiVersion") == "v1" && text("kind") == "Event" {
            let why = "/v1, Kind=Event is disallowed from being an owner";
            causes.push(Cause::invalid("metadata.ownerReferences", owner, why));
        }
        if !owner.get("controller").and_then(Value::as_bool).unwrap_or(false) {
            continue;
        }
        let current = format!("{}/{}", text("kind"), text("name"));
        match &controller {
            None => controller = Some(current),
            Some(first) => {
                let all = object::meta(json, "ownerReferences").unwrap_or(&Value::Null);
                let why = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and \
                     {current}"
                );
                causes.push(Cause::invalid("metadata.ownerReferences", all, &why));
            }
        }
    }
}

/// What is wrong with an object's name.
fn name_problems(kind: &Kind, name: &str) -> Vec<&'static str> {
    let is_path_segment = kind.group == "rbac.authorization.k8s.io"
        || kind.kind == "Event"
        || kind.is("policy", "poddisruptionbudgets")
        || kind.is("certificates.k8s.io", "certificatesigningrequests");
    if is_path_segment {
        return segment_problems(name);
    }
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "namespaces" | "services") | ("apps", "statefulsets") => dns_label_problems(name),
        _ => subdomain_problems(name),
    }
}

/// What is wrong with a label of DNS.
pub(crate) fn dns_label_problems(text: &str) -> Vec<&'static str> {
    let mut problems = Vec::new();
    if text.len() > 63 {
        problems.push("must be no more than 63 characters");
    }
    if text.contains('.') && text.split('.').all(is_part) {
        problems.push("must not contain dots");
    } else if !is_part(text) {
        problems.push(LABEL);
    }
    problems
}

/// What is wrong with a name of DNS.
pub(crate) fn subdomain_problems(text: &str) -> Vec<&'static str> {
    let mut problems = Vec::new();
    if text.len() > 253 {
        problems.push("must be no more than 253 characters");
    }
    if !text.split('.').all(is_part) {
        problems.push(SUBDOMAIN);
    }
    problems
}

/// What is wrong with a name that can be any part of a path.
fn segment_problems(name: &str) -> Vec<&'static str> {
    match name {
        "." => vec!["may not be '.'"],
        ".." => vec!["may not be '..'"],
        name => [("/", "may not contain '/'"), ("%", "may not contain '%'")]
            .into_iter()
            .filter(|(text, _)| name.contains(text))
            .map(|(_, why)| why)
            .collect(),
    }
}

pub(crate) fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_part(text)
}

pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_part)
}

/// Whether the text can stand between two dots of a name, however long it is.
fn is_part(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    edge(text.chars().next())
        && edge(text.chars().last())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// What is wrong with the key of a label first of all, if anything.
pub(crate) fn label_key_problem(key: &str) -> Option<&'static str> {
    label_key_problems(key).first().copied()
}

/// What is wrong with the key of a label.
pub(crate) fn label_key_problems(key: &str) -> Vec<&'static str> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if name.contains('/') {
        return vec![TWO_SLASHES];
    }
    let mut problems = Vec::new();
    if prefix == Some("") {
        problems.push("prefix part must be non-empty");
    } else if prefix.is_some_and(|prefix| !is_subdomain(prefix)) {
        problems.push(PREFIX);
    }
    match name.len() {
        0 => problems.push("name part must be non-empty"),
        64.. => problems.push("name part must be no more than 63 bytes"),
        _ => {}
    }
    if name.is_empty() || !is_word(name) {
        problems.push(QUALIFIED);
    }
    problems
}

/// What is wrong with the value of a label, if anything.
pub(crate) fn label_value_problem(value: &str) -> Option<&'static str> {
    match value.len() {
        64.. => Some("must be no more than 63 bytes"),
        _ => (!is_word(value)).then_some(LABEL_VALUE),
    }
}

fn is_word(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    edge(text.chars().next())
        && edge(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_and_keys_follow_the_rfc_1123_rules() {
        assert!(is_subdomain("a.b-c.9"));
        for bad in ["", "A", "-a", "a-", "a..b", ".a", "a_b", "ä"] {
            assert!(!is_subdomain(bad), "{bad}");
        }
        assert!(is_label("web-1") && !is_label("web.1") && !is_label(&"a".repeat(64)));
        assert!(label_key_problems("app.kubernetes.io/name").is_empty());
        assert!(label_key_problems("Upper_ok").is_empty());
        for bad in ["", "/x", "a/", "A/x", "a/b/c", "-a"] {
            assert!(!label_key_problems(bad).is_empty(), "{bad}");
        }
        assert!(label_value_problem("").is_none() && label_value_problem("v 1").is_some());
    }
}
