//! The metadata of objects: its types, what it is refused for, and in which words and order.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, CRDS, WIDGETS, config_map, start, widget, widget_definition};

const NAME: &str = "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

fn causes(status: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = status["details"]["causes"].as_array().unwrap().iter();
    all.map(|cause| (text(&cause["field"]), text(&cause["message"]))).collect()
}

#[tokio::test]
async fn the_metadata_of_a_custom_resource_has_types() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    for (field, value, why) in [
        (
            "labels",
            json!(["x"]),
            "cannot unmarshal array into Go struct field ObjectMeta.labels of type map[string]string",
        ),
        (
            "labels",
            json!({ "a": 1 }),
            "cannot unmarshal number into Go struct field ObjectMeta.labels of type string",
        ),
        (
            "finalizers",
            json!("a"),
            "cannot unmarshal string into Go struct field ObjectMeta.finalizers of type []string",
        ),
        (
            "generation",
            json!("a"),
            "cannot unmarshal string into Go struct field ObjectMeta.generation of type int64",
        ),
        (
            "ownerReferences",
            json!([7]),
            "cannot unmarshal number into Go struct field ObjectMeta.ownerReferences of type v1.OwnerReference",
        ),
    ] {
        let mut body = widget("w", json!({ "size": "s" }));
        body["metadata"][field] = value;
        let status = server.post(WIDGETS, body).await.refused(400, "BadRequest");
        let text = format!("Widget in version \"v1\" cannot be handled as a Widget: json: {why}");
        assert_eq!(status["message"], text);
    }
}

#[tokio::test]
async fn metadata_that_nobody_knows_is_dropped_and_reported() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let mut body = widget("w", json!({ "size": "s" }));
    body["metadata"]["colour"] = json!("red");
    let strict = server.post(&format!("{WIDGETS}?fieldValidation=Strict"), body.clone()).await;
    let status = strict.refused(400, "BadRequest");
    assert_eq!(
        status["message"],
        "Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: unknown field \"metadata.colour\""
    );
    let answer = server.post(WIDGETS, body).await;
    assert_eq!(answer.warnings, ["299 - \"unknown field \\\"metadata.colour\\\"\""]);
    assert_eq!(answer.ok()["metadata"].get("colour"), None);
}

#[tokio::test]
async fn owners_finalizers_and_labels_are_refused_in_the_words_of_a_cluster() {
    let server = start().await;
    let invalid = |value: &str, why: &str| format!("Invalid value: {value:?}: {why}");
    let mut body = config_map("a", json!({}));
    body["metadata"]["ownerReferences"] = json!([{ "apiVersion": "v1", "kind": "", "name": "", "uid": "" }]);
    let status = server.post(CONFIG_MAPS, body).await.refused(422, "Invalid");
    let expected = ["kind", "name", "uid"]
        .map(|field| (format!("metadata.ownerReferences.{field}"), invalid("", "must not be empty")));
    assert_eq!(causes(&status), expected);
    let owner = |name: &str| json!({ "apiVersion": "v1", "kind": "Node", "name": name, "uid": name, "controller": true });
    let mut body = config_map("a", json!({}));
    body["metadata"]["ownerReferences"] = json!([owner("x"), owner("y")]);
    let status = server.post(CONFIG_MAPS, body).await.refused(422, "Invalid");
    let why = "Only one reference can have Controller set to true. Found \"true\" in references for Node/x and Node/y";
    assert!(causes(&status)[0].1.ends_with(why), "{status}");
    let mut body = config_map("a", json!({}));
    body["metadata"]["labels"] = json!({ "a/b/c": "x" });
    let status = server.post(CONFIG_MAPS, body).await.refused(422, "Invalid");
    let why = format!(
        "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
         alphanumeric character {NAME} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
    );
    assert_eq!(causes(&status), [("metadata.labels".to_owned(), invalid("a/b/c", &why))]);
    let mut body = config_map("a", json!({}));
    body["metadata"]["labels"] = json!({ "-": "x" });
    let status = server.post(CONFIG_MAPS, body).await.refused(422, "Invalid");
    let why = format!(
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
         alphanumeric character {NAME}"
    );
    assert_eq!(causes(&status), [("metadata.labels".to_owned(), invalid("-", &why))]);
    let long = "a".repeat(64);
    for (labels, why) in [
        (json!({ "": "x" }), "name part must be non-empty"),
        (json!({ &*long: "x" }), "name part must be no more than 63 bytes"),
        (json!({ "a": &*long }), "must be no more than 63 bytes"),
        (json!({ "A/b": "x" }), "prefix part a lowercase RFC 1123 subdomain must consist of lower case"),
    ] {
        let mut body = config_map("a", json!({}));
        body["metadata"]["labels"] = labels;
        let status = server.post(CONFIG_MAPS, body).await.refused(422, "Invalid");
        assert!(causes(&status)[0].1.contains(&format!(": {why}")), "{status}");
    }
    let status = server.post(CONFIG_MAPS, config_map("A", json!({}))).await.refused(422, "Invalid");
    let why = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
               start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
               '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    assert_eq!(causes(&status), [("metadata.name".to_owned(), invalid("A", why))]);
}

