//! Fetching a component: from a ConfigMap or a Secret, live, or from a registry or a web server.
//!
//! The first two are looked at every few seconds rather than watched: a look asks for the object's metadata alone, and
//! takes `get` on just that object; a watch would take `list` and `watch`, and would bring every Secret's
//! contents here with each change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use wheelhouse_artifacts::Resolved;
use wheelhouse_cache::{Failure, Rest, rest::encode};
use wheelhouse_core::Object;

use super::artifact::{self, Artifacts};
use super::memory;
use super::order::{Key, Order, Place, Pull};
use crate::binary::{Binary, Form};
use crate::component_store::{ComponentStore, Kept, name_of};
use crate::plugin_id::PluginId;
use crate::preparation::{Problem, Step};
use crate::source::Ordered;

/// Of one request.
const WITHIN: Duration = Duration::from_secs(15);
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// What each component begins with.
const MAGIC: &[u8] = b"\0asm";

/// Between two looks at a ConfigMap or a Secret.
const LOOK: Duration = Duration::from_secs(3);

/// How to tell whether what is there is another by then.
#[derive(Clone, Debug)]
pub(crate) enum Version {
    /// An object's `resourceVersion`.
    Object(String),
    /// Of a registry or a web server.
    Resolved(Resolved),
}

/// What is there.
#[derive(Clone, Debug)]
pub(crate) struct Looked {
    pub(crate) version: Version,
    /// Just what was fetched, as people name it; of registries and web servers.
    pub(crate) artifact: Option<String>,
    /// Or why it is none that is to be loaded.
    pub(crate) component: Result<Binary, Problem>,
}

/// What a look has found.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// What was seen before.
    Nothing,
    /// The same component, by another name.
    Same(Version, Option<String>),
    /// Another one, maybe.
    Looked(Looked),
}

/// Why there is nothing.
#[derive(Clone, Debug)]
pub(crate) struct Unfetched {
    pub(crate) problem: Problem,
    /// What was fetched before still counts.
    pub(crate) out_of_reach: bool,
    /// For so long a server wants to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

/// What the host decides of fetching.
#[derive(Clone, Debug)]
pub(crate) struct Fetching {
    /// Of a component, at most.
    pub(crate) bytes: usize,
    /// Between two looks at a tag or a URL that may lead elsewhere by then.
    pub(crate) interval: Duration,
    /// Of how many former revisions components are kept, where a resource does not say.
    pub(crate) former: usize,
    /// Where what was fetched is kept for the next start.
    pub(crate) store: Option<Arc<ComponentStore>>,
}

/// Fetches components. Clones share connections.
#[derive(Clone)]
pub(crate) struct Fetcher {
    rest: Rest,
    artifacts: Artifacts,
    fetching: Fetching,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Holder {
    metadata: Metadata,
    /// Of a ConfigMap.
    binary_data: BTreeMap<String, String>,
    /// Of a Secret; of a ConfigMap it is text, and no component.
    data: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    resource_version: String,
}

pub(super) fn problem(reason: &'static str, message: String) -> Problem {
    Problem { step: Step::Fetch, reason, message, waits: true }
}

impl Fetcher {
    pub(crate) fn new(rest: Rest, fetching: Fetching) -> Self {
        Self { artifacts: Artifacts::new(rest.clone(), fetching.bytes), rest, fetching }
    }

    /// What is there.
    ///
    /// # Errors
    /// Why there is nothing, or nothing that can be reached.
    pub(crate) async fn look(
        &self,
        id: &PluginId,
        pull: &Pull,
        seen: Option<&Version>,
    ) -> Result<News, Unfetched> {
        match &pull.place {
            Place::ConfigMap(key) => self.object("ConfigMap", key, pull, seen).await,
            Place::Secret(key) => self.object("Secret", key, pull, seen).await,
            Place::Artifact { location, .. } => {
                let seen = match seen {
                    Some(Version::Resolved(seen)) => Some(seen),
                    _ => None,
                };
                self.artifacts.look(id, location, pull, seen).await
            }
        }
    }

    async fn object(
        &self,
        kind: &str,
        key: &Key,
        pull: &Pull,
        seen: Option<&Version>,
    ) -> Result<News, Unfetched> {
        if let Some(Version::Object(seen)) = seen {
            let now = read(&self.rest, kind, key, METADATA).await?;
            if now.metadata.resource_version == *seen {
                return Ok(News::Nothing);
            }
        }
        let now = holder(&self.rest, kind, key).await?;
        let component = value(&now, kind, key).and_then(|bytes| check(pull, bytes.into()));
        let version = Version::Object(now.metadata.resource_version);
        Ok(News::Looked(Looked { version, artifact: None, component }))
    }

