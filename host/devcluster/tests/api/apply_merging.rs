//! What server-side apply takes away with what is applied no longer, and in which order it leaves lists.

use serde_json::{Value, json};

use crate::support::{
    CONFIG_MAPS, CRDS, DEPLOYMENTS, Server, WIDGETS, config_map, deployment, start, widget, widget_definition,
};

fn with_template(change: impl FnOnce(&mut Value)) -> Value {
    let mut web = deployment("web");
    change(&mut web["spec"]["template"]["spec"]);
    web
}

fn template(web: &Value) -> &Value {
    &web["spec"]["template"]["spec"]
}

#[tokio::test]
async fn a_struct_that_is_applied_no_longer_goes_with_its_defaults() {
    let server = start().await;
    let path = format!("{DEPLOYMENTS}/web");
    let first = with_template(|spec| {
        spec["containers"][0]["livenessProbe"] = json!({ "httpGet": { "path": "/", "port": 80 } });
        spec["volumes"] = json!([{ "name": "v", "configMap": { "name": "c" } }]);
    });
    let first = server.apply(&path, "m", first).await.ok();
    assert_eq!(template(&first)["containers"][0]["livenessProbe"]["periodSeconds"], 10, "a default");
    let second = with_template(|spec| {
        spec["volumes"] = json!([{ "name": "v", "secret": { "secretName": "s" } }]);
    });
    let second = server.apply(&path, "m", second).await.ok();
    assert_eq!(template(&second)["containers"][0].get("livenessProbe"), None);
    let expected = json!([{ "name": "v", "secret": { "secretName": "s", "defaultMode": 420 } }]);
    assert_eq!(template(&second)["volumes"], expected);
    let third = server.apply(&path, "m", deployment("web")).await.ok();
    assert_eq!(template(&third).get("volumes"), None);
}

#[tokio::test]
async fn a_struct_of_which_somebody_else_has_a_part_stays_without_what_was_applied() {
    let server = start().await;
    let path = format!("{DEPLOYMENTS}/web");
    let probe = |probe: Value| with_template(|spec| spec["containers"][0]["livenessProbe"] = probe);
    let first = probe(json!({ "httpGet": { "path": "/", "port": 80 }, "periodSeconds": 7 }));
    server.apply(&path, "m", first).await.ok();
    let theirs = json!({ "spec": { "template": { "spec": { "containers": [
        { "name": "app", "livenessProbe": { "timeoutSeconds": 5 } }] } } } });
    let theirs_path = format!("{path}?fieldManager=other");
    server.patch(&theirs_path, "strategic-merge-patch+json", theirs).await.ok();
    let second = probe(json!({ "httpGet": { "port": 80 } }));
    let second = server.apply(&path, "m", second).await.ok();
    let left = &template(&second)["containers"][0]["livenessProbe"];
    assert_eq!((&left["timeoutSeconds"], &left["httpGet"]["port"]), (&json!(5), &json!(80)));
    assert_eq!(
        (&left["periodSeconds"], &left["httpGet"]["path"]),
        (&json!(10), &json!("/")),
        "as by default"
    );
}

/// A definition with a struct and a map of structs, which have defaults.
fn shelves() -> Value {
    let mut definition = widget_definition();
    let shelf = json!({ "type": "object", "properties": {
        "label": { "type": "string" }, "weight": { "type": "integer", "default": 1 } } });
    for version in 0..2 {
        let spec = definition["spec"]["versions"][version]["schema"]["openAPIV3Schema"]["properties"]["spec"]
            ["properties"]
            .as_object_mut()
            .unwrap();
        spec.insert("shelf".to_owned(), shelf.clone());
        spec.insert("shelves".to_owned(), json!({ "type": "object", "additionalProperties": shelf }));
    }
    definition
}

async fn spec_after(server: &Server, manager: &str, spec: Value) -> Value {
    let mut applied = server.apply(&format!("{WIDGETS}/w"), manager, widget("w", spec)).await.ok();
    let mut spec = applied["spec"].take();
    spec.as_object_mut().unwrap().retain(|field, _| !matches!(field.as_str(), "size" | "replicas"));
    spec
}

