//! The status of the reconciled object: its conditions, and writing it only when it has changed.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::{ApiError, Object, client};

/// Whether a [`Condition`] holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody can tell.
    #[default]
    Unknown,
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// `status.conditions[]`, as Kubernetes' API conventions have it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about, in CamelCase: `Ready`. There is one condition of a type.
    #[serde(rename = "type")]
    pub type_: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, in one CamelCase word for programs.
    pub reason: String,
    /// Why, in a sentence for people.
    pub message: String,
    /// The `metadata.generation` of which this was found.
    #[serde(default)]
    pub observed_generation: i64,
    /// When `status` changed last, in RFC 3339.
    #[cfg_attr(feature = "schemars", schemars(extend("format" = "date-time")))]
    pub last_transition_time: String,
}

impl Condition {
    /// A condition as it was found now.
    pub fn new(
        type_: impl Into<String>,
        status: impl Into<ConditionStatus>,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            type_: type_.into(),
            status: status.into(),
            reason: reason.into(),
            message: message.into(),
            observed_generation: 0,
            last_transition_time: String::new(),
        }
    }

    /// Says of which `metadata.generation` it was found.
    pub fn observed(mut self, generation: i64) -> Self {
        self.observed_generation = generation;
        self
    }
}

/// Puts a condition in the place of the one of its type, or at the end. The time of its last
/// transition is now, unless its status is what it was.
pub fn set_condition(conditions: &mut Vec<Condition>, condition: Condition) {
    set_condition_at(conditions, condition, now);
}

fn set_condition_at(conditions: &mut Vec<Condition>, mut condition: Condition, now: impl FnOnce() -> String) {
    let known = conditions.iter_mut().find(|known| known.type_ == condition.type_);
    condition.last_transition_time = match &known {
        Some(known) if known.status == condition.status && !known.last_transition_time.is_empty() => {
            known.last_transition_time.clone()
        }
        _ => now(),
    };
    match known {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

/// The time in RFC 3339, to the second, as Kubernetes writes it: `2026-11-20T10:00:00Z`.
pub fn now() -> String {
    rfc3339(SystemTime::now())
}

fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// Writes an object's status through its `status` subresource, and only what differs from what
/// was read; says whether it had to. What is left out of `status` is taken away.
///
/// # Errors
/// What a patch may return.
pub fn write_status(kind: &str, object: &Object, status: &impl Serialize) -> Result<bool, ApiError> {
    let status = serde_json::to_value(status)
        .map_err(|error| ApiError::BadRequest(format!("the status cannot be written as JSON: {error}")))?;
    let current = object.at(&["status"]).map_or(Json::Null, |status| status.to_value());
    let changes = changes(current, status);
    if changes.is_empty() {
        return Ok(false);
    }
    client::merge_patch(kind, &object.key(), &json!({"status": changes})).subresource("status").send()?;
    Ok(true)
}

/// The merge patch that makes `wanted` of `current`, by whole fields.
fn changes(current: Json, wanted: Json) -> Map<String, Json> {
    let fields = |value| if let Json::Object(fields) = value { fields } else { Map::new() };
    let (current, mut wanted) = (fields(current), fields(wanted));
    wanted.retain(|_, value| !value.is_null());
    let gone = current.keys().filter(|field| !wanted.contains_key(*field));
    let gone: Vec<_> = gone.map(|field| (field.clone(), Json::Null)).collect();
    wanted.retain(|field, value| current.get(field) != Some(value));
    // A merge patch would merge an object into the old one: fields that are to go have to be named.
    for (field, value) in &mut wanted {
        if let (Json::Object(new), Some(Json::Object(old))) = (value, current.get(field)) {
            *new = changes(Json::Object(old.clone()), Json::Object(std::mem::take(new)));
        }
    }
    wanted.extend(gone);
    wanted
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_condition_keeps_its_time_until_its_status_changes() {
        let mut conditions = vec![Condition::new("Other", true, "Fine", "")];
        let mut set = |status: bool, reason: &str, now: &str| {
            let condition = Condition::new("Ready", status, reason, "").observed(2);
            set_condition_at(&mut conditions, condition, || now.to_owned());
            let ready = conditions.last().unwrap();
            (conditions.len(), ready.reason.clone(), ready.last_transition_time.clone())
        };
        assert_eq!(set(false, "Deploying", "t1"), (2, "Deploying".into(), "t1".into()));
        assert_eq!(set(false, "Waiting", "t2"), (2, "Waiting".into(), "t1".into()));
        assert_eq!(set(true, "Available", "t3"), (2, "Available".into(), "t3".into()));
    }

    #[test]
    fn time_is_written_as_kubernetes_writes_it() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_168_800_999);
        assert_eq!(rfc3339(time), "2026-11-20T10:00:00Z");
    }

    #[test]
    fn a_status_patch_has_what_changed_and_nothing_else() {
        for (current, wanted, patch) in [
            (json!(null), json!({"a": 1}), json!({"a": 1})),
            (json!({"a": 1}), json!({"a": 1, "b": null}), json!({})),
            (json!({"a": 1, "b": 2}), json!({"a": 3}), json!({"a": 3, "b": null})),
            (json!({"m": {"x": 1, "y": 2}}), json!({"m": {"x": 3}}), json!({"m": {"x": 3, "y": null}})),
            (json!({"l": [1, 2]}), json!({"l": [1]}), json!({"l": [1]})),
        ] {
            assert_eq!(Json::Object(changes(current, wanted)), patch);
        }
    }
}
