//! Reviews of access say what the server would do.

use serde_json::{Value, json};

use crate::support::{Caller, RBAC, Server, rule};

const AUTHORIZATION: &str = "/apis/authorization.k8s.io/v1";

fn resource(verb: &str, resource: &str, namespace: &str) -> Value {
    json!({ "verb": verb, "resource": resource, "namespace": namespace })
}

async fn ask(caller: &Caller<'_>, kind: &str, spec: Value) -> Value {
    caller.post(&format!("{AUTHORIZATION}/{kind}"), json!({ "spec": spec })).await.ok()["status"].clone()
}

#[tokio::test]
async fn one_can_ask_what_one_may_do() {
    let server = Server::rbac().await;
    server.grant("jane", json!([rule(&["list"], "", &["pods"])])).await;
    let may = async |attributes: Value| {
        let spec = json!({ "resourceAttributes": attributes });
        ask(&server.jane(), "selfsubjectaccessreviews", spec).await
    };
    let yes = may(resource("list", "pods", "default")).await;
    assert_eq!(yes["allowed"], true);
    let reason = yes["reason"].as_str().unwrap();
    assert!(reason.starts_with("RBAC: allowed by RoleBinding \"granted-"), "{reason}");
    assert!(
        reason.contains("/default\" of Role \"granted-") && reason.ends_with(" to User \"jane\""),
        "{reason}"
    );
    assert_eq!(may(resource("list", "pods", "kube-system")).await, json!({ "allowed": false }));
    assert_eq!(may(resource("list", "pods", "")).await, json!({ "allowed": false }));
    let path = json!({ "nonResourceAttributes": { "verb": "get", "path": "/api" } });
    assert_eq!(ask(&server.jane(), "selfsubjectaccessreviews", path).await["allowed"], true);
    let anonymous =
        server.anonymous().post(&format!("{AUTHORIZATION}/selfsubjectaccessreviews"), json!({})).await;
    anonymous.forbidden();
}

#[tokio::test]
async fn who_may_ask_about_others_is_told_the_truth() {
    let server = Server::rbac().await;
    server
        .grant_to(
            "",
            json!({ "kind": "Group", "name": "ops.example.com" }),
            json!([rule(&["get"], "", &["nodes"])]),
        )
        .await;
    let may = async |mut spec: Value| {
        spec["resourceAttributes"] = resource("get", "nodes", "");
        ask(&server.admin(), "subjectaccessreviews", spec).await["allowed"].clone()
    };
    assert_eq!(may(json!({ "user": "x", "groups": ["ops.example.com"] })).await, true);
    assert_eq!(may(json!({ "groups": ["ops.example.com"] })).await, true);
    assert_eq!(may(json!({ "user": "ops.example.com" })).await, false);
    assert_eq!(may(json!({ "user": "x", "groups": ["system:masters"] })).await, true);
    let path = format!("{AUTHORIZATION}/subjectaccessreviews");
    let spec = json!({ "spec": { "resourceAttributes": resource("get", "nodes", "") } });
    server.jane().post(&path, spec.clone()).await.forbidden();
    let nobody = server.admin().post(&path, spec).await.message(422, "Invalid");
    assert!(nobody.contains("at least one of user or group must be specified"), "{nobody}");
    let nothing =
        server.admin().post(&path, json!({ "spec": { "user": "x" } })).await.message(422, "Invalid");
    assert!(nothing.contains("exactly one of nonResourceAttributes or resourceAttributes"), "{nothing}");
}

#[tokio::test]
async fn a_local_review_is_about_its_namespace() {
    let server = Server::rbac().await;
    server.grant("jane", json!([rule(&["list"], "", &["pods"])])).await;
    let path = format!("{AUTHORIZATION}/namespaces/default/localsubjectaccessreviews");
    let ask = async |namespace: &str| {
        let attributes = resource("list", "pods", namespace);
        server
            .admin()
            .post(&path, json!({ "spec": { "user": "jane", "resourceAttributes": attributes } }))
            .await
    };
    assert_eq!(ask("default").await.ok()["status"]["allowed"], true);
    let other = ask("kube-system").await.message(422, "Invalid");
    assert!(other.contains("must match metadata.namespace"), "{other}");
}

#[tokio::test]
async fn all_rules_of_a_user_are_told() {
    let server = Server::rbac().await;
    let mut named = rule(&["get"], "", &["configmaps"]);
    named["resourceNames"] = json!(["a"]);
    server.grant("jane", json!([named.clone()])).await;
    let status = ask(&server.jane(), "selfsubjectrulesreviews", json!({ "namespace": "default" })).await;
    assert_eq!(status["incomplete"], false);
    assert!(status["resourceRules"].as_array().unwrap().contains(&named), "{status}");
    let body = json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "namespace": "default" } });
    let answer = server.jane().post(&format!("{AUTHORIZATION}/selfsubjectrulesreviews"), body).await.ok();
    assert_eq!((&answer["metadata"], &answer["spec"]), (&json!({}), &json!({})), "they are not said again");
    let paths = status["nonResourceRules"].to_string();
    assert!(paths.contains("/openapi/*") && paths.contains("/healthz"), "{paths}");
    let other = ask(&server.jane(), "selfsubjectrulesreviews", json!({ "namespace": "kube-system" })).await;
    assert!(!other["resourceRules"].as_array().unwrap().contains(&named), "{other}");
    let none = json!({ "spec": {} });
    server
        .jane()
        .post(&format!("{AUTHORIZATION}/selfsubjectrulesreviews"), none)
        .await
        .message(400, "BadRequest");

    let binding = json!({ "metadata": { "name": "b" }, "subjects": [{ "kind": "User", "name": "jane" }],
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "gone" } });
    server.admin().post(&format!("{RBAC}/namespaces/default/rolebindings"), binding).await.ok();
    let status = ask(&server.jane(), "selfsubjectrulesreviews", json!({ "namespace": "default" })).await;
    // As in the real server: the rules that there are, are all told.
    assert_eq!(status["incomplete"], false);
    assert_eq!(status["evaluationError"], "role.rbac.authorization.k8s.io \"gone\" not found");
}

