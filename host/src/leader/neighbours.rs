//! What the plugins have to themselves that other hosts run, where each plugin has a lease: as their holders have noted it
//! on the leases.
//!
//! Hosts need not have the same plugins ready: one that cannot load a plugin would know nothing of it, and run another
//! one that has to make room for it. So each host looks at all leases as often as it looks at one that it stands for.

use std::collections::BTreeMap;

use http::Method;
use serde_json::Value;
use tokio::sync::watch;
use wheelhouse_cache::{Failure, Rest};
use wheelhouse_core::Moment;

use super::record::{Record, note};
use super::settings::Settings;

/// The leases that other hosts hold by now.
pub(crate) type Neighbours = watch::Receiver<Elsewhere<Neighbour>>;

/// A lease that another host holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour {
    pub(super) lease: String,
    /// What its plugin has; none if the holder is of a version that does not say so.
    pub(crate) note: Option<Value>,
}

/// What there is of something on other hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Elsewhere<T> {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// One may not look.
    Hidden,
    Known(Vec<T>),
}

/// As long as anybody wants to know.
pub(super) fn follow(settings: Settings, rest: Rest) -> Neighbours {
    let (tell, neighbours) = watch::channel(Elsewhere::Unknown);
    tokio::spawn(look(settings, rest, tell));
    neighbours
}

async fn look(settings: Settings, rest: Rest, tell: watch::Sender<Elsewhere<Neighbour>>) {
    let mut seen = Seen::default();
    let (mut failing, mut said) = (None, false);
    loop {
        let looked = list(&settings, &rest).await;
        let now = Moment::now();
        let known = match looked {
            Ok(leases) => {
                (failing, said) = (None, false);
                seen.take(&settings, &leases, now);
                Elsewhere::Known(seen.held(&settings, now))
            }
            Err(Failure::Unreachable(why)) => {
                // No lease is to be had either.
                failing = None;
                tracing::debug!("the leases of other hosts cannot be listed, and are again: {why}");
                tell.borrow().clone()
            }
            Err(failure) => {
                let since = *failing.get_or_insert(now);
                let lasts = now.saturating_since(since) >= settings.timings.lease_duration;
                // Whoever forbids it wants hosts to work all the same.
                if lasts || failure.code() == Some(403) {
                    if !std::mem::replace(&mut said, true) {
                        tracing::warn!(
                            "what other hosts run is not known, so two plugins of which no host can load both may reconcile the same kind (the host needs list of leases.coordination.k8s.io in namespace {}): {failure}",
                            settings.namespace
                        );
                    }
                    match seen.held(&settings, now) {
                        held if held.is_empty() => Elsewhere::Hidden,
                        held => Elsewhere::Known(held),
                    }
                } else {
                    tell.borrow().clone()
                }
            }
        };
        tell.send_if_modified(|told| {
            let is_news = *told != known;
            *told = known;
            is_news
        });
        tokio::select! {
            () = tell.closed() => return,
            () = tokio::time::sleep(settings.timings.retry_period) => {}
        }
    }
}

/// The namespace's leases. Those that the API server has in its cache are new enough.
async fn list(settings: &Settings, rest: &Rest) -> Result<Vec<Value>, Failure> {
    let namespace = &settings.namespace;
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases?resourceVersion=0");
    let within = settings.timings.renew_deadline / 2;
    let answer = rest.send(Method::GET, &path, None, within).await?;
    let mut list: Value = serde_json::from_slice(&answer)
        .map_err(|error| Failure::Unreadable(format!("no list of Leases: {error}")))?;
    match list.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => Ok(items),
        _ => Ok(Vec::new()),
    }
}

/// What was seen last of each lease that another host holds.
#[derive(Default)]
struct Seen(BTreeMap<String, Sight>);

struct Sight {
    record: Record,
    note: Option<Value>,
    /// When it was seen to have changed: others' clocks say nothing.
    since: Moment,
}

