//! What a `Plugin` and a `ClusterPlugin` say, and what is said of them: the CRDs are made from these types.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wheelhouse_core::grant::Rule;
use wheelhouse_core::limits::Limits;

/// What is to run, and on which terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PluginSpec {
    /// Where the plugin's component is: exactly one of configMap, secret, oci and url.
    pub(crate) component: ComponentSpec,
    /// The plugin's configuration: what its describe() takes. Another configuration is another revision.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(transform = any_object)]
    pub(crate) config: Map<String, Value>,
    /// What the plugin may use, instead of the host's limits: see docs/security.md for each.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(with = "Limits", transform = each_optional)]
    pub(crate) limits: Map<String, Value>,
    /// What the plugin may do in the cluster, of what it declares. If left out, what the host grants to a
    /// plugin that no grant is for: nothing with `wheelhouse run`. A namespaced Plugin is granted nothing
    /// outside of its namespace, whatever stands here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grant: Option<GrantSpec>,
    /// Whether it is to begin no reconcile. What runs may end, and new revisions are still loaded.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) paused: bool,
    /// How many revisions are kept to roll back to; as many as the host keeps if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub(crate) revision_history_limit: Option<u32>,
    /// Whether it may reconcile a kind that another plugin reconciles in the same namespaces. It is enough
    /// that one of the two says so.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) allow_shared_kind: bool,
}

/// Exactly one place, and how what is there is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["configMap"]}, {"required": ["secret"]}, {"required": ["oci"]}, {"required": ["url"]}
]))]
pub(crate) struct ComponentSpec {
    /// A key of a ConfigMap's binaryData. A ConfigMap has room for 1 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) config_map: Option<KeyOf>,
    /// A key of a Secret's data. A Secret has room for 1 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<KeyOf>,
    /// A reference in an OCI registry, such as ghcr.io/example/webapp:1.2, or with @sha256:… at its end, which
    /// pins it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub(crate) oci: Option<String>,
    /// An address that begins with https://.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^https?://"), length(max = 2048))]
    pub(crate) url: Option<String>,
    /// Of the component's bytes, as `wheelhouse inspect` prints it: no other content is loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub(crate) digest: Option<String>,
    /// Whether a registry, or a web server, is asked again for what was fetched before. If left out, Always
    /// for the tag latest, and IfNotPresent for all else. ConfigMaps and Secrets are always followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pull_policy: Option<PullPolicy>,
    /// Secrets of the type kubernetes.io/dockerconfigjson, with credentials for the registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub(crate) pull_secrets: Vec<SecretName>,
}

/// A key of a ConfigMap or a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct KeyOf {
    /// The object's name.
    #[schemars(length(min = 1, max = 253))]
    pub(crate) name: String,
    /// The key.
    #[schemars(length(min = 1, max = 253))]
    pub(crate) key: String,
    /// The object's namespace. A ClusterPlugin has to name it; a Plugin's is its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub(crate) namespace: Option<String>,
}

/// A Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SecretName {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub(crate) name: String,
    /// Its namespace. A ClusterPlugin has to name it; a Plugin's is its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub(crate) namespace: Option<String>,
}

/// When a registry is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum PullPolicy {
    /// Every so often, whether there is another component by now.
    Always,
    /// Only for what was not fetched for this resource before.
    IfNotPresent,
}

/// What is granted: the rules of a grant file (docs/grants.md).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GrantSpec {
    /// What any of them grants is granted; nothing without any.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub(crate) rules: Vec<Rule>,
}

/// What has become of it. Written by the host, and by the one that leads where there are several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PluginStatus {
    /// The generation of the spec that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) observed_generation: Option<i64>,
    /// Where the newest spec is on its way: loading, running, standby, paused, waiting or failed; ended, if it was deleted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) phase: String,
    /// Whether the newest spec runs.
    pub(crate) ready: bool,
    /// What the plugin is called in leases, metrics, and as a field manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plugin: Option<String>,
    /// The revision that runs, possibly of an older spec: 1, and one more for each that has taken over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<i64>,
    /// Reconciles of that revision that have failed, as of a minute ago or less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) errors: Option<i64>,
    /// The version that the plugin gives itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    /// Of the component that runs, or that ran last and has to prove itself yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
    /// Of the configuration that it runs with, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) config_digest: Option<String>,
    /// The first twelve digits of the component's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) short_digest: Option<String>,
    /// What the newest spec's reference led to, pinned: registry/repository:tag@sha256:…, or the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) artifact: Option<String>,
    /// What was rolled back last, as long as nothing else has taken over since: no host tries it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rolled_back: Option<RolledBack>,
    /// The kind that it reconciles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reconciles: Option<String>,
    /// Fetched, Compiled, Described, Granted, Synced and Switched, the steps of the newest spec; Ready, whether it
    /// runs; OnProbation, RolledBack and Paused, where that is so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub(crate) conditions: Vec<Condition>,
}

/// A component with a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RolledBack {
    /// Of the component.
    pub(crate) digest: String,
    /// Of the configuration, as JSON.
    pub(crate) config_digest: String,
}

/// A condition, as all of Kubernetes has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub(crate) condition: String,
    /// True, False or Unknown.
    pub(crate) status: String,
    /// Why, in one word.
    pub(crate) reason: String,
    /// Why, for people.
    #[serde(default)]
    pub(crate) message: String,
    /// Since when it has had this status.
    #[schemars(extend("format" = "date-time"))]
    pub(crate) last_transition_time: String,
    /// The generation of the spec that it is about.
    #[serde(default)]
    pub(crate) observed_generation: i64,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// An object of whatever fields.
fn any_object(schema: &mut Schema) {
    schema.remove("additionalProperties");
    schema.insert("x-kubernetes-preserve-unknown-fields".to_owned(), true.into());
}

/// Of limits, those that are there count.
fn each_optional(schema: &mut Schema) {
    schema.remove("required");
}
