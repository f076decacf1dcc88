//! What the server makes of Pods on its own account when they are made: their priority and what they tolerate.

use serde_json::{Value, json};

use crate::support::{PODS, Server, pod, start};

const CLASSES: &str = "/apis/scheduling.k8s.io/v1/priorityclasses";

fn class(name: &str, value: i64, more: Value) -> Value {
    let mut class = json!({ "metadata": { "name": name }, "value": value });
    class.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    class
}

fn of_class(name: &str, class: &str) -> Value {
    let mut body = pod(name);
    body["spec"]["priorityClassName"] = json!(class);
    body
}

async fn refused(server: &Server, list: &str, body: Value, code: u16, reason: &str) -> String {
    let status = server.post(list, body).await.refused(code, reason);
    status["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_pod_has_the_priority_of_its_class() {
    let server = start().await;
    let patient = json!({ "preemptionPolicy": "Never" });
    server.post(CLASSES, class("patient.example.com", 1000, patient)).await.ok();
    server.post(CLASSES, class("urgent.example.com", 5000, json!({}))).await.ok();
    for (name, class, priority, policy) in [
        ("a", "patient.example.com", 1000, "Never"),
        ("b", "urgent.example.com", 5000, "PreemptLowerPriority"),
        ("c", "system-cluster-critical", 2_000_000_000, "PreemptLowerPriority"),
        ("d", "", 0, "PreemptLowerPriority"),
    ] {
        let made = server.post(PODS, of_class(name, class)).await.ok();
        let spec = &made["spec"];
        assert_eq!(
            (&spec["priority"], &spec["preemptionPolicy"]),
            (&json!(priority), &json!(policy)),
            "{class}"
        );
    }
    // Whoever writes it back without them changes nothing of that.
    let mut again = server.get(&format!("{PODS}/a")).await.ok();
    for field in ["priority", "preemptionPolicy"] {
        again["spec"].as_object_mut().unwrap().remove(field);
    }
    again["metadata"]["labels"] = json!({ "a": "b" });
    let written = server.put(&format!("{PODS}/a"), again).await.ok();
    assert_eq!(
        (&written["spec"]["priority"], &written["spec"]["preemptionPolicy"]),
        (&json!(1000), &json!("Never"))
    );
    // It is not the class's once the Pod is there.
    server.delete(&format!("{CLASSES}/patient.example.com")).await.ok();
    server.merge(&format!("{PODS}/a"), json!({ "metadata": { "labels": { "a": "c" } } })).await.ok();
}

#[tokio::test]
async fn a_class_that_is_not_there_and_a_priority_that_is_not_its_own_are_refused() {
    let server = start().await;
    let unknown = refused(&server, PODS, of_class("p", "none.example.com"), 403, "Forbidden").await;
    assert_eq!(unknown, "pods \"p\" is forbidden: no PriorityClass with name none.example.com was found");
    let mut own = pod("p");
    own["spec"]["priority"] = json!(7);
    let own = refused(&server, PODS, own, 403, "Forbidden").await;
    assert!(own.contains("the integer value of priority (7) must not be provided in pod spec"), "{own}");
    let mut same = pod("p");
    same["spec"]["priority"] = json!(0);
    server.post(PODS, same).await.ok();
}

#[tokio::test]
async fn the_servers_own_classes_are_there_and_are_no_others() {
    let server = start().await;
    for (name, value) in [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)]
    {
        assert_eq!(server.get(&format!("{CLASSES}/{name}")).await.ok()["value"], value);
    }
    let reserved = refused(&server, CLASSES, class("system-mine", 1, json!({})), 422, "Invalid").await;
    assert!(
        reserved.contains("metadata.name: Forbidden: priority class names with 'system-' prefix"),
        "{reserved}"
    );
    let large = class("large.example.com", 1_000_000_001, json!({}));
    let large = refused(&server, CLASSES, large, 422, "Invalid").await;
    assert!(large.contains("maximum allowed value of a user defined priority is 1000000000"), "{large}");
    let made = server.post(CLASSES, class("mine.example.com", 1, json!({}))).await.ok();
    assert_eq!(made["preemptionPolicy"], "PreemptLowerPriority");
}

#[tokio::test]
async fn a_pod_puts_up_with_a_node_that_is_not_there_for_five_minutes() {
    let server = start().await;
    let usual = |key: &str| {
        json!({ "key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": "NoExecute",
            "tolerationSeconds": 300 })
    };
    let made = server.post(PODS, pod("a")).await.ok();
    assert_eq!(made["spec"]["tolerations"], json!([usual("not-ready"), usual("unreachable")]));
    let own = json!({ "key": "node.kubernetes.io/unreachable", "operator": "Exists" });
    let other = json!({ "key": "other", "operator": "Exists", "effect": "NoExecute" });
    let mut body = pod("b");
    body["spec"]["tolerations"] = json!([own, other]);
    let made = server.post(PODS, body).await.ok();
    assert_eq!(made["spec"]["tolerations"], json!([own, other, usual("not-ready")]));
    let mut body = pod("c");
    body["spec"]["tolerations"] = json!([{ "operator": "Exists" }]);
    let made = server.post(PODS, body.clone()).await.ok();
    assert_eq!(made["spec"]["tolerations"], body["spec"]["tolerations"]);
}
