//! How the lists and maps of the built-in kinds merge, by type and field.
//!
//! Server-side apply goes by the list and map types of the API reference (`x-kubernetes-list-type` and its kin), a
//! strategic merge patch by its merge keys and patch strategies. Most lists have the same key for both; those that
//! differ have tables of their own. A list that is named nowhere is one value for both.

use std::collections::HashSet;
use std::sync::LazyLock;

use serde_json::Value;

use crate::shape::ListType;

/// How the value of one field merges.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Merging {
    /// How server-side apply takes a list.
    pub(crate) list: ListType,
    /// The key by which a strategic merge patch merges a list of maps.
    pub(crate) patch_key: Option<&'static str>,
    /// `x-kubernetes-patch-strategy`, or "".
    pub(crate) patch_strategy: &'static str,
    /// Whether server-side apply takes the map here as one value; `None` leaves that to its type.
    pub(crate) is_atomic: Option<bool>,
}

/// Type and field.
pub(super) type Place = (&'static str, &'static str);

/// Lists that are maps for both: by all keys when applied, and by the first of them when patched.
const KEYED: &[(&[&str], &[Place])] = &[
    (
        &["type"],
        &[
            ("apiregistration.v1.APIServiceStatus", "conditions"),
            ("apps.v1.DaemonSetStatus", "conditions"),
            ("apps.v1.DeploymentStatus", "conditions"),
            ("apps.v1.ReplicaSetStatus", "conditions"),
            ("apps.v1.StatefulSetStatus", "conditions"),
            ("autoscaling.v2.HorizontalPodAutoscalerStatus", "conditions"),
            ("core.v1.NamespaceStatus", "conditions"),
            ("core.v1.NodeStatus", "addresses"),
            ("core.v1.NodeStatus", "conditions"),
            ("core.v1.PersistentVolumeClaimStatus", "conditions"),
            ("core.v1.PodStatus", "conditions"),
            ("core.v1.ReplicationControllerStatus", "conditions"),
            ("core.v1.ServiceStatus", "conditions"),
            ("flowcontrol.v1.FlowSchemaStatus", "conditions"),
            ("flowcontrol.v1.PriorityLevelConfigurationStatus", "conditions"),
            ("networking.v1.ServiceCIDRStatus", "conditions"),
            ("policy.v1.PodDisruptionBudgetStatus", "conditions"),
        ],
    ),
    (
        &["name"],
        &[
            ("admissionregistration.v1.MutatingWebhook", "matchConditions"),
            ("admissionregistration.v1.MutatingWebhookConfiguration", "webhooks"),
            ("admissionregistration.v1.ValidatingAdmissionPolicySpec", "matchConditions"),
            ("admissionregistration.v1.ValidatingAdmissionPolicySpec", "variables"),
            ("admissionregistration.v1.ValidatingWebhook", "matchConditions"),
            ("admissionregistration.v1.ValidatingWebhookConfiguration", "webhooks"),
            ("batch.v1.JobSchedulingConfiguration", "resourceClaims"),
            ("core.v1.Container", "env"),
            ("core.v1.ContainerStatus", "allocatedResourcesStatus"),
            ("core.v1.EphemeralContainer", "env"),
            ("core.v1.NodeAllocatableResourceClaimStatus", "mapping"),
            ("core.v1.NodeAllocatableResourceClaimStatus", "overhead"),
            ("core.v1.PodSpec", "containers"),
            ("core.v1.PodSpec", "ephemeralContainers"),
            ("core.v1.PodSpec", "evictionResponders"),
            ("core.v1.PodSpec", "imagePullSecrets"),
            ("core.v1.PodSpec", "initContainers"),
            ("core.v1.PodSpec", "resourceClaims"),
            ("core.v1.PodSpec", "schedulingGates"),
            ("core.v1.PodSpec", "volumes"),
            ("core.v1.PodStatus", "resourceClaimStatuses"),
            ("core.v1.ServiceAccount", "secrets"),
            ("storage.v1.CSINodeSpec", "drivers"),
            ("storage.v1.CSINodeStatus", "storageHealth"),
        ],
    ),
    (
        &["containerPort", "protocol"],
        &[("core.v1.Container", "ports"), ("core.v1.EphemeralContainer", "ports")],
    ),
    (
        &["mountPath"],
        &[
            ("core.v1.Container", "volumeMounts"),
            ("core.v1.ContainerStatus", "volumeMounts"),
            ("core.v1.EphemeralContainer", "volumeMounts"),
        ],
    ),
    (
        &["devicePath"],
        &[("core.v1.Container", "volumeDevices"), ("core.v1.EphemeralContainer", "volumeDevices")],
    ),
    (&["ip"], &[("core.v1.PodSpec", "hostAliases"), ("core.v1.PodStatus", "podIPs")]),
    (&["port", "protocol"], &[("core.v1.ServiceSpec", "ports")]),
    (&["resourceClaimName"], &[("core.v1.PodStatus", "nodeAllocatableResourceClaimStatuses")]),
    (&["rule"], &[("apiextensions.v1.JSONSchemaProps", "x-kubernetes-validations")]),
    (
        &["status", "reason"],
        &[
            ("core.v1.PodVolumeHealth", "healthConditions"),
            ("core.v1.VolumeHealthStatus", "healthConditions"),
        ],
    ),
    (&["topologyKey", "whenUnsatisfiable"], &[("core.v1.PodSpec", "topologySpreadConstraints")]),
    (
        &["uid"],
        &[("meta.v1.ObjectMeta", "ownerReferences"), ("resource.v1.ResourceClaimStatus", "reservedFor")],
    ),
];

