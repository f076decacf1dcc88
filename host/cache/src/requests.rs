//! How many requests were sent to the API server, and what came of them: client-go's
//! `rest_client_requests_total`.
//!
//! What was counted once is counted again without a lock: a thread that gives way to all others may stop in the
//! midst of it, and the renewal of a lease does not wait for that one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use http::{Method, Uri};

/// What client-go has for a request without an answer.
const NO_ANSWER: &str = "<error>";

/// Counts each HTTP request once, a repeated one again.
#[derive(Debug, Default)]
pub struct Requests {
    /// A list that only grows, and is short: it has what the API servers answered so far.
    first: OnceLock<Box<Counter>>,
}

#[derive(Debug)]
struct Counter {
    labels: Labels,
    count: AtomicU64,
    next: OnceLock<Box<Counter>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    host: Arc<str>,
    method: &'static str,
    /// None for a request without an answer.
    code: Option<u16>,
}

impl Requests {
    /// One is on its way. Whoever stops waiting for it has no answer.
    pub(crate) fn sending(&self, host: &Arc<str>, method: &Method) -> Sent<'_> {
        Sent { requests: self, labels: Labels { host: Arc::clone(host), method: verb(method), code: None } }
    }

    fn count(&self, labels: &Labels) {
        let mut place = &self.first;
        loop {
            let counter = place.get_or_init(|| {
                Box::new(Counter { labels: labels.clone(), count: AtomicU64::new(0), next: OnceLock::new() })
            });
            if counter.labels == *labels {
                counter.count.fetch_add(1, Ordering::Relaxed);
                return;
            }
            place = &counter.next;
        }
    }

    /// Of each status (`<error>` if there was no answer), method, and host with its port: how many.
    pub fn counts(&self) -> Vec<(String, &'static str, String, u64)> {
        let counters = std::iter::successors(self.first.get(), |counter| counter.next.get());
        let mut counts: Vec<_> =
            counters.map(|counter| (&counter.labels, counter.count.load(Ordering::Relaxed))).collect();
        counts.sort_unstable();
        let one = |(labels, count): (&Labels, u64)| {
            let code = labels.code.map_or_else(|| NO_ANSWER.to_owned(), |code| code.to_string());
            (code, labels.method, labels.host.to_string(), count)
        };
        counts.into_iter().map(one).collect()
    }
}

/// A request; it counts when this is dropped.
pub(crate) struct Sent<'a> {
    requests: &'a Requests,
    labels: Labels,
}

impl Sent<'_> {
    pub(crate) fn ended(mut self, code: Option<u16>) {
        self.labels.code = code;
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        self.requests.count(&self.labels);
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
    fn what_several_threads_count_at_once_is_the_sum() {
        let (requests, host) = (Requests::default(), Arc::from("h:1"));
        // Long enough, and from one moment on, so that they are at it at once.
        let (threads, begin) = (4, std::sync::Barrier::new(4));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let (requests, host, begin) = (&requests, &host, &begin);
                scope.spawn(move || {
                    begin.wait();
                    for request in 0..50_000 {
                        requests.sending(host, &Method::PUT).ended(Some(200 + request % 2));
                    }
                });
            }
        });
        let counts = requests.counts();
        assert_eq!(counts.len(), 2, "{counts:?}");
        assert!(counts.iter().all(|(_, _, _, count)| *count == 25_000 * threads), "{counts:?}");
    }

    #[test]
    fn the_host_has_no_credentials() {
        let uri = |text: &str| host(&text.parse().unwrap()).to_string();
        assert_eq!(uri("https://user:secret@example.test:6443/x"), "example.test:6443");
        assert_eq!(uri("https://[::1]:6443"), "[::1]:6443");
        assert_eq!(uri("https://example.test"), "example.test");
    }
}
