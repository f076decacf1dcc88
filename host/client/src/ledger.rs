//! Which Events a plugin has recorded, and what of that the API server does not know yet. It does no
//! I/O, and is told the time.
//!
//! After client-go's `tools/events/event_broadcaster.go`: what is recorded again, the note aside, is a
//! series of the first Event, until it has not been recorded for six minutes. Other than there, a series'
//! count is brought up to date every few seconds while it grows, and not only at its end.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wheelhouse_core::event::EventType;
use wheelhouse_core::{Key, Kind};

/// How Events are sent.
#[derive(Clone, Debug)]
pub struct EventConfig {
    /// An Event that was not recorded for so long is a new one the next time.
    pub series: Duration,
    /// Between two updates of one series.
    pub pace: Duration,
    /// How long it is tried to send something.
    pub patience: Duration,
    /// The first pause after the server could not answer. It doubles.
    pub pause: Duration,
    /// The longest one.
    pub longest_pause: Duration,
    /// One request.
    pub timeout: Duration,
    /// Events that are remembered, be it to be sent or to be repeated.
    pub kept: usize,
}

impl Default for EventConfig {
    fn default() -> Self {
        Self {
            series: Duration::from_secs(6 * 60),
            pace: Duration::from_secs(5),
            patience: Duration::from_secs(6 * 60),
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
            timeout: Duration::from_secs(10),
            kept: 256,
        }
    }
}

/// An object that an Event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    pub(crate) key: Key,
    /// "" if it is not there.
    pub(crate) uid: String,
}

impl Subject {
    /// As an `ObjectReference`. It has no resource version: the series of an object goes on when the
    /// object changes.
    pub(crate) fn reference(&self) -> Value {
        let mut reference = json!({
            "apiVersion": self.kind.api_version(), "kind": self.kind.kind(), "name": self.key.name,
        });
        for (field, value) in [("namespace", &self.key.namespace), ("uid", &self.uid)] {
            if !value.is_empty()
                && let Value::Object(reference) = &mut reference
            {
                reference.insert(field.to_owned(), value.as_str().into());
            }
        }
        reference
    }
}

/// What makes two Events the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EventKey {
    pub(crate) regarding: Subject,
    pub(crate) related: Option<Subject>,
    pub(crate) event_type: EventType,
    pub(crate) reason: String,
    pub(crate) action: String,
}

/// A request that is due.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sending {
    /// POST of this Event.
    Create { namespace: String, event: Value },
    /// A merge patch of the Event of this name.
    Patch { namespace: String, name: String, patch: Value },
}

struct Known {
    namespace: String,
    name: String,
    /// As it was recorded first.
    event: Value,
    /// On the server, as far as is known.
    created: bool,
    /// How often it was recorded, and how often the server knows of.
    count: u64,
    sent: u64,
    last_seen: Instant,
    /// The same, as Kubernetes writes it.
    last_observed: Value,
    /// Since when the server does not know the count; if it does, when it was told.
    since: Instant,
    due: Instant,
}

impl Known {
    fn waits(&self) -> bool {
        self.sent < self.count
    }

    fn series(&self) -> Value {
        // An int32 over there.
        let count = i32::try_from(self.count).unwrap_or(i32::MAX);
        json!({"count": count, "lastObservedTime": self.last_observed})
    }
}

/// See the module.
pub(crate) struct Ledger {
    config: EventConfig,
    known: HashMap<EventKey, Known>,
}

