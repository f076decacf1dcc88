//! The tables of the built-in kinds, which are what `kubectl get` prints.

use serde_json::{Value, json};

use crate::support::{DEPLOYMENTS, PODS, Server, deployment, pod, start};

const TABLE: &str = "application/json;as=Table;g=meta.k8s.io;v=v1";

/// Columns by name; those of a wide table have a star.
async fn columns(server: &Server, path: &str) -> String {
    let table = server.get_as(path, TABLE).await.ok();
    let name = |column: &Value| {
        let star = if column["priority"] == 0 { "" } else { "*" };
        format!("{}{star}", column["name"].as_str().unwrap())
    };
    let names: Vec<String> = table["columnDefinitions"].as_array().unwrap().iter().map(name).collect();
    names.join(" ")
}

async fn cell(server: &Server, path: &str, column: &str) -> Value {
    let table = server.get_as(path, TABLE).await.ok();
    let columns = table["columnDefinitions"].as_array().unwrap();
    let index = columns.iter().position(|c| c["name"] == column).unwrap();
    table["rows"][0]["cells"][index].clone()
}

#[tokio::test]
async fn every_kind_has_its_own_columns() {
    let server = start().await;
    for (path, expected) in [
        ("/api/v1/pods", "Name Ready Status Restarts Age IP* Node* Nominated Node* Readiness Gates*"),
        (
            "/api/v1/events",
            "Last Seen Type Reason Object Subobject* Source* Message First Seen* Count* Name*",
        ),
        ("/api/v1/serviceaccounts", "Name Age"),
        ("/api/v1/endpoints", "Name Endpoints Age"),
        ("/api/v1/replicationcontrollers", "Name Desired Current Ready Age Containers* Images* Selector*"),
        (
            "/api/v1/persistentvolumes",
            "Name Capacity Access Modes Reclaim Policy Status Claim StorageClass VolumeAttributesClass Reason \
             Age VolumeMode*",
        ),
        (
            "/api/v1/persistentvolumeclaims",
            "Name Status Volume Capacity Access Modes StorageClass VolumeAttributesClass Age VolumeMode*",
        ),
        (
            "/api/v1/nodes",
            "Name Status Roles Age Version Internal-IP* External-IP* OS-Image* Kernel-Version* \
             Container-Runtime*",
        ),
        (
            "/apis/apps/v1/daemonsets",
            "Name Desired Current Ready Up-to-date Available Node Selector Age Containers* Images* Selector*",
        ),
        ("/apis/apps/v1/statefulsets", "Name Ready Age Containers* Images*"),
        ("/apis/batch/v1/jobs", "Name Status Completions Duration Age Containers* Images* Selector*"),
        (
            "/apis/batch/v1/cronjobs",
            "Name Schedule Timezone Suspend Active Last Schedule Age Containers* Images* Selector*",
        ),
        ("/apis/networking.k8s.io/v1/ingresses", "Name Class Hosts Address Ports Age"),
        ("/apis/networking.k8s.io/v1/ingressclasses", "Name Controller Parameters Age"),
        ("/apis/networking.k8s.io/v1/networkpolicies", "Name Pod-Selector Age"),
        ("/apis/discovery.k8s.io/v1/endpointslices", "Name AddressType Ports Endpoints Age"),
        (
            "/apis/policy/v1/poddisruptionbudgets",
            "Name Min Available Max Unavailable Allowed Disruptions Age",
        ),
        ("/apis/rbac.authorization.k8s.io/v1/rolebindings", "Name Role Age Users* Groups* ServiceAccounts*"),
        (
            "/apis/storage.k8s.io/v1/storageclasses",
            "Name Provisioner ReclaimPolicy VolumeBindingMode AllowVolumeExpansion Age",
        ),
        (
            "/apis/certificates.k8s.io/v1/certificatesigningrequests",
            "Name Age SignerName Requestor RequestedDuration Condition",
        ),
        (
            "/apis/autoscaling/v2/horizontalpodautoscalers",
            "Name Reference Targets MinPods MaxPods Replicas Age",
        ),
        ("/apis/coordination.k8s.io/v1/leases", "Name Holder Age"),
    ] {
        assert_eq!(columns(&server, path).await, expected, "{path}");
    }
}

