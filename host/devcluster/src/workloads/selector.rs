//! Which objects a workload selects.

use serde_json::Value;

use crate::object::{self, Json};
use crate::selector::LabelSelector;

/// Whether an owner's `spec.selector` selects an object. An absent or empty selector selects nothing:
/// no workload may have one.
pub(super) fn selects(owner: &Json, candidate: &Json) -> bool {
    let selector = object::at(owner, &["spec", "selector"]).and_then(Value::as_object);
    let selector = selector.map(LabelSelector::of).unwrap_or_default();
    !selector.0.is_empty() && selector.matches(candidate)
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