/// No more Events are remembered, since all of them wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Ledger {
    pub(crate) fn new(config: EventConfig) -> Self {
        Self { config, known: HashMap::new() }
    }

    pub(crate) fn config(&self) -> &EventConfig {
        &self.config
    }

    /// Takes note of an Event; `event` makes it if it is a new one: namespace, name and all of it.
    pub(crate) fn note(
        &mut self,
        key: EventKey,
        observed: Value,
        now: Instant,
        event: impl FnOnce() -> (String, String, Value),
    ) -> Result<(), Full> {
        let series = self.config.series;
        self.known.retain(|_, known| known.waits() || now.duration_since(known.last_seen) < series);
        if let Some(known) = self.known.get_mut(&key) {
            if !known.waits() {
                // `since` is when it was sent last.
                known.due = now.max(known.since + self.config.pace);
                known.since = now;
            }
            known.count += 1;
            (known.last_seen, known.last_observed) = (now, observed);
            return Ok(());
        }
        if self.known.len() >= self.config.kept {
            let idle = self.known.iter().filter(|(_, known)| !known.waits());
            let oldest = idle.min_by_key(|(_, known)| known.last_seen).map(|(key, _)| key.clone());
            self.known.remove(&oldest.ok_or(Full)?);
        }
        let (namespace, name, event) = event();
        let known = Known {
            namespace,
            name,
            event,
            created: false,
            count: 1,
            sent: 0,
            last_seen: now,
            last_observed: observed,
            since: now,
            due: now,
        };
        self.known.insert(key, known);
        Ok(())
    }

    /// What is to be sent next, and when.
    pub(crate) fn next(&self) -> Option<(EventKey, Instant)> {
        let waiting = self.known.iter().filter(|(_, known)| known.waits());
        waiting.min_by_key(|(_, known)| (known.due, known.since)).map(|(key, known)| (key.clone(), known.due))
    }

    /// Events, and counts of series, that wait to be sent.
    pub(crate) fn waiting(&self) -> usize {
        self.known.values().filter(|known| known.waits()).count()
    }

    /// The request for it, and the count that it brings the server to.
    pub(crate) fn sending(&self, key: &EventKey) -> Option<(Sending, u64)> {
        let known = self.known.get(key)?;
        let namespace = known.namespace.clone();
        let sending = if known.created {
            let patch = json!({"series": known.series()});
            Sending::Patch { namespace, name: known.name.clone(), patch }
        } else {
            let mut event = known.event.clone();
            if known.count > 1
                && let Value::Object(event) = &mut event
            {
                event.insert("series".to_owned(), known.series());
            }
            Sending::Create { namespace, event }
        };
        Some((sending, known.count))
    }

    /// The server knows of it, up to this count.
    pub(crate) fn sent(&mut self, key: &EventKey, count: u64, now: Instant) {
        if let Some(known) = self.known.get_mut(key) {
            (known.created, known.sent, known.since) = (true, count, now);
            known.due = now + self.config.pace;
        }
    }

    /// The server has it no more: it is created again, as a whole.
    pub(crate) fn gone(&mut self, key: &EventKey) {
        if let Some(known) = self.known.get_mut(key) {
            known.created = false;
        }
    }

    /// The server could not answer: not before this time again. How many are given up, which were
    /// tried for too long.
    pub(crate) fn failed(&mut self, key: &EventKey, again: Instant, now: Instant) -> u64 {
        if let Some(known) = self.known.get_mut(key) {
            known.due = again;
        }
        let patience = self.config.patience;
        let mut lost = 0;
        self.known.retain(|_, known| {
            if !known.waits() || now.duration_since(known.since) < patience {
                return true;
            }
            lost += known.count - known.sent;
            // The server knows an earlier count of it: the next repeat is worth a try again.
            (known.sent, known.since) = (known.count, now);
            known.created
        });
        lost
    }

    /// The server does not want it. How many are lost.
    pub(crate) fn refused(&mut self, key: &EventKey) -> u64 {
        self.known.remove(key).map_or(0, |known| known.count - known.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> EventKey {
        let regarding =
            Subject { kind: "v1/Pod".parse().unwrap(), key: Key::new("n", name), uid: name.to_owned() };
        EventKey {
            regarding,
            related: None,
            event_type: EventType::Normal,
            reason: "Why".into(),
            action: "Act".into(),
        }
    }

    struct Told {
        ledger: Ledger,
        now: Instant,
    }

    impl Told {
        fn new(kept: usize) -> Self {
            let config = EventConfig { kept, ..EventConfig::default() };
            Self { ledger: Ledger::new(config), now: Instant::now() }
        }

        fn after(&mut self, seconds: u64) -> &mut Self {
            self.now += Duration::from_secs(seconds);
            self
        }

        fn note(&mut self, name: &str) -> Result<(), Full> {
            let made = || ("n".to_owned(), format!("{name}.1"), json!({"note": name}));
            self.ledger.note(key(name), json!("now"), self.now, made)
        }

        /// What is due now.
        fn due(&self) -> Option<Sending> {
            let (key, due) = self.ledger.next()?;
            (due <= self.now).then(|| self.ledger.sending(&key).unwrap().0)
        }

        /// Sends what is due.
        fn send(&mut self) -> Option<Sending> {
            let sending = self.due()?;
            let (key, _) = self.ledger.next()?;
            let (_, count) = self.ledger.sending(&key)?;
            self.ledger.sent(&key, count, self.now);
            Some(sending)
        }
    }

    fn create(name: &str) -> Sending {
        Sending::Create { namespace: "n".into(), event: json!({"note": name}) }
    }

    fn patch(name: &str, count: u64) -> Sending {
        let patch = json!({"series": {"count": count, "lastObservedTime": "now"}});
        Sending::Patch { namespace: "n".into(), name: format!("{name}.1"), patch }
    }

    #[test]
    fn a_repeat_counts_up_the_series_of_the_first_one_at_a_pace() {
        let mut told = Told::new(9);
        told.note("a").unwrap();
        assert_eq!(told.send(), Some(create("a")));
        assert_eq!(told.send(), None);
        for _ in 0..3 {
            told.note("a").unwrap();
        }
        assert_eq!(told.due(), None, "the last was sent just now");
        assert_eq!(told.after(5).send(), Some(patch("a", 4)));
        told.after(60).note("a").unwrap();
        assert_eq!(told.send(), Some(patch("a", 5)), "after a pause there is no wait");
        // A repeat within the series' time keeps it up; one after it is a new Event.
        told.after(359).note("a").unwrap();
        assert_eq!(told.send(), Some(patch("a", 6)));
        told.after(360).note("a").unwrap();
        assert_eq!(told.send(), Some(create("a")));
    }

    #[test]
    fn repeats_of_what_was_not_sent_yet_go_with_it() {
        let mut told = Told::new(9);
        told.note("a").unwrap();
        told.note("a").unwrap();
        let event = json!({"note": "a", "series": {"count": 2, "lastObservedTime": "now"}});
        assert_eq!(told.send(), Some(Sending::Create { namespace: "n".into(), event }));
    }

    #[test]
    fn an_event_that_has_expired_on_the_server_is_created_again_with_its_count() {
        let mut told = Told::new(9);
        told.note("a").unwrap();
        told.send();
        told.after(60).note("a").unwrap();
        assert_eq!(told.due(), Some(patch("a", 2)));
        told.ledger.gone(&key("a"));
        assert!(matches!(told.send(), Some(Sending::Create { event, .. }) if event["series"]["count"] == 2));
    }

    #[test]
    fn hostile_events_that_wait_are_bounded_and_others_make_room() {
        let mut told = Told::new(2);
        told.note("a").unwrap();
        told.after(1).note("b").unwrap();
        assert_eq!(told.note("c"), Err(Full));
        assert_eq!(told.after(1).note("a"), Ok(()), "a repeat takes no room");
        told.send();
        told.send();
        told.after(1).note("c").unwrap();
        assert_eq!((told.ledger.known.len(), told.ledger.waiting()), (2, 1));
        assert!(told.ledger.known.contains_key(&key("a")), "the one that was seen last is kept");
    }

    #[test]
    fn what_cannot_be_sent_goes_behind_the_others_and_is_given_up_in_the_end() {
        let mut told = Told::new(9);
        told.note("a").unwrap();
        told.after(1).note("b").unwrap();
        let (now, again) = (told.now, told.now + Duration::from_secs(30));
        assert_eq!(told.ledger.failed(&key("a"), again, now), 0);
        assert_eq!(told.send(), Some(create("b")));
        assert_eq!(told.due(), None);
        assert_eq!(told.after(30).due(), Some(create("a")));
        told.note("a").unwrap();
        told.after(400).note("b").unwrap();
        let now = told.now;
        assert_eq!(told.ledger.failed(&key("a"), now, now), 2);
        assert!(!told.ledger.known.contains_key(&key("a")));
        assert_eq!(told.ledger.waiting(), 1);
    }

    #[test]
    fn what_the_server_refuses_is_not_tried_again() {
        let mut told = Told::new(9);
        told.note("a").unwrap();
        assert_eq!(told.ledger.refused(&key("a")), 1);
        assert_eq!(told.ledger.next(), None);
    }
}
