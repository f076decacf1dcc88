//! The API server as it speaks: one conversation, byte by byte.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use wheelhouse_cache::{InformerFactory, Rest, rest};

fn whole(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn chunked(chunks: &[&str]) -> String {
    let chunks: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
    format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{chunks}0\r\n\r\n")
}

#[tokio::test]
async fn discovery_pages_and_watches_are_asked_for_and_understood() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let answers = [
        whole(
            "200 OK",
            r#"{"kind":"APIResourceList","resources":[{"name":"orders","kind":"Order","namespaced":true},{"name":"orders/status","kind":"Order","namespaced":true}]}"#,
        ),
        whole(
            "200 OK",
            r#"{"kind":"OrderList","metadata":{"resourceVersion":"10","continue":"a+b/c="},"items":[{"metadata":{"name":"a","namespace":"n","uid":"a","resourceVersion":"1"}}]}"#,
        ),
        whole(
            "200 OK",
            r#"{"kind":"OrderList","metadata":{"resourceVersion":"10"},"items":[{"metadata":{"name":"b","namespace":"n","uid":"b","resourceVersion":"2"}}]}"#,
        ),
        chunked(&[
            r#"{"type":"MODIFIED","object":{"metadata":{"name":"a","namespace":"n","uid":"a","#,
            "\"resourceVersion\":\"11\"}}}\n{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"b\",\"namespace\":\"n\",\"uid\":\"b\",\"resourceVersion\":\"12\"}}}\n",
            "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Order\",\"metadata\":{\"resourceVersion\":\"15\"}}}\n{\"type\":\"ADD",
        ]),
    ];
    let server = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers.iter().map(Some).chain([None]) {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 8192];
            let n = socket.read(&mut request).await.unwrap();
            let line = String::from_utf8_lossy(&request[..n]).lines().next().unwrap().to_owned();
            asked
                .push(line.split("&timeoutSeconds").next().unwrap().trim_end_matches(" HTTP/1.1").to_owned());
            if let Some(answer) = answer {
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        }
        asked
    });
    let factory = InformerFactory::new(Rest::new(rest::connect(kube::Config::new(uri)).unwrap()));
    let informer = factory.informer(&"shop.example/v1/Order".parse().unwrap()).await.unwrap();
    assert_eq!(informer.resource().unwrap().subresources, ["status"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while informer.snapshot().seen() != "15" {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(1)).await;
    }
    let objects: Vec<String> = informer.snapshot().iter().map(|(_, o)| o.value().to_json()).collect();
    assert_eq!(
        objects,
        [
            r#"{"apiVersion":"shop.example/v1","kind":"Order","metadata":{"name":"a","namespace":"n","resourceVersion":"11","uid":"a"}}"#
        ]
    );
    let orders = "GET /apis/shop.example/v1/orders";
    let watch = format!("{orders}?watch=true&allowWatchBookmarks=true&resourceVersion=");
    assert_eq!(
        server.await.unwrap(),
        [
            "GET /apis/shop.example/v1".to_owned(),
            format!("{orders}?limit=500"),
            format!("{orders}?limit=500&continue=a%2Bb%2Fc%3D"),
            format!("{watch}10"),
            format!("{watch}15"),
        ]
    );
}
