//! Requests that are made to take more of the server than it has: time, memory, stack.

use serde_json::{Value, json};

use crate::support::{CRDS, DEPLOYMENTS, Server, WIDGETS, deployment, start, widget, widget_definition};

const JSON_PATCH: &str = "json-patch+json";
const GENERIC: &str = "the server rejected our request due to an error in our request";

async fn with_widget() -> (Server, String) {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    let spec = json!({ "size": "s", "free": { "a": "x".repeat(1000) } });
    server.post(WIDGETS, widget("w", spec)).await.ok();
    (server, format!("{WIDGETS}/w"))
}

#[tokio::test]
async fn a_json_patch_that_copies_what_it_copied_ends_before_memory_does() {
    let (server, path) = with_widget().await;
    let copies: Vec<Value> = (0..16)
        .map(|n| json!({ "op": "copy", "from": "/spec/free", "path": format!("/spec/free/a{n}") }))
        .collect();
    let status = server.patch(&path, JSON_PATCH, json!(copies)).await.refused(422, "Invalid");
    assert_eq!((&status["message"], &status["details"]), (&json!(GENERIC), &json!({})));
    let scale = json!([{ "op": "remove", "path": "/spec/none" }]);
    let status = server.patch(&format!("{path}/scale"), JSON_PATCH, scale).await.refused(422, "Invalid");
    assert_eq!((&status["message"], &status["details"]), (&json!(GENERIC), &json!({})));
}

#[tokio::test]
async fn a_json_patch_has_ten_thousand_operations_at_most() {
    let (server, path) = with_widget().await;
    let tests =
        |count: usize| json!(vec![json!({ "op": "test", "path": "/kind", "value": "Widget" }); count]);
    server.patch(&path, JSON_PATCH, tests(10_000)).await.ok();
    let status = server.patch(&path, JSON_PATCH, tests(10_001)).await.refused(413, "RequestEntityTooLarge");
    let text = "The allowed maximum operations in a JSON patch is 10000, got 10001";
    assert_eq!(status["message"], format!("Request entity too large: {text}"));
    let tests = json!(vec![json!({ "op": "test", "path": "/kind", "value": "Scale" }); 10_001]);
    let scale = server.patch(&format!("{path}/scale"), JSON_PATCH, tests).await;
    scale.refused(413, "RequestEntityTooLarge");
}

#[tokio::test]
async fn no_object_gets_deeper_than_it_can_be_read_again() {
    let (server, path) = with_widget().await;
    let at = |depth: usize| format!("/spec/free{}", "/d".repeat(depth));
    let deeper: Vec<Value> =
        (1..=140).map(|depth| json!({ "op": "add", "path": at(depth), "value": {} })).collect();
    server.patch(&path, JSON_PATCH, json!(deeper)).await.refused(400, "BadRequest");
    let mut doubled: Vec<Value> = deeper.into_iter().take(60).collect();
    doubled.extend(
        (0..12).map(|n| json!({ "op": "copy", "from": "/spec/free/d", "path": format!("{}/e{n}", at(60)) })),
    );
    server.patch(&path, JSON_PATCH, json!(doubled)).await.refused(400, "BadRequest");
    // As deep as a body may be; with its managers it would be deeper.
    let nested = |depth: usize| {
        let mut value = json!("bottom");
        for _ in 0..depth {
            value = json!({ "d": value });
        }
        json!({ "spec": { "free": value } })
    };
    server.merge(&path, nested(123)).await.refused(400, "BadRequest");
    server.merge(&path, nested(80)).await.ok();
}

