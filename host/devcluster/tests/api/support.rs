//! A cluster per test (or a part of a foreign one: see `sandbox`), and a client that sees raw status codes and JSON.

use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncBufReadExt, StreamExt, stream::BoxStream};
use kube::client::Body;
use serde_json::{Value, json};
use wheelhouse_devcluster::{DevCluster, DevClusterConfig};

pub(crate) use crate::answer::Answer;
use crate::embedded::{Embedded, NOT_LISTED};
use crate::embedded_only;
use crate::kubelet::{self, Kubelet};
use crate::sandbox::Sandbox;
use crate::served;

pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// How long a foreign cluster's controllers may take: the collector looks for new kinds twice a minute, and many
/// namespaces are deleted one after another.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);

pub(crate) struct Server {
    pub(crate) cluster: Embedded,
    pub(crate) client: kube::Client,
    sandbox: Option<Arc<Sandbox>>,
    /// Where there are controllers, and nobody runs Pods.
    kubelet: Option<Kubelet>,
}

pub(crate) async fn start() -> Server {
    start_or(DevClusterConfig::default()).await
}

/// Where workloads have Pods, which run.
pub(crate) async fn alive() -> Server {
    let mut server = start_or(DevClusterConfig { workloads: true, ..Default::default() }).await;
    let has_stand_ins = server.sandbox.is_none() || server.get("/api/v1/nodes/dev").await.code == 200;
    server.kubelet = (!has_stand_ins).then(|| Kubelet::start(server.client.clone()));
    server
}

/// A place in a foreign cluster, or else an embedded one.
async fn start_or(config: DevClusterConfig) -> Server {
    let Some(file) = embedded_only::kubeconfig("api") else {
        return embedded(config).await;
    };
    let (sandbox, config) = Sandbox::new(file).await;
    let client = kube::Client::try_from(config).unwrap();
    Server { client, cluster: Embedded(None), sandbox: Some(Arc::new(sandbox)), kubelet: None }
}

/// What only the embedded server can be asked for.
pub(crate) async fn start_with(config: DevClusterConfig) -> Server {
    assert!(embedded_only::kubeconfig("api").is_none(), "{NOT_LISTED}");
    embedded(config).await
}

async fn embedded(config: DevClusterConfig) -> Server {
    let cluster = DevCluster::start(config).await.unwrap();
    let mut config = kube::Config::new(cluster.url().parse().unwrap());
    // The tests are to see every refusal.
    config.default_retry = false;
    Server {
        client: kube::Client::try_from(config).unwrap(),
        cluster: Embedded(Some(cluster)),
        sandbox: None,
        kubelet: None,
    }
}

impl Server {
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let mut body: Vec<u8> = body.into();
        if let Some(sandbox) = &self.sandbox {
            sandbox.spoken_of(path).await;
            sandbox.spoken_of(&String::from_utf8_lossy(&body)).await;
        }
        if self.kubelet.is_some() && method == "POST" {
            body = kubelet::out_of_the_way_of_nodes(body);
        }
        // What is no text names nothing.
        if let Ok(text) = std::str::from_utf8(&body) {
            body = self.outward(text).into_bytes();
        }
        let started = tokio::time::Instant::now();
        let answer = loop {
            let mut request = http::Request::builder().method(method).uri(self.outward(path));
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(Body::from(body.clone())).unwrap();
            let response = tokio::time::timeout(DEADLINE, self.client.send(request)).await.unwrap().unwrap();
            let answer = Answer::read(response, |text| self.inward(text)).await;
            // So a cluster asks to come again while it makes the storage of a kind anew.
            let is_asked_again = answer.body["message"] == "storage is (re)initializing";
            if !is_asked_again || started.elapsed() > DEADLINE {
                break answer;
            }
        };
        if let Some(sandbox) = &self.sandbox
            && method != "GET"
            && path.starts_with(CRDS)
            && answer.body["kind"] == "CustomResourceDefinition"
            && !path.contains("dryRun")
        {
            let name = answer.body["metadata"]["name"].as_str().unwrap();
            served::settled(&self.client, &self.outward(name), &sandbox.marker()).await;
        }
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.send("GET", path, &[("accept", accept)], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub(crate) async fn patch(&self, path: &str, kind: &str, body: Value) -> Answer {
        let media_type = format!("application/{kind}");
        self.send("PATCH", path, &[("content-type", &media_type)], body.to_string()).await
    }

    pub(crate) async fn merge(&self, path: &str, body: Value) -> Answer {
        self.patch(path, "merge-patch+json", body).await
    }

    pub(crate) async fn apply(&self, path: &str, manager: &str, body: Value) -> Answer {
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{separator}fieldManager={manager}");
        self.patch(&path, "apply-patch+yaml", body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], "").await
    }

