//! Which fields are always written, as zero where nobody has sent them: `status: {}`, `restartCount: 0`, `rules: null`.
//!
//! That is what the types of `k8s.io/api` do with fields that are no pointers, and are not said to be left out when they
//! are empty. In the API reference, most of these are required; what differs is named here.

use super::Type;
use super::merging::{Place, short};

/// Fields whose value is a struct, not a pointer to one.
const STRUCTS: &[&str] = &[
    "acceptedNames",
    "backend",
    "clientConfig",
    "conditions",
    "current",
    "daemonEndpoints",
    "deprecatedSource",
    "describedObject",
    "devices",
    "involvedObject",
    "jobTemplate",
    "kubeletEndpoint",
    "lastState",
    "limitResponse",
    "loadBalancer",
    "metadata",
    "metric",
    "names",
    "nodeInfo",
    "podAffinityTerm",
    "podSelector",
    "pool",
    "port",
    "preference",
    "priorityLevelConfiguration",
    "regarding",
    "resources",
    "roleRef",
    "scaleTargetRef",
    "source",
    "spec",
    "state",
    "status",
    "strategy",
    "target",
    "template",
    "updateStrategy",
    "user",
    "userInfo",
];

/// Fields of these names that are pointers all the same.
const POINTERS: &[Place] = &[
    ("core.v1.ContainerStatus", "resources"),
    ("core.v1.ContainerStatus", "user"),
    ("core.v1.PodSpec", "resources"),
    ("core.v1.PodStatus", "resources"),
    ("core.v1.ReplicationControllerSpec", "template"),
    ("flowcontrol.v1.Subject", "user"),
    ("networking.v1.NetworkPolicyPeer", "podSelector"),
];

/// Times and quantities that are no pointers.
const TIMES: &[&str] = &[
    "deprecatedFirstTimestamp",
    "deprecatedLastTimestamp",
    "divisor",
    "eventTime",
    "finishedAt",
    "firstTimestamp",
    "lastHeartbeatTime",
    "lastObservedTime",
    "lastProbeTime",
    "lastTimestamp",
    "lastTransitionTime",
    "lastUpdateTime",
    "startedAt",
];

/// What is optional, and written even if it is empty.
const OPTIONAL: &[Place] = &[
    ("apiextensions.v1.CustomResourceDefinitionStatus", "conditions"),
    ("apiextensions.v1.CustomResourceDefinitionStatus", "storedVersions"),
    ("apps.v1.StatefulSetOrdinals", "start"),
    ("apps.v1.StatefulSetSpec", "serviceName"),
    ("apps.v1.StatefulSetStatus", "availableReplicas"),
    ("authentication.v1.TokenRequestSpec", "audiences"),
    ("authentication.v1.TokenRequestStatus", "expirationTimestamp"),
    ("authentication.v1.TokenRequestStatus", "token"),
    ("autoscaling.v2.HorizontalPodAutoscalerStatus", "currentMetrics"),
    ("batch.v1.PodFailurePolicyOnPodConditionsPattern", "status"),
    ("core.v1.ContainerImage", "names"),
    ("core.v1.Event", "reportingComponent"),
    ("core.v1.Event", "reportingInstance"),
    ("core.v1.NodeRuntimeHandler", "name"),
    ("core.v1.ProjectedVolumeSource", "sources"),
    ("discovery.v1.EndpointSlice", "endpoints"),
    ("discovery.v1.EndpointSlice", "ports"),
    ("flowcontrol.v1.FlowSchemaSpec", "matchingPrecedence"),
    ("flowcontrol.v1.QueuingConfiguration", "handSize"),
    ("flowcontrol.v1.QueuingConfiguration", "queueLengthLimit"),
    ("flowcontrol.v1.QueuingConfiguration", "queues"),
    ("flowcontrol.v1.ResourcePolicyRule", "namespaces"),
    ("policy.v1.PodDisruptionBudgetStatus", "currentHealthy"),
    ("policy.v1.PodDisruptionBudgetStatus", "desiredHealthy"),
    ("policy.v1.PodDisruptionBudgetStatus", "disruptionsAllowed"),
    ("policy.v1.PodDisruptionBudgetStatus", "expectedPods"),
    ("rbac.v1.ClusterRole", "rules"),
    ("rbac.v1.Role", "rules"),
    ("rbac.v1.RoleRef", "apiGroup"),
    ("resource.v1.AllocatedDeviceStatus", "conditions"),
    ("resource.v1.DeviceClaim", "requests"),
    ("scheduling.v1.PriorityClass", "value"),
    ("storage.v1.CSINodeDriver", "topologyKeys"),
];

/// What is required, and left out if it is empty.
const LEFT_OUT: &[Place] = &[
    ("admissionregistration.v1.MutatingWebhook", "sideEffects"),
    ("admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec", "policyName"),
    ("admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec", "validationActions"),
    ("admissionregistration.v1.ValidatingWebhook", "sideEffects"),
    ("authentication.v1.TokenReviewSpec", "token"),
    ("core.v1.ContainerRestartRule", "action"),
    ("core.v1.ContainerRestartRuleOnExitCodes", "operator"),
    ("core.v1.ImageVolumeStatus", "imageRef"),
    ("core.v1.PodCertificateProjection", "keyType"),
    ("core.v1.PodCertificateProjection", "signerName"),
    ("networking.v1.HTTPIngressPath", "pathType"),
    ("networking.v1.ParentReference", "name"),
    ("networking.v1.ParentReference", "resource"),
    ("resource.v1.CapacityRequestPolicyRange", "min"),
    ("resource.v1.CounterSet", "counters"),
    ("resource.v1.DeviceCounterConsumption", "counters"),
];

/// Whether a field of the type with this name is always written.
pub(super) fn is_written(name: &str, field: &str, of_type: &Type, is_required: bool) -> bool {
    let place = (short(name), field);
    match of_type {
        Type::Struct(_) => STRUCTS.contains(&field) && !POINTERS.contains(&place),
        Type::Time | Type::MicroTime | Type::Quantity if TIMES.contains(&field) => true,
        _ => (is_required && !LEFT_OUT.contains(&place)) || OPTIONAL.contains(&place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{TYPES, struct_named};

    #[test]
    fn each_name_is_that_of_a_field_that_there_is() {
        let is_there =
            |(name, field): &&Place| struct_named(name).is_some_and(|found| found.field(field).is_some());
        let places = [POINTERS, OPTIONAL, LEFT_OUT].into_iter().flatten();
        let unknown: Vec<_> = places.filter(|place| !is_there(place)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        let fields = || TYPES.structs.iter().flat_map(|owner| &owner.fields);
        let is_written = |name: &&&str| fields().any(|field| field.name == **name && field.is_always_written);
        let unknown: Vec<_> =
            [STRUCTS, TIMES].into_iter().flatten().filter(|name| !is_written(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
