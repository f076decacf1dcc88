//! Server-side apply: merges what a manager applies into the live object.
//!
//! Promises: a field that another manager owns is changed only by force; a field that the manager
//! applied before and no longer applies goes unless somebody else owns it; what nobody mentioned stays.
//! Follows the rules of the API reference ("Server-Side Apply").

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{ApiError, Cause};
use crate::fields::{Difference, FieldSet, Step};
use crate::kind::Kind;
use crate::last_applied;
use crate::managed::{self, Entry, Writer};
use crate::merge::merge;
use crate::object::Json;
use crate::shape::Shape;

/// Merges an applied configuration into the live object (or makes the object), managers included.
pub(crate) fn apply(
    kind: &Kind,
    live: Option<&Json>,
    applied: &Json,
    writer: &Writer,
    force: bool,
) -> Result<Json, ApiError> {
    let shape = Shape::of(kind);
    let mut set = FieldSet::of(&managed::ownable(applied), &shape);
    set.member = false;
    let mut managers = live.map(managed::entries).unwrap_or_default();
    if let (true, Some(live)) = (managers.is_empty(), live) {
        managers.push(managed::before_first_apply(kind, live, &writer.subresource));
    }
    let before = Value::Object(live.cloned().unwrap_or_default());
    let mut merged = before.clone();
    merge(&mut merged, &Value::Object(applied.clone()), &shape);

    let ownable = |value: &Value| value.as_object().map(managed::ownable).unwrap_or_default();
    let Difference { changed, .. } = Difference::between(&ownable(&before), &ownable(&merged), &shape);
    let inherited = live.map(|live| last_applied::inherited(kind, live, writer, &shape)).unwrap_or_default();
    let mut conflicts = Vec::new();
    for entry in managers.iter_mut().filter(|entry| !force && !entry.is_of(writer, true)) {
        let mut contested = entry.set.intersection(&changed);
        contested.subtract(&inherited);
        conflicts.extend(contested.paths().into_iter().map(|path| conflict(entry, path)));
    }
    if !conflicts.is_empty() {
        return Err(conflict_error(&conflicts));
    }
    for entry in managers.iter_mut().filter(|entry| !entry.is_of(writer, true)) {
        let contested = entry.set.intersection(&changed);
        entry.set.subtract(&contested);
    }

    let mine = managers.iter_mut().find(|entry| entry.is_of(writer, true));
    let previous = mine.as_ref().map(|entry| entry.set.clone()).unwrap_or_default();
    match mine {
        Some(entry) => (entry.set, entry.api_version) = (set.clone(), kind.api_version()),
        None => {
            // It has no time until it changes anything.
            let entry = Entry::new(writer, true, kind, set.clone());
            managers.push(Entry { time: String::new(), ..entry });
        }
    }
    let mut kept = set;
    for entry in managers.iter().filter(|entry| !entry.is_of(writer, true)) {
        kept.union(&entry.set);
    }
    // Whoever applies an object names it, and so has its metadata.
    kept.children.entry(Step::Field("metadata".to_owned())).or_default().member = true;
    prune(&mut merged, &previous, &kept, &shape);
    let Difference { removed, .. } = Difference::between(&ownable(&before), &ownable(&merged), &shape);
    for entry in managers.iter_mut().filter(|entry| !entry.is_of(writer, true)) {
        entry.set.prune(&removed);
    }

    if let Some(mine) =
        managers.iter_mut().find(|entry| entry.is_of(writer, true)).filter(|_| merged != before)
    {
        mine.time = writer.time();
    }

    let Value::Object(mut merged) = merged else {
        return Err(ApiError::internal("an applied object is not a map"));
    };
    last_applied::follow(&mut merged, applied, writer);
    managed::store(&mut merged, managers);
    Ok(merged)
}

fn conflict(entry: &Entry, field: String) -> Cause {
    let mut who = format!("conflict with \"{}\"", entry.manager);
    if !entry.subresource.is_empty() {
        who.push_str(&format!(" with subresource \"{}\"", entry.subresource));
    }
    let message = match entry.is_apply {
        true => who,
        false => format!("{who} using {}", entry.api_version),
    };
    Cause { reason: "FieldManagerConflict", field, message }
}

fn conflict_error(conflicts: &[Cause]) -> ApiError {
    let message = match conflicts {
        [only] => format!("Apply failed with 1 conflict: {}: {}", only.message, only.field),
        several => {
            format!("Apply failed with {} conflicts: {}", several.len(), by_manager(several).join("\n"))
        }
    };
    ApiError::apply_conflict(message, conflicts)
}

/// Each manager with its fields, one a line.
fn by_manager(conflicts: &[Cause]) -> Vec<String> {
    let mut fields: BTreeMap<&str, String> = BTreeMap::new();
    for conflict in conflicts {
        let who = conflict.message.strip_prefix("conflict ").unwrap_or(&conflict.message);
        fields.entry(who).or_default().push_str(&format!("\n- {}", conflict.field));
    }
    fields.into_iter().map(|(who, fields)| format!("conflicts {who}:{fields}")).collect()
}

