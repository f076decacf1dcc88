//! What the server makes of a Service as its type changes, and the ports of the nodes that it gives.

use serde_json::{Value, json};

use crate::support::{Server, start};

const SERVICES: &str = "/api/v1/namespaces/default/services";

fn service(name: &str, mut spec: Value) -> Value {
    if spec.get("ports").is_none() {
        spec["ports"] = json!([{ "port": 80 }]);
    }
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name }, "spec": spec })
}

async fn create(server: &Server, name: &str, spec: Value) -> Value {
    server.post(SERVICES, service(name, spec)).await.ok()
}

async fn change(server: &Server, name: &str, spec: Value) -> Value {
    server.merge(&format!("{SERVICES}/{name}"), json!({ "spec": spec })).await.ok()["spec"].clone()
}

fn node_port(service: &Value, index: usize) -> u64 {
    let port = service["spec"]["ports"][index]["nodePort"].as_u64().unwrap_or_default();
    assert!((30_000..=32_767).contains(&port), "{service}");
    port
}

fn fields(spec: &Value) -> Vec<&str> {
    let mut fields: Vec<_> = spec.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    fields
}

#[tokio::test]
async fn a_load_balancer_leaves_what_it_had_behind_when_it_becomes_another_type() {
    let server = start().await;
    let policy =
        json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local", "loadBalancerClass": "x.y/z" });
    let made = create(&server, "s", policy).await;
    node_port(&made, 0);
    assert!(made["spec"]["healthCheckNodePort"].is_u64(), "{made}");
    let plain = change(&server, "s", json!({ "type": "ClusterIP" })).await;
    let expected = [
        "clusterIP",
        "clusterIPs",
        "internalTrafficPolicy",
        "ipFamilies",
        "ipFamilyPolicy",
        "ports",
        "sessionAffinity",
        "type",
    ];
    assert_eq!(fields(&plain), expected);
    assert_eq!(plain["ports"], json!([{ "port": 80, "protocol": "TCP", "targetPort": 80 }]));
    assert_eq!(plain["clusterIP"], made["spec"]["clusterIP"]);
    let external = json!({ "type": "ExternalName", "externalName": "example.com" });
    let external = change(&server, "s", external).await;
    assert_eq!(fields(&external), ["externalName", "ports", "sessionAffinity", "type"]);
}

#[tokio::test]
async fn a_new_external_name_has_no_address() {
    let server = start().await;
    let spec = json!({ "type": "ExternalName", "externalName": "example.com" });
    let made = create(&server, "s", spec).await;
    assert_eq!(fields(&made["spec"]), ["externalName", "ports", "sessionAffinity", "type"]);
    let inside = change(&server, "s", json!({ "type": "ClusterIP", "externalName": null })).await;
    assert_eq!(inside["clusterIPs"], json!([inside["clusterIP"]]));
}

