//! The rows of the kinds that a cluster is set up with: webhooks and policies, services of the API, priorities of requests.

use serde_json::{Value, json};

use super::text::{field, items, text_or};
use crate::object::{self, Json};

const UNSET: &str = "<unset>";
const NONE: &str = "<none>";

pub(super) fn webhooks(json: &Json, age: Value) -> Vec<Value> {
    vec![json!(items(json, &["webhooks"]).len()), age]
}

pub(super) fn policy(json: &Json, age: Value) -> Vec<Value> {
    let param = |field: &str| object::text(json, &["spec", "paramKind", field]);
    let kind = match object::at(json, &["spec", "paramKind"]) {
        Some(_) => format!("{}/{}", param("apiVersion"), param("kind")),
        None => UNSET.to_owned(),
    };
    vec![json!(items(json, &["spec", "validations"]).len()), json!(kind), age]
}

pub(super) fn policy_binding(json: &Json, age: Value) -> Vec<Value> {
    let param = |field: &str| object::text(json, &["spec", "paramRef", field]);
    let selector = object::at(json, &["spec", "paramRef", "selector"]);
    let reference = match (object::at(json, &["spec", "paramRef"]), param("name"), param("namespace")) {
        (None, ..) => UNSET.to_owned(),
        (_, "", _) => selector.map_or_else(|| UNSET.to_owned(), selector_in_go),
        (_, name, "") => format!("*/{name}"),
        (_, name, namespace) => format!("{namespace}/{name}"),
    };
    vec![json!(object::text(json, &["spec", "policyName"])), json!(reference), age]
}

/// A label selector as Go writes it.
fn selector_in_go(selector: &Value) -> String {
    let labels: String = selector
        .get("matchLabels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}: {},", value.as_str().unwrap_or_default()))
        .collect();
    let expression = |expression: &Value| {
        let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
        let values: Vec<&str> = values.filter_map(Value::as_str).collect();
        format!(
            "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{}],}},",
            field(expression, "key"),
            field(expression, "operator"),
            values.join(" ")
        )
    };
    let expressions = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
    let expressions: String = expressions.map(expression).collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{\
         {expressions}}},}}"
    )
}

pub(super) fn api_service(json: &Json, age: Value) -> Vec<Value> {
    let service = |field: &str| object::text(json, &["spec", "service", field]);
    let name = match object::at(json, &["spec", "service"]) {
        Some(_) => format!("{}/{}", service("namespace"), service("name")),
        None => "Local".to_owned(),
    };
    let available = condition(json, "Available").map(|condition| match field(condition, "status") {
        "True" => "True".to_owned(),
        status => format!("{status} ({})", field(condition, "reason")),
    });
    vec![json!(name), json!(available.as_deref().unwrap_or("Unknown")), age]
}

fn condition<'a>(json: &'a Json, of_type: &str) -> Option<&'a Value> {
    items(json, &["status", "conditions"]).iter().find(|condition| field(condition, "type") == of_type)
}

pub(super) fn flow_schema(json: &Json, age: Value) -> Vec<Value> {
    let precedence = object::at(json, &["spec", "matchingPrecedence"]);
    vec![
        json!(object::text(json, &["spec", "priorityLevelConfiguration", "name"])),
        precedence.cloned().unwrap_or_else(|| json!(0)),
        text_or(json, &["spec", "distinguisherMethod", "type"], NONE),
        age,
        json!(condition(json, "Dangling").map_or("?", |condition| field(condition, "status"))),
    ]
}

pub(super) fn priority_level(json: &Json, age: Value) -> Vec<Value> {
    let of = |path: &[&str]| object::at(json, path).cloned().unwrap_or_else(|| json!(NONE));
    let queuing = |field: &str| of(&["spec", "limited", "limitResponse", "queuing", field]);
    vec![
        json!(object::text(json, &["spec", "type"])),
        of(&["spec", "limited", "nominalConcurrencyShares"]),
        queuing("queues"),
        queuing("handSize"),
        queuing("queueLengthLimit"),
        age,
    ]
}

/// Whose state it keeps, and which.
pub(super) fn controller_revision(json: &Json, age: Value) -> Vec<Value> {
    let owner = items(json, &["metadata", "ownerReferences"])
        .iter()
        .find(|owner| owner.get("controller") == Some(&Value::Bool(true)));
    let owner = owner.map(|owner| {
        let kind = field(owner, "kind").to_lowercase();
        match field(owner, "apiVersion").split_once('/') {
            Some((group, _)) => format!("{kind}.{group}/{}", field(owner, "name")),
            None => format!("{kind}/{}", field(owner, "name")),
        }
    });
    let revision = object::at(json, &["revision"]).cloned().unwrap_or_else(|| json!(0));
    vec![json!(owner.as_deref().unwrap_or(NONE)), revision, age]
}
