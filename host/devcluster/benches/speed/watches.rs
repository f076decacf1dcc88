//! Many watches while objects are written.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use wheelhouse_devcluster::{DevCluster, DevClusterConfig};

use crate::connection::Connection;
use crate::objects;
use crate::report::{Report, cpu, millis, quantile};

const WATCHES: usize = 2_000;
const NAMESPACES: usize = 200;
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a write may take while all are watching, in milliseconds.
const BUDGET: f64 = 100.0;

/// Events that arrived, at all watches together.
#[derive(Default)]
struct Arrivals {
    count: AtomicUsize,
    wanted: AtomicUsize,
    all: Notify,
}

impl Arrivals {
    fn add(&self, events: usize) {
        let count = self.count.fetch_add(events, Ordering::SeqCst) + events;
        if count >= self.wanted.load(Ordering::SeqCst) {
            self.all.notify_one();
        }
    }

    async fn reach(&self, wanted: usize) {
        self.wanted.store(wanted, Ordering::SeqCst);
        while self.count.load(Ordering::SeqCst) < wanted {
            tokio::time::timeout(PATIENCE, self.all.notified()).await.expect("all events in time");
        }
    }
}

pub(crate) async fn run(report: &mut Report) {
    one_resource(
        report,
        "2000 watches of all, 200 writes",
        |_| "/api/v1/configmaps".to_owned(),
        200,
        WATCHES,
    )
    .await;
    let of_namespace = |n: usize| format!("/api/v1/namespaces/team-{}/configmaps", n % NAMESPACES);
    let each = WATCHES / NAMESPACES;
    one_resource(report, "2000 watches over 200 namespaces, 4000 writes", of_namespace, 4_000, each).await;
    let of_one = |n: usize| format!("/api/v1/configmaps?fieldSelector=metadata.name%3Dnone-{n}");
    one_resource(report, "2000 watches of something else, 4000 writes", of_one, 4_000, 0).await;
}

/// Opens the watches, writes one object after the other, and waits for the last event; each write reaches so many.
async fn one_resource(
    report: &mut Report,
    what: &str,
    path: impl Fn(usize) -> String,
    writes: usize,
    reached: usize,
) {
    let cluster = DevCluster::start(DevClusterConfig::default()).await.unwrap();
    let mut writer = Connection::open(cluster.addr()).await;
    for number in 0..NAMESPACES {
        writer.post("/api/v1/namespaces", objects::namespace(&format!("team-{number}"))).await;
    }
    let arrivals = Arc::new(Arrivals::default());
    let mut watches = Vec::new();
    for number in 0..WATCHES {
        watches.push(open(cluster.addr(), &path(number), arrivals.clone()).await);
    }
    let (started, before) = (Instant::now(), cpu());
    let mut times = Vec::new();
    for number in 0..writes {
        let map = objects::config_map(&format!("settings-{number}"));
        let path = format!("/api/v1/namespaces/team-{}/configmaps", number % NAMESPACES);
        let sent = Instant::now();
        writer.post(&path, map).await;
        times.push(sent.elapsed());
    }
    let written = started.elapsed();
    arrivals.reach(writes * reached).await;
    let all = started.elapsed();
    report.figure(&format!("{what}: writes"), writes as f64 / written.as_secs_f64(), "/s");
    report.figure("  write p50", quantile(&mut times, 0.5), "ms");
    report.at_most("  write p99", quantile(&mut times, 0.99), "ms", BUDGET);
    let each = millis(cpu() - before) / writes as f64;
    report.figure("  time of a core for each write, with its events and clients", each, "ms");
    if reached > 0 {
        report.figure("  events delivered", (writes * reached) as f64 / all.as_secs_f64(), "/s");
    }
    watches.iter().for_each(tokio::task::JoinHandle::abort);
    cluster.shutdown().await;
}

/// Opens a watch, and counts its events once it is there.
async fn open(addr: SocketAddr, path: &str, arrivals: Arc<Arrivals>) -> tokio::task::JoinHandle<()> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path}{separator}watch=true HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = vec![0; 16 * 1024];
    let mut read = 0;
    while !buffer[..read].windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        read += stream.read(&mut buffer[read..]).await.unwrap();
    }
    assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..read]));
    tokio::spawn(async move {
        let mut last = 0;
        while let Ok(read) = stream.read(&mut buffer).await {
            if read == 0 {
                return;
            }
            // An event ends with a line feed after a brace; the marks of the chunks have theirs after a return.
            let ends = |byte: &&u8| std::mem::replace(&mut last, **byte) == b'}' && **byte == b'\n';
            arrivals.add(buffer[..read].iter().filter(ends).count());
        }
    })
}
