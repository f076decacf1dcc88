//! What roles and bindings allow.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, Caller, PODS, RBAC, Server, config_map, pod, rule};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";

#[tokio::test]
async fn a_role_gives_what_it_says_in_its_namespace_and_no_more() {
    let server = Server::rbac().await;
    server.grant("jane", json!([rule(&["get", "list"], "", &["pods"])])).await;
    let jane = server.jane();
    jane.get(PODS).await.ok();
    for (path, expected) in [
        (
            "/api/v1/namespaces/kube-system/pods",
            "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \
             \"kube-system\"",
        ),
        (
            "/api/v1/pods",
            "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" at the cluster scope",
        ),
        (
            "/api/v1/nodes/dev",
            "nodes \"dev\" is forbidden: User \"jane\" cannot get resource \"nodes\" in API group \"\" at the \
             cluster scope",
        ),
        (
            "/apis/apps/v1/namespaces/default/deployments",
            "deployments.apps is forbidden: User \"jane\" cannot list resource \"deployments\" in API group \
             \"apps\" in the namespace \"default\"",
        ),
        (
            "/api/v1/namespaces/default/pods/p/log",
            "pods \"p\" is forbidden: User \"jane\" cannot get resource \"pods/log\" in API group \"\" in the \
             namespace \"default\"",
        ),
    ] {
        assert_eq!(jane.get(path).await.forbidden(), expected);
    }
    assert!(server.bob().get(PODS).await.forbidden().contains("\"bob\""));
}

#[tokio::test]
async fn each_verb_is_one_of_its_own() {
    let server = Server::rbac().await;
    server.admin().post(CONFIG_MAPS, config_map("a")).await.ok();
    let one = format!("{CONFIG_MAPS}/a");
    let verbs = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    let refused = async |verb: &str| {
        let jane = server.jane();
        let answer = match verb {
            "get" => jane.get(&one).await,
            "list" => jane.get(CONFIG_MAPS).await,
            "watch" => jane.get(&format!("{CONFIG_MAPS}?watch=true&timeoutSeconds=1")).await,
            "create" => jane.post(&format!("{CONFIG_MAPS}?dryRun=All"), config_map("b")).await,
            "update" => jane.put(&format!("{one}?dryRun=All"), config_map("a")).await,
            "patch" => jane.merge(&format!("{one}?dryRun=All"), json!({})).await,
            "delete" => jane.delete(&format!("{one}?dryRun=All")).await,
            _ => jane.delete(&format!("{CONFIG_MAPS}?dryRun=All")).await,
        };
        assert!(answer.code < 300 || answer.code == 403, "{verb}: {}", answer.body);
        answer.code == 403
    };
    let role = format!("{RBAC}/namespaces/default/roles");
    server.grant("jane", json!([rule(&["none"], "", &["configmaps"])])).await;
    let roles = server.admin().get(&role).await.ok();
    let names =
        roles["items"].as_array().unwrap().iter().map(|role| role["metadata"]["name"].as_str().unwrap());
    let name = names.into_iter().find(|name| name.starts_with("granted-")).unwrap();
    for granted in verbs {
        let rules = json!({ "rules": [rule(&[granted], "", &["configmaps"])] });
        server.admin().merge(&format!("{role}/{name}"), rules).await.ok();
        for verb in verbs {
            assert_eq!(refused(verb).await, verb != granted, "{verb} with {granted}");
        }
    }
}

#[tokio::test]
async fn subresources_are_resources_of_their_own() {
    let server = Server::rbac().await;
    server.admin().post(PODS, pod("p")).await.ok();
    let rules = json!([rule(&["patch"], "", &["pods/status"]), rule(&["get"], "*", &["*/scale"])]);
    server.grant("jane", rules).await;
    let jane = server.jane();
    jane.merge(&format!("{PODS}/p/status"), json!({ "status": { "phase": "Running" } })).await.ok();
    jane.merge(&format!("{PODS}/p"), json!({})).await.forbidden();
    let deployment = "/apis/apps/v1/namespaces/default/deployments/d";
    jane.get(&format!("{deployment}/scale")).await.message(404, "NotFound");
    jane.get(&format!("{deployment}/status")).await.forbidden();
    jane.get(deployment).await.forbidden();
}

