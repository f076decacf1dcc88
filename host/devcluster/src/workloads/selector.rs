//! Selectors as workloads have them in their spec: labels to match, and expressions.

use serde_json::Value;

use crate::object::{self, Json};

/// Whether an owner's `spec.selector` selects an object. An absent or empty selector selects nothing:
/// no workload may have one.
pub(super) fn selects(owner: &Json, candidate: &Json) -> bool {
    let Some(selector) = object::at(owner, &["spec", "selector"]).and_then(Value::as_object) else {
        return false;
    };
    let labels = object::meta(candidate, "labels").and_then(Value::as_object);
    let value = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
    let wanted = selector.get("matchLabels").and_then(Value::as_object);
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    let is_empty = wanted.is_none_or(Json::is_empty) && expressions.is_none_or(Vec::is_empty);
    let meets = |expression: &Value| {
        let text = |field: &str| expression.get(field).and_then(Value::as_str).unwrap_or_default();
        let found = value(text("key"));
        let listed = || {
            let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
            found.is_some_and(|found| values.into_iter().any(|value| value.as_str() == Some(found)))
        };
        match text("operator") {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => found.is_some(),
            "DoesNotExist" => found.is_none(),
            _ => false,
        }
    };
    !is_empty
        && wanted.into_iter().flatten().all(|(key, wanted)| value(key) == wanted.as_str())
        && expressions.into_iter().flatten().all(meets)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selects_labels(selector: Value, labels: Value) -> bool {
        let owner = json!({ "spec": { "selector": selector } });
        let candidate = json!({ "metadata": { "labels": labels } });
        selects(owner.as_object().unwrap(), candidate.as_object().unwrap())
    }

    #[test]
    fn labels_and_expressions_must_all_be_met() {
        let expression = |operator: &str, values: Value| {
            json!({ "matchLabels": { "app": "a" },
                "matchExpressions": [{ "key": "tier", "operator": operator, "values": values }] })
        };
        for (operator, with_front, without) in [
            ("In", true, false),
            ("NotIn", false, true),
            ("Exists", true, false),
            ("DoesNotExist", false, true),
        ] {
            let selector = expression(operator, json!(["front"]));
            assert_eq!(
                selects_labels(selector.clone(), json!({ "app": "a", "tier": "front" })),
                with_front,
                "{operator}"
            );
            assert_eq!(selects_labels(selector, json!({ "app": "a" })), without, "{operator}");
        }
        assert!(!selects_labels(expression("Exists", json!([])), json!({ "tier": "front" })));
    }

    #[test]
    fn an_empty_selector_selects_nothing() {
        assert!(!selects_labels(json!({}), json!({ "app": "a" })));
        assert!(!selects_labels(json!({ "matchLabels": {} }), json!({ "app": "a" })));
    }
}
