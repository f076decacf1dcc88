//! From a change of an object to the keys that have to be reconciled.

use wheelhouse_cache::{Cause, Delta};
use wheelhouse_core::spec::{Mapping, Source};
use wheelhouse_core::{FieldSelector, Key, Kind, Object, Value};

/// Whether an object is one that the source asks for.
pub(crate) fn selects(source: &Source, key: &Key, object: &Object) -> bool {
    (source.namespaces.is_empty() || source.namespaces.contains(&key.namespace))
        && source.selector.matches(object.value())
        && source.field_selector.matches(object.value())
}

/// Whether a change is one that the source asks for. `folded`: the object had states between that it does not
/// show, and that a reconcile may have read.
pub(crate) fn concerns(source: &Source, delta: &Delta, folded: bool) -> bool {
    // What comes into the selection is created for the source, and what leaves is deleted, whether or not
    // the informer has more of the kind.
    if folded && goes_by_status(source) {
        // What went and has come back by now was another state in between.
        let within = Source { field_selector: FieldSelector::default(), ..source.clone() };
        return [&delta.old, &delta.new].into_iter().flatten().any(|o| selects(&within, &delta.key, o));
    }
    let selected = |object: &Object| selects(source, &delta.key, object);
    let old = delta.old.as_ref().filter(|object| selected(object)).map(Object::value);
    let new = delta.new.as_ref().filter(|object| selected(object)).map(Object::value);
    if old.is_none() && new.is_none() {
        return false;
    }
    // A resync is of everything, changed or not.
    delta.cause == Cause::Resync || source.predicate.holds(old, new)
}

/// Whether a status is what the source goes by. States that differ in nothing else are folded.
fn goes_by_status(source: &Source) -> bool {
    let selected = source.field_selector.requirements().iter().map(|requirement| &requirement.path);
    source.predicate.paths().into_iter().chain(selected).any(|path| path.to_string().starts_with(".status"))
}

/// The reconciled kind, as far as mapping to its keys goes.
pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) namespaced: bool,
    /// What of it is reconciled; all namespaces if there are none.
    pub(crate) namespaces: Vec<String>,
}

impl Target {
    /// None if nothing that is reconciled can be called so.
    fn key(&self, namespace: &str, name: &str) -> Option<Key> {
        let key = Key::new(if self.namespaced { namespace } else { "" }, name);
        let within = !self.namespaced
            || (!namespace.is_empty()
                && (self.namespaces.is_empty() || self.namespaces.contains(&key.namespace)));
        (within && key.is_possible()).then_some(key)
    }

    /// By a name in this namespace, or by `namespace/name`.
    fn key_of(&self, namespace: &str, text: &str) -> Option<Key> {
        match text.split_once('/') {
            Some((namespace, name)) if self.namespaced => self.key(namespace, name),
            _ => self.key(namespace, text),
        }
    }

    /// The owners of this kind, of the object before and after: a change of owner concerns both. The
    /// controller alone, or all of them.
    pub(crate) fn owners(&self, any_owner: bool, delta: &Delta) -> Vec<Key> {
        let mut keys = Vec::new();
        for object in [&delta.old, &delta.new].into_iter().flatten() {
            let Some(owners) = object.value().at(&["metadata", "ownerReferences"]) else { continue };
            let counts = |owner: &Value<'_>| {
                any_owner || owner.get("controller").and_then(Value::as_bool) == Some(true)
            };
            for owner in owners.items().filter(counts) {
                let text = |field| owner.get(field).and_then(Value::as_str).unwrap_or_default();
                // The version may differ: an object has its owner, whatever version it was named by.
                let group = text("apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
                if group == self.kind.group() && text("kind") == self.kind.kind() {
                    push(&mut keys, self.key(object.namespace(), text("name")));
                }
            }
        }
        keys
    }

    /// What a label, an annotation or a field names, before and after. None for the plugin's own `map`.
    pub(crate) fn mapped(&self, mapping: &Mapping, delta: &Delta) -> Vec<Key> {
        let mut keys = Vec::new();
        for object in [&delta.old, &delta.new].into_iter().flatten() {
            let (value, namespace) = (object.value(), object.namespace());
            match mapping {
                Mapping::Label(label) => {
                    let name = value.at(&["metadata", "labels", label]).and_then(Value::as_str);
                    push(&mut keys, name.and_then(|name| self.key(namespace, name)));
                }
                Mapping::Annotation(annotation) => {
                    let name = value.at(&["metadata", "annotations", annotation]).and_then(Value::as_str);
                    push(&mut keys, name.and_then(|name| self.key_of(namespace, name)));
                }
                Mapping::Field(path) => {
                    path.texts(value).iter().for_each(|text| push(&mut keys, self.key_of(namespace, text)));
                }
                Mapping::Plugin => {}
            }
        }
        keys
    }
}

fn push(keys: &mut Vec<Key>, key: Option<Key>) {
    keys.extend(key.filter(|key| !keys.contains(key)));
}

#[cfg(test)]
mod tests;