#[tokio::test]
async fn what_is_only_made_cannot_be_written_in_another_way() {
    let server = Server::rbac().await;
    let token = server.account("robot").await;
    server.admin().post(PODS, pod("p")).await.ok();
    let all = rule(&["*"], "", &["pods/eviction", "pods/binding", "serviceaccounts/token"]);
    server.grant_to("default", json!({ "kind": "ServiceAccount", "name": "robot" }), json!([all])).await;
    let robot = server.with(&token);
    for path in [
        format!("{PODS}/p/eviction"),
        format!("{PODS}/p/binding"),
        format!("{}/robot/token", crate::support::ACCOUNTS),
    ] {
        let labels = json!({ "metadata": { "labels": { "a": "b" } } });
        robot.merge(&path, labels).await.message(405, "MethodNotAllowed");
        robot.get(&path).await.message(405, "MethodNotAllowed");
        robot.put(&path, pod("p")).await.message(405, "MethodNotAllowed");
    }
}

#[tokio::test]
async fn names_limit_a_rule_and_lists_that_select_one() {
    let server = Server::rbac().await;
    let verbs = ["get", "list", "watch", "update", "create", "deletecollection"];
    let mut named = rule(&verbs, "", &["configmaps"]);
    named["resourceNames"] = json!(["a"]);
    server.grant("jane", json!([named])).await;
    for name in ["a", "b"] {
        server.admin().post(CONFIG_MAPS, config_map(name)).await.ok();
    }
    let jane = server.jane();
    jane.get(&format!("{CONFIG_MAPS}/a")).await.ok();
    jane.get(&format!("{CONFIG_MAPS}/b")).await.forbidden();
    jane.get(CONFIG_MAPS).await.forbidden();
    let select = |name: &str| format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3D{name}");
    let list = jane.get(&select("a")).await.ok();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    jane.get(&select("b")).await.forbidden();
    jane.get(&select("a%2Cmetadata.name%3Db")).await.ok();
    jane.get(&format!("{CONFIG_MAPS}?fieldSelector=metadata.name!%3Db")).await.forbidden();
    // Whatever is created has no name yet when it is judged.
    jane.post(CONFIG_MAPS, config_map("a")).await.forbidden();
    // A delete of many is about many, whatever it selects.
    jane.delete(&select("a")).await.forbidden();
    server.admin().get(&format!("{CONFIG_MAPS}/a")).await.ok();
    let old_form = "/api/v1/watch/namespaces/default/configmaps?fieldSelector=metadata.name%3Da";
    jane.get(old_form).await.forbidden();
}

#[tokio::test]
async fn who_may_only_watch_cannot_get_by_saying_watch() {
    let server = Server::rbac().await;
    server.admin().post(CONFIG_MAPS, config_map("a")).await.ok();
    server.grant("jane", json!([rule(&["watch"], "", &["configmaps"])])).await;
    server.grant("bob", json!([rule(&["get"], "", &["configmaps"])])).await;
    let one = format!("{CONFIG_MAPS}/a?watch=1&timeoutSeconds=1");
    let refused = server.jane().get(&one).await.forbidden();
    assert!(refused.contains("User \"jane\" cannot get resource \"configmaps\""), "{refused}");
    assert_eq!(server.bob().get(&one).await.ok()["metadata"]["name"], "a");
    let old_form = "/api/v1/watch/namespaces/default/configmaps/a?timeoutSeconds=1";
    let refused = server.bob().get(old_form).await.forbidden();
    assert!(refused.contains("User \"bob\" cannot watch resource"), "{refused}");
    server.jane().get(old_form).await.ok();
}

#[tokio::test]
async fn what_is_forbidden_is_not_looked_at() {
    let server = Server::rbac().await;
    let jane = server.jane();
    let refused = jane.get(PODS).await;
    assert_eq!(refused.headers["x-content-type-options"], "nosniff");
    refused.forbidden();
    let broken =
        jane.send("POST", PODS, "application/json", "{ this is no JSON".to_owned()).await.forbidden();
    assert!(broken.contains("cannot create resource \"pods\""), "{broken}");
    let unknown = jane.get("/apis/example.com/v1/namespaces/default/widgets/w").await.forbidden();
    assert!(
        unknown.starts_with("widgets.example.com \"w\" is forbidden: User \"jane\" cannot get"),
        "{unknown}"
    );
    jane.get(&format!("{PODS}/missing")).await.forbidden();
    jane.get(&format!("{PODS}?limit=nonsense")).await.forbidden();
    jane.get("/nothing/here").await.forbidden();
    let nothing = server.admin().get("/nothing/here").await;
    assert_eq!((nothing.code, nothing.body.as_str()), (404, Some("404 page not found\n")));
}

