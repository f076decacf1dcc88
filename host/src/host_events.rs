//! What the host tells of plugins in Kubernetes Events: that one runs, that one does not load, that one
//! fails again and again. docs/events.md has each.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use wheelhouse_cache::Rest;
use wheelhouse_client::{EventRecorder, EventStats, HostEvents, Regarding};
use wheelhouse_controller::{PluginStatus, STUBBORN};
use wheelhouse_core::Key;
use wheelhouse_core::event::{EventText, EventType};

use crate::plugin_id::PluginId;
use crate::plugins::{Plugins, lock};
use crate::resources;

/// How often failures are looked for.
const LOOK: Duration = Duration::from_secs(2);
/// A plugin that goes on failing is told of so often.
const AGAIN: Duration = Duration::from_secs(60);

/// The host's voice. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Voice {
    events: HostEvents,
    /// Of each plugin: its Events are series of their own, and wait for no other's.
    recorders: Arc<Mutex<HashMap<PluginId, EventRecorder>>>,
    /// The resources of those that have one.
    resources: Arc<Mutex<HashMap<PluginId, Regarding>>>,
}

impl Voice {
    /// Of a host on this cluster.
    pub(crate) fn new(rest: Rest) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let regarding = regarding(variable);
        tracing::debug!(kind = %regarding.kind, key = %regarding.key, "the host's own Events are on this");
        let events = HostEvents::new(rest, regarding);
        Self { events, recorders: Arc::default(), resources: Arc::default() }
    }

    fn say(&self, id: &PluginId, event_type: EventType, reason: &str, action: &str, note: &str) {
        let resource = lock(&self.resources).get(id).cloned();
        self.say_on(resource.as_ref(), id, event_type, reason, action, note);
    }

    fn say_on(
        &self,
        resource: Option<&Regarding>,
        id: &PluginId,
        event_type: EventType,
        reason: &str,
        action: &str,
        note: &str,
    ) {
        // Reasons and actions are ours, and are within their bounds.
        let Ok(text) = EventText::new(event_type, reason, action, note) else { return };
        let recorder = lock(&self.recorders).entry(id.clone()).or_default().clone();
        self.events.record(&recorder, resource, &text);
    }

    /// What is said of a resource's plugin is said on the resource.
    pub(crate) fn is_on(&self, id: &PluginId, uid: &str) {
        if let Some(resource) = resource(id, uid) {
            lock(&self.resources).insert(id.clone(), resource);
        }
    }

    /// A plugin's first revision, or another one, runs.
    pub(crate) fn runs(&self, id: &PluginId, what: &PluginStatus, revision: u64) {
        let PluginStatus { name, version, digest, reconciles, .. } = what;
        let (reason, action) =
            if revision > 1 { ("PluginReplaced", "Replace") } else { ("PluginLoaded", "Load") };
        let note = format!(
            "plugin {name} {version} ({digest}) runs, as revision {revision}, and reconciles {reconciles}"
        );
        self.say(id, EventType::Normal, reason, action, &note);
    }

    /// What a source wants is what runs already, after it was something that did not.
    pub(crate) fn recovered(&self, id: &PluginId, plugin: &str, revision: u64) {
        let note = format!("plugin {plugin}: revision {revision}, which runs, is what its source wants");
        self.say(id, EventType::Normal, "PluginReady", "Load", &note);
    }

    /// What comes is another plugin by its name or its kind: this one ends first.
    pub(crate) fn makes_way(&self, id: &PluginId, plugin: &str, comes: &str, reconciles: &str) {
        let note =
            format!("plugin {plugin} ends: what comes now is called {comes} and reconciles {reconciles}");
        self.say(id, EventType::Normal, "PluginChanged", "Replace", &note);
    }

    /// Reconciles of the revision before were stopped.
    pub(crate) fn cut_off(&self, id: &PluginId, plugin: &str) {
        let note = format!(
            "plugin {plugin}: reconciles of the revision before did not end within the grace; they were stopped, and their objects requested again"
        );
        self.say(id, EventType::Warning, "PluginGraceExceeded", "Replace", &note);
    }

    /// Another plugin reconciles some of the same.
    pub(crate) fn shares(&self, id: &PluginId, plugin: &str, other: &str, kind: &str) {
        let note = format!("plugin {plugin} reconciles {kind} in the same namespaces as plugin {other}");
        self.say(id, EventType::Warning, "PluginSharesKind", "Load", &note);
    }

    /// What a source wants cannot be loaded, now or at all.
    pub(crate) fn does_not_load(&self, id: &PluginId, waits: bool, error: &str) {
        let reason = if waits { "PluginWaiting" } else { "PluginLoadFailed" };
        self.say(id, EventType::Warning, reason, "Load", &format!("{}: {error}", id.name()));
    }

    /// What a source has cannot be looked at, or is none: what was fetched before still counts.
    pub(crate) fn stale(&self, id: &PluginId, error: &str) {
        let note = format!("{}: what was fetched before still counts: {error}", id.name());
        self.say(id, EventType::Warning, "PluginStale", "Fetch", &note);
    }

    /// A revision has passed its probation.
    pub(crate) fn proven(&self, id: &PluginId, plugin: &str, revision: u64) {
        let note = format!("plugin {plugin}: revision {revision} has passed its probation");
        self.say(id, EventType::Normal, "PluginProven", "Judge", &note);
    }

    /// A revision did worse than the one before, which runs again, or its operator wants that.
    pub(crate) fn rolled_back(&self, id: &PluginId, plugin: &str, revision: u64, to: u64, why: &str) {
        let note =
            format!("plugin {plugin}: revision {revision} was rolled back to what revision {to} was: {why}");
        self.say(id, EventType::Warning, "PluginRolledBack", "Rollback", &note);
    }

    /// A plugin begins nothing more, or goes on, as its operator says.
    pub(crate) fn paused(&self, id: &PluginId, plugin: &str, paused: bool) {
        let (reason, action, what) = if paused {
            ("PluginPaused", "Pause", "is paused: it begins nothing more")
        } else {
            ("PluginResumed", "Resume", "goes on: every object is requested")
        };
        self.say(id, EventType::Normal, reason, action, &format!("plugin {plugin} {what}"));
    }

    /// Its source has it no more, and what ran of it has ended. Another resource may have its name by now.
    pub(crate) fn removed(&self, id: &PluginId, uid: Option<&str>) {
        let (on, note) =
            (uid.and_then(|uid| resource(id, uid)), format!("{} is gone: nothing of it runs", id.name()));
        self.say_on(on.as_ref(), id, EventType::Normal, "PluginRemoved", "Remove", &note);
    }

    /// There is nothing more to tell of it.
    pub(crate) fn forget(&self, id: &PluginId) {
        lock(&self.resources).remove(id);
        lock(&self.recorders).remove(id);
    }

    /// Looks for plugins that fail again and again, until this is dropped.
    pub(crate) async fn watch(self, plugins: Plugins) {
        let mut seen: HashMap<PluginId, Failures> = HashMap::new();
        let mut timer = tokio::time::interval(LOOK);
        loop {
            timer.tick().await;
            let running = plugins.running();
            seen.retain(|id, _| running.iter().any(|(other, _)| other == id));
            for (id, controller) in running {
                let stubborn = controller.metrics().stubborn.get();
                let failures = seen.entry(id.clone()).or_default();
                let Some(count) = failures.worth_telling(stubborn, Instant::now()) else { continue };
                let plugin = &controller.spec().name;
                let note = format!(
                    "plugin {plugin}: {count} reconciles have failed of objects that have failed {STUBBORN} times or more in a row; the host's log has the errors"
                );
                self.say(&id, EventType::Warning, "PluginFailing", "Reconcile", &note);
            }
        }
    }

    /// What has become of the Events.
    pub(crate) fn stats(&self) -> EventStats {
        let recorders = lock(&self.recorders);
        recorders.values().map(EventRecorder::stats).fold(EventStats::default(), |all, one| EventStats {
            sent: all.sent + one.sent,
            lost: all.lost + one.lost,
            waiting: all.waiting + one.waiting,
        })
    }
}

