//! What of a resource is kept for the next start, and read again.

use serde_json::{Map, Value, json};
use wheelhouse_core::Object;

use super::source::kind;
use super::{GROUP, VERSION};
use crate::plugin_id::PluginId;

/// Which resource it is, what it wants, and what hosts have told each other of it.
pub(super) fn essence(object: &Object) -> Value {
    let at = |path: &[&str]| object.value().at(path).map_or(Value::Null, |value| value.to_value());
    let pick = |of: &str, fields: &[&str]| {
        let all = fields.iter().map(|field| ((*field).to_owned(), at(&[of, field])));
        all.filter(|(_, value)| !value.is_null()).collect::<Map<String, Value>>()
    };
    json!({
        "metadata": pick("metadata", &["name", "namespace", "uid", "generation", "creationTimestamp"]),
        "spec": at(&["spec"]),
        "status": pick("status", &["digest", "configDigest", "rolledBack", "conditions"]),
    })
}

/// Which it was, and as it was.
pub(super) fn read(kept: &Value) -> Option<(PluginId, Object)> {
    let metadata = kept.get("metadata")?;
    let text = |field: &str| metadata.get(field)?.as_str();
    let namespace = text("namespace").unwrap_or_default().to_owned();
    let (kind, name) = (kind(!namespace.is_empty()), text("name")?.to_owned());
    let api_version = format!("{GROUP}/{VERSION}");
    let whole = json!({
        "apiVersion": api_version, "kind": kind.kind(), "metadata": metadata,
        "spec": kept.get("spec"), "status": kept.get("status"),
    });
    Some((PluginId::Resource { namespace, name }, Object::from_value(&whole).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::order;

    #[test]
    fn what_a_resource_wants_is_read_again_as_it_was() {
        for (namespace, place) in [
            ("", json!({"oci": "localhost:5000/echo:1"})),
            ("team-a", json!({"url": "https://example.com/echo.wasm"})),
        ] {
            let mut resource = json!({
                "apiVersion": "wheelhouse.dev/v1alpha1", "kind": kind(!namespace.is_empty()).kind(),
                "metadata": {"name": "n", "uid": "u", "generation": 3, "creationTimestamp": "2026-01-02T03:04:05Z",
                    "annotations": {"a": "b"}},
                "spec": {
                    "component": place, "config": {"a": [1, null]}, "paused": true,
                    "grant": {"rules": [{"verbs": ["get"], "kinds": ["v1/ConfigMap"], "namespaces": ["team-a"]}]},
                },
                "status": {"digest": "sha256:1", "configDigest": "sha256:2", "errors": 7,
                    "conditions": [{"type": "OnProbation", "status": "True"}]},
            });
            if !namespace.is_empty() {
                resource["metadata"]["namespace"] = json!(namespace);
            }
            let object = Object::from_value(&resource).unwrap();
            let kept = essence(&object);
            let (id, again) = read(&kept).unwrap();
            assert_eq!(id, PluginId::Resource { namespace: namespace.to_owned(), name: "n".to_owned() });
            let (was, is) = (order::read(&id, &object, None), order::guess(&id, &again));
            let confirmed = crate::source::Ordered { unconfirmed: false, ..(*is.ordered).clone() };
            assert_eq!((&*was.ordered, &was.wanted), (&confirmed, &is.wanted));
            assert!(was.wanted.is_ok() && was.ordered.told.on_probation && was.ordered.paused, "{was:?}");
            assert!(is.ordered.unconfirmed && was.ordered.created.starts_with("2026"));
            assert!(!kept.to_string().contains("annotations") && !kept.to_string().contains("errors"));
        }
        assert!(read(&json!({"metadata": {}})).is_none() && read(&json!("x")).is_none());
    }
}