    /// When to look again after a look; never where nothing else can be.
    pub(crate) fn again(&self, pull: &Pull) -> Option<Duration> {
        match &pull.place {
            Place::ConfigMap(_) | Place::Secret(_) => Some(LOOK),
            Place::Artifact { .. } => pull.moves().then_some(self.fetching.interval),
        }
    }

    /// When to try again what has failed so often in a row.
    pub(crate) fn retry(&self, pull: &Pull, failures: u32, failed: &Unfetched) -> Duration {
        match &pull.place {
            Place::ConfigMap(_) | Place::Secret(_) => LOOK,
            Place::Artifact { .. } => artifact::back_off(failures, failed.retry_after),
        }
    }

    /// What was fetched last from there for this very resource, before this host began.
    pub(crate) async fn recall(&self, id: &PluginId, uid: &str, pull: &Pull) -> Option<Looked> {
        let (store, name, owner) = (self.fetching.store.clone()?, name_of(id, uid), owner(pull));
        let pinned = pull.digest;
        let kept = tokio::task::spawn_blocking(move || store.get(&name, &owner, pinned)).await.ok()??;
        let Kept { component, resolved } = kept;
        let artifact = match &pull.place {
            Place::Artifact { location, .. } => Some(artifact::artifact(location, &resolved)),
            Place::ConfigMap(_) | Place::Secret(_) => None,
        };
        let component = check(pull, component);
        Some(Looked { version: Version::Resolved(resolved), artifact, component })
    }

    /// Keeps it for the next start.
    pub(crate) async fn keep(&self, id: &PluginId, ordered: &Ordered, pull: &Pull, looked: &Looked) {
        let (Some(store), Ok(component)) = (self.fetching.store.clone(), &looked.component) else { return };
        let resolved = match &looked.version {
            Version::Resolved(resolved) => resolved.clone(),
            // It is there whenever the cluster is, and kept for what a rollback has left behind.
            Version::Object(_) => Resolved::default(),
        };
        let Form::Bytes(component) = component.form() else { return };
        // Whatever else a Secret has does not get to the disk.
        if !component.starts_with(MAGIC) {
            return;
        }
        let (name, owner) = (name_of(id, &ordered.uid), owner(pull));
        let former = ordered.keep.unwrap_or(self.fetching.former);
        let kept = Kept { component, resolved };
        let put = tokio::task::spawn_blocking(move || store.put(&name, &owner, &kept, former)).await;
        if let Ok(Err(error)) = put {
            tracing::warn!(plugin = %id, "its component cannot be kept for the next start: {error}");
        }
    }

    /// Keeps what a resource says for the next start.
    pub(crate) async fn remember(&self, id: &PluginId, order: &Order) {
        let Some(store) = self.fetching.store.clone() else { return };
        let (cluster, name) = (self.rest.server(), name_of(id, &order.ordered.uid));
        let said = memory::essence(&order.object);
        let put = tokio::task::spawn_blocking(move || store.remember(&name, &cluster, &said)).await;
        if let Ok(Err(error)) = put {
            tracing::warn!(plugin = %id, "what its resource says cannot be kept for the next start: {error}");
        }
    }

    /// The resources of this cluster, as a host has seen them last.
    pub(crate) async fn remembered(&self) -> Vec<(PluginId, Object)> {
        let Some(store) = self.fetching.store.clone() else { return Vec::new() };
        let cluster = self.rest.server();
        let all = tokio::task::spawn_blocking(move || store.remembered(&cluster)).await.unwrap_or_default();
        all.iter().filter_map(memory::read).collect()
    }

