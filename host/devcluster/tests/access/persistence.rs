//! What a server that is started anew still knows.

use std::path::Path;

use serde_json::json;
use wheelhouse_devcluster::{Access, DevCluster, DevClusterConfig};

use crate::support::{RBAC, Server, users};

fn config(folder: &Path, access: Access) -> DevClusterConfig {
    DevClusterConfig { data_dir: Some(folder.to_owned()), access, ..DevClusterConfig::default() }
}

async fn start(folder: &Path) -> Server {
    Server::start(config(folder, users(Access::rbac()))).await
}

#[tokio::test]
async fn kubeconfigs_and_tokens_from_before_go_on_working() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path()).await;
    let (robot, admin) = (first.account("robot").await, first.admin_token.clone());
    let authority = |kubeconfig: String| {
        kubeconfig
            .lines()
            .find(|line| line.contains("certificate-authority-data"))
            .map(str::to_owned)
            .unwrap()
    };
    let trusted = authority(first.cluster.kubeconfig());
    first.cluster.shutdown().await;

    let second = start(folder.path()).await;
    assert_eq!((second.admin_token.clone(), authority(second.cluster.kubeconfig())), (admin, trusted));
    assert_eq!(second.with(&robot).get("/api").await.code, 200);
    second.cluster.shutdown().await;

    // Whose keys are gone has others, and trusts no token from before.
    std::fs::remove_file(folder.path().join("access/service-account.key")).unwrap();
    let third = start(folder.path()).await;
    third.with(&robot).get("/api").await.message(401, "Unauthorized");
}

#[cfg(unix)]
#[tokio::test]
async fn the_keys_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let _server = start(folder.path()).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let keys = folder.path().join("access");
    assert_eq!(mode(&keys), 0o700);
    let files: Vec<_> = std::fs::read_dir(&keys).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "{files:?}");
    files.iter().for_each(|file| assert_eq!(mode(file), 0o600, "{file:?}"));
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_named_and_an_open_cluster_has_none() {
    let folder = tempfile::tempdir().unwrap();
    DevCluster::start(config(folder.path(), Access::default())).await.unwrap().shutdown().await;
    assert!(!folder.path().join("access").exists());
    std::fs::create_dir(folder.path().join("access")).unwrap();
    std::fs::write(folder.path().join("access/ca.key"), "nonsense").unwrap();
    let error = DevCluster::start(config(folder.path(), Access::rbac())).await.unwrap_err().to_string();
    assert!(error.contains("access control: ca.key has no key"), "{error}");
}

#[tokio::test]
async fn what_was_taken_from_the_first_roles_is_given_back_and_what_was_added_stays() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path()).await;
    let admin = first.admin();
    let role = |name: &str| format!("{RBAC}/clusterroles/{name}");
    let pods = json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] });
    admin.merge(&role("system:basic-user"), json!({ "rules": [pods] })).await.ok();
    let own = json!({ "rules": [], "metadata": { "annotations": {
        "rbac.authorization.kubernetes.io/autoupdate": "false" } } });
    admin.merge(&role("system:discovery"), own).await.ok();
    let binding = format!("{RBAC}/clusterrolebindings/system:basic-user");
    admin.merge(&binding, json!({ "subjects": [{ "kind": "User", "name": "x" }] })).await.ok();
    admin.delete(&role("cluster-admin")).await.ok();
    admin.delete(&role("view")).await.ok();
    first.cluster.shutdown().await;

    let second = start(folder.path()).await;
    let admin = second.admin();
    let rules = admin.get(&role("system:basic-user")).await.ok()["rules"].clone();
    assert_eq!(rules[0], pods);
    assert!(rules.to_string().contains("selfsubjectaccessreviews"), "{rules}");
    assert_eq!(admin.get(&role("system:discovery")).await.ok()["rules"], json!([]));
    let subjects = admin.get(&binding).await.ok()["subjects"].clone();
    assert_eq!(subjects[0]["name"], "x");
    assert_eq!(subjects[1]["name"], "system:authenticated");
    admin.get(&role("cluster-admin")).await.ok();
    assert!(admin.get(&role("view")).await.ok()["rules"].to_string().contains("configmaps"));
}

#[tokio::test]
async fn what_roles_were_before_is_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path()).await;
    let roles = format!("{RBAC}/namespaces/default/roles");
    let made = first.admin().post(&roles, json!({ "metadata": { "name": "r" } })).await.ok();
    let version = made["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    first.cluster.shutdown().await;
    let second = start(folder.path()).await;
    let watch = format!("{roles}?watch=true&timeoutSeconds=1&resourceVersion={version}");
    assert_eq!(second.admin().get(&watch).await.ok()["object"]["code"], 410);
}

#[tokio::test]
async fn what_an_open_cluster_left_is_furnished_when_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let open = Server::start(config(folder.path(), Access::default())).await;
    open.admin().post("/api/v1/namespaces", json!({ "metadata": { "name": "team" } })).await.ok();
    open.cluster.shutdown().await;
    let closed = start(folder.path()).await;
    closed.admin().get("/api/v1/namespaces/team/serviceaccounts/default").await.ok();
    closed.anonymous().get("/api/v1/namespaces").await.forbidden();
}
