//! A test's own place in another cluster: besides what `sandbox` gives it, users, groups and ServiceAccounts.
//!
//! Its users have no tokens there: the administrator acts as them. A cluster's authorizer hears of roles and
//! bindings a moment after they are written, so that each write of one is waited for.

use std::path::PathBuf;

use kube::client::Body;
use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::support::{DEADLINE, RBAC};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const USERS: [&str; 2] = ["jane", "bob"];

pub(crate) struct Place {
    sandbox: Sandbox,
    admin: kube::Client,
}

impl Place {
    /// With the configuration of the administrator.
    pub(crate) async fn new(file: PathBuf) -> (Self, kube::Config) {
        let (sandbox, config) = Sandbox::new(file).await;
        let place = Self { sandbox, admin: kube::Client::try_from(config.clone()).unwrap() };
        assert!(
            !place.may("nobody", "get", "secrets").await,
            "these tests need a cluster that decides by roles and bindings (--authorization-mode=RBAC)"
        );
        (place, config)
    }

    pub(crate) fn admin(&self) -> &kube::Client {
        &self.admin
    }

    pub(crate) async fn spoken_of(&self, text: &str) {
        self.sandbox.spoken_of(text).await;
    }

    pub(crate) fn path_outward(&self, path: &str) -> String {
        let path = self.sandbox.outward(path);
        match path.strip_suffix("/namespaces/default") {
            Some(before) => format!("{before}/namespaces/{}", self.namespace("default")),
            None => path,
        }
    }

    pub(crate) fn outward(&self, text: &str) -> String {
        let mut text = self.sandbox.outward(text);
        for user in USERS {
            let here = self.sandbox.outward(&format!("{user}.example.com"));
            text = text.replace(&format!("\"{user}\""), &format!("\"{here}\""));
        }
        // The group of jane.
        text = text.replace("\"team\"", &format!("\"{}\"", self.namespace("team")));
        for (name, here) in self.sandbox.names() {
            for kind in ["system:serviceaccount", "system:serviceaccounts"] {
                text = text.replace(&format!("{kind}:{name}"), &format!("{kind}:{here}"));
            }
        }
        text
    }

    /// The value of a header, such as the name of a user or a group.
    pub(crate) fn name_outward(&self, value: &[u8]) -> Vec<u8> {
        let Ok(name) = std::str::from_utf8(value) else {
            return value.to_vec();
        };
        let field = self.outward(&format!("\"name\":\"{name}\""));
        field.trim_start_matches("\"name\":\"").trim_end_matches('"').as_bytes().to_vec()
    }

    pub(crate) fn inward(&self, text: &str) -> String {
        let text = self.sandbox.inward(text);
        USERS.iter().fold(text, |text, user| text.replace(&format!("{user}.example.com"), user))
    }

    fn namespace(&self, name: &str) -> String {
        self.sandbox.names().into_iter().find_map(|(known, here)| (known == name).then_some(here)).unwrap()
    }

    /// Waits until the authorizer has seen all roles and bindings so far: of each kind it sees one after another, so
    /// that it knows those before one that is made now and has an effect.
    pub(crate) async fn roles_are_seen(&self) {
        let mark = format!("mark{}", uuid::Uuid::new_v4().simple());
        let within = format!("{RBAC}/namespaces/{}", self.namespace("default"));
        for (path, prefix, scope) in [(within.as_str(), "", "here"), (RBAC, "cluster", "everywhere")] {
            let kind = if prefix.is_empty() { "Role" } else { "ClusterRole" };
            let name = self.sandbox.outward("marks.example.com");
            let rule = json!({ "verbs": [mark], "apiGroups": [""], "resources": [scope] });
            let role = json!({ "kind": kind, "rules": [rule] });
            self.apply(&format!("{path}/{prefix}roles"), &name, role).await;
            let binding = json!({ "kind": format!("{kind}Binding"),
                "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": mark }],
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name } });
            self.apply(&format!("{path}/{prefix}rolebindings"), &name, binding).await;
        }
        let started = tokio::time::Instant::now();
        for scope in ["here", "everywhere"] {
            while !self.may(&mark, &mark, scope).await {
                assert!(started.elapsed() < DEADLINE, "roles and bindings are not seen in time");
                tokio::task::yield_now().await;
            }
        }
    }

    async fn apply(&self, path: &str, name: &str, mut body: Value) {
        body["apiVersion"] = "rbac.authorization.k8s.io/v1".into();
        body["metadata"] = json!({ "name": name });
        let path = format!("{path}/{name}?fieldManager=marks&force=true");
        let (code, answer) = self.send("PATCH", &path, "application/apply-patch+yaml", &body).await;
        assert!(code < 300, "{path}: {answer}");
    }

    /// Whether a user may use a verb on a resource in the test's namespace.
    async fn may(&self, user: &str, verb: &str, resource: &str) -> bool {
        let attributes =
            json!({ "verb": verb, "resource": resource, "namespace": self.namespace("default") });
        let review = json!({ "spec": { "user": user, "resourceAttributes": attributes } });
        let (code, answer) = self.send("POST", REVIEWS, "application/json", &review).await;
        assert!(code < 300, "a review of access: {answer}");
        answer["status"]["allowed"] == true
    }

    async fn send(&self, method: &str, path: &str, media_type: &str, body: &Value) -> (u16, Value) {
        let request = http::Request::builder().method(method).uri(path).header("content-type", media_type);
        let request = request.body(Body::from(body.to_string().into_bytes())).unwrap();
        let response = self.admin.send(request).await.unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect_bytes().await.unwrap();
        (code, serde_json::from_slice(&bytes).unwrap())
    }
}
