//! An API server that asks for a token, and a configuration that changes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use wheelhouse_cache::{ConnectError, Failure, Rest, Rotation};

/// What the configuration is at any time, and how often it was loaded.
pub(crate) struct Given {
    config: Mutex<Result<kube::Config, ConnectError>>,
    loads: AtomicUsize,
}

impl Given {
    pub(crate) fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    pub(crate) fn set(&self, config: kube::Config) {
        *self.config.lock().unwrap() = Ok(config);
    }

    pub(crate) fn fail(&self, why: &str) {
        *self.config.lock().unwrap() = Err(ConnectError::Load(why.into()));
    }
}

pub(crate) async fn follow(config: kube::Config) -> (Rest, Arc<Given>) {
    let given = Arc::new(Given { config: Mutex::new(Ok(config.clone())), loads: AtomicUsize::new(0) });
    let load = {
        let given = Arc::clone(&given);
        move || {
            given.loads.fetch_add(1, Ordering::SeqCst);
            let config = given.config.lock().unwrap().clone();
            async { config }
        }
    };
    (Rest::following(config, load, Rotation::default()).await.unwrap(), given)
}

/// Nothing is under way: the time may pass at once.
pub(crate) async fn later(after: Duration) {
    tokio::time::pause();
    tokio::time::advance(after).await;
    tokio::time::resume();
}

pub(crate) async fn get(rest: &Rest) -> Result<(), Failure> {
    rest.send(Method::GET, "/api/v1", None, Duration::from_secs(20)).await.map(|_| ())
}

/// Reads a request, and gives its first line and its token.
pub(crate) async fn read(socket: &mut (impl AsyncRead + Unpin)) -> (String, String) {
    let mut request = vec![0; 8192];
    let n = socket.read(&mut request).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&request[..n]).into_owned();
    let line = text.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let token = text.lines().find_map(|line| line.strip_prefix("authorization: Bearer "));
    (line, token.unwrap_or_default().to_owned())
}

pub(crate) async fn write(socket: &mut (impl AsyncWrite + Unpin), status: &str, body: &str) {
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    let _ = socket.write_all(head.as_bytes()).await;
    let _ = socket.shutdown().await;
}

const RESOURCES: &str =
    r#"{"kind":"APIResourceList","resources":[{"name":"pods","kind":"Pod","namespaced":true}]}"#;
const LIST: &str = r#"{"kind":"PodList","metadata":{"resourceVersion":"10"},"items":[]}"#;

/// An API server that lets in whoever has the token.
pub(crate) struct Server {
    pub(crate) uri: http::Uri,
    /// Of whom it lets in; "" is everybody, and "-" nobody.
    pub(crate) token: Mutex<&'static str>,
    asked: Mutex<Vec<String>>,
    /// Of the last event of a watch.
    version: AtomicUsize,
    /// Ends the watches.
    pub(crate) cut: Notify,
}

impl Server {
    pub(crate) async fn new(token: &'static str) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Arc::new(Self {
            uri: format!("http://{}", listener.local_addr().unwrap()).parse().unwrap(),
            token: Mutex::new(token),
            asked: Mutex::default(),
            version: AtomicUsize::new(10),
            cut: Notify::new(),
        });
        let serving = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let server = Arc::clone(&serving);
                tokio::spawn(async move { server.serve(&mut socket).await });
            }
        });
        server
    }

    async fn serve(&self, socket: &mut tokio::net::TcpStream) {
        let (line, token) = read(socket).await;
        let method = line.split(' ').next().unwrap_or_default();
        self.asked.lock().unwrap().push(format!("{method} {token}"));
        let wanted = *self.token.lock().unwrap();
        if !wanted.is_empty() && wanted != token {
            let status = r#"{"kind":"Status","code":401,"reason":"Unauthorized","message":"Unauthorized"}"#;
            write(socket, "401 Unauthorized", status).await;
        } else if line.contains("watch=true") {
            let version = self.version.fetch_add(1, Ordering::SeqCst) + 1;
            let mut metadata = json!({"resourceVersion": version.to_string()});
            if line.contains("sendInitialEvents=true") {
                metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
            }
            let event = json!({"type": "BOOKMARK", "object": {"metadata": metadata}});
            let cut = self.cut.notified();
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
            let chunk = format!("{head}{:x}\r\n{event}\n\r\n", event.to_string().len() + 1);
            socket.write_all(chunk.as_bytes()).await.unwrap();
            cut.await;
            let _ = socket.write_all(b"0\r\n\r\n").await;
        } else {
            write(socket, "200 OK", if line.contains("limit") { LIST } else { RESOURCES }).await;
        }
    }

    pub(crate) fn config(&self, token: &str) -> kube::Config {
        let mut config = kube::Config::new(self.uri.clone());
        config.auth_info.token = Some(token.to_owned().into());
        config
    }

    /// Methods and tokens, since it was asked last.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}
