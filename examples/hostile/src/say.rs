//! Bad manners with Events and metrics.

use wheelhouse_sdk::prelude::*;

use crate::{CONFIG_MAP, answered};

/// More than any limit on rates or series allows.
const FLOOD: u32 = 10_000;

/// The attack of this name, if there is one; what it was answered.
pub(crate) fn attack(name: &str, key: &ObjectKey) -> Option<Result<Outcome>> {
    let event = |reason: &str| events::warning(CONFIG_MAP, key, reason, "Attack");
    Some(match name {
        "event" => answered_or_done(event("Why").note("It happened.").try_record()),
        "event-flood" => flood(|i| event(&format!("Why{i}")).try_record()),
        "event-repeats" => flood(|_| event("Why").try_record()),
        "event-empty-reason" => answered(event("").try_record()),
        "event-long-reason" => answered(event(&"x".repeat(1000)).try_record()),
        "event-control" => {
            let event = event("Why\u{1b}[31m\nforged").note("one\ntwo\u{7}\u{202e}three");
            answered_or_done(event.try_record())
        }
        "event-long-note" => answered_or_done(event("Why").note("ü".repeat(100_000)).try_record()),
        "event-huge" => answered(event("Why").note("x".repeat(8 << 20)).try_record()),
        "event-undeclared-object" => answered(events::normal("v1/Secret", key, "Why", "Attack").try_record()),
        "event-undeclared-related" => answered(event("Why").related_to("v1/Secret", key).try_record()),
        "event-other-namespace" => {
            let other = ObjectKey::new("kube-system", "x");
            answered(events::normal(CONFIG_MAP, &other, "Why", "Attack").try_record())
        }
        // A grant for one namespace is none for what is in no namespace.
        "event-cluster-scoped" => {
            let none = ObjectKey::new("", "x");
            answered(events::normal(CONFIG_MAP, &none, "Why", "Attack").try_record())
        }
        "event-bad-kind" => answered(events::normal("no such kind", key, "Why", "Attack").try_record()),
        "event-bad-name" => {
            let elsewhere = ObjectKey::new(&key.namespace, "../secrets/x");
            answered(events::normal(CONFIG_MAP, &elsewhere, "Why", "Attack").try_record())
        }
        "event-bad-related" => {
            let elsewhere = ObjectKey::new(&key.namespace, "../secrets/x");
            answered(event("Why").related_to(CONFIG_MAP, &elsewhere).try_record())
        }
        "metric" => answered_or_done(metrics::counter("attacks").label("of", "none").try_add(1.0)),
        "series-flood" => flood(|i| metrics::gauge("flood").label("i", i).try_set(1.0)),
        "metric-flood" => flood(|i| metrics::counter(format!("flood{i}")).try_add(1.0)),
        "histogram-flood" => flood(|i| metrics::histogram("flood").label("i", i).try_observe(1.0)),
        "help-flood" => flood(|i| metrics::gauge(format!("flood{i}")).help("x".repeat(1000)).try_set(1.0)),
        "metric-bad-name" => answered(metrics::counter("x 1\nup 1").try_add(1.0)),
        "metric-other-controller" => {
            answered(metrics::counter("x").label("controller", "webapp").try_add(1.0))
        }
        "metric-bad-label" => answered(metrics::counter("x").label("a\"} 1\nup{a", "b").try_add(1.0)),
        "metric-many-labels" => {
            let labelled = (0..1000).fold(metrics::counter("x"), |c, i| c.label(format!("l{i}"), i));
            answered(labelled.try_add(1.0))
        }
        "metric-odd-value" => answered_or_done(
            metrics::counter("odd").label("l", "a\"} 1\nup{a=\"\u{7}\\".repeat(1000)).try_add(1.0),
        ),
        "metric-huge" => answered(metrics::counter("x").label("l", "x".repeat(8 << 20)).try_add(1.0)),
        "metric-nan" => answered(metrics::gauge("x").try_set(f64::NAN)),
        "metric-negative" => answered(metrics::counter("x").try_add(-1.0)),
        "metric-bad-buckets" => answered(metrics::histogram("x").buckets([2.0, 1.0]).try_observe(1.0)),
        "metric-other-kind" => {
            metrics::counter("both").add(1.0);
            answered(metrics::gauge("both").try_set(1.0))
        }
        _ => return None,
    })
}

fn answered_or_done(result: std::result::Result<(), ApiError>) -> Result<Outcome> {
    result.map_err(Error::terminal)?;
    Ok(Outcome::Done)
}

/// Goes on whatever it is answered, and tells how much was let through and what the last answer was.
fn flood(mut one: impl FnMut(u32) -> std::result::Result<(), ApiError>) -> Result<Outcome> {
    let (mut through, mut last) = (0, String::new());
    for i in 0..FLOOD {
        match one(i) {
            Ok(()) => through += 1,
            Err(error) => last = error.to_string(),
        }
    }
    Err(Error::terminal(format!("{through} let through, then: {last}")))
}
