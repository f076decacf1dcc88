//! Start, addresses, shutdown.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wheelhouse_devcluster::{DevCluster, DevClusterConfig};

use crate::support::{CONFIG_MAPS, DEADLINE, start};

#[tokio::test]
async fn an_address_that_others_can_reach_is_refused() {
    let config = DevClusterConfig { addr: "0.0.0.0:0".parse().unwrap(), ..Default::default() };
    let error = DevCluster::start(config).await.unwrap_err().to_string();
    assert!(error.contains("0.0.0.0:0 is not a loopback address"), "{error}");
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_line_that_names_the_address() {
    let server = start().await;
    let config = DevClusterConfig { addr: server.cluster.addr(), ..Default::default() };
    let error = DevCluster::start(config).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("{} is already in use", server.cluster.addr())), "{error}");
    assert_eq!(error.lines().count(), 1);
}

#[tokio::test]
async fn shutdown_ends_open_watches_and_returns_within_a_second() {
    let server = start().await;
    let mut watch = server.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    let started = Instant::now();
    let shutdown = tokio::spawn(server.cluster.shutdown());
    assert_eq!(watch.next().await, None);
    shutdown.await.unwrap();
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_request_that_is_never_finished_does_not_outlive_the_server() {
    let server = start().await;
    let mut stream = TcpStream::connect(server.cluster.addr()).await.unwrap();
    let head = format!(
        "POST {CONFIG_MAPS} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    server.config_map("a", json!({})).await;
    server.cluster.shutdown().await;
    let mut answer = String::new();
    tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer)).await.expect("an end").unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503"), "{answer}");
}

#[tokio::test]
async fn the_kubeconfig_names_the_server_and_the_context() {
    let server = start().await;
    let kubeconfig = server.cluster.kubeconfig();
    assert!(kubeconfig.contains(&format!("server: {}", server.cluster.url())));
    assert!(kubeconfig.contains("current-context: wheelhouse-dev"));
}
