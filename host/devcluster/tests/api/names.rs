//! Names that two definitions both want, and versions that nobody should use any more.

use serde_json::{Value, json};

use crate::support::{CRDS, WIDGETS, start, widget, widget_definition};

/// A definition that shares its group with the widgets.
fn rival(names: Value) -> Value {
    let mut definition = widget_definition();
    let plural = names["plural"].as_str().unwrap().to_owned();
    definition["metadata"]["name"] = json!(format!("{plural}.example.com"));
    definition["spec"]["names"] = names;
    definition
}

fn condition<'a>(definition: &'a Value, of_type: &str) -> &'a Value {
    let conditions = definition["status"]["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == of_type).unwrap()
}

#[tokio::test]
async fn any_name_that_is_taken_in_the_group_keeps_a_definition_from_being_served() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    for (names, reason, message) in [
        (json!({ "plural": "wd", "kind": "A" }), "PluralConflict", "\"wd\" is already in use"),
        (
            json!({ "plural": "bs", "kind": "B", "singular": "widget" }),
            "SingularConflict",
            "\"widget\" is already in use",
        ),
        (
            json!({ "plural": "cs", "kind": "C", "shortNames": ["x", "wd"] }),
            "ShortNamesConflict",
            "\"wd\" is already in use",
        ),
        (
            json!({ "plural": "ds", "kind": "Widget", "singular": "d", "listKind": "Ds" }),
            "KindConflict",
            "\"Widget\" is already in use",
        ),
        (
            json!({ "plural": "es", "kind": "E", "listKind": "WidgetList" }),
            "ListKindConflict",
            "\"WidgetList\" is already in use",
        ),
    ] {
        let created = server.define(rival(names.clone())).await;
        let accepted = condition(&created, "NamesAccepted");
        let found = (&accepted["status"], &accepted["reason"], &accepted["message"]);
        assert_eq!(found, (&json!("False"), &json!(reason), &json!(message)), "{names}");
        assert_eq!(condition(&created, "Established")["reason"], "NotAccepted");
        let path = format!("/apis/example.com/v1/namespaces/default/{}", names["plural"].as_str().unwrap());
        assert_eq!(server.get(&path).await.code, 404);
    }
}

#[tokio::test]
async fn a_definition_gets_its_names_when_the_one_that_has_them_goes() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    server
        .post(CRDS, rival(json!({ "plural": "gadgets", "kind": "Gadget", "shortNames": ["wd"] })))
        .await
        .ok();
    let gadgets = "/apis/example.com/v1/namespaces/default/gadgets";
    assert_eq!(server.get(gadgets).await.code, 404);
    server.delete(&format!("{CRDS}/widgets.example.com")).await.ok();
    server.eventually(gadgets, "gadgets are served", |answer| answer.code == 200).await;
    let now = server.get(&format!("{CRDS}/gadgets.example.com")).await.ok();
    assert_eq!(condition(&now, "NamesAccepted")["status"], "True");
    assert_eq!(now["status"]["acceptedNames"]["shortNames"], json!(["wd"]));
}

#[tokio::test]
async fn what_was_served_once_stays_served_under_its_old_names() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    server.post(CRDS, rival(json!({ "plural": "gadgets", "kind": "Gadget" }))).await.ok();
    let path = format!("{CRDS}/gadgets.example.com");
    server.merge(&path, json!({ "spec": { "names": { "shortNames": ["wd", "g"] } } })).await.ok();
    let changed = server.get(&path).await.ok();
    assert_eq!(condition(&changed, "NamesAccepted")["reason"], "ShortNamesConflict");
    assert_eq!(condition(&changed, "Established")["status"], "True");
    assert_eq!(changed["status"]["acceptedNames"]["shortNames"], json!(null));
    server.get("/apis/example.com/v1/namespaces/default/gadgets").await.ok();
}

#[tokio::test]
async fn requests_of_a_deprecated_version_are_warned() {
    let server = start().await;
    let mut definition = widget_definition();
    definition["spec"]["versions"][1]["deprecated"] = json!(true);
    server.post(CRDS, definition.clone()).await.ok();
    let old = "/apis/example.com/v1beta1/namespaces/default/widgets";
    let created = server.post(WIDGETS, widget("w", json!({ "size": "s" }))).await;
    assert!(created.warnings.is_empty());
    let usual = ["299 - \"example.com/v1beta1 Widget is deprecated; use example.com/v1 Widget\""];
    assert_eq!(server.get(old).await.warnings, usual);
    assert_eq!(server.get(&format!("{old}/w")).await.warnings, usual);
    assert_eq!(server.get(&format!("{old}/none")).await.warnings, usual);
    let patch = json!([{ "op": "add", "path": "/spec/versions/1/deprecationWarning", "value": "use v1" }]);
    server.patch(&format!("{CRDS}/widgets.example.com"), "json-patch+json", patch).await.ok();
    assert_eq!(server.get(old).await.warnings, ["299 - \"use v1\""]);
}
