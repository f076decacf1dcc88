//! What single values of the built-in kinds have to be: see [`checks`](super::checks).

use super::checks::Check::{
    Absolute, Address, Count, Downwards, HostName, Id, Label, Labels, Mode, Network, NotNegative, OneOf,
    Port, PortName, PortOrName, Positive, Present, Qualified, Quantities, Subdomain, Trimmed, Within,
};
use super::checks::Rule;
use crate::kind::Kind;

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
const POLICIES: &[&str] = &["Cluster", "Local"];
const MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const FORMS: &[&str] = &["Block", "Filesystem"];
const SECCOMP: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];
const HOST_PATHS: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const WEIGHT: &str = "must be in the range 1-100";
const SECONDS: &str = "must be between 1 and 2147483647, inclusive";
const TOPOLOGY: &str = "can not be empty";

/// The rules of an object's values, from its root.
pub(super) fn of(kind: &Kind) -> &'static [Rule] {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Service") => SERVICE,
        ("", "PersistentVolumeClaim") => CLAIM,
        ("", "PersistentVolume") => VOLUME,
        ("", "Endpoints") => ENDPOINTS,
        ("", "Node") => NODE,
        ("", "ResourceQuota") => &[("spec.hard", Quantities)],
        ("batch", "CronJob") => CRON_JOB,
        ("batch", "Job") => JOB,
        ("policy", "PodDisruptionBudget") => BUDGET,
        ("networking.k8s.io", "NetworkPolicy") => NETWORK_POLICY,
        ("networking.k8s.io", "Ingress") => INGRESS,
        ("networking.k8s.io", "IngressClass") => &[("spec.controller", Present(""))],
        ("coordination.k8s.io", "Lease") => LEASE,
        ("discovery.k8s.io", "EndpointSlice") => ENDPOINT_SLICE,
        ("scheduling.k8s.io", "PriorityClass") => {
            &[("preemptionPolicy", OneOf(&["PreemptLowerPriority", "Never"]))]
        }
        ("storage.k8s.io", "StorageClass") => STORAGE_CLASS,
        ("node.k8s.io", "RuntimeClass") => &[("handler", Present("")), ("handler", Label)],
        _ => &[],
    }
}

const SERVICE: &[Rule] = &[
    ("spec.selector", Labels),
    ("spec.externalIPs[]", Address),
    ("spec.ports[].targetPort", PortOrName),
    ("spec.ipFamilyPolicy", OneOf(&["PreferDualStack", "RequireDualStack", "SingleStack"])),
    ("spec.ipFamilies[]", OneOf(&["IPv4", "IPv6"])),
    ("spec.internalTrafficPolicy", OneOf(POLICIES)),
    ("spec.externalTrafficPolicy", OneOf(POLICIES)),
    ("spec.loadBalancerClass", Qualified),
];

const CLAIM: &[Rule] = &[
    ("spec.volumeMode", OneOf(FORMS)),
    ("spec.storageClassName", Subdomain),
    ("spec.selector.matchLabels", Labels),
];

const VOLUME: &[Rule] = &[
    ("spec.capacity", Present("")),
    ("spec.accessModes", Present("")),
    ("spec.hostPath.path", Present("")),
    ("spec.hostPath.path", Downwards),
    ("spec.persistentVolumeReclaimPolicy", OneOf(&["Delete", "Recycle", "Retain"])),
    ("spec.volumeMode", OneOf(FORMS)),
    ("spec.storageClassName", Subdomain),
    ("spec.nodeAffinity.required", Present("must specify required node constraints")),
];

const ENDPOINTS: &[Rule] = &[
    ("subsets[].addresses[].ip", Address),
    ("subsets[].notReadyAddresses[].ip", Address),
    ("subsets[].ports[].port", Port),
];

const NODE: &[Rule] = &[("spec.podCIDRs[]", Network)];

const CRON_JOB: &[Rule] = &[
    ("spec.concurrencyPolicy", OneOf(&["Allow", "Forbid", "Replace"])),
    ("spec.startingDeadlineSeconds", NotNegative),
    ("spec.successfulJobsHistoryLimit", NotNegative),
    ("spec.failedJobsHistoryLimit", NotNegative),
];

const JOB: &[Rule] = &[
    ("spec.ttlSecondsAfterFinished", NotNegative),
    ("spec.completionMode", OneOf(&["NonIndexed", "Indexed"])),
    ("spec.podReplacementPolicy", OneOf(&["Failed", "TerminatingOrFailed"])),
    ("spec.podFailurePolicy.rules[].action", OneOf(&["Count", "FailIndex", "FailJob", "Ignore"])),
];

const BUDGET: &[Rule] = &[
    ("spec.minAvailable", Count),
    ("spec.maxUnavailable", Count),
    ("spec.unhealthyPodEvictionPolicy", OneOf(&["AlwaysAllow", "IfHealthyBudget"])),
];

const DIRECTIONS: &[&str] = &["Ingress", "Egress"];
/// Not sorted, as the others are.
const POLICY_PROTOCOLS: &[&str] = &["TCP", "UDP", "SCTP"];

const NETWORK_POLICY: &[Rule] = &[
    ("spec.policyTypes[]", OneOf(DIRECTIONS)),
    ("spec.ingress[].ports[].protocol", OneOf(POLICY_PROTOCOLS)),
    ("spec.ingress[].ports[].port", PortOrName),
    ("spec.ingress[].from[].ipBlock.cidr", Network),
    ("spec.egress[].ports[].protocol", OneOf(POLICY_PROTOCOLS)),
    ("spec.egress[].ports[].port", PortOrName),
    ("spec.egress[].to[].ipBlock.cidr", Network),
];

