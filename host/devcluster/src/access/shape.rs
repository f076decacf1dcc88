//! What a role and a binding are in themselves: what is filled in, and what is refused whoever writes it.

use serde_json::{Value, json};

use crate::error::Cause;
use crate::kind::Kind;
use crate::object::{self, Json};
use crate::validate;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Fills in of which group the role and the subjects of a binding are.
pub(crate) fn fill_binding(json: &mut Json) {
    let fill = |map: &mut Json| {
        if object::text(map, &["apiGroup"]).is_empty() {
            map.insert("apiGroup".to_owned(), GROUP.into());
        }
    };
    if let Some(role) = json.get_mut("roleRef").and_then(Value::as_object_mut) {
        fill(role);
    }
    for subject in json.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(subject) = subject.as_object_mut()
            && matches!(object::text(subject, &["kind"]), "User" | "Group")
        {
            fill(subject);
        }
    }
}

/// What is wrong with a role or a binding.
pub(crate) fn problems(kind: &Kind, json: &Json) -> Vec<Cause> {
    let mut causes = Vec::new();
    let list = |field: &str| json.get(field).and_then(Value::as_array).into_iter().flatten().enumerate();
    match kind.plural.as_str() {
        "roles" | "clusterroles" => {
            for (index, rule) in list("rules") {
                check_rule(rule, &format!("rules[{index}]"), kind.namespaced, &mut causes);
            }
            if let Some(rule) = json.get("aggregationRule").filter(|rule| !rule.is_null()) {
                check_aggregation(rule, &mut causes);
            }
        }
        "rolebindings" | "clusterrolebindings" => {
            check_role(json, kind.namespaced, &mut causes);
            for (index, subject) in list("subjects") {
                check_subject(subject, &format!("subjects[{index}]"), kind.namespaced, &mut causes);
            }
        }
        _ => {}
    }
    causes
}

fn check_rule(rule: &Value, path: &str, namespaced: bool, causes: &mut Vec<Cause>) {
    let has = |field: &str| rule.get(field).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let mut required = |field: &str, why: &str| causes.push(Cause::required(format!("{path}.{field}"), why));
    if !has("verbs") {
        required("verbs", "verbs must contain at least one value");
    }
    if has("nonResourceURLs") {
        let field = format!("{path}.nonResourceURLs");
        let urls = rule.get("nonResourceURLs").unwrap_or(&Value::Null);
        if namespaced {
            let why = "namespaced rules cannot apply to non-resource URLs";
            causes.push(Cause::invalid(field.clone(), urls, why));
        }
        if has("apiGroups") || has("resources") || has("resourceNames") {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            causes.push(Cause::invalid(field, urls, why));
        }
        return;
    }
    if !has("apiGroups") {
        required("apiGroups", "resource rules must supply at least one api group");
    }
    if !has("resources") {
        required("resources", "resource rules must supply at least one resource");
    }
}

fn check_aggregation(rule: &Value, causes: &mut Vec<Cause>) {
    let path = "aggregationRule.clusterRoleSelectors";
    let selectors = list(rule, "clusterRoleSelectors");
    if selectors.is_empty() {
        let why = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        causes.push(Cause::required(path, why));
    }
    for (index, selector) in selectors.iter().enumerate() {
        check_selector(selector, &format!("{path}[{index}]"), causes);
    }
}

/// The items of a field that is a list.
fn list<'a>(json: &'a Value, field: &str) -> &'a [Value] {
    json.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn check_selector(selector: &Value, path: &str, causes: &mut Vec<Cause>) {
    let labels = selector.get("matchLabels").and_then(Value::as_object);
    for (key, value) in labels.into_iter().flatten() {
        let field = format!("{path}.matchLabels");
        check_label(&field, &Value::from(key.as_str()), validate::label_key_problem, causes);
        check_label(&field, value, validate::label_value_problem, causes);
    }
    for (index, expression) in list(selector, "matchExpressions").iter().enumerate() {
        check_expression(expression, &format!("{path}.matchExpressions[{index}]"), causes);
    }
}

