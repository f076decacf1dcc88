//! Label selectors in their full grammar, and the field selectors that each kind supports.

use serde_json::Value;

use crate::kind::Kind;
use crate::object::{self, Json};

/// One requirement on a label.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Requirement {
    Exists(String),
    Absent(String),
    Is(String, String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Greater(String, i64),
    Less(String, i64),
}

/// A parsed `labelSelector`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LabelSelector(pub(crate) Vec<Requirement>);

/// A parsed `fieldSelector`: path, wanted value, and whether it must be equal.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct FieldSelector(Vec<(String, String, bool)>);

/// Both selectors of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selector {
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
}

impl Selector {
    pub(crate) fn matches(&self, json: &Json) -> bool {
        self.fields.matches(json) && self.labels.matches(json)
    }

    /// The name that an object must have, if it must have one.
    pub(crate) fn name(&self) -> Option<&str> {
        let wants_name = |(path, _, equal): &&(String, String, bool)| *equal && path == "metadata.name";
        self.fields.0.iter().find(wants_name).map(|(_, name, _)| name.as_str())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.labels.0.is_empty() && self.fields.0.is_empty()
    }
}

impl LabelSelector {
    /// Parses the grammar `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`; the error says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut requirements = Vec::new();
        for part in split_top(text) {
            let part = part.trim();
            if part.is_empty() {
                if text.trim().is_empty() {
                    break;
                }
                return Err(format!("found an empty requirement in selector {text:?}"));
            }
            requirements.push(parse_requirement(part)?);
        }
        Ok(Self(requirements))
    }

    pub(crate) fn matches(&self, json: &Json) -> bool {
        let labels = object::meta(json, "labels").and_then(Value::as_object);
        let value = |key: &String| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        let number = |key: &String| value(key).and_then(|value| value.parse::<i64>().ok());
        self.0.iter().all(|requirement| match requirement {
            Requirement::Exists(key) => value(key).is_some(),
            Requirement::Absent(key) => value(key).is_none(),
            Requirement::Is(key, wanted) => value(key) == Some(wanted),
            Requirement::In(key, values) => value(key).is_some_and(|v| values.iter().any(|w| w == v)),
            Requirement::NotIn(key, values) => !value(key).is_some_and(|v| values.iter().any(|w| w == v)),
            Requirement::Greater(key, bound) => number(key).is_some_and(|n| n > *bound),
            Requirement::Less(key, bound) => number(key).is_some_and(|n| n < *bound),
        })
    }
}

