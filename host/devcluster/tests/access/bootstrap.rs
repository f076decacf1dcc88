//! The roles that are there from the start, and those that are made from others.

use serde_json::{Value, json};

use crate::support::{Answer, CONFIG_MAPS, PODS, RBAC, Server, config_map, rule};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";

fn bind(name: &str, role: &str) -> Value {
    json!({ "metadata": { "name": name }, "subjects": [{ "kind": "User", "name": "jane" }],
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role } })
}

async fn as_jane_with(role: &str) -> Server {
    let server = Server::rbac().await;
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    server.admin().post(&bindings, bind("jane", role)).await.ok();
    server
}

#[tokio::test]
async fn who_may_view_sees_what_is_no_secret() {
    let server = as_jane_with("view").await;
    let jane = server.jane();
    for path in
        [PODS, CONFIG_MAPS, "/apis/apps/v1/namespaces/default/deployments", "/api/v1/namespaces/default"]
    {
        jane.get(path).await.ok();
    }
    jane.get(SECRETS).await.forbidden();
    jane.get(&format!("{RBAC}/namespaces/default/roles")).await.forbidden();
    jane.post(CONFIG_MAPS, config_map("a")).await.forbidden();
    jane.get("/api/v1/namespaces").await.forbidden();
}

#[tokio::test]
async fn who_may_edit_changes_all_but_who_may_do_what() {
    let server = as_jane_with("edit").await;
    let jane = server.jane();
    jane.post(CONFIG_MAPS, config_map("a")).await.ok();
    jane.get(SECRETS).await.ok();
    jane.post("/api/v1/namespaces/default/serviceaccounts/default/token", json!({})).await.ok();
    jane.post(&format!("{RBAC}/namespaces/default/rolebindings"), bind("b", "view")).await.forbidden();
    jane.post("/api/v1/namespaces/default/resourcequotas", json!({ "metadata": { "name": "q" } }))
        .await
        .forbidden();
}

#[tokio::test]
async fn an_admin_gives_others_up_to_what_they_have_in_the_namespace() {
    let server = as_jane_with("admin").await;
    let jane = server.jane();
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    for role in ["view", "edit", "admin"] {
        jane.post(&bindings, bind(role, role)).await.ok();
    }
    jane.post(&bindings, bind("more", "cluster-admin")).await.forbidden();
    jane.post(&format!("{RBAC}/namespaces/kube-system/rolebindings"), bind("more", "view")).await.forbidden();
    jane.post(&format!("{RBAC}/clusterrolebindings"), bind("more", "view")).await.forbidden();
}

#[tokio::test]
async fn a_master_needs_no_role() {
    let server = Server::rbac().await;
    server.admin().delete(&format!("{RBAC}/clusterrolebindings/cluster-admin")).await.ok();
    server.admin().get("/api/v1/secrets").await.ok();
    server.admin().get("/nothing").await.refused_as_missing();
}

impl Answer {
    #[track_caller]
    fn refused_as_missing(self) {
        assert_eq!(self.code, 404, "{}", self.body);
    }
}

#[tokio::test]
async fn everybody_who_is_known_discovers_and_asks_about_themselves() {
    let server = Server::rbac().await;
    for path in ["/api", "/apis", "/api/v1", "/apis/apps/v1", "/openapi/v3", "/version"] {
        assert_eq!(server.jane().get(path).await.code, 200, "{path}");
    }
    assert_eq!(server.anonymous().get("/api").await.code, 403);
}

#[tokio::test]
async fn a_role_is_made_from_those_that_it_selects() {
    let server = as_jane_with("view").await;
    let (admin, jane) = (server.admin(), server.jane());
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    let extra = json!({ "metadata": { "name": "widgets-view.example.com",
        "labels": { "rbac.authorization.k8s.io/aggregate-to-view": "true" } },
        "rules": [rule(&["list"], "example.com", &["widgets"])] });
    jane.get(widgets).await.forbidden();
    admin.post(&format!("{RBAC}/clusterroles"), extra).await.ok();
    // It goes from view into edit and admin, too.
    for role in ["view", "edit", "admin"] {
        let has = |answer: &Answer| answer.body["rules"].to_string().contains("\"example.com\"");
        admin.eventually(&format!("{RBAC}/clusterroles/{role}"), has).await;
    }
    assert_eq!(jane.get(widgets).await.code, 404);
    admin.delete(&format!("{RBAC}/clusterroles/widgets-view.example.com")).await.ok();
    jane.eventually(widgets, |answer| answer.code == 403).await;

    let role = json!({ "metadata": { "name": "made.example.com", "labels": {} }, "rules": [], "aggregationRule": {
        "clusterRoleSelectors": [{ "matchExpressions": [{ "key": "part", "operator": "In", "values": ["a.example.com"] }] }] } });
    admin.post(&format!("{RBAC}/clusterroles"), role).await.ok();
    let rules = json!([rule(&["get"], "", &["pods"])]);
    let part =
        |label: &str| json!({ "metadata": { "name": label, "labels": { "part": label } }, "rules": rules });
    for label in ["a.example.com", "b.example.com"] {
        admin.post(&format!("{RBAC}/clusterroles"), part(label)).await.ok();
    }
    let made = format!("{RBAC}/clusterroles/made.example.com");
    admin.eventually(&made, |answer| answer.body["rules"] == rules).await;
    // What somebody writes into it by hand does not stay.
    admin.merge(&made, json!({ "rules": [rule(&["*"], "*", &["*"])] })).await.ok();
    admin.eventually(&made, |answer| answer.body["rules"] == rules).await;
}