/// Lists that are maps when applied, and one value when patched.
const KEYED_WHEN_APPLIED: &[(&[&str], &[Place])] = &[
    (&["driver", "device", "pool", "shareID"], &[("resource.v1.ResourceClaimStatus", "devices")]),
    (&["name"], &[("core.v1.PodStatus", "volumeHealth"), ("core.v1.ResourceRequirements", "claims")]),
    (&["resourceID"], &[("core.v1.ResourceStatus", "resources")]),
    (
        &["type"],
        &[
            ("admissionregistration.v1.ValidatingAdmissionPolicyStatus", "conditions"),
            ("apiextensions.v1.CustomResourceDefinitionStatus", "conditions"),
            ("certificates.v1.CertificateSigningRequestStatus", "conditions"),
            ("resource.v1.AllocatedDeviceStatus", "conditions"),
        ],
    ),
];

/// Lists that merge by a key when patched, and are one value when applied.
const KEYED_WHEN_PATCHED: &[(&str, Place)] =
    &[("ip", ("core.v1.PodStatus", "hostIPs")), ("type", ("batch.v1.JobStatus", "conditions"))];

/// Sets that are one value when patched.
const SETS: &[Place] = &[
    ("admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec", "validationActions"),
    ("batch.v1.PodFailurePolicyOnExitCodesRequirement", "values"),
    ("batch.v1.UncountedTerminatedPods", "failed"),
    ("batch.v1.UncountedTerminatedPods", "succeeded"),
    ("core.v1.ContainerRestartRuleOnExitCodes", "values"),
    ("core.v1.NodeAllocatableResourceClaimStatus", "containers"),
    ("core.v1.NodePodPreemptionPolicy", "disableResizePreemption"),
    ("core.v1.VolumeMount", "bindMountOptions"),
    ("discovery.v1.Endpoint", "addresses"),
    ("flowcontrol.v1.NonResourcePolicyRule", "nonResourceURLs"),
    ("flowcontrol.v1.NonResourcePolicyRule", "verbs"),
    ("flowcontrol.v1.ResourcePolicyRule", "apiGroups"),
    ("flowcontrol.v1.ResourcePolicyRule", "namespaces"),
    ("flowcontrol.v1.ResourcePolicyRule", "resources"),
    ("flowcontrol.v1.ResourcePolicyRule", "verbs"),
    ("resource.v1.DeviceRequestAllocationResult", "skipNodeOperations"),
    ("resource.v1.ResourceSliceSpec", "skipNodeOperations"),
    ("storage.v1.CSIDriverSpec", "volumeLifecycleModes"),
];

/// Sets that a patch adds to.
const MERGED_SETS: &[Place] = &[("core.v1.NodeSpec", "podCIDRs"), ("meta.v1.ObjectMeta", "finalizers")];

/// Fields with another patch strategy than `merge`.
const STRATEGIES: &[(Place, &str)] = &[
    (("apps.v1.DeploymentSpec", "strategy"), "retainKeys"),
    (("core.v1.PodSpec", "resourceClaims"), "merge,retainKeys"),
    (("core.v1.PodSpec", "volumes"), "merge,retainKeys"),
    (("core.v1.PodStatus", "resourceClaimStatuses"), "merge,retainKeys"),
    (("policy.v1.PodDisruptionBudgetSpec", "selector"), "replace"),
];

/// Types whose values are applied whole.
const ATOMIC_TYPES: &[&str] = &[
    "admissionregistration.v1.MatchResources",
    "admissionregistration.v1.NamedRuleWithOperations",
    "admissionregistration.v1.ParamKind",
    "admissionregistration.v1.ParamRef",
    "admissionregistration.v1.Variable",
    "core.v1.ConfigMapKeySelector",
    "core.v1.EndpointAddress",
    "core.v1.EndpointPort",
    "core.v1.EvictionResponder",
    "core.v1.FileKeySelector",
    "core.v1.LocalObjectReference",
    "core.v1.NodeSelector",
    "core.v1.NodeSelectorTerm",
    "core.v1.ObjectFieldSelector",
    "core.v1.ObjectReference",
    "core.v1.ResourceFieldSelector",
    "core.v1.ScopeSelector",
    "core.v1.SecretKeySelector",
    "core.v1.SecretReference",
    "core.v1.TopologySelectorTerm",
    "core.v1.TypedLocalObjectReference",
    "discovery.v1.EndpointPort",
    "meta.v1.LabelSelector",
    "meta.v1.OwnerReference",
    "networking.v1.ServiceBackendPort",
    "rbac.v1.RoleRef",
    "rbac.v1.Subject",
];

