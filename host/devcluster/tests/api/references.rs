//! Finalizers and owner references: what their names may be, and which of them are alike.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, WIDGETS, config_map, start, widget, widget_definition};

fn with(mut object: Value, field: &str, value: Value) -> Value {
    object["metadata"][field] = value;
    object
}

fn owner(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": "u" })
}

const ALIKE: &str = "API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please \
                     fix your requests; duplicate UID(s) observed: u\"";

#[tokio::test]
async fn a_finalizer_of_a_built_in_kind_is_qualified_or_a_standard_one() {
    let server = start().await;
    let map = |finalizers: Value| with(config_map("a", json!({})), "finalizers", finalizers);
    let status = server.post(CONFIG_MAPS, map(json!(["a.b/c", "x"]))).await.refused(422, "Invalid");
    let why = "name is neither a standard finalizer name nor is it fully qualified";
    let message = format!("ConfigMap \"a\" is invalid: metadata.finalizers[1]: Invalid value: \"x\": {why}");
    assert_eq!(status["message"], message);
    let both = json!(["orphan", "foregroundDeletion"]);
    let status = server.post(CONFIG_MAPS, map(both)).await.refused(422, "Invalid");
    let message = "ConfigMap \"a\" is invalid: metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: \
                   finalizer orphan and foregroundDeletion cannot be both set";
    assert_eq!(status["message"], message);
    for standard in ["kubernetes", "orphan", "foregroundDeletion", "a.b/c"] {
        server.post(&format!("{CONFIG_MAPS}?dryRun=All"), map(json!([standard]))).await.ok();
    }
    server.config_map("b", json!({})).await;
    let patch = json!({ "metadata": { "finalizers": ["x"] } });
    server.merge(&format!("{CONFIG_MAPS}/b"), patch).await.refused(422, "Invalid");
}

#[tokio::test]
async fn a_finalizer_of_a_custom_resource_that_is_not_qualified_is_warned_of_once() {
    let server = start().await;
    server.define(widget_definition()).await;
    let finalizers = json!(["x", "a.b/c", "a.b", "foregroundDeletion"]);
    let held = with(widget("a", json!({ "size": "s" })), "finalizers", finalizers);
    let made = server.post(WIDGETS, held).await;
    let warning = |name: &str, path: &str| {
        format!(
            "299 - \"metadata.finalizers: \\\"{name}\\\": prefer a domain-qualified finalizer name{path} to avoid \
             accidental conflicts with other finalizer writers\""
        )
    };
    assert_eq!(made.warnings, [warning("a.b", " including a path (/)"), warning("x", "")]);
    let path = format!("{WIDGETS}/a");
    let labelled = server.merge(&path, json!({ "metadata": { "labels": { "a": "b" } } })).await;
    assert_eq!((labelled.code, labelled.warnings.len()), (200, 0));
    server.merge(&path, json!({ "metadata": { "finalizers": [] } })).await.ok();
    let both = json!(["orphan", "foregroundDeletion"]);
    let both = with(widget("b", json!({ "size": "s" })), "finalizers", both);
    server.post(WIDGETS, both).await.refused(422, "Invalid");
}

#[tokio::test]
async fn owner_references_that_are_alike_are_one() {
    let server = start().await;
    let dry = format!("{CONFIG_MAPS}?dryRun=All");
    let owned = |owners: Value| with(config_map("a", json!({})), "ownerReferences", owners);
    let made = server.post(&dry, owned(json!([owner("a"), owner("a"), owner("b")]))).await;
    assert_eq!(made.body["metadata"]["ownerReferences"], json!([owner("a"), owner("b")]));
    let begins = "299 - \".metadata.ownerReferences contains duplicate entries";
    assert_eq!(made.warnings, [format!("{begins}; {ALIKE}")]);
    server.config_map("a", json!({})).await;
    let path = format!("{CONFIG_MAPS}/a?dryRun=All");
    let twice = json!([owner("a"), owner("a")]);
    let put = server.put(&path, owned(twice.clone())).await;
    assert_eq!(put.warnings, [format!("{begins}; {ALIKE}")]);
    let patched = server.merge(&path, json!({ "metadata": { "ownerReferences": twice } })).await;
    assert_eq!(patched.warnings, [format!("{begins} after mutating admission happens; {ALIKE}")]);
    assert_eq!(patched.body["metadata"]["ownerReferences"], json!([owner("a")]));
}

#[tokio::test]
async fn an_event_owns_nothing() {
    let server = start().await;
    let event = json!({ "apiVersion": "v1", "kind": "Event", "name": "e", "uid": "u" });
    let owned = with(config_map("a", json!({})), "ownerReferences", json!([event]));
    let status = server.post(CONFIG_MAPS, owned).await.refused(422, "Invalid");
    let message = "ConfigMap \"a\" is invalid: metadata.ownerReferences: Invalid value: \
                   {\"apiVersion\":\"v1\",\"kind\":\"Event\",\"name\":\"e\",\"uid\":\"u\"}: /v1, Kind=Event is disallowed \
                   from being an owner";
    assert_eq!(status["message"], message);
}