#[tokio::test]
async fn structs_and_entries_of_maps_of_a_custom_resource_go_whole() {
    let server = start().await;
    server.post(CRDS, shelves()).await.ok();
    let first = json!({ "size": "s", "shelf": { "label": "x" }, "free": { "a": { "b": { "c": 1 } } },
        "shelves": { "a": { "label": "x" }, "b": { "label": "y" } } });
    let spec = spec_after(&server, "m", first).await;
    assert_eq!(spec["shelves"]["a"], json!({ "label": "x", "weight": 1 }));
    let object = server.get(&format!("{WIDGETS}/w")).await.ok();
    let owned = &object["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"];
    assert_eq!(
        owned["f:shelves"],
        json!({ "f:a": { ".": {}, "f:label": {} }, "f:b": { ".": {}, "f:label": {} } })
    );
    assert_eq!(owned["f:shelf"], json!({ "f:label": {} }));
    assert_eq!(owned["f:free"], json!({ "f:a": { ".": {}, "f:b": { ".": {}, "f:c": {} } } }));
    let second = json!({ "size": "s", "shelves": { "b": { "label": "y" } } });
    let spec = spec_after(&server, "m", second).await;
    assert_eq!(spec, json!({ "shelves": { "b": { "label": "y", "weight": 1 } } }));
}

#[tokio::test]
async fn metadata_stays_whatever_of_it_is_applied_no_longer() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let with = |labels: Value| {
        let mut widget = widget("w", json!({ "size": "s" }));
        widget["metadata"]["labels"] = labels;
        widget
    };
    let path = format!("{WIDGETS}/w");
    let first = server.apply(&path, "m", with(json!({ "a": "1" }))).await.ok();
    let second = server.apply(&path, "m", widget("w", json!({ "size": "s" }))).await.ok();
    assert_eq!(second["metadata"].get("labels"), None);
    assert_eq!(second["metadata"]["uid"], first["metadata"]["uid"]);
}

#[tokio::test]
async fn an_item_goes_with_what_others_changed_in_it_and_they_own_it_no_more() {
    let server = start().await;
    let path = format!("{DEPLOYMENTS}/web");
    let both = with_template(|spec| {
        spec["containers"] = json!([{ "name": "app", "image": "a:1" }, { "name": "side", "image": "s:1" }]);
    });
    server.apply(&path, "m", both).await.ok();
    let image =
        json!({ "spec": { "template": { "spec": { "containers": [{ "name": "side", "image": "s:2" }] } } } });
    let theirs = format!("{path}?fieldManager=other");
    let owned = server.patch(&theirs, "strategic-merge-patch+json", image).await.ok();
    assert_eq!(owned["metadata"]["managedFields"].as_array().unwrap().len(), 2);
    let left = server.apply(&path, "m", deployment("web")).await.ok();
    assert_eq!(template(&left)["containers"].as_array().unwrap().len(), 1);
    assert_eq!(left["metadata"]["managedFields"].as_array().unwrap().len(), 1);
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn keyed_lists_stand_in_the_order_in_which_they_are_applied() {
    let server = start().await;
    let path = format!("{DEPLOYMENTS}/web");
    let init = |names: &[&str]| {
        with_template(|spec| {
            spec["initContainers"] = names.iter().map(|name| json!({ "name": name, "image": "i" })).collect();
        })
    };
    server.apply(&path, "m", init(&["a", "b"])).await.ok();
    let swapped = server.apply(&path, "m", init(&["b", "a"])).await.ok();
    assert_eq!(names(&template(&swapped)["initContainers"]), ["b", "a"]);
    let longer = server.apply(&path, "m", init(&["n", "b", "a"])).await.ok();
    assert_eq!(names(&template(&longer)["initContainers"]), ["n", "b", "a"]);
    let others = server.apply(&path, "other", init(&["n", "x"])).await.ok();
    assert_eq!(names(&template(&others)["initContainers"]), ["n", "b", "a", "x"]);
    let again = server.apply(&path, "m", init(&["a", "n", "b"])).await.ok();
    assert_eq!(names(&template(&again)["initContainers"]), ["a", "x", "n", "b"]);
}

#[tokio::test]
async fn sets_stand_in_the_order_in_which_they_are_applied() {
    let server = start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let with = |finalizers: Value| {
        let mut map = config_map("a", json!({}));
        map["metadata"]["finalizers"] = finalizers;
        map
    };
    server.apply(&path, "m", with(json!(["x.io/a", "x.io/b"]))).await.ok();
    let swapped = server.apply(&path, "m", with(json!(["x.io/b", "x.io/a"]))).await.ok();
    assert_eq!(swapped["metadata"]["finalizers"], json!(["x.io/b", "x.io/a"]));
    server.apply(&path, "m", with(json!([]))).await.ok();
}

#[tokio::test]
async fn an_empty_keyed_list_takes_the_items_of_its_manager_away() {
    let server = start().await;
    let path = format!("{DEPLOYMENTS}/web");
    let with = |env: Value| with_template(|spec| spec["containers"][0]["env"] = env);
    server.apply(&path, "m", with(json!([{ "name": "A", "value": "1" }]))).await.ok();
    let emptied = server.apply(&path, "m", with(json!([]))).await.ok();
    assert_eq!(template(&emptied)["containers"][0].get("env"), None);
}
