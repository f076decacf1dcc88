//! Acting as somebody else.

use serde_json::{Value, json};

use crate::support::{Caller, PODS, Server, rule};

const WHOAMI: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

async fn who(caller: &Caller<'_>) -> Value {
    let review = json!({ "kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1" });
    caller.post(WHOAMI, review).await.ok()["status"]["userInfo"].clone()
}

/// Lets bob act as others, by the resources that he may impersonate.
async fn allow(server: &Server, group: &str, resources: &[&str], names: &[&str]) {
    let mut allowed = rule(&["impersonate"], group, resources);
    if !names.is_empty() {
        allowed["resourceNames"] = json!(names);
    }
    server.grant_to("", json!({ "kind": "User", "name": "bob" }), json!([allowed])).await;
}

#[tokio::test]
async fn the_administrator_acts_as_anybody_and_may_do_what_they_may() {
    let server = Server::rbac().await;
    let as_jane = server.admin().acting_as("jane").header("impersonate-group", "dev");
    assert!(as_jane.get(PODS).await.forbidden().contains("User \"jane\""));
    assert_eq!(who(&as_jane).await, json!({ "username": "jane", "groups": ["dev", "system:authenticated"] }));
    server.grant("jane", json!([rule(&["list"], "", &["pods"])])).await;
    as_jane.get(PODS).await.ok();
    let nobody = server.admin().acting_as("system:anonymous");
    assert!(nobody.get(PODS).await.forbidden().contains("system:anonymous"));
}

#[tokio::test]
async fn who_may_not_act_as_somebody_is_told_so() {
    let server = Server::rbac().await;
    let refused = server.bob().acting_as("jane").get("/version").await.forbidden();
    assert_eq!(
        refused,
        "users \"jane\" is forbidden: User \"bob\" cannot impersonate resource \"users\" in API group \"\" at the \
         cluster scope"
    );
    server.anonymous().acting_as("jane").get("/version").await.forbidden();
    allow(&server, "", &["users"], &["jane"]).await;
    assert_eq!(server.bob().acting_as("jane").get("/version").await.code, 200);
    server.bob().acting_as("wheelhouse-dev").get("/version").await.forbidden();
}

#[tokio::test]
async fn the_right_to_act_as_users_makes_nobody_a_master() {
    let server = Server::rbac().await;
    allow(&server, "", &["users"], &[]).await;
    let master = server.bob().acting_as("jane").header("impersonate-group", "system:masters");
    let refused = master.get("/api/v1/secrets").await.forbidden();
    assert!(
        refused.starts_with("groups \"system:masters\" is forbidden: User \"bob\" cannot impersonate"),
        "{refused}"
    );
    // The name alone is not the administrator: that is the group.
    server.bob().acting_as("wheelhouse-dev").get("/api/v1/secrets").await.forbidden();
    allow(&server, "", &["groups"], &["team"]).await;
    let both = server.bob().acting_as("jane").header("impersonate-group", "team");
    assert_eq!(both.get("/version").await.code, 200);
    both.header("impersonate-group", "system:masters").get("/version").await.forbidden();
}

#[tokio::test]
async fn a_service_account_is_acted_as_by_who_may_in_its_namespace() {
    let server = Server::rbac().await;
    let robot = "system:serviceaccount:default:robot";
    allow(&server, "", &["users"], &[]).await;
    let refused = server.bob().acting_as(robot).get("/version").await.forbidden();
    assert!(
        refused.contains("impersonate resource \"serviceaccounts\"")
            && refused.contains("namespace \"default\"")
    );
    server.grant("bob", json!([rule(&["impersonate"], "", &["serviceaccounts"])])).await;
    let groups = ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"];
    assert_eq!(who(&server.bob().acting_as(robot)).await["groups"], json!(groups));
    server.bob().acting_as("system:serviceaccount:kube-system:robot").get("/version").await.forbidden();
}

#[tokio::test]
async fn a_uid_and_extras_are_claimed_only_by_who_may() {
    let server = Server::rbac().await;
    allow(&server, "", &["users"], &[]).await;
    let jane = || server.bob().acting_as("jane");
    let with_uid = || jane().header("impersonate-uid", "7");
    let with_extra = || jane().header("impersonate-extra-example.com%2Fproject", "x");
    assert!(
        with_uid()
            .get("/version")
            .await
            .forbidden()
            .starts_with("uids.authentication.k8s.io \"7\" is forbidden")
    );
    let refused = with_extra().get("/version").await.forbidden();
    assert!(refused.contains("\"userextras/example.com/project\""), "{refused}");
    allow(&server, "authentication.k8s.io", &["uids"], &["7"]).await;
    allow(&server, "authentication.k8s.io", &["userextras/example.com/project"], &[]).await;
    assert_eq!(who(&with_uid()).await["uid"], "7");
    assert_eq!(who(&with_extra()).await["extra"], json!({ "example.com/project": ["x"] }));
    with_extra().header("impersonate-extra-other", "y").get("/version").await.forbidden();
}

#[tokio::test]
async fn groups_of_nobody_and_what_is_no_text_are_refused() {
    let server = Server::rbac().await;
    let groups = server.admin().header("impersonate-group", "team");
    let refused = groups.get("/api/v1/secrets").await.message(400, "BadRequest");
    assert_eq!(
        refused,
        "requested &user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string{\"team\"}, \
         Extra:map[string][]string(nil)} without impersonating a user name"
    );
    let extras = server.admin().header("impersonate-uid", "7").header("impersonate-extra-b", "x");
    let refused = extras.header("impersonate-extra-a", "y").get("/version").await.message(400, "BadRequest");
    assert_eq!(
        refused,
        "requested &user.DefaultInfo{Name:\"\", UID:\"7\", Groups:[]string(nil), Extra:map[string][]string{\
         \"a\":[]string{\"y\"}, \"b\":[]string{\"x\"}}} without impersonating a user name"
    );
    let broken = server.admin().header("impersonate-user", b"j\xff");
    broken.get("/api/v1/secrets").await.message(400, "BadRequest");
}

#[tokio::test]
async fn what_somebody_acting_as_another_writes_gives_no_more_than_the_other_has() {
    let server = Server::rbac().await;
    let writes = rule(&["create"], "rbac.authorization.k8s.io", &["roles"]);
    server.grant("jane", json!([writes])).await;
    let role = json!({ "metadata": { "name": "r" }, "rules": [rule(&["get"], "", &["secrets"])] });
    let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
    let refused = server.admin().acting_as("jane").post(path, role.clone()).await.forbidden();
    assert!(refused.contains("user \"jane\" (groups=[\"system:authenticated\"])"), "{refused}");
    server.admin().post(path, role).await.ok();
}
