//! The rules of Deployments beyond those of all that make Pods: how they replace them.

use serde_json::Value;

use super::{not_negative, text};
use crate::error::Cause;

const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', \
                       regex used for validation is '[0-9]+%')";

pub(super) fn validate(spec: &Value, causes: &mut Vec<Cause>) {
    not_negative(spec, "minReadySeconds", "spec", causes);
    not_negative(spec, "revisionHistoryLimit", "spec", causes);
    if let Some(strategy) = spec.get("strategy") {
        check_strategy(strategy, causes);
    }
    not_negative(spec, "progressDeadlineSeconds", "spec", causes);
    let seconds = |field: &str| spec.get(field).and_then(Value::as_i64);
    let ready = seconds("minReadySeconds").unwrap_or_default();
    if let Some(deadline) = seconds("progressDeadlineSeconds").filter(|deadline| *deadline <= ready) {
        let why = "must be greater than minReadySeconds";
        causes.push(Cause::invalid("spec.progressDeadlineSeconds", &Value::from(deadline), why));
    }
}

fn check_strategy(strategy: &Value, causes: &mut Vec<Cause>) {
    let rolling = strategy.get("rollingUpdate");
    match text(strategy, "type") {
        "RollingUpdate" => {
            if let Some(rolling) = rolling {
                check_pace(rolling, causes);
            }
        }
        "Recreate" if rolling.is_some() => {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            causes.push(Cause::forbidden("spec.strategy.rollingUpdate", why));
        }
        "Recreate" => {}
        other => {
            let rolling = rolling.map_or_else(|| "null".to_owned(), Value::to_string);
            causes.push(Cause {
                reason: "FieldValueNotSupported",
                field: "spec.strategy".to_owned(),
                message: format!(
                    "Unsupported value: {{\"Type\":{other:?},\"RollingUpdate\":{rolling}}}: supported values: \
                     \"Recreate\", \"RollingUpdate\""
                ),
            });
        }
    }
}

/// How many Pods more, and how many less, there may be meanwhile: not none of both.
fn check_pace(rolling: &Value, causes: &mut Vec<Cause>) {
    const PATH: &str = "spec.strategy.rollingUpdate";
    let at = |field: &str| format!("{PATH}.{field}");
    let (surge, unavailable) = (rolling.get("maxSurge"), rolling.get("maxUnavailable"));
    let before = causes.len();
    for (field, value) in [("maxUnavailable", unavailable), ("maxSurge", surge)] {
        let Some(value) = value else { continue };
        not_negative(rolling, field, PATH, causes);
        if value.is_string() && percent(value).is_none() {
            causes.push(Cause::invalid(at(field), value, PERCENT));
        }
    }
    if let Some(value) = unavailable.filter(|value| percent(value).is_some_and(|percent| percent > 100)) {
        causes.push(Cause::invalid(at("maxUnavailable"), value, "must not be greater than 100%"));
    }
    let is_none = |value: Option<&Value>| value.is_some_and(|value| value == 0 || percent(value) == Some(0));
    if let Some(value) =
        unavailable.filter(|_| before == causes.len() && is_none(surge) && is_none(unavailable))
    {
        causes.push(Cause::invalid(at("maxUnavailable"), value, "may not be 0 when `maxSurge` is 0"));
    }
}

fn percent(value: &Value) -> Option<u64> {
    let digits = value.as_str()?.strip_suffix('%')?;
    digits.chars().all(|c| c.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}
