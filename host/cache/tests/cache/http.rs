//! An API server that says what it is told to, byte by byte, over loopback.
//!
//! Each connection is for one request, which must be the next that the script expects. Whatever comes
//! instead, or after the last, is noted and left without an answer: the test that polls says so.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// One request, and what comes back.
pub(crate) struct Exchange {
    asked: String,
    does: Vec<Does>,
}

enum Does {
    Says(Vec<u8>),
    /// Waits for the test.
    Waits(Arc<Notify>),
    Resets,
    FallsSilent,
}

/// The path with its decoded query, `timeoutSeconds` left out since it differs each time; before it the method,
/// unless that is GET; and behind it, if that is not plain JSON, what is accepted.
pub(crate) fn on(asked: impl Into<String>) -> Exchange {
    Exchange { asked: asked.into(), does: Vec::new() }
}

impl Exchange {
    fn then(mut self, does: Does) -> Self {
        self.does.push(does);
        self
    }

    pub(crate) fn says(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.then(Does::Says(bytes.into()))
    }

    /// A whole answer, with headers such as `retry-after: 1\r\n`.
    pub(crate) fn answers(self, status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        self.says(format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        ))
    }

    pub(crate) fn ok(self, body: &str) -> Self {
        self.answers("200 OK", "", body)
    }

    /// The head of an answer in chunks.
    pub(crate) fn streams(self) -> Self {
        self.says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n")
    }

    /// One chunk, sent on its own.
    pub(crate) fn chunk(self, text: impl AsRef<[u8]>) -> Self {
        let text = text.as_ref();
        let size = format!("{:x}\r\n", text.len());
        // An empty one would be the last.
        if text.is_empty() { self } else { self.says([size.as_bytes(), text, b"\r\n"].concat()) }
    }

    /// The end of the chunks. Without it, the connection is closed in the midst of them.
    pub(crate) fn ends(self) -> Self {
        self.says("0\r\n\r\n")
    }

    /// Goes on when the test says so.
    pub(crate) fn when(self, told: &Arc<Notify>) -> Self {
        self.then(Does::Waits(Arc::clone(told)))
    }

    /// Breaks the connection off (RST).
    pub(crate) fn resets(self) -> Self {
        self.then(Does::Resets)
    }

    /// Leaves the connection open, and says no more.
    pub(crate) fn falls_silent(self) -> Self {
        self.then(Does::FallsSilent)
    }
}

/// See the module.
pub(crate) struct Server {
    pub(crate) uri: http::Uri,
    expected: Vec<String>,
    asked: Arc<Mutex<Vec<(String, Instant)>>>,
}

impl Server {
    pub(crate) async fn start(script: impl IntoIterator<Item = Exchange>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let script: VecDeque<Exchange> = script.into_iter().collect();
        let expected = script.iter().map(|exchange| exchange.asked.clone()).collect();
        let asked = Arc::default();
        tokio::spawn(serve(listener, script, Arc::clone(&asked)));
        Self { uri, expected, asked }
    }

    /// How much was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// Asserts that what was asked so far is what the script expects; how much that is.
    fn check(&self) -> usize {
        let asked = self.asked.lock().unwrap();
        let asked: Vec<&str> = asked.iter().map(|(what, _)| what.as_str()).collect();
        assert!(self.expected.iter().take(asked.len()).eq(&asked), "{asked:#?}, not {:#?}", self.expected);
        asked.len()
    }

    /// Polls until it holds, with a deadline for the slowest machine.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !holds() {
            self.check();
            assert!(Instant::now() < deadline, "never: {what}; asked: {:?}", self.asked.lock().unwrap());
            sleep(Duration::from_millis(1)).await;
        }
        self.check();
    }

    /// Waits until the script's last request has come.
    pub(crate) async fn finished(&self) {
        self.until("all has been asked", || self.check() == self.expected.len()).await;
    }

    /// How long after the one before each request came.
    pub(crate) fn pauses(&self) -> Vec<Duration> {
        let asked = self.asked.lock().unwrap();
        asked.windows(2).map(|pair| pair[1].1 - pair[0].1).collect()
    }
}

async fn serve(
    listener: TcpListener,
    mut script: VecDeque<Exchange>,
    asked: Arc<Mutex<Vec<(String, Instant)>>>,
) {
    let mut unexpected = Vec::new();
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        let Some(request) = request(&mut socket).await else { continue };
        let next = script.pop_front().filter(|exchange| exchange.asked == request);
        asked.lock().unwrap().push((request, Instant::now()));
        match next {
            Some(exchange) => drop(tokio::spawn(answer(socket, exchange.does))),
            None => unexpected.push(socket),
        }
    }
}

/// As [`on`] describes it; none if the connection was closed without one.
async fn request(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let end = b"\r\n\r\n";
    let head = loop {
        if let Some(at) = bytes.windows(end.len()).position(|window| window == end) {
            break at + end.len();
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let body = bytes.split_off(head);
    let head = String::from_utf8(bytes).unwrap();
    // A connection that is closed before its request was read is reset.
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let length: usize = length.parse().unwrap();
    socket.read_exact(&mut vec![0; length - body.len()]).await.ok()?;
    let mut words = head.split(' ');
    let method = words.next().filter(|method| *method != "GET").map(|method| format!("{method} "));
    let (method, target) = (method.unwrap_or_default(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query: Vec<String> =
        query.split('&').filter(|part| !part.starts_with("timeoutSeconds=")).map(decoded).collect();
    let accept = head.lines().find_map(|line| line.strip_prefix("accept: ")).unwrap_or("nothing");
    let accept = if accept == "application/json" { String::new() } else { format!(" {accept}") };
    let query = query.join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    Some(format!("{method}{path}{mark}{query}{accept}"))
}

fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

/// A client that has gone away is no reason to fail: it may have heard enough.
async fn answer(mut socket: TcpStream, does: Vec<Does>) {
    socket.set_nodelay(true).unwrap();
    for does in does {
        match does {
            Does::Says(bytes) if socket.write_all(&bytes).await.is_err() => return,
            Does::Says(_) => {}
            Does::Waits(told) => told.notified().await,
            Does::Resets => return socket.set_zero_linger().unwrap(),
            Does::FallsSilent => std::future::pending().await,
        }
    }
}
