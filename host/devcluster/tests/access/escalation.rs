//! Nobody gives what they do not have.

use serde_json::{Value, json};

use crate::support::{RBAC, Server, rule};

const WITHIN: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";

fn role(name: &str, rules: Value) -> Value {
    json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": name },
        "rules": rules })
}

fn cluster_role(name: &str, labels: Value, rules: Value) -> Value {
    json!({ "metadata": { "name": name, "labels": labels }, "rules": rules })
}

fn binding(name: &str, kind: &str, role: &str) -> Value {
    json!({ "metadata": { "name": name }, "subjects": [{ "kind": "User", "name": "jane" }],
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role } })
}

/// With jane, who may read Pods, and write roles and bindings, everywhere.
async fn server() -> Server {
    let server = Server::rbac().await;
    let all = ["roles", "rolebindings", "clusterroles", "clusterrolebindings"];
    let verbs = ["create", "update", "patch", "delete", "get"];
    let rules =
        json!([rule(&["get", "list"], "", &["pods"]), rule(&verbs, "rbac.authorization.k8s.io", &all),]);
    server.grant_to("", json!({ "kind": "User", "name": "jane" }), rules).await;
    server
}

#[tokio::test]
async fn a_role_with_more_than_its_author_has_is_refused_in_every_way_to_write_one() {
    let server = server().await;
    let jane = server.jane();
    let roles = format!("{WITHIN}/roles");
    let had = json!([rule(&["list"], "", &["pods"])]);
    jane.post(&roles, role("r", had.clone())).await.ok();
    let more = json!([rule(&["list", "delete", "create"], "", &["pods", "secrets"])]);
    let message = "roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"jane\" (groups=[\"team\" \
                   \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n\
                   {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\" \"create\"]}\n\
                   {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"list\" \"delete\" \"create\"]}";
    let one = format!("{roles}/r");
    for answer in [
        jane.put(&one, role("r", more.clone())).await,
        jane.merge(&one, json!({ "rules": more })).await,
        jane.apply(&one, role("r", more.clone())).await,
        jane.merge(&format!("{one}?dryRun=All"), json!({ "rules": more })).await,
    ] {
        assert_eq!(answer.forbidden(), message);
    }
    for answer in [
        jane.post(&roles, role("new", more.clone())).await,
        jane.apply(&format!("{roles}/new"), role("new", more.clone())).await,
        jane.post(&format!("{RBAC}/clusterroles"), cluster_role("new.example.com", json!({}), more.clone()))
            .await,
    ] {
        assert!(answer.forbidden().contains("is attempting to grant RBAC permissions not currently held"));
    }
    server.admin().get(&format!("{roles}/new")).await.message(404, "NotFound");
    assert_eq!(server.admin().get(&one).await.ok()["rules"], had);
}

#[tokio::test]
async fn wildcards_names_and_paths_are_more_than_what_they_stand_for() {
    let server = server().await;
    let named = json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["p"] });
    server.jane().post(&format!("{WITHIN}/roles"), role("less", json!([named.clone()]))).await.ok();
    for rules in [
        json!([rule(&["*"], "", &["pods"])]),
        json!([rule(&["get"], "*", &["pods"])]),
        json!([rule(&["get"], "", &["*"])]),
        json!([rule(&["get"], "", &["pods/log"])]),
        json!([rule(&["get"], "", &["*/log"])]),
        json!([{ "verbs": ["get"], "nonResourceURLs": ["/metrics"] }]),
    ] {
        server
            .jane()
            .post(&format!("{RBAC}/clusterroles"), cluster_role("more.example.com", json!({}), rules))
            .await
            .forbidden();
    }
    // Who may use one name may not give all of them.
    server.grant("bob", json!([named, rule(&["create"], "rbac.authorization.k8s.io", &["roles"])])).await;
    let all = role("all", json!([rule(&["get"], "", &["pods"])]));
    server.bob().post(&format!("{WITHIN}/roles"), all).await.forbidden();
}

