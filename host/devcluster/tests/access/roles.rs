//! Roles and bindings that mean nothing.

use serde_json::{Value, json};

use crate::support::{RBAC, Server};

const WITHIN: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";

fn binding(name: &str, kind: &str, role: &str) -> Value {
    json!({ "metadata": { "name": name }, "subjects": [{ "kind": "User", "name": "jane" }],
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role } })
}

#[tokio::test]
async fn a_role_or_binding_that_means_nothing_is_refused() {
    let server = Server::rbac().await;
    let admin = server.admin();
    let refused = async |path: String, body: Value| admin.post(&path, body).await.message(422, "Invalid");
    for (rule, why) in [
        (json!({}), "rules[0].verbs: Required value: verbs must contain at least one value"),
        (
            json!({ "verbs": ["get"], "resources": ["a"] }),
            "resource rules must supply at least one api group",
        ),
        (json!({ "verbs": ["get"], "apiGroups": [""] }), "resource rules must supply at least one resource"),
        (
            json!({ "verbs": ["get"], "nonResourceURLs": ["/a"] }),
            "namespaced rules cannot apply to non-resource URLs",
        ),
    ] {
        let message =
            refused(format!("{WITHIN}/roles"), json!({ "metadata": { "name": "r" }, "rules": [rule] })).await;
        assert!(message.contains(why), "{message}");
    }
    let both =
        json!([{ "verbs": ["get"], "apiGroups": [""], "resources": ["a"], "nonResourceURLs": ["/a"] }]);
    let message =
        refused(format!("{RBAC}/clusterroles"), json!({ "metadata": { "name": "r" }, "rules": both })).await;
    assert!(
        message.contains("rules cannot apply to both regular resources and non-resource URLs"),
        "{message}"
    );

    let message = refused(format!("{RBAC}/clusterrolebindings"), binding("b", "Role", "r")).await;
    assert!(
        message.contains("roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\""),
        "{message}"
    );
    for (subject, why) in [
        (json!({ "kind": "User" }), "is invalid: subjects[0].name: Required value"),
        (json!({ "kind": "Group" }), "is invalid: subjects[0].name: Required value"),
        (
            json!({ "kind": "ServiceAccount", "name": "A/b", "namespace": "n" }),
            "subjects[0].name: Invalid value: \"A/b\": a lowercase RFC 1123 subdomain must consist of",
        ),
        (json!({ "kind": "ServiceAccount", "name": "a" }), "subjects[0].namespace: Required value"),
        (json!({ "kind": "Robot", "name": "a" }), "subjects[0].kind: Unsupported value: \"Robot\""),
        (
            json!({ "kind": "User", "name": "a", "apiGroup": "x" }),
            "subjects[0].apiGroup: Unsupported value: \"x\"",
        ),
    ] {
        let mut body = binding("b", "ClusterRole", "view");
        body["subjects"] = json!([subject]);
        let message = refused(format!("{RBAC}/clusterrolebindings"), body).await;
        assert!(message.contains(why), "{message}");
    }
    for (role, why) in [("..", "may not be '..'"), ("a/b%", "may not contain '/', roleRef.name")] {
        let message = refused(format!("{RBAC}/clusterrolebindings"), binding("b", "ClusterRole", role)).await;
        assert!(message.contains(&format!("roleRef.name: Invalid value: \"{role}\": {why}")), "{message}");
    }
    let mut short = binding("b", "ClusterRole", "view");
    short["roleRef"].as_object_mut().unwrap().remove("apiGroup");
    let made = admin.post(&format!("{WITHIN}/rolebindings"), short).await.ok();
    assert_eq!(made["roleRef"]["apiGroup"], "rbac.authorization.k8s.io");
    assert_eq!(made["subjects"][0]["apiGroup"], "rbac.authorization.k8s.io");
}

#[tokio::test]
async fn an_aggregation_that_selects_nothing_that_there_can_be_is_refused() {
    let server = Server::rbac().await;
    let expression = |operator: &str, values: Value| json!([{ "matchExpressions": [{ "key": "a", "operator": operator, "values": values }] }]);
    let at = "aggregationRule.clusterRoleSelectors";
    let first = format!("{at}[0].matchExpressions[0]");
    for (selectors, why) in [
        (
            Value::Null,
            format!(
                "{at}: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil"
            ),
        ),
        (expression("In", json!([])), format!("{first}.values: Required value: must be specified when")),
        (expression("Exists", json!(["a"])), format!("{first}.values: Forbidden: may not be specified when")),
        (
            expression("Has", json!([])),
            format!("{first}.operator: Invalid value: \"Has\": not a valid selector operator"),
        ),
        (expression("In", json!(["b "])), format!("{first}.values[0]: Invalid value: \"b \": a valid label")),
        (
            json!([{ "matchLabels": { "a b": "c" } }]),
            format!("{at}[0].matchLabels: Invalid value: \"a b\": name part must consist of"),
        ),
    ] {
        let body =
            json!({ "metadata": { "name": "r" }, "aggregationRule": { "clusterRoleSelectors": selectors } });
        let refused =
            server.admin().post(&format!("{RBAC}/clusterroles"), body).await.message(422, "Invalid");
        assert!(refused.contains(&why), "{refused}");
    }
}
