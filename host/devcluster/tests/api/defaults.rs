//! What the server fills in where a client said nothing.

use serde_json::{Value, json};

use crate::support::{DEPLOYMENTS, deployment, start};

#[tokio::test]
async fn probes_volumes_and_resources_of_a_template_get_their_defaults() {
    let server = start().await;
    let mut web = deployment("web");
    let spec = &mut web["spec"]["template"]["spec"];
    spec["volumes"] = json!([{ "name": "a" }, { "name": "b", "secret": { "secretName": "s" } }]);
    let container = &mut spec["containers"][0];
    container["readinessProbe"] = json!({ "httpGet": { "port": 80 }, "periodSeconds": 5 });
    container["resources"] =
        json!({ "limits": { "cpu": "1", "memory": "1Gi" }, "requests": { "cpu": "500m" } });
    container["env"] =
        json!([{ "name": "N", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }]);
    let web = server.post(DEPLOYMENTS, web).await.ok();
    let spec = &web["spec"]["template"]["spec"];
    let volumes = json!([{ "name": "a", "emptyDir": {} },
        { "name": "b", "secret": { "secretName": "s", "defaultMode": 420 } }]);
    assert_eq!(spec["volumes"], volumes);
    let probe = json!({ "httpGet": { "port": 80, "path": "/", "scheme": "HTTP" }, "periodSeconds": 5,
        "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3 });
    let container = &spec["containers"][0];
    assert_eq!(container["readinessProbe"], probe);
    assert_eq!(container["resources"]["requests"], json!({ "cpu": "500m" }), "which is left to its Pods");
    assert_eq!(container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"], "v1");
}

#[tokio::test]
async fn strategies_policies_and_bindings_get_their_defaults() {
    let server = start().await;
    let mut web = deployment("web");
    web["spec"]["strategy"] = json!({ "rollingUpdate": { "maxSurge": 1 } });
    let web = server.post(DEPLOYMENTS, web).await.ok();
    let rolling =
        json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": "25%" } });
    assert_eq!(web["spec"]["strategy"], rolling);
    let mut other = deployment("other");
    other["spec"]["strategy"] = json!({ "type": "Recreate" });
    let other = server.post(DEPLOYMENTS, other).await.ok();
    assert_eq!(other["spec"]["strategy"], json!({ "type": "Recreate" }));

    let made = async |path: &str, kind: &str, mut body: Value| {
        let (group, _) = path.strip_prefix("/apis/").unwrap().split_once("/v1/").unwrap();
        body["apiVersion"] = json!(format!("{group}/v1"));
        body["kind"] = json!(kind);
        body["metadata"] = json!({ "name": "x" });
        server.post(path, body).await.ok()
    };
    let policies = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";
    let policy = json!({ "spec": { "podSelector": {}, "egress": [{ "ports": [{ "port": 53 }] }] } });
    let policy = made(policies, "NetworkPolicy", policy).await;
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(policy["spec"]["egress"][0]["ports"][0]["protocol"], "TCP");
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    let binding = json!({ "roleRef": { "kind": "Role", "name": "r" },
        "subjects": [{ "kind": "User", "name": "u" }] });
    let binding = made(bindings, "RoleBinding", binding).await;
    assert_eq!(binding["roleRef"]["apiGroup"], "rbac.authorization.k8s.io");
    assert_eq!(binding["subjects"][0]["apiGroup"], "rbac.authorization.k8s.io");
    let sets = "/apis/apps/v1/namespaces/default/daemonsets";
    let set = made(sets, "DaemonSet", json!({ "spec": deployment("x")["spec"] })).await;
    let rolling = json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } });
    assert_eq!(set["spec"]["updateStrategy"], rolling);
}
