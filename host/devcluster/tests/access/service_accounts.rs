//! ServiceAccounts: the one that each namespace has, and their tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wheelhouse_devcluster::{DevClusterConfig, Fault};

use crate::support::{ACCOUNTS, PODS, Server, pod, rule};

const WHOAMI: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// What a token says, which nobody has checked.
fn claims_of(server: &Server, token: &str) -> Value {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_str(&server.inward(&String::from_utf8(claims).unwrap())).unwrap()
}

async fn who(server: &Server, token: &str) -> Value {
    let review = json!({ "kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1" });
    server.with(token).post(WHOAMI, review).await.ok()["status"]["userInfo"].clone()
}

#[tokio::test]
async fn each_namespace_has_a_default_account_and_the_authoritys_certificate_again_and_again() {
    let server = Server::rbac().await;
    let admin = server.admin();
    for namespace in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        admin.get(&format!("/api/v1/namespaces/{namespace}/serviceaccounts/default")).await.ok();
    }
    admin.post("/api/v1/namespaces", json!({ "metadata": { "name": "team" } })).await.ok();
    let account = "/api/v1/namespaces/team/serviceaccounts/default";
    let first = admin.eventually(account, |answer| answer.code == 200).await.ok();
    let certificate = "/api/v1/namespaces/team/configmaps/kube-root-ca.crt";
    let found = admin.eventually(certificate, |answer| answer.code == 200).await.ok();
    assert!(found["data"]["ca.crt"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    admin.delete(account).await.ok();
    let second = admin.eventually(account, |answer| answer.code == 200).await.ok();
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    admin.merge(certificate, json!({ "data": { "ca.crt": "other" } })).await.ok();
    admin.eventually(certificate, |answer| answer.body["data"] == found["data"]).await;
    admin.delete("/api/v1/namespaces/team").await.ok();
    admin.eventually("/api/v1/namespaces/team", |answer| answer.code == 404).await;
    admin.get(account).await.message(404, "NotFound");
}

#[tokio::test]
async fn a_token_makes_its_account_known_with_its_groups() {
    let server = Server::rbac().await;
    let token = server.account("robot").await;
    let account = server.admin().get(&format!("{ACCOUNTS}/robot")).await.ok();
    let user = who(&server, &token).await;
    assert_eq!(user["username"], "system:serviceaccount:default:robot");
    assert_eq!(user["uid"], account["metadata"]["uid"]);
    let groups = ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"];
    assert_eq!(user["groups"], json!(groups));
    let id = user["extra"]["authentication.kubernetes.io/credential-id"][0].as_str().unwrap();
    assert!(id.starts_with("JTI="), "{id}");
    assert!(
        server.with(&token).get(PODS).await.forbidden().contains("\"system:serviceaccount:default:robot\"")
    );
}

#[tokio::test]
async fn a_token_is_not_had_for_the_asking() {
    let server = Server::rbac().await;
    server.account("robot").await;
    let path = format!("{ACCOUNTS}/robot/token");
    let refused = server.jane().post(&path, json!({})).await.forbidden();
    assert!(refused.contains("cannot create resource \"serviceaccounts/token\""), "{refused}");
    server.grant("jane", json!([rule(&["create"], "", &["serviceaccounts"])])).await;
    server.jane().post(&path, json!({})).await.forbidden();
    server.grant("jane", json!([rule(&["create"], "", &["serviceaccounts/token"])])).await;
    server.jane().post(&path, json!({})).await.ok();
    server.jane().post(&format!("{ACCOUNTS}/missing/token"), json!({})).await.message(404, "NotFound");
}

#[tokio::test]
async fn a_token_ends_when_it_says_and_does_not_begin_before() {
    let server = Server::rbac().await;
    server.account("robot").await;
    let token = server.token_of("robot", json!({ "expirationSeconds": 600 })).await;
    let code = async || server.with(&token).get("/api").await.code;
    assert_eq!(code().await, 200);
    for (ahead, expected) in [(590, 200), (700, 401), (-3600, 401), (0, 200)] {
        server.cluster.faults().inject(Fault::ClockAhead(ahead));
        assert_eq!(code().await, expected, "{ahead} s ahead");
    }
}

#[tokio::test]
async fn a_token_of_an_account_that_is_gone_or_another_one_is_refused() {
    let server = Server::rbac().await;
    let token = server.account("robot").await;
    assert_eq!(server.with(&token).get("/api").await.code, 200);
    server.admin().delete(&format!("{ACCOUNTS}/robot")).await.ok();
    server.with(&token).is_turned_away().await;
    let new = server.account("robot").await;
    server.with(&token).is_turned_away().await;
    assert_eq!(server.with(&new).get("/api").await.code, 200);
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_pod_ends_with_it() {
    let server = Server::rbac().await;
    server.account("robot").await;
    let mut runs = pod("p");
    runs["spec"]["serviceAccountName"] = "robot".into();
    let made = server.admin().post(PODS, runs.clone()).await.ok();
    let reference = |uid: &Value| json!({ "boundObjectRef": { "kind": "Pod", "apiVersion": "v1", "name": "p", "uid": uid } });
    let token = server.token_of("robot", reference(&made["metadata"]["uid"])).await;
    let user = who(&server, &token).await;
    assert_eq!(user["extra"]["authentication.kubernetes.io/pod-name"], json!(["p"]));
    assert_eq!(user["extra"]["authentication.kubernetes.io/pod-uid"], json!([made["metadata"]["uid"]]));

    let ask = async |account: &str, spec: Value| {
        server.admin().post(&format!("{ACCOUNTS}/{account}/token"), json!({ "spec": spec })).await
    };
    let stale = ask("robot", reference(&json!("another"))).await.message(409, "Conflict");
    assert_eq!(
        stale,
        "Operation cannot be fulfilled on Pod \"p\": the UID in the bound object reference (another) does not match \
         the UID in record. The object might have been deleted and then recreated"
    );
    let short = json!({ "boundObjectRef": { "kind": "Pod", "name": "p" } });
    ask("robot", short).await.ok();
    let other = ask("default", reference(&Value::Null)).await.message(400, "BadRequest");
    assert!(other.contains("pod running with different serviceaccount name"), "{other}");
    let node = json!({ "boundObjectRef": { "kind": "ConfigMap", "apiVersion": "v1", "name": "n" } });
    ask("robot", node).await.message(400, "BadRequest");
    let missing = json!({ "boundObjectRef": { "kind": "Secret", "apiVersion": "v1", "name": "n" } });
    ask("robot", missing).await.message(404, "NotFound");

    server.admin().delete(&format!("{PODS}/p")).await.ok();
    server.with(&token).is_turned_away().await;
    server.admin().post(PODS, runs).await.ok();
    server.with(&token).is_turned_away().await;
}

#[tokio::test]
async fn the_answer_says_what_was_given() {
    let server = Server::rbac().await;
    server.account("robot").await;
    let path = format!("{ACCOUNTS}/robot/token");
    let answer = server.admin().post(&path, json!({ "kind": "TokenRequest" })).await;
    assert_eq!(answer.code, 201);
    let spec =
        json!({ "audiences": [server.issuer().await], "expirationSeconds": 3600, "boundObjectRef": null });
    assert_eq!(answer.body["spec"], spec);
    assert_eq!(answer.body["kind"], "TokenRequest");
    assert_eq!(answer.body["metadata"]["name"], "robot");
    assert!(answer.body["status"]["expirationTimestamp"].is_string());
    for (seconds, why) in [
        (json!(599), "may not specify a duration less than 10 minutes"),
        (json!(-1), "may not specify a duration less than 10 minutes"),
        (json!(4_294_967_297_u64), "may not specify a duration larger than 2^32 seconds"),
    ] {
        let asked = json!({ "spec": { "expirationSeconds": seconds } });
        let refused = server.admin().post(&path, asked).await.message(422, "Invalid");
        assert!(
            refused.starts_with("TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds")
        );
        assert!(refused.ends_with(why), "{refused}");
    }
}

#[tokio::test]
async fn an_open_cluster_gives_tokens_too() {
    let server = Server::start(DevClusterConfig::default()).await;
    let token = server.account("robot").await;
    assert_eq!(claims_of(&server, &token)["sub"], "system:serviceaccount:default:robot");
}

#[tokio::test]
async fn the_kubeconfig_of_an_account_is_its_own() {
    let server = Server::rbac().await;
    server.account("robot").await;
    let name = "system:serviceaccount:default:robot";
    let kubeconfig = server.cluster.kubeconfig_for(name).unwrap();
    let client = kube::Client::try_from(crate::support::config_of(&kubeconfig).await).unwrap();
    let request = http::Request::get(PODS).body(Vec::new()).unwrap();
    let kube::Error::Api(status) = client.request::<Value>(request).await.unwrap_err() else {
        panic!("an answer")
    };
    assert!(status.code == 403 && status.message.contains(name), "{status:?}");
    for nobody in ["system:serviceaccount:default:missing", "system:serviceaccount:", "nobody", ""] {
        assert!(server.cluster.kubeconfig_for(nobody).is_none(), "{nobody}");
    }
}

#[tokio::test]
async fn a_token_of_a_pod_tells_its_node_and_one_of_a_node_ends_with_it() {
    let server = Server::rbac().await;
    server.account("robot").await;
    let node = json!({ "metadata": { "name": "n.example.com" } });
    let made = server.admin().post("/api/v1/nodes", node.clone()).await.ok();
    let mut runs = pod("p");
    runs["spec"]["serviceAccountName"] = "robot".into();
    runs["spec"]["nodeName"] = "n.example.com".into();
    server.admin().post(PODS, runs).await.ok();
    let bound = |kind: &str, name: &str| json!({ "boundObjectRef": { "kind": kind, "name": name } });
    let of_pod = server.token_of("robot", bound("Pod", "p")).await;
    let claim = json!({ "name": "n.example.com", "uid": made["metadata"]["uid"] });
    assert_eq!(claims_of(&server, &of_pod)["kubernetes.io"]["node"], claim);
    let extra = who(&server, &of_pod).await["extra"].clone();
    assert_eq!(extra["authentication.kubernetes.io/node-name"], json!(["n.example.com"]));
    assert_eq!(extra["authentication.kubernetes.io/node-uid"], json!([made["metadata"]["uid"]]));

    let of_node = server.token_of("robot", bound("Node", "n.example.com")).await;
    let extra = who(&server, &of_node).await["extra"].clone();
    assert_eq!(extra["authentication.kubernetes.io/node-name"], json!(["n.example.com"]));
    assert_eq!(extra.get("authentication.kubernetes.io/pod-name"), None);
    server.admin().delete("/api/v1/nodes/n.example.com").await.ok();
    server.with(&of_node).is_turned_away().await;
    assert_eq!(server.with(&of_pod).get("/api").await.code, 200, "it ends with the Pod alone");
    server.admin().post("/api/v1/nodes", node).await.ok();
    server.with(&of_node).is_turned_away().await;
}

#[tokio::test]
async fn a_request_for_a_token_says_of_itself_what_its_path_says() {
    let server = Server::rbac().await;
    server.account("robot").await;
    let uid = server.admin().get(&format!("{ACCOUNTS}/robot")).await.ok()["metadata"]["uid"].clone();
    let ask = async |body: Value| server.admin().post(&format!("{ACCOUNTS}/robot/token"), body).await;
    let made = ask(json!({ "metadata": { "name": "robot", "namespace": "default", "uid": uid } })).await.ok();
    assert_eq!(made["metadata"]["uid"], uid);
    assert_eq!(ask(json!({})).await.ok()["metadata"]["uid"], uid, "it is filled in");
    let refused = ask(json!({ "metadata": { "name": "other" } })).await.message(422, "Invalid");
    assert_eq!(
        refused,
        "TokenRequest.authentication.k8s.io \"robot\" is invalid: metadata.name: Invalid value: \"other\": must match \
         the service account name if specified"
    );
    // Of the namespace the server speaks for all kinds, before it looks at what kind it is.
    let refused = ask(json!({ "metadata": { "namespace": "other" } })).await.message(400, "BadRequest");
    assert!(refused.starts_with("the namespace of the provided object does not match"), "{refused}");
    let refused = ask(json!({ "metadata": { "uid": "another" } })).await.message(409, "Conflict");
    let uid = uid.as_str().unwrap();
    assert_eq!(
        refused,
        format!(
            "Operation cannot be fulfilled on TokenRequest.authentication.k8s.io \"robot\": the UID in the token \
             request (another) does not match the UID of the service account ({uid})"
        )
    );
    for (body, why) in [
        (
            json!({ "kind": "Pod" }),
            "Pod in version \"v1\" cannot be handled as a TokenRequest: no kind \"Pod\" is registered for version \
             \"authentication.k8s.io/v1\" in scheme",
        ),
        (
            json!({ "apiVersion": "v1" }),
            "TokenRequest in version \"v1\" cannot be handled as a TokenRequest: no kind \"TokenRequest\" is \
             registered for version \"v1\" in scheme",
        ),
        (
            json!({ "kind": "TokenReview" }),
            "TokenReview in version \"v1\" cannot be handled as a TokenRequest: converting (v1.TokenReview) to \
             (authentication.TokenRequest): unknown conversion",
        ),
        (
            json!({ "spec": { "expirationSeconds": "600" } }),
            "TokenRequest in version \"v1\" cannot be handled",
        ),
        (json!({ "spec": { "audiences": "a" } }), "TokenRequest in version \"v1\" cannot be handled"),
    ] {
        let refused = ask(body).await.message(400, "BadRequest");
        assert!(refused.starts_with(why), "{refused}");
    }
    let strict = format!("{ACCOUNTS}/robot/token?fieldValidation=Strict");
    let misspelt = json!({ "spec": { "audience": ["a"] } });
    let refused = server.admin().post(&strict, misspelt).await.message(400, "BadRequest");
    assert!(refused.ends_with("strict decoding error: unknown field \"spec.audience\""), "{refused}");
}

#[tokio::test]
async fn a_pod_acts_as_the_account_that_it_names_and_otherwise_as_that_called_default() {
    let server = Server::rbac().await;
    server.account("robot").await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = |name: &str, account: &str| {
        json!({ "metadata": { "name": name }, "spec": { "serviceAccountName": account,
            "containers": [{ "name": "c", "image": "i" }] } })
    };
    for (name, account, expected) in [("a", "", "default"), ("b", "robot", "robot")] {
        let made = server.admin().post(pods, pod(name, account)).await.ok();
        assert_eq!(made["spec"]["serviceAccountName"], expected);
        assert_eq!(made["spec"]["serviceAccount"], expected);
    }
    let refused = server.admin().post(pods, pod("c", "nobody")).await.message(403, "Forbidden");
    assert_eq!(
        refused,
        "pods \"c\" is forbidden: error looking up service account default/nobody: serviceaccount \"nobody\" not found"
    );
}
