//! JSON patches: what is wrong with an operation is told once it is its turn.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, WIDGETS, start, widget, widget_definition};

const JSON_PATCH: &str = "json-patch+json";

#[tokio::test]
async fn an_operation_that_cannot_be_done_is_unprocessable() {
    let server = start().await;
    server.config_map("a", json!({ "k": "v" })).await;
    for operation in [
        json!({ "op": "foo", "path": "/data/k", "value": "w" }),
        json!({ "path": "/data/k", "value": "w" }),
        json!({ "op": "test", "path": "/data/k" }),
        json!({ "op": "add", "value": "w" }),
        json!({ "op": "add", "path": "", "value": {} }),
        json!({ "op": "add", "path": "data", "value": {} }),
        json!({ "op": "copy", "path": "/data/l" }),
        json!({ "op": "remove", "path": "/data/l" }),
        json!({ "op": "replace", "path": "/binaryData/l", "value": "eA==" }),
        json!({}),
        Value::Null,
    ] {
        let answer = server.patch(&format!("{CONFIG_MAPS}/a"), JSON_PATCH, json!([operation])).await;
        assert_eq!(answer.code, 422, "{operation}: {}", answer.body);
        let message = "the server rejected our request due to an error in our request";
        assert_eq!(answer.refused(422, "Invalid")["message"], message);
    }
}

#[tokio::test]
async fn what_is_no_list_of_operations_is_not_decoded() {
    let server = start().await;
    server.config_map("a", json!({ "k": "v" })).await;
    let of_field = |field: &str| format!("number into Go struct field jsonPatchOp.{field} of type string");
    for (patch, expected) in [
        (json!([{ "op": "add", "path": 1 }]), of_field("path")),
        (json!([{ "op": 1, "path": "/data/k" }]), of_field("op")),
        (json!(["x"]), "string into Go value of type handlers.jsonPatchOp".to_owned()),
        (json!({ "op": "add" }), "object into Go value of type []handlers.jsonPatchOp".to_owned()),
    ] {
        let status = server.patch(&format!("{CONFIG_MAPS}/a"), JSON_PATCH, patch).await;
        let status = status.refused(400, "BadRequest");
        let message = format!("error decoding patch: json: cannot unmarshal {expected}");
        assert_eq!(status["message"], message);
    }
}

#[tokio::test]
async fn a_member_that_a_map_does_not_have_is_added_by_replacing_it() {
    let server = start().await;
    server.define(widget_definition()).await;
    server.config_map("a", json!({ "k": "v" })).await;
    server.post(WIDGETS, widget("a", json!({ "size": "s" }))).await.ok();
    let replace = json!([{ "op": "replace", "path": "/data/new", "value": "2" },
        { "op": "add", "path": "/data/none" }, { "op": "copy", "from": "/data/absent", "path": "/data/copy" }, { "op": "test", "path": "/data/absent" }]);
    let patched = server.patch(&format!("{CONFIG_MAPS}/a"), JSON_PATCH, replace).await.ok();
    assert_eq!(patched["data"], json!({ "copy": "", "k": "v", "new": "2", "none": "" }));
    // A path begins at its first slash.
    let replace = json!([{ "op": "replace", "path": "here/spec/replicas", "value": 2 }]);
    let replace = server.patch(&format!("{WIDGETS}/a"), JSON_PATCH, replace).await;
    assert_eq!(replace.ok()["spec"]["replicas"], 2);
}

#[tokio::test]
async fn an_index_may_count_from_the_end() {
    let server = start().await;
    let mut map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" } });
    let names = ["example.com/a", "example.com/b", "example.com/c"];
    map["metadata"]["finalizers"] = json!(names);
    server.post(CONFIG_MAPS, map).await.ok();
    let path = format!("{CONFIG_MAPS}/a");
    let at = |index: &str| format!("/metadata/finalizers/{index}");
    for (operation, expected) in [
        (json!({ "op": "replace", "path": at("-1"), "value": "example.com/z" }), vec!["a", "b", "z"]),
        (json!({ "op": "add", "path": at("-1"), "value": "example.com/y" }), vec!["a", "b", "z", "y"]),
        (json!({ "op": "add", "path": at("-2"), "value": "example.com/x" }), vec!["a", "b", "z", "x", "y"]),
        (json!({ "op": "remove", "path": at("-5") }), vec!["b", "z", "x", "y"]),
        (json!({ "op": "remove", "path": at("00") }), vec!["z", "x", "y"]),
        (json!({ "op": "remove", "path": at("+1") }), vec!["z", "y"]),
        (json!({ "op": "move", "from": at("-1"), "path": at("0") }), vec!["y", "z"]),
    ] {
        let patched = server.patch(&path, JSON_PATCH, json!([operation])).await.ok();
        let expected: Vec<String> = expected.iter().map(|name| format!("example.com/{name}")).collect();
        assert_eq!(patched["metadata"]["finalizers"], json!(expected), "{operation}");
    }
    let beyond = json!([{ "op": "remove", "path": at("-3") }]);
    server.patch(&path, JSON_PATCH, beyond).await.refused(422, "Invalid");
    server.merge(&path, json!({ "metadata": { "finalizers": null } })).await.ok();
}
