//! The scheduler and the kubelet: a Pod is placed, prepared, started, ready, and if it is a Job's, done.
//! Each state is a write of its own. What somebody else makes of a Pod that is ready is left as it is.

use serde_json::{Value, json};

use super::act::{self, Subject};
use super::{JOBS, claim, node, status};
use crate::cluster::Cluster;
use crate::delete::{self, DeleteOptions};
use crate::object::{self, Json};
use crate::store::Key;
use crate::{naming, qos};

const KUBELET: &str = "kubelet";
const SCHEDULER: &str = "kube-scheduler";

pub(super) fn reconcile(pod: &Subject<'_>) {
    let json = pod.json;
    match object::text(json, &["spec", "nodeName"]) {
        "" if is_to_be_placed(json) => place(pod),
        node::NAME => {
            if let Some(status) = next_status(pod) {
                pod.set_status(KUBELET, status);
            }
        }
        _ => {}
    }
}

fn place(pod: &Subject<'_>) {
    if let Some(why) = node::obstacle(pod.cluster, pod.json) {
        let condition = ("PodScheduled", "False", "Unschedulable", why.as_str());
        let mut new = pod.json.get("status").and_then(Value::as_object).cloned().unwrap_or_default();
        new.insert("conditions".to_owned(), status::conditions(pod.json, &[condition], None));
        pod.set_status(SCHEDULER, new);
        return;
    }
    act::change(pod.cluster, pod.place, pod.uid(), (SCHEDULER, "binding"), |json| {
        object::set(json, &["spec", "nodeName"], node::NAME.into());
    });
}

/// Somebody controls it, and nothing asks to wait.
fn is_to_be_placed(json: &Json) -> bool {
    let gates = object::at(json, &["spec", "schedulingGates"]).and_then(Value::as_array);
    let scheduler = object::text(json, &["spec", "schedulerName"]);
    claim::controller(json).is_some()
        && gates.is_none_or(Vec::is_empty)
        && matches!(scheduler, "" | "default-scheduler")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Creating,
    Started,
    Ready,
    Completed,
}

/// The status after the one that the Pod has.
fn next_status(pod: &Subject<'_>) -> Option<Json> {
    let state = match object::text(pod.json, &["status", "phase"]) {
        "" | "Pending" if object::text(pod.json, &["status", "startTime"]).is_empty() => State::Creating,
        "" | "Pending" => State::Started,
        "Running" if !are_started(pod.json) => State::Ready,
        "Running" if is_of_job(pod) => State::Completed,
        "Running" => return gated(pod.json),
        _ => return None,
    };
    Some(status_in(pod.json, state))
}

/// The status of a running Pod that is as ready as its readiness gates are open; nothing if it has none.
fn gated(json: &Json) -> Option<Json> {
    if object::items(json, &["spec", "readinessGates"]).is_empty()
        || !object::has_condition(json, "ContainersReady")
    {
        return None;
    }
    let mut new = json.get("status").and_then(Value::as_object).cloned()?;
    let closed = closed_gates(json);
    new.insert("conditions".to_owned(), status::conditions(json, &[ready(&closed)], None));
    Some(new)
}

fn ready(closed_gates: &str) -> status::Wanted<'_> {
    match closed_gates {
        "" => ("Ready", "True", "", ""),
        closed => ("Ready", "False", "ReadinessGatesNotReady", closed),
    }
}

/// Which readiness gates are not open, in the kubelet's words.
fn closed_gates(json: &Json) -> String {
    let conditions = object::items(json, &["status", "conditions"]);
    let gates = object::items(json, &["spec", "readinessGates"]).iter();
    let closed = gates.map(|gate| object::field(gate, "conditionType")).filter_map(|name| {
        let found = conditions.iter().find(|condition| object::field(condition, "type") == name);
        match found.map(|condition| object::field(condition, "status")) {
            Some("True") => None,
            Some(status) => {
                Some(format!("the status of pod readiness gate {name:?} is not \"True\", but {status}"))
            }
            None => Some(format!("corresponding condition of pod readiness gate {name:?} does not exist.")),
        }
    });
    closed.collect::<Vec<String>>().join(", ")
}

fn are_started(json: &Json) -> bool {
    let statuses = object::at(json, &["status", "containerStatuses"]).and_then(Value::as_array);
    let is_waiting = |status: &Value| status.get("started") == Some(&Value::Bool(false));
    !statuses.into_iter().flatten().any(is_waiting)
}

