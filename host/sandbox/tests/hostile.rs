//! A plugin with bad manners: what becomes of it, and of its neighbour.
#![cfg(test)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use wheelhouse_core::limits::{Limit, Limits};
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{Key, Outcome};
use wheelhouse_sandbox::{CallError, DescribeError};

use crate::support::{
    Lines, Neighbour, attacked, beside_a_neighbour, compiled, hasty, limits, on_this_thread, reason,
    reconcile, service, start, start_with,
};

/// What a call comes to that takes longer than it may.
fn late(limit: Limit) -> CallError {
    CallError::Timeout { limit, after: hasty().reconcile_timeout, paused: Duration::ZERO }
}

#[tokio::test]
async fn hostile_a_reconcile_that_spins_is_stopped_at_its_deadline() {
    // One thread for both: the neighbour is served since a spinning guest yields.
    let begun = Instant::now();
    let result = beside_a_neighbour(hasty(), "spin").await;
    assert_eq!(result, Err(late(Limit::ReconcileTimeout)));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn hostile_a_reconcile_that_sleeps_is_stopped_at_its_deadline() {
    let result = beside_a_neighbour(hasty(), "sleep").await;
    assert_eq!(result, Err(late(Limit::ReconcileTimeout)));
}

#[tokio::test]
async fn hostile_a_panic_is_a_trap_that_says_where() {
    match beside_a_neighbour(limits(), "panic").await {
        Err(CallError::Trap { reason, backtrace, .. }) => {
            assert!(reason.contains("unreachable"), "{reason}");
            assert!(backtrace.contains("hostile"), "{backtrace}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn hostile_memory_is_limited_by_name() {
    let reason = reason(beside_a_neighbour(limits(), "hoard").await);
    assert!(reason.contains("limit memory") && reason.contains(&limits().memory.to_string()), "{reason}");
}

#[tokio::test]
async fn hostile_endless_recursion_is_a_trap() {
    let reason = reason(beside_a_neighbour(limits(), "recurse").await);
    assert!(reason.contains("call stack exhausted") || reason.contains("out of bounds"), "{reason}");
}

#[tokio::test]
async fn hostile_an_exit_ends_the_instance_and_not_the_host() {
    reason(beside_a_neighbour(limits(), "exit").await);
}

#[tokio::test]
async fn hostile_there_are_no_files_variables_or_arguments() {
    // Of all that, this process has some.
    assert!(std::env::vars_os().count() > 0 && std::env::args_os().count() > 0);
    assert!(std::fs::read_dir("/").is_ok() && std::fs::read("/etc/passwd").is_ok());
    let (hostile, cluster) = start().await;
    let Ok(Outcome::Terminal(got)) = attacked(&hostile, "ambient").await else { panic!("it was not told") };
    assert_eq!(
        got,
        "variables [] [], arguments [], folder None, preopened [], list refused, list here refused, \
         read refused, read above refused, look refused, write refused, write here refused, make refused, \
         link refused, remove refused, input Ok(0) []"
    );
    assert!(cluster.asked.lock().unwrap().is_empty(), "{:?}", cluster.asked);
    assert_eq!(hostile.traps(), 0);
}

#[tokio::test]
async fn hostile_what_was_not_declared_is_denied_and_spelled_out() {
    let (revision, cluster) = start().await;
    for (attack, missing) in [
        ("undeclared-kind", "may not get v1/Secret in namespace default"),
        ("undeclared-live", "may not get v1/Secret in namespace default"),
        ("undeclared-list", "may not list v1/Secret in namespace default"),
        ("undeclared-cached", "may not get v1/Secret in namespace default"),
        ("undeclared-synced", "may not list v1/Secret"),
        ("undeclared-wait", "may not list v1/Secret"),
        ("undeclared-update", "may not update v1/ConfigMap in namespace default"),
        ("undeclared-apply", "may not patch v1/Secret in namespace default"),
        ("undeclared-verb", "may not delete v1/ConfigMap in namespace default"),
        ("undeclared-namespace", "may not get v1/ConfigMap in namespace kube-system"),
        ("undeclared-subresource", "may not patch v1/ConfigMap/status in namespace default"),
        ("all-namespaces", "may not list v1/ConfigMap in all namespaces"),
        ("other-namespace-in-object", "may not create v1/ConfigMap in namespace kube-system"),
        ("other-manager", "may not apply as field manager \"kubectl\""),
    ] {
        let outcome = attacked(&revision, attack).await.unwrap();
        assert!(
            matches!(&outcome, Outcome::Terminal(text) if text.contains(missing)),
            "{attack}: {outcome:?}"
        );
    }
    assert!(cluster.asked.lock().unwrap().is_empty(), "{:?}", cluster.asked);
    assert_eq!(revision.traps(), 0);
}

#[tokio::test]
async fn hostile_arguments_that_make_no_sense_get_an_error() {
    let (revision, cluster) = start().await;
    for (attack, message) in [
        ("undeclared-index", "none"),
        ("other-object", "the object's kind is not that of v1/ConfigMap"),
        ("large-argument", "limit argumentBytes"),
        ("bad-kind", "names no kind"),
        ("bad-selector", "at byte"),
        ("bad-field-selector", "field selector \"a=b=c\", at byte 3"),
        ("large-field-selector", "limit argumentBytes"),
    ] {
        let outcome = attacked(&revision, attack).await.unwrap();
        assert!(
            matches!(&outcome, Outcome::Terminal(text) if text.contains(message)),
            "{attack}: {outcome:?}"
        );
    }
    assert!(cluster.asked.lock().unwrap().is_empty(), "{:?}", cluster.asked);
}

#[tokio::test]
async fn hostile_describe_has_no_authority_and_a_small_budget() {
    let (compiled, neighbour) = (compiled().await, Neighbour::start().await);
    let describe = async |what: &str, limits: Limits| {
        let config = format!(r#"{{"describe":"{what}"}}"#);
        neighbour.beside(compiled.describe(&config, &limits)).await.unwrap_err()
    };
    for what in ["spin", "sleep"] {
        let error = describe(what, hasty()).await;
        assert!(
            matches!(error, DescribeError::Call(CallError::Timeout { limit: Limit::DescribeTimeout, .. })),
            "{what}: {error}"
        );
    }
    for (what, why) in [
        ("panic", "unreachable"),
        ("read", "describe and index may use no import"),
        ("hoard", "limit memory"),
    ] {
        let error = describe(what, limits()).await;
        assert!(matches!(&error, DescribeError::Call(CallError::Trap { .. })), "{what}: {error}");
        assert!(error.to_string().contains(why), "{what}: {error}");
    }
}

#[tokio::test]
async fn hostile_what_a_call_asked_of_the_host_counts_however_it_ends() {
    let (hostile, _, usage) = start_with(Limits { host_calls: 1_000, ..limits() }).await;
    let reason = reason(attacked(&hostile, "host-calls").await);
    assert!(reason.contains("limit hostCalls"), "{reason}");
    assert!(usage.host_calls_total() > 1_000, "{}", usage.host_calls_total());
    let (hostile, _, usage) = start_with(hasty()).await;
    assert!(attacked(&hostile, "host-calls").await.is_err());
    // Stopped at its deadline, it ends soon after.
    let begun = Instant::now();
    while usage.host_calls_total() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "they are not counted");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let usage = Arc::new(Usage::new(&limits()));
    let (compiled, neighbour) = (compiled().await, Neighbour::start().await);
    let limits = limits();
    let describing = compiled.describe_within(r#"{"describe":"read"}"#, &limits, &usage);
    assert!(neighbour.beside(describing).await.is_err());
    assert!(usage.host_calls_total() > 0, "of a description");
}

/// How long it paused depends on what else the machine does.
fn unpaused(error: DescribeError) -> DescribeError {
    match error {
        DescribeError::Call(CallError::Timeout { limit, after, .. }) => {
            DescribeError::Call(CallError::Timeout { limit, after, paused: Duration::ZERO })
        }
        other => other,
    }
}

#[tokio::test]
async fn hostile_describing_again_and_again_has_no_new_share_each_time() {
    let limits = Limits {
        describe_timeout: Duration::from_secs(1),
        cpu_per_second: Duration::from_millis(20),
        prompt_cpu_per_second: Duration::from_millis(10),
        ..limits()
    };
    let usage = Arc::new(Usage::new(&limits));
    let (compiled, neighbour) = (compiled().await, Neighbour::start().await);
    let spin =
        async || neighbour.beside(compiled.describe_within(r#"{"describe":"spin"}"#, &limits, &usage)).await;
    for _ in 0..2 {
        let error = spin().await.unwrap_err();
        let timeout = CallError::Timeout {
            limit: Limit::DescribeTimeout,
            after: limits.describe_timeout,
            paused: Duration::ZERO,
        };
        assert_eq!(unpaused(error), DescribeError::Call(timeout));
    }
    // 20 ms at once, and 20 ms of each second: a tick and a busy machine besides, but not as much again.
    assert!(usage.cpu_total() < Duration::from_millis(200), "{:?}", usage.cpu_total());
    let late = usage.breaches().find(|(limit, _)| *limit == Limit::DescribeTimeout);
    assert_eq!(late, Some((Limit::DescribeTimeout, 2)));
}

#[tokio::test]
async fn a_configuration_that_is_rejected_names_the_field() {
    let error = compiled().await.describe(r#"{"concurrency":"many"}"#, &limits()).await.unwrap_err();
    assert!(matches!(&error, DescribeError::Config { field, .. } if field == ".concurrency"), "{error}");
    let error = compiled().await.describe(r#"{"name":"Not A Label"}"#, &limits()).await.unwrap_err();
    assert!(matches!(error, DescribeError::Spec(_)), "{error}");
    let error = compiled().await.describe(r#"{"kind":"no kind"}"#, &limits()).await.unwrap_err();
    assert!(matches!(&error, DescribeError::Unreadable(text) if text.contains("no kind")), "{error}");
}

#[tokio::test]
async fn a_source_that_makes_no_sense_is_refused_with_what_is_wrong() {
    for (what, problem) in [
        ("cache-with-predicate", "v1/Pod is among caches, of whose events no request comes"),
        ("bad-predicate", "a source of v1/Pod: predicate \"field-changed(spec..x)\", at byte 14: field path"),
        (
            "bad-tick",
            "tick \"outside\" requests kube-system/x, and what is reconciled is in namespaces default",
        ),
        ("bad-annotation", "\"\" is no annotation to map by"),
        ("bad-field", "field path \"spec..nodeName\", at byte 4"),
        ("bad-field-selector", "field selector \"spec.nodeName\", at byte 0"),
        ("many-fields", "a source of v1/Pod declares 1000 fields, at most 256 may be"),
    ] {
        let config = format!(r#"{{"describe":"{what}"}}"#);
        let error = compiled().await.describe(&config, &Limits::default()).await.unwrap_err();
        assert!(matches!(error, DescribeError::Unreadable(_) | DescribeError::Spec(_)), "{error:?}");
        assert!(error.to_string().contains(problem), "{error}");
    }
}

#[tokio::test]
async fn hostile_a_wait_ends_before_its_call_does() {
    let (revision, cluster, _) = start_with(hasty()).await;
    let outcome = attacked(&revision, "wait").await;
    assert_eq!(outcome, Ok(Outcome::Terminal("not synced".to_owned())));
    assert_eq!(*cluster.asked.lock().unwrap(), ["wait v1/ConfigMap"]);
    assert_eq!(revision.traps(), 0);
}

#[tokio::test]
async fn all_objects_that_cannot_be_read_are_told_of_in_bounded_pages() {
    let (revision, cluster) = start().await;
    let (pages, more) = (3, 7);
    let count = pages * limits().page_items + more;
    cluster.unreadable.lock().unwrap().extend((0..count).map(|i| Key::new("default", format!("{i:06}"))));
    let outcome = reconcile(&revision, "iterate").await;
    assert_eq!(outcome, Ok(Outcome::Terminal(format!("0 and {count} unreadable"))));
    assert_eq!(cluster.asked.lock().unwrap().len(), pages as usize + 1);
}

#[tokio::test]
async fn hostile_map_may_read_and_may_not_write() {
    let ((revision, cluster), neighbour) = (start().await, Neighbour::start().await);
    assert_eq!(
        neighbour.beside(revision.map("services", service("web"))).await,
        Ok(vec![Key::new("default", "web")])
    );
    let error = neighbour.beside(revision.map("services", service("write"))).await.unwrap_err();
    assert!(
        matches!(&error, CallError::Trap { reason, .. } if reason.contains("may not write")),
        "{error:?}"
    );
    assert!(cluster.asked.lock().unwrap().is_empty());
    let (revision, ..) = start_with(hasty()).await;
    let error = neighbour.beside(revision.map("services", service("spin"))).await.unwrap_err();
    assert_eq!(error, late(Limit::MapTimeout));
}

#[tokio::test]
async fn hostile_an_index_function_that_fails_costs_its_call() {
    let ((revision, _), neighbour) = (start().await, Neighbour::start().await);
    let object = |name: &str| service(name).new.unwrap();
    assert_eq!(revision.index("own", &object("web")).await, Ok(vec!["web".to_owned()]));
    for name in ["index-panic", "index-read"] {
        let object = object(name);
        assert!(neighbour.beside(revision.index("own", &object)).await.is_err(), "{name}");
    }
    let (hasty, ..) = start_with(hasty()).await;
    let spinning = object("index-spin");
    let indexed = neighbour.beside(hasty.index("own", &spinning)).await;
    assert_eq!(indexed, Err(late(Limit::IndexTimeout)));
    assert_eq!(revision.index("own", &object("web")).await, Ok(vec!["web".to_owned()]));
}

#[tokio::test]
async fn an_instance_is_reused_until_it_is_dropped() {
    let (revision, _) = start().await;
    for _ in 0..10 {
        assert_eq!(reconcile(&revision, "ok").await, Ok(Outcome::Done));
    }
    assert_eq!((revision.instances(), revision.instances_created()), (1, 1));
    revision.drop_idle();
    assert_eq!(revision.instances(), 0);
    assert_eq!(reconcile(&revision, "ok").await, Ok(Outcome::Done));
    assert_eq!(revision.instances_created(), 2);
}

#[tokio::test]
async fn an_instance_is_used_for_so_many_calls_and_not_for_one_more() {
    let (revision, ..) = start_with(Limits { instance_calls: 3, ..limits() }).await;
    // How many calls the instance remembers, and how many of them are kept afterwards.
    let mut remembered = Vec::new();
    for _ in 0..7 {
        let Ok(Outcome::Terminal(calls)) = reconcile(&revision, "remember").await else { panic!() };
        remembered.push((calls, revision.instances()));
    }
    let expected = [("1", 1), ("2", 1), ("3", 0), ("1", 1), ("2", 1), ("3", 0), ("1", 1)];
    assert_eq!(remembered, expected.map(|(calls, kept)| (calls.to_owned(), kept)));
    // Calls of every kind count: a second and a third.
    revision.map("services", service("web")).await.unwrap();
    assert_eq!((revision.instances(), revision.instances_created()), (1, 3));
    revision.index("own", &service("web").new.unwrap()).await.unwrap();
    assert_eq!((revision.instances(), revision.instances_created()), (0, 3));
}

#[tokio::test]
async fn hostile_log_lines_cannot_be_forged_and_carry_their_call() {
    let lines = Lines::default();
    let _guard = lines.subscribe();
    let (revision, ..) = start_with(on_this_thread()).await;
    assert_eq!(attacked(&revision, "log").await, Ok(Outcome::Done));
    let text = lines.text();
    let all: Vec<&str> = text.lines().collect();
    assert_eq!(all.len(), 2, "{text}");
    assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
    assert!(all.iter().all(|line| line.contains("hostile") && line.contains("default/log")), "{text}");
    assert!(all[1].contains("printed"), "{text}");
}
