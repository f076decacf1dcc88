//! The task that writes the status of resources: when something has changed, at most once a second for each,
//! and only where this host leads.
//!
//! A plugin at work costs the API server no writes: all that changes with its reconciles is how many of them have
//! failed, which is brought up to date once a minute.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use wheelhouse_cache::rest::encode;
use wheelhouse_cache::{Failure, Interest, Rest};
use wheelhouse_controller::Controller;
use wheelhouse_core::{Key, Object};

use super::order::generation;
use super::source::{is_deleted, kind};
use super::status::{Known, ended, status};
use super::types::PluginStatus;
use super::{GROUP, MANAGER, VERSION};
use crate::leader::{Candidate, Election};
use crate::plugin_id::PluginId;
use crate::plugins::{Plugins, Slot, lock};
use crate::preparation::Mark;

/// Between two writes of one status.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two writes that only say how many reconciles have failed.
const MINUTE: Duration = Duration::from_secs(60);
/// Some things change without a word: who holds a lease.
const LOOK: Duration = Duration::from_secs(5);
/// Of one request.
const WITHIN: Duration = Duration::from_secs(10);

/// What there is to write of one resource.
struct Page {
    id: PluginId,
    uid: String,
    known: Known,
    /// By which it is written.
    pen: Rest,
    /// Whether this host has the plugin loaded.
    loaded: bool,
}

/// What was written last of one resource, and when, if it was this host that has written it.
struct Written {
    uid: String,
    status: PluginStatus,
    when: Option<Instant>,
    /// What this host has written last, then.
    own: Option<PluginStatus>,
    /// Since when what it says to run has been seen to run on no host.
    orphaned: Option<Instant>,
}

impl Written {
    /// Whether nobody is there to say more, nor was for so long: who has just begun may not be seen to run it yet.
    fn is_orphaned(&mut self, runs: bool, after: Duration, now: Instant) -> bool {
        if runs {
            self.orphaned = None;
            return false;
        }
        now.saturating_duration_since(*self.orphaned.get_or_insert(now)) >= after
    }

    /// Whether this host has said so a moment ago: another one knows otherwise, and two would write in turns.
    fn has_just_said(&self, status: &PluginStatus, now: Instant) -> bool {
        let soon = self.when.is_some_and(|when| now.saturating_duration_since(when) < MINUTE);
        soon && self.own.as_ref().is_some_and(|own| without_times(own) == without_times(status))
    }

    /// Whether there is nothing to write by now.
    fn still_says(&self, status: &PluginStatus, now: Instant) -> bool {
        let soon = self.when.is_some_and(|when| now.saturating_duration_since(when) < MINUTE);
        let same = PluginStatus { errors: self.status.errors, ..status.clone() } == self.status;
        same && (soon || status.errors == self.status.errors)
    }
}

/// What it says, whatever it said before.
fn without_times(status: &PluginStatus) -> PluginStatus {
    let mut status = status.clone();
    status.conditions.iter_mut().for_each(|condition| condition.last_transition_time.clear());
    status
}

/// Those that are for this host to write.
fn pages(plugins: &Plugins) -> Vec<Page> {
    let page = |(id, slot): (&PluginId, &Slot)| {
        let (uid, generation) = (slot.ordered.as_ref()?.uid.clone(), slot.generation?);
        // Else what there is to tell is of another resource by that name yet.
        slot.uid.as_ref().filter(|of| **of == uid)?;
        let pen = pen(plugins, slot.candidate.as_ref())?;
        let (phase, running, _) = slot.state();
        let paused = slot.ordered.as_ref().is_some_and(|ordered| ordered.paused);
        let (step, problem, rolled_back) = (slot.step, slot.problem.clone(), slot.rolled_back.clone());
        let stale = slot.stale.clone();
        let artifact = slot.artifact.clone();
        let (drained, reconciled_before) = (slot.drained, slot.reconciled_before.clone());
        let known = Known {
            generation,
            artifact,
            phase,
            step,
            problem,
            stale,
            on_probation: slot.on_probation,
            rolled_back,
            tolerated: slot.tolerated,
            drained,
            reconciled_before,
            mark: slot.controller.as_deref().map(mark),
            running,
            paused,
        };
        Some(Page { id: id.clone(), uid, known, pen, loaded: slot.controller.is_some() })
    };
    lock(&plugins.inner.slots).iter().filter_map(page).collect()
}

fn mark(controller: &Controller) -> Mark {
    let (digest, config) = controller.runs_what();
    Mark::new(&digest, &config)
}

