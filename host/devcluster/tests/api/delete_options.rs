//! The options of deletions, of one object and of many: what is refused deletes nothing.

use serde_json::{Value, json};

use crate::support::{Answer, CONFIG_MAPS, DEPLOYMENTS, Server, deployment, labelled, start};

async fn delete_with(server: &Server, path: &str, options: Value) -> Answer {
    server.send("DELETE", path, &[("content-type", "application/json")], options.to_string()).await
}

#[tokio::test]
async fn options_of_another_kind_or_type_are_refused_and_delete_nothing() {
    let server = start().await;
    server.config_map("a", json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    let scheme = "in scheme \"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27\"";
    let of_field = |found: &str, field: &str, expected: &str| {
        format!("json: cannot unmarshal {found} into Go struct field {field} of type {expected}")
    };
    for (options, message) in [
        (
            json!({ "apiVersion": "v1", "kind": "ConfigMap" }),
            format!("no kind \"ConfigMap\" is registered for version \"v1\" {scheme}"),
        ),
        (
            json!({ "kind": "Foo" }),
            format!("no kind \"Foo\" is registered for version \"meta.k8s.io/v1\" {scheme}"),
        ),
        (
            json!({ "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": "x" }),
            of_field("string", "DeleteOptions.gracePeriodSeconds", "int64"),
        ),
        (
            json!({ "gracePeriodSeconds": 1.5 }),
            of_field("number 1.5", "DeleteOptions.gracePeriodSeconds", "int64"),
        ),
        (json!({ "dryRun": "All" }), of_field("string", "DeleteOptions.dryRun", "[]string")),
        (json!({ "dryRun": [1] }), of_field("number", "DeleteOptions.dryRun", "string")),
        (
            json!({ "propagationPolicy": 1 }),
            of_field("number", "DeleteOptions.propagationPolicy", "v1.DeletionPropagation"),
        ),
        (
            json!({ "preconditions": "x" }),
            of_field("string", "DeleteOptions.preconditions", "v1.Preconditions"),
        ),
        (
            json!({ "preconditions": { "uid": 1 } }),
            of_field("number", "Preconditions.preconditions.uid", "types.UID"),
        ),
    ] {
        let status = delete_with(&server, &path, options).await.refused(400, "BadRequest");
        assert_eq!(status["message"], message);
    }
    server.get(&path).await.ok();
    delete_with(&server, &path, json!({ "apiVersion": "v1", "kind": "DeleteOptions" })).await.ok();
    server.get(&path).await.refused(404, "NotFound");
}

#[tokio::test]
async fn a_precondition_that_does_not_hold_is_told_with_what_does() {
    let server = start().await;
    let map = server.config_map("a", json!({})).await;
    let path = format!("{CONFIG_MAPS}/a");
    let other = json!({ "preconditions": { "uid": "x", "resourceVersion": "1" } });
    let status = delete_with(&server, &path, other).await.refused(409, "Conflict");
    let uid = map["metadata"]["uid"].as_str().unwrap();
    let message = format!(
        "Operation cannot be fulfilled on ConfigMap \"a\": the UID in the precondition (x) does not match the UID in record \
         ({uid}). The object might have been deleted and then recreated"
    );
    assert_eq!(status["message"], message);
    assert_eq!(status["details"], json!({ "name": "a", "kind": "ConfigMap" }));
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let other = json!({ "preconditions": { "resourceVersion": "1" } });
    let status = delete_with(&server, &format!("{DEPLOYMENTS}/web"), other).await.refused(409, "Conflict");
    let message = status["message"].as_str().unwrap();
    let begins = "Operation cannot be fulfilled on Deployment.apps \"web\": the ResourceVersion in the precondition (1) \
                  does not match the ResourceVersion in record (";
    assert!(message.starts_with(begins), "{message}");
    assert!(message.ends_with("). The object might have been modified"), "{message}");
    assert_eq!(status["details"], json!({ "name": "web", "group": "apps", "kind": "Deployment" }));
}

#[tokio::test]
async fn a_collection_is_deleted_as_it_is_listed() {
    let server = start().await;
    for name in ["a", "b", "c"] {
        server.post(CONFIG_MAPS, labelled(name, json!({ "set": "one" }))).await.ok();
    }
    let path = format!("{CONFIG_MAPS}?labelSelector=set=one");
    let left = async || server.get(&path).await.ok()["items"].as_array().unwrap().len();
    let status = server.delete(&format!("{path}&limit=abc")).await.refused(400, "BadRequest");
    assert_eq!(status["message"], "strconv.ParseInt: parsing \"abc\": invalid syntax");
    server.delete(&format!("{path}&timeoutSeconds=x")).await.refused(400, "BadRequest");
    server.delete(&format!("{path}&resourceVersionMatch=Exact")).await.refused(422, "Invalid");
    delete_with(&server, &path, json!({ "kind": "Foo" })).await.refused(400, "BadRequest");
    delete_with(&server, &path, json!({ "preconditions": { "uid": "x" } })).await.refused(409, "Conflict");
    assert_eq!(left().await, 3);
    let page = server.delete(&format!("{path}&limit=1")).await.ok();
    assert_eq!((page["items"].as_array().unwrap().len(), left().await), (1, 2));
    assert!(page["metadata"]["continue"].is_string(), "{page}");
    // A version is that of each object, though it is also that of the list.
    server.delete(&format!("{path}&resourceVersion=0")).await.refused(409, "Conflict");
    server.delete(&path).await.ok();
    assert_eq!(left().await, 0);
}
