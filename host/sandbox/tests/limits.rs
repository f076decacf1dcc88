//! What a plugin may use, and what becomes of one that wants more.
#![cfg(test)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Instrument as _;
use wheelhouse_core::limits::{Isolation, Limit, Limits};
use wheelhouse_core::outcome::Request;
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{Key, Object, Outcome};
use wheelhouse_sandbox::CallError;

use crate::support::{
    Neighbour, Nothing, attacked, beside, hasty, instances, limits, on_this_thread, reason, reconcile, start,
    start_with,
};

/// How often a limit was hit.
fn breaches(usage: &Usage, limit: Limit) -> u64 {
    usage.breaches().find(|(other, _)| *other == limit).map_or(0, |(_, count)| count)
}

/// Runs the attack under these limits beside a neighbour; it ends in a trap that names the limit, which
/// is counted.
async fn trapped(limits: Limits, attack: &str, limit: Limit) -> String {
    let (hostile, _, usage) = start_with(limits).await;
    let result = beside(&hostile, attack).await;
    assert_eq!(result.as_ref().unwrap_err().limit(), Some(limit), "{result:?}");
    assert!(breaches(&usage, limit) > 0);
    let reason = reason(result);
    assert!(reason.contains(&format!("limit {limit}")), "{reason}");
    reason
}

#[tokio::test]
async fn hostile_a_reconcile_that_spins_is_stopped_when_it_has_used_its_processor_time() {
    let cpu = Duration::from_millis(50);
    let (hostile, _, usage) =
        start_with(Limits { reconcile_cpu: cpu, reconcile_timeout: Duration::from_secs(60), ..limits() })
            .await;
    let begun = Instant::now();
    let result = beside(&hostile, "spin").await;
    assert_eq!(result, Err(CallError::Cpu { limit: Limit::ReconcileCpu, after: cpu }));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(breaches(&usage, Limit::ReconcileCpu), 1);
    // Not much more than it may have: a tick, and what the neighbour's calls cost is not its own.
    assert!(usage.cpu_total() >= cpu && usage.cpu_total() < cpu * 3, "{:?}", usage.cpu_total());
}