    /// Its resource is gone.
    pub(crate) fn forget(&self, id: &PluginId, uid: &str) {
        if let Some(store) = &self.fetching.store {
            store.remove(&name_of(id, uid));
        }
    }
}

/// From where one was fetched.
fn owner(pull: &Pull) -> String {
    match &pull.place {
        Place::Artifact { written, .. } => written.clone(),
        place => place.to_string(),
    }
}

/// An object that holds something under its keys.
pub(super) async fn holder(rest: &Rest, kind: &str, key: &Key) -> Result<Holder, Unfetched> {
    read(rest, kind, key, "application/json").await
}

async fn read(
    rest: &Rest,
    kind: &str,
    Key { namespace, name, .. }: &Key,
    accept: &str,
) -> Result<Holder, Unfetched> {
    let plural = if kind == "Secret" { "secrets" } else { "configmaps" };
    let path = format!("/api/v1/namespaces/{}/{plural}/{}", encode(namespace), encode(name));
    let answer = rest.get(&path, accept, WITHIN).await.and_then(|answer| {
        serde_json::from_slice(&answer).map_err(|error| Failure::Unreadable(error.to_string()))
    });
    answer.map_err(|failure| {
        let (reason, message) = match failure.code() {
            Some(404) if kind == "Secret" => {
                ("SecretNotFound", format!("there is no {kind} {namespace}/{name}"))
            }
            Some(404) => ("ConfigMapNotFound", format!("there is no {kind} {namespace}/{name}")),
            Some(403) => ("Forbidden", format!("the host may not read it: {failure}")),
            _ => ("Unreachable", format!("{kind} {namespace}/{name} cannot be read: {failure}")),
        };
        let out_of_reach = reason == "Unreachable";
        Unfetched { problem: problem(reason, message), out_of_reach, retry_after: None }
    })
}

impl Holder {
    /// What a key has, decoded. None if there is none.
    pub(super) fn decoded(&self, kind: &str, key: &str) -> Option<Result<Vec<u8>, base64::DecodeError>> {
        let data = if kind == "Secret" { &self.data } else { &self.binary_data };
        data.get(key).map(|text| STANDARD.decode(text))
    }
}

/// What an object has under a key.
fn value(holder: &Holder, kind: &str, key: &Key) -> Result<Vec<u8>, Problem> {
    let Key { namespace, name, key } = key;
    let field = if kind == "Secret" { "data" } else { "binaryData" };
    let unusable = |what: String| problem("KeyNotFound", format!("{kind} {namespace}/{name} {what}"));
    let value = holder.decoded(kind, key).ok_or_else(|| {
        let hint = if holder.data.contains_key(key) {
            "; what it has among data is text, and no component"
        } else {
            ""
        };
        unusable(format!("has no {field} {key:?}{hint}"))
    })?;
    value.map_err(|error| unusable(format!("has {field} {key:?} that is no base64: {error}")))
}

fn check(pull: &Pull, bytes: Arc<[u8]>) -> Result<Binary, Problem> {
    let binary = Binary::new(bytes);
    let Some(expected) = &pull.digest else { return Ok(binary) };
    if binary.digest() == expected {
        return Ok(binary);
    }
    let message = format!("{} is {}, and the spec is for {expected}", pull.place, binary.digest());
    Err(Problem { waits: false, ..problem("DigestMismatch", message) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key() -> Key {
        Key { namespace: "a".into(), name: "m".into(), key: "k".into() }
    }

    fn holder(json: serde_json::Value) -> Holder {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_component_is_in_the_binary_data_of_a_config_map_and_in_the_data_of_a_secret() {
        let map = holder(json!({"binaryData": {"k": "AAE="}, "data": {"t": "text"}}));
        assert_eq!(value(&map, "ConfigMap", &key()), Ok(vec![0, 1]));
        let secret = holder(json!({"data": {"k": "AAE="}}));
        assert_eq!(value(&secret, "Secret", &key()), Ok(vec![0, 1]));
        let of = |holder: &Holder, kind: &str| {
            let Problem { reason: "KeyNotFound", message, waits: true, .. } =
                value(holder, kind, &key()).unwrap_err()
            else {
                panic!()
            };
            message
        };
        assert_eq!(of(&holder(json!({})), "Secret"), "Secret a/m has no data \"k\"");
        let text = holder(json!({"data": {"k": "(component)"}}));
        assert!(of(&text, "ConfigMap").contains("has no binaryData \"k\"; what it has among data is text"));
        assert!(of(&holder(json!({"binaryData": {"k": "?"}})), "ConfigMap").contains("no base64"));
    }

    #[test]
    fn hostile_a_digest_is_for_just_those_bytes() {
        let place = Place::ConfigMap(key());
        let pull = |digest: Option<&str>| Pull {
            place: place.clone(),
            digest: digest.map(|digest| digest.parse().unwrap()),
            policy: None,
            secrets: Vec::new(),
        };
        // echo -n abc | sha256sum
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(check(&pull(None), b"x".as_slice().into()).is_ok());
        assert!(check(&pull(Some(abc)), b"abc".as_slice().into()).is_ok());
        let problem = check(&pull(Some(abc)), b"abd".as_slice().into()).unwrap_err();
        assert!(problem.reason == "DigestMismatch" && !problem.waits && problem.message.contains(abc));
    }
}
