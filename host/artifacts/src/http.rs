//! HTTP with bounds: every answer has a size, every wait an end, and no redirect leads out of HTTPS.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use tokio::time::timeout;
use url::Url;
use wheelhouse_core::printable::printable;

use crate::clients::{Clients, OwnAddress};
use crate::error::{Error, Said};
use crate::location::shown;
use crate::reference::is_loopback;

/// Redirects of one request. Registries need one, servers of files two.
const REDIRECTS: usize = 5;
/// What is read of an answer that only says what is wrong, for how long, and what is shown of it.
const SAID: usize = 16 << 10;
const SAYING: Duration = Duration::from_secs(5);
const SHOWN: usize = 200;
/// Nobody is told to wait longer.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// Of what is sent; progress is told in these steps.
const CHUNK: usize = 64 << 10;

/// Hears of bytes: how many there are by now, and how many there will be if that is known.
pub(crate) type Progress = Arc<dyn Fn(u64, Option<u64>) + Send + Sync>;

/// What is sent with a request.
#[derive(Clone)]
pub(crate) struct Payload {
    pub(crate) bytes: Bytes,
    pub(crate) content_type: &'static str,
    pub(crate) progress: Option<Progress>,
}

/// The requests of one operation.
#[derive(Clone)]
pub(crate) struct Exchange {
    pub(crate) clients: Clients,
    /// What errors name.
    pub(crate) at: String,
    pub(crate) stall: Duration,
}

impl Exchange {
    /// Asks for something, wherever redirects lead.
    pub(crate) async fn ask(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Response, Error> {
        let (mut url, mut headers) = (url.clone(), headers.clone());
        for _ in 0..=REDIRECTS {
            let request = self.clients.request(method, &url, &headers).map_err(|own| self.own(&own))?;
            let response = self.wait(request.send()).await?.map_err(|error| self.failed(&error))?;
            let Some(next) = self.redirect(&url, &response)? else { return Ok(response) };
            if next.origin() != url.origin() {
                headers.remove(AUTHORIZATION);
            }
            url = next;
        }
        Err(self.redirected(format!("more than {REDIRECTS} times")))
    }

    /// Sends something; a redirect is the answer.
    pub(crate) async fn send(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        payload: Payload,
    ) -> Result<Response, Error> {
        let request = self.clients.request(method, url, headers).map_err(|own| self.own(&own))?;
        let sent = Arc::new(AtomicU64::new(0));
        let body = Upload { sent: Arc::clone(&sent), left: payload.bytes, progress: payload.progress };
        let request =
            request.header(CONTENT_TYPE, payload.content_type).body(reqwest::Body::wrap(body)).send();
        let mut request = std::pin::pin!(request);
        loop {
            let before = sent.load(Ordering::Relaxed);
            match timeout(self.stall, &mut request).await {
                Ok(response) => return response.map_err(|error| self.failed(&error)),
                Err(_) if sent.load(Ordering::Relaxed) > before => {}
                Err(_) => return Err(self.stalled()),
            }
        }
    }

    /// The bytes of an answer, at most so many.
    pub(crate) async fn read(
        &self,
        mut response: Response,
        limit: u64,
        progress: Option<&Progress>,
    ) -> Result<Bytes, Error> {
        let announced = response.content_length();
        let too_large = |size| Error::TooLarge { at: self.at.clone(), limit, size };
        if announced.is_some_and(|size| size > limit) {
            return Err(too_large(announced));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) =
            self.wait(response.chunk()).await?.map_err(|error| self.interrupted(&error))?
        {
            let size = bytes.len() as u64 + chunk.len() as u64;
            if size > limit {
                return Err(too_large(None));
            }
            bytes.extend_from_slice(&chunk);
            if let Some(progress) = progress {
                progress(size, announced);
            }
        }
        Ok(bytes.into())
    }

    /// The error that an answer is, which is no success.
    pub(crate) async fn refused(&self, response: Response, with_credentials: bool) -> Error {
        let at = self.at.clone();
        let status = response.status();
        let retry_after = retry_after(response.headers(), SystemTime::now());
        let said = Said(self.said(response).await);
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Error::Unauthorized { at, with_credentials, said }
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => Error::NotFound { at, said },
            StatusCode::TOO_MANY_REQUESTS => Error::TooManyRequests { at, retry_after, said },
            StatusCode::REQUEST_TIMEOUT => Error::Server { at, status: status.as_u16(), retry_after, said },
            status if status.is_server_error() => {
                Error::Server { at, status: status.as_u16(), retry_after, said }
            }
            status => Error::Refused { at, status: status.as_u16(), said },
        }
    }

    pub(crate) fn protocol(&self, why: impl Into<String>) -> Error {
        Error::Protocol { at: self.at.clone(), why: why.into() }
    }

