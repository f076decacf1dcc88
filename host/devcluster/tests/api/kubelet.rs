//! What a cluster without nodes lacks for workloads: somebody who reports that Pods run, and that those of Jobs have
//! ended well.

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Reports of the Pods in a test's own namespace until it is dropped.
pub(crate) struct Kubelet(JoinHandle<()>);

impl Kubelet {
    pub(crate) fn start(client: kube::Client) -> Self {
        Self(tokio::spawn(async move {
            let pods: Api<Pod> = Api::default_namespaced(client);
            let mut changed =
                watcher(pods.clone(), watcher::Config::default()).default_backoff().applied_objects().boxed();
            while let Some(pod) = changed.next().await {
                if let Some((name, patch)) = pod.ok().as_ref().and_then(report) {
                    // One that has gone meanwhile, or is another, is in nobody's way.
                    let _ = pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
                }
            }
        }))
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A workload whose Pods are of a scheduler that is nowhere, so that the nodes of a cluster that has some take none of them.
pub(crate) fn out_of_the_way_of_nodes(body: Vec<u8>) -> Vec<u8> {
    let Ok(mut workload) = serde_json::from_slice::<Value>(&body) else { return body };
    let Some(pod) = workload.pointer_mut("/spec/template/spec") else { return body };
    pod["schedulerName"] = json!("nobody");
    workload.to_string().into_bytes()
}

/// The name of a Pod that nobody has reported of, and what is to be said.
fn report(pod: &Pod) -> Option<(String, Value)> {
    let is_pending = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending");
    let is_held = pod.spec.as_ref().is_some_and(|spec| spec.scheduling_gates.is_some());
    if !is_pending || is_held || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let is_of_job = pod.owner_references().iter().any(|owner| owner.kind == "Job");
    let (phase, ready, state) = match is_of_job {
        true => ("Succeeded", "False", json!({ "terminated": { "exitCode": 0, "reason": "Completed" } })),
        false => ("Running", "True", json!({ "running": {} })),
    };
    let condition = |of_type: &str, status: &str| json!({ "type": of_type, "status": status });
    let conditions = [
        condition("PodScheduled", "True"),
        condition("Initialized", "True"),
        condition("ContainersReady", ready),
        condition("Ready", ready),
    ];
    let containers: Vec<Value> = pod
        .spec
        .iter()
        .flat_map(|spec| &spec.containers)
        .map(|container| {
            json!({ "name": container.name, "ready": ready == "True", "restartCount": 0, "state": state,
                "image": container.image, "imageID": "" })
        })
        .collect();
    let status = json!({ "phase": phase, "conditions": conditions, "containerStatuses": containers });
    Some((pod.name_any(), json!({ "metadata": { "uid": pod.metadata.uid }, "status": status })))
}