/// Maps that are applied whole, though their type is not.
const ATOMIC_MAPS: &[Place] = &[
    ("core.v1.PodSpec", "nodeSelector"),
    ("core.v1.ReplicationControllerSpec", "selector"),
    ("core.v1.ServiceSpec", "selector"),
    ("node.v1.Scheduling", "nodeSelector"),
];

/// Maps that are applied field by field, though their type is atomic.
const GRANULAR_MAPS: &[Place] = &[("core.v1.PersistentVolumeSpec", "claimRef")];

/// `io.k8s.api.core.v1.Pod` is `core.v1.Pod` in the tables.
pub(super) fn short(name: &str) -> &str {
    name.rmatch_indices('.').nth(2).and_then(|(dot, _)| name.get(dot.saturating_add(1)..)).unwrap_or(name)
}

/// Whether server-side apply takes values of the type with this name whole.
pub(crate) fn is_atomic(name: &str) -> bool {
    ATOMIC_TYPES.contains(&short(name))
}

/// The types that any table of fields names: most are in none.
static TABLED: LazyLock<HashSet<&str>> = LazyLock::new(|| places().map(|(name, _)| name).collect());

fn places() -> impl Iterator<Item = Place> {
    let keyed = KEYED.iter().chain(KEYED_WHEN_APPLIED).flat_map(|(_, places)| places.iter());
    keyed
        .chain(KEYED_WHEN_PATCHED.iter().map(|(_, place)| place))
        .chain(SETS)
        .chain(MERGED_SETS)
        .chain(STRATEGIES.iter().map(|(place, _)| place))
        .chain(ATOMIC_MAPS)
        .chain(GRANULAR_MAPS)
        .copied()
}

/// How a field of the type with this name merges.
pub(crate) fn merging(name: &str, field: &str) -> Merging {
    let place = (short(name), field);
    if !TABLED.contains(place.0) {
        return Merging::default();
    }
    let keys = |table: &[(&'static [&'static str], &[Place])]| {
        table.iter().find(|(_, places)| places.contains(&place)).map(|(keys, _)| *keys)
    };
    let (both, applied) = (keys(KEYED), keys(KEYED_WHEN_APPLIED));
    let patched = KEYED_WHEN_PATCHED.iter().find(|(_, at)| *at == place).map(|(key, _)| *key);
    let is_merged_set = MERGED_SETS.contains(&place);
    let list = match both.or(applied) {
        Some(keys) => {
            ListType::Map(keys.iter().map(|key| ((*key).to_owned(), default(place, key))).collect())
        }
        None if is_merged_set || SETS.contains(&place) => ListType::Set,
        None => ListType::Atomic,
    };
    let patch_key = both.and_then(|keys| keys.first().copied()).or(patched);
    let special = STRATEGIES.iter().find(|(at, _)| *at == place).map(|(_, strategy)| *strategy);
    let usual = if patch_key.is_some() || is_merged_set { "merge" } else { "" };
    let atomic = ATOMIC_MAPS.contains(&place).then_some(true);
    let is_atomic = atomic.or_else(|| GRANULAR_MAPS.contains(&place).then_some(false));
    Merging { list, patch_key, patch_strategy: special.unwrap_or(usual), is_atomic }
}

/// The value that an absent key has.
fn default((name, field): (&str, &str), key: &str) -> Option<Value> {
    match (name, field, key) {
        (_, _, "protocol") => Some("TCP".into()),
        ("core.v1.PodSpec", "imagePullSecrets", _) => Some("".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::struct_named;

    #[test]
    fn each_row_of_the_tables_names_a_field_that_there_is() {
        for (name, field) in places() {
            let found = struct_named(name).and_then(|found| found.field(field));
            assert!(found.is_some(), "{name} has no {field}");
        }
        for name in ATOMIC_TYPES {
            assert!(struct_named(name).is_some_and(|found| found.is_atomic), "{name}");
        }
    }

    #[test]
    fn a_list_may_merge_in_two_ways() {
        let ports = merging("io.k8s.api.core.v1.ServiceSpec", "ports");
        let keys = vec![("port".to_owned(), None), ("protocol".to_owned(), Some("TCP".into()))];
        assert_eq!((ports.list, ports.patch_key), (ListType::Map(keys), Some("port")));
        let conditions = merging("io.k8s.api.batch.v1.JobStatus", "conditions");
        assert_eq!((conditions.list, conditions.patch_key), (ListType::Atomic, Some("type")));
    }
}