#[tokio::test]
async fn the_status_of_a_pod_tells_why_it_does_not_run() {
    let server = start().await;
    server.post(PODS, pod("p")).await.ok();
    let path = format!("{PODS}/p");
    let waiting = |reason: &str| json!([{ "name": "app", "state": { "waiting": { "reason": reason } } }]);
    let ended = |terminated: Value| json!([{ "name": "app", "state": { "terminated": terminated } }]);
    let running = json!([{ "name": "app", "ready": true, "state": { "running": {} } }]);
    for (status, expected) in [
        (json!({ "phase": "Pending" }), "Pending"),
        (json!({ "phase": "Failed", "reason": "Evicted" }), "Evicted"),
        (
            json!({ "phase": "Running", "reason": null, "containerStatuses": waiting("CrashLoopBackOff") }),
            "CrashLoopBackOff",
        ),
        (json!({ "phase": "Running", "containerStatuses": ended(json!({ "exitCode": 3 })) }), "ExitCode:3"),
        (
            json!({ "phase": "Succeeded", "containerStatuses": ended(json!({ "reason": "Completed" })) }),
            "Completed",
        ),
        (json!({ "phase": "Running", "containerStatuses": running }), "Running"),
        (
            json!({ "phase": "Pending", "initContainerStatuses": waiting("ImagePullBackOff") }),
            "Init:ImagePullBackOff",
        ),
        (
            json!({ "phase": "Pending", "initContainerStatuses": ended(json!({ "exitCode": 1 })) }),
            "Init:ExitCode:1",
        ),
    ] {
        server.merge(&format!("{path}/status"), json!({ "status": status })).await.ok();
        assert_eq!(cell(&server, &path, "Status").await, expected);
    }
}

#[tokio::test]
async fn counts_are_numbers_and_wide_columns_are_filled() {
    let server = start().await;
    let mut held = deployment("web");
    held["spec"]["replicas"] = json!(0);
    server.post(DEPLOYMENTS, held).await.ok();
    let path = format!("{DEPLOYMENTS}/web");
    for (column, expected) in [
        ("Available", json!(0)),
        ("Containers", json!("app")),
        ("Images", json!("nginx:1")),
        ("Selector", json!("app=web")),
    ] {
        assert_eq!(cell(&server, &path, column).await, expected, "{column}");
    }
    let table = server.get_as(&path, TABLE).await.ok();
    assert_eq!(
        table["columnDefinitions"][2]["type"], "string",
        "as it is declared, though the cells are numbers"
    );
}