#[tokio::test]
async fn paths_that_are_no_resources_have_rules_of_their_own() {
    let server = Server::rbac().await;
    let urls = json!([{ "verbs": ["get"], "nonResourceURLs": ["/example.com/one", "/example.com/all/*"] }]);
    server.grant_to("", json!({ "kind": "User", "name": "jane" }), urls.clone()).await;
    let jane = server.jane();
    for (path, code) in [("one", 404), ("all/a/b", 404), ("all", 403), ("one/a", 403)] {
        assert_eq!(jane.get(&format!("/example.com/{path}")).await.code, code, "{path}");
    }
    assert_eq!(jane.post("/example.com/one", json!({})).await.code, 403);
    let role = json!({ "metadata": { "name": "paths.example.com" }, "rules": urls });
    server.admin().post(&format!("{RBAC}/clusterroles"), role).await.ok();
    let binding = json!({ "metadata": { "name": "paths" }, "subjects": [{ "kind": "User", "name": "bob" }],
        "roleRef": { "kind": "ClusterRole", "name": "paths.example.com" } });
    server.admin().post(&format!("{RBAC}/namespaces/default/rolebindings"), binding).await.ok();
    assert_eq!(server.bob().get("/example.com/one").await.code, 403, "a namespace has no paths");
}

#[tokio::test]
async fn a_change_of_a_role_or_binding_is_in_force_for_the_next_request() {
    let server = Server::rbac().await;
    let within = format!("{RBAC}/namespaces/default");
    for round in 0..20 {
        let (role, binding) = (format!("r{round}"), format!("b{round}"));
        let body = json!({ "metadata": { "name": role }, "rules": [] });
        server.admin().post(&format!("{within}/roles"), body).await.ok();
        let body = json!({ "metadata": { "name": binding }, "subjects": [{ "kind": "User", "name": "jane" }],
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role } });
        server.admin().post(&format!("{within}/rolebindings"), body).await.ok();
        server.jane().get(PODS).await.forbidden();
        let rules = json!({ "rules": [rule(&["list"], "", &["pods"])] });
        server.admin().merge(&format!("{within}/roles/{role}"), rules).await.ok();
        server.jane().get(PODS).await.ok();
        server.admin().delete(&format!("{within}/rolebindings/{binding}")).await.ok();
        server.jane().get(PODS).await.forbidden();
    }
}

#[tokio::test]
async fn subjects_are_users_groups_and_service_accounts() {
    let server = Server::rbac().await;
    let (token, list) = (server.account("robot").await, json!([rule(&["list"], "", &["pods"])]));
    let (jane, bob, account) = (server.jane(), server.bob(), server.with(&token));
    let other = "/api/v1/namespaces/kube-system/pods";
    let allowed = async |caller: &Caller, path: &str| caller.get(path).await.code == 200;
    server.grant_to("default", json!({ "kind": "Group", "name": "team" }), list.clone()).await;
    assert!(allowed(&jane, PODS).await && !allowed(&bob, PODS).await);
    let robot =
        |namespace: &str| json!({ "kind": "ServiceAccount", "name": "robot", "namespace": namespace });
    server.grant_to("default", robot("kube-system"), list.clone()).await;
    assert!(!allowed(&account, PODS).await, "that is another robot");
    server.grant_to("kube-system", robot("default"), list.clone()).await;
    assert!(allowed(&account, other).await && !allowed(&account, PODS).await);
    server
        .grant_to("", json!({ "kind": "Group", "name": "system:serviceaccounts:default" }), list.clone())
        .await;
    assert!(allowed(&account, PODS).await && !allowed(&bob, PODS).await);
    // A name that looks like a user's is not one.
    let user = json!({ "kind": "Group", "name": "bob" });
    server.grant_to("", user, list).await;
    assert!(!allowed(&bob, PODS).await);
}

