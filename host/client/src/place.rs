//! Where an object is on the API server. What names it comes from a plugin: nothing in it may lead
//! anywhere else.

use wheelhouse_cache::ApiResource;
use wheelhouse_core::{ApiError, Key};

use crate::read::{in_a_namespace, in_no_namespace};

fn bad(what: &str, text: &str) -> ApiError {
    let text: String = text.chars().take(100).collect();
    ApiError::BadRequest(format!("{text:?} is no {what}"))
}

fn check_namespace(resource: &ApiResource, namespace: &str) -> Result<(), ApiError> {
    if namespace.is_empty() {
        return Ok(());
    }
    if !resource.namespaced {
        return Err(in_no_namespace(resource.kind.as_str()));
    }
    if Key::is_namespace(namespace) { Ok(()) } else { Err(bad("namespace", namespace)) }
}

/// The path of a kind's objects, in a namespace or in all.
pub(crate) fn collection(resource: &ApiResource, namespace: &str) -> Result<String, ApiError> {
    check_namespace(resource, namespace)?;
    Ok(resource.path(namespace, "", ""))
}

/// The path that an object is created at.
pub(crate) fn home(resource: &ApiResource, namespace: &str) -> Result<String, ApiError> {
    if resource.namespaced && namespace.is_empty() {
        return Err(in_a_namespace(resource.kind.as_str()));
    }
    collection(resource, namespace)
}

/// The path of one object, or of a subresource of it.
pub(crate) fn path(resource: &ApiResource, key: &Key, subresource: &str) -> Result<String, ApiError> {
    home(resource, &key.namespace)?;
    if !Key::is_name(&key.name) {
        return Err(bad("name", &key.name));
    }
    if !subresource.is_empty() && !subresource.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') {
        return Err(bad("subresource", subresource));
    }
    Ok(resource.path(&key.namespace, &key.name, subresource))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(namespaced: bool) -> ApiResource {
        ApiResource {
            kind: "v1/ConfigMap".parse().unwrap(),
            plural: "configmaps".into(),
            namespaced,
            subresources: vec![],
        }
    }

    #[test]
    fn no_name_leads_to_another_place() {
        for name in ["", ".", "..", "../secrets/x", "a/b", "a?x=y", "a#b", "a%2fb", "a b", "a\n", "é"] {
            let error = path(&resource(true), &Key::new("n", name), "").unwrap_err();
            assert!(matches!(error, ApiError::BadRequest(_)), "{name}: {error:?}");
        }
        for namespace in ["..", "a/b", "A", "a.b", "a?"] {
            assert!(path(&resource(true), &Key::new(namespace, "a"), "").is_err(), "{namespace}");
        }
        assert!(path(&resource(true), &Key::new("n", "a"), "status/../..").is_err());
        assert_eq!(
            path(&resource(true), &Key::new("n", "system:a"), "status").unwrap(),
            "/api/v1/namespaces/n/configmaps/system%3Aa/status"
        );
    }

    #[test]
    fn a_namespace_is_given_where_the_kind_has_them_and_only_there() {
        assert!(path(&resource(true), &Key::new("", "a"), "").is_err());
        assert!(path(&resource(false), &Key::new("n", "a"), "").is_err());
        assert!(path(&resource(false), &Key::new("", "a"), "").is_ok());
    }
}
