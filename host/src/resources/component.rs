//! Fetching a component: from a ConfigMap or a Secret, live.
//!
//! Both are looked at every few seconds rather than watched: a look asks for the object's metadata alone, and
//! takes `get` on just that object; a watch would take `list` and `watch`, and would bring every Secret's
//! contents here with each change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use wheelhouse_cache::{Failure, Rest, rest::encode};

use super::order::{Key, Place, Pull};
use crate::preparation::{Problem, Step};

/// Of one request.
const WITHIN: Duration = Duration::from_secs(15);
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// What is there.
#[derive(Clone, Debug)]
pub(crate) struct Looked {
    /// How to tell whether it is another one by then.
    pub(crate) version: String,
    /// Or why it is none that is to be loaded.
    pub(crate) component: Result<Arc<[u8]>, Problem>,
}

/// Why there is nothing.
#[derive(Clone, Debug)]
pub(crate) struct Unfetched {
    pub(crate) problem: Problem,
    /// Nothing is known of what is there: what was fetched before still counts.
    pub(crate) out_of_reach: bool,
}

/// Fetches components.
#[derive(Clone)]
pub(crate) struct Fetcher {
    rest: Rest,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Holder {
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

fn problem(reason: &'static str, message: String) -> Problem {
    Problem { step: Step::Fetch, reason, message, waits: true }
}

impl Fetcher {
    pub(crate) fn new(rest: Rest) -> Self {
        Self { rest }
    }

    /// What is there; none if that is what was seen before.
    ///
    /// # Errors
    /// Why there is nothing, or nothing that can be reached.
    pub(crate) async fn look(&self, pull: &Pull, seen: Option<&str>) -> Result<Option<Looked>, Unfetched> {
        match &pull.place {
            Place::ConfigMap(key) => self.object("configmaps", "ConfigMap", key, pull, seen).await,
            Place::Secret(key) => self.object("secrets", "Secret", key, pull, seen).await,
            Place::Oci(_) | Place::Url(_) => {
                let what = "this host takes components from ConfigMaps and Secrets alone";
                let problem = problem("NotSupported", format!("{}: {what}", pull.place));
                Err(Unfetched { problem: Problem { waits: false, ..problem }, out_of_reach: false })
            }
        }
    }

    async fn object(
        &self,
        plural: &str,
        kind: &str,
        key: &Key,
        pull: &Pull,
        seen: Option<&str>,
    ) -> Result<Option<Looked>, Unfetched> {
        let Key { namespace, name, .. } = key;
        let path = format!("/api/v1/namespaces/{}/{plural}/{}", encode(namespace), encode(name));
        let failed = |failure: Failure| {
            let (reason, message) = match failure.code() {
                Some(404) if kind == "Secret" => {
                    ("SecretNotFound", format!("there is no {kind} {namespace}/{name}"))
                }
                Some(404) => ("ConfigMapNotFound", format!("there is no {kind} {namespace}/{name}")),
                Some(403) => ("Forbidden", format!("the host may not read it: {failure}")),
                _ => ("Unreachable", format!("{kind} {namespace}/{name} cannot be read: {failure}")),
            };
            Unfetched { problem: problem(reason, message), out_of_reach: reason == "Unreachable" }
        };
        if let Some(seen) = seen {
            let now = self.read(&path, METADATA).await.map_err(failed)?;
            if now.metadata.resource_version == seen {
                return Ok(None);
            }
        }
        let now = self.read(&path, "application/json").await.map_err(failed)?;
        let component = value(&now, kind, key).and_then(|bytes| check(pull, bytes.into()));
        Ok(Some(Looked { version: now.metadata.resource_version, component }))
    }

    async fn read(&self, path: &str, accept: &str) -> Result<Holder, Failure> {
        let answer = self.rest.get(path, accept, WITHIN).await?;
        serde_json::from_slice(&answer).map_err(|error| Failure::Unreadable(error.to_string()))
    }
}

/// What an object has under a key.
fn value(holder: &Holder, kind: &str, key: &Key) -> Result<Vec<u8>, Problem> {
    let Key { namespace, name, key } = key;
    let (data, field) = match kind {
        "Secret" => (&holder.data, "data"),
        _ => (&holder.binary_data, "binaryData"),
    };
    let unusable = |what: String| problem("KeyNotFound", format!("{kind} {namespace}/{name} {what}"));
    let text = data.get(key).ok_or_else(|| {
        let hint = if holder.data.contains_key(key) {
            "; what it has among data is text, and no component"
        } else {
            ""
        };
        unusable(format!("has no {field} {key:?}{hint}"))
    })?;
    STANDARD.decode(text).map_err(|error| unusable(format!("has {field} {key:?} that is no base64: {error}")))
}

fn check(pull: &Pull, bytes: Arc<[u8]>) -> Result<Arc<[u8]>, Problem> {
    let Some(expected) = &pull.digest else { return Ok(bytes) };
    let digits: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if expected.strip_prefix("sha256:") == Some(digits.as_str()) {
        return Ok(bytes);
    }
    let message = format!("{} is sha256:{digits}, and the spec is for {expected}", pull.place);
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
            digest: digest.map(str::to_owned),
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
