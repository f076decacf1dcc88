//! A Pod's quality of service class, which its containers' resources make
//! (<https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/>).

use serde_json::Value;

use crate::object::{self, Json};

/// Guaranteed if each container is limited to what it requests, BestEffort if none asks for anything.
pub(crate) fn class(json: &Json) -> &'static str {
    let containers = |field: &str| object::items(json, &["spec", field]).iter();
    let all: Vec<&Value> = containers("containers").chain(containers("initContainers")).collect();
    let amount = |container: &Value, kind: &str, resource: &str| {
        container.pointer(&format!("/resources/{kind}/{resource}")).cloned()
    };
    let resources = ["cpu", "memory"];
    let asks = |container: &&Value| {
        ["requests", "limits"]
            .iter()
            .any(|kind| resources.iter().any(|resource| amount(container, kind, resource).is_some()))
    };
    let is_exact = |container: &&Value| {
        resources.iter().all(|resource| {
            let limit = amount(container, "limits", resource);
            // What is limited and not requested is requested as limited.
            let request = amount(container, "requests", resource).or_else(|| limit.clone());
            limit.is_some() && limit == request
        })
    };
    match (all.iter().any(asks), all.iter().all(is_exact)) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}
