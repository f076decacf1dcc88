//! A cluster with access control, and clients that are somebody.

use std::time::Duration;

use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use wheelhouse_devcluster::{Access, DevCluster, DevClusterConfig, TokenUser};

pub(crate) use crate::answer::Answer;
use crate::embedded_only;

pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
pub(crate) const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";
pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub(crate) const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";

pub(crate) struct Server {
    pub(crate) cluster: DevCluster,
    /// It trusts the server, and is nobody.
    client: kube::Client,
    pub(crate) admin_token: String,
}

impl Answer {
    /// The message with which the request was refused.
    #[track_caller]
    pub(crate) fn message(self, code: u16, reason: &str) -> String {
        self.refused(code, reason)["message"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub(crate) fn forbidden(self) -> String {
        self.message(403, "Forbidden")
    }
}

/// What is wrong with a kubeconfig fails the test.
pub(crate) async fn config_of(kubeconfig: &str) -> kube::Config {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).unwrap();
    kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()
}

impl Server {
    /// With roles, and the users `jane` (of the group `team`) and `bob`, whose tokens are `NAME-token`.
    pub(crate) async fn rbac() -> Self {
        Self::start(DevClusterConfig { access: users(Access::rbac()), ..DevClusterConfig::default() }).await
    }

    pub(crate) async fn start(config: DevClusterConfig) -> Self {
        let listed = "a test that needs the embedded server is to be listed in embedded-only.json";
        assert!(embedded_only::kubeconfig("access").is_none(), "{listed}");
        let cluster = DevCluster::start(config).await.unwrap();
        let kubeconfig: serde_json::Value = yaml(&cluster.kubeconfig());
        let mut config = config_of(&cluster.kubeconfig()).await;
        config.default_retry = false;
        config.auth_info = kube::config::AuthInfo::default();
        let admin_token = kubeconfig["users"][0]["user"]["token"].as_str().unwrap_or_default().to_owned();
        Self { cluster, client: kube::Client::try_from(config).unwrap(), admin_token }
    }

    pub(crate) fn admin(&self) -> Caller<'_> {
        self.with(&self.admin_token)
    }

    pub(crate) fn jane(&self) -> Caller<'_> {
        self.with("jane-token")
    }

    pub(crate) fn bob(&self) -> Caller<'_> {
        self.with("bob-token")
    }

    pub(crate) fn anonymous(&self) -> Caller<'_> {
        Caller { server: self, headers: Vec::new() }
    }

    pub(crate) fn with(&self, token: &str) -> Caller<'_> {
        self.anonymous().header("authorization", format!("Bearer {token}"))
    }

    /// Gives a user rules in the namespace `default`.
    pub(crate) async fn grant(&self, user: &str, rules: Value) {
        self.grant_to("default", json!({ "kind": "User", "name": user }), rules).await;
    }

    /// Gives a subject rules in a namespace, or with "" in the cluster.
    pub(crate) async fn grant_to(&self, namespace: &str, subject: Value, rules: Value) {
        let (within, role, binding, kind) = match namespace {
            "" => (RBAC.to_owned(), "clusterroles", "clusterrolebindings", "ClusterRole"),
            namespace => (format!("{RBAC}/namespaces/{namespace}"), "roles", "rolebindings", "Role"),
        };
        let body = json!({ "metadata": { "generateName": "granted-" }, "rules": rules });
        let made = self.admin().post(&format!("{within}/{role}"), body).await.ok();
        let body = json!({ "metadata": { "generateName": "granted-" }, "subjects": [subject],
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": made["metadata"]["name"] } });
        self.admin().post(&format!("{within}/{binding}"), body).await.ok();
    }

    /// A ServiceAccount of that name in `default`, and a token of it.
    pub(crate) async fn account(&self, name: &str) -> String {
        self.admin().post(ACCOUNTS, json!({ "metadata": { "name": name } })).await.ok();
        self.token_of(name, json!({})).await
    }

    pub(crate) async fn token_of(&self, name: &str, spec: Value) -> String {
        let answer =
            self.admin().post(&format!("{ACCOUNTS}/{name}/token"), json!({ "spec": spec })).await.ok();
        answer["status"]["token"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn users(access: Access) -> Access {
    access.user(TokenUser::new("jane", "jane-token").group("team")).user(TokenUser::new("bob", "bob-token"))
}

pub(crate) fn yaml(text: &str) -> Value {
    serde_json::to_value(Kubeconfig::from_yaml(text).unwrap()).map(|value| reveal(value, text)).unwrap()
}

/// The token, which kube keeps to itself.
fn reveal(mut kubeconfig: Value, text: &str) -> Value {
    if let Some((_, rest)) = text.split_once("token: ") {
        let token = rest.split(['"', '}']).find(|part| !part.is_empty()).unwrap();
        kubeconfig["users"][0]["user"]["token"] = token.into();
    }
    kubeconfig
}

/// Somebody who sends requests.
#[derive(Clone)]
pub(crate) struct Caller<'a> {
    server: &'a Server,
    headers: Vec<(String, Vec<u8>)>,
}

impl Caller<'_> {
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Acting as a user.
    pub(crate) fn acting_as(self, user: &str) -> Self {
        self.header("impersonate-user", user)
    }

    pub(crate) async fn send(&self, method: &str, path: &str, media_type: &str, body: String) -> Answer {
        let mut request =
            http::Request::builder().method(method).uri(path).header("content-type", media_type);
        for (name, value) in &self.headers {
            request = request.header(name.as_str(), value.as_slice());
        }
        let request = request.body(Body::from(body.into_bytes())).unwrap();
        let response =
            tokio::time::timeout(DEADLINE, self.server.client.send(request)).await.unwrap().unwrap();
        Answer::read(response, str::to_owned).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", String::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, "application/json", body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, "application/json", body.to_string()).await
    }

    pub(crate) async fn merge(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, "application/merge-patch+json", body.to_string()).await
    }

    pub(crate) async fn apply(&self, path: &str, body: Value) -> Answer {
        let path = format!("{path}?fieldManager=test&force=true");
        self.send("PATCH", &path, "application/apply-patch+yaml", body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, "", String::new()).await
    }

    /// Asks again until the answer is as it should be.
    pub(crate) async fn eventually(&self, path: &str, is_there: impl Fn(&Answer) -> bool) -> Answer {
        let started = tokio::time::Instant::now();
        loop {
            let answer = self.get(path).await;
            if is_there(&answer) {
                return answer;
            }
            assert!(started.elapsed() < DEADLINE, "{path}: {} {}", answer.code, answer.body);
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) fn rule(verbs: &[&str], group: &str, resources: &[&str]) -> Value {
    json!({ "verbs": verbs, "apiGroups": [group], "resources": resources })
}

pub(crate) fn config_map(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } })
}

pub(crate) fn pod(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "containers": [{ "name": "app", "image": "nginx:1" }] } })
}

#[test]
fn what_runs_against_the_embedded_server_alone_is_there_and_has_a_reason() {
    embedded_only::check("access");
}
