//! Servers that lie, break off, are busy, and say too much.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wheelhouse_artifacts::{ComponentDigest, Credentials, DigestOf, Error, Fetched, ManifestDigest};

use crate::scripted::{Act, Answer, Server, head, manifest, registry, reply};
use crate::{at, client, component, reference, url};

async fn fetch(server: &Server) -> Result<Fetched, Error> {
    client().fetch(&at(&server.at("a:1")), &Credentials::none(), None).await
}

/// What comes of a server that answers everything so.
async fn error_of(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Error {
    let server = Server::start(move |_| answer()).await;
    let of_registry = fetch(&server).await.unwrap_err();
    let location = url(&format!("http://{}/a.wasm?token=s3cret", server.host));
    let of_url = client().fetch(&location, &Credentials::none(), None).await.unwrap_err();
    let shown = format!("{of_registry}\n{of_url}\n{of_registry:?}\n{of_url:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
    assert_eq!(std::mem::discriminant(&of_registry), std::mem::discriminant(&of_url), "{shown}");
    of_registry
}

#[tokio::test]
async fn two_gigabytes_are_refused_before_a_byte_of_them_is_asked_for() {
    let manifest = manifest(&ComponentDigest::of(b""), 2 << 30);
    let server = Server::start(move |request| {
        assert!(request.path.contains("/manifests/"), "{request:?}");
        reply(200, &[], &manifest)
    })
    .await;
    let error = fetch(&server).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { size: Some(0x8000_0000), .. }), "{error:?}");
    assert!(error.to_string().contains("2147483648"), "{error}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_endless_answer_is_read_up_to_its_limit() {
    // Of a manifest, a token's server, a page with an error, and a file: each would go on for ever.
    let chunk =
        |size: usize| [format!("{size:x}\r\n").into_bytes(), vec![b'x'; size], b"\r\n".to_vec()].concat();
    let endless = move |status: u16, kind: &str| {
        let head =
            format!("HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
        vec![Act::Send(head.into_bytes()), Act::SendForever(chunk(1 << 16))]
    };
    let begun = Instant::now();
    let error = error_of(move || endless(200, "application/json")).await;
    assert!(matches!(error, Error::TooLarge { size: None, .. }), "{error:?}");
    let error = error_of(move || endless(404, "text/plain")).await;
    assert!(matches!(error, Error::NotFound { .. }) && error.to_string().len() < 400, "{error:?}");
    let server = Server::start(move |request| match request.path.as_str() {
        path if path.starts_with("/token") => endless(200, "application/json"),
        _ => {
            let realm = format!("Bearer realm=\"http://{}/token\"", request.header("host").unwrap());
            reply(401, &[("WWW-Authenticate", &realm)], "")
        }
    })
    .await;
    let error = fetch(&server).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(50));
}

#[tokio::test]
async fn a_body_that_is_larger_or_smaller_than_announced_is_refused() {
    let component = component("hello", 1000);
    let size = component.len() as u64;
    for (change, announced) in [(1, true), (-1, true), (1, false), (-1, false), (1 << 20, false)] {
        let mut bytes = component.to_vec();
        bytes.resize((bytes.len() as i64 + change) as usize, b'x');
        let server = registry(&component, move |_| {
            if announced {
                return reply(200, &[], &bytes);
            }
            // Until the connection ends: nobody is told how many.
            vec![Act::Send([b"HTTP/1.1 200 x\r\nConnection: close\r\n\r\n".as_slice(), &bytes].concat())]
        })
        .await;
        let error = fetch(&server).await.unwrap_err();
        let Error::WrongSize { expected, found, .. } = error else { panic!("{error:?}") };
        assert_eq!(expected, size);
        assert!((found as i64 - size as i64).signum() == change.signum() && !error.is_transient());
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_may_come_whole_the_next_time() {
    let component = component("hello", 1000);
    let sent = component.clone();
    let times = AtomicUsize::new(0);
    let server = registry(&component, move |_| {
        let mut answer = head(200, &[], sent.len());
        let whole = times.fetch_add(1, Ordering::Relaxed) > 0;
        answer.extend(&sent[..if whole { sent.len() } else { 500 }]);
        vec![Act::Send(answer)]
    })
    .await;
    let error = fetch(&server).await.unwrap_err();
    assert!(matches!(error, Error::Interrupted { .. }) && error.is_transient(), "{error:?}");
    assert!(fetch(&server).await.unwrap().bytes == component);
}

#[tokio::test]
async fn bytes_that_are_not_those_of_the_digest_are_refused() {
    let wanted = component("hello", 1000);
    let mut other = wanted.to_vec();
    *other.last_mut().unwrap() ^= 1;
    let found_digest = ComponentDigest::of(&other).to_string();
    let server = registry(&wanted, move |_| reply(200, &[], &other)).await;
    let error = fetch(&server).await.unwrap_err();
    let Error::DigestMismatch { of: DigestOf::Component, expected, found, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!((expected, found), (ComponentDigest::of(&wanted).to_string(), found_digest));
}

#[tokio::test]
async fn a_manifest_that_is_not_the_pinned_one_is_refused() {
    let other = manifest(&ComponentDigest::of(b"x"), 1);
    let served = other.clone();
    let server = Server::start(move |_| reply(200, &[], &served)).await;
    let pinned = ManifestDigest::of(b"another");
    let location = at(&server.at(&format!("a@{pinned}")));
    for known in [None, Some(Default::default())] {
        let error = client().resolve(&location, &Credentials::none(), known.as_ref()).await.unwrap_err();
        let Error::DigestMismatch { of: DigestOf::Manifest, expected, found, .. } = error else {
            panic!("{error:?}")
        };
        let digest = ManifestDigest::of(other.as_bytes());
        assert_eq!((expected, found), (pinned.to_string(), digest.to_string()));
    }
}

#[tokio::test]
async fn a_manifest_that_is_not_the_announced_one_is_refused() {
    let digest = ManifestDigest::of(b"another").to_string();
    let served = manifest(&ComponentDigest::of(b"x"), 1);
    let server = Server::start(move |_| reply(200, &[("Docker-Content-Digest", &digest)], &served)).await;
    let error = fetch(&server).await.unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { of: DigestOf::Manifest, .. }), "{error:?}");
}

#[tokio::test]
async fn too_many_requests_say_when_to_come_again() {
    let busy = |after: &'static str| move || reply(429, &[("Retry-After", after)], "");
    let error = error_of(busy("17")).await;
    assert!(matches!(error, Error::TooManyRequests { .. }) && error.is_transient(), "{error:?}");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(17)));
    assert!(error.to_string().contains("17 s"), "{error}");
    assert_eq!(error_of(busy("soon")).await.retry_after(), None);
    assert_eq!(
        error_of(|| reply(503, &[("Retry-After", "5")], "")).await.retry_after(),
        Some(Duration::from_secs(5))
    );
}

