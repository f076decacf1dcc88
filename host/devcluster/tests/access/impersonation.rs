//! Acting as somebody else.

use serde_json::{Value, json};

use crate::support::{Caller, PODS, Server, rule};

const WHOAMI: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

async fn who(caller: &Caller<'_>) -> Value {
    let review = json!({ "kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1" });
    caller.post(WHOAMI, review).await.ok()["status"]["userInfo"].clone()
}

fn subject() -> Value {
    json!({ "kind": "ServiceAccount", "name": "robot", "namespace": "default" })
}

/// Lets robot act as others, by the resources that it may impersonate. Who acts as somebody must be somebody of
/// their own, with a token.
async fn allow(server: &Server, group: &str, resources: &[&str], names: &[&str]) {
    let mut allowed = rule(&["impersonate"], group, resources);
    if !names.is_empty() {
        allowed["resourceNames"] = json!(names);
    }
    server.grant_to("", subject(), json!([allowed])).await;
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
    let token = server.account("robot").await;
    let admin = who(&server.admin()).await["username"].as_str().unwrap().to_owned();
    server.with(&token).acting_as("jane").get("/version").await.forbidden();
    server.anonymous().acting_as("jane").get("/version").await.forbidden();
    allow(&server, "", &["users"], &["jane"]).await;
    assert_eq!(server.with(&token).acting_as("jane").get("/version").await.code, 200);
    server.with(&token).acting_as(&admin).get("/version").await.forbidden();
}

#[tokio::test]
async fn the_right_to_act_as_users_makes_nobody_a_master() {
    let server = Server::rbac().await;
    let token = server.account("robot").await;
    let admin = who(&server.admin()).await["username"].as_str().unwrap().to_owned();
    allow(&server, "", &["users"], &[]).await;
    let master = server.with(&token).acting_as("jane").header("impersonate-group", "system:masters");
    master.get("/api/v1/secrets").await.forbidden();
    // The name alone is not the administrator: that is the group.
    server.with(&token).acting_as(&admin).get("/api/v1/secrets").await.forbidden();
    allow(&server, "", &["groups"], &["team"]).await;
    let both = server.with(&token).acting_as("jane").header("impersonate-group", "team");
    assert_eq!(both.get("/version").await.code, 200);
    both.header("impersonate-group", "system:masters").get("/version").await.forbidden();
}

#[tokio::test]
async fn a_service_account_is_acted_as_by_who_may_in_its_namespace() {
    let server = Server::rbac().await;
    let token = server.account("robot").await;
    let other = "system:serviceaccount:default:other";
    allow(&server, "", &["users"], &[]).await;
    server.with(&token).acting_as(other).get("/version").await.forbidden();
    server.grant_to("default", subject(), json!([rule(&["impersonate"], "", &["serviceaccounts"])])).await;
    let groups = ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"];
    assert_eq!(who(&server.with(&token).acting_as(other)).await["groups"], json!(groups));
    server
        .with(&token)
        .acting_as("system:serviceaccount:kube-system:other")
        .get("/version")
        .await
        .forbidden();
}

#[tokio::test]
async fn a_uid_and_extras_are_claimed_only_by_who_may() {
    let server = Server::rbac().await;
    let token = server.account("robot").await;
    allow(&server, "", &["users"], &[]).await;
    let jane = || server.with(&token).acting_as("jane");
    let with_uid = || jane().header("impersonate-uid", "7");
    let with_extra = || jane().header("impersonate-extra-acme.test%2Fproject", "x");
    with_uid().get("/version").await.forbidden();
    with_extra().get("/version").await.forbidden();
    allow(&server, "authentication.k8s.io", &["uids"], &["7"]).await;
    allow(&server, "authentication.k8s.io", &["userextras/acme.test/project"], &[]).await;
    assert_eq!(who(&with_uid()).await["uid"], "7");
    assert_eq!(who(&with_extra()).await["extra"], json!({ "acme.test/project": ["x"] }));
    with_extra().header("impersonate-extra-other", "y").get("/version").await.forbidden();
}

#[tokio::test]
async fn a_refusal_names_what_may_not_be_acted_as() {
    let server = Server::rbac().await;
    let token = server.account("robot").await;
    let refused = async |caller: Caller| caller.get("/version").await.forbidden();
    let jane = || server.with(&token).acting_as("jane");
    let robot = "User \"system:serviceaccount:default:robot\" cannot impersonate resource";
    let cluster = "at the cluster scope";
    let users = format!("users \"jane\" is forbidden: {robot} \"users\" in API group \"\" {cluster}");
    assert_eq!(refused(jane()).await, users);
    allow(&server, "", &["users"], &[]).await;
    let master = jane().header("impersonate-group", "system:masters");
    let groups =
        format!("groups \"system:masters\" is forbidden: {robot} \"groups\" in API group \"\" {cluster}");
    assert_eq!(refused(master).await, groups);
    let other = server.with(&token).acting_as("system:serviceaccount:default:other");
    let accounts = format!("{robot} \"serviceaccounts\" in API group \"\" in the namespace \"default\"");
    assert_eq!(refused(other).await, format!("serviceaccounts \"other\" is forbidden: {accounts}"));
    let uids = refused(jane().header("impersonate-uid", "7")).await;
    assert!(uids.starts_with("uids.authentication.k8s.io \"7\" is forbidden"), "{uids}");
    let extras = refused(jane().header("impersonate-extra-acme.test%2Fproject", "x")).await;
    assert!(extras.contains("\"userextras/acme.test/project\""), "{extras}");
}

#[tokio::test]
async fn groups_of_nobody_are_refused() {
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
}

#[tokio::test]
async fn a_user_whose_name_is_no_text_is_nobody() {
    let server = Server::rbac().await;
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
