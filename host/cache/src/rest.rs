//! Raw requests to the API server, and what its refusals mean.
//!
//! Built on `kube::Client` for the connection, TLS and authentication alone: answers are decoded by
//! the caller, straight into [`wheelhouse_core::Object`]s, and failures keep what kube's error drops
//! (Retry-After). **Nothing is retried here**, and [`connect`] turns kube's own retries off: they
//! would repeat a POST. With one exception: a GET that was answered 401, and for which other credentials
//! were then found, is asked once more with those. A write never is.
//!
//! Credentials and certificates are rotated while the process runs: see [`Rest::following`].
//!
//! What may only be written under a lease goes through a [`Rest::fenced`], so that no way of writing can
//! forget it. It is judged as late as kube's client allows, before each step of handing the request over, and
//! once the fence is closed nobody waits for the answer to a write any more. What is left is the time that it
//! takes from there to the kernel: a process, or a thread of it, that is kept from running within it, for longer
//! than its lease, sends that one request late.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::client::Body;
use tokio::time::timeout;
use wheelhouse_core::{Fence, Moment};

pub use crate::connection::Rotation;
use crate::connection::{Connection, Trouble};
pub use crate::credentials::ConnectError;
use crate::credentials::say;
pub use crate::failure::{Failure, Status};
pub(crate) use crate::failure::{RawStatus, status};
use crate::requests::{Requests, host};

/// The largest answer that is read into memory. A page of 500 objects of 1.5 MB, etcd's limit, fits.
const MAX_ANSWER: usize = 1 << 30;
/// Of a refusal; what is beyond is not read.
const MAX_REFUSAL: usize = 1 << 20;
const JSON: &str = "application/json";
/// Who waits for the answer to a write looks at the fence so often.
const LOOK: Duration = Duration::from_millis(100);

/// Percent-encodes a value of a query, or a segment of a path.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A client for [`Rest`]: kube's, without its retries of requests that must not be repeated
/// blindly, and without a read timeout, which would cut watches.
///
/// # Errors
/// If the configuration cannot be used (TLS, credentials).
pub fn connect(mut config: kube::Config) -> Result<kube::Client, kube::Error> {
    config.default_retry = false;
    config.read_timeout = None;
    kube::Client::try_from(config)
}

/// The API server, by path. Clones share the connection.
#[derive(Clone)]
pub struct Rest {
    connection: Arc<Connection>,
    requests: Arc<Requests>,
    /// Of everything that is no GET.
    fence: Fence,
}

/// A request without success, and whether another client is in use since.
struct Failed {
    failure: Failure,
    replaced: bool,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { failure, replaced: false }
    }
}

impl Rest {
    /// Over this client, for ever; see [`connect`].
    pub fn new(client: kube::Client) -> Self {
        Self::fixed(client, "".into())
    }

    /// Likewise, of a configuration; see [`connect`].
    ///
    /// # Errors
    /// As [`connect`].
    pub fn of(config: kube::Config) -> Result<Self, kube::Error> {
        let host = host(&config.cluster_url);
        Ok(Self::fixed(connect(config)?, host))
    }

    fn fixed(client: kube::Client, host: Arc<str>) -> Self {
        let connection = Arc::new(Connection::fixed(client, host));
        Self { connection, requests: Arc::default(), fence: Fence::open() }
    }

    /// Which one it is: its host and port, as they are configured.
    pub fn server(&self) -> Arc<str> {
        Arc::clone(&self.connection.now().host)
    }

    /// How many requests were sent; clones share them.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Over a client of this configuration, which `load` gave, and of each one that differs from it
    /// when `load` is asked again: from time to time, and when a request was answered 401 or got no
    /// answer. What cannot be loaded or used changes nothing, and is said in a warning. A watch goes
    /// on over the connection that it began on. Call it within a tokio runtime.
    ///
    /// # Errors
    /// If no client can be made of the first configuration.
    pub async fn following<F, L>(
        config: kube::Config,
        load: L,
        rotation: Rotation,
    ) -> Result<Self, ConnectError>
    where
        F: Future<Output = Result<kube::Config, ConnectError>> + Send + 'static,
        L: Fn() -> F + Send + Sync + 'static,
    {
        let connection = Arc::new(Connection::following(config, load, rotation).await?);
        Ok(Self { connection, requests: Arc::default(), fence: Fence::open() })
    }

    /// Likewise, over the same connection, for who may write no longer than the fence is open.
    #[must_use]
    pub fn fenced(&self, fence: &Fence) -> Self {
        Self { fence: fence.clone(), ..self.clone() }
    }

    /// The client that is in use now, for what this has no words for. It stays as it is.
    pub fn client(&self) -> kube::Client {
        self.connection.now().client.clone()
    }

