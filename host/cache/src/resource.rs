//! Discovery: how the cluster serves a kind.
//!
//! One GET per group and version, remembered, and repeated when a kind is asked for that is not in
//! it: a CRD may have been installed since.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use wheelhouse_core::Kind;

use crate::error::CacheError;
use crate::rest::{Failure, Rest, encode};

/// Of one request.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// How the cluster serves a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiResource {
    /// The kind.
    pub kind: Kind,
    /// Its name in paths: `pods`.
    pub plural: String,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Their subresources: `status`, `scale`, ...
    pub subresources: Vec<String>,
}

impl ApiResource {
    /// The path of an object (or of its subresource), or of the collection if the name is "". An
    /// empty namespace means all, and the kind's being cluster-scoped.
    pub fn path(&self, namespace: &str, name: &str, subresource: &str) -> String {
        let (group, version) = (self.kind.group(), self.kind.version());
        let mut path =
            if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let namespaces = if namespace.is_empty() { "" } else { "namespaces" };
        for segment in [namespaces, namespace, &self.plural, name, subresource] {
            if !segment.is_empty() {
                path.push('/');
                path.push_str(&encode(segment));
            }
        }
        path
    }
}

#[derive(Deserialize)]
struct ResourceList {
    #[serde(default)]
    resources: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    kind: String,
    #[serde(default)]
    namespaced: bool,
}

/// What is known of the cluster's kinds. Clones share it.
#[derive(Clone)]
pub struct ResourceMap {
    rest: Option<Rest>,
    known: Arc<Mutex<HashMap<Kind, Arc<ApiResource>>>>,
}

impl ResourceMap {
    /// Asks this server.
    pub fn new(rest: Rest) -> Self {
        Self { rest: Some(rest), known: Arc::default() }
    }

    /// Knows these, and asks nobody: for tests.
    pub fn fixed(resources: impl IntoIterator<Item = ApiResource>) -> Self {
        let known = resources.into_iter().map(|r| (r.kind.clone(), Arc::new(r))).collect();
        Self { rest: None, known: Arc::new(Mutex::new(known)) }
    }

    fn cached(&self, kind: &Kind) -> Option<Arc<ApiResource>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(kind).cloned()
    }

    /// How the cluster serves this kind; from memory if it was asked before.
    ///
    /// # Errors
    /// If it does not, or cannot say.
    pub async fn resolve(&self, kind: &Kind) -> Result<Arc<ApiResource>, CacheError> {
        match self.cached(kind) {
            Some(resource) => Ok(resource),
            None => self.refresh(kind).await,
        }
    }

    /// Likewise, asking again whatever was remembered: the kind was not where it was said to be.
    ///
    /// # Errors
    /// If it does not serve it, or cannot say.
    pub async fn refresh(&self, kind: &Kind) -> Result<Arc<ApiResource>, CacheError> {
        let unknown = || CacheError::UnknownKind { kind: kind.clone() };
        let Some(rest) = &self.rest else { return self.cached(kind).ok_or_else(unknown) };
        let discovery = |failure| CacheError::Discovery { kind: kind.clone(), failure };
        let (group, version) = (kind.group(), kind.version());
        let path = if group.is_empty() {
            format!("/api/{}", encode(version))
        } else {
            format!("/apis/{}/{}", encode(group), encode(version))
        };
        let found = match rest.send(Method::GET, &path, None, DISCOVERY_TIMEOUT).await {
            Ok(body) => {
                serde_json::from_slice::<ResourceList>(&body)
                    .map_err(|e| discovery(Failure::Unreadable(e.to_string())))?
                    .resources
            }
            Err(failure) if failure.code() == Some(404) => Vec::new(),
            Err(failure) => return Err(discovery(failure)),
        };
        let found = resources(kind.api_version(), &found);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // What the group version no longer lists is forgotten.
        known.retain(|kept, _| kept.api_version() != kind.api_version());
        known.extend(found.into_iter().map(|r| (r.kind.clone(), Arc::new(r))));
        known.get(kind).cloned().ok_or_else(unknown)
    }
}

/// An `APIResourceList` names subresources as `pods/status`, with a kind of their own.
fn resources(api_version: &str, entries: &[Entry]) -> Vec<ApiResource> {
    entries
        .iter()
        .filter(|entry| !entry.name.contains('/'))
        .filter_map(|entry| {
            let subresources = entries.iter().filter_map(|sub| {
                let (parent, name) = sub.name.split_once('/')?;
                (parent == entry.name).then(|| name.to_owned())
            });
            Some(ApiResource {
                kind: format!("{api_version}/{}", entry.kind).parse().ok()?,
                plural: entry.name.clone(),
                namespaced: entry.namespaced,
                subresources: subresources.collect(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(kind: &str, plural: &str) -> ApiResource {
        ApiResource {
            kind: kind.parse().unwrap(),
            plural: plural.into(),
            namespaced: true,
            subresources: vec![],
        }
    }

    #[test]
    fn a_path_has_group_namespace_name_and_subresource() {
        let pods = resource("v1/Pod", "pods");
        assert_eq!(pods.path("", "", ""), "/api/v1/pods");
        assert_eq!(pods.path("a", "b", "status"), "/api/v1/namespaces/a/pods/b/status");
        let apps = resource("apps/v1/Deployment", "deployments");
        assert_eq!(apps.path("a", "", ""), "/apis/apps/v1/namespaces/a/deployments");
        assert_eq!(apps.path("", "x:y", ""), "/apis/apps/v1/deployments/x%3Ay");
    }

    #[test]
    fn subresources_go_with_their_resource() {
        let list: ResourceList = serde_json::from_str(
            r#"{"resources":[{"name":"pods","kind":"Pod","namespaced":true},
                {"name":"pods/eviction","kind":"Eviction","namespaced":true},
                {"name":"podtemplates","kind":"PodTemplate","namespaced":true},
                {"name":"nodes","kind":"Node","namespaced":false}]}"#,
        )
        .unwrap();
        let found = resources("v1", &list.resources);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].subresources, ["eviction"]);
        assert!(!found[2].namespaced);
    }
}