/// Splits at the commas that are outside of parentheses.
fn split_top(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(move |c| {
        match c {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn parse_requirement(part: &str) -> Result<Requirement, String> {
    if let Some(key) = part.strip_prefix('!').filter(|rest| !rest.starts_with('=')) {
        return Ok(Requirement::Absent(label_key(key)?));
    }
    if let Some(open) = part.find('(') {
        let (head, set) = part.split_at(open);
        let inner = set.strip_prefix('(').and_then(|set| set.trim_end().strip_suffix(')'));
        let inner = inner.ok_or_else(|| format!("unclosed set in {part:?}"))?;
        let values: Vec<String> = inner.split(',').map(|value| value.trim().to_owned()).collect();
        for value in &values {
            check_value(value)?;
        }
        let mut words = head.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in"), None) => Ok(Requirement::In(label_key(key)?, values)),
            (Some(key), Some("notin"), None) => Ok(Requirement::NotIn(label_key(key)?, values)),
            _ => Err(format!("cannot parse {part:?}: expected \"key in (…)\" or \"key notin (…)\"")),
        };
    }
    for (operator, negated) in [("!=", true), ("==", false), ("=", false)] {
        if let Some((key, value)) = part.split_once(operator) {
            let (key, value) = (label_key(key)?, value.trim().to_owned());
            check_value(&value)?;
            return Ok(match negated {
                true => Requirement::NotIn(key, vec![value]),
                false => Requirement::Is(key, value),
            });
        }
    }
    for (operator, greater) in [('>', true), ('<', false)] {
        if let Some((key, value)) = part.split_once(operator) {
            let bound =
                value.trim().parse().map_err(|_| format!("{value:?} in {part:?} is not an integer"))?;
            let key = label_key(key)?;
            return Ok(if greater {
                Requirement::Greater(key, bound)
            } else {
                Requirement::Less(key, bound)
            });
        }
    }
    Ok(Requirement::Exists(label_key(part)?))
}

fn label_key(text: &str) -> Result<String, String> {
    let key = text.trim();
    match crate::validate::label_key_problem(key) {
        None => Ok(key.to_owned()),
        Some(problem) => Err(format!("invalid label key {key:?}: {problem}")),
    }
}

fn check_value(value: &str) -> Result<(), String> {
    match crate::validate::label_value_problem(value) {
        None => Ok(()),
        Some(problem) => Err(format!("invalid label value {value:?}: {problem}")),
    }
}

impl FieldSelector {
    /// Parses `a=b,c!=d`, where values write `,`, `=` and `\\` with a backslash before them.
    pub(crate) fn parse(text: &str, kind: &Kind) -> Result<Self, String> {
        let mut terms = Vec::new();
        for part in split_unescaped(text).into_iter().filter(|part| !part.is_empty()) {
            let operators = [("!=", false), ("==", true), ("=", true)];
            let found = part.char_indices().find_map(|(index, _)| {
                let (field, rest) = part.split_at_checked(index)?;
                operators.iter().find_map(|(op, equal)| Some((field, rest.strip_prefix(op)?, *equal)))
            });
            let (field, value, equal) =
                found.ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{part}'"))?;
            let field = field.trim();
            let value = unescaped(value)?;
            check_field(kind, field)?;
            terms.push((stored_field(kind, field).into_owned(), value, equal));
        }
        Ok(Self(terms))
    }

    pub(crate) fn matches(&self, json: &Json) -> bool {
        self.0.iter().all(|(field, wanted, equal)| (field_value(json, field) == *wanted) == *equal)
    }
}

/// The only name that a field selector selects, whatever else it says.
pub(crate) fn only_name(text: &str) -> Option<String> {
    split_unescaped(text).into_iter().find_map(|part| {
        let (field, value) = part.split_once('=')?;
        let name = unescaped(value.strip_prefix('=').unwrap_or(value)).ok()?;
        (field.trim() == "metadata.name" && !name.is_empty()).then_some(name)
    })
}

/// Writes a value so that a field selector reads it as one.
pub(crate) fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

/// Splits at the commas that have no backslash before them.
fn split_unescaped(text: &str) -> Vec<&str> {
    let mut is_escaped = false;
    text.split(move |c| {
        let splits = c == ',' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        splits
    })
    .collect()
}

fn unescaped(value: &str) -> Result<String, String> {
    let mut plain = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => plain.push(c),
                next => {
                    let next = next.map(String::from).unwrap_or_default();
                    return Err(format!("invalid field selector: invalid escape sequence: \\{next}"));
                }
            },
            ',' | '=' => return Err(format!("invalid field selector: unescaped character in value: {c}")),
            c => plain.push(c),
        }
    }
    Ok(plain)
}

/// The stored field that a kind means by a name of its own: both event APIs are one storage.
fn stored_field<'a>(kind: &Kind, field: &'a str) -> std::borrow::Cow<'a, str> {
    if kind.is("", "pods") && field == "spec.host" {
        return "spec.nodeName".into();
    }
    if !kind.is("events.k8s.io", "events") {
        return field.into();
    }
    match field.strip_prefix("regarding.") {
        Some(rest) => format!("involvedObject.{rest}").into(),
        None if field == "reportingController" => "reportingComponent".into(),
        None => field.into(),
    }
}