#[tokio::test]
async fn each_status_is_what_it_means() {
    for status in [500, 502, 503, 504, 408] {
        let error = error_of(move || reply(status, &[], "")).await;
        assert!(matches!(error, Error::Server { status: s, .. } if s == status), "{error:?}");
        assert!(error.is_transient());
    }
    for status in [401, 403] {
        let error = error_of(move || reply(status, &[], "")).await;
        assert!(matches!(error, Error::Unauthorized { with_credentials: false, .. }), "{error:?}");
        assert!(!error.is_transient());
    }
    for status in [404, 410] {
        let error = error_of(move || reply(status, &[], "")).await;
        assert!(matches!(error, Error::NotFound { .. }) && !error.is_transient(), "{error:?}");
    }
    for status in [400, 405, 418] {
        let error = error_of(move || reply(status, &[], "")).await;
        assert!(matches!(error, Error::Refused { status: s, .. } if s == status), "{error:?}");
        assert!(!error.is_transient());
    }
    for status in [204, 206] {
        let error = error_of(move || vec![Act::Send(head(status, &[], 0))]).await;
        assert!(matches!(error, Error::Protocol { .. }) && !error.is_transient(), "{error:?}");
    }
}

#[tokio::test]
async fn a_page_of_html_is_not_repeated() {
    let page = "<!doctype html><script>alert('s3cret')</script>";
    for kind in ["text/html; charset=utf-8", "text/plain", "application/json", "x"] {
        for status in [404, 500] {
            let error = error_of(move || reply(status, &[("Content-Type", kind)], page)).await;
            assert!(!format!("{error} {error:?}").contains("alert"), "{error:?}");
        }
    }
    for envelope in [
        serde_json::json!({"errors": [{"code": "DENIED", "message": page}]}),
        serde_json::json!({"message": page}),
    ] {
        let error = error_of(move || reply(500, &[], envelope.to_string())).await;
        assert!(!error.to_string().contains("alert"), "{error:?}");
    }
    // Nor is one that comes with a success.
    let error = error_of(move || reply(200, &[("Content-Type", "text/html")], page)).await;
    assert!(
        matches!(error, Error::NotAComponent { .. }) && !error.to_string().contains("script"),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_a_server_says_is_repeated_in_short_and_on_one_line() {
    let envelope = serde_json::json!({"errors": [
        {"code": "DENIED", "message": format!("a\n\u{1b}[31m{}", "b".repeat(10_000)), "detail": {"x": "y"}},
        {"code": "UNKNOWN", "message": "c"}]});
    let error = error_of(move || reply(404, &[], envelope.to_string())).await.to_string();
    assert!(error.contains("DENIED: a [31mbbbb") && error.len() < 400 && !error.contains('\n'), "{error:?}");
    let error = error_of(|| reply(500, &[("Content-Type", "text/plain")], "no space left")).await;
    assert!(error.to_string().contains("no space left"), "{error}");
}

#[tokio::test]
async fn what_is_no_http_is_an_error() {
    for bytes in [&b""[..], b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200", b"\0\0\0\0"] {
        let error = error_of(move || vec![Act::Send(bytes.to_vec())]).await;
        assert!(matches!(error, Error::Unreachable { .. }) && error.to_string().len() < 400, "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for location in [at(&format!("{nowhere}/a:1")), url(&format!("http://{nowhere}/a.wasm?token=s3cret"))] {
        let error = client().fetch(&location, &Credentials::none(), None).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }) && error.is_transient(), "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("refused") && !shown.contains("s3cret"), "{shown}");
    }
    let error =
        client().fetch(&url("https://no-such-host.invalid/a?token=s3cret"), &Credentials::none(), None).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, Error::Unreachable { .. }) && !format!("{error:?}").contains("s3cret"),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_upload_leads_to_no_other_scheme_and_a_failed_one_is_an_error() {
    for (location, is_error) in [
        ("http://example.com/upload", "redirects"),
        ("ftp://127.0.0.1/upload", "redirects"),
        ("http://[", "redirects"),
        ("/elsewhere", "HTTP 500"),
    ] {
        let server = Server::start(move |request| match request.method.as_str() {
            "HEAD" => reply(404, &[], ""),
            "POST" => reply(202, &[("Location", location)], ""),
            _ => reply(500, &[], ""),
        })
        .await;
        let pushed =
            client().push(&reference(&server.at("a:1")), component("a", 10), &Credentials::none()).await;
        let error = pushed.unwrap_err().to_string();
        assert!(error.contains(is_error), "{error}");
    }
}