    pub(crate) async fn config_map(&self, name: &str, data: Value) -> Value {
        self.post(CONFIG_MAPS, config_map(name, data)).await.ok()
    }

    pub(crate) async fn lease(&self, name: &str) -> Value {
        self.post(LEASES, lease(name)).await.ok()
    }

    /// The namespace `team`, once the cluster has put into it what it puts into each.
    pub(crate) async fn team(&self) {
        self.post("/api/v1/namespaces", json!({ "metadata": { "name": "team" } })).await.ok();
        if let Some(sandbox) = &self.sandbox {
            sandbox.settled("team").await;
        }
    }

    pub(crate) fn outward(&self, text: &str) -> String {
        self.sandbox.as_ref().map_or_else(|| text.to_owned(), |sandbox| sandbox.outward(text))
    }

    fn inward(&self, text: &str) -> String {
        self.sandbox.as_ref().map_or_else(|| text.to_owned(), |sandbox| sandbox.inward(text))
    }

    pub(crate) async fn watch(&self, path: &str) -> Watch {
        let request = http::Request::builder().uri(self.outward(path)).body(Vec::new()).unwrap();
        let reader = self.client.request_stream(request).await.unwrap();
        Watch { lines: reader.lines().boxed(), sandbox: self.sandbox.clone() }
    }

    pub(crate) async fn watch_as(&self, path: &str, accept: &str) -> Watch {
        let request = http::Request::builder()
            .uri(self.outward(path))
            .header("accept", accept)
            .body(Vec::new())
            .unwrap();
        let reader = self.client.request_stream(request).await.unwrap();
        Watch { lines: reader.lines().boxed(), sandbox: self.sandbox.clone() }
    }

    /// Asks again until the answer is as it should be.
    pub(crate) async fn eventually(
        &self,
        path: &str,
        what: &str,
        is_there: impl Fn(&Answer) -> bool,
    ) -> Answer {
        let deadline = if self.sandbox.is_some() { PATIENCE } else { DEADLINE };
        self.eventually_within(deadline, path, what, is_there).await
    }

    pub(crate) async fn eventually_within(
        &self,
        deadline: Duration,
        path: &str,
        what: &str,
        is_there: impl Fn(&Answer) -> bool,
    ) -> Answer {
        let started = tokio::time::Instant::now();
        loop {
            let answer = self.get(path).await;
            if is_there(&answer) {
                return answer;
            }
            assert!(started.elapsed() < deadline, "{what}: {} {}", answer.code, answer.body);
            tokio::task::yield_now().await;
        }
    }

    /// A definition, with what the server has found out about it.
    pub(crate) async fn define(&self, definition: Value) -> Value {
        let made = self.post(CRDS, definition).await.ok();
        self.get(&format!("{CRDS}/{}", made["metadata"]["name"].as_str().unwrap())).await.ok()
    }

    pub(crate) async fn eventually_gone(&self, path: &str) {
        self.eventually(path, "it should be gone", |answer| answer.code == 404).await;
    }
}

pub(crate) struct Watch {
    lines: BoxStream<'static, std::io::Result<String>>,
    sandbox: Option<Arc<Sandbox>>,
}