/// Who leads writes, and under its lease.
fn pen(plugins: &Plugins, candidate: Option<&Arc<Candidate>>) -> Option<Rest> {
    let rest = &plugins.runtime().client;
    let under = |candidate: &Candidate| candidate.standing().leads.then(|| rest.fenced(candidate.fence()));
    match (&plugins.inner.election, candidate) {
        (Election::Off, _) => Some(rest.clone()),
        (Election::PerHost(candidate), _) => under(candidate),
        (Election::PerPlugin(_), Some(candidate)) => under(candidate),
        // What is not loaded has no lease.
        (Election::PerPlugin(_), None) => Some(rest.clone()),
    }
}

/// Writes until this is dropped.
pub(crate) async fn write(plugins: Plugins) {
    let mut changed = plugins.changes();
    let mut written: HashMap<PluginId, Written> = HashMap::new();
    let mut said: HashMap<PluginId, String> = HashMap::new();
    loop {
        changed.mark_unchanged();
        let pages = pages(&plugins);
        let ended: Vec<(PluginId, Written)> = written
            .extract_if(|id, of| !pages.iter().any(|page| page.id == *id && page.uid == of.uid))
            .collect();
        said.retain(|id, _| pages.iter().any(|page| page.id == *id));
        let shared = matches!(plugins.inner.election, Election::PerPlugin(_));
        let mut writes = JoinSet::new();
        for (id, Written { uid, .. }) in ended {
            let Some((pen, status)) = last_words(&plugins, &id, &uid) else { continue };
            writes.spawn(async move {
                let sent = send(&pen, &id, &uid, &status).await;
                (id, Written { uid, status, when: None, own: None, orphaned: None }, sent)
            });
        }
        for Page { id, uid, known, pen, loaded } in pages {
            let record = || on_record(&plugins, &id, &uid);
            let before = written.entry(id.clone()).or_insert_with(|| {
                let status = record().unwrap_or_default();
                Written { uid: uid.clone(), status, when: None, own: None, orphaned: None }
            });
            // Another host may have written since.
            if shared && let Some(status) = record() {
                before.status = status;
            }
            if shared && !loaded && another_tells(&before.status, known.generation) {
                let election = &plugins.inner.election;
                let plugin = before.status.plugin.as_ref();
                let runs = plugin.is_none_or(|plugin| election.may_run_elsewhere(plugin));
                if !before.is_orphaned(runs, LOOK + election.handover(), Instant::now()) {
                    before.when = None;
                    continue;
                }
            }
            let mut status = status(&known, &before.status.conditions, &now());
            if !loaded {
                // Who has nothing of it run knows of nothing better.
                status.remember(&before.status);
            }
            let now = Instant::now();
            if before.still_says(&status, now) || (shared && !loaded && before.has_just_said(&status, now)) {
                continue;
            }
            writes.spawn(async move {
                let sent = send(&pen, &id, &uid, &status).await;
                let (own, when) = (Some(status.clone()), Some(Instant::now()));
                (id, Written { uid, status, when, own, orphaned: None }, sent)
            });
        }
        while let Some(Ok((id, status, sent))) = writes.join_next().await {
            match sent {
                // What has ended has been told of.
                Ok(()) => written.extend(status.when.is_some().then_some((id, status))),
                Err(failure) => {
                    written.remove(&id);
                    let is_last = status.when.is_none();
                    written.extend(is_last.then(|| (id.clone(), status)));
                    let why = failure.to_string();
                    if is_trouble(&failure) && said.get(&id) != Some(&why) {
                        tracing::warn!(plugin = %id, "its status cannot be written, and is tried again: {why}");
                        said.insert(id, why);
                    }
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
        tokio::select! {
            changed = changed.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Of a resource that is there yet though it was deleted, as something holds it back: nothing of it runs any more.
fn last_words(plugins: &Plugins, id: &PluginId, uid: &str) -> Option<(Rest, PluginStatus)> {
    if lock(&plugins.inner.slots).contains_key(id) {
        return None;
    }
    let generation = resource(plugins, id, uid).filter(is_deleted).map(|object| generation(&object));
    Some((pen(plugins, None)?, ended(generation?, &now())))
}

/// Another host, which has its lease, has something of it run, and says more of this generation.
fn another_tells(status: &PluginStatus, generation: i64) -> bool {
    status.revision.is_some() && status.observed_generation == Some(generation)
}

/// A resource that is gone, or is another one by now, and a lease that is another's, are none.
fn is_trouble(failure: &Failure) -> bool {
    !matches!(failure.code(), Some(404 | 409)) && !matches!(failure, Failure::Fenced(_))
}

/// What the status says in the cluster, as far as this host has seen.
fn on_record(plugins: &Plugins, id: &PluginId, uid: &str) -> Option<PluginStatus> {
    let object = resource(plugins, id, uid)?;
    serde_json::from_value(object.value().get("status")?.to_value()).ok()
}

/// As far as this host has seen it.
fn resource(plugins: &Plugins, id: &PluginId, uid: &str) -> Option<Object> {
    let PluginId::Resource { namespace, name } = id else { return None };
    let informer = plugins.runtime().informers.running(&Interest::from(&kind(!namespace.is_empty())))?;
    let object = informer.look_up(&Key::new(namespace.as_str(), name.as_str())).ok()??;
    (object.uid() == uid).then_some(object)
}

async fn send(rest: &Rest, id: &PluginId, uid: &str, status: &PluginStatus) -> Result<(), Failure> {
    let PluginId::Resource { namespace, name } = id else { return Ok(()) };
    let kind = kind(!namespace.is_empty());
    let (metadata, place) = if namespace.is_empty() {
        (json!({"name": name, "uid": uid}), "clusterplugins".to_owned())
    } else {
        let metadata = json!({"name": name, "namespace": namespace, "uid": uid});
        (metadata, format!("namespaces/{}/plugins", encode(namespace)))
    };
    let path =
        format!("/apis/{GROUP}/{VERSION}/{place}/{}/status?fieldManager={MANAGER}&force=true", encode(name));
    let status = serde_json::to_value(status).unwrap_or(Value::Null);
    let body = json!({
        "apiVersion": kind.api_version(), "kind": kind.kind(), "metadata": metadata, "status": status,
    });
    let content = Some(("application/apply-patch+yaml", body.to_string().into_bytes()));
    rest.send(Method::PATCH, &path, content, WITHIN).await.map(drop)
}

/// As Kubernetes writes times.
fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::super::types::Condition;
    use super::*;

    #[test]
    fn a_host_that_has_not_loaded_it_leaves_the_word_to_the_one_that_runs_it() {
        let status = |ready, revision, observed| PluginStatus {
            ready,
            revision,
            observed_generation: Some(observed),
            ..PluginStatus::default()
        };
        assert!(another_tells(&status(true, Some(1), 3), 3));
        assert!(another_tells(&status(false, Some(1), 3), 3), "rolled back, or paused");
        assert!(!another_tells(&status(false, None, 3), 3), "nobody has it loaded");
        assert!(!another_tells(&status(true, Some(1), 2), 3), "nobody has looked at it");
    }

    #[test]
    fn what_runs_nowhere_is_told_of_by_whoever_knows_it_but_not_at_once() {
        let now = Instant::now();
        let mut written = Written {
            uid: String::new(),
            status: PluginStatus::default(),
            when: None,
            own: None,
            orphaned: None,
        };
        assert!(!written.is_orphaned(false, LOOK, now), "it may have just begun");
        assert!(!written.is_orphaned(true, LOOK, now + LOOK), "it had");
        assert!(!written.is_orphaned(false, LOOK, now + LOOK));
        assert!(written.is_orphaned(false, LOOK, now + 2 * LOOK));
    }

    #[test]
    fn two_hosts_that_know_differently_do_not_write_in_turns() {
        let now = Instant::now();
        let says = |phase: &str, time: &str| {
            let condition = Condition { last_transition_time: time.to_owned(), ..Condition::default() };
            PluginStatus { phase: phase.to_owned(), conditions: vec![condition], ..PluginStatus::default() }
        };
        let (own, others) = (says("waiting", "then"), says("failed", "now"));
        let written =
            Written { uid: String::new(), status: others, when: Some(now), own: Some(own), orphaned: None };
        assert!(written.has_just_said(&says("waiting", "now"), now));
        assert!(!written.has_just_said(&says("failed", "now"), now), "it knows better by now");
        assert!(!written.has_just_said(&says("waiting", "now"), now + MINUTE), "the other may be gone");
    }

    #[test]
    fn errors_alone_are_written_once_a_minute_and_all_else_at_once() {
        let now = Instant::now();
        let with = |errors, ready| PluginStatus { errors: Some(errors), ready, ..PluginStatus::default() };
        let written =
            |when| Written { uid: String::new(), status: with(1, true), when, own: None, orphaned: None };
        let just = written(Some(now));
        assert!(just.still_says(&with(1, true), now) && just.still_says(&with(2, true), now));
        assert!(!just.still_says(&with(1, false), now) && !just.still_says(&with(2, false), now));
        assert!(
            just.still_says(&with(1, true), now + MINUTE) && !just.still_says(&with(2, true), now + MINUTE)
        );
        assert!(!written(None).still_says(&with(2, true), now), "nobody knows when that was");
    }
}
