//! The kinds that a cluster has before any CustomResourceDefinition, as a table.

use crate::kind::{Kind, ScalePaths, resource_id};

const NS: u8 = 1;
const STATUS: u8 = 2;
const SCALE: u8 = 4;
const GENERATION: u8 = 8;
const ALL: u8 = 16;
const VIRTUAL: u8 = 32;
const WORKLOAD: u8 = NS | STATUS | GENERATION | ALL;

/// Kind, plural, short names, flags.
type Row = (&'static str, &'static str, &'static [&'static str], u8);

const CORE: &[Row] = &[
    ("ConfigMap", "configmaps", &["cm"], NS),
    ("Endpoints", "endpoints", &["ep"], NS),
    ("Event", "events", &["ev"], NS),
    ("LimitRange", "limitranges", &["limits"], NS),
    ("Namespace", "namespaces", &["ns"], STATUS),
    ("Node", "nodes", &["no"], STATUS),
    ("PersistentVolume", "persistentvolumes", &["pv"], STATUS),
    ("PersistentVolumeClaim", "persistentvolumeclaims", &["pvc"], NS | STATUS),
    ("Pod", "pods", &["po"], WORKLOAD),
    ("PodTemplate", "podtemplates", &[], NS | GENERATION),
    ("ReplicationController", "replicationcontrollers", &["rc"], WORKLOAD | SCALE),
    ("ResourceQuota", "resourcequotas", &["quota"], NS | STATUS),
    ("Secret", "secrets", &[], NS),
    ("Service", "services", &["svc"], NS | STATUS | ALL),
    ("ServiceAccount", "serviceaccounts", &["sa"], NS),
];

const APPS: &[Row] = &[
    ("ControllerRevision", "controllerrevisions", &[], NS),
    ("DaemonSet", "daemonsets", &["ds"], WORKLOAD),
    ("Deployment", "deployments", &["deploy"], WORKLOAD | SCALE),
    ("ReplicaSet", "replicasets", &["rs"], WORKLOAD | SCALE),
    ("StatefulSet", "statefulsets", &["sts"], WORKLOAD | SCALE),
];

const AUTOSCALING: &[Row] =
    &[("HorizontalPodAutoscaler", "horizontalpodautoscalers", &["hpa"], NS | STATUS | ALL)];

const ADMISSION: &[Row] = &[
    ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations", &[], GENERATION),
    ("ValidatingAdmissionPolicy", "validatingadmissionpolicies", &[], STATUS | GENERATION),
    ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", &[], GENERATION),
    ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations", &[], GENERATION),
];

const STORAGE: &[Row] = &[
    ("CSIDriver", "csidrivers", &[], 0),
    ("CSINode", "csinodes", &[], 0),
    ("CSIStorageCapacity", "csistoragecapacities", &[], NS),
    ("StorageClass", "storageclasses", &["sc"], 0),
    ("VolumeAttachment", "volumeattachments", &[], STATUS),
    ("VolumeAttributesClass", "volumeattributesclasses", &["vac"], 0),
];

const NETWORKING: &[Row] = &[
    ("IPAddress", "ipaddresses", &["ip"], 0),
    ("Ingress", "ingresses", &["ing"], NS | STATUS | GENERATION),
    ("IngressClass", "ingressclasses", &[], GENERATION),
    ("NetworkPolicy", "networkpolicies", &["netpol"], NS | GENERATION),
    ("ServiceCIDR", "servicecidrs", &[], STATUS),
];

const RBAC: &[Row] = &[
    ("ClusterRole", "clusterroles", &[], 0),
    ("ClusterRoleBinding", "clusterrolebindings", &[], 0),
    ("Role", "roles", &[], NS),
    ("RoleBinding", "rolebindings", &[], NS),
];

const RESOURCE: &[Row] = &[
    ("DeviceClass", "deviceclasses", &[], GENERATION),
    ("ResourceClaim", "resourceclaims", &[], NS | STATUS),
    ("ResourceClaimTemplate", "resourceclaimtemplates", &[], NS),
    ("ResourceSlice", "resourceslices", &[], GENERATION),
];

const AUTHORIZATION: &[Row] = &[
    ("LocalSubjectAccessReview", "localsubjectaccessreviews", &[], NS | VIRTUAL),
    ("SelfSubjectAccessReview", "selfsubjectaccessreviews", &[], VIRTUAL),
    ("SelfSubjectRulesReview", "selfsubjectrulesreviews", &[], VIRTUAL),
    ("SubjectAccessReview", "subjectaccessreviews", &[], VIRTUAL),
];

