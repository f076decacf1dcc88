//! Writes per second over several connections.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use wheelhouse_devcluster::{DevCluster, DevClusterConfig};

use crate::connection::Connection;
use crate::objects::{self, PODS};
use crate::report::{Report, cpu, millis, quantile};

const CONNECTIONS: usize = 16;
const LASTING: Duration = Duration::from_secs(4);
/// Writes per second.
const BUDGET: f64 = 2_000.0;

pub(crate) async fn run(report: &mut Report) {
    for is_kept in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = is_kept.then(|| folder.path().join("data"));
        let cluster =
            DevCluster::start(DevClusterConfig { data_dir, ..DevClusterConfig::default() }).await.unwrap();
        let place = if is_kept { "data directory" } else { "memory" };
        let before = cpu();
        let creates = each(cluster.addr(), create).await;
        let what = format!("creates of ConfigMaps, {CONNECTIONS} connections, {place}");
        tell(report, &what, creates, cpu() - before);
        let before = cpu();
        let updates = each(cluster.addr(), update).await;
        let what = format!("updates of Pods' status, {CONNECTIONS} connections, {place}");
        tell(report, &what, updates, cpu() - before);
        cluster.shutdown().await;
    }
}

fn tell(report: &mut Report, what: &str, mut times: Vec<Duration>, cpu: Duration) {
    report.at_least(what, times.len() as f64 / LASTING.as_secs_f64(), "/s", BUDGET);
    report.figure("  p50", quantile(&mut times, 0.5), "ms");
    report.figure("  p99", quantile(&mut times, 0.99), "ms");
    report.figure("  time of a core for each, with its client's", millis(cpu) / times.len() as f64, "ms");
    report.figure("  cores in use", cpu.as_secs_f64() / LASTING.as_secs_f64(), "");
}

/// The times of all requests that were answered.
async fn each<F>(addr: SocketAddr, write: impl Fn(Connection, usize) -> F) -> Vec<Duration>
where
    F: Future<Output = Vec<Duration>> + Send + 'static,
{
    let mut writers = Vec::new();
    for number in 0..CONNECTIONS {
        writers.push(tokio::spawn(write(Connection::open(addr).await, number)));
    }
    let mut times = Vec::new();
    for writer in writers {
        times.extend(writer.await.unwrap());
    }
    times
}

async fn create(mut connection: Connection, number: usize) -> Vec<Duration> {
    let started = Instant::now();
    let mut times = Vec::new();
    while started.elapsed() < LASTING {
        let map = objects::config_map(&format!("settings-{number}-{}", times.len()));
        let sent = Instant::now();
        connection.post("/api/v1/namespaces/default/configmaps", map).await;
        times.push(sent.elapsed());
    }
    times
}

async fn update(mut connection: Connection, number: usize) -> Vec<Duration> {
    let pod = objects::pod(number).to_string();
    let created = connection.post(PODS, Bytes::from(pod)).await;
    let mut pod: Value = serde_json::from_slice(&created).unwrap();
    let path = format!("{PODS}/{}/status", pod["metadata"]["name"].as_str().unwrap());
    pod["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let started = Instant::now();
    let mut times = Vec::new();
    while started.elapsed() < LASTING {
        pod["status"] = objects::status(times.len());
        let body = Bytes::from(pod.to_string());
        let sent = Instant::now();
        connection.put(&path, body).await;
        times.push(sent.elapsed());
    }
    times
}
