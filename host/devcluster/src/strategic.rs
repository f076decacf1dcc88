//! Strategic merge patch for the built-in kinds: lists merge by their keys, and `$patch`,
//! `$retainKeys`, `$setElementOrder/…` and `$deleteFromPrimitiveList/…` are obeyed, or refused if they make no sense.

mod malformed;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub(crate) use self::malformed::Malformed;
use crate::object::Json;
use crate::shape::Shape;

const RETAIN: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder";
const DELETE: &str = "$deleteFromPrimitiveList";

/// The field that a directive is about, if the name is one of such a directive.
fn field_of<'a>(name: &'a str, directive: &str) -> Option<&'a str> {
    name.strip_prefix(directive)?.strip_prefix('/')
}

/// Applies a patch to an object.
pub(crate) fn patch(target: &mut Json, patch: &Json, shape: &Shape<'_>) -> Result<(), Malformed> {
    match patch.get("$patch") {
        Some(directive) if directive == "replace" => {
            *target = patch.clone();
            target.remove("$patch");
            return Ok(());
        }
        Some(directive) if directive == "delete" => {
            target.clear();
            return Ok(());
        }
        Some(other) => return Err(malformed::unknown_directive(other, patch)),
        None => malformed::check_fields(target, patch, shape)?,
    }
    if let Some(retained) = patch.get(RETAIN).and_then(Value::as_array) {
        let retained: BTreeSet<&str> = retained.iter().filter_map(Value::as_str).collect();
        target.retain(|name, _| retained.contains(name.as_str()));
    }
    let ordered = patch.keys().filter_map(|name| field_of(name, ORDER));
    let live_before: BTreeMap<&str, Vec<Value>> =
        ordered.filter_map(|field| Some((field, target.get(field)?.as_array()?.clone()))).collect();
    for (name, value) in patch {
        if let Some(field) = field_of(name, DELETE) {
            if let (Some(Value::Array(live)), Some(gone)) = (target.get_mut(field), value.as_array()) {
                let gone = texts(gone);
                live.retain(|item| !gone.contains(&item.to_string()));
            }
        } else if name != RETAIN && !name.starts_with(ORDER) {
            let before = target.get(name).and_then(Value::as_array).cloned();
            patch_field(target, name, value, &shape.field(name))?;
            if let (Some(before), Some(order)) = (before, value.as_array())
                && !patch.contains_key(&format!("{ORDER}/{name}"))
                && is_merged(&shape.field(name))
            {
                arrange(target, name, order, &before, shape);
            }
        }
    }
    for (name, value) in patch {
        if let (Some(field), Some(order)) = (field_of(name, ORDER), value.as_array()) {
            arrange(target, field, order, live_before.get(field).map_or(&[], Vec::as_slice), shape);
        }
    }
    Ok(())
}

fn patch_field(target: &mut Json, name: &str, value: &Value, shape: &Shape<'_>) -> Result<(), Malformed> {
    match value {
        Value::Null => {
            target.remove(name);
        }
        Value::Object(inner) => {
            let mut live = match target.remove(name) {
                Some(Value::Object(live)) if shape.patch_strategy() != "replace" => live,
                _ => Json::new(),
            };
            let is_deleted = inner.get("$patch").and_then(Value::as_str) == Some("delete");
            patch(&mut live, inner, shape)?;
            if !is_deleted {
                target.insert(name.to_owned(), Value::Object(live));
            }
        }
        Value::Array(items) => {
            let live = match target.remove(name) {
                Some(Value::Array(live)) => {
                    if is_merged(shape) {
                        malformed::check_items(&live, items, shape.merge_key())?;
                    }
                    live
                }
                _ => Vec::new(),
            };
            target.insert(name.to_owned(), Value::Array(patch_list(live, items, shape)?));
        }
        scalar => {
            target.insert(name.to_owned(), scalar.clone());
        }
    }
    Ok(())
}

/// Whether a patch adds to the list at this position.
fn is_merged(shape: &Shape<'_>) -> bool {
    shape.merge_key().is_some() || shape.patch_strategy() == "merge"
}

