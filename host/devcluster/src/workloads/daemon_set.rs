//! DaemonSets: one Pod, since there is one Node. No ControllerRevision is made for them.

use std::sync::Arc;

use super::act::{self, CONTROLLER, Subject};
use super::{PODS, claim, node, status, template};
use crate::object::{self, Json, Object};

const REVISION: &str = "controller-revision-hash";

pub(super) fn reconcile(set: &Subject<'_>) {
    let revision = template::hash(&template::of(set.json), 0);
    let pods = claim::claim(set, PODS);
    let active = claim::active(&pods);
    let on_delete = object::text(set.json, &["spec", "updateStrategy", "type"]) == "OnDelete";
    let is_current = |pod: &Json| on_delete || is_of(pod, &revision);
    let wanted = node::suits(set.cluster, set.json);
    match active.iter().find(|pod| is_current(pod)) {
        None if active.is_empty() && wanted => {
            let mut pod = template::generated(set, &[(REVISION, &revision)]);
            object::set(&mut pod, &["spec", "nodeName"], node::NAME.into());
            set.try_create(PODS, pod);
        }
        kept => {
            let surplus =
                active.iter().filter(|pod| !wanted || kept.is_none_or(|kept| !std::ptr::eq(*kept, **pod)));
            surplus.for_each(|pod| set.delete(PODS, pod));
        }
    }
    report(set, &claim::claim(set, PODS), &revision);
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
