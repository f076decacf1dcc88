//! Which fields say nothing when they are zero, so that a cluster writes none: `hostNetwork: false` is the same as no
//! `hostNetwork`, but `replicas: 0` is not the same as no `replicas`.
//!
//! That is not in the API reference: it follows the types of `k8s.io/api`, where the latter are pointers. A field that
//! is named here in no way keeps its zero.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::Type;
use super::merging::{Place, short};

const BOOLS: &str = "chapAuthDiscovery chapAuthSession clusterScope deprecated exclusiveMaximum exclusiveMinimum \
    globalDefault hostIPC hostNetwork hostPID insecureSkipTLSVerify nullable paused preserveUnknownFields \
    publishNotReadyAddresses readOnly sslEnabled stdin stdinOnce tty uniqueItems unschedulable \
    x-kubernetes-embedded-resource x-kubernetes-int-or-string";

const NUMBERS: &str = "active availableReplicas count currentReplicas deprecatedCount failed failureThreshold \
    fullyLabeledReplicas generation healthCheckNodePort hostPort initialDelaySeconds minReadySeconds nodePort number \
    numberAvailable numberUnavailable observedGeneration partition periodSeconds priority readyReplicas replicas signal \
    sizeBytes succeeded successThreshold timeoutSeconds unavailableReplicas updatedNumberScheduled \
    updatedReplicas";

const TEXTS: &str = "$schema action allocationMode apiGroup apiVersion audience certificateChainPath clusterIP \
    completedIndexes component concurrencyPolicy containerID containerName controller credentialBundlePath \
    currentRevision datasetName datasetUUID description directory dnsPolicy effect externalID externalName \
    externalTrafficPolicy fieldPath fieldsType format fsType generateName group hardwareAddress health host hostIP \
    hostname id image imagePullPolicy interfaceName ip iscsiInterface key keyPath keyring kind level listKind \
    loadBalancerIP manager medium message messageExpression name namespace nodeName nominatedNodeName note operation \
    operator path pattern persistentVolumeReclaimPolicy phase podCIDR podIP podManagementPolicy pool prefix \
    priorityClassName protectionDomain protocol providerID pullPolicy qosClass reason reference reportingController \
    request resize resourceVersion restartPolicy revision role schedulerName scheme secretFile secretName selfLink \
    serviceAccount serviceAccountName serviceName sessionAffinity singular status storageClassName storageMode \
    storagePolicyID storagePolicyName storagePool subPath subPathExpr subdomain subresource targetContainerName \
    targetVolumeAttributesClassName tenant terminationMessagePath terminationMessagePolicy title type uid \
    updateRevision url user username value version volumeName volumeNamespace whenDeleted whenScaled workingDir";

/// Structs that are always there, and so may be empty.
const STRUCTS: &str = "conditions metadata port";