fn patch_list(mut live: Vec<Value>, items: &[Value], shape: &Shape<'_>) -> Result<Vec<Value>, Malformed> {
    let directive = |item: &Value| item.get("$patch").and_then(Value::as_str).map(str::to_owned);
    if items.iter().any(|item| directive(item).as_deref() == Some("replace")) {
        return Ok(items.iter().filter(|item| directive(item).is_none()).cloned().collect());
    }
    let Some(key) = shape.merge_key() else {
        if shape.patch_strategy() == "merge" {
            let known = texts(&live);
            live.extend(items.iter().filter(|item| !known.contains(&item.to_string())).cloned());
            return Ok(live);
        }
        return Ok(items.to_vec());
    };
    let item_shape = shape.item();
    let key_of = |item: &Value| item.get(key).map(Value::to_string);
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, item) in live.iter().enumerate() {
        if let Some(key) = key_of(item) {
            places.entry(key).or_default().push(index);
        }
    }
    let mut deleted = BTreeSet::new();
    for item in items {
        let Some(patch_item) = item.as_object() else {
            // There was no list that this could be compared to.
            live.push(item.clone());
            continue;
        };
        let key = key_of(item);
        if directive(item).as_deref() == Some("delete") {
            deleted.extend(key.and_then(|key| places.remove(&key)).into_iter().flatten());
            continue;
        }
        let place = key.as_ref().and_then(|key| places.get(key)?.first()).copied();
        match place.and_then(|index| live.get_mut(index)).and_then(Value::as_object_mut) {
            Some(existing) => patch(existing, patch_item, &item_shape)?,
            None => {
                let mut new = Json::new();
                patch(&mut new, patch_item, &item_shape)?;
                places.entry(key.unwrap_or_default()).or_default().push(live.len());
                live.push(Value::Object(new));
            }
        }
    }
    let kept = live.into_iter().enumerate().filter(|(index, _)| !deleted.contains(index));
    Ok(kept.map(|(_, item)| item).collect())
}

/// The values of a list as texts, which are found faster.
fn texts(items: &[Value]) -> BTreeSet<String> {
    items.iter().map(Value::to_string).collect()
}

