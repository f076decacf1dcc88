//! A connection to a server, with one request at a time.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub(crate) struct Connection {
    requests: SendRequest<Full<Bytes>>,
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (requests, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { requests }
    }

    /// The body of the answer, which must be a good one.
    pub(crate) async fn send(&mut self, method: &str, path: &str, accept: &str, body: Bytes) -> Bytes {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("accept", accept)
            .header("content-type", "application/json")
            .body(Full::new(body))
            .unwrap();
        self.requests.ready().await.unwrap();
        let response = self.requests.send_request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(status.is_success(), "{method} {path}: {status} {}", String::from_utf8_lossy(&body));
        body
    }

    pub(crate) async fn get(&mut self, path: &str) -> Bytes {
        self.send("GET", path, "application/json", Bytes::new()).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: Bytes) -> Bytes {
        self.send("POST", path, "application/json", body).await
    }

    pub(crate) async fn put(&mut self, path: &str, body: Bytes) -> Bytes {
        self.send("PUT", path, "application/json", body).await
    }
}