const INGRESS: &[Rule] = &[
    ("spec.rules[].host", HostName),
    ("spec.rules[].http.paths", Present("")),
    ("spec.rules[].http.paths[].pathType", Present("pathType must be specified")),
    ("spec.rules[].http.paths[].pathType", OneOf(&["Exact", "ImplementationSpecific", "Prefix"])),
    ("spec.rules[].http.paths[].path", Absolute),
];

const LEASE: &[Rule] = &[
    ("spec.leaseDurationSeconds", Positive("must be greater than 0")),
    ("spec.leaseTransitions", NotNegative),
];

const ENDPOINT_SLICE: &[Rule] = &[
    ("addressType", Present("")),
    ("addressType", OneOf(&["FQDN", "IPv4", "IPv6"])),
    ("endpoints[].addresses", Present("must contain at least 1 address")),
    ("ports[].name", Label),
    ("ports[].protocol", OneOf(PROTOCOLS)),
];

const STORAGE_CLASS: &[Rule] = &[
    ("reclaimPolicy", OneOf(&["Delete", "Retain"])),
    ("volumeBindingMode", OneOf(&["Immediate", "WaitForFirstConsumer"])),
];

/// Those of the specification of a Pod.
pub(super) const POD: &[Rule] = &[
    ("activeDeadlineSeconds", Within(1, 2_147_483_647, SECONDS)),
    ("nodeSelector", Labels),
    ("nodeName", Subdomain),
    ("serviceAccountName", Subdomain),
    ("hostname", Label),
    ("subdomain", Label),
    ("dnsConfig.nameservers[]", Address),
    ("hostAliases[].ip", Address),
    ("hostAliases[].hostnames[]", Subdomain),
    ("readinessGates[].conditionType", Qualified),
    ("securityContext.runAsUser", Id),
    ("securityContext.runAsGroup", Id),
    ("securityContext.fsGroup", Id),
    ("securityContext.seccompProfile.type", OneOf(SECCOMP)),
    ("securityContext.fsGroupChangePolicy", OneOf(&["Always", "OnRootMismatch"])),
    ("topologySpreadConstraints[].maxSkew", Positive("must be greater than zero")),
    ("topologySpreadConstraints[].topologyKey", Present(TOPOLOGY)),
    ("topologySpreadConstraints[].whenUnsatisfiable", OneOf(&["DoNotSchedule", "ScheduleAnyway"])),
    (
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
        Present("must have at least one node selector term"),
    ),
    (
        "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[].weight",
        Within(1, 100, WEIGHT),
    ),
    ("affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].topologyKey", Present(TOPOLOGY)),
    (
        "affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].topologyKey",
        Present(TOPOLOGY),
    ),
    ("affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[].weight", Within(1, 100, WEIGHT)),
    (
        "affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[].weight",
        Within(1, 100, WEIGHT),
    ),
    ("tolerations[].effect", OneOf(EFFECTS)),
    ("volumes[].hostPath.path", Present("")),
    ("volumes[].hostPath.path", Downwards),
    ("volumes[].hostPath.type", OneOf(HOST_PATHS)),
    ("volumes[].configMap.name", Present("")),
    ("volumes[].configMap.items[].key", Present("")),
    ("volumes[].configMap.items[].path", Downwards),
    ("volumes[].configMap.defaultMode", Mode),
    ("volumes[].secret.secretName", Present("")),
    ("volumes[].secret.items[].key", Present("")),
    ("volumes[].secret.items[].path", Downwards),
    ("volumes[].secret.defaultMode", Mode),
    ("volumes[].persistentVolumeClaim.claimName", Present("")),
    ("volumes[].nfs.server", Present("")),
    ("volumes[].nfs.path", Present("")),
    ("volumes[].csi.driver", Present("")),
];

/// Those of a container.
pub(super) const CONTAINER: &[Rule] = &[
    ("image", Trimmed),
    ("terminationMessagePolicy", OneOf(&["File", "FallbackToLogsOnError"])),
    ("restartPolicy", OneOf(&["Always", "Never", "OnFailure"])),
    ("ports[].name", PortName),
    ("ports[].hostPort", Port),
    ("env[].valueFrom.configMapKeyRef.key", Present("")),
    ("env[].valueFrom.secretKeyRef.key", Present("")),
    ("envFrom[].configMapRef.name", Present("")),
    ("envFrom[].secretRef.name", Present("")),
    ("lifecycle.preStop.exec.command", Present("")),
    ("lifecycle.postStart.exec.command", Present("")),
    ("securityContext.runAsUser", Id),
    ("securityContext.runAsGroup", Id),
    ("securityContext.procMount", OneOf(&["Default", "Unmasked"])),
    ("securityContext.seccompProfile.type", OneOf(SECCOMP)),
];

/// Those of a probe.
pub(super) const PROBE: &[Rule] = &[
    ("httpGet.port", PortOrName),
    ("tcpSocket.port", PortOrName),
    ("grpc.port", Port),
    ("exec.command", Present("")),
    ("initialDelaySeconds", NotNegative),
    ("timeoutSeconds", NotNegative),
    ("periodSeconds", NotNegative),
    ("failureThreshold", NotNegative),
];

/// What a claim's or a volume's access modes can be.
pub(super) const ACCESS_MODES: &[&str] = MODES;