impl Seen {
    /// These are the leases that there are by now.
    fn take(&mut self, settings: &Settings, leases: &[Value], now: Moment) {
        let mut before = std::mem::take(&mut self.0);
        for lease in leases {
            let name = lease.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            let record = Record::read(lease);
            if !name.starts_with(&settings.name) || ["", &settings.identity].contains(&record.holder.as_str())
            {
                continue;
            }
            // Whoever may write some lease has no say in those of plugins.
            let plugin =
                |note: &Value| note.get("plugin").and_then(Value::as_str).map(|it| settings.lease_of(it));
            let note = note(lease).filter(|note| plugin(note).as_deref() == Some(name));
            let since = match before.remove(name) {
                Some(sight) if sight.record == record => sight.since,
                _ => now,
            };
            self.0.insert(name.to_owned(), Sight { record, note, since });
        }
    }

    /// Those that have not run out.
    fn held(&self, settings: &Settings, now: Moment) -> Vec<Neighbour> {
        let lasts = |record: &Record| record.duration.unwrap_or(settings.timings.lease_duration);
        let held = self.0.iter().filter(|(_, sight)| now < sight.since + lasts(&sight.record));
        held.map(|(lease, sight)| Neighbour { lease: lease.clone(), note: sight.note.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::candidate::Held;
    use super::super::elector::Timings;
    use super::super::record::set_note;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn settings() -> Settings {
        let timings =
            Timings { lease_duration: 15 * SECOND, renew_deadline: 10 * SECOND, retry_period: 2 * SECOND };
        let (namespace, name, identity) = ("ns".to_owned(), "wheelhouse".to_owned(), "me".to_owned());
        Settings { namespace, name, per_plugin: true, identity, timings, held: Held::default() }
    }

    fn lease(name: &str, holder: &str, renewed: &str, note: Option<Value>) -> Value {
        let mut lease = json!({
            "metadata": {"name": name},
            "spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15},
        });
        set_note(&mut lease, note.as_ref());
        lease
    }

    fn of(plugin: &str) -> Option<Value> {
        Some(json!({"plugin": plugin}))
    }

    fn plugins(held: &[Neighbour]) -> Vec<&str> {
        held.iter().map(|held| held.note.as_ref().unwrap()["plugin"].as_str().unwrap()).collect()
    }

    #[test]
    fn what_another_host_holds_is_its_until_it_gives_it_back_or_renews_it_no_more() {
        let (settings, begun) = (settings(), Moment::now());
        let mut seen = Seen::default();
        let mut held = |after: u32, leases: &[Value]| {
            let now = begun + after * SECOND;
            seen.take(&settings, leases, now);
            plugins(&seen.held(&settings, now)) == ["a"]
        };
        let of_another = |renewed: &str| [lease("wheelhouse-a", "other", renewed, of("a"))];
        assert!(held(0, &of_another("1")));
        assert!(held(14, &of_another("1")));
        assert!(!held(15, &of_another("1")), "it has run out");
        assert!(held(16, &of_another("2")));
        assert!(!held(20, &[lease("wheelhouse-a", "", "3", of("a"))]));
        assert!(held(21, &of_another("4")));
        assert!(!held(22, &[]));
    }

    #[test]
    fn what_was_seen_counts_until_it_has_run_out_whether_or_not_one_may_look_again() {
        let (settings, begun) = (settings(), Moment::now());
        let mut seen = Seen::default();
        seen.take(&settings, &[lease("wheelhouse-a", "other", "1", of("a"))], begun);
        assert_eq!(plugins(&seen.held(&settings, begun + 14 * SECOND)), ["a"]);
        assert!(seen.held(&settings, begun + 15 * SECOND).is_empty());
    }

    #[test]
    fn own_leases_and_those_of_other_things_say_nothing() {
        let leases = [
            lease("wheelhouse-a", "me", "1", of("a")),
            lease("wheelhouse-b", "other", "1", None),
            lease("else-c", "other", "1", of("c")),
            lease("wheelhouse", "other", "1", of("d")),
            lease("wheelhouse-e", "other", "1", of("f")),
            json!({}),
        ];
        let (mut seen, now) = (Seen::default(), Moment::now());
        seen.take(&settings(), &leases, now);
        let held = seen.held(&settings(), now);
        assert!(held.iter().all(|held| held.note.is_none()), "{held:?}");
        // Somebody has them all the same.
        let leases: Vec<&str> = held.iter().map(|held| held.lease.as_str()).collect();
        assert_eq!(leases, ["wheelhouse", "wheelhouse-b", "wheelhouse-e"]);
    }
}
