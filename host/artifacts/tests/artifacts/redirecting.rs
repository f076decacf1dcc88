//! Redirects, and TLS: where they may lead, and what goes with them.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use wheelhouse_artifacts::{Client, Credentials, Error, Limits, Resolved};

use crate::scripted::{Request, Server, registry, reply};
use crate::{at, client, component, url};

/// A server's side of TLS for 127.0.0.1, and the authority that proves it.
fn tls() -> (TlsAcceptor, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), authority.pem())
}

fn to(location: String) -> impl Fn(&Request) -> crate::scripted::Answer + Send + Sync {
    move |_| reply(307, &[("Location", &location)], "")
}

#[tokio::test]
async fn a_blob_may_be_on_another_server_which_is_shown_no_credentials() {
    let component = component("hello", 5000);
    let served = component.clone();
    let storage = Server::start(move |_| reply(200, &[], &served)).await;
    let redirect = to(format!("http://{}/blob?signature=s3cret", storage.host));
    let registry = registry(&component, move |request| match request.header("authorization") {
        Some("Bearer t0ken") => redirect(request),
        _ => reply(401, &[("WWW-Authenticate", "Bearer realm=x")], ""),
    })
    .await;
    let config = serde_json::json!({"auths": {&registry.host: {"registrytoken": "t0ken"}}});
    let credentials = Credentials::of_text(&config.to_string()).unwrap();
    let fetched = client().fetch(&at(&registry.at("a:1")), &credentials, None).await.unwrap();
    assert!(fetched.bytes == component);
    assert_eq!(storage.seen()[0].path, "/blob?signature=s3cret");
    assert_eq!(storage.seen()[0].header("authorization"), None);
}

#[tokio::test]
async fn redirects_without_an_end_are_followed_a_few_times() {
    let server = Server::start(|request| {
        let next = format!("{}x", request.path);
        reply(302, &[("Location", &next)], "")
    })
    .await;
    for location in [at(&server.at("a:1")), url(&format!("http://{}/a?token=s3cret", server.host))] {
        let before = server.seen().len();
        let error = client().fetch(&location, &Credentials::none(), None).await.unwrap_err();
        assert!(matches!(error, Error::Redirected { .. }) && !error.is_transient(), "{error:?}");
        assert!(!format!("{error:?}").contains("s3cret"));
        assert_eq!(server.seen().len() - before, 6);
    }
}

#[tokio::test]
async fn a_redirect_to_nowhere_or_to_http_elsewhere_is_an_error() {
    for location in
        ["http://example.com/a?s3cret", "ftp://127.0.0.1/a", "http://[", "file:///etc/passwd", "\u{1}"]
    {
        let server = Server::start(to(location.replace('\u{1}', "http://"))).await;
        let error =
            client().fetch(&url(&format!("http://{}/a", server.host)), &Credentials::none(), None).await;
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Redirected { .. }), "{error:?}");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }
}

#[tokio::test]
async fn https_is_never_left() {
    let (acceptor, authority) = tls();
    let plain = Server::start(|_| reply(200, &[], "x")).await;
    let secure = Server::start_tls(acceptor, to(format!("http://{}/a", plain.host))).await;
    let client = Client::trusting(Limits::default(), &authority).unwrap();
    let error = client.fetch(&url(&format!("https://{}/a", secure.host)), &Credentials::none(), None).await;
    assert!(matches!(error, Err(Error::Redirected { .. })), "{error:?}");
    assert!(plain.seen().is_empty());
}

#[tokio::test]
async fn a_component_comes_by_https_from_whom_an_authority_proves() {
    let (acceptor, authority) = tls();
    let component = component("hello", 100_000);
    let served = component.clone();
    let server = Server::start_tls(acceptor, move |request| match request.method.as_str() {
        "HEAD" => {
            vec![crate::scripted::Act::Send(crate::scripted::head(200, &[("ETag", "\"1\"")], served.len()))]
        }
        _ => reply(200, &[("ETag", "\"1\"")], &served),
    })
    .await;
    let location = url(&format!("https://{}/hello.wasm?token=x", server.host));
    let nobody = Credentials::none();
    let trusting = Client::trusting(Limits::default(), &authority).unwrap();
    let fetched = trusting.fetch(&location, &nobody, None).await.unwrap();
    assert!(fetched.bytes == component);
    let now = trusting.resolve(&location, &nobody, None).await.unwrap();
    let size = Some(component.len() as u64);
    assert_eq!(now, Resolved { size, etag: Some("\"1\"".to_owned()), ..Resolved::default() });
    assert!(now.is_same(&fetched.resolved));
    // The others do not believe it.
    let error = client().fetch(&location, &nobody, None).await.unwrap_err();
    assert!(matches!(error, Error::Untrusted { .. }) && !error.is_transient(), "{error:?}");
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn a_url_whose_server_has_no_answer_to_that_resolves_to_nothing() {
    for (status, method) in [(405, "HEAD"), (501, "HEAD"), (403, "HEAD"), (200, "HEAD")] {
        let server = Server::start(move |request| {
            assert_eq!(request.method, method);
            vec![crate::scripted::Act::Send(crate::scripted::head(status, &[], 7))]
        })
        .await;
        let location = url(&format!("http://{}/a", server.host));
        let now = client().resolve(&location, &Credentials::none(), None).await.unwrap();
        assert_eq!((now.etag.clone(), now.component, now.manifest), (None, None, None));
        assert!(!now.is_same(&now));
    }
    let server =
        Server::start(|_| vec![crate::scripted::Act::Send(crate::scripted::head(404, &[], 0))]).await;
    let gone = client().resolve(&url(&format!("http://{}/a", server.host)), &Credentials::none(), None).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
}

#[test]
fn what_is_no_certificate_is_no_authority() {
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(Client::trusting(Limits::default(), nonsense), Err(Error::NoTls(_))));
}