/// What tells zero from nothing all the same: those of the names above that do so in one type, and lists. What Go writes
/// even if it is nothing is among them, but for what must not differ then (`serviceName` of a StatefulSet, which cannot
/// change) and for lists, of which a cluster keeps a null.
const TOLD_APART: &[Place] = &[
    ("admissionregistration.v1.MutatingWebhook", "timeoutSeconds"),
    ("admissionregistration.v1.ServiceReference", "path"),
    ("admissionregistration.v1.ValidatingWebhook", "timeoutSeconds"),
    ("admissionregistration.v1.Validation", "reason"),
    ("admissionregistration.v1.WebhookClientConfig", "url"),
    ("apiextensions.v1.CustomResourceDefinitionStatus", "conditions"),
    ("apiextensions.v1.CustomResourceDefinitionStatus", "storedVersions"),
    ("apiextensions.v1.ServiceReference", "path"),
    ("apiextensions.v1.ValidationRule", "reason"),
    ("apiextensions.v1.WebhookClientConfig", "url"),
    ("apps.v1.DeploymentSpec", "replicas"),
    ("apps.v1.ReplicaSetSpec", "replicas"),
    ("apps.v1.RollingUpdateStatefulSetStrategy", "partition"),
    ("apps.v1.StatefulSetSpec", "replicas"),
    ("apps.v1.StatefulSetStatus", "availableReplicas"),
    ("autoscaling.v2.HorizontalPodAutoscalerCondition", "observedGeneration"),
    ("autoscaling.v2.HorizontalPodAutoscalerStatus", "observedGeneration"),
    ("batch.v1.PodFailurePolicyOnExitCodesRequirement", "containerName"),
    ("batch.v1.PodFailurePolicyOnPodConditionsPattern", "status"),
    ("core.v1.AzureDiskVolumeSource", "fsType"),
    ("core.v1.AzureDiskVolumeSource", "kind"),
    ("core.v1.AzureDiskVolumeSource", "readOnly"),
    ("core.v1.CSIVolumeSource", "fsType"),
    ("core.v1.CSIVolumeSource", "readOnly"),
    ("core.v1.ClientIPConfig", "timeoutSeconds"),
    ("core.v1.ClusterTrustBundleProjection", "name"),
    ("core.v1.Container", "restartPolicy"),
    ("core.v1.EndpointAddress", "nodeName"),
    ("core.v1.EphemeralContainer", "restartPolicy"),
    ("core.v1.HTTPGetAction", "protocol"),
    ("core.v1.HostPathVolumeSource", "type"),
    ("core.v1.LocalVolumeSource", "fsType"),
    ("core.v1.NodeRuntimeHandler", "name"),
    ("core.v1.PersistentVolumeClaimSpec", "storageClassName"),
    ("core.v1.PodDNSConfigOption", "value"),
    ("core.v1.PodSpec", "priority"),
    ("core.v1.ReplicationControllerSpec", "replicas"),
    ("core.v1.ResourceHealth", "message"),
    ("core.v1.TypedLocalObjectReference", "apiGroup"),
    ("core.v1.TypedObjectReference", "apiGroup"),
    ("core.v1.TypedObjectReference", "namespace"),
    ("discovery.v1.Endpoint", "hostname"),
    ("discovery.v1.Endpoint", "nodeName"),
    ("discovery.v1.EndpointPort", "name"),
    ("discovery.v1.EndpointPort", "protocol"),
    ("discovery.v1.EndpointSlice", "endpoints"),
    ("discovery.v1.EndpointSlice", "ports"),
    ("meta.v1.ObjectMeta", "managedFields"),
    ("networking.v1.IngressClassParametersReference", "apiGroup"),
    ("networking.v1.IngressClassParametersReference", "namespace"),
    ("networking.v1.NetworkPolicyPort", "protocol"),
    ("rbac.v1.ClusterRole", "rules"),
    ("rbac.v1.Role", "rules"),
    ("rbac.v1.RoleRef", "apiGroup"),
    ("resource.v1.Device", "nodeName"),
    ("resource.v1.DeviceAttribute", "version"),
    ("resource.v1.ResourceSliceSpec", "nodeName"),
    ("storage.v1.VolumeNodeResources", "count"),
];

static NAMES: LazyLock<[HashSet<&'static str>; 4]> =
    LazyLock::new(|| [BOOLS, NUMBERS, TEXTS, STRUCTS].map(|names| names.split_whitespace().collect()));

/// Whether an optional field of the type with this name says nothing when it is zero.
pub(super) fn say_nothing(name: &str, field: &str, of_type: &Type) -> bool {
    let [bools, numbers, texts, structs] = &*NAMES;
    let is_named = match of_type {
        Type::List(_) | Type::Map(_) | Type::Bytes => true,
        Type::Bool => bools.contains(field),
        Type::Int32 | Type::Int64 => numbers.contains(field),
        Type::Text => texts.contains(field),
        Type::Struct(_) => structs.contains(field),
        Type::Number
        | Type::IntOrString
        | Type::Quantity
        | Type::Time
        | Type::MicroTime
        | Type::Union { .. }
        | Type::Free => false,
    };
    is_named && !TOLD_APART.contains(&(short(name), field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{TYPES, struct_named};

    #[test]
    fn each_name_is_that_of_a_field_that_there_is() {
        let fields = || TYPES.structs.iter().flat_map(|owner| &owner.fields);
        let is_there = |name: &str| fields().any(|field| field.name == name && field.has_no_zero);
        let unknown: Vec<_> = NAMES.iter().flatten().filter(|name| !is_there(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        let is_there = |(name, field): &&Place| {
            let found = struct_named(name).and_then(|found| found.field(field));
            found.is_some_and(|found| !found.has_no_zero)
        };
        let unknown: Vec<_> = TOLD_APART.iter().filter(|place| !is_there(place)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
