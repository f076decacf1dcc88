//! What is served, and how clients learn of it.

use serde_json::{Value, json};

use crate::support::{CRDS, PATIENCE, start, widget_definition};

#[tokio::test]
async fn health_and_version_are_answered() {
    let server = start().await;
    for path in ["/healthz", "/readyz", "/livez"] {
        assert_eq!(server.get(path).await.ok(), "ok");
    }
    assert_eq!(server.get("/version").await.ok()["major"], "1");
}

#[tokio::test]
async fn every_listed_group_version_has_a_resource_list() {
    let server = start().await;
    assert_eq!(server.get("/api").await.ok()["versions"], json!(["v1"]));
    let groups = server.get("/apis").await.ok();
    let groups = groups["groups"].as_array().unwrap();
    assert!(groups.len() > 15);
    for group in groups {
        let version = group["preferredVersion"]["groupVersion"].as_str().unwrap();
        // Those of other tests in the same cluster come and go.
        if version.contains("example.com") {
            continue;
        }
        let list = server.get(&format!("/apis/{version}")).await.ok();
        assert_eq!(list["groupVersion"], version);
        assert!(!list["resources"].as_array().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_resource_says_its_names_scope_and_subresources() {
    let server = start().await;
    let list = server.get("/apis/apps/v1").await.ok();
    let resources = list["resources"].as_array().unwrap();
    let find = |name: &str| resources.iter().find(|resource| resource["name"] == name).unwrap();
    let deployments = find("deployments");
    assert_eq!(deployments["shortNames"], json!(["deploy"]));
    assert_eq!(deployments["singularName"], "deployment");
    assert_eq!(deployments["namespaced"], true);
    assert_eq!(find("deployments/scale")["kind"], "Scale");
    assert_eq!(find("deployments/status")["kind"], "Deployment");
}

#[tokio::test]
async fn aggregated_discovery_is_given_to_who_asks_for_it() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let find = |document: &Value| {
        let mut items = document["items"].as_array().into_iter().flatten();
        items.find(|item| item["metadata"]["name"] == "example.com").cloned()
    };
    // A cluster's controllers bring it up to date.
    let started = std::time::Instant::now();
    let ours = loop {
        let document = server.get_as("/apis", accept).await.ok();
        assert_eq!(document["kind"], "APIGroupDiscoveryList");
        if let Some(ours) = find(&document) {
            break ours;
        }
        assert!(started.elapsed() < PATIENCE, "{document}");
    };
    assert_eq!(ours["versions"][0]["version"], "v1");
    assert_eq!(ours["versions"][1]["version"], "v1beta1");
    assert_eq!(ours["versions"][0]["resources"][0]["responseKind"]["kind"], "Widget");
}

#[tokio::test]
async fn openapi_tells_kubectl_that_the_server_validates_and_its_hash_follows_the_definitions() {
    let server = start().await;
    let before = server.get("/openapi/v3").await.ok();
    server.post(CRDS, widget_definition()).await.ok();
    let at = |index: &Value| index["paths"]["apis/example.com/v1"]["serverRelativeURL"].clone();
    let after =
        server.eventually("/openapi/v3", "it is described", |index| at(&index.body).is_string()).await.ok();
    assert_eq!(before["paths"]["api/v1"], after["paths"]["api/v1"], "nothing has changed there");
    let url = at(&after);
    let document = server.get(url.as_str().unwrap()).await.ok();
    let patch = &document["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Widget");
    let parameters = patch["parameters"].as_array().unwrap();
    assert!(parameters.iter().any(|parameter| parameter["name"] == "fieldValidation"));
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/colour";
    let change = json!([{ "op": "add", "path": path, "value": { "type": "string" } }]);
    server.patch(&format!("{CRDS}/widgets.example.com"), "json-patch+json", change).await.ok();
    server.eventually("/openapi/v3", "its address is another", |index| at(&index.body) != url).await;
}

#[tokio::test]
async fn openapi_describes_built_in_kinds_and_how_they_merge() {
    let server = start().await;
    let index = server.get("/openapi/v3").await.ok();
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    let document = server.get(url).await.ok();
    let schemas = &document["components"]["schemas"];
    let deployment = &schemas["io.k8s.api.apps.v1.Deployment"];
    let names = json!([{ "group": "apps", "version": "v1", "kind": "Deployment" }]);
    assert_eq!(deployment["x-kubernetes-group-version-kind"], names);
    let spec = &schemas["io.k8s.api.apps.v1.DeploymentSpec"];
    assert_eq!(spec["required"], json!(["selector", "template"]));
    assert_eq!(
        (&spec["properties"]["replicas"]["type"], &spec["properties"]["replicas"]["format"]),
        (&json!("integer"), &json!("int32"))
    );
    let strategy = &spec["properties"]["strategy"];
    assert_eq!(strategy["x-kubernetes-patch-strategy"], "retainKeys");
    let target = "#/components/schemas/io.k8s.api.apps.v1.DeploymentStrategy";
    assert_eq!(strategy["allOf"], json!([{ "$ref": target }]));
    let ports = &schemas["io.k8s.api.core.v1.Container"]["properties"]["ports"];
    assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["containerPort", "protocol"]));
    assert_eq!(ports["x-kubernetes-patch-merge-key"], "containerPort");
    let selector = &schemas["io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"];
    assert_eq!(selector["x-kubernetes-map-type"], "atomic");
    assert_eq!(schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["format"], "int-or-string");
    let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert!(patch["requestBody"]["content"].get("application/strategic-merge-patch+json").is_some());
    let text = document.to_string();
    assert!(!text.contains("#/$defs/"), "each reference is one of OpenAPI's");
}

