//! The connection itself: certificates, handshakes, and what is sent over them that is no request.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use wheelhouse_devcluster::{Access, DevCluster, DevClusterConfig};

use crate::support::{DEADLINE, Server, config_of};

async fn client_config(cluster: &DevCluster) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for der in config_of(&cluster.kubeconfig()).await.root_cert.unwrap() {
        roots.add(CertificateDer::from(der)).unwrap();
    }
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

async fn connect(
    addr: SocketAddr,
    config: ClientConfig,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(addr).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// What comes back for raw bytes, up to the end of the connection.
async fn exchange(server: &Server, sent: &[u8]) -> String {
    let config = client_config(&server.cluster).await;
    let mut stream = connect(server.cluster.addr(), config, "localhost").await.unwrap();
    // The server may have heard enough before all is sent.
    let _ = stream.write_all(sent).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("an end in time");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn the_certificate_is_for_the_names_and_addresses_of_this_machine_alone() {
    let server = Server::rbac().await;
    assert!(server.cluster.url().starts_with("https://127.0.0.1:"));
    for name in ["127.0.0.1", "localhost", "::1", "kubernetes.default.svc"] {
        let config = client_config(&server.cluster).await;
        assert!(connect(server.cluster.addr(), config, name).await.is_ok(), "{name}");
    }
    let config = client_config(&server.cluster).await;
    assert!(connect(server.cluster.addr(), config, "example.com").await.is_err());
}

#[tokio::test]
async fn another_servers_certificate_is_not_trusted() {
    let (one, other) = (Server::rbac().await, Server::rbac().await);
    let config = client_config(&other.cluster).await;
    assert!(connect(one.cluster.addr(), config, "localhost").await.is_err());
}

#[tokio::test]
async fn http_1_1_is_what_is_agreed_on() {
    let server = Server::rbac().await;
    let mut config = client_config(&server.cluster).await;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = connect(server.cluster.addr(), config, "localhost").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn who_is_silent_in_the_handshake_or_speaks_plain_http_holds_up_nobody() {
    let server = Server::rbac().await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(server.cluster.addr()).await.unwrap());
    }
    let mut plain = TcpStream::connect(server.cluster.addr()).await.unwrap();
    plain.write_all(b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(DEADLINE, plain.read_to_end(&mut answer)).await.expect("an end in time");
    assert!(read.is_err() || !String::from_utf8_lossy(&answer).contains("HTTP/1.1 200"));
    assert_eq!(server.anonymous().get("/version").await.code, 200);
    server.cluster.shutdown().await;
}

/// Time is not waited for: it goes on to the next deadline whenever nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_end_is_ended() {
    let config = DevClusterConfig { access: Access::rbac(), ..DevClusterConfig::default() };
    let cluster = DevCluster::start(config).await.unwrap();
    let started = tokio::time::Instant::now();
    let mut silent = TcpStream::connect(cluster.addr()).await.unwrap();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0, "the end of the connection");
    assert!(started.elapsed() >= DEADLINE, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_header_that_is_too_large_is_refused_and_the_server_goes_on() {
    let server = Server::rbac().await;
    let request = format!(
        "GET /version HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n",
        "a".repeat(2_000_000)
    );
    let answer = exchange(&server, request.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let long = "a".repeat(100_000);
    server.with(&long).get("/version").await.message(401, "Unauthorized");
    server.admin().get("/api/v1/pods").await.ok();
}

#[tokio::test]
async fn a_header_cannot_be_smuggled_in_a_value() {
    let server = Server::rbac().await;
    let ask = async |value: &str| {
        let request = format!(
            "GET /api/v1/secrets HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {value}\r\n\r\n"
        );
        exchange(&server, request.as_bytes()).await
    };
    let token = server.admin_token.clone();
    assert!(ask(&token).await.starts_with("HTTP/1.1 200"), "who may read it");
    // A line of its own is a header: whose token it is acts as nobody much.
    let answer = ask(&format!("{token}\r\nimpersonate-user: nobody")).await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("nobody"), "{answer}");
    // A line that goes on with a space, or a byte that is none of a value, makes a request that is none.
    for value in [format!("{token}\r\n impersonate-user: nobody"), format!("{token}\0")] {
        let answer = ask(&value).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
}

#[tokio::test]
async fn a_refusal_needs_no_body() {
    let server = Server::rbac().await;
    // A body is announced and never sent.
    let request = "POST /api/v1/namespaces/default/pods HTTP/1.1\r\nhost: x\r\nauthorization: Bearer jane-token\r\n\
                   content-length: 1000000\r\nconnection: close\r\n\r\n";
    let answer = exchange(&server, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.contains(&json!("Forbidden").to_string()), "{answer}");
}
