//! Requests that ask for something odd: what is refused, in which order, and what is passed over.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, DEPLOYMENTS, LEASES, Server, config_map, deployment, lease, start};

const PATH: &str = "/api/v1/namespaces/default/configmaps/a";

async fn with_map() -> Server {
    let server = start().await;
    server.config_map("a", json!({ "k": "1" })).await;
    server
}

/// The messages of the causes, each with its field.
fn causes(status: &Value) -> Vec<String> {
    let text = |cause: &Value, field: &str| cause[field].as_str().unwrap_or_default().to_owned();
    let causes = status["details"]["causes"].as_array().cloned().unwrap_or_default();
    causes.iter().map(|cause| format!("{}: {}", text(cause, "field"), text(cause, "message"))).collect()
}

#[tokio::test]
async fn an_empty_option_is_not_one_that_was_left_out() {
    let server = with_map().await;
    let made = || config_map("b", json!({}));
    let supported = "supported values: \"All\"";
    for (query, given) in [("dryRun=", "[\"\"]"), ("dryRun=All&dryRun=X", "[\"All\",\"X\"]")] {
        let status = server.post(&format!("{CONFIG_MAPS}?{query}"), made()).await.refused(422, "Invalid");
        assert_eq!(causes(&status), [format!("dryRun: Unsupported value: {given}: {supported}")]);
    }
    server.get(&format!("{CONFIG_MAPS}/b")).await.refused(404, "NotFound");
    server.delete(&format!("{PATH}?propagationPolicy=")).await.refused(422, "Invalid");
    server.get(PATH).await.ok();
    let status = server.get(&format!("{CONFIG_MAPS}?timeout=x")).await.refused(400, "BadRequest");
    let why = "invalid timeout specified in the request URL - time: invalid duration \"x\"";
    assert_eq!(status["message"], why);
    server.get(&format!("{CONFIG_MAPS}?timeout=10s")).await.ok();
}

#[tokio::test]
async fn a_version_of_nothing_is_none() {
    let server = with_map().await;
    let with = |name: &str, version: &str| {
        let mut map = config_map(name, json!({ "k": "2" }));
        map["metadata"]["resourceVersion"] = json!(version);
        map
    };
    server.put(PATH, with("a", "0")).await.ok();
    assert_eq!(server.put(PATH, with("a", "abc")).await.code, 500);
    assert_eq!(server.get(PATH).await.ok()["data"]["k"], "2");
    server.post(CONFIG_MAPS, with("b", "0")).await.ok();
    server.post(CONFIG_MAPS, with("c", "abc")).await.ok();
    assert_eq!(server.post(CONFIG_MAPS, with("d", "5")).await.code, 500);
    let mut unversioned = server.post(LEASES, lease("l")).await.ok();
    unversioned["metadata"]["resourceVersion"] = json!("0");
    server.put(&format!("{LEASES}/l"), unversioned).await.refused(422, "Invalid");
}

#[tokio::test]
async fn nobody_says_that_an_object_is_being_deleted_but_by_deleting_it() {
    let server = with_map().await;
    for (field, value) in
        [("deletionTimestamp", json!("2024-01-01T00:00:00Z")), ("deletionGracePeriodSeconds", json!(5))]
    {
        let status =
            server.merge(PATH, json!({ "metadata": { field: value } })).await.refused(422, "Invalid");
        let why = format!("metadata.{field}: Invalid value: {value}: field is immutable");
        assert_eq!(causes(&status).first(), Some(&why));
    }
    server.merge(PATH, json!({ "metadata": { "finalizers": ["example.com/f"] } })).await.ok();
    let marked = server.delete(PATH).await.ok();
    let other = json!({ "metadata": { "deletionGracePeriodSeconds": 7 } });
    server.merge(PATH, other).await.refused(422, "Invalid");
    let unmarked = json!({ "metadata": { "deletionTimestamp": null } });
    let kept = server.merge(PATH, unmarked).await.ok();
    assert_eq!(kept["metadata"]["deletionTimestamp"], marked["metadata"]["deletionTimestamp"]);
    let status = server.post(CONFIG_MAPS, config_map("a", json!({}))).await.refused(409, "AlreadyExists");
    assert_eq!(status["message"], "object is being deleted: configmaps \"a\" already exists");
    server.merge(PATH, json!({ "metadata": { "finalizers": null } })).await.ok();
}

#[tokio::test]
async fn where_an_object_is_to_be_matters_before_what_is_wrong_with_it() {
    let server = start().await;
    let status = server.post("/api/v1/namespaces/nowhere/configmaps", config_map("Bad_", json!({}))).await;
    assert_eq!(status.refused(404, "NotFound")["message"], "namespaces \"nowhere\" not found");
}

