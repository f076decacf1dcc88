//! What an attacker writes by hand: code that no SDK and no compiler would make.
#![cfg(test)]

mod component;
mod midway;
#[path = "../support/mod.rs"]
mod support;
mod texts;
mod values;
mod wasi;

use std::sync::Arc;
use std::time::Duration;

use wheelhouse_core::limits::{Limit, Limits};
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{Gate, Outcome};
use wheelhouse_sandbox::{
    CallError, Compiled, DescribeError, Revision, RevisionSetup, Sandbox, SandboxConfig,
};
use wit_component::StringEncoding;

use crate::component::{Module, ZEROS};
use crate::support::{Neighbour, Nothing, compiled, hasty, limits, sandbox};

async fn compile(module: &Module<'_>) -> Compiled {
    sandbox().compile(module.component().into()).await.unwrap()
}

/// The module as a plugin, as if it had described itself as the other attackers do.
async fn start(module: &Module<'_>, limits: Limits) -> Arc<Revision> {
    started(&compile(module).await, limits).await
}

async fn started(compiled_module: &Compiled, limits: Limits) -> Arc<Revision> {
    let usage = Arc::new(Usage::new(&limits));
    started_on(compiled_module, limits, &usage).await
}

async fn started_on(compiled_module: &Compiled, limits: Limits, usage: &Arc<Usage>) -> Arc<Revision> {
    let spec = Arc::new(compiled().await.describe("{}", &Limits::default()).await.unwrap());
    let setup = RevisionSetup {
        gate: Arc::new(Gate::granting(&spec.name, spec.all_permissions())),
        spec,
        config: "{}".into(),
        cluster: Arc::new(Nothing::default()),
        usage: Arc::clone(usage),
        metrics: Arc::default(),
        limits,
    };
    Arc::new(compiled_module.start(setup))
}

/// What becomes of it, beside a neighbour that must not notice.
async fn attack(module: &Module<'_>, limits: Limits) -> CallError {
    let revision = start(module, limits).await;
    let attacking = tokio::spawn(async move { support::reconcile(&revision, "x").await });
    let attacked = Neighbour::start().await.beside(attacking).await;
    attacked.unwrap().unwrap_err()
}

async fn trapped(module: &Module<'_>) -> String {
    match attack(module, limits()).await {
        CallError::Trap { reason, .. } => reason,
        other => panic!("a trap was expected, not {other:?}"),
    }
}

#[tokio::test]
async fn a_module_by_hand_is_a_plugin() {
    let revision = start(&Module::default(), limits()).await;
    assert_eq!(support::reconcile(&revision, "panic").await, Ok(Outcome::Done));
}

const SPIN: &str = "(func $spin (loop (br 0)))";

#[tokio::test]
async fn hostile_a_start_function_that_spins_is_stopped() {
    let module = Module { more: &format!("{SPIN} (start $spin)"), ..Module::default() };
    let late =
        |limit| CallError::Timeout { limit, after: Duration::from_millis(400), paused: Duration::ZERO };
    assert_eq!(attack(&module, hasty()).await, late(Limit::ReconcileTimeout));
    let (compiled, hasty) = (compile(&module).await, hasty());
    let described = Neighbour::start().await.beside(compiled.describe("{}", &hasty)).await;
    assert_eq!(described, Err(DescribeError::Call(late(Limit::DescribeTimeout))));
}

#[tokio::test]
async fn hostile_room_for_an_argument_that_is_never_given_is_not_waited_for() {
    let module = Module { realloc: Some("call $spin i32.const 0"), more: SPIN, ..Module::default() };
    assert_eq!(attack(&module, hasty()).await.limit(), Some(Limit::ReconcileTimeout));
}

#[tokio::test]
async fn hostile_a_clean_up_that_spins_is_stopped() {
    let module = Module { post_return: Some("call $spin"), more: SPIN, ..Module::default() };
    assert_eq!(attack(&module, hasty()).await.limit(), Some(Limit::ReconcileTimeout));
}

