//! What ends in the middle of a write: between its being sent and its answer's being there. The guest waits
//! meanwhile, but for the room that it gives to the answer.

use std::sync::Arc;

use wheelhouse_core::Outcome;
use wheelhouse_core::limits::{Limit, Limits};
use wheelhouse_sandbox::CallError;

use crate::component::{Module, ZEROS, contract, imports};
use crate::support::{Neighbour, hasty, instances, limits, reconcile};
use crate::{SPIN, texts};

/// Whether the guest is in the middle of it.
const WRITING: &str = "(global $writing (mut i32) (i32.const 0))";

/// A module that writes for an object with a name of five letters, and then gives no room for the answer:
/// it does this instead.
async fn attack(instead: &str, limits: Limits) -> CallError {
    let (resolve, world) = contract();
    let create = imports(&resolve, world).into_iter().find(|door| door.id == "client.create").unwrap();
    let (call, memory) = texts::call(&resolve, &create, b"", &[usize::MAX]);
    let body = format!(
        "(if (i32.eq (local.get 3) (i32.const 5)) (then (global.set $writing (i32.const 1)) {call})) {ZEROS}"
    );
    let realloc = format!("(if (global.get $writing) (then {instead})) i32.const 524288");
    let more = [WRITING, SPIN, &memory].join("\n");
    let module =
        Module { bodies: &[("reconcile", &body)], realloc: Some(&realloc), more: &more, ..Module::default() };
    let (hostile, cluster) = texts::started(&module, limits).await;
    assert_eq!(reconcile(&hostile, "ok").await, Ok(Outcome::Done));
    let attacking = tokio::spawn({
        let hostile = Arc::clone(&hostile);
        async move { reconcile(&hostile, "write").await }
    });
    let error = Neighbour::start().await.beside(attacking).await.unwrap().unwrap_err();
    // Once, and by nobody again.
    let asked = || cluster.asked.lock().unwrap().clone();
    assert_eq!(asked(), ["create v1/ConfigMap default/x"]);
    // Its instance, which would take itself to be writing still, is gone, and the next is as new.
    instances(&hostile, 0).await;
    assert_eq!(reconcile(&hostile, "ok").await, Ok(Outcome::Done));
    assert_eq!((hostile.instances(), hostile.instances_created()), (1, 2));
    assert_eq!(asked().len(), 1, "{:?}", asked());
    error
}

#[tokio::test]
async fn hostile_a_trap_while_the_answer_of_a_write_is_handed_over_costs_the_instance_alone() {
    match attack("unreachable", limits()).await {
        CallError::Trap { reason, .. } => assert!(reason.contains("unreachable"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn hostile_the_deadline_while_the_answer_of_a_write_is_handed_over_costs_the_instance_alone() {
    assert_eq!(attack("(call $spin)", hasty()).await.limit(), Some(Limit::ReconcileTimeout));
}
