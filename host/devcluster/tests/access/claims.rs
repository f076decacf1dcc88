//! What is in a token of a ServiceAccount, and what becomes of one that somebody has worked on.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wheelhouse_devcluster::Fault;

use crate::support::{ACCOUNTS, PATIENCE, Server};

const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

fn decode(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn encode(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

async fn review(server: &Server, token: &str, audiences: Value) -> Value {
    let body = json!({ "spec": { "token": token, "audiences": audiences } });
    server.admin().post(TOKEN_REVIEWS, body).await.ok()["status"].clone()
}

#[tokio::test]
async fn a_token_has_the_claims_that_a_clusters_tokens_have() {
    let server = Server::rbac().await;
    let token = server.account("robot").await;
    let account = server.admin().get(&format!("{ACCOUNTS}/robot")).await.ok();
    let parts: Vec<&str> = token.split('.').collect();
    let (header, claims) = (decode(parts[0]), decode(parts[1]));
    let claims: Value = serde_json::from_str(&server.inward(&claims.to_string())).unwrap();
    let issuer = server.issuer().await;
    assert_eq!(claims["iss"], issuer);
    assert_eq!(claims["sub"], "system:serviceaccount:default:robot");
    assert_eq!(claims["aud"], json!([issuer]));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    assert_eq!(claims["nbf"], claims["iat"]);
    assert!(claims["jti"].is_string());
    let uid = &account["metadata"]["uid"];
    let expected = json!({ "namespace": "default", "serviceaccount": { "name": "robot", "uid": uid } });
    assert_eq!(claims["kubernetes.io"], expected);

    let keys = server.with(&token).get("/openid/v1/jwks").await;
    assert_eq!(keys.headers["content-type"], "application/jwk-set+json");
    assert_eq!(keys.headers["cache-control"], "public, max-age=3600");
    let keys = keys.ok();
    let mut all = keys["keys"].as_array().unwrap().iter();
    assert!(all.any(|key| key["kid"] == header["kid"] && key["alg"] == header["alg"]), "{keys}");
    let found = server.with(&token).get("/.well-known/openid-configuration").await.ok();
    assert_eq!(found["issuer"], issuer);
    assert_eq!(server.anonymous().get("/openid/v1/jwks").await.code, 403);
}

#[tokio::test]
async fn a_token_that_was_worked_on_is_refused() {
    let server = Server::rbac().await;
    let token = server.account("robot").await;
    let parts: Vec<&str> = token.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    let changed = |field: &str, value: Value| {
        let mut claims = decode(claims);
        claims[field] = value;
        encode(&claims)
    };
    let alg = |name: &str| {
        let mut header = decode(header);
        header["alg"] = name.into();
        encode(&header)
    };
    let mut flipped = URL_SAFE_NO_PAD.decode(signature).unwrap();
    flipped[10] ^= 1;
    for bad in [
        format!(
            "{header}.{}.{signature}",
            changed("sub", json!("system:serviceaccount:kube-system:default"))
        ),
        format!("{header}.{}.{signature}", changed("exp", json!(32_503_680_000_i64))),
        format!("{}.{claims}.", alg("none")),
        format!("{}.{claims}.{signature}", alg("none")),
        format!("{}.{}.", alg("None"), changed("sub", json!("system:serviceaccount:default:default"))),
        format!("{}.{claims}.{signature}", alg("HS256")),
        format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(&flipped)),
        format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode([0_u8; 64])),
        format!("{header}.{claims}"),
        format!("{header}.{claims}.{signature}x"),
        format!("{header}.{claims}.{signature}."),
    ] {
        server.with(&bad).get("/version").await.message(401, "Unauthorized");
        assert_eq!(review(&server, &bad, json!([])).await.get("authenticated"), None, "{bad}");
    }
    assert_eq!(server.with(&token).get("/version").await.code, 200);
}