/// The message of the first cause for which a widget is refused whose schema has a rule.
async fn overrun(properties: &Value, rule: &str, small: Value, large: Value) -> String {
    let server = start().await;
    let mut definition = widget_definition();
    definition["spec"]["versions"][0].as_object_mut().unwrap().remove("selectableFields");
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = json!({
        "type": "object", "properties": properties, "x-kubernetes-validations": [{ "rule": rule }] });
    server.post(CRDS, definition).await.ok();
    server.post(WIDGETS, widget("small", small)).await.ok();
    let status = server.post(WIDGETS, widget("large", large)).await.refused(422, "Invalid");
    status["details"]["causes"][0]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn rules_whose_functions_loop_within_are_not_run_on_what_is_too_long_for_them() {
    let list = json!({ "type": "array", "items": { "type": "string" } });
    let names = |count: usize| -> Vec<String> { (0..count).map(|n| n.to_string()).collect() };
    let lists = json!({ "a": list, "b": list });
    let both = |count: usize| json!({ "a": names(count), "b": names(count) });
    // Once they are in another list, nobody knows how long they may be before the rule runs.
    for rule in [
        "[self.a].all(a, [self.b].all(b, sets.equivalent(a, b)))",
        "[self.a].all(a, [self.b].all(b, a.all(x, x in b)))",
    ] {
        let message = overrun(&lists, rule, both(100), both(20_000)).await;
        assert!(message.ends_with(&format!("call cost exceeds limit for rule: {rule}")), "{message}");
    }
    let texts = json!({ "s": { "type": "string" } });
    let rule = "[self.s].all(s, s.replace('a', s).size() > 0)";
    let text = |count: usize| json!({ "s": "a".repeat(count) });
    let message = overrun(&texts, rule, text(100), text(100_000)).await;
    assert!(message.ends_with(&format!("call cost exceeds limit for rule: {rule}")), "{message}");
}

#[tokio::test]
async fn all_rules_of_an_object_have_one_budget() {
    let server = start().await;
    let mut definition = widget_definition();
    definition["spec"]["versions"][0].as_object_mut().unwrap().remove("selectableFields");
    let item = json!({ "type": "object",
        "properties": { "l": { "type": "array", "items": { "type": "integer" } } },
        "x-kubernetes-validations": [{ "rule": "[self.l].all(l, l.all(a, l.all(b, a + b >= 0)))" }] });
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = json!({ "type": "object", "properties": { "items": { "type": "array", "maxItems": 1000, "items": item } } });
    server.post(CRDS, definition).await.ok();
    let numbers: Vec<u32> = (0..300).collect();
    let items = |count: usize| json!({ "items": vec![json!({ "l": numbers }); count] });
    server.post(WIDGETS, widget("few", items(2))).await.ok();
    let status = server.post(WIDGETS, widget("many", items(1000))).await.refused(422, "Invalid");
    let causes = status["details"]["causes"].as_array().unwrap();
    let why = "validation failed due to running out of cost budget, no further validation rules will be run";
    assert_eq!(
        (causes.len(), &causes[0]["message"]),
        (1, &json!(format!("Invalid value: \"object\": {why}")))
    );
}

#[tokio::test]
async fn long_lists_merge_in_time() {
    let server = start().await;
    let env = |count: usize| -> Value {
        (0..count).map(|n| json!({ "name": format!("N{n}"), "value": "v" })).collect()
    };
    let body = |count: usize| {
        let mut body = deployment("web");
        body["spec"]["replicas"] = json!(0);
        body["spec"]["template"]["spec"]["containers"][0]["env"] = env(count);
        body
    };
    server.apply(&format!("{DEPLOYMENTS}/web"), "m", body(10_000)).await.ok();
    let again = server.apply(&format!("{DEPLOYMENTS}/web"), "m", body(10_000)).await.ok();
    let merged = &again["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!((merged.as_array().unwrap().len(), &merged[9_999]["name"]), (10_000, &json!("N9999")));
    let order: Value = (0..10_000).rev().map(|n| json!({ "name": format!("N{n}") })).collect();
    let reversed: Value = env(10_000).as_array().unwrap().iter().rev().cloned().collect();
    let patch = json!({ "spec": { "template": { "spec": { "containers": [
        { "name": "app", "$setElementOrder/env": order, "env": reversed }] } } } });
    let patched = server.patch(&format!("{DEPLOYMENTS}/web"), "strategic-merge-patch+json", patch).await.ok();
    let merged = &patched["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!((merged.as_array().unwrap().len(), &merged[0]["name"]), (10_000, &json!("N9999")));
}

#[tokio::test]
async fn defaults_within_defaults_do_not_have_each_rule_compiled_again() {
    let server = start().await;
    let rules: Vec<Value> = (0..600).map(|n| json!({ "rule": format!("self.a != 'x{n}'") })).collect();
    let mut level = json!({ "type": "object", "default": {}, "x-kubernetes-validations": rules,
        "properties": { "a": { "type": "string", "default": "a" } } });
    for _ in 0..45 {
        level = json!({ "type": "object", "default": {}, "properties": { "inner": level } });
    }
    let mut definition = widget_definition();
    definition["spec"]["versions"][0].as_object_mut().unwrap().remove("selectableFields");
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = level;
    server.post(CRDS, definition).await.ok();
    // A default that breaks a rule below it is still found.
    let mut definition = widget_definition();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["x"] = json!({
        "type": "object", "default": { "n": 1 }, "properties": { "n": { "type": "integer",
            "x-kubernetes-validations": [{ "rule": "self > 1" }] } } });
    definition["metadata"]["name"] = json!("gadgets.example.com");
    definition["spec"]["names"] = json!({ "plural": "gadgets", "kind": "Gadget" });
    let status = server.post(CRDS, definition).await.refused(422, "Invalid");
    let field = status["details"]["causes"][0]["field"].as_str().unwrap();
    assert!(field.ends_with("properties[spec].properties[x].default.n"), "{field}");
}

#[tokio::test]
async fn patterns_are_read_as_go_reads_them() {
    let server = start().await;
    for (pattern, good, bad) in [
        (r"^\d+$", "12", "١٢"),
        (r"^\w$", "a", "ä"),
        (r"^[\d\s]+$", "1 2", "1\u{a0}2"),
        (r"^[^\W_]$", "a", "é"),
        (r"^[[a]$", "[", "b"),
        (r"^.$", "ä", "ab"),
    ] {
        let mut definition = widget_definition();
        definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
            ["p"] = json!({ "type": "string", "pattern": pattern });
        let path = format!("{CRDS}/widgets.example.com");
        server.apply(&format!("{path}?force=true"), "m", definition).await.ok();
        server.post(WIDGETS, widget("w", json!({ "size": "s", "p": good }))).await.ok();
        server.delete(&format!("{WIDGETS}/w")).await.ok();
        let answer = server.post(WIDGETS, widget("w", json!({ "size": "s", "p": bad }))).await;
        assert_eq!(answer.code, 422, "{pattern} {bad}");
    }
    let mut definition = widget_definition();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["p"] =
        json!({ "type": "string", "pattern": format!("({}){{1000}}", "[a-z]{100}") });
    server
        .apply(&format!("{CRDS}/widgets.example.com?force=true"), "m", definition)
        .await
        .refused(422, "Invalid");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_definitions_that_come_at_once_with_one_name_only_one_gets_it() {
    let server = start().await;
    let rival = |n: usize| {
        let mut definition = widget_definition();
        definition["metadata"]["name"] = json!(format!("w{n}s.example.com"));
        definition["spec"]["names"] = json!({ "plural": format!("w{n}s"), "kind": "Widget",
            "singular": format!("w{n}"), "listKind": format!("W{n}List") });
        // What takes a while to be recorded as owned, between judging the names and storing them.
        let notes = (0..500).map(|n| (format!("example.com/note-{n}"), json!("x"))).collect();
        definition["metadata"]["annotations"] = Value::Object(notes);
        definition
    };
    for round in 0..10 {
        let all: Vec<usize> = (0..8).map(|n| round * 8 + n).collect();
        let posts = all.iter().map(|n| server.post(CRDS, rival(*n)));
        for answer in futures::future::join_all(posts).await {
            answer.ok();
        }
        let accepted = |definition: &&Value| {
            let conditions = definition["status"]["conditions"].as_array().unwrap();
            conditions.iter().any(|c| c["type"] == "NamesAccepted" && c["status"] == "True")
        };
        let list = server.get(CRDS).await.ok();
        let found = list["items"].as_array().unwrap().iter().filter(accepted).count();
        assert_eq!(found, 1, "round {round}");
        let deletes = all.iter().map(|n| format!("{CRDS}/w{n}s.example.com")).collect::<Vec<_>>();
        for path in &deletes {
            server.delete(path).await.ok();
            server.eventually_gone(path).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_object_is_left_of_a_kind_whose_definition_went_while_it_was_made() {
    let server = start().await;
    for round in 0..20 {
        server.post(CRDS, widget_definition()).await.ok();
        let path = format!("{CRDS}/widgets.example.com");
        let makes = (0..30).map(|n| server.post(WIDGETS, widget(&format!("w{n}"), json!({ "size": "s" }))));
        let (_, deleted) = futures::join!(futures::future::join_all(makes), server.delete(&path));
        deleted.ok();
        server.eventually_gone(&path).await;
        server.post(CRDS, widget_definition()).await.ok();
        assert_eq!(server.get(WIDGETS).await.ok()["items"], json!([]), "round {round}");
        server.delete(&path).await.ok();
        server.eventually_gone(&path).await;
    }
}