/// Puts the items of a list that the order names in that order. The others keep theirs, and stand where they stood:
/// one is before a named item if it was so before the patch, and after what is new.
fn arrange(target: &mut Json, field: &str, order: &[Value], before: &[Value], shape: &Shape<'_>) {
    let Some(Value::Array(merged)) = target.get_mut(field) else { return };
    let key = shape.field(field).merge_key();
    let name = |item: &Value| match key {
        Some(key) => item.get(key).map(Value::to_string),
        None => Some(item.to_string()),
    };
    let positions = |list: &[Value]| {
        let mut positions = BTreeMap::new();
        for (position, item) in list.iter().enumerate() {
            if let Some(name) = name(item) {
                positions.entry(name).or_insert(position);
            }
        }
        positions
    };
    let (order, before) = (positions(order), positions(before));
    let position = |item: &Value, list: &BTreeMap<String, usize>| list.get(&name(item)?).copied();
    let (mut named, others): (Vec<Value>, Vec<Value>) =
        std::mem::take(merged).into_iter().partition(|item| position(item, &order).is_some());
    named.sort_by_cached_key(|item| position(item, &order));
    let mut others = others.into_iter().peekable();
    for item in named {
        let was_before = |other: &Value| match (position(other, &before), position(&item, &before)) {
            (Some(other), Some(item)) => other < item,
            _ => false,
        };
        while let Some(other) = others.next_if(was_before) {
            merged.push(other);
        }
        merged.push(item);
    }
    merged.extend(others);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tried_as(kind: &str, target: Value, change: Value) -> Result<Value, Malformed> {
        let kind = crate::builtin::kinds().into_iter().find(|found| found.kind == kind).unwrap();
        let mut target = target.as_object().unwrap().clone();
        patch(&mut target, change.as_object().unwrap(), &Shape::of(&kind))?;
        Ok(Value::Object(target))
    }

    fn patched_as(kind: &str, target: Value, change: Value) -> Value {
        tried_as(kind, target, change).unwrap()
    }

    /// A patch of the `spec` of a Pod.
    fn patched(spec: Value, change: Value) -> Value {
        patched_as("Pod", json!({ "spec": spec }), json!({ "spec": change }))["spec"].clone()
    }

    #[test]
    fn lists_with_a_merge_key_merge_by_it() {
        let live = json!({ "containers": [{ "name": "a", "image": "1" }, { "name": "b", "image": "1" }] });
        let result = patched(live, json!({ "containers": [{ "name": "b", "image": "2" }, { "name": "c" }] }));
        let expected = json!({ "containers": [
            { "name": "a", "image": "1" }, { "name": "b", "image": "2" }, { "name": "c" }] });
        assert_eq!(result, expected);
    }

    #[test]
    fn an_item_and_a_whole_list_can_be_deleted_or_replaced() {
        let live =
            json!({ "containers": [{ "name": "a" }, { "name": "b" }], "tolerations": [{ "key": "x" }] });
        let result = patched(live.clone(), json!({ "containers": [{ "name": "a", "$patch": "delete" }] }));
        assert_eq!(result["containers"], json!([{ "name": "b" }]));
        let change = json!({ "containers": [{ "$patch": "replace" }, { "name": "z" }],
            "tolerations": [{ "key": "y" }] });
        let expected = json!({ "containers": [{ "name": "z" }], "tolerations": [{ "key": "y" }] });
        assert_eq!(patched(live, change), expected);
    }

    #[test]
    fn null_removes_and_order_and_primitive_directives_are_obeyed() {
        let live = json!({ "spec": { "hostname": "h", "volumes": [{ "name": "x" }, { "name": "y" }] },
            "metadata": { "finalizers": ["f/1", "f/2"] } });
        let change = json!({ "spec": { "hostname": null,
                "$setElementOrder/volumes": [{ "name": "y" }, { "name": "x" }] },
            "metadata": { "$deleteFromPrimitiveList/finalizers": ["f/1"], "finalizers": ["f/3"] } });
        let expected = json!({ "spec": { "volumes": [{ "name": "y" }, { "name": "x" }] },
            "metadata": { "finalizers": ["f/3", "f/2"] } });
        assert_eq!(patched_as("Pod", live, change), expected);
    }

    #[test]
    fn only_the_keys_that_are_to_be_retained_stay() {
        let live = json!({ "volumes": [{ "name": "v", "emptyDir": { "medium": "Memory" } }] });
        let change = json!({ "volumes": [{ "$retainKeys": ["configMap", "name"], "name": "v",
            "configMap": { "name": "c" } }] });
        assert_eq!(
            patched(live, change),
            json!({ "volumes": [{ "name": "v", "configMap": { "name": "c" } }] })
        );
    }

    #[test]
    fn lists_of_one_name_merge_as_their_types_say() {
        let service = json!({ "spec": { "ports": [{ "port": 53, "protocol": "TCP", "nodePort": 30053 }] } });
        let change = json!({ "spec": { "ports": [{ "port": 53, "name": "dns" }] } });
        let expected = json!([{ "port": 53, "protocol": "TCP", "nodePort": 30053, "name": "dns" }]);
        assert_eq!(patched_as("Service", service, change)["spec"]["ports"], expected);
        let policy = json!({ "spec": { "ingress": [{ "ports": [{ "port": 53, "protocol": "UDP" }] }] } });
        let change = json!({ "spec": { "ingress": [{ "ports": [{ "port": 53 }] }] } });
        let expected = json!([{ "ports": [{ "port": 53 }] }]);
        assert_eq!(patched_as("NetworkPolicy", policy, change)["spec"]["ingress"], expected);
    }

    #[test]
    fn a_selector_is_replaced_where_the_strategy_says_so() {
        let live = json!({ "spec": { "selector": { "matchLabels": { "a": "1" } } } });
        let change = json!({ "spec": { "selector": { "matchLabels": { "b": "2" } } } });
        let merged = patched_as(
            "NetworkPolicy",
            json!({ "spec": { "podSelector": live["spec"]["selector"] } }),
            json!({ "spec": { "podSelector": change["spec"]["selector"] } }),
        );
        assert_eq!(merged["spec"]["podSelector"], json!({ "matchLabels": { "a": "1", "b": "2" } }));
        assert_eq!(patched_as("PodDisruptionBudget", live, change.clone()), change);
    }

    #[test]
    fn what_is_new_comes_before_what_the_patch_does_not_name() {
        let names = |list: &[&str]| Value::from_iter(list.iter().map(|name| json!({ "name": name })));
        let live = json!({ "containers": names(&["a", "b"]) });
        let result = patched(live.clone(), json!({ "containers": names(&["c"]) }));
        assert_eq!(result["containers"], names(&["c", "a", "b"]));
        let result = patched(live.clone(), json!({ "containers": names(&["b", "c"]) }));
        assert_eq!(result["containers"], names(&["a", "b", "c"]));
        let change =
            json!({ "containers": names(&["c"]), "$setElementOrder/containers": names(&["b", "c", "a"]) });
        assert_eq!(patched(live, change)["containers"], names(&["b", "c", "a"]));
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_the_words_of_a_cluster() {
        let live = json!({ "containers": [{ "name": "a" }], "volumes": [{ "name": "v", "emptyDir": {} }] });
        let refused = |change: Value| {
            let pod = json!({ "spec": live, "metadata": { "finalizers": ["f/1"] } });
            let error: crate::error::ApiError = tried_as("Pod", pod, change).unwrap_err().into();
            (error.code, error.message)
        };
        let of_spec = |change: Value| refused(json!({ "spec": change }));
        for (change, code, message) in [
            (
                json!({ "containers": ["x"] }),
                500,
                "list element types are not identical: [[map[name:a]] [x]]",
            ),
            (
                json!({ "containers": [[]] }),
                500,
                "list element types are not identical: [[map[name:a]] [[]]]",
            ),
            (
                json!({ "containers": [{ "image": "x" }] }),
                500,
                "map: map[image:x] does not contain declared merge key: name",
            ),
            (
                json!({ "containers": [{ "$patch": "delete" }] }),
                500,
                "map: map[$patch:delete] does not contain declared merge key: name",
            ),
            (
                json!({ "containers": [{ "$patch": "bogus", "name": "a" }] }),
                500,
                "unknown patch type: bogus in map: map[$patch:bogus name:a]",
            ),
            (json!({ "$patch": "merge" }), 500, "unknown patch type: merge in map: map[$patch:merge]"),
            (
                json!({ "containers": [{ "$patch": "merge" }] }),
                500,
                "merging lists cannot yet be specified in the patch",
            ),
            (
                json!({ "volumes": [{ "name": "v", "$retainKeys": ["name"], "secret": {} }] }),
                400,
                "invalid patch format of retainKeys",
            ),
            (json!({ "$retainKeys": "containers" }), 400, "invalid patch format of retainKeys"),
            (json!({ "$setElementOrder": [] }), 400, "invalid patch format of setElementOrder list"),
            (json!({ "$deleteFromPrimitiveListX": [] }), 400, "invalid patch format of primitive list"),
            (
                json!({ "$setElementOrder/containers": "a" }),
                500,
                "expected a []interface {}, but received a string",
            ),
            (
                json!({ "$setElementOrder/containers": [{ "name": "b" }], "containers": [{ "name": "a" }] }),
                500,
                "The order in patch list:\n[map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n",
            ),
        ] {
            assert_eq!(of_spec(change), (code, message.to_owned()));
        }
        let order = json!({ "$setElementOrder/finalizers": ["f/2", "f/1"], "finalizers": ["f/1", "f/2"] });
        assert_eq!(refused(json!({ "metadata": order })).0, 500);
        let order =
            json!({ "$setElementOrder/finalizers": ["f/2", "f/0", "f/1"], "finalizers": ["f/2", "f/1"] });
        let pod = json!({ "metadata": { "finalizers": ["f/1"] } });
        let pod = patched_as("Pod", pod, json!({ "metadata": order }));
        assert_eq!(pod["metadata"]["finalizers"], json!(["f/2", "f/1"]));
        let kept = json!({ "spec": { "$setElementOrder/containers": [{ "name": "b" }, { "name": "a" }],
            "containers": [{ "name": "a", "$patch": "delete" }, { "name": "b" }] } });
        let pod = tried_as("Pod", json!({ "spec": live }), kept).unwrap();
        assert_eq!(pod["spec"]["containers"], json!([{ "name": "b" }]));
    }
}