#[tokio::test]
async fn a_job_says_how_long_it_took_and_a_service_where_it_is_reached() {
    let server = start().await;
    let jobs = "/apis/batch/v1/namespaces/default/jobs";
    let job = json!({ "metadata": { "name": "j" }, "spec": { "template": { "spec": {
        "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }] } } } });
    server.post(jobs, job).await.ok();
    assert_eq!(cell(&server, &format!("{jobs}/j"), "Duration").await, "");
    let status = json!({ "startTime": "2024-01-01T00:00:00Z", "completionTime": "2024-01-01T00:01:05Z",
        "succeeded": 1, "conditions": [
            { "type": "SuccessCriteriaMet", "status": "True" }, { "type": "Complete", "status": "True" }] });
    server.merge(&format!("{jobs}/j/status"), json!({ "status": status })).await.ok();
    assert_eq!(cell(&server, &format!("{jobs}/j"), "Duration").await, "65s");
    assert_eq!(cell(&server, &format!("{jobs}/j"), "Status").await, "Complete");
    let services = "/api/v1/namespaces/default/services";
    let service = json!({ "metadata": { "name": "s" }, "spec": { "type": "LoadBalancer",
        "ports": [{ "port": 80 }] } });
    server.post(services, service).await.ok();
    assert_eq!(cell(&server, &format!("{services}/s"), "External-IP").await, "<pending>");
    let status = json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.7" }] } });
    server.merge(&format!("{services}/s/status"), json!({ "status": status })).await.ok();
    assert_eq!(cell(&server, &format!("{services}/s"), "External-IP").await, "192.0.2.7");
}

#[tokio::test]
async fn the_cells_of_other_kinds_are_as_kubectl_prints_them() {
    let server = start().await;
    let template = json!({ "metadata": { "labels": { "a": "b" } },
        "spec": { "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }] } });
    let of = |name: &str, mut body: Value| {
        body["metadata"]["name"] = json!(name);
        body
    };
    for (list, body, expected) in [
        (
            "/apis/batch/v1/namespaces/default/cronjobs",
            json!({ "spec": { "schedule": "0 * * * *", "jobTemplate": { "spec": { "template": template } } } }),
            json!(["x", "0 * * * *", "<none>", "False", 0, "<none>", null, "c", "i", "<none>"]),
        ),
        (
            "/apis/networking.k8s.io/v1/namespaces/default/ingresses",
            json!({ "spec": { "ingressClassName": "n", "tls": [{}], "rules": [{ "host": "a.b" }] } }),
            json!(["x", "n", "a.b", "", "80, 443", null]),
        ),
        (
            "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
            json!({ "spec": { "minAvailable": "50%", "selector": {} } }),
            json!(["x", "50%", "N/A", 0, null]),
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
            json!({ "roleRef": { "kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io" },
                "subjects": [{ "kind": "User", "name": "u" },
                    { "kind": "ServiceAccount", "namespace": "n", "name": "s" }] }),
            json!(["x", "Role/r", null, "u", "", "n/s"]),
        ),
        (
            "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
            json!({ "addressType": "IPv4", "ports": [{ "port": 80 }],
                "endpoints": [{ "addresses": ["10.0.0.1"] }, { "addresses": ["10.0.0.2"] }] }),
            json!(["x", "IPv4", "80", "10.0.0.1,10.0.0.2", null]),
        ),
        (
            "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
            json!({ "spec": { "maxReplicas": 4, "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
                "metrics": [{ "type": "Resource", "resource": { "name": "cpu",
                    "target": { "type": "Utilization", "averageUtilization": 80 } } }] } }),
            json!(["x", "Deployment/web", "cpu: <unknown>/80%", "1", 4, 0, null]),
        ),
        (
            "/api/v1/persistentvolumes",
            json!({ "spec": { "capacity": { "storage": "1Gi" }, "hostPath": { "path": "/x" }, "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain" } }),
            json!([
                "x.example.com",
                "1Gi",
                "RWO,RWX",
                "Retain",
                "Pending",
                "",
                "",
                "<unset>",
                "",
                null,
                "Filesystem"
            ]),
        ),
        (
            "/apis/storage.k8s.io/v1/storageclasses",
            json!({ "provisioner": "p", "metadata": { "annotations": {
                "storageclass.kubernetes.io/is-default-class": "true" } } }),
            json!(["x.example.com (default)", "p", "Delete", "Immediate", false, null]),
        ),
    ] {
        // What is of the whole cluster has a name that no other test gives.
        let name = if list.contains("/namespaces/") { "x" } else { "x.example.com" };
        // As it is made: a cluster's controllers make a volume available at once.
        let headers = [("content-type", "application/json"), ("accept", TABLE)];
        let table = server.send("POST", list, &headers, of(name, body).to_string()).await.ok();
        let mut cells = table["rows"][0]["cells"].clone();
        let columns = table["columnDefinitions"].as_array().unwrap();
        let age = columns.iter().position(|column| column["name"] == "Age").unwrap();
        assert!(cells[age].as_str().unwrap().ends_with('s'), "{list}: {cells}");
        cells[age] = Value::Null;
        assert_eq!(cells, expected, "{list}");
        assert_eq!(columns.len(), expected.as_array().unwrap().len(), "{list}");
    }
}
