//! The same tests against another server, to see that what they say of this one holds there too.
//!
//! With `WHEELHOUSE_TEST_KUBECONFIG` set to the kubeconfig of a cluster that is there for tests, each test has
//! namespaces and an API group of its own there, which are deleted when it ends. The tests are written as if they were alone: names are
//! replaced on their way out, and put back on their way in.

use std::path::PathBuf;

use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::support::DEADLINE;

/// What tests make outside of namespaces, with names that end in `example.com`.
const CLUSTER_WIDE: [&str; 8] = [
    "/api/v1/nodes",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/api/v1/persistentvolumes",
    "/apis/storage.k8s.io/v1/storageclasses",
    "/apis/scheduling.k8s.io/v1/priorityclasses",
    "/apis/node.k8s.io/v1/runtimeclasses",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
];

/// A test's own place in a foreign cluster.
pub(crate) struct Sandbox {
    id: String,
    config: kube::Config,
    /// Once there is a namespace in the place of `kube-system`.
    system: OnceCell<()>,
}

impl Sandbox {
    pub(crate) async fn new(file: PathBuf) -> (Self, kube::Config) {
        let kubeconfig = Kubeconfig::read_from(&file).unwrap();
        let options = KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        config.default_retry = false;
        let id = format!("wh{}", &uuid::Uuid::new_v4().simple().to_string()[..10]);
        config.default_namespace.clone_from(&id);
        let sandbox = Self { id, config: config.clone(), system: OnceCell::new() };
        sandbox.make("default").await;
        (sandbox, config)
    }

    async fn make(&self, namespace: &str) {
        let client = kube::Client::try_from(self.config.clone()).unwrap();
        let names = self.names();
        let (_, here) = names.iter().find(|(name, _)| *name == namespace).unwrap();
        let body = json!({ "metadata": { "name": here } }).to_string().into_bytes();
        let request = http::Request::post("/api/v1/namespaces").header("content-type", "application/json");
        let response = client.send(request.body(Body::from(body)).unwrap()).await.unwrap();
        assert_eq!(response.status(), 201, "the namespace of a test");
        self.settled(namespace).await;
    }

    /// Makes the second namespace of a test that speaks of one. A cluster takes long to delete namespaces.
    pub(crate) async fn spoken_of(&self, text: &str) {
        if text.contains("kube-system") {
            self.system.get_or_init(|| self.make("kube-system")).await;
        }
    }

    /// Waits until a namespace that a test names has what the cluster's controllers put into every one: no Pod is
    /// admitted before, and a watch might see it come.
    pub(crate) async fn settled(&self, namespace: &str) {
        let client = kube::Client::try_from(self.config.clone()).unwrap();
        for object in ["serviceaccounts/default", "configmaps/kube-root-ca.crt"] {
            if has(&client, &format!("/api/v1/namespaces/default/{object}")).await {
                let here = self.outward(&format!("/api/v1/namespaces/{namespace}/{object}"));
                let started = tokio::time::Instant::now();
                while !has(&client, &here).await {
                    assert!(started.elapsed() < DEADLINE, "{here} should be there");
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// A group of its own, in which nothing is but definitions that mark a point in time.
    #[allow(dead_code, reason = "one of the binaries that share it has definitions")]
    pub(crate) fn marker(&self) -> String {
        format!("marker.{}.example.com", self.id)
    }

    /// The namespaces that tests name, and what they are called here; the longest first.
    pub(crate) fn names(&self) -> [(&'static str, String); 3] {
        let id = &self.id;
        [("kube-system", format!("{id}-system")), ("team", format!("{id}-team")), ("default", id.clone())]
    }

    pub(crate) fn outward(&self, text: &str) -> String {
        let mut text = text.replace("example.com", &format!("{}.example.com", self.id));
        for (name, here) in self.names() {
            text = text.replace(&format!("/namespaces/{name}/"), &format!("/namespaces/{here}/"));
            text = text.replace(&format!("\"namespace\":\"{name}\""), &format!("\"namespace\":\"{here}\""));
            text = text.replace(&format!("namespace%3D{name}"), &format!("namespace%3D{here}"));
        }
        // A namespace that a test makes itself.
        let team = format!("{}-team", self.id);
        let text = text.replace("\"name\":\"team\"", &format!("\"name\":\"{team}\""));
        let text = text.replace("/namespaces/team?", &format!("/namespaces/{team}?"));
        match text.strip_suffix("/namespaces/team") {
            Some(before) => format!("{before}/namespaces/{team}"),
            None => text,
        }
    }

    pub(crate) fn inward(&self, text: &str) -> String {
        let text = text.replace(&format!("{}.example.com", self.id), "example.com");
        self.names().iter().fold(text, |text, (name, here)| text.replace(here, name))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let (id, config) = (self.id.clone(), self.config.clone());
        // A runtime of its own: the test's may be gone, and a drop cannot wait.
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(clean_up(&id, config));
        });
        let _ = cleaner.join();
    }
}

async fn has(client: &kube::Client, path: &str) -> bool {
    let request = http::Request::get(path).body(Body::empty()).unwrap();
    client.send(request).await.unwrap().status() == 200
}

async fn clean_up(id: &str, config: kube::Config) {
    let client = kube::Client::try_from(config).unwrap();
    let mut paths: Vec<String> =
        ["", "-system", "-team"].iter().map(|suffix| format!("/api/v1/namespaces/{id}{suffix}")).collect();
    for kind in CLUSTER_WIDE {
        let list = http::Request::get(kind).body(Vec::new()).unwrap();
        if let Ok(list) = client.request::<serde_json::Value>(list).await {
            let all = list["items"].as_array().into_iter().flatten();
            let names = all.filter_map(|item| item["metadata"]["name"].as_str());
            paths.extend(names.filter(|name| name.contains(id)).map(|name| format!("{kind}/{name}")));
        }
    }
    for path in paths {
        // What is not there need not go.
        let _ = client.send(http::Request::delete(path).body(Body::empty()).unwrap()).await;
    }
}