fn is_of_job(pod: &Subject<'_>) -> bool {
    let owner = claim::controller(pod.json).and_then(|uid| pod.cluster.store.by_uid(uid));
    owner.is_some_and(|((storage, _), _)| &*storage == JOBS)
}

fn status_in(json: &Json, state: State) -> Json {
    let mut new = match json.get("status") {
        Some(Value::Object(status)) => status.clone(),
        _ => Json::new(),
    };
    let containers = object::items(json, &["spec", "containers"]);
    let names: Vec<&str> = containers.iter().map(|container| object::field(container, "name")).collect();
    let unready = format!("containers with unready status: [{}]", names.join(" "));
    let (status, reason, message) = match state {
        State::Creating | State::Started => ("False", "ContainersNotReady", unready.as_str()),
        State::Ready => ("True", "", ""),
        State::Completed => ("False", "PodCompleted", ""),
    };
    let closed = closed_gates(json);
    let ready = match state {
        State::Ready => ready(&closed),
        _ => ("Ready", status, reason, message),
    };
    let initialized = if state == State::Completed { "PodCompleted" } else { "" };
    let conditions = status::conditions(
        json,
        &[
            (
                "PodReadyToStartContainers",
                if state == State::Started || state == State::Ready { "True" } else { "False" },
                "",
                "",
            ),
            ("Initialized", "True", initialized, ""),
            ready,
            ("ContainersReady", status, reason, message),
            ("PodScheduled", "True", "", ""),
        ],
        None,
    );
    let phase = match state {
        State::Creating => "Pending",
        State::Started | State::Ready => "Running",
        State::Completed => "Succeeded",
    };
    new.insert("phase".to_owned(), phase.into());
    new.insert("conditions".to_owned(), conditions);
    new.insert("hostIP".to_owned(), node::ADDRESS.into());
    new.insert("hostIPs".to_owned(), json!([{ "ip": node::ADDRESS }]));
    new.insert("qosClass".to_owned(), qos::class(json).into());
    if state == State::Creating {
        new.insert("startTime".to_owned(), object::now().into());
    } else {
        let address = naming::address("10.244", object::uid(json));
        new.insert("podIPs".to_owned(), json!([{ "ip": address }]));
        new.insert("podIP".to_owned(), address.into());
    }
    let statuses = containers.iter().map(|container| container_status(json, container, state)).collect();
    new.insert("containerStatuses".to_owned(), Value::Array(statuses));
    let before: Vec<Value> = object::items(json, &["spec", "initContainers"])
        .iter()
        .map(|container| {
            let state = if state == State::Creating { state } else { State::Completed };
            let mut status = container_status(json, container, state);
            if let (State::Completed, Some(status)) = (state, status.as_object_mut()) {
                status.insert("ready".to_owned(), true.into());
            }
            status
        })
        .collect();
    if !before.is_empty() {
        new.insert("initContainerStatuses".to_owned(), Value::Array(before));
    }
    new
}

fn container_status(json: &Json, container: &Value, state: State) -> Value {
    let (name, image) = (object::field(container, "name"), object::field(container, "image"));
    let id = format!("none://{}/{name}", object::uid(json));
    let now = object::now();
    let since = object::at(json, &["status", "startTime"]).cloned().unwrap_or_else(|| now.clone().into());
    let detail = match state {
        State::Creating => json!({ "waiting": { "reason": "ContainerCreating" } }),
        State::Started | State::Ready => json!({ "running": { "startedAt": since } }),
        State::Completed => json!({ "terminated": { "exitCode": 0, "reason": "Completed", "containerID": id,
            "startedAt": since, "finishedAt": now } }),
    };
    let mut status = json!({ "name": name, "image": image, "imageID": "", "restartCount": 0, "lastState": {},
        "ready": state == State::Ready, "started": state == State::Ready, "state": detail });
    if let (true, Some(status)) = (state != State::Creating, status.as_object_mut()) {
        status.insert("containerID".to_owned(), id.into());
    }
    status
}

/// Its containers have ended, and so it need not wait any longer.
pub(super) fn end(cluster: &Cluster, key: &Key, json: &Json) {
    let Some(kind) = cluster.kind_of(super::PODS) else { return };
    let uid = Some(object::uid(json).to_owned());
    let options = DeleteOptions { uid, grace: Some(0), ..DeleteOptions::default() };
    if let Err(error) = delete::delete(cluster, &kind, key, &options) {
        // It has gone meanwhile, or is another one.
        tracing::debug!(%error, name = key.name, "not ended");
    }
}
