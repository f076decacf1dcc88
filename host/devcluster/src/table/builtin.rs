//! The columns of the built-in kinds that people look at, and name and age for all others.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::object::{self, Json};

/// The columns after the name, with their priorities.
pub(super) fn columns(kind: &Kind) -> &'static [(&'static str, i64)] {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => &[("Ready", 0), ("Status", 0), ("Restarts", 0), ("Age", 0), ("IP", 1), ("Node", 1)],
        ("", "Service") => {
            &[("Type", 0), ("Cluster-IP", 0), ("External-IP", 0), ("Port(s)", 0), ("Age", 0), ("Selector", 1)]
        }
        ("", "Node") => &[("Status", 0), ("Roles", 0), ("Age", 0), ("Version", 0)],
        ("", "Namespace") => &[("Status", 0), ("Age", 0)],
        ("", "ConfigMap") => &[("Data", 0), ("Age", 0)],
        ("", "Secret") => &[("Type", 0), ("Data", 0), ("Age", 0)],
        ("" | "events.k8s.io", "Event") => {
            &[("Last Seen", 0), ("Type", 0), ("Reason", 0), ("Object", 0), ("Message", 0)]
        }
        ("apps", "Deployment") => &[("Ready", 0), ("Up-to-date", 0), ("Available", 0), ("Age", 0)],
        ("apps", "ReplicaSet") => &[("Desired", 0), ("Current", 0), ("Ready", 0), ("Age", 0)],
        ("apps", "StatefulSet") => &[("Ready", 0), ("Age", 0)],
        ("batch", "Job") => &[("Status", 0), ("Completions", 0), ("Age", 0)],
        ("coordination.k8s.io", "Lease") => &[("Holder", 0), ("Age", 0)],
        ("apiextensions.k8s.io", "CustomResourceDefinition") => &[("Created At", 0)],
        _ => &[("Age", 0)],
    }
}

/// The cells of those columns.
pub(super) fn cells(kind: &Kind, json: &Json) -> Vec<Value> {
    let age = json!(age_of(object::meta_text(json, "creationTimestamp")));
    let number = |path: &[&str]| object::at(json, path).and_then(Value::as_i64).unwrap_or(0);
    let word = |path: &[&str]| json!(or_none(object::text(json, path)));
    let ready = |total: i64| json!(format!("{}/{total}", number(&["status", "readyReplicas"])));
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => pod(json, age),
        ("", "Service") => service(json, age),
        ("", "Node") => {
            vec![
                json!(node_status(json)),
                json!(node_roles(json)),
                age,
                word(&["status", "nodeInfo", "kubeletVersion"]),
            ]
        }
        ("", "Namespace") => vec![word(&["status", "phase"]), age],
        ("", "ConfigMap") => vec![json!(count(json, "data").saturating_add(count(json, "binaryData"))), age],
        ("", "Secret") => vec![word(&["type"]), json!(count(json, "data")), age],
        ("" | "events.k8s.io", "Event") => event(json),
        ("apps", "Deployment") => vec![
            ready(number(&["spec", "replicas"])),
            json!(number(&["status", "updatedReplicas"])),
            json!(number(&["status", "availableReplicas"])),
            age,
        ],
        ("apps", "ReplicaSet") => vec![
            json!(number(&["spec", "replicas"])),
            json!(number(&["status", "replicas"])),
            json!(number(&["status", "readyReplicas"])),
            age,
        ],
        ("apps", "StatefulSet") => vec![ready(number(&["spec", "replicas"])), age],
        ("batch", "Job") => {
            let done = number(&["status", "succeeded"]);
            let wanted = number(&["spec", "completions"]);
            let status = if done >= wanted { "Complete" } else { "Running" };
            vec![json!(status), json!(format!("{done}/{wanted}")), age]
        }
        ("coordination.k8s.io", "Lease") => vec![word(&["spec", "holderIdentity"]), age],
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            vec![json!(object::meta_text(json, "creationTimestamp"))]
        }
        _ => vec![age],
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

fn count(json: &Json, field: &str) -> usize {
    json.get(field).and_then(Value::as_object).map_or(0, Json::len)
}

