//! The messages that can be decoded: field numbers, JSON names and types, as in Kubernetes' published
//! `generated.proto` files.

use super::certificates::SIGNING_REQUEST;
use super::reviews::{ACCESS_SPEC, SUBJECT_REVIEW, TOKEN_SPEC};
use Type::{
    Bool, Bytes, Count, Flag, Ignored, Inline, Int, IntOrString, List, Map, Message, Port, Quantity, Text,
    Time,
};

/// Number, JSON name, type.
pub(super) type Field = (u64, &'static str, Type);

pub(super) enum Type {
    Text,
    Bytes,
    Bool,
    /// A boolean that is left out when it is false, as Go has no other way to leave it out.
    Flag,
    Int,
    /// A number that is left out when it is zero.
    Count,
    Quantity,
    IntOrString,
    /// A number or a name, left out when it is zero.
    Port,
    Time,
    List(&'static Type),
    Map(&'static Type),
    Message(&'static [Field]),
    /// A message whose fields are the parent's in JSON.
    Inline(&'static [Field]),
    /// What the server sets itself, or takes from its subresource alone.
    Ignored,
}

/// The message of a kind, which is the same in all versions but for autoscalers: theirs is v1.
pub(super) fn find(api_version: &str, kind: &str) -> Option<&'static [Field]> {
    if kind == "HorizontalPodAutoscaler" && api_version != "autoscaling/v1" {
        return None;
    }
    KINDS.iter().find(|(name, _)| *name == kind).map(|(_, fields)| *fields)
}

const KINDS: &[(&str, &[Field])] = &[
    ("Binding", &[META, (2, "target", Message(OBJECT_REFERENCE))]),
    ("CertificateSigningRequest", SIGNING_REQUEST),
    (
        "ClusterRole",
        &[META, (2, "rules", List(&Message(POLICY_RULE))), (3, "aggregationRule", Message(AGGREGATION))],
    ),
    ("ClusterRoleBinding", ROLE_BINDING),
    ("ConfigMap", &[META, (4, "immutable", Bool), (2, "data", Map(&Text)), (3, "binaryData", Map(&Bytes))]),
    ("CronJob", &[META, (2, "spec", Message(CRON_JOB_SPEC)), (3, "status", Ignored)]),
    ("DeleteOptions", DELETE_OPTIONS),
    ("Deployment", &[META, (2, "spec", Message(DEPLOYMENT_SPEC)), (3, "status", Ignored)]),
    ("Eviction", &[META, (2, "deleteOptions", Message(DELETE_OPTIONS))]),
    ("HorizontalPodAutoscaler", &[META, (2, "spec", Message(AUTOSCALER_SPEC)), (3, "status", Ignored)]),
    ("Ingress", &[META, (2, "spec", Message(INGRESS_SPEC)), (3, "status", Ignored)]),
    ("Job", &[META, (2, "spec", Message(JOB_SPEC)), (3, "status", Ignored)]),
    ("LocalSubjectAccessReview", SUBJECT_REVIEW),
    ("Namespace", &[META, (2, "spec", Message(&[(1, "finalizers", List(&Text))])), (3, "status", Ignored)]),
    ("Pod", &[META, (2, "spec", Message(POD_SPEC)), (3, "status", Ignored)]),
    ("PodDisruptionBudget", &[META, (2, "spec", Message(DISRUPTION_SPEC)), (3, "status", Ignored)]),
    (
        "PriorityClass",
        &[
            META,
            (2, "value", Int),
            (3, "globalDefault", Flag),
            (4, "description", Text),
            (5, "preemptionPolicy", Text),
        ],
    ),
    (
        "ResourceQuota",
        &[
            META,
            (2, "spec", Message(&[(1, "hard", Map(&Quantity)), (2, "scopes", List(&Text))])),
            (3, "status", Ignored),
        ],
    ),
    ("Role", &[META, (2, "rules", List(&Message(POLICY_RULE)))]),
    ("RoleBinding", ROLE_BINDING),
    (
        "Secret",
        &[
            META,
            (5, "immutable", Bool),
            (2, "data", Map(&Bytes)),
            (4, "stringData", Map(&Text)),
            (3, "type", Text),
        ],
    ),
    ("SelfSubjectAccessReview", &[META, (2, "spec", Message(ACCESS_SPEC)), (3, "status", Ignored)]),
    ("SelfSubjectReview", &[META, (2, "status", Ignored)]),
    (
        "SelfSubjectRulesReview",
        &[META, (2, "spec", Message(&[(1, "namespace", Text)])), (3, "status", Ignored)],
    ),
    ("Service", &[META, (2, "spec", Message(SERVICE_SPEC)), (3, "status", Ignored)]),
    (
        "ServiceAccount",
        &[
            META,
            (2, "secrets", List(&Message(OBJECT_REFERENCE))),
            (3, "imagePullSecrets", List(&Message(LOCAL_REFERENCE))),
            (4, "automountServiceAccountToken", Bool),
        ],
    ),
    ("SubjectAccessReview", SUBJECT_REVIEW),
    ("TokenRequest", &[META, (2, "spec", Message(TOKEN_SPEC)), (3, "status", Ignored)]),
    (
        "TokenReview",
        &[
            META,
            (2, "spec", Message(&[(1, "token", Text), (2, "audiences", List(&Text))])),
            (3, "status", Ignored),
        ],
    ),
];

pub(super) const META: Field = (1, "metadata", Message(OBJECT_META));

const OBJECT_META: &[Field] = &[
    (1, "name", Text),
    (2, "generateName", Text),
    (3, "namespace", Text),
    (4, "selfLink", Text),
    (5, "uid", Text),
    (6, "resourceVersion", Text),
    (7, "generation", Ignored),
    (8, "creationTimestamp", Time),
    (9, "deletionTimestamp", Time),
    (10, "deletionGracePeriodSeconds", Int),
    (11, "labels", Map(&Text)),
    (12, "annotations", Map(&Text)),
    (13, "ownerReferences", List(&Message(OWNER_REFERENCE))),
    (14, "finalizers", List(&Text)),
    (17, "managedFields", Ignored),
];

const OWNER_REFERENCE: &[Field] = &[
    (1, "kind", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "controller", Bool),
    (7, "blockOwnerDeletion", Bool),
];

const OBJECT_REFERENCE: &[Field] = &[
    (1, "kind", Text),
    (2, "namespace", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "resourceVersion", Text),
    (7, "fieldPath", Text),
];

const LOCAL_REFERENCE: &[Field] = &[(1, "name", Text)];

const LABEL_SELECTOR: &[Field] = &[
    (1, "matchLabels", Map(&Text)),
    (
        2,
        "matchExpressions",
        List(&Message(&[(1, "key", Text), (2, "operator", Text), (3, "values", List(&Text))])),
    ),
];

const DELETE_OPTIONS: &[Field] = &[
    (1, "gracePeriodSeconds", Int),
    (2, "preconditions", Message(&[(1, "uid", Text), (2, "resourceVersion", Text)])),
    (3, "orphanDependents", Bool),
    (4, "propagationPolicy", Text),
    (5, "dryRun", List(&Text)),
    (6, "ignoreStoreReadErrorWithClusterBreakingPotential", Bool),
];

const DEPLOYMENT_SPEC: &[Field] = &[
    (1, "replicas", Int),
    (2, "selector", Message(LABEL_SELECTOR)),
    (3, "template", Message(POD_TEMPLATE)),
    (
        4,
        "strategy",
        Message(&[
            (1, "type", Text),
            (
                2,
                "rollingUpdate",
                Message(&[(1, "maxUnavailable", IntOrString), (2, "maxSurge", IntOrString)]),
            ),
        ]),
    ),
    (5, "minReadySeconds", Count),
    (6, "revisionHistoryLimit", Int),
    (7, "paused", Flag),
    (9, "progressDeadlineSeconds", Int),
];

const JOB_SPEC: &[Field] = &[
    (1, "parallelism", Int),
    (2, "completions", Int),
    (3, "activeDeadlineSeconds", Int),
    (7, "backoffLimit", Int),
    (4, "selector", Message(LABEL_SELECTOR)),
    (5, "manualSelector", Bool),
    (6, "template", Message(POD_TEMPLATE)),
    (8, "ttlSecondsAfterFinished", Int),
    (9, "completionMode", Text),
    (10, "suspend", Bool),
];

const CRON_JOB_SPEC: &[Field] = &[
    (1, "schedule", Text),
    (8, "timeZone", Text),
    (2, "startingDeadlineSeconds", Int),
    (3, "concurrencyPolicy", Text),
    (4, "suspend", Bool),
    (5, "jobTemplate", Message(&[META, (2, "spec", Message(JOB_SPEC))])),
    (6, "successfulJobsHistoryLimit", Int),
    (7, "failedJobsHistoryLimit", Int),
];

const POD_TEMPLATE: &[Field] = &[META, (2, "spec", Message(POD_SPEC))];

const POD_SPEC: &[Field] = &[
    (20, "initContainers", List(&Message(CONTAINER))),
    (2, "containers", List(&Message(CONTAINER))),
    (3, "restartPolicy", Text),
    (4, "terminationGracePeriodSeconds", Int),
    (5, "activeDeadlineSeconds", Int),
    (6, "dnsPolicy", Text),
    (7, "nodeSelector", Map(&Text)),
    (8, "serviceAccountName", Text),
    (9, "serviceAccount", Text),
    (21, "automountServiceAccountToken", Bool),
    (10, "nodeName", Text),
    (11, "hostNetwork", Flag),
    (12, "hostPID", Flag),
    (13, "hostIPC", Flag),
    (15, "imagePullSecrets", List(&Message(LOCAL_REFERENCE))),
    (16, "hostname", Text),
    (17, "subdomain", Text),
    (19, "schedulerName", Text),
    (24, "priorityClassName", Text),
];

const CONTAINER: &[Field] = &[
    (1, "name", Text),
    (2, "image", Text),
    (3, "command", List(&Text)),
    (4, "args", List(&Text)),
    (5, "workingDir", Text),
    (
        6,
        "ports",
        List(&Message(&[
            (1, "name", Text),
            (2, "hostPort", Count),
            (3, "containerPort", Int),
            (4, "protocol", Text),
            (5, "hostIP", Text),
        ])),
    ),
    (7, "env", List(&Message(&[(1, "name", Text), (2, "value", Text)]))),
    (8, "resources", Message(&[(1, "limits", Map(&Quantity)), (2, "requests", Map(&Quantity))])),
    (13, "terminationMessagePath", Text),
    (20, "terminationMessagePolicy", Text),
    (14, "imagePullPolicy", Text),
    (16, "stdin", Flag),
    (17, "stdinOnce", Flag),
    (18, "tty", Flag),
];

const SERVICE_SPEC: &[Field] = &[
    (
        1,
        "ports",
        List(&Message(&[
            (1, "name", Text),
            (2, "protocol", Text),
            (6, "appProtocol", Text),
            (3, "port", Int),
            (4, "targetPort", Port),
            (5, "nodePort", Count),
        ])),
    ),
    (2, "selector", Map(&Text)),
    (3, "clusterIP", Text),
    (4, "type", Text),
    (5, "externalIPs", List(&Text)),
    (7, "sessionAffinity", Text),
    (10, "externalName", Text),
    (11, "externalTrafficPolicy", Text),
    (12, "healthCheckNodePort", Count),
    (13, "publishNotReadyAddresses", Flag),
    (18, "clusterIPs", List(&Text)),
];

const AUTOSCALER_SPEC: &[Field] = &[
    (1, "scaleTargetRef", Message(&[(1, "kind", Text), (2, "name", Text), (3, "apiVersion", Text)])),
    (2, "minReplicas", Int),
    (3, "maxReplicas", Int),
    (4, "targetCPUUtilizationPercentage", Int),
];

const POLICY_RULE: &[Field] = &[
    (1, "verbs", List(&Text)),
    (2, "apiGroups", List(&Text)),
    (3, "resources", List(&Text)),
    (4, "resourceNames", List(&Text)),
    (5, "nonResourceURLs", List(&Text)),
];

const AGGREGATION: &[Field] = &[(1, "clusterRoleSelectors", List(&Message(LABEL_SELECTOR)))];

const ROLE_BINDING: &[Field] = &[
    META,
    (
        2,
        "subjects",
        List(&Message(&[
            (1, "kind", Text),
            (2, "apiGroup", Text),
            (3, "name", Text),
            (4, "namespace", Text),
        ])),
    ),
    (3, "roleRef", Message(&[(1, "apiGroup", Text), (2, "kind", Text), (3, "name", Text)])),
];

const DISRUPTION_SPEC: &[Field] = &[
    (1, "minAvailable", IntOrString),
    (2, "selector", Message(LABEL_SELECTOR)),
    (3, "maxUnavailable", IntOrString),
    (4, "unhealthyPodEvictionPolicy", Text),
];

const INGRESS_BACKEND: &[Field] = &[(
    4,
    "service",
    Message(&[(1, "name", Text), (2, "port", Message(&[(1, "name", Text), (2, "number", Count)]))]),
)];

const INGRESS_SPEC: &[Field] = &[
    (4, "ingressClassName", Text),
    (1, "defaultBackend", Message(INGRESS_BACKEND)),
    (2, "tls", List(&Message(&[(1, "hosts", List(&Text)), (2, "secretName", Text)]))),
    (
        3,
        "rules",
        List(&Message(&[
            (1, "host", Text),
            (
                2,
                "",
                Inline(&[(
                    1,
                    "http",
                    Message(&[(
                        1,
                        "paths",
                        List(&Message(&[
                            (1, "path", Text),
                            (3, "pathType", Text),
                            (2, "backend", Message(INGRESS_BACKEND)),
                        ])),
                    )]),
                )]),
            ),
        ])),
    ),
];
