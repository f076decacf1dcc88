//! Stand-ins for the workload controllers, opt-in: they report what a healthy cluster would report,
//! though no pod runs, so that an operator's readiness logic can be seen at work.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::cluster::Cluster;
use crate::history::{Change, Event};
use crate::object::{self, Json};

/// Works until the cluster is dropped or stops.
pub(crate) async fn run(cluster: Arc<Cluster>, mut events: UnboundedReceiver<Arc<Event>>) {
    let mut stopping = cluster.stopping.subscribe();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => handle(&cluster, &event),
                None => return,
            },
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

fn handle(cluster: &Cluster, event: &Event) {
    if event.change == Change::Deleted {
        return;
    }
    match &*event.storage {
        "deployments.apps" => cluster.edit(&event.storage, &event.key, |json| {
            let mut status = replicas(json);
            status.insert("updatedReplicas".to_owned(), desired(json).into());
            let available = ("Available", "MinimumReplicasAvailable", "Deployment has minimum availability.");
            let progressing =
                ("Progressing", "NewReplicaSetAvailable", "ReplicaSet has successfully progressed.");
            status.insert("conditions".to_owned(), conditions(json, &[available, progressing]));
            json.insert("status".to_owned(), Value::Object(status));
        }),
        "statefulsets.apps" => cluster.edit(&event.storage, &event.key, |json| {
            let mut status = replicas(json);
            status.insert("updatedReplicas".to_owned(), desired(json).into());
            status.insert("currentReplicas".to_owned(), desired(json).into());
            json.insert("status".to_owned(), Value::Object(status));
        }),
        "replicasets.apps" => cluster.edit(&event.storage, &event.key, |json| {
            let mut status = replicas(json);
            status.insert("fullyLabeledReplicas".to_owned(), desired(json).into());
            json.insert("status".to_owned(), Value::Object(status));
        }),
        _ => {}
    }
}

fn desired(json: &Json) -> i64 {
    object::at(json, &["spec", "replicas"]).and_then(Value::as_i64).unwrap_or(1)
}

fn replicas(json: &Json) -> Json {
    let mut status = Json::new();
    let generation = object::meta(json, "generation").cloned().unwrap_or_else(|| json!(1));
    status.insert("observedGeneration".to_owned(), generation);
    for field in ["replicas", "readyReplicas", "availableReplicas"] {
        status.insert(field.to_owned(), desired(json).into());
    }
    status
}

/// Conditions that are true, each since it first was.
fn conditions(json: &Json, true_ones: &[(&str, &str, &str)]) -> Value {
    let before = object::at(json, &["status", "conditions"]).and_then(Value::as_array);
    let condition = |(of_type, reason, message): &(&str, &str, &str)| {
        let same =
            before.into_iter().flatten().find(|condition| condition.get("type") == Some(&json!(of_type)));
        let since = |field: &str| {
            let kept = same.and_then(|condition| condition.get(field)).cloned();
            kept.unwrap_or_else(|| object::now().into())
        };
        json!({ "type": of_type, "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": since("lastTransitionTime"), "lastUpdateTime": since("lastUpdateTime") })
    };
    true_ones.iter().map(condition).collect()
}
