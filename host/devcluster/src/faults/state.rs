//! The faults that are in force.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::{Fault, Injection};

/// A rule for requests, with how much of a hit it is due.
#[derive(Debug)]
struct Rule {
    injection: Injection,
    due: f64,
}

/// What watches are to suffer, by the plural of their resource; "" is all of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct WatchState {
    drops: BTreeMap<String, u64>,
    silent: BTreeSet<String>,
    delays: BTreeMap<String, Duration>,
    duplicates: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    rules: Mutex<Vec<Rule>>,
    watches: watch::Sender<WatchState>,
}

/// What a request has coming: a wait, and a refusal.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Verdict {
    pub(super) latency: Duration,
    pub(super) refusal: Option<(u16, Option<Duration>)>,
}

impl WatchState {
    /// How often the watches of a resource were dropped: one that begins later is not.
    pub(crate) fn drops(&self, plural: &str) -> u64 {
        [plural, ""].iter().filter_map(|key| self.drops.get(*key)).sum()
    }

    pub(crate) fn is_silent(&self, plural: &str) -> bool {
        self.silent.contains(plural) || self.silent.contains("")
    }

    pub(crate) fn delay(&self, plural: &str) -> Option<Duration> {
        self.delays.get(plural).or_else(|| self.delays.get("")).copied()
    }
}

impl State {
    pub(super) fn add(&self, injection: Injection) {
        let key = injection.resource.clone();
        self.watches.send_modify(|watches| match injection.fault {
            Fault::DropWatches => {
                let drops = watches.drops.entry(key).or_default();
                *drops = drops.saturating_add(1);
            }
            Fault::SilentWatches => {
                watches.silent.insert(key);
            }
            Fault::DelayEvents(delay) => {
                watches.delays.insert(key, delay);
            }
            Fault::DuplicateEvents => {
                watches.duplicates.insert(key, injection.next.unwrap_or(u64::MAX));
            }
            Fault::Latency(_) | Fault::Refuse { .. } | Fault::Compact | Fault::ClockAhead(_) => {}
        });
        if matches!(injection.fault, Fault::Latency(_) | Fault::Refuse { .. }) {
            self.rules().push(Rule { injection, due: 0.0 });
        }
    }

    pub(super) fn clear(&self) {
        self.rules().clear();
        // Watches compare how often they were dropped: that count only grows.
        self.watches.send_modify(|watches| {
            *watches = WatchState { drops: std::mem::take(&mut watches.drops), ..WatchState::default() };
        });
    }

    pub(super) fn has_rules(&self) -> bool {
        !self.rules().is_empty()
    }

    fn rules(&self) -> std::sync::MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides about a request, which counts for the rules that it meets; the first refusal holds.
    pub(super) fn judge(&self, method: &str, plural: &str) -> Verdict {
        let mut verdict = Verdict::default();
        let mut rules = self.rules();
        for rule in rules.iter_mut() {
            let injection = &mut rule.injection;
            let meets = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
            if !meets(&injection.method, method) || !meets(&injection.resource, plural) {
                continue;
            }
            if matches!(injection.fault, Fault::Refuse { .. }) && verdict.refusal.is_some() {
                continue;
            }
            rule.due += injection.rate;
            // Tolerates that a tenth, ten times, is not quite one.
            if rule.due < 1.0 - 1e-9 {
                continue;
            }
            rule.due -= 1.0;
            if let Some(left) = &mut injection.next {
                *left = left.saturating_sub(1);
            }
            match injection.fault {
                Fault::Latency(latency) => verdict.latency = verdict.latency.saturating_add(latency),
                Fault::Refuse { code, retry_after } => verdict.refusal = Some((code, retry_after)),
                _ => {}
            }
        }
        rules.retain(|rule| rule.injection.next != Some(0));
        verdict
    }

    pub(crate) fn watches(&self) -> watch::Receiver<WatchState> {
        self.watches.subscribe()
    }

    /// Whether the event that is being sent is to be sent twice, which counts.
    pub(crate) fn takes_duplicate(&self, plural: &str) -> bool {
        let mut taken = false;
        self.watches.send_if_modified(|watches| {
            for key in [plural, ""] {
                let Some(left) = watches.duplicates.get_mut(key).filter(|left| **left > 0) else { continue };
                *left = left.saturating_sub(1);
                taken = true;
                break;
            }
            // Nobody waits for this.
            false
        });
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSE: Fault = Fault::Refuse { code: 500, retry_after: None };

    fn refused(state: &State, method: &str, plural: &str) -> bool {
        state.judge(method, plural).refusal.is_some()
    }

    #[test]
    fn a_rule_holds_for_its_method_and_resource_alone_and_as_often_as_it_says() {
        let state = State::default();
        state.add(Injection::from(REFUSE).method("get").resource("pods").next(2));
        assert!(!refused(&state, "POST", "pods") && !refused(&state, "GET", "nodes"));
        let hits = (0..5).filter(|_| refused(&state, "GET", "pods")).count();
        assert_eq!(hits, 2);
        assert!(!state.has_rules(), "a rule that is used up goes");
    }

    #[test]
    fn a_rate_is_spread_evenly() {
        let state = State::default();
        state.add(Injection::from(REFUSE).rate(0.5));
        let hits: Vec<bool> = (0..4).map(|_| refused(&state, "GET", "")).collect();
        assert_eq!(hits, [false, true, false, true]);
        let state = State::default();
        state.add(Injection::from(REFUSE).rate(0.1));
        assert_eq!((0..100).filter(|_| refused(&state, "GET", "")).count(), 10);
    }
}