impl Watch {
    /// The next event; `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(DEADLINE, self.lines.next()).await.expect("an event in time")?;
        let line = line.unwrap();
        let line = self.sandbox.as_ref().map_or(line.clone(), |sandbox| sandbox.inward(&line));
        Some(serde_json::from_str(&line).unwrap())
    }

    /// Type and name of the next event.
    pub(crate) async fn event(&mut self) -> (String, String) {
        let event = self.next().await.expect("an event, not the end");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }

    pub(crate) async fn expect(&mut self, event_type: &str, name: &str) {
        assert_eq!(self.event().await, (event_type.to_owned(), name.to_owned()));
    }
}

pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// What no controller makes of itself in a namespace, so that it can be counted.
pub(crate) const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
pub(crate) const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";
pub(crate) const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
pub(crate) const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

pub(crate) fn config_map(name: &str, data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data })
}

pub(crate) fn labelled(name: &str, labels: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "labels": labels } })
}

pub(crate) fn lease(name: &str) -> Value {
    json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": name },
        "spec": { "holderIdentity": "me" } })
}

/// Of the newer API, about a Pod.
pub(crate) fn event(name: &str, reason: &str, note: &str) -> Value {
    json!({ "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": { "name": name }, "type": "Normal",
        "eventTime": "2024-01-01T00:00:00.000000Z", "reason": reason, "action": "Testing", "note": note,
        "reportingController": "example.com/tests", "reportingInstance": "tests",
        "regarding": { "kind": "Pod", "name": name, "namespace": "default" } })
}

pub(crate) fn deployment(name: &str) -> Value {
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": { "replicas": 2, "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "app", "image": "nginx:1" }] } } } })
}

/// Of a scheduler that is nowhere, so that no cluster gives it a node.
pub(crate) fn pod(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "schedulerName": "nobody", "containers": [{ "name": "app", "image": "nginx:1" }] } })
}

pub(crate) fn widget(name: &str, spec: Value) -> Value {
    json!({ "apiVersion": "example.com/v1", "kind": "Widget", "metadata": { "name": name }, "spec": spec })
}

/// A definition with a schema, a status and a scale subresource, columns and a selectable field.
pub(crate) fn widget_definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "widgets.example.com" },
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": { "plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"] },
            "versions": [version("v1", true), older()],
        },
    })
}

/// As a cluster keeps in one place what all versions share, and then wants selectable fields in the same place as the
/// schema, neither is shared.
fn older() -> Value {
    let mut version = version("v1beta1", false);
    version["schema"]["openAPIV3Schema"]["description"] = json!("The older one.");
    version["selectableFields"] = json!([]);
    version
}

fn version(name: &str, storage: bool) -> Value {
    json!({
        "name": name, "served": true, "storage": storage,
        "subresources": { "status": {}, "scale": { "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector" } },
        "selectableFields": [{ "jsonPath": ".spec.size" }],
        "additionalPrinterColumns": [
            { "name": "Size", "type": "string", "jsonPath": ".spec.size" },
            { "name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status" },
            { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" },
        ],
        "schema": { "openAPIV3Schema": { "type": "object", "properties": {
            "spec": { "type": "object", "required": ["size"], "properties": {
                "size": { "type": "string", "enum": ["s", "m"] },
                "replicas": { "type": "integer", "default": 1, "minimum": 0 },
                "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                "parts": { "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
                    "items": { "type": "object", "required": ["id"], "properties": {
                        "id": { "type": "string" }, "weight": { "type": "integer" } } } },
            } },
            "status": { "type": "object", "properties": {
                "replicas": { "type": "integer" },
                "conditions": { "type": "array", "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["type"], "items": { "type": "object", "required": ["type"],
                        "properties": { "type": { "type": "string" }, "status": { "type": "string" } } } },
            } },
        } } },
    })
}

#[test]
fn what_runs_against_the_embedded_server_alone_is_there_and_has_a_reason() {
    embedded_only::check("api");
}