fn check_expression(expression: &Value, path: &str, causes: &mut Vec<Cause>) {
    let (operator, values) = (object::field(expression, "operator"), list(expression, "values"));
    let field = format!("{path}.values");
    match (operator, values.is_empty()) {
        ("In" | "NotIn", true) => {
            causes.push(Cause::required(
                field.as_str(),
                "must be specified when `operator` is 'In' or 'NotIn'",
            ));
        }
        ("Exists" | "DoesNotExist", false) => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            causes.push(Cause::forbidden(field.as_str(), why));
        }
        ("In" | "NotIn" | "Exists" | "DoesNotExist", _) => {}
        _ => {
            let field = format!("{path}.operator");
            causes.push(Cause::invalid(field, &operator.into(), "not a valid selector operator"));
        }
    }
    let key = Value::from(object::field(expression, "key"));
    check_label(&format!("{path}.key"), &key, validate::label_key_problem, causes);
    for (index, value) in values.iter().enumerate() {
        check_label(&format!("{field}[{index}]"), value, validate::label_value_problem, causes);
    }
}

fn check_label(
    field: &str,
    text: &Value,
    problem: impl Fn(&str) -> Option<&'static str>,
    causes: &mut Vec<Cause>,
) {
    if let Some(why) = text.as_str().and_then(problem) {
        causes.push(Cause::invalid(field, text, why));
    }
}

/// What is wrong with a name that is to be one segment of a path.
fn segment_problems(name: &str) -> Vec<String> {
    if matches!(name, "." | "..") {
        return vec![format!("may not be '{name}'")];
    }
    let bad = ["/", "%"].into_iter().filter(|part| name.contains(part));
    bad.map(|part| format!("may not contain '{part}'")).collect()
}

fn check_role(binding: &Json, namespaced: bool, causes: &mut Vec<Cause>) {
    let text = |field: &str| object::text(binding, &["roleRef", field]);
    if text("apiGroup") != GROUP {
        causes.push(Cause::unsupported("roleRef.apiGroup", &text("apiGroup").into(), &[GROUP.into()]));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.contains(&text("kind")) {
        let supported: Vec<Value> = kinds.iter().map(|kind| json!(kind)).collect();
        causes.push(Cause::unsupported("roleRef.kind", &text("kind").into(), &supported));
    }
    if text("name").is_empty() {
        causes.push(Cause::required("roleRef.name", ""));
    }
    for why in segment_problems(text("name")) {
        causes.push(Cause::invalid("roleRef.name", &text("name").into(), &why));
    }
}

fn check_subject(subject: &Value, path: &str, namespaced: bool, causes: &mut Vec<Cause>) {
    let text = |field: &str| subject.get(field).and_then(Value::as_str).unwrap_or_default();
    let at = |field: &str| format!("{path}.{field}");
    if text("name").is_empty() {
        causes.push(Cause::required(at("name"), ""));
    }
    let group = match text("kind") {
        "ServiceAccount" => {
            if !text("name").is_empty() && !validate::is_subdomain(text("name")) {
                causes.push(Cause::invalid(at("name"), &text("name").into(), validate::SUBDOMAIN));
            }
            ""
        }
        "User" | "Group" => GROUP,
        other => {
            let supported = ["ServiceAccount", "User", "Group"].map(Value::from);
            causes.push(Cause::unsupported(at("kind"), &other.into(), &supported));
            return;
        }
    };
    if text("apiGroup") != group {
        causes.push(Cause::unsupported(at("apiGroup"), &text("apiGroup").into(), &[group.into()]));
    }
    if group.is_empty() && !namespaced && text("namespace").is_empty() {
        causes.push(Cause::required(at("namespace"), ""));
    }
}
