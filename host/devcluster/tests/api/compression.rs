//! Which answers are compressed, and that they say the same.

use std::io::Read;

use http::HeaderMap;
use kube::client::Body;
use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, Server, start};

async fn get(server: &Server, path: &str, encoding: &str) -> (HeaderMap, Vec<u8>) {
    let path = server.outward(path);
    let request = http::Request::get(path).header("accept-encoding", encoding).body(Body::empty()).unwrap();
    let response = server.client.send(request).await.unwrap();
    let headers = response.headers().clone();
    (headers, response.into_body().collect_bytes().await.unwrap().to_vec())
}

/// Two ConfigMaps that are more than 128 KiB together, and less alone.
async fn with_large_list() -> Server {
    let server = start().await;
    for name in ["a", "b"] {
        server.config_map(name, json!({ "text": "lorem ipsum ".repeat(7_000) })).await;
    }
    server
}

#[tokio::test]
async fn a_large_list_is_compressed_for_who_accepts_it_and_says_the_same() {
    let server = with_large_list().await;
    let (plain_headers, plain) = get(&server, CONFIG_MAPS, "identity").await;
    assert_eq!(plain_headers.get("content-encoding"), None);
    for encoding in ["gzip", "deflate, gzip"] {
        let (headers, body) = get(&server, CONFIG_MAPS, encoding).await;
        assert_eq!(headers["content-encoding"], "gzip");
        assert_eq!(headers["vary"], "Accept-Encoding");
        assert!(body.len() * 10 < plain.len(), "{} of {}", body.len(), plain.len());
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut text).unwrap();
        let [list, expected]: [Value; 2] = [&text, &plain].map(|text| serde_json::from_slice(text).unwrap());
        // The version is of the whole cluster, in which others write.
        assert_eq!(list["items"], expected["items"]);
    }
}

#[tokio::test]
async fn what_is_small_or_not_asked_for_is_sent_as_it_is() {
    let server = with_large_list().await;
    for (path, encoding) in [(format!("{CONFIG_MAPS}/a").as_str(), "gzip"), (CONFIG_MAPS, "br")] {
        let (headers, body) = get(&server, path, encoding).await;
        assert_eq!(headers.get("content-encoding"), None, "{path} {encoding}");
        serde_json::from_slice::<Value>(&body).unwrap();
    }
}

#[tokio::test]
async fn a_watch_is_not_compressed() {
    let server = with_large_list().await;
    let path = format!("{CONFIG_MAPS}?watch=true&resourceVersion=0&timeoutSeconds=1");
    let (headers, body) = get(&server, &path, "gzip").await;
    assert_eq!(headers.get("content-encoding"), None);
    assert!(body.len() > 128 * 1024 && body.starts_with(b"{\"type\":\"ADDED\""));
}
