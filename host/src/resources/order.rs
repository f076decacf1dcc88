//! From a resource, as the API server has it, to what is to run: checked for what its schema cannot say.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use wheelhouse_artifacts::{ComponentDigest, Location, LocationError};
use wheelhouse_core::Object;
use wheelhouse_core::grant::Grant;
use wheelhouse_core::limits::Limits;

use super::GROUP;
use super::status::ON_PROBATION;
use super::types::{ComponentSpec, KeyOf, PluginSpec, PullPolicy, SecretName};
use crate::plugin_id::PluginId;
use crate::preparation::{Mark, Problem, Step};
use crate::source::{Ordered, Told};

/// What a resource wants, as of a generation.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// The resource.
    pub(crate) object: Object,
    pub(crate) ordered: Arc<Ordered>,
    /// Where the component is, and its configuration; or what is wrong with the spec.
    pub(crate) wanted: Result<(Pull, String), Problem>,
}

/// Which component, and how it is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pull {
    pub(crate) place: Place,
    /// Of the bytes, if no others will do.
    pub(crate) digest: Option<ComponentDigest>,
    pub(crate) policy: Option<PullPolicy>,
    /// Namespaces and names.
    pub(crate) secrets: Vec<(String, String)>,
}

/// Where a component is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    ConfigMap(Key),
    Secret(Key),
    /// In a registry or on a web server. What is written may have a secret in it, and is for telling places apart
    /// alone.
    Artifact {
        location: Location,
        written: String,
    },
}

impl Pull {
    /// Whether there may be another component in the same place later: it is looked at again and again.
    pub(crate) fn moves(&self) -> bool {
        let Place::Artifact { location, .. } = &self.place else { return true };
        let (fixed, latest) = match location {
            Location::Registry(reference) => {
                let latest = reference.tag().is_none_or(|tag| tag == "latest");
                (reference.digest().is_some(), latest)
            }
            Location::Web(_) => (false, false),
        };
        // As Kubernetes has it for images.
        let asked = self.policy.map_or(latest, |policy| policy == PullPolicy::Always);
        asked && !fixed && self.digest.is_none()
    }
}

/// A key of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) key: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, key) = match self {
            Self::ConfigMap(key) => ("ConfigMap", key),
            Self::Secret(key) => ("Secret", key),
            Self::Artifact { location, .. } => return location.fmt(f),
        };
        write!(f, "key {} of {kind} {}/{}", key.key, key.namespace, key.name)
    }
}

fn invalid(message: impl fmt::Display) -> Problem {
    Problem { step: Step::Fetch, reason: "SpecInvalid", message: message.to_string(), waits: false }
}

/// Which spec it is.
pub(super) fn generation(object: &Object) -> i64 {
    object.value().at(&["metadata", "generation"]).and_then(|n| n.as_i64()).unwrap_or(0)
}

/// Reads one. `before` is what it wanted until now: its terms stay where the new ones make no sense.
pub(crate) fn read(id: &PluginId, object: &Object, before: Option<&Ordered>) -> Order {
    let (uid, created) = (object.uid().to_owned(), created(object));
    let (generation, told) = (generation(object), told(object));
    let spec = object.value().get("spec").map(|spec| spec.to_value()).unwrap_or_default();
    match parse(id, spec) {
        Ok((spec, pull)) => {
            let PluginSpec { config, limits, grant, paused, .. } = spec;
            let ordered = Ordered {
                uid,
                created,
                generation,
                grant: grant.map(|grant| Grant::new(grant.rules)),
                limits,
                paused,
                keep: spec.revision_history_limit.and_then(|limit| usize::try_from(limit).ok()),
                shares_kind: spec.allow_shared_kind,
                unconfirmed: false,
                told,
            };
            let wanted = Ok((pull, Value::Object(config).to_string()));
            Order { object: object.clone(), ordered: Arc::new(ordered), wanted }
        }
        Err(problem) => {
            let terms = before.cloned().unwrap_or_default();
            Order {
                object: object.clone(),
                ordered: Arc::new(Ordered { uid, created, generation, told, ..terms }),
                wanted: Err(problem),
            }
        }
    }
}

/// Reads one that the host before saw last.
pub(super) fn guess(id: &PluginId, object: &Object) -> Order {
    let mut order = read(id, object, None);
    Arc::make_mut(&mut order.ordered).unconfirmed = true;
    order
}

fn created(object: &Object) -> String {
    let created = object.value().at(&["metadata", "creationTimestamp"]);
    created.and_then(|created| created.as_str()).unwrap_or_default().to_owned()
}

