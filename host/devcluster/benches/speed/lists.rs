//! Lists of many Pods, from the request to the last byte, and what the Pods take of memory.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use wheelhouse_devcluster::{DevCluster, DevClusterConfig};

use crate::connection::Connection;
use crate::objects::{self, PODS};
use crate::report::{Report, cpu, millis, quantile};

const COUNT: usize = 10_000;
const PAGE: usize = 500;
const ROUNDS: usize = 5;
const WRITERS: usize = 8;
/// Milliseconds.
const BUDGET: f64 = 1_000.0;
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const METADATA: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

pub(crate) async fn run(report: &mut Report) {
    let cluster = DevCluster::start(DevClusterConfig::default()).await.unwrap();
    let before = resident();
    fill(cluster.addr()).await;
    let per_object = resident().saturating_sub(before) as f64 / COUNT as f64;
    report.figure("memory per Pod, with the history of its creation", per_object / 1e3, "KB");

    let mut connection = Connection::open(cluster.addr()).await;
    let first = Instant::now();
    let size = connection.get(PODS).await.len();
    report.at_most(&format!("first list of {COUNT} Pods"), millis(first.elapsed()), "ms", BUDGET);
    report.figure("  size of a Pod in it", size as f64 / COUNT as f64 / 1e3, "KB");
    let labelled = format!("{PODS}?labelSelector=tier%3Dtier-3");
    for (what, path, accept) in [
        ("list of 10000 Pods, median of 5", PODS, "application/json"),
        ("list of 1000 of 10000 Pods by a label, median of 5", labelled.as_str(), "application/json"),
        ("list of 10000 Pods as metadata, median of 5", PODS, METADATA),
        ("list of 10000 Pods as a table, median of 5", PODS, TABLE),
    ] {
        let mut times = Vec::new();
        let before = cpu();
        for _ in 0..ROUNDS {
            let started = Instant::now();
            connection.send("GET", path, accept, Bytes::new()).await;
            times.push(started.elapsed());
        }
        report.at_most(what, quantile(&mut times, 0.5), "ms", BUDGET);
        let each = millis(cpu() - before) / ROUNDS as f64;
        report.figure("  time of a core for each, with its client's", each, "ms");
    }
    let after = resident().saturating_sub(before) as f64 / COUNT as f64;
    report.figure("memory per Pod, once all were listed", after / 1e3, "KB");
    let started = Instant::now();
    let pages = pages(&mut connection).await;
    let what = format!("list of {COUNT} Pods in pages of {PAGE}");
    report.at_most(&what, millis(started.elapsed()), "ms", BUDGET);
    let started = Instant::now();
    for page in pages {
        let page: Value = serde_json::from_slice(&page).unwrap();
        assert!(page["items"].is_array());
    }
    report.figure(
        "what a client takes that reads these pages into JSON values",
        millis(started.elapsed()),
        "ms",
    );
    cluster.shutdown().await;
}

/// Makes the Pods, and has their kubelets tell that they run.
async fn fill(addr: SocketAddr) {
    let writers = (0..WRITERS).map(|writer| {
        tokio::spawn(async move {
            let mut connection = Connection::open(addr).await;
            for number in (writer..COUNT).step_by(WRITERS) {
                let pod = objects::pod(number);
                connection.post(PODS, Bytes::from(pod.to_string())).await;
                let name = pod["metadata"]["name"].as_str().unwrap();
                let running = json!({ "metadata": { "name": name }, "status": objects::status(number) });
                connection.put(&format!("{PODS}/{name}/status"), Bytes::from(running.to_string())).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

/// What of a page leads to the next one.
#[derive(Deserialize)]
struct Page {
    metadata: PageMetadata,
    items: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    token: String,
}

/// All pages of the list, one after another. They are looked through, and not kept as values: what that takes is the
/// client's.
async fn pages(connection: &mut Connection) -> Vec<Bytes> {
    let (mut token, mut seen, mut pages) = (String::new(), 0, Vec::new());
    loop {
        let bytes = connection.get(&format!("{PODS}?limit={PAGE}&continue={token}")).await;
        let page: Page = serde_json::from_slice(&bytes).unwrap();
        seen += page.items.len();
        pages.push(bytes);
        if page.metadata.token.is_empty() {
            break;
        }
        token = page.metadata.token;
    }
    assert_eq!(seen, COUNT);
    pages
}

/// How many bytes of memory this process has.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
