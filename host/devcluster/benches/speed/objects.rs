//! The objects that are written: about as large as those of a real cluster.

use bytes::Bytes;
use serde_json::{Value, json};

pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";

pub(crate) fn config_map(name: &str) -> Bytes {
    let data = json!({ "mode": "fast", "endpoint": "http://backend.example.com:8080/v1", "retries": "5" });
    let labels = json!({ "app.kubernetes.io/name": "settings", "app.kubernetes.io/part-of": "shop" });
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "labels": labels },
        "data": data });
    Bytes::from(map.to_string())
}

pub(crate) fn namespace(name: &str) -> Bytes {
    Bytes::from(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }).to_string())
}

fn container(name: &str, number: usize) -> Value {
    let variables: Vec<Value> = (0..2)
        .map(|n| json!({ "name": format!("SETTING_{n}"), "value": format!("value-{n}-of-{name}-{number}") }))
        .collect();
    let probe = |path: &str| {
        json!({ "httpGet": { "path": path, "port": 8080, "scheme": "HTTP" },
        "initialDelaySeconds": 5, "periodSeconds": 10, "timeoutSeconds": 1, "successThreshold": 1,
        "failureThreshold": 3 })
    };
    json!({
        "name": name, "image": format!("registry.example.com/shop/{name}:1.27.{number}"),
        "args": ["--listen=:8080", "--log-format=json", "--shutdown-timeout=20s"], "env": variables,
        "ports": [{ "name": "http", "containerPort": 8080, "protocol": "TCP" }],
        "resources": { "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "memory": "256Mi" } },
        "livenessProbe": probe("/healthz"), "readinessProbe": probe("/readyz"),
        "volumeMounts": [
            { "name": "settings", "mountPath": "/etc/settings", "readOnly": true },
            { "name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true },
        ],
        "securityContext": { "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true },
    })
}

/// A Pod of about 5 KB with its status.
pub(crate) fn pod(number: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("shop-7c9d8f6b5-{number:06}"), "generateName": "shop-7c9d8f6b5-",
            "labels": { "app": "shop", "tier": format!("tier-{}", number % 10), "pod-template-hash": "7c9d8f6b5" },
            "annotations": { "prometheus.io/scrape": "true", "prometheus.io/port": "8080" },
        },
        "spec": {
            "nodeName": format!("node-{}", number % 100), "serviceAccountName": "shop",
            "containers": [container("shop", number)],
            "volumes": [
                { "name": "settings", "configMap": { "name": "shop-settings", "defaultMode": 420 } },
                { "name": "token", "projected": { "defaultMode": 420, "sources": [
                    { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } }] } },
            ],
            "tolerations": [
                { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute",
                  "tolerationSeconds": 300 },
                { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute",
                  "tolerationSeconds": 300 },
            ],
        },
    })
}

/// The status of a Pod that runs, as its kubelet writes it; each number makes another one.
pub(crate) fn status(number: usize) -> Value {
    let condition = |kind: &str| {
        json!({ "type": kind, "status": "True",
        "lastProbeTime": null, "lastTransitionTime": "2026-01-01T00:00:00Z" })
    };
    let container = |name: &str| {
        json!({ "name": name, "ready": true, "started": true, "restartCount": number,
        "image": format!("registry.example.com/shop/{name}:1.27"),
        "imageID": format!("registry.example.com/shop/{name}@sha256:{:064x}", 77),
        "containerID": format!("containerd://{:064x}", 88),
        "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } } })
    };
    let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition);
    json!({
        "phase": "Running", "hostIP": "10.0.0.1", "podIP": "10.1.2.3", "podIPs": [{ "ip": "10.1.2.3" }],
        "qosClass": "Burstable", "startTime": "2026-01-01T00:00:00Z",
        "conditions": conditions,
        "containerStatuses": [container("shop")],
    })
}
