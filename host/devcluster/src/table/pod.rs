//! The row of a Pod: its status says what keeps it from running.

use serde_json::{Value, json};

use super::text::{age_of, field, has_condition, items, or_none};
use crate::object::{self, Json};

/// What the statuses of the containers add up to.
#[derive(Default)]
struct Summary {
    reason: String,
    ready: usize,
    restarts: i64,
    last_restart: String,
}

pub(super) fn cells(json: &Json, age: Value) -> Vec<Value> {
    let summary = summary(json);
    let restartable = items(json, &["spec", "initContainers"]).iter().filter(|c| is_sidecar(c)).count();
    let total = items(json, &["spec", "containers"]).len().saturating_add(restartable);
    let restarts = match summary.last_restart.as_str() {
        stamp if summary.restarts > 0 && !stamp.is_empty() => {
            format!("{} ({} ago)", summary.restarts, age_of(stamp))
        }
        _ => summary.restarts.to_string(),
    };
    let word = |path: &[&str]| json!(or_none(object::text(json, path)));
    vec![
        json!(format!("{}/{total}", summary.ready)),
        json!(summary.reason),
        json!(restarts),
        age,
        word(&["status", "podIP"]),
        word(&["spec", "nodeName"]),
        word(&["status", "nominatedNodeName"]),
        json!(gates(json)),
    ]
}

fn is_sidecar(container: &Value) -> bool {
    field(container, "restartPolicy") == "Always"
}

fn gates(json: &Json) -> String {
    let gates = items(json, &["spec", "readinessGates"]);
    let open = gates.iter().filter(|gate| has_condition(json, field(gate, "conditionType"))).count();
    if gates.is_empty() { "<none>".to_owned() } else { format!("{open}/{}", gates.len()) }
}

fn summary(json: &Json) -> Summary {
    let own_reason = object::text(json, &["status", "reason"]);
    let phase = object::text(json, &["status", "phase"]);
    let mut summary = Summary {
        reason: if own_reason.is_empty() { phase } else { own_reason }.to_owned(),
        ..Summary::default()
    };
    let is_gated = |condition: &&Value| {
        field(condition, "type") == "PodScheduled" && field(condition, "reason") == "SchedulingGated"
    };
    if items(json, &["status", "conditions"]).iter().find(is_gated).is_some() {
        summary.reason = "SchedulingGated".to_owned();
    }
    let initializing = init_containers(json, &mut summary);
    if !initializing || has_condition(json, "Initialized") {
        main_containers(json, &mut summary);
    }
    if object::is_deleting(json) {
        if own_reason == "NodeLost" {
            summary.reason = "Unknown".to_owned();
        } else if !matches!(phase, "Failed" | "Succeeded") {
            summary.reason = "Terminating".to_owned();
        }
    }
    summary
}

/// Counts the restarts of a container.
fn count(summary: &mut Summary, status: &Value) {
    let restarts = status.get("restartCount").and_then(Value::as_i64).unwrap_or(0);
    summary.restarts = summary.restarts.saturating_add(restarts);
    let last = status.get("lastState").and_then(|state| state.get("terminated"));
    let ended = last.map(|last| field(last, "finishedAt")).unwrap_or_default();
    if ended > summary.last_restart.as_str() {
        summary.last_restart = ended.to_owned();
    }
}

/// Why a container ended.
fn ended(terminated: &Value) -> String {
    let number = |name: &str| terminated.get(name).and_then(Value::as_i64).unwrap_or(0);
    match (field(terminated, "reason"), number("signal")) {
        ("", 0) => format!("ExitCode:{}", number("exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

/// Whether the pod still initialises; if so, the summary says where it is.
fn init_containers(json: &Json, summary: &mut Summary) -> bool {
    let containers = items(json, &["spec", "initContainers"]);
    let mut of_sidecars = Summary::default();
    for (index, status) in items(json, &["status", "initContainerStatuses"]).iter().enumerate() {
        count(summary, status);
        let is_sidecar =
            containers.iter().any(|c| field(c, "name") == field(status, "name") && is_sidecar(c));
        if is_sidecar {
            count(&mut of_sidecars, status);
        }
        let is_true = |name: &str| status.get(name) == Some(&Value::Bool(true));
        let state = |name: &str| status.get("state").and_then(|state| state.get(name));
        let terminated = state("terminated");
        let exit = terminated.map(|t| t.get("exitCode").and_then(Value::as_i64).unwrap_or(0));
        if exit == Some(0) {
            continue;
        }
        if is_sidecar && is_true("started") {
            summary.ready = summary.ready.saturating_add(usize::from(is_true("ready")));
            continue;
        }
        let waiting = state("waiting").map(|waiting| field(waiting, "reason")).unwrap_or_default();
        summary.reason = match (terminated, waiting) {
            (Some(terminated), _) => format!("Init:{}", ended(terminated)),
            (None, "" | "PodInitializing") => format!("Init:{index}/{}", containers.len()),
            (None, reason) => format!("Init:{reason}"),
        };
        return true;
    }
    // The containers that only initialised are no longer of interest.
    summary.restarts = of_sidecars.restarts;
    summary.last_restart = of_sidecars.last_restart;
    false
}

fn main_containers(json: &Json, summary: &mut Summary) {
    let mut has_running = false;
    for status in items(json, &["status", "containerStatuses"]).iter().rev() {
        count(summary, status);
        let state = |name: &str| status.get("state").and_then(|state| state.get(name));
        let waiting = state("waiting").map(|waiting| field(waiting, "reason")).unwrap_or_default();
        if !waiting.is_empty() {
            summary.reason = waiting.to_owned();
        } else if let Some(terminated) = state("terminated") {
            summary.reason = ended(terminated);
        } else if status.get("ready") == Some(&Value::Bool(true)) && state("running").is_some() {
            has_running = true;
            summary.ready = summary.ready.saturating_add(1);
        }
    }
    if summary.reason == "Completed" && has_running {
        let reason = if has_condition(json, "Ready") { "Running" } else { "NotReady" };
        summary.reason = reason.to_owned();
    }
}
