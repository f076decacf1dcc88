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
    let uid = object.uid().to_owned();
    let generation = generation(object);
    let told = told(object);
    let spec = object.value().get("spec").map(|spec| spec.to_value()).unwrap_or_default();
    match parse(id, spec) {
        Ok((spec, pull)) => {
            let PluginSpec { config, limits, grant, paused, .. } = spec;
            let ordered = Ordered {
                uid,
                generation,
                grant: grant.map(|grant| Grant::new(grant.rules)),
                limits,
                paused,
                keep: spec.revision_history_limit.and_then(|limit| usize::try_from(limit).ok()),
                shares_kind: spec.allow_shared_kind,
                told,
            };
            let wanted = Ok((pull, Value::Object(config).to_string()));
            Order { ordered: Arc::new(ordered), wanted }
        }
        Err(problem) => {
            let terms = before.cloned().unwrap_or_default();
            Order { ordered: Arc::new(Ordered { uid, generation, told, ..terms }), wanted: Err(problem) }
        }
    }
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
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster() -> PluginId {
        PluginId::Resource { namespace: String::new(), name: "p".to_owned() }
    }

    fn namespaced() -> PluginId {
        PluginId::Resource { namespace: "team-a".to_owned(), name: "p".to_owned() }
    }

    fn order(id: &PluginId, spec: Value) -> Order {
        let object = json!({"metadata": {"name": "p", "uid": "u", "generation": 3}, "spec": spec});
        read(id, &Object::from_value(&object).unwrap(), None)
    }

    fn problem(id: &PluginId, spec: Value) -> (&'static str, String) {
        let Err(Problem { reason, message, waits: false, step: Step::Fetch }) =
            order(id, spec.clone()).wanted
        else {
            panic!("{spec} is taken")
        };
        (reason, message)
    }

    #[test]
    fn a_spec_says_what_is_to_run_and_on_which_terms() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let rule = json!({"verbs": ["get"], "kinds": ["v1/Pod"], "namespaces": ["*"]});
        let Order { ordered, wanted } = order(
            &cluster(),
            json!({
                "component": {"configMap": {"namespace": "a", "name": "m", "key": "k"}, "digest": digest},
                "config": {"b": [1], "a": {"x": null}},
                "limits": {"memory": "32Mi"},
                "grant": {"rules": [rule]},
                "paused": true,
                "revisionHistoryLimit": 7,
                "allowSharedKind": true,
            }),
        );
        let (pull, config) = wanted.unwrap();
        assert_eq!(pull.place.to_string(), "key k of ConfigMap a/m");
        assert_eq!(config, r#"{"a":{"x":null},"b":[1]}"#);
        assert_eq!(pull.digest.unwrap().to_string(), digest);
        assert_eq!((ordered.uid.as_str(), ordered.generation), ("u", 3));
        assert_eq!(ordered.grant.as_ref().unwrap().rules().len(), 1);
        assert_eq!((ordered.paused, ordered.keep, ordered.shares_kind), (true, Some(7), true));
        assert_eq!(ordered.limits["memory"], "32Mi");

        let Order { ordered, wanted } = order(&cluster(), json!({"component": {"oci": "example.com/p:1"}}));
        assert_eq!(wanted.unwrap().1, "{}");
        assert_eq!((ordered.grant.as_ref(), ordered.paused, ordered.keep), (None, false, None));
    }

    #[test]
    fn what_the_status_says_is_heeded_whatever_the_spec_is() {
        let digest = |text: &str| format!("sha256:{text}");
        let status = json!({
            "digest": digest("1"), "configDigest": digest("2"),
            "rolledBack": {"digest": digest("1"), "configDigest": digest("3")},
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "OnProbation", "status": "True"}],
        });
        let mark = |config: &str| Mark { digest: digest("1"), config: digest(config) };
        let expected = Told { rolled_back: Some(mark("3")), runs: Some(mark("2")), on_probation: true };
        for spec in [json!({"component": {"oci": "example.com/p:1"}}), json!({"component": {}})] {
            let object = json!({"metadata": {"name": "p", "uid": "u"}, "spec": spec, "status": status});
            let order = read(&cluster(), &Object::from_value(&object).unwrap(), None);
            assert_eq!(order.ordered.told, expected);
        }
        for status in [
            json!({}),
            json!({"digest": "x", "rolledBack": {"digest": "x"}, "conditions": "OnProbation"}),
            json!({"configDigest": 1, "conditions": [{"type": "OnProbation", "status": "False"}, 1]}),
        ] {
            let object = json!({"metadata": {"name": "p", "uid": "u"}, "status": status});
            assert_eq!(told(&Object::from_value(&object).unwrap()), Told::default(), "{status}");
        }
    }

    #[test]
    fn a_spec_with_a_mistake_is_told_with_its_place() {
        let map = json!({"namespace": "a", "name": "m", "key": "k"});
        for (spec, part) in [
            (json!({}), "spec: missing field `component`"),
            (json!({"component": {}}), "exactly one of configMap, secret, oci and url"),
            (json!({"component": {"configMap": map, "oci": "example.com/x"}}), "exactly one of"),
            (
                json!({"component": {"configMap": {"name": "m", "key": "k"}}}),
                "spec.component.configMap.namespace: it is needed",
            ),
            (
                json!({"component": {"configMap": map, "digest": "sha256:1"}}),
                "spec.component.digest: \"sha256:1\" is no digest",
            ),
            (json!({"component": {"oci": "hello"}}), "spec.component.oci: \"hello\" is no location"),
            (
                json!({"component": {"url": "http://example.com/p.wasm?token=secret"}}),
                "spec.component.url: \"http://example.com/p.wasm\" is no location",
            ),
            (
                json!({"component": {"configMap": map, "pullPolicy": "Never"}}),
                "spec.component.pullPolicy: unknown variant",
            ),
            (
                json!({"component": {"configMap": map}, "limits": {"memroy": 1}}),
                "spec.limits: unknown field `memroy`",
            ),
            (json!({"component": {"configMap": map}, "limits": {"memory": "lots"}}), "lots"),
            (
                json!({"component": {"configMap": map}, "grant": {"rules": [{"verbs": ["get"], "kinds": ["Pod"], "namespaces": ["a"]}]}}),
                "spec.grant.rules[0].kinds[0]: \"Pod\" names no kinds",
            ),
            (json!({"component": {"configMap": map}, "sandbox": "none"}), "unknown field `sandbox`"),
        ] {
            let (reason, message) = problem(&cluster(), spec.clone());
            assert!(reason == "SpecInvalid" && message.contains(part), "{spec}: {reason}: {message}");
        }
    }

    #[test]
    fn a_plugin_of_a_namespace_takes_its_component_from_there() {
        let of = |namespace: Option<&str>| {
            let mut map = json!({"name": "m", "key": "k"});
            if let Some(namespace) = namespace {
                map["namespace"] = json!(namespace);
            }
            json!({"component": {"secret": map}})
        };
        for named in [None, Some("team-a")] {
            let (pull, _) = order(&namespaced(), of(named)).wanted.unwrap();
            assert_eq!(pull.place.to_string(), "key k of Secret team-a/m");
        }
    }

    #[test]
    fn hostile_a_plugin_of_a_namespace_names_no_object_of_another() {
        let map = json!({"name": "m", "key": "k", "namespace": "kube-system"});
        for component in [
            json!({"configMap": map}),
            json!({"secret": map}),
            json!({"oci": "example.com/x", "pullSecrets": [{"name": "s", "namespace": "kube-system"}]}),
        ] {
            let (reason, message) = problem(&namespaced(), json!({"component": component}));
            assert_eq!(reason, "NamespaceNotAllowed");
            assert!(message.contains("its own namespace team-a only, and not kube-system"), "{message}");
        }
    }

    #[test]
    fn hostile_a_plugin_of_a_namespace_takes_nothing_from_the_hosts_own_addresses() {
        for component in [
            json!({"oci": "localhost:5000/p:1"}),
            json!({"oci": "127.0.0.1:5000/p:1"}),
            json!({"url": "http://127.0.0.1:9440/plugins"}),
            json!({"url": "https://LOCALHOST/p.wasm"}),
            json!({"url": "http://[::1]/p.wasm"}),
        ] {
            let spec = json!({"component": component});
            let (reason, message) = problem(&namespaced(), spec.clone());
            assert_eq!(reason, "AddressNotAllowed", "{message}");
            assert!(order(&cluster(), spec).wanted.is_ok());
        }
    }

    #[test]
    fn a_place_is_looked_at_again_where_another_component_may_be_later() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let moves = |component: Value| {
            let (pull, _) = order(&cluster(), json!({"component": component})).wanted.unwrap();
            pull.moves()
        };
        for (oci, policy, expected) in [
            ("example.com/p", None, true),
            ("example.com/p:latest", None, true),
            ("example.com/p:latest", Some("IfNotPresent"), false),
            ("example.com/p:1", None, false),
            ("example.com/p:1", Some("Always"), true),
            (&format!("example.com/p:1@{digest}"), Some("Always"), false),
        ] {
            let mut component = json!({"oci": oci});
            if let Some(policy) = policy {
                component["pullPolicy"] = json!(policy);
            }
            assert_eq!(moves(component.clone()), expected, "{component}");
            component["digest"] = json!(digest);
            assert!(!moves(component), "there is no other with this digest");
        }
        assert!(!moves(json!({"url": "https://example.com/p.wasm"})));
        assert!(moves(json!({"url": "https://example.com/p.wasm", "pullPolicy": "Always"})));
        assert!(moves(json!({"configMap": {"namespace": "a", "name": "m", "key": "k"}})));
    }

    #[test]
    fn a_mistake_leaves_the_terms_as_they_were() {
        let before = order(
            &cluster(),
            json!({"component": {"oci": "example.com/x"}, "limits": {"memory": "32Mi"}, "paused": true}),
        );
        let object = json!({"metadata": {"uid": "u", "generation": 4}, "spec": {"component": {}}});
        let object = Object::from_value(&object).unwrap();
        let after = read(&cluster(), &object, Some(&before.ordered));
        assert_eq!(*after.ordered, Ordered { generation: 4, ..Ordered::clone(&before.ordered) });
    }
}
