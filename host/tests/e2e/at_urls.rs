//! Components at URLs: they are taken, followed by their ETag, and asked for less often while that fails.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::plugin_resources::*;
use crate::support::{Host, eventually, with};
use crate::web_server::Web;

/// A spec of an echo that is at a URL.
fn at(url: &str, more: Value) -> Value {
    let mut component = json!({"url": url});
    component.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"component": component, "config": echo_of("default")})
}

#[tokio::test]
async fn a_component_at_a_url_is_loaded_and_followed_by_its_etag() {
    let host = Host::start_with(&[], &["--pull-interval", "1"]).await;
    let served = Arc::new(Mutex::new((1, wasm("echo"))));
    let there = Arc::clone(&served);
    let web = Web::start(move |_| {
        let (etag, bytes) = there.lock().unwrap().clone();
        (format!("200 OK\r\nETag: \"{etag}\""), bytes)
    });
    order(&host, "", "echo", at(&web.url, json!({"pullPolicy": "Always"}))).await;
    let first = until_ready(&host, "", "echo").await;
    assert_eq!(
        (&first.data["status"]["revision"], &first.data["status"]["artifact"]),
        (&json!(1), &json!(web.url))
    );
    // As long as the ETag stays, it is not fetched again.
    let looks = web.count("HEAD");
    eventually("it is looked at", || async { (web.count("HEAD") > looks + 1).then_some(()) }).await;
    assert_eq!(web.count("GET"), 1);

    *served.lock().unwrap() = (2, other(&wasm("echo")));
    let second = eventually("revision 2", || async {
        let resource = get(&host, "", "echo").await;
        (resource.data["status"]["revision"] == 2).then_some(resource)
    })
    .await;
    assert_eq!(web.count("GET"), 2);
    assert_ne!(first.data["status"]["digest"], second.data["status"]["digest"]);
    // From now on the spec is for something else than what is there.
    let digest = |digest: &Value| json!({"component": {"digest": digest}});
    change(&host, "", "echo", digest(&json!(format!("sha256:{}", "0".repeat(64))))).await;
    let mismatch = until(&host, "", "echo", "Fetched", "False", "DigestMismatch").await;
    assert!(message(&mismatch, "Fetched").contains("sha256:000"), "{mismatch:?}");
    assert!(message(&mismatch, "Ready").contains("revision 2 runs on"), "{mismatch:?}");
    change(&host, "", "echo", digest(&second.data["status"]["digest"])).await;
    let ready = until_ready(&host, "", "echo").await;
    assert_eq!(ready.data["status"]["revision"], 2, "it is what runs already");
}

#[tokio::test]
async fn a_server_in_trouble_is_asked_less_often_each_time_and_when_it_says() {
    let host = Host::start_in(with(&[]), &[]).await;
    let component = wasm("echo");
    let web = Web::start(move |before| match before {
        0 => ("429 Too Many Requests\r\nRetry-After: 3".to_owned(), Vec::new()),
        1 | 2 => ("503 Service Unavailable".to_owned(), Vec::new()),
        _ => ("200 OK".to_owned(), component.clone()),
    });
    order(&host, "", "echo", at(&web.url, json!({}))).await;
    until(&host, "", "echo", "Fetched", "False", "Unreachable").await;
    until_ready(&host, "", "echo").await;
    let asked = web.asked();
    let waited: Vec<Duration> = asked.windows(2).map(|pair| pair[1].at.duration_since(pair[0].at)).collect();
    // As the server has said, and then by the second and the third failure.
    let at_least = [3, 2, 4].map(Duration::from_secs);
    assert_eq!(waited.len(), at_least.len(), "{waited:?}");
    assert!(waited.iter().zip(at_least).all(|(waited, least)| *waited >= least), "{waited:?}");
}
