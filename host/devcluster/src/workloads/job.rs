//! Jobs: Pods that run and complete, as many at a time and in all as the Job says. A Pod that somebody
//! marks as failed is tried again, up to the Job's limit.

use std::sync::Arc;

use serde_json::{Value, json};

use super::act::{self, CONTROLLER, Subject};
use super::{PODS, claim, status, template};
use crate::object::{self, Json, Object};

const INDEX: &str = "batch.kubernetes.io/job-completion-index";

struct Tally {
    active: i64,
    ready: i64,
    succeeded: i64,
    failed: i64,
}

pub(super) fn reconcile(job: &Subject<'_>) {
    if is_over(job.json) {
        return;
    }
    let pods = claim::claim(job, PODS);
    let tally = tally(&pods);
    let is_failed = tally.failed > act::number(job.json, &["spec", "backoffLimit"], 6);
    let is_complete = is_complete(job, &tally);
    if is_failed || is_suspended(job) {
        claim::active(&pods).into_iter().for_each(|pod| job.delete(PODS, pod));
    } else if !is_complete {
        start(job, &pods, &tally);
    }
    report(job, &claim::claim(job, PODS), is_complete, is_failed);
}

fn is_over(job: &Json) -> bool {
    object::has_condition(job, "Complete") || object::has_condition(job, "Failed")
}

fn is_suspended(job: &Subject<'_>) -> bool {
    object::at(job.json, &["spec", "suspend"]) == Some(&Value::Bool(true))
}

fn tally(pods: &[Arc<Object>]) -> Tally {
    let in_phase = |phase: &str| {
        act::count(pods.iter().filter(|pod| object::text(&pod.json, &["status", "phase"]) == phase))
    };
    let active = claim::active(pods);
    Tally {
        active: act::count(active.iter()),
        ready: act::count(active.iter().filter(|pod| object::has_condition(pod, "Ready"))),
        succeeded: in_phase("Succeeded"),
        failed: in_phase("Failed"),
    }
}

/// How many Pods are to succeed; without a number, any of them does, and then no more is started.
fn completions(job: &Subject<'_>) -> Option<i64> {
    object::at(job.json, &["spec", "completions"]).and_then(Value::as_i64)
}

fn is_complete(job: &Subject<'_>, tally: &Tally) -> bool {
    match completions(job) {
        Some(completions) => tally.succeeded >= completions,
        None => tally.succeeded > 0 && tally.active == 0,
    }
}

fn start(job: &Subject<'_>, pods: &[Arc<Object>], tally: &Tally) {
    let at_once = act::number(job.json, &["spec", "parallelism"], 1);
    let left = match completions(job) {
        Some(completions) => completions.saturating_sub(tally.succeeded),
        None if tally.succeeded > 0 => 0,
        None => at_once,
    };
    let wanted = at_once.min(left);
    if wanted < tally.active {
        let surplus = usize::try_from(tally.active.saturating_sub(wanted)).unwrap_or(0);
        claim::active(pods).into_iter().rev().take(surplus).for_each(|pod| job.delete(PODS, pod));
    }
    let missing = wanted.saturating_sub(tally.active).min(act::AT_ONCE);
    let missing = usize::try_from(missing).unwrap_or(0);
    if object::text(job.json, &["spec", "completionMode"]) == "Indexed" {
        let taken = |index: &i64| {
            let failed = |pod: &Json| object::text(pod, &["status", "phase"]) == "Failed";
            pods.iter().any(|pod| !failed(&pod.json) && index_of(&pod.json) == Some(*index))
        };
        let free = (0..completions(job).unwrap_or(0)).filter(|index| !taken(index));
        free.take(missing).for_each(|index| create(job, Some(index)));
    } else {
        (0..missing).for_each(|_| create(job, None));
    }
}

fn index_of(pod: &Json) -> Option<i64> {
    object::text(pod, &["metadata", "annotations", INDEX]).parse().ok()
}

fn create(job: &Subject<'_>, index: Option<i64>) {
    // The API server put the labels of the Job into the template.
    let mut pod = template::generated(job, &[]);
    if let Some(index) = index {
        let text = index.to_string();
        object::set(&mut pod, &["metadata", "generateName"], format!("{}-{index}-", job.name()).into());
        object::set(&mut pod, &["metadata", "labels", INDEX], text.clone().into());
        object::set(&mut pod, &["metadata", "annotations", INDEX], text.into());
        object::set(&mut pod, &["spec", "hostname"], format!("{}-{index}", job.name()).into());
    }
    job.try_create(PODS, pod);
}

fn report(job: &Subject<'_>, pods: &[Arc<Object>], is_complete: bool, is_failed: bool) {
    let tally = tally(pods);
    let mut new = match job.json.get("status") {
        Some(Value::Object(status)) => status.clone(),
        _ => Json::new(),
    };
    let now = object::now();
    let conditions: &[status::Wanted<'_>] = match (is_failed, is_complete) {
        (true, _) => &[
            ("FailureTarget", "True", "BackoffLimitExceeded", "Job has reached the specified backoff limit"),
            ("Failed", "True", "BackoffLimitExceeded", "Job has reached the specified backoff limit"),
        ],
        (_, true) => {
            new.insert("completionTime".to_owned(), now.clone().into());
            &[
                (
                    "SuccessCriteriaMet",
                    "True",
                    "CompletionsReached",
                    "Reached expected number of succeeded pods",
                ),
                ("Complete", "True", "CompletionsReached", "Reached expected number of succeeded pods"),
            ]
        }
        _ if is_suspended(job) => &[("Suspended", "True", "JobSuspended", "Job suspended")],
        _ if object::has_condition(job.json, "Suspended") => {
            &[("Suspended", "False", "JobResumed", "Job resumed")]
        }
        _ => &[],
    };
    if is_suspended(job) && !is_complete {
        new.remove("startTime");
    } else {
        new.entry("startTime").or_insert_with(|| now.into());
    }
    new.insert("ready".to_owned(), tally.ready.into());
    new.insert("terminating".to_owned(), 0.into());
    new.insert("uncountedTerminatedPods".to_owned(), json!({}));
    status::counts(
        &mut new,
        &[("active", tally.active), ("succeeded", tally.succeeded), ("failed", tally.failed)],
    );
    if !conditions.is_empty() {
        new.insert("conditions".to_owned(), status::conditions(job.json, conditions, Some("lastProbeTime")));
    }
    job.set_status(CONTROLLER, new);
}
