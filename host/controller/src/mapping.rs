//! From a change of an object to the keys that have to be reconciled.

use wheelhouse_cache::{Cause, Delta};
use wheelhouse_core::spec::{Mapping, Source};
use wheelhouse_core::{Key, Kind, Object, Value};

/// Whether an object is one that the source asks for.
pub(crate) fn selects(source: &Source, key: &Key, object: &Object) -> bool {
    (source.namespaces.is_empty() || source.namespaces.contains(&key.namespace))
        && source.selector.matches(object.value())
        && source.field_selector.matches(object.value())
}

/// Whether a change is one that the source asks for.
pub(crate) fn concerns(source: &Source, delta: &Delta) -> bool {
    let selected =
        |object: &Option<Object>| object.as_ref().is_some_and(|object| selects(source, &delta.key, object));
    if !selected(&delta.old) && !selected(&delta.new) {
        return false;
    }
    match (&delta.old, &delta.new) {
        // A resync is of everything, changed or not.
        (Some(old), Some(new)) if !source.predicates.is_empty() && delta.cause != Cause::Resync => {
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

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};
    use wheelhouse_core::spec::Predicate;

    use super::*;

    fn object(json: &Json) -> Object {
        Object::from_value(json).unwrap()
    }

    fn delta(old: Option<Json>, new: Option<Json>) -> Delta {
        let (old, new) = (old.as_ref().map(object), new.as_ref().map(object));
        let key = new.as_ref().or(old.as_ref()).unwrap().key();
        Delta { key, old, new, cause: Cause::Live }
    }

    fn target() -> Target {
        Target { kind: "apps/v1/ReplicaSet".parse().unwrap(), namespaced: true }
    }

    fn owned_by(name: &str, api_version: &str, controller: bool) -> Json {
        json!({"metadata": {"namespace": "ns", "name": "pod", "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": "other", "controller": false},
            {"apiVersion": api_version, "kind": "ReplicaSet", "name": name, "controller": controller},
        ]}})
    }

    #[test]
    fn the_controller_owner_is_requested_whatever_version_it_was_named_by() {
        let keys = |json| target().owners(&delta(None, Some(json)));
        assert_eq!(keys(owned_by("web", "apps/v1", true)), [Key::new("ns", "web")]);
        assert_eq!(keys(owned_by("web", "apps/v1beta1", true)), [Key::new("ns", "web")]);
        assert!(keys(owned_by("web", "apps/v1", false)).is_empty(), "an owner that is no controller");
        assert!(keys(owned_by("web", "other/v1", true)).is_empty(), "another group");
        let node = Target { kind: "v1/Node".parse().unwrap(), namespaced: false };
        let json = json!({"metadata": {"namespace": "ns", "name": "cm", "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": "n1", "controller": true}]}});
        assert_eq!(node.owners(&delta(None, Some(json))), [Key::new("", "n1")]);
    }

    #[test]
    fn trap_33_an_update_requests_the_old_owner_and_the_new_one() {
        let delta = delta(Some(owned_by("old", "apps/v1", true)), Some(owned_by("new", "apps/v1", true)));
        assert_eq!(target().owners(&delta), [Key::new("ns", "old"), Key::new("ns", "new")]);
    }

    #[test]
    fn a_mapping_looks_at_the_object_before_and_after() {
        let pod = |node: Option<&str>, label: &str| json!({"metadata": {"namespace": "ns", "name": "p", "labels": {"app": label}}, "spec": {"nodeName": node}});
        let node = Target { kind: "v1/Node".parse().unwrap(), namespaced: false };
        let field = Mapping::Field(".spec.nodeName".parse().unwrap());
        let moved = delta(Some(pod(None, "a")), Some(pod(Some("n1"), "b")));
        assert_eq!(node.mapped(&field, &moved), [Key::new("", "n1")], "from no node to a node");
        let gone = delta(Some(pod(Some("n1"), "a")), None);
        assert_eq!(node.mapped(&field, &gone), [Key::new("", "n1")]);
        let label = Mapping::Label("app".to_owned());
        assert_eq!(target().mapped(&label, &moved), [Key::new("ns", "a"), Key::new("ns", "b")]);
    }

    fn source(predicates: Vec<Predicate>) -> Source {
        Source {
            kind: "v1/Pod".parse().unwrap(),
            namespaces: vec!["ns".to_owned()],
            selector: "app=web".parse().unwrap(),
            field_selector: "spec.nodeName!=n2".parse().unwrap(),
            fields: Default::default(),
            predicates,
        }
    }

    #[test]
    fn a_source_hears_of_its_namespaces_and_of_what_its_selector_matched_or_matches() {
        let pod = |namespace: &str, app: &str| json!({"metadata": {"namespace": namespace, "name": "p", "labels": {"app": app}}});
        let concerns = |old, new| concerns(&source(Vec::new()), &delta(old, new));
        assert!(concerns(None, Some(pod("ns", "web"))));
        assert!(!concerns(None, Some(pod("other", "web"))));
        assert!(!concerns(None, Some(pod("ns", "db"))));
        let mut elsewhere = pod("ns", "web");
        elsewhere["spec"] = json!({"nodeName": "n2"});
        assert!(!concerns(None, Some(elsewhere.clone())));
        assert!(concerns(Some(pod("ns", "web")), Some(elsewhere)), "it is selected no more");
        assert!(concerns(Some(pod("ns", "web")), Some(pod("ns", "db"))), "it is selected no more");
        assert!(concerns(Some(pod("ns", "web")), None));
    }

    #[test]
    fn trap_34_a_status_write_is_no_news_to_who_asks_for_generations() {
        let pod = |generation: u32, phase: &str, uid: &str, deleting: Option<&str>| {
            json!({"metadata": {"namespace": "ns", "name": "p", "uid": uid, "labels": {"app": "web"},
                   "generation": generation, "deletionTimestamp": deleting}, "status": {"phase": phase}})
        };
        let source = source(vec![Predicate::GenerationChanged]);
        let before = || Some(pod(1, "Pending", "a", None));
        let concerns = |new| concerns(&source, &delta(before(), Some(new)));
        assert!(!concerns(pod(1, "Running", "a", None)));
        assert!(concerns(pod(2, "Pending", "a", None)));
        let again = Delta { cause: Cause::Resync, ..delta(before(), Some(pod(1, "Pending", "a", None))) };
        assert!(super::concerns(&source, &again), "a resync asks for no change");
        assert!(concerns(pod(1, "Pending", "b", None)), "created again with an equal generation");
        assert!(concerns(pod(1, "Pending", "a", Some("2026-01-01T00:00:00Z"))), "a deletion begins");
    }
}
