//! Roles and bindings that mean nothing.

use serde_json::{Value, json};

use crate::support::{RBAC, Server};

const WITHIN: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";

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
            server.admin().post(&format!("{RBAC}/clusterroles"), body).await.refused(422, "Invalid");
        assert!(refused.contains(&why), "{refused}");
    }
}
