//! How many requests were sent to the API server, and what came of them: client-go's
//! `rest_client_requests_total`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Uri};

/// What client-go has for a request without an answer.
const NO_ANSWER: &str = "<error>";

/// Counts each HTTP request once, a repeated one again.
#[derive(Debug, Default)]
pub struct Requests {
    counts: Mutex<BTreeMap<Labels, u64>>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    host: Arc<str>,
    method: &'static str,
    /// None for a request without an answer.
    code: Option<u16>,
}

impl Requests {
    /// One is on its way. Whoever stops waiting for it has no answer.
    pub(crate) fn sending(&self, host: &Arc<str>, method: &Method) -> Sent<'_> {
        Sent { requests: self, host: Arc::clone(host), method: verb(method), code: None }
    }

    /// Of each status (`<error>` if there was no answer), method, and host with its port: how many.
    pub fn counts(&self) -> Vec<(String, &'static str, String, u64)> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |(labels, count): (&Labels, &u64)| {
            let code = labels.code.map_or_else(|| NO_ANSWER.to_owned(), |code| code.to_string());
            (code, labels.method, labels.host.to_string(), *count)
        };
        counts.iter().map(one).collect()
    }
}

/// A request; it counts when this is dropped.
pub(crate) struct Sent<'a> {
    requests: &'a Requests,
    host: Arc<str>,
    method: &'static str,
    code: Option<u16>,
}

impl Sent<'_> {
    pub(crate) fn ended(mut self, code: Option<u16>) {
        self.code = code;
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        let labels = Labels { host: Arc::clone(&self.host), method: self.method, code: self.code };
        let mut counts = self.requests.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(labels).or_default() += 1;
    }
}

/// Those that the host sends.
fn verb(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "OTHER",
    }
}

/// The host and port of an address, without the user that it may name.
pub(crate) fn host(uri: &Uri) -> Arc<str> {
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", uri.host().unwrap_or_default()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_by_its_answer_and_one_that_is_given_up_has_none() {
        let (requests, host) = (Requests::default(), Arc::from("h:1"));
        requests.sending(&host, &Method::GET).ended(Some(200));
        requests.sending(&host, &Method::GET).ended(Some(200));
        requests.sending(&host, &Method::GET).ended(None);
        drop(requests.sending(&host, &Method::POST));
        let of = |code: &str, method, count| (code.to_owned(), method, "h:1".to_owned(), count);
        assert_eq!(
            requests.counts(),
            [of("<error>", "GET", 1), of("200", "GET", 2), of("<error>", "POST", 1)]
        );
    }

    #[test]
    fn the_host_has_no_credentials() {
        let uri = |text: &str| host(&text.parse().unwrap()).to_string();
        assert_eq!(uri("https://user:secret@example.test:6443/x"), "example.test:6443");
        assert_eq!(uri("https://[::1]:6443"), "[::1]:6443");
        assert_eq!(uri("https://example.test"), "example.test");
    }
}
