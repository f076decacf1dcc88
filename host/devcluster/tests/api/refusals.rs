//! The words in which requests are refused that a cluster refuses, too.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, CRDS, Server, WIDGETS, config_map, start, widget, widget_definition};

const NAMESPACES: &str = "/api/v1/namespaces";

fn causes(status: &Value) -> Vec<(&str, &str)> {
    let all = status["details"]["causes"].as_array().unwrap().iter();
    all.map(|cause| (cause["field"].as_str().unwrap(), cause["message"].as_str().unwrap())).collect()
}

/// A cluster whose widgets have a field `x` of a schema.
async fn with_field(schema: Value) -> Server {
    let server = start().await;
    let mut definition = widget_definition();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["x"] =
        schema;
    server.post(CRDS, definition).await.ok();
    server
}

async fn refused(server: &Server, x: Value) -> Value {
    server.post(WIDGETS, widget("w", json!({ "size": "s", "x": x }))).await.refused(422, "Invalid")
}

#[tokio::test]
async fn what_has_no_namespace_may_name_one() {
    let server = start().await;
    let space = |name: &str| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "namespace": "x" } });
    for made in [
        server.post(NAMESPACES, space("team")).await,
        server.put(&format!("{NAMESPACES}/team"), space("team")).await,
        server.merge(&format!("{NAMESPACES}/team"), json!({ "metadata": { "labels": { "a": "b" } } })).await,
        server.apply(&format!("{NAMESPACES}/team"), "m", space("team")).await,
    ] {
        assert_eq!(made.ok()["metadata"].get("namespace"), None);
    }
}

#[tokio::test]
async fn what_is_in_one_namespace_cannot_be_sent_to_another() {
    let server = start().await;
    let mut body = config_map("a", json!({}));
    body["metadata"]["namespace"] = json!("kube-system");
    let text = "the namespace of the provided object does not match the namespace sent on the request";
    for answer in [
        server.post(CONFIG_MAPS, body.clone()).await,
        server.apply(&format!("{CONFIG_MAPS}/a"), "m", body).await,
    ] {
        assert_eq!(answer.refused(400, "BadRequest")["message"], text);
    }
}

#[tokio::test]
async fn a_patch_that_adds_what_is_unknown_is_strictly_an_invalid_patch() {
    let server = with_field(json!({ "type": "string" })).await;
    server.post(WIDGETS, widget("w", json!({ "size": "s" }))).await.ok();
    let path = format!("{WIDGETS}/w?fieldValidation=Strict");
    let status = server.merge(&path, json!({ "spec": { "colour": "red" } })).await.refused(422, "Invalid");
    let message = status["message"].as_str().unwrap();
    assert!(
        message.starts_with(" \"\" is invalid: patch: Invalid value: \"{\\\"apiVersion\\\":"),
        "{message}"
    );
    assert!(message.ends_with(": strict decoding error: unknown field \"spec.colour\""), "{message}");
    assert_eq!((causes(&status)[0].0, status["details"].get("kind")), ("patch", None));
    let add = json!([{ "op": "add", "path": "/spec/colour", "value": "red" }]);
    server.patch(&path, "json-patch+json", add).await.refused(422, "Invalid");
    server.merge(&path, json!({ "spec": { "size": "m" } })).await.ok();
}

#[tokio::test]
async fn alternatives_that_do_not_fit_are_refused_with_what_is_wrong_with_the_first() {
    let branches = json!([{ "required": ["a", "b"] }, { "required": ["c"] }]);
    let fields = json!({ "a": { "type": "string" }, "b": { "type": "string" }, "c": { "type": "string" } });
    let schema = |junctor: &str| json!({ "type": "object", "properties": fields, junctor: branches });
    let composite = |what: &str| format!("Invalid value: \"\": \"spec.x\" must {what}");
    let required = "Required value";

    let server = with_field(schema("oneOf")).await;
    let status = refused(&server, json!({})).await;
    let none = composite("validate one and only one schema (oneOf). Found none valid");
    assert_eq!(causes(&status), [("<nil>", none.as_str()), ("spec.x.a", required), ("spec.x.b", required)]);
    let status = refused(&server, json!({ "a": "1", "b": "1", "c": "1" })).await;
    let both = composite("validate one and only one schema (oneOf). Found 2 valid alternatives");
    assert_eq!(causes(&status), [("<nil>", both.as_str())]);

    let server = with_field(schema("anyOf")).await;
    let status = refused(&server, json!({})).await;
    let none = composite("validate at least one schema (anyOf)");
    assert_eq!(causes(&status), [("<nil>", none.as_str()), ("spec.x.a", required), ("spec.x.b", required)]);

    let server = with_field(schema("allOf")).await;
    let status = refused(&server, json!({ "a": "1", "b": "1" })).await;
    let some = composite("validate all the schemas (allOf)");
    assert_eq!(causes(&status), [("spec.x.c", required), ("<nil>", some.as_str())]);
    let status = refused(&server, json!({ "a": "1" })).await;
    let none = composite("validate all the schemas (allOf). None validated");
    assert_eq!(causes(&status), [("spec.x.b", required), ("spec.x.c", required), ("<nil>", none.as_str())]);

    let server = with_field(json!({ "type": "string", "not": { "enum": ["a"] } })).await;
    let status = refused(&server, json!("a")).await;
    assert_eq!(causes(&status), [("<nil>", composite("not validate the schema (not)").as_str())]);
}