#[tokio::test]
async fn who_may_escalate_may_write_any_role() {
    let server = server().await;
    let mut escalate = rule(&["escalate"], "rbac.authorization.k8s.io", &["roles"]);
    escalate["resourceNames"] = json!(["this"]);
    server.grant("jane", json!([escalate])).await;
    let everything = json!([rule(&["*"], "*", &["*"])]);
    let jane = server.jane();
    let roles = format!("{WITHIN}/roles");
    // A create has no name in its path, so that a rule for one name says nothing of it.
    jane.post(&roles, role("this", everything.clone())).await.forbidden();
    server.admin().post(&roles, role("this", json!([]))).await.ok();
    server.admin().post(&roles, role("that", json!([]))).await.ok();
    jane.put(&format!("{roles}/that"), role("that", everything.clone())).await.forbidden();
    jane.put(&format!("{roles}/this"), role("this", everything.clone())).await.ok();
    server
        .grant("bob", json!([rule(&["escalate", "create"], "rbac.authorization.k8s.io", &["roles"])]))
        .await;
    server.bob().post(&roles, role("new", everything)).await.ok();
}

#[tokio::test]
async fn a_short_role_that_names_a_great_many_things_is_judged_at_once() {
    let server = server().await;
    let many = |prefix: &str| (0..60).map(|index| format!("{prefix}{index}")).collect::<Vec<_>>();
    let wide = json!([{ "verbs": many("v"), "apiGroups": many("g"), "resources": many("r"),
        "resourceNames": many("n") }]);
    let roles = format!("{WITHIN}/roles");
    let refused = server.jane().post(&roles, role("wide", wide.clone())).await.forbidden();
    assert!(
        refused.contains("{APIGroups:[\"g0\"], Resources:[\"r0\"], ResourceNames:[\"n0\"], Verbs:[\"v0\" ")
    );
    assert!(
        refused.ends_with("\nand more that is not listed") && refused.len() < 200_000,
        "{}",
        refused.len()
    );
    // What is had in two halves is had, however much it is.
    let mut half = wide[0].clone();
    half["verbs"] = json!(many("v")[..30]);
    let mut rest = wide[0].clone();
    rest["verbs"] = json!(many("v")[30..]);
    server.grant("jane", json!([half, rest])).await;
    server.jane().post(&roles, role("wide", wide)).await.ok();
}

#[tokio::test]
async fn a_binding_to_more_than_its_author_has_is_refused_unless_they_may_bind_it() {
    let server = server().await;
    let jane = server.jane();
    let (bindings, cluster) = (format!("{WITHIN}/rolebindings"), format!("{RBAC}/clusterrolebindings"));
    let refused = jane.post(&cluster, binding("b", "ClusterRole", "cluster-admin")).await.forbidden();
    assert_eq!(
        refused,
        "clusterrolebindings.rbac.authorization.k8s.io \"b\" is forbidden: user \"jane\" (groups=[\"team\" \
         \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n\
         {APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}\n{NonResourceURLs:[\"*\"], Verbs:[\"*\"]}"
    );
    jane.post(&bindings, binding("b", "ClusterRole", "cluster-admin")).await.forbidden();
    jane.post(&bindings, binding("b", "ClusterRole", "view")).await.forbidden();
    let missing = jane.post(&bindings, binding("b", "Role", "missing")).await.message(404, "NotFound");
    assert_eq!(missing, "rolebindings.rbac.authorization.k8s.io \"missing\" not found");
    server.admin().post(&bindings, binding("b", "Role", "missing")).await.ok();

    let mut bind = rule(&["bind"], "rbac.authorization.k8s.io", &["clusterroles"]);
    bind["resourceNames"] = json!(["view"]);
    server.grant("jane", json!([bind])).await;
    jane.post(&bindings, binding("view", "ClusterRole", "view")).await.ok();
    jane.post(&bindings, binding("edit", "ClusterRole", "edit")).await.forbidden();
    jane.post(&cluster, binding("view", "ClusterRole", "view")).await.forbidden();
}

#[tokio::test]
async fn nobody_adds_themselves_to_a_binding_of_others() {
    let server = server().await;
    let path = format!("{RBAC}/clusterrolebindings/cluster-admin");
    let subjects = json!({ "subjects": [{ "kind": "User", "name": "jane" }] });
    server.jane().merge(&path, subjects).await.forbidden();
    assert_eq!(server.admin().get(&path).await.ok()["subjects"][0]["name"], "system:masters");
}