    /// What a server says for people. Whatever keeps it from that is of no interest.
    async fn said(&self, mut response: Response) -> Option<String> {
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_text = kind.is_some_and(|kind| kind.starts_with("text/plain"));
        let mut bytes = Vec::new();
        let read = async {
            while let Ok(Some(chunk)) = response.chunk().await {
                bytes.extend(chunk.iter().take(SAID - bytes.len()));
                if bytes.len() == SAID {
                    break;
                }
            }
        };
        // What has come by then will do.
        let _ = timeout(SAYING.min(self.stall), read).await;
        // Registries that forget to say that it is JSON are told by its shape.
        let said = match serde_json::from_slice::<Complaint>(&bytes) {
            Ok(complaint) => complaint.text()?,
            Err(_) if is_text => String::from_utf8_lossy(&bytes).into_owned(),
            Err(_) => return None,
        };
        let said = printable(said.trim(), SHOWN);
        (!said.is_empty() && !is_page(&said)).then_some(said)
    }

    /// Where an answer leads, if it leads elsewhere.
    fn redirect(&self, from: &Url, response: &Response) -> Result<Option<Url>, Error> {
        let redirects = [
            StatusCode::MOVED_PERMANENTLY,
            StatusCode::FOUND,
            StatusCode::SEE_OTHER,
            StatusCode::TEMPORARY_REDIRECT,
            StatusCode::PERMANENT_REDIRECT,
        ];
        if !redirects.contains(&response.status()) {
            return Ok(None);
        }
        self.location(from, response.headers()).map(Some)
    }

    /// The URL that an answer names, which is as safe as the one that it answers for.
    pub(crate) fn location(&self, from: &Url, headers: &HeaderMap) -> Result<Url, Error> {
        let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
        let to = location.and_then(|location| from.join(location).ok());
        let Some(to) = to else { return Err(self.redirected("to what is no URL".to_owned())) };
        let is_safe = match to.scheme() {
            "https" => true,
            "http" => from.scheme() == "http" && to.host_str().is_some_and(is_loopback),
            _ => false,
        };
        if !is_safe {
            return Err(self.redirected(format!("from {} to {}", shown(from), shown(&to))));
        }
        Ok(to)
    }

    fn redirected(&self, why: String) -> Error {
        Error::Redirected { at: self.at.clone(), why }
    }

    fn own(&self, why: &OwnAddress) -> Error {
        Error::Unreachable { at: self.at.clone(), why: why.to_string() }
    }

    fn stalled(&self) -> Error {
        Error::Stalled { at: self.at.clone(), after: self.stall }
    }

    async fn wait<T>(&self, future: impl Future<Output = T>) -> Result<T, Error> {
        timeout(self.stall, future).await.map_err(|_| self.stalled())
    }

    /// A request that has got no answer.
    fn failed(&self, error: &reqwest::Error) -> Error {
        let at = self.at.clone();
        match tls(error) {
            Some(error) => Error::Untrusted { at, why: printable(&error.to_string(), SHOWN) },
            None => Error::Unreachable { at, why: why(error) },
        }
    }

    fn interrupted(&self, error: &reqwest::Error) -> Error {
        Error::Interrupted { at: self.at.clone(), why: why(error) }
    }
}

/// The last cause: those before it say where, with the whole URL.
pub(crate) fn why(error: &reqwest::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    let text = match last.downcast_ref::<reqwest::Error>() {
        Some(_) => "the request cannot be made".to_owned(),
        None => last.to_string(),
    };
    printable(&text, SHOWN)
}

/// The cause that is TLS's.
fn tls(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        // An I/O error leaves out what it was made of, and goes on with that one's cause.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner: Option<&(dyn std::error::Error + 'static)> = inner.map(|inner| inner as _);
        if let Some(tls) = inner.unwrap_or(error).downcast_ref() {
            return Some(tls);
        }
        cause = inner.or_else(|| error.source());
    }
    None
}

/// Whatever it calls itself.
fn is_page(text: &str) -> bool {
    text.trim_start().starts_with('<')
}

/// What registries write in JSON when something is wrong, and what token servers write.
#[derive(Deserialize)]
struct Complaint {
    #[serde(default)]
    errors: Vec<Complained>,
    #[serde(default)]
    details: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Deserialize)]
struct Complained {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Complaint {
    fn text(self) -> Option<String> {
        match self.errors.into_iter().next() {
            Some(first) if first.message.is_empty() || is_page(&first.message) => Some(first.code),
            Some(first) => Some(format!("{}: {}", first.code, first.message)),
            None => self.details.or(self.message),
        }
    }
}

/// In seconds, or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let time = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(time.min(LONGEST_WAIT))
}

/// A body that counts what has gone.
struct Upload {
    left: Bytes,
    sent: Arc<AtomicU64>,
    progress: Option<Progress>,
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let size = self.left.len().min(CHUNK);
        let chunk = self.left.split_to(size);
        let sent = self.sent.fetch_add(size as u64, Ordering::Relaxed) + size as u64;
        if let Some(progress) = &self.progress {
            progress(sent, Some(sent + self.left.len() as u64));
        }
        Poll::Ready(Some(Ok(http_body::Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.left.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_wait_is_seconds_or_a_date_and_never_endless() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        for (text, seconds) in [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("99999999999", Some(24 * 60 * 60)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(24 * 60 * 60)),
            ("-1", None),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