/// Removes what the manager had applied, `last`, and nobody, itself included, holds on to: `kept`. What a field, an item
/// or an entry of a map had besides, such as defaults, goes with it.
fn prune(value: &mut Value, last: &FieldSet, kept: &FieldSet, shape: &Shape<'_>) {
    let nothing = FieldSet::default();
    match value {
        Value::Object(map) => {
            for (step, last) in &last.children {
                let Step::Field(name) = step else { continue };
                let Some(inner) = map.get_mut(name) else { continue };
                let kept = kept.child(step).unwrap_or(&nothing);
                // Who has a part of a struct has the struct.
                let is_owned = |set: &FieldSet| set.member || (!set.is_empty() && shape.names(name));
                if is_owned(last) && !is_owned(kept) {
                    map.remove(name);
                    continue;
                }
                prune(inner, last, kept, &shape.field(name));
                if kept.is_empty() && is_empty(inner) {
                    map.remove(name);
                }
            }
        }
        Value::Array(items) => {
            let (list, item_shape) = (shape.list_type(), shape.item());
            items.retain_mut(|item| {
                let Some(step) = Step::of_item(item, &list) else { return true };
                let Some(last) = last.child(&step) else { return true };
                let kept = kept.child(&step).unwrap_or(&nothing);
                if last.member && !kept.member {
                    return false;
                }
                prune(item, last, kept, &item_shape);
                true
            });
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kind(name: &str) -> Kind {
        crate::builtin::kinds().into_iter().find(|kind| kind.kind == name).unwrap()
    }

    fn writer(manager: &str) -> Writer {
        Writer { manager: manager.to_owned(), subresource: String::new() }
    }

    fn apply_as(
        manager: &str,
        kind: &Kind,
        live: Option<&Json>,
        config: Value,
        force: bool,
    ) -> Result<Json, ApiError> {
        apply(kind, live, config.as_object().unwrap(), &writer(manager), force)
    }

    #[test]
    fn a_field_no_longer_applied_goes_with_the_map_that_it_leaves_empty() {
        let kind = kind("ConfigMap");
        let first = apply_as("a", &kind, None, json!({ "data": { "x": "1" } }), false).unwrap();
        let second = apply_as("a", &kind, Some(&first), json!({}), false).unwrap();
        assert!(second.get("data").is_none(), "{second:?}");
    }

    #[test]
    fn a_shared_field_stays_until_its_last_owner_drops_it() {
        let kind = kind("ConfigMap");
        let config = json!({ "data": { "x": "1" } });
        let live = apply_as("a", &kind, None, config.clone(), false).unwrap();
        let live = apply_as("b", &kind, Some(&live), config, false).unwrap();
        let live = apply_as("a", &kind, Some(&live), json!({}), false).unwrap();
        assert_eq!(live["data"], json!({ "x": "1" }));
        let live = apply_as("b", &kind, Some(&live), json!({}), false).unwrap();
        assert!(live.get("data").is_none());
    }

    #[test]
    fn a_contested_value_is_a_conflict_and_force_takes_it_over() {
        let kind = kind("ConfigMap");
        let live = apply_as("a", &kind, None, json!({ "data": { "x": "1" } }), false).unwrap();
        let error = apply_as("b", &kind, Some(&live), json!({ "data": { "x": "2" } }), false).unwrap_err();
        assert_eq!(error.code, 409);
        assert_eq!(error.message, "Apply failed with 1 conflict: conflict with \"a\": .data.x");
        let live = apply_as("b", &kind, Some(&live), json!({ "data": { "x": "2" } }), true).unwrap();
        assert_eq!(live["data"]["x"], "2");
        assert_eq!(managed::entries(&live).len(), 1, "a owns nothing any more");
    }

    #[test]
    fn containers_merge_by_name_and_ports_by_number_and_protocol() {
        let kind = kind("Pod");
        let pod = |containers: Value| json!({ "spec": { "containers": containers } });
        let one = json!([{ "name": "app", "image": "a:1", "ports": [{ "containerPort": 80 }] }]);
        let live = apply_as("a", &kind, None, pod(one), false).unwrap();
        let two = json!([{ "name": "sidecar", "image": "s:1" }, { "name": "app",
            "ports": [{ "containerPort": 80, "protocol": "UDP" }] }]);
        let live = apply_as("b", &kind, Some(&live), pod(two), false).unwrap();
        assert_eq!(live["spec"]["containers"].as_array().unwrap().len(), 2);
        assert_eq!(live["spec"]["containers"][1]["ports"].as_array().unwrap().len(), 2);
        let live = apply_as("b", &kind, Some(&live), pod(json!([])), true).unwrap();
        assert_eq!(live["spec"]["containers"].as_array().unwrap().len(), 1);
        assert_eq!(live["spec"]["containers"][0]["ports"].as_array().unwrap().len(), 1);
    }
}