#[tokio::test]
async fn aggregation_gives_nobody_more() {
    let server = server().await;
    let jane = server.jane();
    let roles = format!("{RBAC}/clusterroles");
    let into_view = json!({ "rbac.authorization.k8s.io/aggregate-to-view": "true" });
    let secrets = json!([rule(&["get"], "", &["secrets"])]);
    jane.post(&roles, cluster_role("extra.example.com", into_view.clone(), secrets)).await.forbidden();
    // What a role selects it will be given: only who has everything may say so.
    let mut selecting = cluster_role("greedy.example.com", json!({}), json!([]));
    selecting["aggregationRule"] = json!({ "clusterRoleSelectors": [{ "matchLabels": {} }] });
    let refused = jane.post(&roles, selecting.clone()).await.forbidden();
    assert_eq!(
        refused,
        "clusterroles.rbac.authorization.k8s.io \"greedy.example.com\" is forbidden: must have cluster-admin privileges to \
         use the aggregationRule"
    );
    jane.post(&roles, cluster_role("greedy.example.com", json!({}), json!([]))).await.ok();
    let rule = json!({ "aggregationRule": selecting["aggregationRule"] });
    jane.merge(&format!("{roles}/greedy.example.com"), rule.clone()).await.forbidden();
    server.admin().merge(&format!("{roles}/greedy.example.com"), rule).await.ok();
    // A rule without a selector aggregates nothing: it is wrong, and not a matter of rights.
    let none = json!({ "aggregationRule": { "clusterRoleSelectors": [] } });
    jane.post(&roles, cluster_role("none.example.com", json!({}), json!([]))).await.ok();
    jane.merge(&format!("{roles}/none.example.com"), none).await.message(422, "Invalid");
    // One that selects nothing has nothing, and is still not theirs to take out of the aggregation.
    let mut idle = cluster_role("idle.example.com", json!({}), json!([]));
    idle["aggregationRule"] = json!({ "clusterRoleSelectors": [{ "matchLabels": { "no": "role" } }] });
    server.admin().post(&roles, idle).await.ok();
    let refused = jane
        .merge(&format!("{roles}/idle.example.com"), json!({ "aggregationRule": null }))
        .await
        .forbidden();
    assert!(refused.contains("must have cluster-admin privileges"), "{refused}");
    // A label that puts a role of others into theirs is no less of a gift.
    jane.merge(&format!("{roles}/cluster-admin"), json!({ "metadata": { "labels": into_view } }))
        .await
        .forbidden();
}

#[tokio::test]
async fn a_role_that_is_only_let_go_is_given_to_nobody() {
    let server = server().await;
    let mut held = role("held", json!([rule(&["*"], "*", &["*"])]));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    server.admin().post(&format!("{WITHIN}/roles"), held).await.ok();
    let path = format!("{WITHIN}/roles/held");
    let both = json!({ "metadata": { "finalizers": null, "labels": { "a": "b" } } });
    server.jane().merge(&path, both).await.forbidden();
    server.jane().merge(&path, json!({ "metadata": { "finalizers": null } })).await.ok();
}

#[tokio::test]
async fn no_definition_takes_the_place_of_the_roles() {
    let server = server().await;
    let definition = json!({ "metadata": { "name": "roles.rbac.authorization.k8s.io" }, "spec": {
        "group": "rbac.authorization.k8s.io", "scope": "Namespaced", "names": { "plural": "roles", "kind": "Rule" },
        "versions": [{ "name": "v2", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
            "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }] } });
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let refused = server.admin().post(path, definition).await.message(422, "Invalid");
    assert!(refused.contains("is a resource of the server itself"), "{refused}");
}

#[tokio::test]
async fn a_binding_keeps_its_role() {
    let server = server().await;
    let path = format!("{RBAC}/clusterrolebindings/system:discovery");
    let other = json!({ "roleRef": { "name": "cluster-admin" } });
    let refused = server.admin().merge(&path, other).await.message(422, "Invalid");
    assert!(
        refused.contains("roleRef: Invalid value") && refused.ends_with("cannot change roleRef"),
        "{refused}"
    );
}
