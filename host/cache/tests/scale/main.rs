//! A hundred thousand Pods of 4 kB: what they take of memory once they are there, and on the way.
//!
//! What is measured is the process, so each way of listing gets one of its own.
#![cfg(test)]

use std::fmt::Write as _;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use wheelhouse_cache::{Informer, InformerFactory, Rest, rest};
use wheelhouse_core::Kind;

const PODS: usize = 100_000;
/// What one Pod may take, all told, in bytes: 5 kB.
const EACH: u64 = 5_000;

const POD: &str = include_str!("../../../core/tests/data/pod.json");

fn pod(number: usize) -> String {
    let name = format!(r#""name":"pod-{number:06}""#);
    let node = format!(r#""nodeName":"node-{:06}""#, number / 100);
    let pod = POD.trim().replacen(r#""name":"POD_NAME""#, &name, 1);
    pod.replacen(r#""nodeName":"node-17""#, &node, 1)
}

/// Answers lists by pages, streaming lists, and watches that are silent; it makes the Pods as it goes.
async fn serve(socket: TcpStream, streams: bool) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    loop {
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            if socket.read_line(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let line = request.lines().next().unwrap_or_default();
        let number = |name: &str| -> usize {
            let (_, rest) = line.split_once(name).unwrap_or_default();
            rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        if line.contains("sendInitialEvents") && streams {
            socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            for first in (0..PODS).step_by(100) {
                let mut events = String::new();
                for number in first..first + 100 {
                    let _ = writeln!(events, r#"{{"type":"ADDED","object":{}}}"#, pod(number));
                }
                chunk(&mut socket, &events).await?;
            }
            let end = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9000000","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
            chunk(&mut socket, &format!("{end}\n")).await?;
            return silence(socket).await;
        }
        if line.contains("sendInitialEvents") {
            let body = r#"{"kind":"Status","code":422,"reason":"Invalid","message":"no streaming lists"}"#;
            whole(&mut socket, "422 Unprocessable Entity", body).await?;
        } else if line.contains("watch=true") {
            socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            return silence(socket).await;
        } else if line.contains("/pods") {
            let (first, limit) = (number("continue="), number("limit="));
            let end = PODS.min(first + limit);
            let token = if end < PODS { end.to_string() } else { String::new() };
            let items: Vec<String> = (first..end).map(pod).collect();
            let body = format!(
                r#"{{"metadata":{{"resourceVersion":"9000000","continue":"{token}"}},"items":[{}]}}"#,
                items.join(",")
            );
            whole(&mut socket, "200 OK", &body).await?;
        } else {
            let body = r#"{"resources":[{"name":"pods","kind":"Pod","namespaced":true}]}"#;
            whole(&mut socket, "200 OK", body).await?;
        }
    }
}

async fn whole(socket: &mut BufReader<TcpStream>, status: &str, body: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(body.as_bytes()).await
}

async fn chunk(socket: &mut BufReader<TcpStream>, text: &str) -> std::io::Result<()> {
    socket.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await
}

/// Until the other side has gone.
async fn silence(mut socket: BufReader<TcpStream>) -> std::io::Result<()> {
    while socket.read_u8().await.is_ok() {}
    Ok(())
}

/// `VmRSS` or `VmHWM` (the most that there was), in bytes.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// What it took on the way, of what it takes in the end.
fn measure(what: &str, before: u64) {
    let (after, peak) = (memory("VmRSS") - before, memory("VmHWM") - before);
    println!(
        "{what}: {} bytes a Pod, at the peak {:.2} times that",
        after / PODS as u64,
        peak as f64 / after as f64
    );
    assert!(after <= EACH * PODS as u64, "{what}: {after} bytes are more than {EACH} a Pod");
    assert!(peak * 10 <= after * 13, "{what}: the peak of {peak} bytes is more than 1.3 times {after}");
}

async fn informer(streams: bool) -> Informer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, streams));
        }
    });
    let rest = Rest::new(rest::connect(kube::Config::new(uri)).unwrap());
    let kind: Kind = "v1/Pod".parse().unwrap();
    let informer = InformerFactory::new(rest).informer(&kind).await.unwrap();
    assert!(informer.wait_synced_within(Duration::from_secs(170)).await, "the list did not come");
    assert_eq!(informer.store().len(), PODS);
    informer
}

/// In the child: how it lists.
const WAY: &str = "WHEELHOUSE_SCALE_WAY";

#[test]
fn a_hundred_thousand_pods_fit_their_budget_and_arrive_within_it() {
    if let Ok(way) = std::env::var(WAY) {
        let builder = &mut tokio::runtime::Builder::new_multi_thread();
        return builder.enable_all().build().unwrap().block_on(arrive(&way));
    }
    for way in ["a streaming list", "a list by pages"] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args([
            "--exact",
            "a_hundred_thousand_pods_fit_their_budget_and_arrive_within_it",
            "--nocapture",
        ]);
        assert!(child.env(WAY, way).status().unwrap().success(), "{way}: see above");
    }
}

async fn arrive(way: &str) {
    let before = memory("VmRSS");
    let began = Instant::now();
    let informer = informer(way == "a streaming list").await;
    println!("{way}: {PODS} Pods in {:.1} s", began.elapsed().as_secs_f64());
    measure(way, before);
    drop(informer);
}
