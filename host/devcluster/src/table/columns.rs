//! The columns of the built-in kinds.

use crate::kind::Kind;
use crate::table::Column;

/// Group, kind, and the columns after the name: a star makes one part of wide tables alone.
const COLUMNS: &[(&str, &str, &str)] = &[
    ("", "Pod", "Ready|Status|Restarts|Age|IP*|Node*|Nominated Node*|Readiness Gates*"),
    ("", "PodTemplate", "Containers|Images|Pod Labels"),
    ("", "Service", "Type|Cluster-IP|External-IP|Port(s)|Age|Selector*"),
    (
        "",
        "Node",
        "Status|Roles|Age|Version|Internal-IP*|External-IP*|OS-Image*|Kernel-Version*|Container-Runtime*",
    ),
    ("", "Namespace", "Status|Age"),
    ("", "ConfigMap", "Data|Age"),
    ("", "Secret", "Type|Data|Age"),
    ("", "LimitRange", "Created At:date"),
    ("", "Endpoints", "Endpoints|Age"),
    (
        "",
        "ReplicationController",
        "Desired:integer|Current:integer|Ready:integer|Age|Containers*|Images*|Selector*",
    ),
    (
        "",
        "PersistentVolume",
        "Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass|VolumeAttributesClass|Reason|Age|VolumeMode*",
    ),
    (
        "",
        "PersistentVolumeClaim",
        "Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age|VolumeMode*",
    ),
    ("", "ResourceQuota", "Request|Limit|Age"),
    ("", "Event", EVENT),
    ("events.k8s.io", "Event", EVENT),
    ("apps", "ControllerRevision", "Controller|Revision|Age"),
    ("apps", "Deployment", "Ready|Up-to-date|Available|Age|Containers*|Images*|Selector*"),
    ("apps", "ReplicaSet", "Desired:integer|Current:integer|Ready:integer|Age|Containers*|Images*|Selector*"),
    ("apps", "StatefulSet", "Ready|Age|Containers*|Images*"),
    (
        "apps",
        "DaemonSet",
        "Desired:integer|Current:integer|Ready:integer|Up-to-date:integer|Available:integer|Node Selector|Age|\
         Containers*|Images*|Selector*",
    ),
    ("batch", "Job", "Status|Completions|Duration|Age|Containers*|Images*|Selector*"),
    (
        "batch",
        "CronJob",
        "Schedule|Timezone|Suspend:boolean|Active:integer|Last Schedule|Age|Containers*|Images*|Selector*",
    ),
    ("autoscaling", "Scale", "Desired:integer|Available:integer|Age"),
    ("autoscaling", "HorizontalPodAutoscaler", "Reference|Targets|MinPods|MaxPods|Replicas|Age"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration", "Webhooks:integer|Age"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "Webhooks:integer|Age"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", "Validations:integer|ParamKind|Age"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", "PolicyName|ParamRef|Age"),
    ("apiregistration.k8s.io", "APIService", "Service|Available|Age"),
    (
        "flowcontrol.apiserver.k8s.io",
        "FlowSchema",
        "PriorityLevel|MatchingPrecedence|DistinguisherMethod|Age|MissingPL",
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        "PriorityLevelConfiguration",
        "Type|NominalConcurrencyShares|Queues|HandSize|QueueLengthLimit|Age",
    ),
    ("networking.k8s.io", "ServiceCIDR", "CIDRs|Age"),
    ("networking.k8s.io", "Ingress", "Class|Hosts|Address|Ports|Age"),
    ("networking.k8s.io", "IngressClass", "Controller|Parameters|Age"),
    ("networking.k8s.io", "NetworkPolicy", "Pod-Selector|Age"),
    ("discovery.k8s.io", "EndpointSlice", "AddressType|Ports|Endpoints|Age"),
    ("policy", "PodDisruptionBudget", "Min Available|Max Unavailable|Allowed Disruptions:integer|Age"),
    ("rbac.authorization.k8s.io", "Role", "Created At:date"),
    ("rbac.authorization.k8s.io", "ClusterRole", "Created At:date"),
    ("rbac.authorization.k8s.io", "RoleBinding", "Role|Age|Users*|Groups*|ServiceAccounts*"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", "Role|Age|Users*|Groups*|ServiceAccounts*"),
    (
        "storage.k8s.io",
        "CSIDriver",
        "AttachRequired:boolean|PodInfoOnMount:boolean|StorageCapacity:boolean|TokenRequests|\
         RequiresRepublish:boolean|Modes|Age",
    ),
    ("storage.k8s.io", "CSINode", "Drivers:integer|Age"),
    ("storage.k8s.io", "CSIStorageCapacity", "Created At:date"),
    ("storage.k8s.io", "VolumeAttachment", "Attacher|PV|Node|Attached:boolean|Age"),
    ("storage.k8s.io", "VolumeAttributesClass", "DriverName|Age"),
    (
        "storage.k8s.io",
        "StorageClass",
        "Provisioner|ReclaimPolicy|VolumeBindingMode|AllowVolumeExpansion|Age",
    ),
    (
        "certificates.k8s.io",
        "CertificateSigningRequest",
        "Age|SignerName|Requestor|RequestedDuration|Condition",
    ),
    ("scheduling.k8s.io", "PriorityClass", "Value:integer|Global-Default:boolean|Age|PreemptionPolicy"),
    ("node.k8s.io", "RuntimeClass", "Handler|Age"),
    ("coordination.k8s.io", "Lease", "Holder|Age"),
    ("apiextensions.k8s.io", "CustomResourceDefinition", "Created At:date"),
];

const EVENT: &str = "Last Seen|Type|Reason|Object|Subobject*|Source*|Message|First Seen*|Count*|Name*";

/// The columns of a kind; name and age where nothing else is known.
pub(super) fn of(kind: &Kind) -> Vec<Column> {
    let known = COLUMNS.iter().find(|(group, name, _)| *group == kind.group && *name == kind.kind);
    let text = known.map_or("Age", |(_, _, text)| text);
    let column = |text: &str| {
        let (text, priority) = match text.strip_suffix('*') {
            Some(text) => (text, 1),
            None => (text, 0),
        };
        let (name, of_type) = text.split_once(':').unwrap_or((text, "string"));
        Column::new(name, of_type, priority)
    };
    let mut columns: Vec<Column> = text.split('|').map(column).collect();
    // An event is told apart by what it says, so that its name comes last.
    if kind.kind != "Event" || kind.is_custom() {
        columns.insert(0, column("Name"));
    }
    columns
}
