//! The roles that every cluster with RBAC has from the start, as far as people rely on them.
//!
//! Follows "Default roles and role bindings" in the Kubernetes documentation, for the groups that are served.

use serde_json::{Value, json};

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const BOTH: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const CREATE: &[&str] = &["create"];
const GET: &[&str] = &["get"];

/// Verbs, group, resources; or verbs, "/", paths.
type Row = (&'static [&'static str], &'static str, &'static [&'static str]);

/// A ClusterRole, and into which of the roles for people it goes.
pub(super) struct Role {
    pub(super) name: &'static str,
    rules: &'static [Row],
    /// It has the rules of those that go into this one.
    pub(super) aggregates: Option<&'static str>,
    pub(super) goes_into: Option<&'static str>,
}

const fn role(name: &'static str, rules: &'static [Row]) -> Role {
    Role { name, rules, aggregates: None, goes_into: None }
}

impl Role {
    pub(super) fn rules(&self) -> Value {
        self.rules
            .iter()
            .map(|(verbs, group, items)| match *group {
                "/" => json!({ "verbs": verbs, "nonResourceURLs": items }),
                group => json!({ "verbs": verbs, "apiGroups": [group], "resources": items }),
            })
            .collect()
    }
}

const WORKLOADS: &[&str] = &[
    "daemonsets",
    "deployments",
    "deployments/scale",
    "replicasets",
    "replicasets/scale",
    "statefulsets",
    "statefulsets/scale",
];
const HEALTH: &[&str] = &["/healthz", "/livez", "/readyz", "/version", "/version/"];
const DISCOVERY: &[&str] = &[
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
    "/version/",
];

const VIEW: &[Row] = &[
    (
        READ,
        "",
        &[
            "configmaps",
            "endpoints",
            "persistentvolumeclaims",
            "persistentvolumeclaims/status",
            "pods",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "serviceaccounts",
            "services",
            "services/status",
        ],
    ),
    (
        READ,
        "",
        &[
            "bindings",
            "events",
            "limitranges",
            "namespaces/status",
            "pods/log",
            "pods/status",
            "replicationcontrollers/status",
            "resourcequotas",
            "resourcequotas/status",
        ],
    ),
    (READ, "", &["namespaces"]),
    (READ, "discovery.k8s.io", &["endpointslices"]),
    (READ, "apps", WORKLOADS),
    (
        READ,
        "apps",
        &[
            "controllerrevisions",
            "daemonsets/status",
            "deployments/status",
            "replicasets/status",
            "statefulsets/status",
        ],
    ),
    (READ, "autoscaling", &["horizontalpodautoscalers", "horizontalpodautoscalers/status"]),
    (READ, "batch", &["cronjobs", "cronjobs/status", "jobs", "jobs/status"]),
    (READ, "policy", &["poddisruptionbudgets", "poddisruptionbudgets/status"]),
    (READ, "networking.k8s.io", &["ingresses", "ingresses/status", "networkpolicies"]),
];

const EDIT: &[Row] = &[
    (READ, "", &["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"]),
    (&["impersonate"], "", &["serviceaccounts"]),
    (WRITE, "", &["pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"]),
    (CREATE, "", &["pods/eviction"]),
    (
        WRITE,
        "",
        &[
            "configmaps",
            "events",
            "persistentvolumeclaims",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "secrets",
            "serviceaccounts",
            "services",
            "services/proxy",
        ],
    ),
    (CREATE, "", &["serviceaccounts/token"]),
    (WRITE, "apps", WORKLOADS),
    (WRITE, "apps", &["deployments/rollback"]),
    (WRITE, "autoscaling", &["horizontalpodautoscalers"]),
    (WRITE, "batch", &["cronjobs", "jobs"]),
    (WRITE, "policy", &["poddisruptionbudgets"]),
    (WRITE, "networking.k8s.io", &["ingresses", "networkpolicies"]),
    (BOTH, "coordination.k8s.io", &["leases"]),
];

pub(super) const ROLES: &[Role] = &[
    role("cluster-admin", &[(&["*"], "*", &["*"]), (&["*"], "/", &["*"])]),
    Role { aggregates: Some("admin"), ..role("admin", &[]) },
    Role { aggregates: Some("edit"), goes_into: Some("admin"), ..role("edit", &[]) },
    Role { aggregates: Some("view"), goes_into: Some("edit"), ..role("view", &[]) },
    Role {
        goes_into: Some("admin"),
        ..role(
            "system:aggregate-to-admin",
            &[
                (CREATE, "authorization.k8s.io", &["localsubjectaccessreviews"]),
                (BOTH, "rbac.authorization.k8s.io", &["rolebindings", "roles"]),
            ],
        )
    },
    Role { goes_into: Some("edit"), ..role("system:aggregate-to-edit", EDIT) },
    Role { goes_into: Some("view"), ..role("system:aggregate-to-view", VIEW) },
    role("system:discovery", &[(GET, "/", DISCOVERY)]),
    role("system:public-info-viewer", &[(GET, "/", HEALTH)]),
    role(
        "system:basic-user",
        &[
            (CREATE, "authorization.k8s.io", &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
            (CREATE, "authentication.k8s.io", &["selfsubjectreviews"]),
        ],
    ),
    role(
        "system:auth-delegator",
        &[
            (CREATE, "authentication.k8s.io", &["tokenreviews"]),
            (CREATE, "authorization.k8s.io", &["subjectaccessreviews"]),
        ],
    ),
    role(
        "system:service-account-issuer-discovery",
        &[(
            GET,
            "/",
            &[
                "/.well-known/openid-configuration",
                "/.well-known/openid-configuration/",
                "/openid/v1/jwks",
                "/openid/v1/jwks/",
            ],
        )],
    ),
];

/// ClusterRoleBindings, which are called as their role is, and to which groups they are.
pub(super) const BINDINGS: &[(&str, &[&str])] = &[
    ("cluster-admin", &["system:masters"]),
    ("system:discovery", &["system:authenticated"]),
    ("system:basic-user", &["system:authenticated"]),
    ("system:public-info-viewer", &["system:authenticated", "system:unauthenticated"]),
    ("system:service-account-issuer-discovery", &["system:serviceaccounts"]),
];
