//! Two hosts beside one API server: who works, and who takes over when.

use std::time::{Duration, Instant};

use crate::several::{Cluster, overlaps};
use crate::support::eventually;

/// Of which expiry plays no part in a test.
const LONG: [&str; 6] = ["--lease-duration", "80", "--renew-deadline", "70", "--retry-period", "0.3"];
const SHORT: [&str; 6] = ["--lease-duration", "2", "--renew-deadline", "1.3", "--retry-period", "0.3"];

fn reconciles(host: &crate::support::Host) -> f64 {
    host.metric("controller_runtime_reconcile_total{controller=\"witness\",result=\"success\"}")
}

fn master(host: &crate::support::Host) -> f64 {
    host.metric("leader_election_master_status{name=\"wheelhouse\"}")
}

#[tokio::test]
async fn trap_35_a_lease_is_released_only_when_what_ran_has_ended_and_then_taken_at_once() {
    let cluster = Cluster::start().await;
    let flags = [&LONG[..], &["--grace", "60"]].concat();
    let mut first = cluster.host("first", &["witness"], 3_000, &flags).await;
    cluster.until_holds("first", "wheelhouse").await;
    let second = cluster.host("second", &["witness"], 0, &flags).await;
    let report = second.until_standing_by("witness.wasm").await;
    assert_eq!(
        (report["leader"]["holder"].as_str(), report["leader"]["leads"].as_bool()),
        (Some("first"), Some(false))
    );
    first.until_running("witness.wasm").await;
    assert!(first.admin("/readyz").1.contains("held by this host"), "{:?}", first.admin("/readyz"));
    eventually("who stands by is ready, and says who works", || async {
        let (status, ready) = second.admin("/readyz");
        (status.contains("200") && ready.contains("first holds it")).then_some(())
    })
    .await;
    assert_eq!((master(&first), master(&second)), (1.0, 0.0));

    cluster.set("a", "1").await;
    cluster.until_recorded("first", "a", "begin").await;
    first.signal("-TERM");
    cluster.until_holds("second", "wheelhouse").await;
    let ended = cluster.records().await.into_iter().any(|record| record.what == "end");
    assert!(ended, "the lease was released while what ran had not ended");
    assert!(first.exit().await.success());
    let log = first.log();
    let at = |text: &str| log.find(text).unwrap_or_else(|| panic!("{text:?} is not in {log}"));
    assert!(at("INFO stopped") < at("lease released"), "{log}");
    cluster.set("b", "1").await;
    cluster.until_recorded("second", "b", "end").await;
    eventually("the second one says so", || async { (master(&second) == 1.0).then_some(()) }).await;
    assert_eq!(overlaps(&cluster.records().await, |_| false), Vec::<String>::new());
}

