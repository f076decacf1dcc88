//! Objects that a client writes back without what says nothing, and with its quantities in their usual form, as clients
//! written in Go do: nothing has changed.

use serde_json::{Value, json};

use crate::support::{DEPLOYMENTS, PODS, Server, deployment, pod, start};

const CORE: &str = "/api/v1/namespaces/default";

fn object(api: &str, kind: &str, spec: Value) -> Value {
    json!({ "apiVersion": api, "kind": kind, "metadata": { "name": "x" }, "spec": spec })
}

/// Puts another object with a label in the place of the first, and answers with what it is then.
async fn relabel(server: &Server, list: &str, first: Value, mut second: Value) -> Value {
    let first = server.post(list, first).await.ok();
    keep_admitted(&first, &mut second);
    second["metadata"]["labels"] = json!({ "a": "b" });
    let written = server.put(&format!("{list}/x"), second).await.ok();
    assert_eq!(written["metadata"]["labels"], json!({ "a": "b" }));
    written
}

/// What a cluster's admission has added to a Pod, and nobody may take away.
fn keep_admitted(first: &Value, second: &mut Value) {
    if first["kind"] != "Pod" {
        return;
    }
    for field in ["volumes", "serviceAccount", "serviceAccountName", "tolerations"] {
        if let (None, Some(value)) = (second["spec"].get(field), first["spec"].get(field)) {
            second["spec"][field] = value.clone();
        }
    }
    if let Some(mounts) = first["spec"]["containers"][0].get("volumeMounts") {
        second["spec"]["containers"][0]["volumeMounts"] = mounts.clone();
    }
}

fn container(rest: Value) -> Value {
    let mut container = json!({ "name": "app", "image": "nginx:1" });
    container.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    json!({ "schedulerName": "nobody", "containers": [container] })
}

#[tokio::test]
async fn a_pod_comes_back_without_what_was_empty() {
    let server = start().await;
    let mut spec = container(json!({ "env": [], "args": [], "tty": false, "workingDir": "" }));
    spec["hostNetwork"] = json!(false);
    spec["nodeSelector"] = json!({});
    spec["priorityClassName"] = json!("");
    let written = relabel(&server, PODS, object("v1", "Pod", spec), pod("x")).await;
    assert!(written["spec"].get("hostNetwork").is_none(), "{written}");
    assert!(written["spec"]["containers"][0].get("env").is_none(), "{written}");
}

#[tokio::test]
async fn quantities_come_back_as_a_cluster_writes_them() {
    let server = start().await;
    let limits = |cpu: Value, memory: &str| {
        object("v1", "Pod", container(json!({ "resources": { "limits": { "cpu": cpu, "memory": memory } } })))
    };
    let written = relabel(&server, PODS, limits(json!(0.5), "1024Mi"), limits(json!("500m"), "1Gi")).await;
    let resources = &written["spec"]["containers"][0]["resources"];
    assert_eq!(resources["limits"], json!({ "cpu": "500m", "memory": "1Gi" }));
    assert_eq!(resources["requests"], resources["limits"]);
    assert_eq!(written["status"]["qosClass"], "Guaranteed");
    let claim = |size: &str| {
        let resources = json!({ "requests": { "storage": size } });
        let spec = json!({ "accessModes": ["ReadWriteOnce"], "resources": resources });
        object("v1", "PersistentVolumeClaim", spec)
    };
    let list = format!("{CORE}/persistentvolumeclaims");
    relabel(&server, &list, claim("1024Mi"), claim("1Gi")).await;
}