#[tokio::test]
async fn a_review_that_is_not_one_is_refused_as_any_object_is() {
    let server = Server::rbac().await;
    let selves = format!("{AUTHORIZATION}/selfsubjectaccessreviews");
    let locals = format!("{AUTHORIZATION}/namespaces/default/localsubjectaccessreviews");
    let spec = json!({ "resourceAttributes": resource("get", "pods", "default") });
    let kind = "SelfSubjectAccessReview in version \"v1\" cannot be handled as a SelfSubjectAccessReview: ";
    for (path, body, why) in [
        (
            &selves,
            json!({ "kind": "SubjectAccessReview", "spec": spec }),
            "SubjectAccessReview in version \"v1\" cannot be handled as a SelfSubjectAccessReview: converting \
             (v1.SubjectAccessReview) to (authorization.SelfSubjectAccessReview): unknown conversion"
                .to_owned(),
        ),
        (
            &selves,
            json!({ "apiVersion": "authorization.k8s.io/v1beta1", "spec": spec }),
            "the API version in the data (authorization.k8s.io/v1beta1) does not match".to_owned(),
        ),
        (&selves, json!({ "spec": { "resourceAttributes": "all" } }), kind.to_owned()),
        (
            &locals,
            json!({ "metadata": { "namespace": "other" }, "spec": spec }),
            "the namespace of the provided object does not match the namespace sent on the request"
                .to_owned(),
        ),
    ] {
        let refused = server.admin().post(path, body).await.message(400, "BadRequest");
        assert!(refused.starts_with(&why), "{refused}");
    }
    let misspelt = json!({ "spec": { "resourceAttributes": { "verb": "get", "ressource": "pods" } } });
    let strict = format!("{selves}?fieldValidation=Strict");
    let refused = server.admin().post(&strict, misspelt.clone()).await.message(400, "BadRequest");
    assert_eq!(
        refused,
        format!("{kind}strict decoding error: unknown field \"spec.resourceAttributes.ressource\"")
    );
    let warned = server.admin().post(&selves, misspelt).await;
    assert_eq!(warned.warnings, ["299 - \"unknown field \\\"spec.resourceAttributes.ressource\\\"\""]);
    assert_eq!(warned.ok()["spec"], json!({ "resourceAttributes": { "verb": "get" } }));
}

#[tokio::test]
async fn all_that_is_wrong_with_a_review_is_told() {
    let server = Server::rbac().await;
    let both = json!({ "resourceAttributes": resource("get", "pods", "other"),
        "nonResourceAttributes": { "verb": "get", "path": "/api" } });
    let body = json!({ "metadata": { "name": "r" }, "spec": both });
    let path = format!("{AUTHORIZATION}/namespaces/default/localsubjectaccessreviews");
    let refused = server.admin().post(&path, body.clone()).await;
    let causes: Vec<_> = refused.body["details"]["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| cause["field"].clone())
        .collect();
    let expected = [
        "spec.nonResourceAttributes",
        "spec.user",
        "metadata",
        "spec.resourceAttributes.namespace",
        "spec.nonResourceAttributes",
    ];
    assert_eq!(json!(causes), json!(expected));
    let message = refused.message(422, "Invalid");
    assert!(message.contains("must be empty except for namespace"), "{message}");
    let path = format!("{AUTHORIZATION}/selfsubjectaccessreviews");
    let named =
        json!({ "metadata": { "name": "r" }, "spec": { "resourceAttributes": resource("get", "a", "") } });
    let refused = server.jane().post(&path, named).await.message(422, "Invalid");
    // A cluster shows with it the managed fields that it has added itself.
    let name = "metadata: Invalid value: {\"name\":\"r\"";
    assert!(refused.contains(name) && refused.ends_with("}: must be empty"), "{refused}");
}

#[tokio::test]
async fn a_binding_to_somebody_in_two_ways_tells_its_rules_once() {
    let server = Server::rbac().await;
    let lists = rule(&["list"], "", &["pods"]);
    let role = json!({ "metadata": { "name": "r" }, "rules": [lists] });
    server.admin().post(&format!("{RBAC}/namespaces/default/roles"), role).await.ok();
    let binding = json!({ "metadata": { "name": "b" }, "roleRef": { "kind": "Role", "name": "r" },
        "subjects": [{ "kind": "User", "name": "jane" }, { "kind": "Group", "name": "team" }] });
    server.admin().post(&format!("{RBAC}/namespaces/default/rolebindings"), binding).await.ok();
    let status = ask(&server.jane(), "selfsubjectrulesreviews", json!({ "namespace": "default" })).await;
    let told = status["resourceRules"].as_array().unwrap().iter().filter(|told| **told == lists);
    assert_eq!(told.count(), 1, "{status}");
}