fn items<'a>(json: &'a Json, path: &[&str]) -> &'a [Value] {
    object::at(json, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn pod(json: &Json, age: Value) -> Vec<Value> {
    let statuses = items(json, &["status", "containerStatuses"]);
    let ready = statuses.iter().filter(|status| status.get("ready") == Some(&Value::Bool(true))).count();
    let restarts: i64 =
        statuses.iter().filter_map(|status| status.get("restartCount").and_then(Value::as_i64)).sum();
    let total = items(json, &["spec", "containers"]).len();
    let status = match (object::is_deleting(json), object::text(json, &["status", "reason"])) {
        (true, _) => "Terminating",
        (false, "") => object::text(json, &["status", "phase"]),
        (false, reason) => reason,
    };
    vec![
        json!(format!("{ready}/{total}")),
        json!(status),
        json!(restarts.to_string()),
        age,
        json!(or_none(object::text(json, &["status", "podIP"]))),
        json!(or_none(object::text(json, &["spec", "nodeName"]))),
    ]
}

fn service(json: &Json, age: Value) -> Vec<Value> {
    let ports: Vec<String> = items(json, &["spec", "ports"])
        .iter()
        .map(|port| {
            let number = |field: &str| port.get(field).and_then(Value::as_i64);
            let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
            match number("nodePort") {
                Some(node) => format!("{}:{node}/{protocol}", number("port").unwrap_or(0)),
                None => format!("{}/{protocol}", number("port").unwrap_or(0)),
            }
        })
        .collect();
    let selector = object::at(json, &["spec", "selector"]).and_then(Value::as_object);
    let selector: Vec<String> = selector
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    vec![
        json!(or_none(object::text(json, &["spec", "type"]))),
        json!(or_none(object::text(json, &["spec", "clusterIP"]))),
        json!(or_none(object::text(json, &["spec", "externalName"]))),
        json!(or_none(&ports.join(","))),
        age,
        json!(or_none(&selector.join(","))),
    ]
}

fn node_status(json: &Json) -> String {
    let ready = items(json, &["status", "conditions"])
        .iter()
        .find(|condition| condition.get("type").and_then(Value::as_str) == Some("Ready"))
        .and_then(|condition| condition.get("status").and_then(Value::as_str));
    let mut status = match ready {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if object::at(json, &["spec", "unschedulable"]) == Some(&Value::Bool(true)) {
        status.push_str(",SchedulingDisabled");
    }
    status
}

fn node_roles(json: &Json) -> String {
    let labels = object::meta(json, "labels").and_then(Value::as_object);
    let roles = labels.into_iter().flat_map(|labels| labels.keys());
    let roles: Vec<&str> = roles.filter_map(|key| key.strip_prefix("node-role.kubernetes.io/")).collect();
    or_none(&roles.join(",")).to_owned()
}

fn event(json: &Json) -> Vec<Value> {
    let first = |paths: &[&[&str]]| {
        paths
            .iter()
            .map(|path| object::text(json, path))
            .find(|text| !text.is_empty())
            .unwrap_or_default()
            .to_owned()
    };
    let about = |field: &str| first(&[&["involvedObject", field], &["regarding", field]]);
    let seen = first(&[
        &["lastTimestamp"],
        &["deprecatedLastTimestamp"],
        &["eventTime"],
        &["metadata", "creationTimestamp"],
    ]);
    vec![
        json!(age_of(&seen)),
        json!(first(&[&["type"]])),
        json!(first(&[&["reason"]])),
        json!(format!("{}/{}", about("kind").to_lowercase(), about("name"))),
        json!(first(&[&["message"], &["note"]])),
    ]
}

/// How long ago a time was, as kubectl writes it: `45s`, `5m10s`, `3h`, `12d`.
pub(super) fn age_of(stamp: &str) -> String {
    let Ok(then) = stamp.parse::<jiff::Timestamp>() else { return "<unknown>".to_owned() };
    human(jiff::Timestamp::now().as_second().saturating_sub(then.as_second()).max(0))
}

fn human(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let pair = |big: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{big}{unit}"),
        small => format!("{big}{unit}{small}{small_unit}"),
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, "d", hours % 24, "h"),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn ages_are_written_as_kubectl_writes_them() {
        for (seconds, expected) in [
            (5, "5s"),
            (119, "119s"),
            (310, "5m10s"),
            (600, "10m"),
            (7200, "120m"),
            (90_000, "25h"),
            (864_000, "10d"),
        ] {
            assert_eq!(human(seconds), expected);
        }
    }
}