#[tokio::test]
async fn finalizers_that_come_while_an_object_goes_are_named_as_go_names_them() {
    let server = start().await;
    let mut body = config_map("a", json!({}));
    body["metadata"]["finalizers"] = json!(["example.com/a"]);
    server.post(CONFIG_MAPS, body).await.ok();
    let path = format!("{CONFIG_MAPS}/a");
    server.delete(&path).await.ok();
    let more = json!({ "metadata": { "finalizers": ["example.com/a", "example.com/c", "example.com/b"] } });
    let status = server.merge(&path, more).await.refused(422, "Invalid");
    let why = "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers \
               []string{\"example.com/b\", \"example.com/c\"}";
    // A cluster judges the metadata of some kinds more than once, and says so each time.
    let mut found = causes(&status);
    found.dedup();
    assert_eq!(found, [("metadata.finalizers".to_owned(), why.to_owned())]);
}

#[tokio::test]
async fn all_that_is_wrong_is_said_at_once_metadata_first() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let mut body = widget("W", json!({ "size": "xl", "replicas": -1 }));
    body["metadata"]["labels"] = json!({ "a": "-" });
    let status = server.post(WIDGETS, body).await.refused(422, "Invalid");
    let mut fields: Vec<String> = causes(&status).into_iter().map(|(field, _)| field).collect();
    // A cluster judges the fields of a map in any order.
    fields[2..4].sort_unstable();
    assert_eq!(fields, ["metadata.name", "metadata.labels", "spec.replicas", "spec.size", ".spec.replicas"]);
    let mut definition = widget_definition();
    definition["metadata"]["labels"] = json!({ "a": "-" });
    definition["spec"]["scope"] = json!("Galaxy");
    let status = server.post(CRDS, definition).await.refused(422, "Invalid");
    let fields: Vec<String> = causes(&status).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["metadata.labels", "spec.scope"]);
}

#[tokio::test]
async fn an_object_is_of_the_kind_and_the_version_of_its_address() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let mut body = widget("w", json!({ "size": "s" }));
    body["kind"] = json!("Gadget");
    let status = server.post(WIDGETS, body).await.refused(422, "Invalid");
    assert_eq!(
        causes(&status),
        [("kind".to_owned(), "Invalid value: \"Gadget\": must be Widget".to_owned())]
    );
    let mut body = widget("w", json!({ "size": "s" }));
    body["apiVersion"] = json!("example.com/v1beta1");
    let status = server.post(WIDGETS, body).await.refused(400, "BadRequest");
    let text = "the API version in the data (example.com/v1beta1) does not match the expected API version (example.com/v1)";
    assert_eq!(status["message"], text);
    let mut body = widget("w", json!({ "size": "s" }));
    body["metadata"]["uid"] = json!("u");
    let status = server.apply(&format!("{WIDGETS}/w"), "m", body).await.refused(409, "Conflict");
    let text = "Operation cannot be fulfilled on widgets.example.com \"w\": uid mismatch: the provided object specified uid \
                u, and no existing object was found";
    assert_eq!(status["message"], text);
    let path = format!("{CONFIG_MAPS}?fieldValidation=Loud");
    let status = server.post(&path, config_map("a", json!({}))).await.refused(422, "Invalid");
    let why = "Unsupported value: \"Loud\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"";
    assert_eq!(causes(&status), [("fieldValidation".to_owned(), why.to_owned())]);
}

#[tokio::test]
async fn one_empty_manager_resets_the_managers_and_two_do_not() {
    let server = start().await;
    server.config_map("a", json!({ "k": "1" })).await;
    let path = format!("{CONFIG_MAPS}/a");
    let managers = |count: usize| json!({ "metadata": { "managedFields": vec![json!({}); count] } });
    let kept = server.merge(&path, managers(2)).await.ok();
    assert_eq!(kept["metadata"]["managedFields"].as_array().unwrap().len(), 1);
    let reset = server.merge(&path, managers(1)).await.ok();
    assert_eq!(reset["metadata"].get("managedFields"), None);
}

#[tokio::test]
async fn a_field_that_comes_twice_is_reported() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let json = [("content-type", "application/json")];
    let body = r#"{ "apiVersion": "example.com/v1", "kind": "Widget", "metadata": { "name": "w" },
        "spec": { "size": "s", "size": "m" } }"#;
    let strict = server.send("POST", &format!("{WIDGETS}?fieldValidation=Strict"), &json, body).await;
    let status = strict.refused(400, "BadRequest");
    assert_eq!(
        status["message"],
        "Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: duplicate field \"spec.size\""
    );
    let answer = server.send("POST", WIDGETS, &json, body).await;
    assert_eq!(answer.warnings, ["299 - \"duplicate field \\\"spec.size\\\"\""]);
    assert_eq!(answer.body["spec"]["size"], "m");
    let path = format!("{WIDGETS}?fieldValidation=Ignore&dryRun=All");
    let ignored = server.send("POST", &path, &json, body.replace("\"w\"", "\"x\"")).await;
    assert_eq!((ignored.code, ignored.warnings), (201, Vec::new()));
}
