//! Parts of a status: conditions, counts, and what is ready.

use serde_json::{Value, json};

use crate::object::{self, Json};

/// A condition as it is to be: type, status, reason, message.
pub(super) type Wanted<'a> = (&'a str, &'a str, &'a str, &'a str);

/// The conditions that are there, with these among them; one keeps its times while it does not change.
/// `changed` is what conditions of this kind call the time of their last change of any sort.
pub(super) fn conditions(json: &Json, wanted: &[Wanted<'_>], changed: Option<&str>) -> Value {
    let mut conditions: Vec<Value> =
        object::at(json, &["status", "conditions"]).and_then(Value::as_array).cloned().unwrap_or_default();
    for (of_type, status, reason, message) in wanted {
        let mut new = json!({ "type": of_type, "status": status });
        let texts = [("reason", *reason), ("message", *message)];
        let now = object::now();
        let before = conditions.iter_mut().find(|condition| condition.get("type") == Some(&json!(of_type)));
        let kept = |field: &str| before.as_deref().and_then(|before| before.get(field)).cloned();
        let same = |field: &str, value: &str| {
            before.as_deref().and_then(|before| before.get(field)).and_then(Value::as_str).unwrap_or_default()
                == value
        };
        let keeps_status = before.is_some() && same("status", status);
        let keeps_all = keeps_status && texts.iter().all(|(field, value)| same(field, value));
        let stamp = |keeps: bool, field: &str| match keeps {
            true => kept(field).unwrap_or_else(|| now.clone().into()),
            false => now.clone().into(),
        };
        if let Some(new) = new.as_object_mut() {
            new.insert("lastTransitionTime".to_owned(), stamp(keeps_status, "lastTransitionTime"));
            if let Some(changed) = changed {
                new.insert(changed.to_owned(), stamp(keeps_all, changed));
            }
            for (field, value) in texts.into_iter().filter(|(_, value)| !value.is_empty()) {
                new.insert(field.to_owned(), value.into());
            }
        }
        match before {
            Some(before) => *before = new,
            None => conditions.push(new),
        }
    }
    Value::Array(conditions)
}

/// Writes counts; as in the real API, a count of nothing is left out.
pub(super) fn counts(status: &mut Json, counts: &[(&str, i64)]) {
    for (field, count) in counts {
        match count {
            0 => status.remove(*field),
            count => status.insert((*field).to_owned(), (*count).into()),
        };
    }
}