#[tokio::test]
async fn who_is_refused_is_warned_all_the_same() {
    let server = start().await;
    let mut wrong = deployment("web");
    wrong["spec"]["replcias"] = json!(3);
    wrong["spec"]["replicas"] = json!(-1);
    let answer = server.post(DEPLOYMENTS, wrong).await;
    assert_eq!(answer.warnings, ["299 - \"unknown field \\\"spec.replcias\\\"\""]);
    answer.refused(422, "Invalid");
}

#[tokio::test]
async fn a_reader_gets_the_form_that_it_wants_most() {
    let server = with_map().await;
    let yaml = server.send("GET", PATH, &[("accept", "application/json;q=0.5,application/yaml")], "").await;
    assert!(yaml.body.as_str().is_some_and(|text| text.contains("kind: ConfigMap")), "{}", yaml.body);
    let json = server.send("GET", PATH, &[("accept", "application/yaml;q=0.5,application/json")], "").await;
    assert_eq!(json.ok()["kind"], "ConfigMap");
    let status = server.send("GET", PATH, &[("accept", "application/*")], "").await;
    let message = status.refused(406, "NotAcceptable")["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("406: Not Acceptable\n\nAvailable representations: application/json"));
    assert_eq!(server.send("HEAD", PATH, &[], "").await.code, 405);
}

#[tokio::test]
async fn names_are_judged_by_their_kind() {
    let server = start().await;
    let long = "a".repeat(64);
    for (list, api, kind, name, why) in [
        (
            "/apis/apps/v1/namespaces/default/statefulsets",
            "apps/v1",
            "StatefulSet",
            "a.b",
            "must not contain dots",
        ),
        (
            "/apis/apps/v1/namespaces/default/statefulsets",
            "apps/v1",
            "StatefulSet",
            long.as_str(),
            "must be no more than 63 characters",
        ),
        ("/api/v1/namespaces", "v1", "Namespace", "a.b", "must not contain dots"),
        (
            "/apis/batch/v1/namespaces/default/cronjobs",
            "batch/v1",
            "CronJob",
            long.as_str(),
            "must be no more than 52 characters",
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
            "rbac.authorization.k8s.io/v1",
            "Role",
            "a%b",
            "may not contain '%'",
        ),
    ] {
        let template = deployment("x")["spec"]["template"].clone();
        let mut pods = template.clone();
        pods["spec"]["restartPolicy"] = json!("Never");
        let selector = deployment("x")["spec"]["selector"].clone();
        let spec = match kind {
            "StatefulSet" => json!({ "selector": selector, "template": template }),
            "CronJob" => json!({ "schedule": "* * * * *", "jobTemplate": { "spec": { "template": pods } } }),
            _ => Value::Null,
        };
        let mut body = json!({ "apiVersion": api, "kind": kind, "metadata": { "name": name } });
        if !spec.is_null() {
            body["spec"] = spec;
        }
        let status = server.post(list, body).await.refused(422, "Invalid");
        assert_eq!(causes(&status), [format!("metadata.name: Invalid value: {name:?}: {why}")]);
    }
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": { "name": "Any_thing:goes" }, "spec": { "minAvailable": 1 } });
    server.post(budgets, budget).await.ok();
}

#[tokio::test]
async fn the_beginning_of_a_generated_name_is_judged_by_itself() {
    let server = start().await;
    let with = |prefix: &str| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "generateName": prefix } });
    let status = server.post(CONFIG_MAPS, with("x.")).await.refused(422, "Invalid");
    assert!(
        causes(&status)[0].starts_with("metadata.generateName: Invalid value: \"x.\": a lowercase RFC 1123")
    );
    let status = server.post(CONFIG_MAPS, with(&"x".repeat(254))).await.refused(422, "Invalid");
    assert!(causes(&status)[0].ends_with("must be no more than 253 characters"), "{status}");
    let made = server.post(CONFIG_MAPS, with("x-")).await.ok();
    let fields = &made["metadata"]["managedFields"][0]["fieldsV1"];
    assert_eq!(fields, &json!({ "f:metadata": { "f:generateName": {} } }), "{made}");
}

#[tokio::test]
async fn what_looks_odd_and_is_sound_is_taken() {
    let server = with_map().await;
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "generateName": format!("{}-", "a".repeat(63)) } });
    server.post("/api/v1/namespaces?dryRun=All", namespace).await.ok();
    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "outside" },
        "spec": { "type": "ExternalName", "externalName": "db.example.com." } });
    server.post("/api/v1/namespaces/default/services?dryRun=All", service).await.ok();
    let class = json!({ "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": "c" },
        "provisioner": "Example.com/NFS" });
    server.post("/apis/storage.k8s.io/v1/storageclasses?dryRun=All", class).await.ok();
    let options = json!({ "propagationPolicy": null, "gracePeriodSeconds": null });
    let headers = [("content-type", "application/json")];
    server.send("DELETE", PATH, &headers, options.to_string()).await.ok();
}