#[tokio::test]
async fn a_lease_that_is_given_back_is_taken_at_once_however_seldom_it_is_looked_at() {
    let cluster = Cluster::start().await;
    let flags = ["--lease-duration", "900", "--renew-deadline", "800", "--retry-period", "600"];
    let mut first = cluster.host("first", &["witness"], 0, &flags).await;
    cluster.until_holds("first", "wheelhouse").await;
    let second = cluster.host("second", &["witness"], 0, &flags).await;
    let third = cluster.host("third", &["witness"], 0, &flags).await;
    for host in [&second, &third] {
        host.until_standing_by("witness.wasm").await;
    }
    first.signal("-TERM");
    assert!(first.exit().await.success());
    eventually("one of the others leads", || async {
        [&second, &third].iter().any(|host| host.leads("witness.wasm")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_that_stands_by_is_warm_and_does_nothing() {
    let cluster = Cluster::start().await;
    let first = cluster.host("first", &["witness"], 0, &LONG).await;
    cluster.until_holds("first", "wheelhouse").await;
    let second = cluster.host("second", &["witness"], 0, &LONG).await;
    second.until_standing_by("witness.wasm").await;
    cluster.set("a", "1").await;
    cluster.until_seen("a", "1").await;
    eventually("it has the object in its cache", || async {
        let objects = "wheelhouse_cache_objects{kind=\"v1/ConfigMap\"";
        (second.metric(objects) >= 1.0 && second.metric(objects) == first.metric(objects)).then_some(())
    })
    .await;
    assert!(reconciles(&first) >= 1.0);
    assert_eq!((reconciles(&second), second.metric("workqueue_adds_total{name=\"witness\"}")), (0.0, 0.0));
    assert!(cluster.records().await.iter().all(|record| record.host == "first"));
}

#[tokio::test]
async fn a_lease_whose_holder_was_killed_is_taken_when_it_has_run_out() {
    let cluster = Cluster::start().await;
    let first = cluster.host("first", &["witness"], 0, &SHORT).await;
    cluster.until_holds("first", "wheelhouse").await;
    let second = cluster.host("second", &["witness"], 0, &SHORT).await;
    second.until_standing_by("witness.wasm").await;
    first.signal("-KILL");
    let killed = Instant::now();
    cluster.set("a", "1").await;
    cluster.until_seen("a", "1").await;
    let took = killed.elapsed();
    // Its last renewal was at most a retry period before; others look each such period, with jitter.
    assert!(took > Duration::from_millis(1_300), "{took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(second.leads("witness.wasm"));
}

#[tokio::test]
async fn a_host_that_was_stopped_for_longer_than_its_lease_writes_nothing_more_and_stands_by() {
    let cluster = Cluster::start().await;
    let first = cluster.host("first", &["witness"], 1_000, &SHORT).await;
    cluster.until_holds("first", "wheelhouse").await;
    first.until_running("witness.wasm").await;
    let second = cluster.host("second", &["witness"], 0, &SHORT).await;
    second.until_standing_by("witness.wasm").await;
    cluster.set("a", "1").await;
    let begun = cluster.until_recorded("first", "a", "begin").await;
    first.signal("-STOP");
    cluster.until_recorded("second", "a", "end").await;
    first.signal("-CONT");
    first.logged("lease lost").await;
    first.until_standing_by("witness.wasm").await;
    // It has been awake for a while by now. What it was at when it was stopped has not gone on.
    let of_first: Vec<_> = cluster.records().await.into_iter().filter(|r| r.host == "first").collect();
    assert_eq!(of_first.iter().map(|r| r.version).collect::<Vec<_>>(), [begun.version], "{of_first:?}");
    let active = "controller_runtime_active_workers{controller=\"witness\"}";
    assert_eq!(first.metric(active), 0.0);
    // It is a candidate, and works again when it is its turn.
    second.signal("-KILL");
    cluster.bury("second").await;
    cluster.set("a", "2").await;
    cluster.until_seen("a", "2").await;
    cluster.until_recorded("first", "a", "end").await;
    assert_eq!(overlaps(&cluster.records().await, |host| host == "first"), Vec::<String>::new());
}

#[tokio::test]
async fn a_leader_that_gets_no_answers_stops_before_its_lease_has_run_out_and_goes_on_when_it_does() {
    let cluster = Cluster::start().await;
    let host = cluster.host("host", &["witness"], 20_000, &SHORT).await;
    cluster.until_holds("host", "wheelhouse").await;
    host.until_running("witness.wasm").await;
    cluster.set("a", "1").await;
    cluster.until_recorded("host", "a", "begin").await;
    cluster.server.signal("-STOP");
    host.logged("lease lost").await;
    // Nobody else took it. It has what it was at stopped, and begins anew.
    cluster.server.signal("-CONT");
    host.until_running("witness.wasm").await;
    eventually("another run of the same object", || async {
        (cluster.records().await.iter().filter(|record| record.what == "begin").count() >= 2).then_some(())
    })
    .await;
    assert!(cluster.records().await.iter().all(|record| record.what == "begin"));
}

#[tokio::test]
async fn with_a_lease_for_each_plugin_two_hosts_share_them_and_none_runs_on_both() {
    let cluster = Cluster::start().await;
    let flags = [&LONG[..], &["--lease-per-plugin"]].concat();
    let first = cluster.host("first", &["hello", "witness"], 0, &flags).await;
    cluster.until_holds("first", "wheelhouse-hello").await;
    cluster.until_holds("first", "wheelhouse-witness").await;
    let second = cluster.host("second", &["hello", "witness"], 0, &flags).await;
    second.until_standing_by("hello.wasm").await;
    second.until_standing_by("witness.wasm").await;
    // A plugin that is taken out gives its lease back, and no other.
    std::fs::remove_file(first.file("hello.wasm")).unwrap();
    second.until_running("hello.wasm").await;
    cluster.until_holds("second", "wheelhouse-hello").await;
    // Back again, it waits for its turn.
    std::fs::copy(crate::support::plugin("hello"), first.file("hello.wasm")).unwrap();
    let hello = first.until_standing_by("hello.wasm").await;
    assert_eq!(hello["leader"]["lease"], "default/wheelhouse-hello");
    for (host, leads) in [(&first, [false, true]), (&second, [true, false])] {
        assert_eq!([host.leads("hello.wasm"), host.leads("witness.wasm")], leads);
        let status = |plugin: &str| {
            host.metric(&format!("leader_election_master_status{{name=\"wheelhouse-{plugin}\"}}"))
        };
        assert_eq!([status("hello"), status("witness")], leads.map(f64::from));
    }
    cluster.set("a", "1").await;
    cluster.until_recorded("first", "a", "end").await;
    assert_eq!(reconciles(&second), 0.0);
}

#[tokio::test]
async fn a_host_whose_lease_has_no_namespace_says_so_and_works_once_it_has_one() {
    let cluster = Cluster::start().await;
    let flags = [&SHORT[..], &["--lease-namespace", "nowhere"]].concat();
    let host = cluster.host("host", &["witness"], 0, &flags).await;
    host.logged("there is no namespace nowhere: create it, or name another one by --lease-namespace").await;
    cluster.create_namespace("nowhere").await;
    host.until_running("witness.wasm").await;
    assert!(host.leads("witness.wasm"));
}

#[tokio::test]
async fn a_host_that_cannot_serve_its_admin_endpoints_does_not_stand_for_the_lease() {
    let cluster = Cluster::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (status, log) = cluster.try_host(&["--admin-addr", &address]);
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("cannot be listened on") && !log.contains("leader election"), "{log}");
}