/// That a plugin is of, if it is of one.
fn resource(id: &PluginId, uid: &str) -> Option<Regarding> {
    let PluginId::Resource { namespace, name } = id else { return None };
    let kind = resources::kind(!namespace.is_empty());
    let key = Key::new(namespace.as_str(), name.as_str());
    Some(Regarding { kind, key, uid: uid.to_owned() })
}

/// What was told of a plugin's failures.
#[derive(Default)]
struct Failures {
    told: u64,
    when: Option<Instant>,
}

impl Failures {
    /// How many there are to tell of.
    fn worth_telling(&mut self, total: u64, now: Instant) -> Option<u64> {
        if total < self.told {
            // Another plugin has come in its place, and counts from 0.
            *self = Self::default();
        }
        let count = total - self.told;
        let soon = self.when.is_some_and(|when| now.saturating_duration_since(when) < AGAIN);
        if count == 0 || soon {
            return None;
        }
        (self.told, self.when) = (total, Some(now));
        Some(count)
    }
}

/// The Pod, if the host is told which it is in; the namespace `default` else.
fn regarding(variable: impl Fn(&str) -> Option<String>) -> Regarding {
    match (variable("POD_NAMESPACE"), variable("POD_NAME")) {
        (Some(namespace), Some(name)) => {
            Regarding::pod(&namespace, &name, &variable("POD_UID").unwrap_or_default())
        }
        _ => Regarding::default_namespace(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_on_the_pod_if_that_is_known() {
        let of = |known: &'static [&str]| {
            regarding(move |name| known.contains(&name).then(|| name.to_lowercase()))
        };
        assert_eq!(of(&[]), Regarding::default_namespace());
        assert_eq!(of(&["POD_NAME"]), Regarding::default_namespace());
        assert_eq!(of(&["POD_NAME", "POD_NAMESPACE"]), Regarding::pod("pod_namespace", "pod_name", ""));
        let all = of(&["POD_NAME", "POD_NAMESPACE", "POD_UID"]);
        assert_eq!(all, Regarding::pod("pod_namespace", "pod_name", "pod_uid"));
    }

    #[test]
    fn a_plugin_that_goes_on_failing_is_told_of_once_a_minute() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        assert_eq!(failures.worth_telling(0, now), None);
        assert_eq!(failures.worth_telling(3, now), Some(3));
        assert_eq!(failures.worth_telling(9, now + LOOK), None);
        assert_eq!(failures.worth_telling(10, now + AGAIN), Some(7));
        assert_eq!(failures.worth_telling(10, now + AGAIN * 3), None, "it has recovered");
        assert_eq!(failures.worth_telling(2, now + AGAIN * 3), Some(2), "another plugin counts anew");
        assert_eq!(failures.worth_telling(4, now + AGAIN * 3), None);
    }
}
