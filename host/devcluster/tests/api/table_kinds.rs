//! What `kubectl get` prints of the kinds that a cluster is set up with, and of values of another type.

use serde_json::{Value, json};

use crate::support::{CRDS, Server, WIDGETS, start, widget_definition};

const TABLE: &str = "application/json;as=Table;g=meta.k8s.io;v=v1";

/// Columns, and the cells of what is in a list of its own, without its age.
async fn printed(server: &Server, path: &str) -> (String, Value) {
    let table = server.get_as(path, TABLE).await.ok();
    let columns = table["columnDefinitions"].as_array().unwrap();
    let names: Vec<&str> = columns.iter().map(|column| column["name"].as_str().unwrap()).collect();
    let mut cells = table["rows"][0]["cells"].clone();
    if let Some(age) = names.iter().position(|name| *name == "Age") {
        cells.as_array_mut().unwrap().remove(age);
    }
    (names.join("|"), cells)
}

#[tokio::test]
async fn the_kinds_that_a_cluster_is_set_up_with_have_their_columns() {
    let server = start().await;
    let rules = json!([{ "apiGroups": ["zz.example.com"], "apiVersions": ["v1"], "operations": ["CREATE"],
        "resources": ["zz"] }]);
    let webhook = json!({ "name": "a.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "rules": rules,
        "clientConfig": { "service": { "namespace": "d", "name": "s" } } });
    let policy = json!({ "matchConstraints": { "resourceRules": rules },
        "paramKind": { "apiVersion": "v1", "kind": "ConfigMap" }, "validations": [{ "expression": "true" }] });
    let binding = json!({ "policyName": "p", "validationActions": ["Deny"],
        "paramRef": { "parameterNotFoundAction": "Deny",
            "selector": { "matchLabels": { "a": "b" }, "matchExpressions": [{ "key": "e", "operator": "Exists" }] } } });
    let selector = "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{\
                    LabelSelectorRequirement{Key:e,Operator:Exists,Values:[],},},}";
    let admission = |plural: &str| format!("/apis/admissionregistration.k8s.io/v1/{plural}");
    let storage = |plural: &str| format!("/apis/storage.k8s.io/v1/{plural}");
    let owner = json!([{ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "s", "uid": "u", "controller": true }]);
    for (list, body, columns, cells) in [
        (
            admission("mutatingwebhookconfigurations"),
            json!({ "webhooks": [webhook] }),
            "Name|Webhooks|Age",
            json!(["x.example.com", 1]),
        ),
        (
            admission("validatingadmissionpolicies"),
            json!({ "spec": policy }),
            "Name|Validations|ParamKind|Age",
            json!(["x.example.com", 1, "v1/ConfigMap"]),
        ),
        (
            admission("validatingadmissionpolicybindings"),
            json!({ "spec": binding }),
            "Name|PolicyName|ParamRef|Age",
            json!(["x.example.com", "p", selector]),
        ),
        (
            storage("csidrivers"),
            json!({ "spec": {} }),
            "Name|AttachRequired|PodInfoOnMount|StorageCapacity|TokenRequests|RequiresRepublish|Modes|Age",
            json!(["x.example.com", true, false, false, "<unset>", false, "Persistent"]),
        ),
        (
            storage("csinodes"),
            json!({ "spec": { "drivers": [{ "name": "d", "nodeID": "i" }] } }),
            "Name|Drivers|Age",
            json!(["x.example.com", 1]),
        ),
        (
            storage("volumeattachments"),
            json!({ "spec": { "attacher": "d", "nodeName": "n", "source": { "persistentVolumeName": "pv" } } }),
            "Name|Attacher|PV|Node|Attached|Age",
            json!(["x.example.com", "d", "pv", "n", false]),
        ),
        (
            "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations".to_owned(),
            json!({ "spec": { "type": "Limited", "limited": { "nominalConcurrencyShares": 5,
                "limitResponse": { "type": "Queue", "queuing": { "queues": 64, "handSize": 6, "queueLengthLimit": 50 } } } } }),
            "Name|Type|NominalConcurrencyShares|Queues|HandSize|QueueLengthLimit|Age",
            json!(["x.example.com", "Limited", 5, 64, 6, 50]),
        ),
        (
            "/apis/apps/v1/namespaces/default/controllerrevisions".to_owned(),
            json!({ "metadata": { "ownerReferences": owner }, "revision": 3, "data": { "a": 1 } }),
            "Name|Controller|Revision|Age",
            json!(["x.example.com", "statefulset.apps/s", 3]),
        ),
    ] {
        let mut body = body;
        body["metadata"]["name"] = json!("x.example.com");
        // Which the collector is not to take away at once.
        body["metadata"]["finalizers"] = json!(["example.com/held"]);
        server.post(&list, body).await.ok();
        let path = format!("{list}/x.example.com");
        assert_eq!(printed(&server, &path).await, (columns.to_owned(), cells), "{list}");
        server.merge(&path, json!({ "metadata": { "finalizers": null } })).await;
        server.delete(&path).await;
    }
}

