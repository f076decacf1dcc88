//! From a change of an object to the keys that have to be reconciled.

use wheelhouse_cache::Delta;
use wheelhouse_core::spec::{Mapping, Source};
use wheelhouse_core::{Key, Kind, Object, Value};

/// Whether a change is one that the source asks for.
pub(crate) fn concerns(source: &Source, delta: &Delta) -> bool {
    if !source.namespaces.is_empty() && !source.namespaces.contains(&delta.key.namespace) {
        return false;
    }
    let selected =
        |object: &Option<Object>| object.as_ref().is_some_and(|o| source.selector.matches(o.value()));
    if !selected(&delta.old) && !selected(&delta.new) {
        return false;
    }
    match (&delta.old, &delta.new) {
        (Some(old), Some(new)) if !source.predicates.is_empty() => {
            let (old, new) = (old.value(), new.value());
            // A new UID is another object under the same name; a deletion that begins must be seen.
            ["uid", "deletionTimestamp"].iter().any(|f| old.at(&["metadata", f]) != new.at(&["metadata", f]))
                || source.predicates.iter().any(|predicate| predicate.holds(old, new))
        }
        _ => true,
    }
}

/// The reconciled kind, as far as mapping to its keys goes.
pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) namespaced: bool,
}

impl Target {
    fn key(&self, namespace: &str, name: &str) -> Key {
        Key::new(if self.namespaced { namespace } else { "" }, name)
    }

    /// The controller owners of this kind, of the object before and after: a change of owner
    /// concerns both.
    pub(crate) fn owners(&self, delta: &Delta) -> Vec<Key> {
        let mut keys = Vec::new();
        for object in [&delta.old, &delta.new].into_iter().flatten() {
            let Some(owners) = object.value().at(&["metadata", "ownerReferences"]) else { continue };
            let owner =
                owners.items().find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true));
            let Some(owner) = owner else { continue };
            let text = |field| owner.get(field).and_then(Value::as_str).unwrap_or_default();
            // The version may differ: an object has one owner, whatever version it was named by.
            let group = text("apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
            if group == self.kind.group() && text("kind") == self.kind.kind() {
                push(&mut keys, self.key(object.namespace(), text("name")));
            }
        }
        keys
    }

    /// The names that a label or a field holds, before and after. None for the plugin's own `map`.
    pub(crate) fn mapped(&self, mapping: &Mapping, delta: &Delta) -> Vec<Key> {
        let mut keys = Vec::new();
        for object in [&delta.old, &delta.new].into_iter().flatten() {
            let mut name = |name: &str| {
                if !name.is_empty() {
                    push(&mut keys, self.key(object.namespace(), name));
                }
            };
            match mapping {
                Mapping::Label(label) => {
                    let value = object.value().at(&["metadata", "labels", label]).and_then(Value::as_str);
                    value.into_iter().for_each(&mut name);
                }
                Mapping::Field(path) => path.texts(object.value()).iter().for_each(|text| name(text)),
                Mapping::Plugin => {}
            }
        }
        keys
    }
}

fn push(keys: &mut Vec<Key>, key: Key) {
    if !keys.contains(&key) {
        keys.push(key);
    }
}
