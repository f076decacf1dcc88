//! The rows of the kinds that make pods, and of what scales or protects them.

use serde_json::{Value, json};

use super::text::{containers, field, has_condition, human, items, labels, number, selector, since, text_or};
use crate::object::{self, Json};

const POD: &[&str] = &["spec", "template", "spec"];

/// Cells, then containers, images and selector.
fn with_pods(json: &Json, mut cells: Vec<Value>) -> Vec<Value> {
    cells.extend(containers(json, POD));
    cells.push(selector(object::at(json, &["spec", "selector"])));
    cells
}

fn count(json: &Json, field: &str) -> Value {
    json!(number(json, &["status", field]))
}

fn ready(json: &Json) -> Value {
    json!(format!("{}/{}", number(json, &["status", "readyReplicas"]), number(json, &["spec", "replicas"])))
}

pub(super) fn deployment(json: &Json, age: Value) -> Vec<Value> {
    let cells = vec![ready(json), count(json, "updatedReplicas"), count(json, "availableReplicas"), age];
    with_pods(json, cells)
}

/// A ReplicaSet, or a ReplicationController, whose selector is plain.
pub(super) fn replica_set(json: &Json, age: Value, is_plain: bool) -> Vec<Value> {
    let desired = json!(number(json, &["spec", "replicas"]));
    let mut cells =
        with_pods(json, vec![desired, count(json, "replicas"), count(json, "readyReplicas"), age]);
    if is_plain {
        cells.pop();
        cells.push(labels(object::at(json, &["spec", "selector"])));
    }
    cells
}

pub(super) fn stateful_set(json: &Json, age: Value) -> Vec<Value> {
    let mut cells = vec![ready(json), age];
    cells.extend(containers(json, POD));
    cells
}

pub(super) fn daemon_set(json: &Json, age: Value) -> Vec<Value> {
    let cells = vec![
        count(json, "desiredNumberScheduled"),
        count(json, "currentNumberScheduled"),
        count(json, "numberReady"),
        count(json, "updatedNumberScheduled"),
        count(json, "numberAvailable"),
        labels(object::at(json, &["spec", "template", "spec", "nodeSelector"])),
        age,
    ];
    with_pods(json, cells)
}

pub(super) fn job(json: &Json, age: Value) -> Vec<Value> {
    let done = number(json, &["status", "succeeded"]);
    let parallelism = number(json, &["spec", "parallelism"]);
    let completions = match object::at(json, &["spec", "completions"]).and_then(Value::as_i64) {
        Some(wanted) => format!("{done}/{wanted}"),
        None if parallelism > 1 => format!("{done}/1 of {parallelism}"),
        None => format!("{done}/1"),
    };
    let start = object::text(json, &["status", "startTime"]).parse::<jiff::Timestamp>().ok();
    let end = object::text(json, &["status", "completionTime"])
        .parse()
        .unwrap_or_else(|_| crate::clock::timestamp());
    let duration = start.map(|start| human(end.as_second().saturating_sub(start.as_second()).max(0)));
    let cells = vec![json!(job_status(json)), json!(completions), json!(duration.unwrap_or_default()), age];
    with_pods(json, cells)
}

fn job_status(json: &Json) -> &'static str {
    if has_condition(json, "Complete") {
        "Complete"
    } else if has_condition(json, "Failed") {
        "Failed"
    } else if object::is_deleting(json) {
        "Terminating"
    } else if has_condition(json, "Suspended") {
        "Suspended"
    } else if has_condition(json, "FailureTarget") {
        "FailureTarget"
    } else if has_condition(json, "SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

pub(super) fn cron_job(json: &Json, age: Value) -> Vec<Value> {
    let suspend = match object::at(json, &["spec", "suspend"]).and_then(Value::as_bool) {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let mut cells = vec![
        json!(object::text(json, &["spec", "schedule"])),
        text_or(json, &["spec", "timeZone"], "<none>"),
        json!(suspend),
        json!(items(json, &["status", "active"]).len()),
        since(json, &["status", "lastScheduleTime"], "<none>"),
        age,
    ];
    cells.extend(containers(json, &["spec", "jobTemplate", "spec", "template", "spec"]));
    cells.push(selector(object::at(json, &["spec", "jobTemplate", "spec", "selector"])));
    cells
}

pub(super) fn disruption_budget(json: &Json, age: Value) -> Vec<Value> {
    let bound = |field: &str| match object::at(json, &["spec", field]) {
        Some(Value::String(text)) => json!(text),
        Some(value) if !value.is_null() => json!(value.to_string()),
        _ => json!("N/A"),
    };
    vec![bound("minAvailable"), bound("maxUnavailable"), count(json, "disruptionsAllowed"), age]
}

pub(super) fn autoscaler(json: &Json, age: Value) -> Vec<Value> {
    let target = |name: &str| object::text(json, &["spec", "scaleTargetRef", name]);
    let minimum = object::at(json, &["spec", "minReplicas"]).and_then(Value::as_i64);
    vec![
        json!(format!("{}/{}", target("kind"), target("name"))),
        json!(metrics(json)),
        json!(minimum.map_or_else(|| "<unset>".to_owned(), |minimum| minimum.to_string())),
        json!(number(json, &["spec", "maxReplicas"])),
        json!(number(json, &["status", "currentReplicas"])),
        age,
    ]
}

/// Current and wanted values of the metrics, at most two of them.
fn metrics(json: &Json) -> String {
    let wanted = items(json, &["spec", "metrics"]);
    let current = items(json, &["status", "currentMetrics"]);
    let value = |source: Option<&Value>, at: &str| -> Option<String> {
        let values = source?.get(at)?;
        match values.get("averageUtilization").and_then(Value::as_i64) {
            Some(percent) => Some(format!("{percent}%")),
            None => ["averageValue", "value"]
                .iter()
                .map(|name| field(values, name))
                .find(|v| !v.is_empty())
                .map(str::to_owned),
        }
    };
    let one = |(index, metric): (usize, &Value)| {
        let of_type = field(metric, "type");
        let name = format!(
            "{}{}",
            of_type.get(..1).unwrap_or_default().to_lowercase(),
            of_type.get(1..).unwrap_or_default()
        );
        let source = metric.get(&name);
        let target = value(source, "target").unwrap_or_else(|| "<auto>".to_owned());
        let now = value(current.get(index).and_then(|current| current.get(&name)), "current");
        let now = now.unwrap_or_else(|| "<unknown>".to_owned());
        match (name.as_str(), source.map(|source| field(source, "name"))) {
            ("resource" | "containerResource", Some(resource)) => format!("{resource}: {now}/{target}"),
            _ => format!("{now}/{target}"),
        }
    };
    let shown: Vec<String> = wanted.iter().enumerate().take(2).map(one).collect();
    match (shown.is_empty(), wanted.len().saturating_sub(2)) {
        (true, _) => "<none>".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} + {more} more...", shown.join(", ")),
    }
}