#[tokio::test]
async fn each_port_gets_a_node_port_of_its_own_and_keeps_it() {
    let server = start().await;
    let two = json!([{ "name": "a", "port": 80 }, { "name": "b", "port": 81 }]);
    let made = create(&server, "s", json!({ "type": "NodePort", "ports": two })).await;
    let (a, b) = (node_port(&made, 0), node_port(&made, 1));
    assert_ne!(a, b);
    // Whoever writes it back without its ports has them kept, by name.
    let turned = json!([{ "name": "b", "port": 81 }, { "name": "a", "port": 82 }]);
    let path = format!("{SERVICES}/s");
    let kept = server.put(&path, service("s", json!({ "type": "NodePort", "ports": turned }))).await.ok();
    assert_eq!((node_port(&kept, 0), node_port(&kept, 1)), (b, a));
    assert_eq!(kept["spec"]["clusterIP"], made["spec"]["clusterIP"]);
    let dns = json!([{ "name": "u", "port": 53, "protocol": "UDP" }, { "name": "t", "port": 53 }]);
    let dns = create(&server, "dns", json!({ "type": "LoadBalancer", "ports": dns })).await;
    assert_eq!(node_port(&dns, 0), node_port(&dns, 1));
    let none = json!({ "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false });
    assert_eq!(create(&server, "none", none).await["spec"]["ports"][0].get("nodePort"), None);
}

#[tokio::test]
async fn a_node_port_that_is_asked_for_is_given_if_it_is_free() {
    let server = start().await;
    let first = create(&server, "first", json!({ "type": "NodePort" })).await;
    let taken = node_port(&first, 0);
    let asking = |number: u64| json!({ "type": "NodePort", "ports": [{ "port": 80, "nodePort": number }] });
    for (number, why) in [
        (taken, "provided port is already allocated"),
        (80, "provided port is not in the valid range. The range of valid ports is 30000-32767"),
    ] {
        let status = server.post(SERVICES, service("second", asking(number))).await.refused(422, "Invalid");
        let expected =
            format!("Service \"second\" is invalid: spec.ports[0].nodePort: Invalid value: {number}: {why}");
        assert_eq!(status["message"], expected);
    }
    let mut useless = asking(32_001);
    useless["type"] = json!("ClusterIP");
    let status = server.post(SERVICES, service("second", useless)).await.refused(422, "Invalid");
    assert_eq!(
        status["details"]["causes"][0]["message"],
        "Forbidden: may not be used when `type` is 'ClusterIP'"
    );
    let twice = json!([{ "name": "a", "port": 80, "nodePort": 32_000 }, { "name": "b", "port": 81, "nodePort": 32_000 }]);
    let status =
        server.post(SERVICES, service("second", json!({ "type": "NodePort", "ports": twice }))).await;
    let status = status.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "spec.ports[1].nodePort");
    server.delete(&format!("{SERVICES}/first")).await.ok();
    let second = create(&server, "second", asking(taken)).await;
    assert_eq!(node_port(&second, 0), taken);
}

#[tokio::test]
async fn services_that_are_made_at_once_share_no_node_port() {
    let server = start().await;
    let names: Vec<String> = (0..20).map(|n| format!("s{n}")).collect();
    let made = names.iter().map(|name| create(&server, name, json!({ "type": "NodePort" })));
    let made = futures::future::join_all(made).await;
    let ports: std::collections::BTreeSet<u64> = made.iter().map(|service| node_port(service, 0)).collect();
    assert_eq!(ports.len(), 20);
}

#[tokio::test]
async fn an_address_that_is_asked_for_is_given_if_it_is_free() {
    let server = start().await;
    let address = |service: &Value| service["spec"]["clusterIP"].as_str().unwrap().to_owned();
    let first = create(&server, "first", json!({})).await;
    let taken = address(&first);
    let asking = |address: &str| service("second", json!({ "clusterIP": address }));
    let status = server.post(SERVICES, asking(&taken)).await.refused(422, "Invalid");
    let cause = &status["details"]["causes"][0];
    assert_eq!((&cause["field"], &cause["reason"]), (&json!("spec.clusterIPs"), &json!("FieldValueInvalid")));
    let why = format!(
        "Invalid value: [\"{taken}\"]: failed to allocate IP {taken}: provided IP is already allocated"
    );
    assert_eq!(cause["message"], why.as_str());
    let status = server.post(SERVICES, asking("banana")).await.refused(422, "Invalid");
    assert_eq!(status["details"]["causes"][0]["field"], "spec.clusterIPs[0]");
    let status = server.post(SERVICES, asking("192.0.2.1")).await.refused(422, "Invalid");
    let why = "failed to allocate IP 192.0.2.1: the provided network does not match the current range";
    assert!(status["message"].as_str().unwrap().contains(why), "{status}");
    // A dry run looks whether there is such an address, and not whose it is.
    let dry = format!("{SERVICES}?dryRun=All");
    assert_eq!(address(&server.post(&dry, asking(&taken)).await.ok()), taken);
    let status = server.post(&dry, asking("192.0.2.1")).await.refused(422, "Invalid");
    let why = "failed to allocate IP 192.0.2.1: the provided IP (192.0.2.1) is not in the valid range. ";
    assert!(status["message"].as_str().unwrap().contains(why), "{status}");
    // One that becomes another type gives its address back, and so does one that goes; a dry run takes none.
    let external = json!({ "type": "ExternalName", "externalName": "example.com" });
    change(&server, "first", external).await;
    server.post(&dry, asking(&taken)).await.ok();
    let second = server.post(SERVICES, asking(&taken)).await.ok();
    assert_eq!((address(&second), &second["spec"]["clusterIPs"]), (taken.clone(), &json!([taken])));
    let inside = change(&server, "first", json!({ "type": "ClusterIP", "externalName": null })).await;
    assert_ne!(inside["clusterIP"], json!(taken));
    server.delete(&format!("{SERVICES}/second")).await.ok();
    assert_eq!(address(&server.post(SERVICES, asking(&taken)).await.ok()), taken);
}