    /// One request and the whole of its answer, if that is a success. One that is no GET is sent only while
    /// the fence is open ([`Failure::Fenced`]), and is given up soon after that closes, for then nobody knows
    /// whether it was carried out ([`Failure::GivenUp`]). As long as the fence's end is moved on, it is not.
    ///
    /// # Errors
    /// Whatever else it is.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        content: Option<(&str, Vec<u8>)>,
        within: Duration,
    ) -> Result<Bytes, Failure> {
        let answer = async {
            if method == Method::GET && content.is_none() {
                return body(self.open(path, JSON).await?).await;
            }
            let writes = method != Method::GET;
            let response =
                self.attempt(method, path, JSON, content).await.map_err(|failed| failed.failure)?;
            if writes { self.while_open(body(response)).await? } else { body(response).await }
        };
        timeout(within, answer).await.map_err(|_| Failure::TimedOut(within))?
    }

    /// Waits for what comes of a write, unless the fence closes before. That is looked at before each step: one
    /// that sends must not be taken by a thread that was kept from running until the lease was another's.
    async fn while_open<T>(&self, doing: impl Future<Output = T>) -> Result<T, Failure> {
        let mut doing = pin!(doing);
        let open = || self.fence.left(Moment::now()).map_err(Failure::GivenUp);
        loop {
            let step = poll_fn(|context| match open() {
                Ok(_) => doing.as_mut().poll(context).map(Ok),
                Err(closed) => Poll::Ready(Err(closed)),
            });
            if let Ok(done) = timeout(open()?.min(LOOK), step).await {
                return done;
            }
        }
    }

    /// A GET and the whole of its answer, if that is a success; none if it has more than so many bytes, of which
    /// no more are read.
    ///
    /// # Errors
    /// Whatever else it is.
    pub async fn get_at_most(
        &self,
        path: &str,
        bytes: usize,
        within: Duration,
    ) -> Result<Option<Bytes>, Failure> {
        let answer = async {
            let response = self.open(path, JSON).await?;
            match Limited::new(response.into_body(), bytes).collect().await {
                Ok(body) => Ok(Some(body.to_bytes())),
                Err(error) if error.is::<LengthLimitError>() => Ok(None),
                Err(error) => Err(Failure::Unreachable(chain(&*error))),
            }
        };
        timeout(within, answer).await.map_err(|_| Failure::TimedOut(within))?
    }

    /// A GET for an answer of this type, and the whole of it, if that is a success.
    ///
    /// # Errors
    /// Whatever else it is.
    pub async fn get(&self, path: &str, accept: &str, within: Duration) -> Result<Bytes, Failure> {
        let answer = async { body(self.open(path, accept).await?).await };
        timeout(within, answer).await.map_err(|_| Failure::TimedOut(within))?
    }

    /// A GET for an answer of this type, as it comes, if that is a success. It has no deadline.
    ///
    /// # Errors
    /// Whatever else it is.
    pub async fn open(&self, path: &str, accept: &str) -> Result<Response<Body>, Failure> {
        match self.attempt(Method::GET, path, accept, None).await {
            Ok(response) => Ok(response),
            Err(Failed { failure, replaced: true }) if failure.code() == Some(401) => {
                self.attempt(Method::GET, path, accept, None).await.map_err(|failed| failed.failure)
            }
            Err(Failed { failure, .. }) => Err(failure),
        }
    }

    async fn attempt(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        content: Option<(&str, Vec<u8>)>,
    ) -> Result<Response<Body>, Failed> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, accept)
            .header(header::ACCEPT_ENCODING, "identity");
        if let Some((content_type, _)) = content {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let method = request.method_ref().cloned().unwrap_or_default();
        let body = content.map_or_else(Body::empty, |(_, body)| Body::from(body));
        let request = request.body(body).map_err(|e| Failure::BadRequest(e.to_string()))?;
        let writes = request.method() != Method::GET;
        let used = self.connection.for_request().await;
        if writes {
            self.fence.left(Moment::now()).map_err(Failure::Fenced)?;
        }
        let sent = self.requests.sending(&used.host, &method);
        let answer = used.client.send(request);
        let answer = if writes { self.while_open(answer).await? } else { answer.await };
        sent.ended(answer.as_ref().ok().map(|response| response.status().as_u16()));
        let (failure, trouble) = match answer {
            Ok(response) if response.status().is_success() => return Ok(response),
            Ok(response) => {
                let (parts, body) = response.into_parts();
                let body = collect(body, MAX_REFUSAL).await.unwrap_or_default();
                let status = status(parts.status.as_u16(), &parts.headers, &body);
                let trouble = (parts.status == StatusCode::UNAUTHORIZED).then_some(Trouble::Refused);
                (Failure::Status(status), trouble)
            }
            Err(error) => (Failure::Unreachable(say(&error)), Some(Trouble::NoAnswer)),
        };
        let replaced = match trouble {
            Some(trouble) => self.connection.in_trouble(&used, trouble).await,
            None => false,
        };
        Err(Failed { failure, replaced })
    }
}

/// The whole of an answer.
pub(crate) async fn body(response: Response<Body>) -> Result<Bytes, Failure> {
    collect(response.into_body(), MAX_ANSWER).await
}

async fn collect(body: Body, most: usize) -> Result<Bytes, Failure> {
    let mut chunks = body.into_data_stream();
    let mut all = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|e| Failure::Unreachable(chain(&e)))?;
        if all.len() + chunk.len() > most {
            return Err(Failure::Unreadable(format!("it is larger than {most} bytes")));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.into())
}

/// An error with its causes: the outermost alone says "service error".
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_query_can_end_it() {
        assert_eq!(encode("a=b,c in (d)&x/../y"), "a%3Db%2Cc%20in%20%28d%29%26x%2F..%2Fy");
    }
}
