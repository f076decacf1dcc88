//! What objects of each kind are selected by.

use serde_json::{Value, json};

use crate::support::{PODS, Server, deployment, pod, start};

/// An object of a kind, and how it is found and not found.
struct Case {
    list: &'static str,
    body: Value,
    status: Value,
    /// Fields and the values that they have.
    selected: Vec<(&'static str, &'static str)>,
    unsupported: &'static str,
}

fn spec(spec: Value) -> Value {
    json!({ "spec": spec })
}

/// As what its kind's usual workload makes of it: nothing runs.
fn of_pods(more: Value) -> Value {
    let mut body = json!({ "spec": { "template": deployment("f")["spec"]["template"] } });
    body["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn event(about: &str) -> Value {
    let object = json!({ "kind": "Pod", "namespace": "default", "name": "p", "uid": "u", "apiVersion": "v1",
        "resourceVersion": "7", "fieldPath": "spec.containers{app}" });
    let mut event = json!({ "reason": "Because", "type": "Normal", "action": "Look",
        "eventTime": "2024-01-31T10:00:00.000000Z", "reportingInstance": "me" });
    event[about] = object;
    event
}

fn events() -> [Case; 2] {
    let mut core = event("involvedObject");
    core["reportingComponent"] = json!("example.com/one");
    let mut new = event("regarding");
    new["reportingController"] = json!("example.com/one");
    let of = |case: Case, more: &[(&'static str, &'static str)]| {
        let mut selected = more.to_vec();
        selected.extend([("reason", "Because"), ("type", "Normal")]);
        Case { selected, ..case }
    };
    let case =
        |list, body, unsupported| Case { list, body, status: json!(null), selected: vec![], unsupported };
    [
        of(
            case("/api/v1/namespaces/default/events", core, "regarding.name"),
            &[
                ("involvedObject.kind", "Pod"),
                ("involvedObject.namespace", "default"),
                ("involvedObject.name", "p"),
                ("involvedObject.uid", "u"),
                ("involvedObject.apiVersion", "v1"),
                ("involvedObject.resourceVersion", "7"),
                ("involvedObject.fieldPath", "spec.containers{app}"),
                ("reportingComponent", "example.com/one"),
                ("source", "example.com/one"),
            ],
        ),
        of(
            case("/apis/events.k8s.io/v1/namespaces/default/events", new, "involvedObject.name"),
            &[
                ("regarding.kind", "Pod"),
                ("regarding.namespace", "default"),
                ("regarding.name", "p"),
                ("regarding.uid", "u"),
                ("regarding.apiVersion", "v1"),
                ("regarding.resourceVersion", "7"),
                ("regarding.fieldPath", "spec.containers{app}"),
                ("reportingController", "example.com/one"),
            ],
        ),
    ]
}

fn cases() -> Vec<Case> {
    let mut running = pod("f");
    running["spec"]["nodeName"] = json!("n1");
    running["spec"]["restartPolicy"] = json!("Never");
    running["spec"]["serviceAccountName"] = json!("default");
    let selector = json!({ "matchLabels": { "app": "f" } });
    let mut job = of_pods(json!({ "suspend": true }));
    job["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
    let service = json!({ "clusterIP": "None", "ports": [{ "port": 80 }] });
    let case = |list, body, selected: &[_], unsupported| Case {
        list,
        body,
        status: json!(null),
        selected: selected.to_vec(),
        unsupported,
    };
    let mut cases = vec![
        // Before the other Pod, which takes its time to go: only one without a node may be nominated for one.
        Case {
            status: json!({ "nominatedNodeName": "n2" }),
            ..case(
                PODS,
                pod("f"),
                &[("status.nominatedNodeName", "n2"), ("spec.nodeName", "")],
                "status.podIPz",
            )
        },
        Case {
            status: json!({ "phase": "Running", "podIP": "192.0.2.7", "podIPs": [{ "ip": "192.0.2.7" }] }),
            ..case(
                PODS,
                running,
                &[
                    ("spec.nodeName", "n1"),
                    ("spec.host", "n1"),
                    ("spec.restartPolicy", "Never"),
                    ("spec.schedulerName", "nobody"),
                    ("spec.serviceAccountName", "default"),
                    ("spec.hostNetwork", "false"),
                    ("status.phase", "Running"),
                    ("status.podIP", "192.0.2.7"),
                    // It is accepted, and no Pod has it.
                    ("status.podIPs", ""),
                ],
                "spec.containers",
            )
        },
        case(
            "/api/v1/namespaces/default/secrets",
            json!({ "type": "example.com/x" }),
            &[("type", "example.com/x")],
            "data",
        ),
        case(
            "/api/v1/namespaces/default/services",
            spec(service),
            &[("spec.clusterIP", "None"), ("spec.type", "ClusterIP")],
            "spec.ports",
        ),
        case(
            "/apis/apps/v1/namespaces/default/replicasets",
            of_pods(json!({ "replicas": 0, "selector": selector })),
            &[],
            "status.replicas",
        ),
        case(
            "/api/v1/namespaces/default/replicationcontrollers",
            of_pods(json!({ "replicas": 0, "selector": selector["matchLabels"] })),
            &[("status.replicas", "0")],
            "spec.replicas",
        ),
        case(
            "/apis/batch/v1/namespaces/default/jobs",
            job,
            &[("status.successful", "0")],
            "status.succeeded",
        ),
        case(
            "/api/v1/nodes",
            spec(json!({ "unschedulable": true })),
            &[("spec.unschedulable", "true")],
            "metadata.namespace",
        ),
        case("/api/v1/namespaces", json!({}), &[("status.phase", "Active")], "metadata.namespace"),
        case(
            "/apis/certificates.k8s.io/v1/certificatesigningrequests",
            spec(
                json!({ "request": REQUEST, "signerName": "example.com/signer", "usages": ["client auth"] }),
            ),
            &[("spec.signerName", "example.com/signer")],
            "metadata.namespace",
        ),
        case("/api/v1/namespaces/default/configmaps", json!({}), &[], "data"),
    ];
    cases.extend(events());
    cases
}

/// The `PKCS#10` request of somebody called `jane`, as PEM, in Base64.
const REQUEST: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlHT01FSUNBUUF3RHpFTk1Bc0dBMVVFQXd3RWFt\
    RnVaVEFxTUFVR0F5dGxjQU1oQUVMRFNTU01FN2hxNlBNOApHeFN4RWhjQTlRR1ZockVRc0xNWXJMWE9XeUNvb0FBd0JRWURLMlZ3QTBFQWtK\
    S0tCM3M0Qm9LbUs5bVJJMGI3CnN1Um1EWXk3ZWd0TVg2cHAvU1Q1Y1BGbm1HYjVrK2o2Um1GdURjSzB2aTlpb1ltY3Uwd2V5VTlTTWFpTUE5\
    SzkKQmc9PQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K";

async fn names(server: &Server, list: &str, selector: &str) -> Vec<String> {
    let found = server.get(&format!("{list}?fieldSelector={selector}")).await.ok();
    let items = found["items"].as_array().unwrap().iter();
    items.map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn objects_of_each_kind_are_selected_by_its_fields_and_no_others() {
    let server = start().await;
    for mut case in cases() {
        let list = case.list;
        let name = match list {
            "/api/v1/namespaces" => "team",
            list if list.contains("/namespaces/") => "f",
            _ => "f.example.com",
        };
        case.body["metadata"] = json!({ "name": name });
        server.post(list, case.body).await.ok();
        let path = format!("{list}/{name}");
        if !case.status.is_null() {
            let status = json!({ "status": case.status });
            server.patch(&format!("{path}/status"), "strategic-merge-patch+json", status).await.ok();
        }
        case.selected.extend((name == "f").then_some(("metadata.namespace", "default")));
        case.selected.extend((name != "team").then_some(("metadata.name", name)));
        for (field, value) in case.selected {
            let value = value.replace('/', "%2F").replace('{', "%7B").replace('}', "%7D");
            for (operator, is_found) in [("%3D", true), ("!%3D", false)] {
                // A namespace has another name elsewhere, which is known after the first of them alone.
                if is_found || !field.ends_with("namespace") {
                    let found = names(&server, list, &format!("{field}{operator}{value}")).await;
                    assert_eq!(
                        found.iter().any(|other| other == name),
                        is_found,
                        "{list} {field}{operator}{value}"
                    );
                }
            }
        }
        let refusal = server.get(&format!("{list}?fieldSelector={}%3Dx", case.unsupported)).await;
        let refusal = refusal.refused(400, "BadRequest");
        assert!(refusal["message"].as_str().unwrap().contains(case.unsupported), "{refusal}");
        server.delete(&path).await.ok();
    }
}