#[tokio::test]
async fn a_stateful_set_and_a_job_come_back_with_and_without_what_is_empty() {
    let server = start().await;
    let spec = deployment("x")["spec"].clone();
    let mut named = spec.clone();
    named["serviceName"] = json!("");
    let set = |spec: Value| object("apps/v1", "StatefulSet", spec);
    let sets = "/apis/apps/v1/namespaces/default/statefulsets";
    let written = relabel(&server, sets, set(spec), set(named)).await;
    assert_eq!(written["metadata"]["generation"], 1);
    let job = |pod: Value, suspend: bool| {
        let mut pod = pod;
        pod["restartPolicy"] = json!("Never");
        object("batch/v1", "Job", json!({ "suspend": suspend, "template": { "spec": pod } }))
    };
    let mut empty = container(json!({ "command": [] }));
    empty["hostNetwork"] = json!(false);
    let jobs = "/apis/batch/v1/namespaces/default/jobs";
    server.post(jobs, job(empty, true)).await.ok();
    let path = format!("{jobs}/x");
    let mut live = server.get(&path).await.ok();
    // Whatever a cluster's controllers have written meanwhile.
    live["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    live["spec"]["suspend"] = json!(false);
    let pod = live["spec"]["template"]["spec"].as_object_mut().unwrap();
    pod.remove("hostNetwork");
    pod["containers"][0].as_object_mut().unwrap().remove("command");
    assert_eq!(server.put(&path, live).await.ok()["metadata"]["generation"], 2);
}

#[tokio::test]
async fn what_says_nothing_is_no_change() {
    let server = start().await;
    // No controller writes to what is only a template.
    let templates = format!("{CORE}/podtemplates");
    let template = json!({ "metadata": { "name": "x" }, "template": deployment("x")["spec"]["template"] });
    let mut first = template.clone();
    first["template"]["spec"]["volumes"] = json!([]);
    first["template"]["spec"]["containers"][0]["args"] = json!([]);
    first["template"]["spec"]["containers"][0]["resources"] = json!({ "limits": { "cpu": "1000m" } });
    let created = server.post(&templates, first).await.ok();
    let mut same = template;
    same["template"]["spec"]["containers"][0]["resources"] = json!({ "limits": { "cpu": 1 } });
    let written = server.put(&format!("{templates}/x"), same).await.ok();
    assert_eq!(written["metadata"]["generation"], 1);
    assert_eq!(written["metadata"]["resourceVersion"], created["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn a_zero_that_says_something_stays() {
    let server = start().await;
    let mut web = deployment("x");
    web["spec"]["replicas"] = json!(0);
    web["spec"]["strategy"] = json!({ "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } });
    let pod = &mut web["spec"]["template"]["spec"];
    for field in ["automountServiceAccountToken", "enableServiceLinks", "shareProcessNamespace"] {
        pod[field] = json!(false);
    }
    pod["terminationGracePeriodSeconds"] = json!(0);
    pod["securityContext"] = json!({ "runAsNonRoot": false, "runAsUser": 0 });
    pod["volumes"] = json!([{ "name": "c", "configMap": { "name": "n", "optional": false, "defaultMode": 0 } },
        { "name": "e", "emptyDir": {} }]);
    pod["affinity"] = json!({});
    let sent = web["spec"].clone();
    let created = server.post(DEPLOYMENTS, web).await.ok();
    let (spec, pod) = (&created["spec"], &created["spec"]["template"]["spec"]);
    assert_eq!(spec["replicas"], 0);
    assert_eq!(spec["strategy"]["rollingUpdate"], sent["strategy"]["rollingUpdate"]);
    for field in ["automountServiceAccountToken", "enableServiceLinks", "shareProcessNamespace"] {
        assert_eq!(pod[field], false, "{field}");
    }
    assert_eq!(pod["terminationGracePeriodSeconds"], 0);
    assert_eq!(
        (&pod["securityContext"], &pod["affinity"]),
        (&sent["template"]["spec"]["securityContext"], &json!({}))
    );
    let volumes = json!([{ "name": "c", "configMap": { "name": "n", "optional": false, "defaultMode": 0 } },
        { "name": "e", "emptyDir": {} }]);
    assert_eq!(pod["volumes"], volumes);
    let claim = json!({ "accessModes": ["ReadWriteOnce"], "storageClassName": "",
        "resources": { "requests": { "storage": "1Gi" } } });
    let claim = object("v1", "PersistentVolumeClaim", claim);
    let claim = server.post(&format!("{CORE}/persistentvolumeclaims"), claim).await.ok();
    assert_eq!(claim["spec"]["storageClassName"], "");
    let none = json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "0" } } });
    let none = object("v1", "PersistentVolumeClaim", none);
    let status = server.post(&format!("{CORE}/persistentvolumeclaims"), none).await.refused(422, "Invalid");
    let why = "Invalid value: \"0\": must be greater than zero";
    assert_eq!(status["details"]["causes"][0]["message"], why);
}

#[tokio::test]
async fn a_zero_that_a_cluster_writes_of_a_stateful_set_stays() {
    let server = start().await;
    let mut spec = deployment("x")["spec"].clone();
    spec["replicas"] = json!(0);
    spec["serviceName"] = json!("x");
    spec["ordinals"] = json!({ "start": 0 });
    let sets = "/apis/apps/v1/namespaces/default/statefulsets";
    let made = server.post(sets, object("apps/v1", "StatefulSet", spec)).await.ok();
    assert_eq!(made["spec"]["ordinals"], json!({ "start": 0 }));
    let status = json!({ "status": { "replicas": 0, "availableReplicas": 0, "readyReplicas": 0 } });
    let written = server.merge(&format!("{sets}/x/status"), status).await.ok();
    assert_eq!(
        (&written["status"]["replicas"], &written["status"]["availableReplicas"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(written["status"].get("readyReplicas"), None, "{written}");
}

#[tokio::test]
async fn what_is_empty_gets_its_default() {
    let server = start().await;
    let port = json!({ "port": 80, "protocol": "", "targetPort": "", "name": "" });
    let spec = json!({ "clusterIP": "", "type": "", "sessionAffinity": "", "ports": [port] });
    let service = server.post(&format!("{CORE}/services"), object("v1", "Service", spec)).await.ok();
    let spec = &service["spec"];
    assert_eq!((&spec["type"], &spec["sessionAffinity"]), (&json!("ClusterIP"), &json!("None")));
    assert_eq!(spec["ports"], json!([{ "port": 80, "protocol": "TCP", "targetPort": 80 }]));
    assert!(spec["clusterIP"].as_str().unwrap().starts_with("10."), "{spec}");
    assert_eq!(spec["clusterIPs"], json!([spec["clusterIP"]]));
    let pulls = object("v1", "Pod", container(json!({ "imagePullPolicy": "" })));
    let pod = server.post(PODS, pulls).await.ok();
    assert_eq!(pod["spec"]["containers"][0]["imagePullPolicy"], "IfNotPresent");
    let policies = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";
    let policy = json!({ "podSelector": {}, "policyTypes": [], "egress": [] });
    let policy = object("networking.k8s.io/v1", "NetworkPolicy", policy);
    let policy = server.post(policies, policy).await.ok();
    assert_eq!(policy["spec"], json!({ "podSelector": {}, "policyTypes": ["Ingress"] }));
}

#[tokio::test]
async fn times_come_back_in_utc_and_as_exact_as_their_type() {
    let server = start().await;
    let lease = json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "l" },
        "spec": { "renewTime": "2024-01-31T10:00:00.123456+02:00" } });
    let lease = server.post("/apis/coordination.k8s.io/v1/namespaces/default/leases", lease).await.ok();
    assert_eq!(lease["spec"]["renewTime"], "2024-01-31T08:00:00.123456Z");
    server.post(PODS, pod("x")).await.ok();
    let condition =
        json!({ "type": "Ready", "status": "True", "lastTransitionTime": "2024-01-31T10:00:00.9-01:00" });
    let status = json!({ "status": { "conditions": [condition] } });
    let pod = server.merge(&format!("{PODS}/x/status"), status).await.ok();
    assert_eq!(pod["status"]["conditions"][0]["lastTransitionTime"], "2024-01-31T11:00:00Z");
}

#[tokio::test]
async fn what_is_always_written_is_there_though_nobody_sent_it() {
    let server = start().await;
    let sets = "/apis/apps/v1/namespaces/default/statefulsets";
    let template = deployment("x")["spec"]["template"].clone();
    let selector = deployment("x")["spec"]["selector"].clone();
    let set = json!({ "replicas": 0, "selector": selector, "template": template });
    let set = server.post(sets, object("apps/v1", "StatefulSet", set)).await.ok();
    assert_eq!(set["spec"]["serviceName"], "");
    assert_eq!(set["status"], json!({ "replicas": 0, "availableReplicas": 0 }));
    assert_eq!(set["spec"]["template"]["spec"]["containers"][0]["resources"], json!({}));
    let made = server.post(DEPLOYMENTS, deployment("x")).await.ok();
    assert_eq!(made["status"], json!({}));
    let about = json!({ "namespace": "default", "name": "x" });
    let event =
        json!({ "apiVersion": "v1", "kind": "Event", "metadata": { "name": "x" }, "involvedObject": about });
    let event = server.post(&format!("{CORE}/events"), event).await.ok();
    for field in ["eventTime", "firstTimestamp", "lastTimestamp"] {
        assert_eq!(event.get(field), Some(&Value::Null), "{event}");
    }
    assert_eq!((&event["source"], &event["reportingComponent"]), (&json!({}), &json!("")));
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
    let role =
        json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "x" } });
    assert_eq!(server.post(roles, role).await.ok().get("rules"), Some(&Value::Null));
    let resource = json!({ "resource": "limits.cpu" });
    let env = container(json!({ "env": [{ "name": "A", "valueFrom": { "resourceFieldRef": resource } }] }));
    let made = server.post(PODS, object("v1", "Pod", env)).await.ok();
    let reference = &made["spec"]["containers"][0]["env"][0]["valueFrom"]["resourceFieldRef"];
    assert_eq!(reference, &json!({ "resource": "limits.cpu", "divisor": "0" }));
}
