//! Lists: selectors, paging, forms.

use serde_json::{Value, json};
use wheelhouse_devcluster::DevClusterConfig;

use crate::support::{
    CONFIG_MAPS, CRDS, DEPLOYMENTS, LEASES, PODS, Server, WIDGETS, deployment, event, labelled, lease, pod,
    start, start_with, widget, widget_definition,
};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

async fn with_config_maps(server: &Server, count: usize) {
    for n in 0..count {
        server.config_map(&format!("c{n}"), json!({})).await;
    }
}

#[tokio::test]
async fn a_list_is_of_its_namespace_and_knows_its_version() {
    let server = start().await;
    // In a cluster there are others, too.
    let (labels, selector) = (json!({ "example.com/mine": "" }), "labelSelector=example.com/mine");
    server.post(CONFIG_MAPS, labelled("a", labels.clone())).await.ok();
    server.post("/api/v1/namespaces/kube-system/configmaps", labelled("b", labels)).await.ok();
    let list = server.get(&format!("{CONFIG_MAPS}?{selector}")).await.ok();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("ConfigMapList"), &json!("v1")));
    assert_eq!(names(&list), ["a"]);
    assert!(list["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap() > 1);
    let all = server.get(&format!("/api/v1/configmaps?{selector}")).await.ok();
    // Which comes first is for the names that the namespaces have there.
    let mut all = names(&all);
    all.sort_unstable();
    assert_eq!(all, ["a", "b"]);
}

#[tokio::test]
async fn label_selectors_filter() {
    let server = start().await;
    for (name, labels) in
        [("a", json!({ "app": "x", "tier": "1" })), ("b", json!({ "app": "y" })), ("c", json!({}))]
    {
        let mut body = lease(name);
        body["metadata"]["labels"] = labels;
        server.post(LEASES, body).await.ok();
    }
    for (selector, expected) in [
        ("app%3Dx", vec!["a"]),
        ("app!%3Dx", vec!["b", "c"]),
        ("app+in+(x,y)", vec!["a", "b"]),
        ("app+notin+(x)", vec!["b", "c"]),
        ("app,tier", vec!["a"]),
        ("!app", vec!["c"]),
        ("tier%3E0", vec!["a"]),
    ] {
        let list = server.get(&format!("{LEASES}?labelSelector={selector}")).await.ok();
        assert_eq!(names(&list), expected, "{selector}");
    }
    server.get(&format!("{LEASES}?labelSelector=a%3D%3D%3Db")).await.refused(400, "BadRequest");
}

#[tokio::test]
async fn field_selectors_are_those_of_the_kind() {
    let server = start().await;
    for (name, node) in [("p1", "n1"), ("p2", "n2"), ("p3", "")] {
        let mut body = pod(name);
        body["spec"]["nodeName"] = json!(node);
        server.post(PODS, body).await.ok();
    }
    for (selector, expected) in [
        ("spec.nodeName%3Dn1", vec!["p1"]),
        ("spec.nodeName!%3D", vec!["p1", "p2"]),
        ("metadata.name%3Dp3", vec!["p3"]),
        ("spec.nodeName%3Dn2,status.phase%3DPending", vec!["p2"]),
        ("status.phase%3DPending", vec!["p1", "p2", "p3"]),
    ] {
        let list = server
            .get(&format!("/api/v1/pods?fieldSelector=metadata.namespace%3Ddefault,{selector}"))
            .await
            .ok();
        assert_eq!(names(&list), expected, "{selector}");
    }
    let status = server.get(&format!("{PODS}?fieldSelector=spec.foo%3Dx")).await.refused(400, "BadRequest");
    assert!(status["message"].as_str().unwrap().contains("field label not supported: spec.foo"));
}

#[tokio::test]
async fn a_definitions_selectable_fields_select() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    server.post(WIDGETS, widget("small", json!({ "size": "s" }))).await.ok();
    server.post(WIDGETS, widget("medium", json!({ "size": "m" }))).await.ok();
    let list = server.get(&format!("{WIDGETS}?fieldSelector=spec.size%3Dm")).await.ok();
    assert_eq!(names(&list), ["medium"]);
}