#[tokio::test]
async fn a_token_for_others_opens_nothing_here_and_a_review_tells_whom_it_is_for() {
    let server = Server::rbac().await;
    server.account("robot").await;
    let token = server.token_of("robot", json!({ "audiences": ["vault", "other"] })).await;
    server.with(&token).get("/version").await.message(401, "Unauthorized");
    let none = review(&server, &token, json!([])).await;
    let issuer = server.issuer().await;
    let why =
        format!("token audiences [\"vault\" \"other\"] is invalid for the target audiences [\"{issuer}\"]");
    assert_eq!(none.get("authenticated"), None);
    assert_says(none["error"].clone(), &why);
    let vault = review(&server, &token, json!(["vault", "unknown"])).await;
    assert_eq!(vault["authenticated"], true);
    assert_eq!(vault["audiences"], json!(["vault"]));
    assert_eq!(vault["user"]["username"], "system:serviceaccount:default:robot");
    assert!(review(&server, &token, json!(["unknown"])).await.get("authenticated").is_none());
}

#[tokio::test]
async fn a_review_of_a_users_token_is_true() {
    let server = Server::rbac().await;
    let jane = review(&server, "jane-token", json!([])).await;
    assert_eq!(jane["user"], json!({ "username": "jane", "groups": ["team", "system:authenticated"] }));
    assert_eq!(jane["audiences"], json!([server.issuer().await]));
    assert!(review(&server, "jane-token", json!(["vault"])).await.get("authenticated").is_none());
}

#[tokio::test]
async fn a_review_of_a_token_that_is_wrong_says_so_and_is_not_everybodys_to_ask_for() {
    let server = Server::rbac().await;
    let wrong = review(&server, "wrong", json!([])).await;
    assert_eq!(wrong, json!({ "user": {}, "error": "invalid bearer token" }));
    server.admin().post(TOKEN_REVIEWS, json!({ "spec": {} })).await.message(400, "BadRequest");
    server.jane().post(TOKEN_REVIEWS, json!({ "spec": { "token": "bob-token" } })).await.forbidden();
}

/// A server that knows other tokens, too, lists what each kind of them has against this one.
#[track_caller]
fn assert_says(error: Value, why: &str) {
    let listed = format!("[invalid bearer token, {why}]");
    assert!(error == why || error == listed, "{error} rather than {why}");
}

/// Why a token is good no more. A cluster keeps in mind for ten seconds that it was; the embedded server does not.
async fn why_it_ended(server: &Server, token: &str) -> Value {
    let started = tokio::time::Instant::now();
    loop {
        let status = review(server, token, json!([])).await;
        if server.is_embedded() || status.get("authenticated").is_none() || started.elapsed() > PATIENCE {
            return status["error"].clone();
        }
    }
}

#[tokio::test]
async fn a_review_of_an_accounts_token_says_why_it_is_good_no_more() {
    let server = Server::rbac().await;
    let first = server.account("robot").await;
    let bound = json!({ "boundObjectRef": { "kind": "Secret", "apiVersion": "v1", "name": "s" } });
    let secret = json!({ "metadata": { "name": "s" } });
    server.admin().post("/api/v1/namespaces/default/secrets", secret).await.ok();
    let of_secret = server.token_of("robot", bound).await;
    assert_eq!(review(&server, &of_secret, json!([])).await["error"], Value::Null);
    server.admin().delete("/api/v1/namespaces/default/secrets/s").await.ok();
    assert_says(why_it_ended(&server, &of_secret).await, "service account token has been invalidated");
    let path = format!("{ACCOUNTS}/robot");
    let old = server.admin().get(&path).await.ok()["metadata"]["uid"].clone();
    server.admin().delete(&path).await.ok();
    assert_says(why_it_ended(&server, &first).await, "serviceaccounts \"robot\" not found");
    server.account("robot").await;
    let new = server.admin().get(&path).await.ok()["metadata"]["uid"].clone();
    let expected = format!(
        "service account UID ({}) does not match claim ({})",
        new.as_str().unwrap(),
        old.as_str().unwrap()
    );
    assert_says(why_it_ended(&server, &first).await, &expected);
}

#[tokio::test]
async fn a_review_of_a_token_before_and_after_its_time_says_so() {
    let server = Server::rbac().await;
    let token = server.account("robot").await;
    for (ahead, expected) in
        [(7200, "service account token has expired"), (-7200, "service account token is not valid yet")]
    {
        server.cluster.faults().inject(Fault::ClockAhead(ahead));
        assert_eq!(review(&server, &token, json!([])).await["error"], expected);
    }
}