#[tokio::test]
async fn each_reference_of_every_document_leads_somewhere() {
    fn targets(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| targets(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| targets(value, found)),
            _ => {}
        }
    }
    let server = start().await;
    let index = server.get("/openapi/v3").await.ok();
    for (path, at) in index["paths"].as_object().unwrap() {
        let document = server.get(at["serverRelativeURL"].as_str().unwrap()).await;
        if document.code == 404 && path.ends_with(".example.com/v1") | path.ends_with(".example.com/v1beta1")
        {
            // Definitions of other tests come and go meanwhile.
            continue;
        }
        let document = document.ok();
        let mut found = Vec::new();
        targets(&document, &mut found);
        // A cluster describes paths that are no resources, too.
        let is_of_resources =
            path.starts_with("api/") || (path.starts_with("apis/") && path.split('/').count() == 3);
        assert!(!found.is_empty() || !is_of_resources, "{path}");
        for target in found {
            let name = target.strip_prefix("#/components/schemas/").expect("a schema");
            assert!(document["components"]["schemas"].get(name).is_some(), "{path}: {target}");
        }
    }
}

#[tokio::test]
async fn an_unknown_path_is_404() {
    let server = start().await;
    for path in ["/nothing", "/api/v2", "/apis/none.example", "/api/v1/namespaces/default/gadgets"] {
        assert_eq!(server.get(path).await.code, 404, "{path}");
    }
}

#[tokio::test]
async fn what_a_group_of_the_server_has_not_is_a_status_and_any_other_path_is_a_page() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    for path in
        ["/api/v1/gadgets", "/api/v1/namespaces/default/gadgets/a", "/apis/apps/v1/gadgets", "/api/v2/pods"]
    {
        let status = server.get(path).await.refused(404, "NotFound");
        assert_eq!(status["message"], "the server could not find the requested resource", "{path}");
    }
    for path in ["/apis/none.example/v1/gadgets", "/apis/example.com/v1/gadgets", "/nothing"] {
        let answer = server.get(path).await;
        assert_eq!((answer.code, answer.body), (404, json!("404 page not found\n")), "{path}");
    }
}

#[tokio::test]
async fn access_reviews_allow_everything() {
    let server = start().await;
    let review = json!({ "spec": { "resourceAttributes": { "verb": "create", "resource": "pods" } } });
    let answer = server.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).await;
    assert_eq!(answer.ok()["status"]["allowed"], true);
}
