//! DaemonSets: one Pod, since there is one Node. No ControllerRevision is made for them.

use std::sync::Arc;

use serde_json::json;

use super::act::{self, CONTROLLER, Subject};
use super::{PODS, claim, node, status, template};
use crate::object::{self, Json, Object};

const REVISION: &str = "controller-revision-hash";
/// Counts the templates that the DaemonSet has had.
const GENERATION: &str = "deprecated.daemonset.template.generation";

pub(super) fn reconcile(set: &Subject<'_>) {
    let revision = template::hash(&template::of(set.json), 0);
    let pods = claim::claim(set, PODS);
    let active = claim::active(&pods);
    let on_delete = object::text(set.json, &["spec", "updateStrategy", "type"]) == "OnDelete";
    let is_current = |pod: &Json| on_delete || is_of(pod, &revision);
    let wanted = node::suits(set.cluster, set.json);
    match active.iter().find(|pod| is_current(pod)) {
        None if active.is_empty() && wanted => {
            let generation = object::text(set.json, &["metadata", "annotations", GENERATION]);
            let generation = if generation.is_empty() { "1" } else { generation };
            let labels = [(REVISION, revision.as_str()), ("pod-template-generation", generation)];
            let mut pod = template::generated(set, &labels);
            // It is for this node, and would wait for it.
            let of_name = json!({ "key": "metadata.name", "operator": "In", "values": [node::NAME] });
            let terms = json!({ "nodeSelectorTerms": [{ "matchFields": [of_name] }] });
            object::set(
                &mut pod,
                &["spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"],
                terms,
            );
            tolerate(&mut pod);
            object::set(&mut pod, &["spec", "nodeName"], node::NAME.into());
            let _told = set.create_pod(pod);
        }
        kept => {
            let surplus =
                active.iter().filter(|pod| !wanted || kept.is_none_or(|kept| !std::ptr::eq(*kept, **pod)));
            surplus.for_each(|pod| set.delete(PODS, pod));
        }
    }
    report(set, &claim::claim(set, PODS), &revision);
}

/// It stays whatever its node is in for.
fn tolerate(pod: &mut Json) {
    const PATH: &[&str] = &["spec", "tolerations"];
    let mut all = object::items(pod, PATH).to_vec();
    for (taint, effect) in [
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    ] {
        let key = format!("node.kubernetes.io/{taint}");
        let one = json!({ "key": key, "operator": "Exists", "effect": effect });
        if !all.contains(&one) {
            all.push(one);
        }
    }
    object::set(pod, PATH, all.into());
}

fn is_of(pod: &Json, revision: &str) -> bool {
    object::text(pod, &["metadata", "labels", REVISION]) == revision
}

fn report(set: &Subject<'_>, pods: &[Arc<Object>], revision: &str) {
    let wanted = i64::from(node::suits(set.cluster, set.json));
    let active = claim::active(pods);
    let ready = act::count(active.iter().filter(|pod| object::has_condition(pod, "Ready")));
    let mut new = Json::new();
    new.insert("observedGeneration".to_owned(), set.generation());
    new.insert("currentNumberScheduled".to_owned(), act::count(active.iter()).min(wanted).into());
    new.insert("desiredNumberScheduled".to_owned(), wanted.into());
    new.insert("numberMisscheduled".to_owned(), 0.into());
    new.insert("numberReady".to_owned(), ready.into());
    status::counts(
        &mut new,
        &[
            ("numberAvailable", ready),
            ("numberUnavailable", wanted.saturating_sub(ready).max(0)),
            ("updatedNumberScheduled", act::count(active.iter().filter(|pod| is_of(pod, revision)))),
        ],
    );
    set.set_status(CONTROLLER, new);
}
