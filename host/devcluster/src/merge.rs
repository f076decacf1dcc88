//! Lays an applied configuration over what is there: maps by field, keyed lists by key, sets by value, all else whole.
//!
//! Promises: applied items stand in the order in which they were applied; what only the live list has keeps its place
//! among those that both have. Follows KEP-555 ("Server-side Apply") as `structured-merge-diff` has it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fields::Step;
use crate::shape::{ListType, Shape};

/// Lays one value over another.
pub(crate) fn merge(live: &mut Value, applied: &Value, shape: &Shape<'_>) {
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) if !shape.is_atomic_map() => {
            for (name, value) in applied {
                match live.get_mut(name) {
                    Some(existing) => merge(existing, value, &shape.field(name)),
                    None => {
                        live.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (Value::Array(live), Value::Array(applied)) => match shape.list_type().as_ref() {
            ListType::Atomic => *live = applied.clone(),
            list => *live = items(std::mem::take(live), applied, list, &shape.item()),
        },
        (live, applied) => *live = applied.clone(),
    }
}

/// An item of the live list.
enum Live {
    /// It is applied, too, at this place.
    Shared(usize),
    Other(Value),
}

/// The items of both lists.
fn items(live: Vec<Value>, applied: &[Value], list: &ListType, shape: &Shape<'_>) -> Vec<Value> {
    let places: BTreeMap<Step, usize> = applied
        .iter()
        .enumerate()
        .filter_map(|(place, item)| Some((Step::of_item(item, list)?, place)))
        .collect();
    let mut shared = BTreeMap::new();
    let mut order = Vec::new();
    for item in live {
        let place = Step::of_item(&item, list).and_then(|step| places.get(&step)).copied();
        let Some(place) = place else {
            order.push(Live::Other(item));
            continue;
        };
        order.push(Live::Shared(place));
        // Which one of two of a key would merge cannot be told: what is applied stands for both.
        shared.entry(place).and_modify(|item| *item = Value::Null).or_insert(item);
    }
    let mut merged = Vec::new();
    let mut rest = applied.iter().enumerate().peekable();
    for item in order {
        match item {
            Live::Other(item) => merged.push(item),
            Live::Shared(place) => {
                // One that is applied before another that was live before it waits for that.
                let is_next = shared.first_key_value().is_some_and(|(next, _)| *next == place);
                while let Some((at, item)) = rest.next_if(|(at, _)| is_next && *at <= place) {
                    merged.push(over(shared.remove(&at), item, shape));
                }
            }
        }
    }
    merged.extend(rest.map(|(at, item)| over(shared.remove(&at), item, shape)));
    merged
}

fn over(live: Option<Value>, applied: &Value, shape: &Shape<'_>) -> Value {
    let mut merged = live.unwrap_or_default();
    merge(&mut merged, applied, shape);
    merged
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Names of containers, as they stand after these were applied to those.
    fn order(live: &[&str], applied: &[&str]) -> Vec<String> {
        let pod = crate::builtin::kinds().into_iter().find(|kind| kind.kind == "Pod").unwrap();
        let list = |names: &[&str]| Value::from_iter(names.iter().map(|name| json!({ "name": name })));
        let pod_of = |names: &[&str]| json!({ "spec": { "containers": list(names) } });
        let mut merged = pod_of(live);
        merge(&mut merged, &pod_of(applied), &Shape::of(&pod));
        let containers = merged["spec"]["containers"].as_array().unwrap();
        containers.iter().map(|container| container["name"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn applied_items_stand_as_applied_and_others_where_they_stood() {
        assert_eq!(order(&["a", "b"], &["b", "a"]), ["b", "a"]);
        assert_eq!(order(&["a", "b"], &["n", "b", "a"]), ["n", "b", "a"]);
        assert_eq!(order(&["x", "a", "y", "b", "z"], &["b", "n", "a"]), ["x", "y", "b", "z", "n", "a"]);
        assert_eq!(order(&["a", "x", "b"], &["a", "n", "b"]), ["a", "x", "n", "b"]);
        assert_eq!(order(&["x"], &["n"]), ["x", "n"]);
        assert_eq!(order(&[], &["n", "m"]), ["n", "m"]);
        assert_eq!(order(&["a", "a", "b"], &["b", "a"]), ["b", "a"]);
    }
}