/// Refuses a field that objects of a kind are not selected by.
fn check_field(kind: &Kind, field: &str) -> Result<(), String> {
    let own = own_fields(kind);
    let is_selectable = |path: &String| path.trim_start_matches('.') == field;
    let is_own = match &kind.custom {
        Some(custom) => custom.selectable.iter().any(is_selectable),
        None => own.is_some_and(|own| own.contains(&field)),
    };
    // The kinds without a namespace that say themselves what they are selected by leave it out.
    let has_namespace = kind.namespaced || (own.is_none() && !kind.is_custom());
    match field {
        "metadata.name" => Ok(()),
        "metadata.namespace" if has_namespace => Ok(()),
        _ if is_own => Ok(()),
        _ if own.is_none() && !kind.is_custom() => {
            const USUAL: &str = "\"metadata.name\", \"metadata.namespace\"";
            Err(format!("{field:?} is not a known field selector: only {USUAL}"))
        }
        _ if kind.is("batch", "jobs") => Err(format!("field label {field:?} not supported for Job")),
        _ => Err(format!("field label not supported: {field}")),
    }
}

/// What a built-in kind is selected by, beyond name and namespace.
fn own_fields(kind: &Kind) -> Option<&'static [&'static str]> {
    let own: &[&str] = match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => &[
            "spec.host",
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        ("", "Node") => &["spec.unschedulable"],
        ("", "Namespace") => &["status.phase"],
        ("", "Secret") => &["type"],
        ("", "Service") => &["spec.clusterIP", "spec.type"],
        ("", "Event") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("events.k8s.io", "Event") => &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ],
        ("", "ReplicationController") => &["status.replicas"],
        ("batch", "Job") => &["status.successful"],
        ("certificates.k8s.io", "CertificateSigningRequest") => &["spec.signerName"],
        ("resource.k8s.io", "ResourceSlice") => &["spec.nodeName", "spec.driver"],
        _ => return None,
    };
    Some(own)
}

/// The value of a field as selectors compare it. Absent booleans and counts have Kubernetes' defaults.
fn field_value(json: &Json, field: &str) -> String {
    let field = match field {
        "source" if object::text(json, &["source", "component"]).is_empty() => "reportingComponent",
        "source" => "source.component",
        "status.successful" => "status.succeeded",
        // It may be asked for, and is of no Pod.
        "status.podIPs" => return String::new(),
        other => other,
    };
    let path: Vec<&str> = field.split('.').collect();
    match object::at(json, &path) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => match field {
            "spec.unschedulable" | "spec.hostNetwork" => "false".to_owned(),
            "status.replicas" | "status.succeeded" => "0".to_owned(),
            _ => String::new(),
        },
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn matches(selector: &str, labels: Value) -> bool {
        let json = json!({ "metadata": { "labels": labels } });
        LabelSelector::parse(selector).unwrap().matches(json.as_object().unwrap())
    }

    #[test]
    fn every_operator_of_the_label_grammar_is_understood() {
        let labels = json!({ "app": "web", "tier": "front", "n": "5" });
        for selector in [
            "",
            "app=web",
            "app==web",
            "app!=db",
            "missing!=x",
            "app in (web, db)",
            "app notin (db,cache)",
            "missing notin (x)",
            "tier",
            "!missing",
            "n>4",
            "n<6",
            "app=web,tier in (front),!missing",
        ] {
            assert!(matches(selector, labels.clone()), "{selector} should match");
        }
        for selector in
            ["app=db", "app!=web", "app in (db)", "app notin (web)", "missing", "!app", "n>5", "x in (y)"]
        {
            assert!(!matches(selector, labels.clone()), "{selector} should not match");
        }
    }

    #[test]
    fn a_broken_label_selector_is_refused() {
        for selector in ["a=b,,c", "a in (b", "a over (b)", "a=b c", "-bad=x", "n>x", "=x"] {
            assert!(LabelSelector::parse(selector).is_err(), "{selector} should be refused");
        }
    }
}
