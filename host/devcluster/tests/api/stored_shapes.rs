//! Objects that were stored before the schema that they are read with.

use serde_json::json;

use crate::support::{CRDS, WIDGETS, start, widget, widget_definition};

const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";
const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";

#[tokio::test]
async fn a_default_that_was_added_later_shows_when_an_object_is_read_listed_and_watched() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let created = server.post(WIDGETS, widget("w", json!({ "size": "s" }))).await.ok();
    let colour = json!({ "type": "string", "default": "red" });
    let patch = json!([{ "op": "add", "path": format!("{SPEC}/colour"), "value": colour }]);
    server.patch(DEFINITION, "json-patch+json", patch).await.ok();

    let read = server.get(&format!("{WIDGETS}/w")).await.ok();
    assert_eq!(read["spec"]["colour"], "red");
    let version = &created["metadata"]["resourceVersion"];
    assert_eq!(&read["metadata"]["resourceVersion"], version);
    assert_eq!(server.get(WIDGETS).await.ok()["items"][0]["spec"]["colour"], "red");
    let mut watch = server.watch(&format!("{WIDGETS}?watch=true")).await;
    assert_eq!(watch.next().await.unwrap()["object"]["spec"]["colour"], "red");
    // The other version has no such default.
    let other = server.get("/apis/example.com/v1beta1/namespaces/default/widgets/w").await.ok();
    assert_eq!(other["spec"]["colour"], json!(null));
}

#[tokio::test]
async fn a_field_that_the_schema_no_longer_has_is_not_shown() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let spec = json!({ "size": "s", "free": { "a": 1 } });
    server.post(WIDGETS, widget("w", spec)).await.ok();
    let patch = json!([{ "op": "remove", "path": format!("{SPEC}/free") }]);
    server.patch(DEFINITION, "json-patch+json", patch).await.ok();
    let read = server.get(&format!("{WIDGETS}/w")).await.ok();
    assert_eq!(read["spec"], json!({ "size": "s", "replicas": 1 }));
}

#[tokio::test]
async fn a_field_selector_finds_what_a_later_default_says() {
    let server = start().await;
    let mut definition = widget_definition();
    for index in [0, 1] {
        let version = &mut definition["spec"]["versions"][index];
        version["schema"]["openAPIV3Schema"]["properties"]["spec"]["required"] = json!([]);
    }
    server.post(CRDS, definition).await.ok();
    server.post(WIDGETS, widget("w", json!({}))).await.ok();
    let patch = json!([{ "op": "add", "path": format!("{SPEC}/size/default"), "value": "m" }]);
    server.patch(DEFINITION, "json-patch+json", patch).await.ok();
    let list = server.get(&format!("{WIDGETS}?fieldSelector=spec.size%3Dm")).await.ok();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let mut watch = server.watch(&format!("{WIDGETS}?watch=true&fieldSelector=spec.size%3Dm")).await;
    watch.expect("ADDED", "w").await;
}

#[tokio::test]
async fn all_watches_end_when_a_definition_changes() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let old = "/apis/example.com/v1beta1/namespaces/default/widgets?watch=true";
    let (mut of_old, mut of_new) =
        (server.watch(old).await, server.watch(&format!("{WIDGETS}?watch=true")).await);
    server.post(WIDGETS, widget("w", json!({ "size": "s" }))).await.ok();
    let patch = json!([{ "op": "replace", "path": "/spec/versions/1/served", "value": false }]);
    server.patch(DEFINITION, "json-patch+json", patch).await.ok();
    for watch in [&mut of_old, &mut of_new] {
        watch.expect("ADDED", "w").await;
        assert_eq!(watch.next().await, None, "though the other version is as it was");
    }
    let mut anew = server.watch(&format!("{WIDGETS}?watch=true")).await;
    anew.expect("ADDED", "w").await;
    let patch = json!([{ "op": "add", "path": format!("{SPEC}/colour"), "value": { "type": "string" } }]);
    server.patch(DEFINITION, "json-patch+json", patch).await.ok();
    assert_eq!(anew.next().await, None);
}

#[tokio::test]
async fn what_the_stored_version_does_not_have_is_not_kept() {
    let server = start().await;
    let mut definition = widget_definition();
    let versions = definition["spec"]["versions"].as_array_mut().unwrap();
    let mut other = versions[0].clone();
    other["name"] = json!("v2");
    other["storage"] = json!(false);
    let schema = &mut other["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    schema["later"] = json!({ "type": "string" });
    versions.push(other);
    server.define(definition).await;
    let later = WIDGETS.replace("/v1/", "/v2/");
    let mut made = widget("w", json!({ "size": "s", "later": "x" }));
    made["apiVersion"] = json!("example.com/v2");
    let made = server.post(&later, made).await.ok();
    assert_eq!(made["spec"].get("later"), None, "{made}");
    let path = format!("{later}/w");
    let patched = server.merge(&path, json!({ "spec": { "later": "y" } })).await.ok();
    assert_eq!(patched["spec"].get("later"), None, "{patched}");
}
