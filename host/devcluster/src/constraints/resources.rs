//! The rules of what a container asks for and may have.

use serde_json::Value;

use crate::error::Cause;
use crate::object::Json;
use crate::types::amount;

/// Checks the requests and limits of a container, which are at this path.
pub(super) fn check(container: &Value, path: &str, causes: &mut Vec<Cause>) {
    let amounts =
        |field: &str| container.get("resources").and_then(|all| all.get(field)).and_then(Value::as_object);
    let (requests, limits) = (amounts("requests"), amounts("limits"));
    for (field, amounts) in [("limits", limits), ("requests", requests)] {
        for (resource, value) in amounts.into_iter().flatten() {
            if amount_of(value).is_some_and(|amount| amount < 0) {
                let why = "must be greater than or equal to 0";
                causes.push(Cause::invalid(format!("{path}.resources.{field}[{resource}]"), value, why));
            }
        }
    }
    for (resource, request) in requests.into_iter().flatten() {
        compare(resource, request, limits, &format!("{path}.resources"), causes);
    }
}

fn compare(resource: &str, request: &Value, limits: Option<&Json>, path: &str, causes: &mut Vec<Cause>) {
    // What a node can promise to several at a time.
    let is_shared = !resource.starts_with("hugepages-")
        && resource.split_once('/').is_none_or(|(domain, _)| domain.ends_with("kubernetes.io"));
    let Some(limit) = limits.and_then(|limits| limits.get(resource)) else {
        if !is_shared {
            let why = "Limit must be set for non overcommitable resources";
            causes.push(Cause::required(format!("{path}.limits"), why));
        }
        return;
    };
    let (Some(asked), Some(most)) = (amount_of(request), amount_of(limit)) else { return };
    let relation = match is_shared {
        true if asked > most => "less than or equal",
        false if asked != most => "equal",
        _ => return,
    };
    let why = format!("must be {relation} to {resource} limit of {}", limit.as_str().unwrap_or_default());
    causes.push(Cause::invalid(format!("{path}.requests"), request, &why));
}

fn amount_of(value: &Value) -> Option<i128> {
    value.as_str().and_then(amount)
}