#[tokio::test]
async fn what_an_event_does_not_say_is_unknown() {
    let server = start().await;
    let events = "/api/v1/namespaces/default/events";
    let of_event = |name: &str, more: Value| {
        let mut event = json!({ "metadata": { "name": name }, "reason": "R", "message": "m", "type": "Normal",
            "involvedObject": { "kind": "Pod", "name": "p", "namespace": "default" } });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let new = json!({ "eventTime": "2024-01-01T00:00:00.000000Z", "action": "A", "reportingComponent": "a.b/c",
        "reportingInstance": "i" });
    for (name, more, expected) in [
        ("bare", json!({}), ["<unknown>", "<unknown>", ""]),
        ("last", json!({ "lastTimestamp": "2024-01-01T00:00:00Z" }), ["", "<unknown>", ""]),
        ("new", new, ["", "", "a.b/c, i"]),
    ] {
        server.post(events, of_event(name, more)).await.ok();
        let table = server.get_as(&format!("{events}/{name}"), TABLE).await.ok();
        let names = table["columnDefinitions"].as_array().unwrap().iter();
        let cell = |wanted: &str| {
            let index = names.clone().position(|column| column["name"] == wanted).unwrap();
            table["rows"][0]["cells"][index].as_str().unwrap().to_owned()
        };
        for (column, expected) in ["Last Seen", "First Seen"].into_iter().zip(expected) {
            assert_eq!(cell(column) == "<unknown>", expected == "<unknown>", "{name}: {table}");
        }
        assert_eq!(cell("Source"), expected[2], "{name}");
    }
}

#[tokio::test]
async fn accounts_and_ranges_have_no_other_columns() {
    let server = start().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    server.post(accounts, json!({ "metadata": { "name": "x" } })).await.ok();
    let (columns, cells) = printed(&server, &format!("{accounts}/x")).await;
    assert_eq!((columns.as_str(), cells), ("Name|Age", json!(["x"])));
    let ranges = "/api/v1/namespaces/default/limitranges";
    let range = json!({ "metadata": { "name": "x" }, "spec": { "limits": [{ "type": "Pod", "max": { "cpu": "1" } }] } });
    let made = server.post(ranges, range).await.ok();
    let (columns, cells) = printed(&server, &format!("{ranges}/x")).await;
    assert_eq!(
        (columns.as_str(), cells),
        ("Name|Created At", json!(["x", made["metadata"]["creationTimestamp"]]))
    );
}

#[tokio::test]
async fn a_column_of_a_custom_resource_shows_values_of_its_type_alone() {
    let server = start().await;
    let mut definition = widget_definition();
    let types = ["integer", "number", "boolean", "string", "date"];
    for version in definition["spec"]["versions"].as_array_mut().unwrap() {
        version["schema"]["openAPIV3Schema"] =
            json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        version["selectableFields"] = json!([]);
        version["additionalPrinterColumns"] = types
            .iter()
            .map(|of_type| json!({ "name": of_type, "type": of_type, "jsonPath": ".spec.n" }))
            .collect();
    }
    server.post(CRDS, definition).await.ok();
    for (name, value, expected) in [
        ("text", json!("a"), json!([null, null, null, "a", "<invalid>"])),
        ("whole", json!(5), json!([5, 5, null, "5", null])),
        ("exact", json!(5.0), json!([5, 5, null, "5", null])),
        ("part", json!(5.5), json!([5, 5.5, null, "5.5", null])),
        ("yes", json!(true), json!([null, null, true, "true", null])),
        ("map", json!({ "a": 1 }), json!([null, null, null, "{\"a\":1}", null])),
        ("null", json!(null), json!([null, null, null, "<no value>", null])),
    ] {
        let body = json!({ "apiVersion": "example.com/v1", "kind": "Widget", "metadata": { "name": name },
            "spec": { "n": value } });
        server.post(WIDGETS, body).await.ok();
        let table = server.get_as(&format!("{WIDGETS}/{name}"), TABLE).await.ok();
        let cells = table["rows"][0]["cells"].as_array().unwrap();
        assert_eq!(json!(cells[1..]), expected, "{name}");
    }
}
