//! Who a request is of.

use serde_json::json;
use wheelhouse_devcluster::{Access, DevCluster, DevClusterConfig, TokenUser};

use crate::support::{PODS, Server, users};

#[tokio::test]
async fn who_sends_no_token_is_anonymous_and_sees_what_is_public() {
    let server = Server::rbac().await;
    let nobody = server.anonymous();
    let refused = nobody.get(PODS).await;
    assert_eq!(
        refused.forbidden(),
        "pods is forbidden: User \"system:anonymous\" cannot list resource \"pods\" in API group \"\" in the \
         namespace \"default\""
    );
    assert_eq!(nobody.get("/version").await.code, 200);
    assert_eq!(nobody.get("/readyz").await.code, 200);
    let refused = nobody.get("/apis").await.forbidden();
    assert_eq!(refused, "forbidden: User \"system:anonymous\" cannot get path \"/apis\"");
}

#[tokio::test]
async fn a_wrong_token_is_answered_as_a_cluster_answers_it() {
    let server = Server::rbac().await;
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "Unauthorized", "reason": "Unauthorized", "code": 401 });
    for token in ["wrong", "jane-toke", "jane-token2", "JANE-TOKEN", "a.b.c", ".."] {
        let answer = server.with(token).get("/version").await;
        assert_eq!((answer.code, answer.body), (401, status.clone()), "{token}");
    }
}

#[tokio::test]
async fn a_part_of_the_administrators_token_is_wrong() {
    let server = Server::rbac().await;
    server.with(&server.admin_token).get("/version").await.ok();
    server.with(&server.admin_token[1..]).get("/version").await.message(401, "Unauthorized");
}

#[tokio::test]
async fn a_token_that_is_no_text_is_wrong_rather_than_none() {
    let server = Server::rbac().await;
    let answer = server.anonymous().header("authorization", b"Bearer jane\xfftoken").get("/version").await;
    answer.message(401, "Unauthorized");
}

#[tokio::test]
async fn another_scheme_is_nobodys_token() {
    let server = Server::rbac().await;
    for header in ["Basic amFuZTpqYW5l", "jane-token", "Bearer"] {
        let answer = server.anonymous().header("authorization", header).get(PODS).await;
        assert!(answer.forbidden().contains("system:anonymous"), "{header}");
    }
}

#[tokio::test]
async fn the_first_of_two_tokens_counts() {
    let server = Server::rbac().await;
    let token = server.account("robot").await;
    let good_and_wrong = server.with(&token).header("authorization", "Bearer wrong");
    assert!(good_and_wrong.get(PODS).await.forbidden().contains("\"system:serviceaccount:default:robot\""));
    let wrong_and_good = server.with("wrong").header("authorization", format!("Bearer {token}"));
    wrong_and_good.get(PODS).await.message(401, "Unauthorized");
}

#[tokio::test]
async fn without_roles_whoever_has_a_token_may_do_everything_and_nobody_else_gets_in() {
    let config = DevClusterConfig { access: users(Access::tls()), ..DevClusterConfig::default() };
    let server = Server::start(config).await;
    server.jane().get("/api/v1/secrets").await.ok();
    server.bob().acting_as("system:admin").get("/api/v1/secrets").await.ok();
    server.anonymous().get("/version").await.message(401, "Unauthorized");
    let review = json!({ "kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1" });
    let answer = server.jane().post("/apis/authentication.k8s.io/v1/selfsubjectreviews", review).await.ok();
    assert_eq!(
        answer["status"]["userInfo"],
        json!({ "username": "jane", "groups": ["team", "system:authenticated"] })
    );
}

#[tokio::test]
async fn an_open_cluster_has_no_credentials_and_looks_at_none() {
    let server = Server::start(DevClusterConfig::default()).await;
    assert!(server.cluster.url().starts_with("http://") && server.cluster.kubeconfig_for("jane").is_none());
    assert!(!server.cluster.kubeconfig().contains("token"));
    server.with("wrong").acting_as("nobody").get("/api/v1/secrets").await.ok();
    assert_eq!(server.admin().get("/api/v1/serviceaccounts").await.ok()["items"], json!([]));
}

#[tokio::test]
async fn users_who_could_not_be_told_apart_are_refused_at_the_start() {
    let access = Access::rbac().user(TokenUser::new("a", "same")).user(TokenUser::new("b", "same"));
    let config = DevClusterConfig { access, ..DevClusterConfig::default() };
    let error = DevCluster::start(config).await.unwrap_err().to_string();
    assert!(error.contains("\"a\" and \"b\" have the same token") && !error.contains("same\""), "{error}");
}

#[tokio::test]
async fn a_token_of_another_server_opens_nothing_here() {
    let (one, other) = (Server::rbac().await, Server::rbac().await);
    let account = other.account("robot").await;
    one.account("robot").await;
    assert_eq!(other.with(&account).get("/api").await.code, 200);
    one.with(&account).get("/api").await.message(401, "Unauthorized");
    one.with(&other.admin_token).get("/api").await.message(401, "Unauthorized");
}

#[tokio::test]
async fn the_faults_endpoint_is_the_administrators() {
    let access = users(Access::rbac());
    let server =
        Server::start(DevClusterConfig { access, faults: true, ..DevClusterConfig::default() }).await;
    let refused = server.jane().post("/faults", json!({ "fault": "compact" })).await.forbidden();
    assert_eq!(refused, "forbidden: User \"jane\" cannot post path \"/faults\"");
    server.admin().post("/faults", json!({ "fault": "compact" })).await.ok();
}