#[tokio::test]
async fn hostile_room_that_is_not_in_memory_is_a_trap() {
    for place in ["-1", "-8", "1048575", "1048576"] {
        let module = Module { realloc: Some(&format!("i32.const {place}")), ..Module::default() };
        let reason = trapped(&module).await;
        assert!(reason.contains("beyond end of memory"), "{place}: {reason}");
    }
}

#[tokio::test]
async fn hostile_an_answer_that_is_not_in_memory_is_a_trap() {
    for place in ["-1", "-8", "1048575", "1048572", "3"] {
        let bodies = [("reconcile", &*format!("i32.const {place}"))];
        let reason = trapped(&Module { bodies: &bodies, ..Module::default() }).await;
        assert!(reason.contains("align") || reason.contains("out of bounds"), "{place}: {reason}");
    }
}

#[tokio::test]
async fn hostile_an_answer_that_is_none_of_the_cases_is_a_trap() {
    let body = format!("(i32.store8 (i32.const 1024) (i32.const 77)) {ZEROS}");
    let reason = trapped(&Module { bodies: &[("reconcile", &body)], ..Module::default() }).await;
    assert!(reason.contains("discriminant"), "{reason}");
}

/// A terminal failure with a text of so many bytes at this place.
fn failure(place: i32, length: i32) -> String {
    format!(
        "(i32.store8 (i32.const 1024) (i32.const 3))
         (i32.store (i32.const 1032) (i32.const {place}))
         (i32.store (i32.const 1036) (i32.const {length}))
         {ZEROS}"
    )
}

#[tokio::test]
async fn hostile_a_text_that_is_none_is_a_trap() {
    let not_utf8 = format!("(i32.store (i32.const 2048) (i32.const 0xc0c0ffff)) {}", failure(2048, 4));
    for (body, why) in [
        (not_utf8, "utf-8"),
        (failure(1_048_000, 1_000), "out of bounds"),
        (failure(-4, 8), "out of bounds"),
        (failure(0, -1), "out of bounds"),
    ] {
        let reason = trapped(&Module { bodies: &[("reconcile", &body)], ..Module::default() }).await;
        assert!(reason.contains(why), "{why}: {reason}");
    }
}

#[tokio::test]
async fn hostile_half_a_character_of_utf16_is_a_trap() {
    let body = format!("(i32.store (i32.const 2048) (i32.const 0xd800d800)) {}", failure(2048, 2));
    let module = Module {
        bodies: &[("reconcile", &body)],
        encoding: Some(StringEncoding::UTF16),
        ..Module::default()
    };
    let reason = trapped(&module).await;
    assert!(reason.contains("utf") || reason.contains("surrogate"), "{reason}");
}

#[tokio::test]
async fn hostile_text_that_is_none_does_not_reach_the_log() {
    let body = format!(
        "(i32.store (i32.const 2048) (i32.const 0xc0c0ffff))
         (call $logging.log (i32.const 4) (i32.const 2048) (i32.const 4) (i32.const 0) (i32.const 0))
         {ZEROS}"
    );
    let reason = trapped(&Module { bodies: &[("reconcile", &body)], ..Module::default() }).await;
    assert!(reason.contains("utf-8"), "{reason}");
}

#[tokio::test]
async fn hostile_a_list_of_four_billion_fields_is_a_trap() {
    let body = format!(
        "(call $logging.log (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)) {ZEROS}"
    );
    let reason = trapped(&Module { bodies: &[("reconcile", &body)], ..Module::default() }).await;
    assert!(reason.contains("out of bounds"), "{reason}");
    // One list many times over, that costs the guest nothing: 60,000 texts of the same megabyte.
    let body = format!(
        "(local i32)
         (loop
            (i32.store offset=4 (i32.add (i32.const 4096) (i32.mul (local.get 8) (i32.const 16))) (i32.const 1000000))
            (local.set 8 (i32.add (local.get 8) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get 8) (i32.const 60000))))
         (call $logging.log (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 4096) (i32.const 60000))
         {ZEROS}"
    );
    let error = attack(&Module { bodies: &[("reconcile", &body)], ..Module::default() }, limits()).await;
    assert_eq!(error.limit(), Some(Limit::HostcallBytes), "{error}");
}

