//! The leader is killed again and again, at moments that nobody chose.

use std::time::{Duration, Instant, SystemTime};

use crate::several::{Cluster, overlaps, returns};
use crate::support::{Host, eventually};

const KEYS: u64 = 6;
const FLAGS: [&str; 8] =
    ["--lease-duration", "1", "--renew-deadline", "0.7", "--retry-period", "0.1", "--grace", "1"];

/// How often, unless `WHEELHOUSE_KILLS` says otherwise: each time takes more than a second.
const KILLS: u64 = 100;

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// A sequence that only looks random (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

async fn start(cluster: &Cluster, number: &mut u64) -> (String, Host) {
    *number += 1;
    let name = format!("host-{number}");
    let host = cluster.host(&name, &["witness"], 15, &FLAGS).await;
    (name, host)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leads_is_killed_at_random_and_each_object_is_reconciled_by_one_host_at_a_time() {
    let clock = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let seed = from_env("WHEELHOUSE_SEED").unwrap_or_else(clock);
    let kills = from_env("WHEELHOUSE_KILLS").unwrap_or(KILLS);
    println!("WHEELHOUSE_SEED={seed} WHEELHOUSE_KILLS={kills}");
    let (begun, mut dice) = (Instant::now(), Dice(seed));
    let cluster = std::sync::Arc::new(Cluster::start().await);

    // Objects change all the time.
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let (changing, mut which) = (std::sync::Arc::clone(&cluster), Dice(seed ^ 1));
    let changes = tokio::spawn(async move {
        let mut values = [0_u64; KEYS as usize];
        loop {
            let key = which.below(KEYS);
            values[key as usize] += 1;
            changing.set(&format!("k{key}"), &values[key as usize].to_string()).await;
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return values,
                () = tokio::time::sleep(Duration::from_millis(20 + which.below(60))) => {}
            }
        }
    });

    let (mut number, mut gone) = (0, Vec::new());
    let mut hosts = vec![start(&cluster, &mut number).await, start(&cluster, &mut number).await];
    for _ in 0..kills {
        let leader = eventually("one of them leads", || async {
            let (holder, _) = cluster.lease("wheelhouse").await;
            hosts.iter().position(|(name, _)| *name == holder)
        })
        .await;
        tokio::time::sleep(Duration::from_millis(dice.below(400))).await;
        let (name, mut host) = hosts.remove(leader);
        host.signal("-KILL");
        host.exit().await;
        cluster.bury(&name).await;
        gone.push((name, host.log()));
        // There is always one that waits for its turn.
        hosts.push(start(&cluster, &mut number).await);
    }
    stop.send_replace(true);
    let values = changes.await.unwrap();
    for (key, value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
        cluster.until_seen(&format!("k{key}"), &value.to_string()).await;
    }

    let records = cluster.records().await;
    let logs: Vec<(String, String)> =
        hosts.iter().map(|(name, host)| (name.clone(), host.log())).chain(gone).collect();
    let lost = |name: &str| logs.iter().any(|(host, log)| host == name && log.contains("lease lost"));
    let problems = [overlaps(&records, lost), returns(&records, lost)].concat();
    assert_eq!(problems, Vec::<String>::new());
    let workers: std::collections::BTreeSet<&str> =
        records.iter().filter(|r| r.what == "begin").map(|r| r.host.as_str()).collect();
    println!(
        "{kills} kills, {} hosts at work, {} lost a lease alive, {} records, {:.0} s",
        workers.len(),
        logs.iter().filter(|(_, log)| log.contains("lease lost")).count(),
        records.len(),
        begun.elapsed().as_secs_f64()
    );
    assert!(workers.len() as u64 > kills / 2, "so many took over: {workers:?}");
}
