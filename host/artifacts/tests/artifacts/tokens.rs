//! Registries that want a token from another server.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use wheelhouse_artifacts::{ComponentDigest, Credentials, Error};

use crate::scripted::{Answer, Request, Server, manifest, reply};
use crate::{at, client, component, reference};

fn credentials(server: &Server, entry: Value) -> Credentials {
    Credentials::of_text(&json!({"auths": {&server.host: entry}}).to_string()).unwrap()
}

/// A registry that shows its manifest to whoever has the token, and a server beside it that gives the token.
async fn server(token: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Server {
    let manifest = manifest(&ComponentDigest::of(b"x"), 1);
    Server::start(move |request| {
        if request.path.starts_with("/token") {
            return token(request);
        }
        if request.header("authorization") == Some("Bearer t0ken") {
            return reply(200, &[], &manifest);
        }
        let host = request.header("host").unwrap();
        let challenge =
            format!("Bearer realm=\"http://{host}/token?x=y\",service=\"a registry\",scope=\"any\"");
        reply(401, &[("WWW-Authenticate", &challenge)], "{\"errors\":[{\"code\":\"UNAUTHORIZED\"}]}")
    })
    .await
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

#[tokio::test]
async fn a_token_is_asked_for_in_ones_own_name_or_in_nobodys() {
    let server = server(|_| reply(200, &[], "{\"token\": \"t0ken\", \"expires_in\": 300}")).await;
    let location = at(&server.at("team/a:1"));
    client().resolve(&location, &Credentials::none(), None).await.unwrap();
    let seen = server.seen();
    let paths: Vec<_> = seen.iter().map(|request| request.path.as_str()).collect();
    let token = "/token?x=y&service=a+registry&scope=repository%3Ateam%2Fa%3Apull";
    assert_eq!(paths, ["/v2/team/a/manifests/1", token, "/v2/team/a/manifests/1"]);
    assert_eq!(seen[1].header("authorization"), None);
    let me = credentials(&server, json!({"username": "me", "password": "pass"}));
    client().resolve(&location, &me, None).await.unwrap();
    assert_eq!(server.seen()[4].header("authorization"), Some(basic("me", "pass").as_str()));
    // The registry itself sees the token alone.
    assert_eq!(server.seen()[3].header("authorization"), None);
}

#[tokio::test]
async fn an_identity_token_is_changed_for_a_token() {
    let server = server(|request| {
        let form = String::from_utf8(request.body.clone()).unwrap();
        let is_right = request.method == "POST"
            && request.header("content-type") == Some("application/x-www-form-urlencoded")
            && form.contains("grant_type=refresh_token")
            && form.contains("refresh_token=identity%26")
            && form.contains("service=a+registry")
            && form.contains("scope=repository%3Aa%3Apull");
        if is_right { reply(200, &[], "{\"access_token\": \"t0ken\"}") } else { reply(400, &[], "") }
    })
    .await;
    let me = credentials(
        &server,
        json!({"auth": BASE64_STANDARD.encode("<token>:"), "identitytoken": "identity&"}),
    );
    client().resolve(&at(&server.at("a:1")), &me, None).await.unwrap();
}

#[tokio::test]
async fn a_push_asks_for_a_token_to_push_with() {
    let server = server(|_| reply(403, &[], "")).await;
    let error = client().push(&reference(&server.at("a:1")), component("a", 1), &Credentials::none()).await;
    assert!(matches!(error, Err(Error::Unauthorized { .. })), "{error:?}");
    assert!(server.seen()[1].path.ends_with("scope=repository%3Aa%3Apull%2Cpush"), "{:?}", server.seen());
}

#[tokio::test]
async fn a_server_that_gives_no_token_is_an_error_and_never_asked_for_ever() {
    for (status, body) in [
        (200, ""),
        (200, "{}"),
        (200, "{\"token\": \"\"}"),
        (200, "{\"token\": 7}"),
        (200, "{\"token\": \"a\\nb\"}"),
        (200, "{\"token\": \"wrong\"}"),
        (401, "{\"details\": \"incorrect username or password\"}"),
        (429, ""),
        (500, "<html>"),
    ] {
        let server = server(move |_| reply(status, &[("Retry-After", "3")], body)).await;
        let me = credentials(&server, json!({"username": "me", "password": "s3cret"}));
        let error = client().resolve(&at(&server.at("a:1")), &me, None).await.unwrap_err();
        let is_right = match (status, body.contains("wrong")) {
            (200, false) => matches!(error, Error::Protocol { .. }),
            (200, true) => matches!(error, Error::Unauthorized { with_credentials: true, .. }),
            (401, _) => error.to_string().contains("incorrect username or password"),
            (429, _) => error.retry_after().is_some_and(|time| time.as_secs() == 3),
            _ => matches!(error, Error::Server { status: 500, .. }) && error.is_transient(),
        };
        assert!(is_right, "{status} {body}: {error:?}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("s3cret") && !shown.contains(&basic("me", "s3cret")), "{shown}");
        assert!(server.seen().len() <= 3, "{:?}", server.seen());
    }
}

#[tokio::test]
async fn a_password_goes_to_no_server_without_https() {
    for realm in
        ["http://example.com/token", "ftp://127.0.0.1/token", "token", "", "http://127.0.0.1.example.com/"]
    {
        let server = Server::start(move |_| {
            reply(401, &[("WWW-Authenticate", &format!("Bearer realm=\"{realm}\""))], "")
        })
        .await;
        let me = credentials(&server, json!({"username": "me", "password": "s3cret"}));
        let error = client().resolve(&at(&server.at("a:1")), &me, None).await.unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_password_is_not_sent_until_the_registry_asks_for_it() {
    let server = Server::start(|request| match request.header("authorization") {
        Some(value) if value == basic("me", "pass") => reply(404, &[], ""),
        Some(_) => reply(500, &[], ""),
        None => reply(401, &[("WWW-Authenticate", "Basic realm=\"x\"")], ""),
    })
    .await;
    let me = credentials(&server, json!({"username": "me", "password": "pass"}));
    let error = client().resolve(&at(&server.at("a:1")), &me, None).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    assert_eq!(server.seen()[0].header("authorization"), None);
}