#[tokio::test]
async fn pages_come_from_one_snapshot() {
    let server = start().await;
    for n in 0..5 {
        server.lease(&format!("c{n}")).await;
    }
    let first = server.get(&format!("{LEASES}?limit=2")).await.ok();
    assert_eq!(names(&first), ["c0", "c1"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    server.delete(&format!("{LEASES}/c3")).await.ok();
    server.lease("c2a").await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = server.get(&format!("{LEASES}?limit=2&continue={token}")).await.ok();
    assert_eq!(names(&second), ["c2", "c3"]);
    assert_eq!(first["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"]);
    let token = second["metadata"]["continue"].as_str().unwrap();
    let third = server.get(&format!("{LEASES}?limit=2&continue={token}")).await.ok();
    assert_eq!(names(&third), ["c4"]);
    assert_eq!(third["metadata"].get("continue"), None);
}

#[tokio::test]
async fn a_continue_token_from_before_the_window_expires_and_nonsense_is_refused() {
    let server = start_with(DevClusterConfig { watch_history: 2, ..Default::default() }).await;
    with_config_maps(&server, 3).await;
    let first = server.get(&format!("{CONFIG_MAPS}?limit=1")).await.ok();
    for n in 0..4 {
        server.config_map(&format!("d{n}"), json!({})).await;
    }
    let token = first["metadata"]["continue"].as_str().unwrap();
    server.get(&format!("{CONFIG_MAPS}?limit=1&continue={token}")).await.refused(410, "Expired");
    server.get(&format!("{CONFIG_MAPS}?continue=nonsense")).await.refused(400, "BadRequest");
}

#[tokio::test]
async fn a_list_can_be_of_an_exact_version_and_not_of_the_future() {
    let server = start().await;
    let first = server.lease("a").await;
    let second = server.lease("b").await;
    let version = first["metadata"]["resourceVersion"].as_str().unwrap();
    let path = format!("{LEASES}?resourceVersion={version}&resourceVersionMatch=Exact");
    assert_eq!(names(&server.get(&path).await.ok()), ["a"]);
    let version = second["metadata"]["resourceVersion"].as_str().unwrap();
    let path = format!("{LEASES}?resourceVersion={version}&resourceVersionMatch=NotOlderThan");
    assert_eq!(names(&server.get(&path).await.ok()), ["a", "b"]);
    let status =
        server.get(&format!("{LEASES}?resourceVersion=9007199254740991")).await.refused(504, "Timeout");
    assert_eq!(status["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
}

#[tokio::test]
async fn metadata_alone_is_given_to_who_asks_for_it() {
    let server = start().await;
    server.lease("a").await;
    let accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let list = server.get_as(LEASES, accept).await.ok();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["kind"], "PartialObjectMetadata");
    assert_eq!((names(&list), list["items"][0].get("spec")), (vec!["a"], None));
    let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let one = server.get_as(&format!("{LEASES}/a"), accept).await.ok();
    assert_eq!((&one["kind"], one.get("spec")), (&json!("PartialObjectMetadata"), None));
}

#[tokio::test]
async fn a_table_has_the_usual_columns_of_a_deployment() {
    let server = start().await;
    server.post(DEPLOYMENTS, deployment("web")).await.ok();
    let table = server.get_as(DEPLOYMENTS, TABLE).await.ok();
    assert_eq!(table["kind"], "Table");
    let columns: Vec<&str> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(columns[..5], ["Name", "Ready", "Up-to-date", "Available", "Age"]);
    let row = &table["rows"][0];
    assert_eq!((&row["cells"][0], &row["cells"][1]), (&json!("web"), &json!("0/2")));
    assert_eq!(row["object"]["metadata"]["name"], "web");
}

#[tokio::test]
async fn a_table_has_the_columns_of_a_definition() {
    let server = start().await;
    server.post(CRDS, widget_definition()).await.ok();
    server.post(WIDGETS, widget("w", json!({ "size": "m" }))).await.ok();
    let status = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
    server.merge(&format!("{WIDGETS}/w/status"), status).await.ok();
    let table = server.get_as(WIDGETS, TABLE).await.ok();
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(cells[..3], [json!("w"), json!("m"), json!("True")]);
    assert!(cells[3].as_str().unwrap().ends_with('s'));
}

#[tokio::test]
async fn the_items_of_a_built_in_kind_leave_it_to_the_list_to_say_what_they_are() {
    let server = start().await;
    server.define(widget_definition()).await;
    server.config_map("a", json!({ "k": "v" })).await;
    server.post(WIDGETS, widget("a", json!({ "size": "s" }))).await.ok();
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    server.post(events, event("a", "Test", "a note")).await.ok();
    let of_type = |value: &Value| (value["apiVersion"].clone(), value["kind"].clone());
    let one = |path: &str| format!("{path}?fieldSelector=metadata.name=a");
    for path in [CONFIG_MAPS, events] {
        let list = server.get(&one(path)).await.ok();
        assert_eq!(of_type(&list["items"][0]), (Value::Null, Value::Null), "{path}");
        assert_eq!(list["items"][0]["metadata"]["name"], "a");
    }
    let widgets = server.get(&one(WIDGETS)).await.ok();
    assert_eq!(of_type(&widgets["items"][0]), (json!("example.com/v1"), json!("Widget")));
    // What stands alone, or is of another kind than the list says, has its type.
    let object = (json!("v1"), json!("ConfigMap"));
    assert_eq!(of_type(&server.get(&format!("{CONFIG_MAPS}/a")).await.ok()), object);
    let table = server.get_as(&format!("{}&includeObject=Object", one(CONFIG_MAPS)), TABLE).await.ok();
    assert_eq!(of_type(&table["rows"][0]["object"]), object);
    let metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let partial = server.get_as(&one(CONFIG_MAPS), metadata).await.ok();
    assert_eq!(partial["items"][0]["kind"], "PartialObjectMetadata");
    let mut watch = server.watch(&format!("{}&watch=1", one(CONFIG_MAPS))).await;
    assert_eq!(of_type(&watch.next().await.unwrap()["object"]), object);
    let yaml = server.get_as(&one(CONFIG_MAPS), "application/yaml").await.body;
    assert!(!yaml.as_str().unwrap().contains("kind: ConfigMap\n"), "{yaml}");
    let deleted = server.delete(&one(CONFIG_MAPS)).await.ok();
    assert_eq!(
        (of_type(&deleted["items"][0]), deleted["items"][0]["data"]["k"].clone()),
        ((Value::Null, Value::Null), json!("v"))
    );
}
