//! A server on a port of its own that answers as a test says, byte for byte.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use wheelhouse_artifacts::ComponentDigest;

/// What a server was asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// What a server does, one after the other; then it closes the connection.
pub(crate) enum Act {
    Send(Vec<u8>),
    /// As often as the other side takes it.
    SendForever(Vec<u8>),
    /// Waits before what comes next.
    Pause(Duration),
    /// Does nothing any more.
    Stall,
}

pub(crate) type Answer = Vec<Act>;

/// An answer with a body.
pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
    let body = body.as_ref();
    let mut answer = head(status, headers, body.len());
    answer.extend(body);
    vec![Act::Send(answer)]
}

/// An answer up to its body, which has so many bytes, or says so.
pub(crate) fn head(status: u16, headers: &[(&str, &str)], size: usize) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {size}\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    (head + "\r\n").into_bytes()
}

pub(crate) struct Server {
    /// `127.0.0.1:PORT`.
    pub(crate) host: String,
    seen: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::serve(None, answer).await
    }

    pub(crate) async fn start_tls(
        acceptor: TlsAcceptor,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::serve(Some(acceptor), answer).await
    }

    async fn serve(
        acceptor: Option<TlsAcceptor>,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (noted, answer) = (Arc::clone(&seen), Arc::new(answer));
        let task = tokio::spawn(async move {
            // They end with this task.
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (noted, answer, acceptor) = (Arc::clone(&noted), Arc::clone(&answer), acceptor.clone());
                connections.spawn(async move {
                    match acceptor {
                        None => converse(socket, &noted, &*answer).await,
                        Some(acceptor) => match acceptor.accept(socket).await {
                            Ok(socket) => converse(socket, &noted, &*answer).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { host, seen, task }
    }

    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn at(&self, rest: &str) -> String {
        format!("{}/{rest}", self.host)
    }
}

async fn converse(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    seen: &Mutex<Vec<Request>>,
    answer: &(impl Fn(&Request) -> Answer + Send + Sync),
) -> Option<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        (socket.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    };
    let mut body = bytes.split_off(end + 4);
    let text = String::from_utf8(bytes).unwrap();
    let mut words = text.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut request = Request { method, path, head: text, body: Vec::new() };
    let size = request.header("content-length").map_or(0, |size| size.parse().unwrap());
    while body.len() < size {
        (socket.read_buf(&mut body).await.ok()? > 0).then_some(())?;
    }
    request.body = body;
    seen.lock().unwrap().push(request.clone());
    for act in answer(&request) {
        match act {
            Act::Send(bytes) => socket.write_all(&bytes).await.ok()?,
            Act::SendForever(bytes) => loop {
                socket.write_all(&bytes).await.ok()?;
            },
            Act::Pause(time) => tokio::time::sleep(time).await,
            Act::Stall => std::future::pending().await,
        }
        socket.flush().await.ok()?;
    }
    socket.shutdown().await.ok()
}

/// A manifest with a Wasm layer of this digest and size.
pub(crate) fn manifest(digest: &ComponentDigest, size: u64) -> String {
    let digest = digest.to_string();
    let layer = serde_json::json!({"mediaType": "application/wasm", "digest": digest, "size": size});
    serde_json::json!({"schemaVersion": 2, "layers": [layer]}).to_string()
}

/// A registry with one artifact, of this component, whose blob is answered as told.
pub(crate) async fn registry(
    component: &[u8],
    blob: impl Fn(&Request) -> Answer + Send + Sync + 'static,
) -> Server {
    let manifest = manifest(&ComponentDigest::of(component), component.len() as u64);
    Server::start(move |request| {
        if request.path.contains("/manifests/") { reply(200, &[], &manifest) } else { blob(request) }
    })
    .await
}
