//! Servers that stop in the middle, and those that are only slow.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wheelhouse_artifacts::{Credentials, Error, Limits};

use crate::scripted::{Act, Server, head, registry, reply};
use crate::{at, component, reference, url, with};

fn impatient() -> Limits {
    Limits { bytes: 64 << 20, time: Duration::from_secs(60), stall: Duration::from_millis(300) }
}

#[tokio::test]
async fn a_stall_in_the_middle_of_a_body_ends_the_fetch() {
    let component = component("hello", 100_000);
    let sent = component.clone();
    let server = registry(&component, move |_| {
        let mut part = head(200, &[], sent.len());
        part.extend(&sent[..50_000]);
        vec![Act::Send(part), Act::Stall]
    })
    .await;
    let error =
        with(impatient()).fetch(&at(&server.at("a:1")), &Credentials::none(), None).await.unwrap_err();
    assert!(matches!(error, Error::Stalled { .. }) && error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_left() {
    let server = Server::start(|_| vec![Act::Stall]).await;
    let (client, nobody) = (with(impatient()), Credentials::none());
    let location = at(&server.at("a:1"));
    let errors = [
        client.fetch(&location, &nobody, None).await.unwrap_err(),
        client.resolve(&location, &nobody, None).await.unwrap_err(),
        client.push(&reference(&server.at("a:1")), component("a", 10), &nobody).await.unwrap_err(),
        client.fetch(&url(&format!("http://{}/a", server.host)), &nobody, None).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::Stalled { .. }) && error.is_transient(), "{error:?}");
    }
}

#[tokio::test]
async fn an_upload_that_nobody_takes_ends() {
    // It reads nothing of the body, so that the upload stops when all buffers are full.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let deaf = listener.local_addr().unwrap();
    let server = Server::start(move |request| match request.method.as_str() {
        "HEAD" => reply(404, &[], ""),
        _ => reply(202, &[("Location", &format!("http://{deaf}/upload?x=y"))], ""),
    })
    .await;
    let held = tokio::spawn(async move {
        let (_socket, _) = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
    });
    let component = component("hello", 32 << 20);
    let error = with(impatient()).push(&reference(&server.at("a:1")), component, &Credentials::none()).await;
    assert!(matches!(error, Err(Error::Stalled { .. })), "{error:?}");
    held.abort();
}

/// What takes much longer than a stall may, and moves all the time.
const SLOW: Limits =
    Limits { bytes: 64 << 20, time: Duration::from_secs(60), stall: Duration::from_millis(1500) };

#[tokio::test]
async fn a_slow_download_that_moves_is_waited_for() {
    let component = component("hello", 100_000);
    let sent = component.clone();
    let server = registry(&component, move |_| {
        let mut answer = vec![Act::Send(head(200, &[], sent.len()))];
        for part in sent.chunks(1000) {
            answer.extend([Act::Pause(Duration::from_millis(20)), Act::Send(part.to_vec())]);
        }
        answer
    })
    .await;
    let begun = Instant::now();
    let fetched = with(SLOW).fetch(&at(&server.at("a:1")), &Credentials::none(), None).await.unwrap();
    assert!(fetched.bytes == component && begun.elapsed() > SLOW.stall);
}

#[tokio::test]
async fn a_slow_upload_that_moves_is_waited_for_and_another_server_sees_no_credentials() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = listener.local_addr().unwrap();
    let component = component("hello", 32 << 20);
    let size = component.len();
    let server = Server::start(move |request| {
        let with_token = request.header("authorization").is_some();
        match request.method.as_str() {
            _ if !with_token => reply(401, &[("WWW-Authenticate", "Bearer realm=x")], ""),
            "PUT" => reply(201, &[], ""),
            "HEAD" => reply(404, &[], ""),
            _ => reply(202, &[("Location", &format!("http://{slow}/upload?x=y"))], ""),
        }
    })
    .await;
    let taken = tokio::spawn(async move {
        let mut heads = Vec::new();
        for _ in ["the component", "its configuration"] {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            let end = loop {
                socket.read_buf(&mut bytes).await.unwrap();
                if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                    break end + 4;
                }
            };
            let head = String::from_utf8(bytes.drain(..end).collect()).unwrap().to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap().to_owned();
            let mut left = length.parse::<usize>().unwrap() - bytes.len();
            let mut part = vec![0; 300_000];
            while left > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                left -= socket.read(&mut part).await.unwrap();
            }
            heads.push(head);
            let created = b"HTTP/1.1 201 x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            socket.write_all(created).await.unwrap();
        }
        heads
    });
    let config = serde_json::json!({"auths": {&server.host: {"registrytoken": "t0ken"}}});
    let credentials = Credentials::of_text(&config.to_string()).unwrap();
    let begun = Instant::now();
    with(SLOW).push(&reference(&server.at("a:1")), component, &credentials).await.unwrap();
    assert!(begun.elapsed() > SLOW.stall);
    let heads = taken.await.unwrap();
    assert!(heads[0].contains(&format!("content-length: {size}")), "{heads:?}");
    assert!(
        heads.iter().all(|head| !head.contains("authorization") && head.contains("&digest=sha256")),
        "{heads:?}"
    );
}

#[tokio::test]
async fn a_trickle_ends_with_the_time_for_the_whole() {
    let component = component("hello", 1 << 20);
    let server = registry(&component, |_| {
        // As slow as the other side reads: it is stopped by time, and not by size.
        vec![Act::Send(b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()), Act::Stall]
    })
    .await;
    let limits = Limits { time: Duration::from_millis(300), ..Limits::default() };
    let error = with(limits).fetch(&at(&server.at("a:1")), &Credentials::none(), None).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }) && error.is_transient(), "{error:?}");
}