/// What its status says.
pub(super) fn told(object: &Object) -> Told {
    let text = |path: &[&str]| object.value().at(path).and_then(|text| text.as_str()).map(str::to_owned);
    let mark = |digest: &[&str], config: &[&str]| {
        text(digest).zip(text(config)).map(|(digest, config)| Mark { digest, config })
    };
    let conditions = object.value().at(&["status", "conditions"]).map(|all| all.to_value());
    let all = conditions.as_ref().and_then(Value::as_array).into_iter().flatten();
    let on_probation = |condition: &Value| condition["type"] == ON_PROBATION && condition["status"] == "True";
    Told {
        rolled_back: mark(&["status", "rolledBack", "digest"], &["status", "rolledBack", "configDigest"]),
        runs: mark(&["status", "digest"], &["status", "configDigest"]),
        on_probation: all.into_iter().any(on_probation),
    }
}

fn parse(id: &PluginId, spec: Value) -> Result<(PluginSpec, Pull), Problem> {
    let spec: PluginSpec = serde_path_to_error::deserialize(spec).map_err(|error| {
        let path = error.path().to_string();
        let dot = if path.starts_with('.') { "" } else { "." };
        invalid(format_args!("spec{dot}{}: {}", path.trim_end_matches('.'), error.inner()))
    })?;
    Limits::default()
        .overridden(&spec.limits)
        .map_err(|error| invalid(format_args!("spec.limits: {error}")))?;
    let pull = pull(id, &spec.component)?;
    Ok((spec, pull))
}

fn pull(id: &PluginId, component: &ComponentSpec) -> Result<Pull, Problem> {
    let ComponentSpec { config_map, secret, oci, url, digest, pull_policy, pull_secrets } = component;
    let place = match (config_map, secret, oci, url) {
        (Some(key), None, None, None) => Place::ConfigMap(key_of(id, "configMap", key)?),
        (None, Some(key), None, None) => Place::Secret(key_of(id, "secret", key)?),
        (None, None, Some(written), None) => {
            artifact(id, "oci", written, written.parse().map(Location::Registry))?
        }
        (None, None, None, Some(written)) => {
            artifact(id, "url", written, written.parse().map(Location::Web))?
        }
        _ => {
            return Err(invalid("spec.component: exactly one of configMap, secret, oci and url is expected"));
        }
    };
    let digest = digest.as_deref().map(str::parse).transpose();
    let digest = digest.map_err(|error| {
        invalid(format_args!("spec.component.digest: {error}; `wheelhouse inspect` prints it"))
    })?;
    let secret = |secret: &SecretName| {
        let namespace = namespace_of(id, "pullSecrets", secret.namespace.as_deref())?;
        Ok((namespace, secret.name.clone()))
    };
    let secrets = pull_secrets.iter().map(secret).collect::<Result<_, Problem>>()?;
    Ok(Pull { place, digest, policy: *pull_policy, secrets })
}

/// A namespaced Plugin's is not on the host's own machine: others than registries listen there.
fn artifact(
    id: &PluginId,
    field: &str,
    written: &str,
    location: Result<Location, LocationError>,
) -> Result<Place, Problem> {
    let wrong = |why: &dyn fmt::Display| invalid(format_args!("spec.component.{field}: {why}"));
    let location = location.map_err(|error| wrong(&error))?;
    if id.namespace().is_some() && location.is_this_machine() {
        let why = "it is one of the host's own addresses, which no Plugin reaches: use a ClusterPlugin";
        return Err(Problem { reason: "AddressNotAllowed", ..wrong(&format_args!("{location}: {why}")) });
    }
    Ok(Place::Artifact { location, written: written.to_owned() })
}

fn key_of(id: &PluginId, field: &str, of: &KeyOf) -> Result<Key, Problem> {
    let namespace = namespace_of(id, field, of.namespace.as_deref())?;
    Ok(Key { namespace, name: of.name.clone(), key: of.key.clone() })
}

/// A namespaced Plugin's own, and that alone.
fn namespace_of(id: &PluginId, field: &str, named: Option<&str>) -> Result<String, Problem> {
    match (id.namespace(), named) {
        (Some(own), None) => Ok(own.to_owned()),
        (Some(own), Some(named)) if own == named => Ok(own.to_owned()),
        (Some(own), Some(named)) => Err(Problem {
            reason: "NamespaceNotAllowed",
            ..invalid(format_args!(
                "spec.component.{field}.namespace: a Plugin reaches its own namespace {own} only, and not {named}; leave it out, or use a ClusterPlugin"
            ))
        }),
        (None, Some(named)) => Ok(named.to_owned()),
        (None, None) => Err(invalid(format_args!(
            "spec.component.{field}.namespace: it is needed, since a {GROUP} ClusterPlugin has no namespace of its own"
        ))),
    }
}

#[cfg(test)]
mod tests;
