//! A cluster with access control (or a place in another one: see `place`), and clients that are somebody.

use std::time::Duration;

use kube::client::Body;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use wheelhouse_devcluster::{Access, DevCluster, DevClusterConfig, TokenUser};

pub(crate) use crate::answer::Answer;
use crate::embedded::{Embedded, NOT_LISTED};
use crate::embedded_only;
use crate::place::Place;

pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// How long another cluster's controllers may take, and how long it may keep in mind that a token was good.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);
pub(crate) const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";
pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub(crate) const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";

pub(crate) struct Server {
    pub(crate) cluster: Embedded,
    /// It trusts the server, and is nobody.
    client: kube::Client,
    /// Of the embedded server.
    pub(crate) admin_token: String,
    place: Option<Place>,
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
    /// With roles, and the users `jane` (of the group `team`) and `bob`: in the embedded server they have tokens,
    /// `NAME-token`; in another one, the administrator acts as them.
    pub(crate) async fn rbac() -> Self {
        let Some(file) = embedded_only::kubeconfig("access") else {
            let access = users(Access::rbac());
            return Self::start(DevClusterConfig { access, ..DevClusterConfig::default() }).await;
        };
        let (place, mut config) = Place::new(file).await;
        config.auth_info = AuthInfo::default();
        let client = kube::Client::try_from(config).unwrap();
        Self { cluster: Embedded(None), client, admin_token: String::new(), place: Some(place) }
    }

    /// What only the embedded server can be asked for.
    pub(crate) async fn start(config: DevClusterConfig) -> Self {
        assert!(embedded_only::kubeconfig("access").is_none(), "{NOT_LISTED}");
        let cluster = DevCluster::start(config).await.unwrap();
        let kubeconfig: serde_json::Value = yaml(&cluster.kubeconfig());
        let mut config = config_of(&cluster.kubeconfig()).await;
        config.default_retry = false;
        config.auth_info = AuthInfo::default();
        let admin_token = kubeconfig["users"][0]["user"]["token"].as_str().unwrap_or_default().to_owned();
        let client = kube::Client::try_from(config).unwrap();
        Self { cluster: Embedded(Some(cluster)), client, admin_token, place: None }
    }

    pub(crate) fn admin(&self) -> Caller<'_> {
        match &self.place {
            Some(place) => Caller { client: place.admin(), ..self.anonymous() },
            None => self.with(&self.admin_token),
        }
    }

    pub(crate) fn jane(&self) -> Caller<'_> {
        match &self.place {
            Some(_) => self.admin().acting_as("jane").header("impersonate-group", "team"),
            None => self.with("jane-token"),
        }
    }

    pub(crate) fn bob(&self) -> Caller<'_> {
        match &self.place {
            Some(_) => self.admin().acting_as("bob"),
            None => self.with("bob-token"),
        }
    }

    pub(crate) fn anonymous(&self) -> Caller<'_> {
        Caller { server: self, client: &self.client, headers: Vec::new() }
    }

    /// Whoever has a token.
    pub(crate) fn with(&self, token: &str) -> Caller<'_> {
        self.anonymous().header("authorization", format!("Bearer {token}"))
    }

    /// Who it says it is in its tokens.
    pub(crate) async fn issuer(&self) -> String {
        if self.place.is_none() {
            return "https://kubernetes.default.svc.cluster.local".to_owned();
        }
        let found = self.admin().get("/.well-known/openid-configuration").await.ok();
        found["issuer"].as_str().unwrap().to_owned()
    }

    /// What the server wrote, as the test that thinks itself alone expects it.
    pub(crate) fn inward(&self, text: &str) -> String {
        self.place.as_ref().map_or_else(|| text.to_owned(), |place| place.inward(text))
    }

    pub(crate) fn is_embedded(&self) -> bool {
        self.place.is_none()
    }

    fn patience(&self) -> Duration {
        if self.place.is_some() { PATIENCE } else { DEADLINE }
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
        let body = json!({ "metadata": { "generateName": "granted-example.com-" }, "rules": rules });
        let made = self.admin().post(&format!("{within}/{role}"), body).await.ok();
        let body = json!({ "metadata": { "generateName": "granted-example.com-" }, "subjects": [subject],
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
    client: &'a kube::Client,
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
        let Some(place) = &self.server.place else {
            let response = self.response(method, path, media_type, body, <[u8]>::to_vec).await;
            return Answer::read(response, str::to_owned).await;
        };
        place.spoken_of(&format!("{path} {body}")).await;
        let (here, sent) = (place.path_outward(path), place.outward(&body));
        let response =
            self.response(method, &here, media_type, sent, |value| place.name_outward(value)).await;
        let answer = Answer::read(response, |text| place.inward(text)).await;
        if method != "GET" && path.starts_with(RBAC) && answer.code < 300 && !path.contains("dryRun") {
            place.roles_are_seen().await;
        }
        answer
    }

    async fn response(
        &self,
        method: &str,
        path: &str,
        media_type: &str,
        body: String,
        value_of: impl Fn(&[u8]) -> Vec<u8>,
    ) -> http::Response<Body> {
        let mut request =
            http::Request::builder().method(method).uri(path).header("content-type", media_type);
        for (name, value) in &self.headers {
            request = request.header(name.as_str(), value_of(value));
        }
        let request = request.body(Body::from(body.into_bytes())).unwrap();
        tokio::time::timeout(DEADLINE, self.client.send(request)).await.unwrap().unwrap()
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
            assert!(started.elapsed() < self.server.patience(), "{path}: {} {}", answer.code, answer.body);
            tokio::task::yield_now().await;
        }
    }

    /// The token is good no more. A cluster keeps in mind for ten seconds that it was; the embedded server does not.
    pub(crate) async fn is_turned_away(&self) {
        let answer = match &self.server.place {
            Some(_) => self.eventually("/api", |answer| answer.code == 401).await,
            None => self.get("/api").await,
        };
        answer.message(401, "Unauthorized");
    }
}

pub(crate) fn rule(verbs: &[&str], group: &str, resources: &[&str]) -> Value {
    json!({ "verbs": verbs, "apiGroups": [group], "resources": resources })
}

pub(crate) fn config_map(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } })
}

/// Of a scheduler that is nowhere, so that no cluster gives it a node.
pub(crate) fn pod(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "schedulerName": "nobody", "containers": [{ "name": "app", "image": "nginx:1" }] } })
}

#[test]
fn what_runs_against_the_embedded_server_alone_is_there_and_has_a_reason() {
    embedded_only::check("access");
}
