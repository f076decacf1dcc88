//! Jobs: Pods that run and complete, as many at a time and in all as the Job says. A Pod that somebody
//! marks as failed is tried again, up to the Job's limit.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::act::{self, CONTROLLER, Subject};
use super::{PODS, claim, events, status, template};
use crate::error::ApiError;
use crate::object::{self, Json, Object};
use crate::validate;

const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

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

fn is_indexed(job: &Subject<'_>) -> bool {
    object::text(job.json, &["spec", "completionMode"]) == "Indexed"
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
        // Those that run may end.
        None if tally.succeeded > 0 => tally.active,
        None => at_once,
    };
    let wanted = at_once.min(left);
    if wanted < tally.active {
        let surplus = usize::try_from(tally.active.saturating_sub(wanted)).unwrap_or(0);
        claim::active(pods).into_iter().rev().take(surplus).for_each(|pod| job.delete(PODS, pod));
    }
    let missing = wanted.saturating_sub(tally.active).min(act::AT_ONCE);
    let missing = usize::try_from(missing).unwrap_or(0);
    if is_indexed(job) {
        let taken = |index: &i64| {
            let failed = |pod: &Json| object::text(pod, &["status", "phase"]) == "Failed";
            pods.iter().any(|pod| !failed(&pod.json) && index_of(&pod.json) == Some(*index))
        };
        let free = (0..completions(job).unwrap_or(0)).filter(|index| !taken(index));
        let _told = free.take(missing).try_for_each(|index| create(job, Some(index)));
    } else {
        let _told = (0..missing).try_for_each(|_| create(job, None));
    }
}

fn index_of(pod: &Json) -> Option<i64> {
    object::text(pod, &["metadata", "annotations", INDEX]).parse().ok()
}

fn create(job: &Subject<'_>, index: Option<i64>) -> Result<(), ApiError> {
    // The API server put the labels of the Job into the template.
    let mut pod = template::generated(job, &[]);
    if let Some(index) = index {
        let text = index.to_string();
        object::set(&mut pod, &["metadata", "generateName"], format!("{}-{index}-", job.name()).into());
        object::set(&mut pod, &["metadata", "labels", INDEX], text.clone().into());
        object::set(&mut pod, &["metadata", "annotations", INDEX], text.into());
        let hostname = format!("{}-{index}", job.name());
        if validate::is_label(&hostname) {
            object::set(&mut pod, &["spec", "hostname"], hostname.into());
        }
        tell_index(&mut pod);
    }
    job.create_pod(pod)
}

/// Gives the containers their index in a variable, unless they have one of that name.
fn tell_index(pod: &mut Json) {
    let Some(Value::Object(spec)) = pod.get_mut("spec") else { return };
    let lists = ["containers", "initContainers"].into_iter();
    let paths =
        lists.filter_map(|field| Some((field, spec.get(field)?.as_array()?.clone()))).collect::<Vec<_>>();
    for (field, mut containers) in paths {
        for container in containers.iter_mut().filter_map(Value::as_object_mut) {
            let mut env = container.get("env").and_then(Value::as_array).cloned().unwrap_or_default();
            if !env.iter().any(|one| object::field(one, "name") == INDEX_VARIABLE) {
                let path = format!("metadata.labels['{INDEX}']");
                env.push(
                    json!({ "name": INDEX_VARIABLE, "valueFrom": { "fieldRef": { "fieldPath": path } } }),
                );
            }
            container.insert("env".to_owned(), Value::Array(env));
        }
        spec.insert(field.to_owned(), Value::Array(containers));
    }
}

/// Numbers as a list of ranges: `0,1`, `0-2,4`.
fn ranges(numbers: &BTreeSet<i64>) -> String {
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.saturating_add(1) == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let written = ranges.into_iter().map(|(first, last)| match last.saturating_sub(first) {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    });
    written.collect::<Vec<_>>().join(",")
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
    if is_indexed(job) {
        let succeeded =
            pods.iter().filter(|pod| object::text(&pod.json, &["status", "phase"]) == "Succeeded");
        let completed = ranges(&succeeded.filter_map(|pod| index_of(&pod.json)).collect());
        match completed.is_empty() {
            true => new.remove("completedIndexes"),
            false => new.insert("completedIndexes".to_owned(), completed.into()),
        };
    }
    if !conditions.is_empty() {
        new.insert("conditions".to_owned(), status::conditions(job.json, conditions, Some("lastProbeTime")));
    }
    if !job.set_status(CONTROLLER, new) {
        return;
    }
    for (of_type, status, reason, message) in conditions {
        let is_new = !object::items(job.json, &["status", "conditions"]).iter().any(|condition| {
            object::field(condition, "type") == *of_type && object::field(condition, "status") == *status
        });
        match (*of_type, *status) {
            _ if !is_new => {}
            ("Complete", _) => events::normal(job, "Completed", "Job completed"),
            ("Failed", _) => events::warning(job, reason, message),
            ("Suspended", "True") => events::normal(job, "Suspended", message),
            ("Suspended", _) => events::normal(job, "Resumed", message),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_that_follow_each_other_are_written_as_ranges() {
        for (numbers, written) in
            [(&[][..], ""), (&[3], "3"), (&[0, 1], "0,1"), (&[0, 1, 2, 4, 6, 7], "0-2,4,6,7")]
        {
            assert_eq!(ranges(&numbers.iter().copied().collect()), written);
        }
    }
}