#[tokio::test]
async fn rules_that_fail_have_the_words_of_a_cluster() {
    let rules = |rule: Value| json!([rule]);
    for (schema, value, field, message) in [
        (
            json!({ "type": "object", "properties": { "max": { "type": "integer" } },
                "x-kubernetes-validations": rules(json!({ "rule": "self.max > 1" })) }),
            json!({}),
            "spec.x",
            "Invalid value: \"object\": no such key: max evaluating rule: self.max > 1",
        ),
        (
            json!({ "type": "object", "additionalProperties": { "type": "integer",
                "x-kubernetes-validations": rules(json!({ "rule": "self > 1" })) } }),
            json!({ "k": 0 }),
            "spec.x[k]",
            "Invalid value: 0: failed rule: self > 1",
        ),
        (
            json!({ "type": "object", "properties": { "max": { "type": "integer" } }, "x-kubernetes-validations":
                rules(json!({ "rule": "self.max > 1", "reason": "FieldValueDuplicate", "message": "twice" })) }),
            json!({ "max": 0 }),
            "spec.x",
            "Duplicate value",
        ),
        (
            json!({ "x-kubernetes-int-or-string": true, "x-kubernetes-validations": rules(json!({ "rule": "self > 1" })) }),
            json!("many"),
            "spec.x",
            "Invalid value: \"\": 'no such overload': call arguments did not match a supported operator, function or \
             macro signature for rule: self > 1",
        ),
    ] {
        let server = with_field(schema.clone()).await;
        let status = refused(&server, value).await;
        assert_eq!(causes(&status), [(field, message)], "{schema}");
    }
    let schema = json!({ "type": "string", "enum": ["a"], "x-kubernetes-validations": rules(json!({ "rule": "self == 'b'" })) });
    let server = with_field(schema).await;
    let status = refused(&server, json!("c")).await;
    let found = causes(&status);
    assert_eq!((found.len(), found[0].0, found[1].0), (2, "spec.x", "<nil>"));
    assert!(found[1].1.contains("some validation rules were not checked"), "{}", found[1].1);
}

#[tokio::test]
async fn rules_about_what_was_must_be_able_to_know_it_and_ask_for_it() {
    let server = start().await;
    let path = "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[x]";
    for (schema, field, why) in [
        (
            json!({ "type": "array", "items": { "type": "integer", "x-kubernetes-validations": [{ "rule": "self > oldSelf" }] } }),
            format!("{path}.items.x-kubernetes-validations[0].rule"),
            format!(
                "Invalid value: \"self > oldSelf\": oldSelf cannot be used on the uncorrelatable portion of the schema within {path}"
            ),
        ),
        (
            json!({ "type": "integer", "x-kubernetes-validations": [{ "rule": "self > 1", "optionalOldSelf": true }] }),
            format!("{path}.x-kubernetes-validations[0].optionalOldSelf"),
            "Invalid value: true: may not be set if oldSelf is not used in rule".to_owned(),
        ),
    ] {
        let mut definition = widget_definition();
        definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
            ["x"] = schema;
        let status = server.post(CRDS, definition).await.refused(422, "Invalid");
        assert_eq!(causes(&status), [(field.as_str(), why.as_str())]);
    }
}

#[tokio::test]
async fn a_body_of_another_kind_is_read_as_what_it_says_it_is() {
    let server = start().await;
    let unknown = |kind: &str, version: &str, within: &str| {
        format!(
            "{kind} in version {version:?} cannot be handled as a ConfigMap: no kind {kind:?} is registered for \
             version {within:?}"
        )
    };
    let other = |kind: &str| {
        format!(
            "{kind} in version \"v1\" cannot be handled as a ConfigMap: converting (v1.{kind}) to (core.ConfigMap): \
             unknown conversion"
        )
    };
    for (body, why) in [
        (json!({ "kind": "Pod" }), other("Pod")),
        (json!({ "apiVersion": "apps/v1", "kind": "Deployment" }), other("Deployment")),
        (json!({ "kind": "Foo" }), unknown("Foo", "v1", "v1")),
        (json!({ "apiVersion": "v2" }), unknown("ConfigMap", "v2", "v2")),
        (json!({ "apiVersion": "x/v1" }), unknown("ConfigMap", "v1", "x/v1")),
        (json!({ "apiVersion": "apps/v1" }), unknown("ConfigMap", "v1", "apps/v1")),
    ] {
        let status = server.post(CONFIG_MAPS, body).await.refused(400, "BadRequest");
        assert!(status["message"].as_str().unwrap().starts_with(&why), "{status}");
    }
}

#[tokio::test]
async fn what_is_applied_says_its_name_unless_it_is_there() {
    let server = start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let unnamed = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "labels": { "a": "b" } } });
    let status = server.apply(&path, "m", unnamed.clone()).await.refused(400, "BadRequest");
    let why = "the name of the object (a based on URL) was undeterminable: name must be provided";
    assert_eq!(status["message"], why);
    server.get(&path).await.refused(404, "NotFound");
    server.config_map("a", json!({})).await;
    let applied = server.apply(&path, "m", unnamed).await.ok();
    assert_eq!(applied["metadata"]["labels"], json!({ "a": "b" }));
}