#[tokio::test]
async fn a_binding_without_a_role_gives_nothing_and_is_named() {
    let server = Server::rbac().await;
    let bind = |name: &str, kind: &str, role: &str| {
        json!({ "metadata": { "name": name }, "subjects": [{ "kind": "User", "name": "jane" }],
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role } })
    };
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    server.admin().post(&bindings, bind("a", "Role", "gone")).await.ok();
    let refused = server.jane().get(PODS).await.forbidden();
    assert!(refused.ends_with(": RBAC: role.rbac.authorization.k8s.io \"gone\" not found"), "{refused}");
    server.admin().post(&bindings, bind("b", "ClusterRole", "lost")).await.ok();
    let refused = server.jane().get(PODS).await.forbidden();
    assert!(
        refused.contains("RBAC: [") && refused.contains("clusterrole.rbac.authorization.k8s.io \"lost\""),
        "{refused}"
    );
}

#[tokio::test]
async fn a_write_that_would_create_needs_to_be_allowed_to() {
    let server = Server::rbac().await;
    server
        .grant(
            "jane",
            json!([
                rule(&["get", "patch", "update"], "", &["configmaps"]),
                rule(&["update"], "coordination.k8s.io", &["leases"]),
            ]),
        )
        .await;
    let applied = server.jane().apply(&format!("{CONFIG_MAPS}/new"), config_map("new")).await.forbidden();
    assert_eq!(
        applied,
        "configmaps \"new\" is forbidden: User \"jane\" cannot create resource \"configmaps\" in API group \"\" in \
         the namespace \"default\""
    );
    let lease =
        json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "l" } });
    let put = server.jane().put(&format!("{LEASES}/l"), lease).await.forbidden();
    assert!(put.contains("cannot create resource \"leases\""), "{put}");
    server.admin().post(CONFIG_MAPS, config_map("new")).await.ok();
    server.jane().apply(&format!("{CONFIG_MAPS}/new"), config_map("new")).await.ok();
}

#[tokio::test]
async fn a_path_cannot_be_written_so_that_another_rule_is_asked() {
    let server = Server::rbac().await;
    server.grant("jane", json!([rule(&["watch"], "", &["configmaps"])])).await;
    let mut kept = config_map("c");
    kept["data"] = json!({ "a": "b" });
    server.admin().post(CONFIG_MAPS, kept).await.ok();
    server
        .admin()
        .post("/api/v1/namespaces/default/secrets", json!({ "metadata": { "name": "s" } }))
        .await
        .ok();
    let jane = server.jane();
    for path in [
        "/api/v1/namespaces/default/configmaps/../secrets/s",
        "/api/v1/namespaces/default//secrets/s",
        "/api/v1/namespaces/default/%73ecrets/s",
        "/api/v1/namespaces/default/configmaps%2F..%2Fsecrets/s",
        "//api/v1/secrets",
        "/api/v1/watch/namespaces/default/secrets",
        "/api/v1/namespaces/default/secrets/s?watch=true&timeoutSeconds=1",
        "/api/v1/namespaces/default/configmaps/c",
        "/api/v1/namespaces/default/configmaps/c?watch=true&timeoutSeconds=1",
        "/api/v1/namespaces/default/configmaps?watch=false&watch=true",
        "/version/../api/v1/secrets",
    ] {
        let answer = jane.get(path).await;
        assert!(matches!(answer.code, 403 | 404), "{path}: {} {}", answer.code, answer.body);
        assert!(!answer.body.to_string().contains("\"data\""), "{path}");
    }
    // Who may watch may ask for it there, where nothing is done but watching.
    let old_form = "/api/v1/watch/namespaces/default/configmaps";
    jane.delete(old_form).await.message(405, "MethodNotAllowed");
    let deleted = server.bob().delete(old_form).await.forbidden();
    assert!(deleted.contains("cannot watch resource \"configmaps\""), "{deleted}");
    server.admin().get(&format!("{CONFIG_MAPS}/c")).await.ok();
    let kept: Value = server.admin().get("/api/v1/namespaces/default/secrets/s").await.ok();
    assert_eq!(kept["metadata"]["name"], "s");
}