const GROUPS: &[(&str, &str, &[Row])] = &[
    ("", "v1", CORE),
    ("apiregistration.k8s.io", "v1", &[("APIService", "apiservices", &[], STATUS)]),
    ("apps", "v1", APPS),
    ("events.k8s.io", "v1", &[("Event", "events", &["ev"], NS)]),
    (
        "authentication.k8s.io",
        "v1",
        &[
            ("SelfSubjectReview", "selfsubjectreviews", &[], VIRTUAL),
            ("TokenReview", "tokenreviews", &[], VIRTUAL),
        ],
    ),
    ("authorization.k8s.io", "v1", AUTHORIZATION),
    ("autoscaling", "v2", AUTOSCALING),
    ("autoscaling", "v1", AUTOSCALING),
    ("batch", "v1", &[("CronJob", "cronjobs", &["cj"], WORKLOAD), ("Job", "jobs", &[], WORKLOAD)]),
    (
        "certificates.k8s.io",
        "v1",
        &[("CertificateSigningRequest", "certificatesigningrequests", &["csr"], STATUS)],
    ),
    ("networking.k8s.io", "v1", NETWORKING),
    ("policy", "v1", &[("PodDisruptionBudget", "poddisruptionbudgets", &["pdb"], NS | STATUS | GENERATION)]),
    ("rbac.authorization.k8s.io", "v1", RBAC),
    ("storage.k8s.io", "v1", STORAGE),
    ("admissionregistration.k8s.io", "v1", ADMISSION),
    (
        "apiextensions.k8s.io",
        "v1",
        &[("CustomResourceDefinition", "customresourcedefinitions", &["crd", "crds"], STATUS | GENERATION)],
    ),
    ("scheduling.k8s.io", "v1", &[("PriorityClass", "priorityclasses", &["pc"], GENERATION)]),
    ("coordination.k8s.io", "v1", &[("Lease", "leases", &[], NS)]),
    ("node.k8s.io", "v1", &[("RuntimeClass", "runtimeclasses", &[], 0)]),
    ("discovery.k8s.io", "v1", &[("EndpointSlice", "endpointslices", &[], NS | GENERATION)]),
    (
        "flowcontrol.apiserver.k8s.io",
        "v1",
        &[
            ("FlowSchema", "flowschemas", &[], STATUS | GENERATION),
            ("PriorityLevelConfiguration", "prioritylevelconfigurations", &[], STATUS | GENERATION),
        ],
    ),
    ("resource.k8s.io", "v1", RESOURCE),
];

/// Every built-in kind, in the order in which discovery lists them.
pub(crate) fn kinds() -> Vec<Kind> {
    GROUPS
        .iter()
        .flat_map(|(group, version, rows)| rows.iter().map(move |row| kind(group, version, row)))
        .collect()
}

fn kind(group: &str, version: &str, &(kind, plural, short_names, flags): &Row) -> Kind {
    let has = |flag: u8| flags & flag != 0;
    let mut categories = Vec::new();
    if has(ALL) {
        categories.push("all".to_owned());
    }
    if matches!(group, "apiextensions.k8s.io" | "apiregistration.k8s.io" | "admissionregistration.k8s.io") {
        categories.push("api-extensions".to_owned());
    }
    Kind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: short_names.iter().map(|&name| name.to_owned()).collect(),
        categories,
        namespaced: has(NS),
        // Both event APIs are two views of the same objects.
        storage: if plural == "events" { resource_id("", plural) } else { resource_id(group, plural) },
        has_status: has(STATUS),
        has_generation: has(GENERATION),
        scale: has(SCALE).then(|| scale_of(kind)),
        extra: extra_subresources(kind),
        is_virtual: has(VIRTUAL),
        custom: None,
    }
}

fn scale_of(kind: &str) -> ScalePaths {
    let path = |fields: &[&str]| fields.iter().map(|&field| field.to_owned()).collect();
    ScalePaths {
        spec: path(&["spec", "replicas"]),
        status: path(&["status", "replicas"]),
        selector: (kind != "ReplicationController").then(|| path(&["spec", "selector"])),
    }
}

fn extra_subresources(kind: &str) -> &'static [&'static str] {
    match kind {
        "Pod" => &["binding", "ephemeralcontainers", "eviction", "resize"],
        "Namespace" => &["finalize"],
        "ServiceAccount" => &["token"],
        "CertificateSigningRequest" => &["approval"],
        _ => &[],
    }
}