#[tokio::test]
async fn hostile_a_plugin_that_computes_more_than_its_share_waits() {
    let own = Limits {
        cpu_per_second: Duration::from_millis(50),
        reconcile_timeout: Duration::from_millis(800),
        ..limits()
    };
    let (hostile, _, usage) = start_with(own).await;
    let begun = Instant::now();
    let result = attacked(&hostile, "spin").await;
    let took = begun.elapsed();
    match result {
        Err(CallError::Timeout { limit: Limit::ReconcileTimeout, paused, .. }) => {
            assert!(paused > Duration::ZERO);
        }
        other => panic!("{other:?}"),
    }
    // Its first 50 ms at once, and 50 ms of each second from then on; a tick and a busy machine besides.
    let share = Duration::from_millis(50) + took.mul_f64(0.05);
    assert!(usage.cpu_total() < share * 2, "{:?} of {took:?}", usage.cpu_total());
    assert!(breaches(&usage, Limit::CpuPerSecond) > 0);
    let again = Instant::now();
    assert_eq!(attacked(&hostile, "ok").await, Ok(Outcome::Done), "it runs again when it has waited");
    assert!(again.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn hostile_memory_and_tables_are_limited_together() {
    let reason = trapped(Limits { memory: 8 << 20, ..limits() }, "hoard", Limit::Memory).await;
    assert!(reason.contains(&(8 << 20).to_string()), "{reason}");
}

#[tokio::test]
async fn hostile_more_memory_than_the_host_has_room_for_is_granted_to_nobody() {
    let reason = trapped(Limits { memory: 1 << 40, ..limits() }, "hoard", Limit::Memory).await;
    assert!(reason.contains(&(256 << 20).to_string()), "{reason}");
}

#[tokio::test]
async fn hostile_a_loop_of_host_calls_is_stopped() {
    let limits = Limits { host_calls: 1_000, ..limits() };
    let reason = trapped(limits.clone(), "host-calls", Limit::HostCalls).await;
    assert!(reason.contains("1000"), "{reason}");
    trapped(limits.clone(), "log-calls", Limit::HostCalls).await;
    // Those of WASI, too, at the next tick.
    trapped(limits, "wasi-calls", Limit::HostCalls).await;
}

#[tokio::test]
async fn host_calls_are_counted_anew_in_each_call() {
    let (revision, _, usage) = start_with(Limits { host_calls: 20, ..limits() }).await;
    for _ in 0..10 {
        assert_eq!(reconcile(&revision, "log").await, Ok(Outcome::Done));
    }
    assert_eq!(revision.instances_created(), 1);
    assert!(usage.host_calls_total() >= 10, "{}", usage.host_calls_total());
}

#[tokio::test]
async fn hostile_a_string_of_128_mebibytes_is_not_copied_into_the_host() {
    let limits = Limits { memory: 256 << 20, ..limits() };
    trapped(limits, "large-string", Limit::HostcallBytes).await;
}

#[tokio::test]
async fn hostile_handles_are_limited() {
    trapped(Limits { handles: 50, ..limits() }, "handles", Limit::Handles).await;
}

#[tokio::test]
async fn hostile_the_stack_is_limited() {
    let (hostile, ..) = start_with(limits()).await;
    let reason = reason(beside(&hostile, "recurse").await);
    // A guest of Rust has its own stack in its memory, which ends first.
    assert!(reason.contains("limit stack") || reason.contains("out of bounds"), "{reason}");
}

#[tokio::test]
async fn hostile_an_answer_that_is_too_large_is_an_error() {
    let (revision, cluster, usage) = start_with(Limits { answer_bytes: 1_000, ..limits() }).await;
    let large = serde_json::json!({"metadata": {"name": "x"}, "data": {"x": "x".repeat(2_000)}});
    *cluster.object.lock().unwrap() = Some(Object::from_value(&large).unwrap());
    for read in ["get", "get-live"] {
        let outcome = attacked(&revision, read).await;
        assert!(
            matches!(&outcome, Ok(Outcome::Terminal(text)) if text.contains("limit answerBytes")),
            "{outcome:?}"
        );
    }
    assert_eq!(breaches(&usage, Limit::AnswerBytes), 2);
}

#[tokio::test]
async fn hostile_an_index_that_would_fill_the_host_is_refused() {
    let (revision, _, usage) = start_with(limits()).await;
    let object = serde_json::json!({"metadata": {"namespace": "default", "name": "index-flood"}});
    let object = Object::from_value(&object).unwrap();
    let result = Neighbour::start().await.beside(revision.index("own", &object)).await;
    let reason = result.unwrap_err().to_string();
    assert!(reason.contains("limit indexBytes"), "{reason}");
    assert_eq!(breaches(&usage, Limit::IndexBytes), 1);
}

#[tokio::test]
async fn hostile_a_flood_of_log_lines_is_cut_and_said() {
    let lines = support::Lines::default();
    let _guard = lines.subscribe();
    let own = Limits { log_lines_per_second: 20, ..on_this_thread() };
    let (hostile, _, usage) = start_with(own).await;
    assert_eq!(attacked(&hostile, "log-flood").await, Ok(Outcome::Done));
    let text = lines.text();
    let count = text.lines().filter(|line| line.contains("flood")).count();
    assert!((20..200).contains(&count), "{count} of 1000 lines");
    assert!(text.contains("lines of it are dropped (limit logLinesPerSecond)"), "{text}");
    assert!(breaches(&usage, Limit::LogLinesPerSecond) > 500);
    // A line is no longer than a line may be, however many fields it has.
    assert_eq!(attacked(&start_with(on_this_thread()).await.0, "log-large").await, Ok(Outcome::Done));
    let longest = lines.text().lines().map(str::len).max().unwrap();
    assert!(longest < 20_000, "{longest}");
}

#[tokio::test]
async fn hostile_bytes_of_the_log_are_limited() {
    let lines = support::Lines::default();
    let _guard = lines.subscribe();
    let (hostile, _, usage) = start_with(Limits { log_bytes_per_second: 500, ..on_this_thread() }).await;
    assert_eq!(attacked(&hostile, "log-flood").await, Ok(Outcome::Done));
    assert!(lines.text().len() < 20_000, "{}", lines.text().len());
    assert!(breaches(&usage, Limit::LogBytesPerSecond) > 0);
}

#[tokio::test]
async fn a_fresh_plugin_finds_nothing_of_the_call_before() {
    for (isolation, seen) in [(Isolation::Warm, "2"), (Isolation::Fresh, "1")] {
        let (revision, ..) = start_with(Limits { isolation, ..limits() }).await;
        reconcile(&revision, "remember").await.unwrap();
        assert_eq!(reconcile(&revision, "remember").await, Ok(Outcome::Terminal(seen.to_owned())));
    }
}

#[tokio::test]
async fn an_instance_that_nobody_calls_is_dropped() {
    let (revision, ..) = start_with(Limits { instance_idle: Duration::from_millis(50), ..limits() }).await;
    for _ in 0..2 {
        assert_eq!(reconcile(&revision, "ok").await, Ok(Outcome::Done));
        assert_eq!(revision.instances(), 1);
        instances(&revision, 0).await;
    }
    assert_eq!(revision.instances_created(), 2);
}

#[tokio::test]
async fn an_instance_that_is_called_is_kept() {
    let (revision, ..) = start_with(Limits { instance_idle: Duration::from_secs(5), ..limits() }).await;
    for _ in 0..1000 {
        assert_eq!(reconcile(&revision, "ok").await, Ok(Outcome::Done));
    }
    assert_eq!((revision.instances(), revision.instances_created()), (1, 1));
}

#[tokio::test]
async fn an_instance_that_has_grown_is_not_used_again() {
    let (revision, ..) = start_with(Limits { instance_memory: 4 << 20, ..limits() }).await;
    assert_eq!(reconcile(&revision, "ok").await, Ok(Outcome::Done));
    assert_eq!(revision.instances(), 1);
    assert_eq!(reconcile(&revision, "grow").await, Ok(Outcome::Done));
    assert_eq!(revision.instances(), 0);
}

#[tokio::test]
async fn hostile_a_call_that_is_given_up_ends_on_its_background_thread_too() {
    // It begins there.
    let own = Limits {
        reconcile_timeout: Duration::from_secs(60),
        prompt_cpu_per_second: Duration::ZERO,
        ..limits()
    };
    let (revision, ..) = start_with(own).await;
    let spinning = tokio::spawn({
        let revision = Arc::clone(&revision);
        async move { reconcile(&revision, "spin").await }
    });
    let giving_up = async {
        instances(&revision, 1).await;
        spinning.abort();
        assert!(spinning.await.unwrap_err().is_cancelled());
        instances(&revision, 0).await;
    };
    Neighbour::start().await.beside(giving_up).await;
}

#[tokio::test]
async fn hostile_a_plugin_cannot_wait_for_ever_by_a_huge_requeue() {
    let (revision, ..) = start_with(limits()).await;
    let outcome = attacked(&revision, "requeue-max").await;
    assert_eq!(outcome, Ok(Outcome::RequeueAfter(Duration::from_millis(u64::MAX))));
}

#[tokio::test]
async fn hostile_what_a_plugin_says_of_its_failure_is_one_short_line() {
    let (revision, ..) = start_with(limits()).await;
    let outcome = attacked(&revision, "forged-error").await;
    let Ok(Outcome::Terminal(text)) = outcome else { panic!("{outcome:?}") };
    assert!(!text.contains(['\n', '\u{1b}', '\u{202e}', '\u{2028}']), "{text:?}");
    assert!(text.len() < 9_000, "{}", text.len());
}

#[tokio::test]
async fn hostile_the_backtrace_of_a_trap_has_names_and_no_contents() {
    let (revision, cluster, _) = start_with(limits()).await;
    let secret = serde_json::json!({"metadata": {"name": "x"}, "data": {"password": "hunter2"}});
    *cluster.object.lock().unwrap() = Some(Object::from_value(&secret).unwrap());
    let error = attacked(&revision, "panic-with-contents").await.unwrap_err();
    let CallError::Trap { reason, backtrace, limit } = &error else { panic!("{error:?}") };
    assert!(backtrace.contains("hostile::"), "{backtrace}");
    assert_eq!(*limit, None);
    assert!(!format!("{error:?}").contains("hunter2"), "{reason} {backtrace}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_calls_within_calls_do_not_wait_for_each_other() {
    // All of them in the background, and more than may compute there at once.
    let calls = std::thread::available_parallelism().unwrap().get() + 1;
    let own = Limits { prompt_cpu_per_second: Duration::ZERO, ..limits() };
    let (revision, cluster, _) = start_with(own).await;
    let object = serde_json::json!({"metadata": {"namespace": "default", "name": "web"}});
    let object = Object::from_value(&object).unwrap();
    let index = {
        let revision = Arc::downgrade(&revision);
        move || {
            let revision = revision.upgrade().unwrap();
            let indexed = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(revision.index("own", &object))
            });
            assert_eq!(indexed, Ok(vec!["web".to_owned()]));
        }
    };
    *cluster.on_get.lock().unwrap() = Some(Arc::new(index));
    let reconciling: Vec<_> = (0..calls)
        .map(|_| {
            let revision = Arc::clone(&revision);
            tokio::spawn(async move { reconcile(&revision, "get").await })
        })
        .collect();
    let all = async {
        for reconciled in reconciling {
            assert_eq!(reconciled.await.unwrap(), Ok(Outcome::Terminal("it was let through".to_owned())));
        }
    };
    Neighbour::start().await.beside(all).await;
}

#[tokio::test]
async fn hostile_one_plugin_has_no_more_instances_than_its_share() {
    let (revision, ..) = start_with(Limits { concurrency: 1, ..hasty() }).await;
    let event = || support::service("sleep");
    let calls: Vec<_> = (0..30)
        .map(|_| {
            let (revision, event) = (Arc::clone(&revision), event());
            tokio::spawn(async move { revision.map("services", event).await })
        })
        .collect();
    let counting = async {
        let mut most = 0;
        for call in calls {
            while !call.is_finished() {
                most = most.max(revision.instances());
                tokio::task::yield_now().await;
            }
            assert_eq!(call.await.unwrap().unwrap_err().limit(), Some(Limit::MapTimeout));
        }
        most
    };
    let most = Neighbour::start().await.beside(counting).await;
    assert!((2..=9).contains(&most), "{most}");
}

#[tokio::test]
async fn hostile_keys_that_no_object_can_have_are_left_out() {
    let (revision, ..) = start_with(limits()).await;
    let mapping = revision.map("services", support::service("odd-keys"));
    let keys = Neighbour::start().await.beside(mapping).await;
    assert_eq!(keys, Ok(vec![Key::new("default", "odd")]));
}

#[tokio::test]
async fn the_memory_of_a_plugin_is_that_of_its_instances_and_goes_with_them() {
    let (revision, _, usage) = start_with(limits()).await;
    let begun = usage.memory();
    reconcile(&revision, "grow").await.unwrap();
    assert!(usage.memory() > begun + (1 << 20), "{begun} {}", usage.memory());
    revision.drop_idle();
    instances(&revision, 0).await;
    assert_eq!(usage.memory(), 0);
    assert!(reconcile(&revision, "hoard").await.is_err());
    instances(&revision, 0).await;
    assert_eq!(usage.memory(), 0, "what was refused does not count");
}

#[tokio::test]
async fn a_call_that_goes_on_elsewhere_is_within_the_span_that_asked_for_it() {
    let log = tracing::Dispatch::new(tracing_subscriber::registry());
    let _log = tracing::dispatcher::set_default(&log);
    // It begins on a background thread.
    let own = Limits { prompt_cpu_per_second: Duration::ZERO, ..limits() };
    let (revision, cluster, _) = start_with(own).await;
    let here = std::thread::current().id();
    let (sender, seen) = std::sync::mpsc::channel();
    let within = log.clone();
    *cluster.on_get.lock().unwrap() = Some(Arc::new(move || {
        let elsewhere = std::thread::current().id() != here;
        sender.send((elsewhere, within.current_span().id().cloned())).unwrap();
    }));
    let span = tracing::info_span!("asked");
    assert!(reconcile(&revision, "get").instrument(span.clone()).await.is_ok());
    assert_eq!(seen.try_recv().unwrap(), (true, span.id()));
}

#[tokio::test]
async fn what_one_call_reaches_the_cluster_through_is_not_there_for_the_next() {
    let (revision, direct) = start().await;
    let through = Arc::new(Nothing::default());
    let request = Request {
        key: Key::new("default", "get"),
        reconcile_id: "1".to_owned(),
        attempt: 1,
        first_seen: std::time::SystemTime::UNIX_EPOCH,
    };
    revision.reconcile_through(request, Some(Arc::clone(&through) as Arc<_>), None).await.unwrap();
    let asked = |cluster: &Nothing| cluster.asked.lock().unwrap().len();
    assert_eq!((asked(&through), asked(&direct)), (1, 0));
    reconcile(&revision, "get").await.unwrap();
    assert_eq!(revision.instances_created(), 1, "it is the same instance");
    assert_eq!((asked(&through), asked(&direct)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_call_holds_is_let_go_when_nothing_of_it_runs_any_more() {
    // It begins on a background thread.
    let own = Limits { prompt_cpu_per_second: Duration::ZERO, ..limits() };
    let (revision, cluster, _) = start_with(own).await;
    let (begin, begun) = std::sync::mpsc::channel();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    *cluster.on_get.lock().unwrap() = Some(Arc::new(move || {
        begin.send(()).unwrap();
        // As on a thread that the kernel does not let run.
        let _ = held.lock().unwrap().recv();
    }));
    let request = Request {
        key: Key::new("default", "get"),
        reconcile_id: "1".to_owned(),
        attempt: 1,
        first_seen: std::time::SystemTime::UNIX_EPOCH,
    };
    let hold = Arc::new(());
    let calling = tokio::spawn({
        let (revision, hold) = (Arc::clone(&revision), Arc::clone(&hold) as Arc<_>);
        async move { revision.reconcile_through(request, None, Some(hold)).await }
    });
    tokio::task::spawn_blocking(move || begun.recv().unwrap()).await.unwrap();
    calling.abort();
    assert!(calling.await.unwrap_err().is_cancelled());
    assert!(Arc::strong_count(&hold) > 1 && revision.is_busy(), "who asked is gone, and it runs");
    drop(release);
    let begun = std::time::Instant::now();
    while Arc::strong_count(&hold) > 1 || revision.is_busy() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is not let go");
        tokio::task::yield_now().await;
    }
}