#[tokio::test]
async fn hostile_tables_count_as_memory() {
    let body = format!("(loop (drop (table.grow (ref.null func) (i32.const 1000))) (br 0)) {ZEROS}");
    let module = Module { bodies: &[("reconcile", &body)], more: "(table 1 funcref)", ..Module::default() };
    // A megabyte of memory is there to begin with.
    let few = Limits { memory: (1 << 20) + (256 << 10), ..limits() };
    assert_eq!(attack(&module, few).await.limit(), Some(Limit::Memory));
    // And one table has no more than a slot has room for, however much memory is allowed.
    let trap = attack(&module, Limits { memory: 256 << 20, ..limits() }).await;
    assert_eq!(trap.limit(), Some(Limit::Memory), "{trap:?}");
}

#[tokio::test]
async fn hostile_a_stack_without_end_is_a_limit_with_a_name() {
    let module = Module {
        bodies: &[("reconcile", "call $deep i32.const 1024")],
        more: "(func $deep (call $deep) (call $deep))",
        ..Module::default()
    };
    let error = attack(&module, limits()).await;
    assert_eq!(error.limit(), Some(Limit::Stack), "{error}");
    assert!(error.to_string().contains("limit stack"), "{error}");
}

#[tokio::test]
async fn a_stack_is_as_large_as_its_operator_says() {
    let more = "(func $deep (param i32)
        (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1))))))";
    let body = format!("(call $deep (i32.const 8000)) {ZEROS}");
    let module = Module { bodies: &[("reconcile", &body)], more, ..Module::default() };
    assert_eq!(support::reconcile(&start(&module, limits()).await, "x").await, Ok(Outcome::Done));
    let config = SandboxConfig { stack: 64 << 10, instances: 2, ..SandboxConfig::default() };
    let compiled = Sandbox::new(config).unwrap().compile(module.component().into()).await.unwrap();
    let error = support::reconcile(&started(&compiled, limits()).await, "x").await.unwrap_err();
    assert_eq!(error.limit(), Some(Limit::Stack), "{error}");
}

#[tokio::test]
async fn hostile_the_host_is_not_called_in_the_middle_of_its_own_call() {
    // While the host writes an argument into the guest's memory, and while the guest cleans up.
    let call = "(call $logging.log (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))";
    let in_realloc = format!("{call} i32.const 524288");
    for module in [
        Module { realloc: Some(&in_realloc), ..Module::default() },
        Module { post_return: Some(call), ..Module::default() },
    ] {
        let reason = trapped(&module).await;
        assert!(reason.contains("cannot leave component instance"), "{reason}");
    }
}

#[tokio::test]
async fn hostile_a_description_of_nothing_is_refused() {
    let described = compile(&Module::default()).await;
    let limits = limits();
    let describing = described.describe("{}", &limits);
    let error = Neighbour::start().await.beside(describing).await.unwrap_err();
    assert!(matches!(error, DescribeError::Unreadable(_) | DescribeError::Spec(_)), "{error:?}");
}

#[tokio::test]
async fn hostile_that_others_have_all_instances_is_a_limit_which_counts_and_no_trap() {
    let config = SandboxConfig { instances: 1, ..SandboxConfig::default() };
    let component = Module::default().component();
    let compiled = Sandbox::new(config).unwrap().compile(component.into()).await.unwrap();
    let usage = Arc::new(Usage::new(&limits()));
    let other = started(&compiled, limits()).await;
    let revision = started_on(&compiled, limits(), &usage).await;
    // It is kept, for the next call.
    assert_eq!(support::reconcile(&other, "x").await, Ok(Outcome::Done));
    let error = support::reconcile(&revision, "x").await.unwrap_err();
    assert!(matches!(&error, CallError::Instance(text) if text.contains("limit instances")), "{error:?}");
    let described = compiled.describe_within("{}", &limits(), &usage).await;
    assert!(matches!(described, Err(DescribeError::Call(CallError::Instance(_)))), "{described:?}");
    let hit: Vec<_> = usage.breaches().filter(|(_, count)| *count > 0).collect();
    assert_eq!((hit, revision.traps()), (vec![(Limit::Instances, 2)], 0));
    other.drop_idle();
    assert_eq!(support::reconcile(&revision, "x").await, Ok(Outcome::Done));
}
