//! What a guest may ask in a call, through the same doors.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;
use wheelhouse_core::Gate;
use wheelhouse_core::gate::{Permission, Verb};
use wheelhouse_core::limits::Limits;
use wheelhouse_core::usage::Usage;

use super::cluster::Witness;
use super::texts::{body, kind, namespace, text, texts};
use super::{cases, readable, soon};
use crate::bindings::exports::wheelhouse::controller::reconciler as wit;
use crate::bindings::wheelhouse::controller::{client, events, logging, metrics, objects, types};
use crate::convert;
use crate::host::{Authority, InstanceState};
use crate::output::LogContext;

/// The arguments of all of them.
#[derive(Clone, Debug)]
struct Ask {
    call: u8,
    kind: String,
    namespace: String,
    name: String,
    more: Vec<String>,
    body: Vec<u8>,
    flags: (bool, bool),
    numbers: (u32, f64),
    buckets: Vec<f64>,
}

fn ask() -> impl Strategy<Value = Ask> {
    let more = prop::collection::vec(text(), 6..10);
    let buckets = prop::collection::vec(any::<f64>(), 0..100);
    let numbers = prop_oneof![(any::<u32>(), any::<f64>()), Just((u32::MAX, f64::MAX)), Just((0, f64::NAN))];
    let place = (0_u8..20, kind(), namespace(), text());
    (place, more, body(), any::<(bool, bool)>(), numbers, buckets).prop_map(
        |((call, kind, namespace, name), more, body, flags, numbers, buckets)| Ask {
            call,
            kind,
            namespace,
            name,
            more,
            body,
            flags,
            numbers,
            buckets,
        },
    )
}

const LEVELS: [logging::Level; 5] = [
    logging::Level::Trace,
    logging::Level::Debug,
    logging::Level::Info,
    logging::Level::Warn,
    logging::Level::Error,
];

fn state(cluster: &Arc<Witness>) -> InstanceState {
    let limits = Limits::default();
    let usage = Arc::new(Usage::new(&limits));
    let of = |kind: &str, subresource: &str| Permission {
        verbs: Verb::ALL.to_vec(),
        kind: kind.parse().unwrap(),
        subresource: subresource.into(),
        namespaces: vec!["a".into()],
    };
    let permissions =
        vec![of("v1/ConfigMap", ""), of("v1/ConfigMap", "status"), of("events.k8s.io/v1/Event", "")];
    let gate = Arc::new(Gate::granting("p", permissions));
    let log = Arc::new(LogContext::new("p", "sha256:0", &usage));
    let cluster = Arc::clone(cluster) as Arc<_>;
    let mut state = InstanceState::new(gate, Some(cluster), "{}".into(), log, limits, usage, Vec::new());
    state.begin(Authority::Full, Duration::from_secs(3600), "1", "a/x");
    state
}

impl Ask {
    fn key(&self) -> types::ObjectKey {
        types::ObjectKey { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    fn text(&self, at: usize) -> String {
        self.more[at].clone()
    }

    fn subresource(&self) -> String {
        if self.flags.0 { String::new() } else { self.text(0) }
    }

    fn query(&self) -> objects::Query {
        let optional = |is: bool, at| if is { String::new() } else { self.text(at) };
        let matches = self
            .more
            .iter()
            .skip(6)
            .map(|text| objects::IndexMatch { index: text.clone(), value: self.text(5) });
        objects::Query {
            namespace: self.namespace.clone(),
            label_selector: optional(self.flags.0, 1),
            field_selector: optional(self.flags.1, 2),
            matches: matches.collect(),
            limit: self.numbers.0,
            continue_: self.flags.0.then(|| self.text(3)),
            consistency: objects::Consistency::OwnWrites,
        }
    }

    fn options(&self) -> client::WriteOptions {
        client::WriteOptions { subresource: self.subresource(), dry_run: self.flags.1 }
    }

    fn object_ref(&self, name: String) -> events::ObjectRef {
        let key = types::ObjectKey { name, ..self.key() };
        events::ObjectRef { kind: self.kind.clone(), key }
    }

    fn labels(&self) -> Vec<(String, String)> {
        self.more.iter().skip(4).map(|name| (name.clone(), self.text(1))).collect()
    }

    /// Nothing that a guest asks is a trap: that is for those who ask too often, or in the wrong call.
    async fn of(self, state: &mut InstanceState) -> Result<(), types::Error> {
        use client::Host as _;
        use events::Host as _;
        use logging::Host as _;
        use metrics::Host as _;
        use objects::Host as _;
        let (kind, key, body) = (self.kind.clone(), self.key(), self.body.clone());
        let patch_type = [client::PatchType::Json, client::PatchType::Merge, client::PatchType::Strategic];
        let (name, labels, number) = (self.name.clone(), self.labels(), self.numbers.1);
        match self.call {
            0 => objects::Host::get(state, kind, key, objects::Consistency::Cached).await.unwrap().map(drop),
            1 => state.list(kind, self.query()).await.unwrap().map(drop),
            2 => objects::Host::count(state, kind, self.query()).await.unwrap().map(drop),
            3 => state.synced(kind).unwrap().map(drop),
            4 => state.wait_synced(kind, self.numbers.0).await.unwrap().map(drop),
            5 => state.get_live(kind, key, self.subresource()).await.unwrap().map(drop),
            6 => state.create(kind, body, self.options()).await.unwrap().map(drop),
            7 => state.update(kind, body, self.options()).await.unwrap().map(drop),
            at @ 8..=10 => {
                let patch_type = patch_type[usize::from(at) - 8];
                state.patch(kind, key, patch_type, body, self.options()).await.unwrap().map(drop)
            }
            11 => {
                let options = client::ApplyOptions {
                    subresource: self.subresource(),
                    dry_run: false,
                    force: self.flags.1,
                    field_manager: if self.flags.0 { String::new() } else { self.text(4) },
                };
                state.apply(kind, body, options).await.unwrap().map(drop)
            }
            12 => {
                let options = client::DeleteOptions {
                    dry_run: self.flags.0,
                    propagation: self.flags.1.then_some(client::Propagation::Orphan),
                    grace_period_seconds: Some(self.numbers.0),
                    uid: Some(self.text(1)),
                    resource_version: Some(self.text(2)),
                };
                state.delete(kind, key, options).await.unwrap()
            }
            13 => {
                let related = self.flags.0.then(|| self.object_ref(self.text(4)));
                let (about, event_type) = (self.object_ref(self.name.clone()), events::EventType::Warning);
                let text = (self.text(1), self.text(2), self.text(3));
                state.record(about, event_type, text.0, text.1, text.2, related).await.unwrap()
            }
            14 => {
                let kind = metrics::MetricKind::Histogram;
                metrics::Host::describe(state, name, kind, self.text(1), self.buckets).unwrap()
            }
            15 => state.counter_add(name, labels, number).unwrap(),
            16 => state.histogram_observe(name, labels, number).unwrap(),
            17 => state.gauge_set(name, labels, number).unwrap(),
            18 => {
                state.log(LEVELS[self.numbers.0 as usize % LEVELS.len()], name, labels).unwrap();
                Ok(())
            }
            _ => state.remove(name, labels).unwrap(),
        }
    }
}

/// What of an error is text.
fn parts(error: types::Error) -> Vec<String> {
    use types::Error as E;
    match error {
        E::NotFound(text)
        | E::AlreadyExists(text)
        | E::Expired(text)
        | E::BadRequest(text)
        | E::Forbidden(text)
        | E::UndeclaredIndex(text)
        | E::Unreadable(text)
        | E::Timeout(text)
        | E::Unavailable(text) => vec![text],
        E::Conflict(rejection) | E::Invalid(rejection) => vec![rejection.message],
        E::Denied(denial) => vec![denial.message, denial.kind, denial.subresource, denial.namespace],
        E::LimitExceeded(breach) => vec![breach.message, breach.limit],
        E::TooManyRequests(throttle) => vec![throttle.message],
        E::Other(status) => vec![status.message, status.reason],
    }
}

#[test]
fn hostile_whatever_is_asked_is_an_error_or_a_request_of_the_own_namespace() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let asked = std::cell::Cell::new(0);
    proptest!(cases(1500), |(ask in ask())| {
        let cluster = Arc::new(Witness::default());
        let mut state = state(&cluster);
        let answer = soon(|| runtime.block_on(ask.of(&mut state)))?;
        for part in answer.err().into_iter().flat_map(parts) {
            readable(&part)?;
        }
        let strays = cluster.strays.lock().unwrap().clone();
        prop_assert!(strays.is_empty(), "{strays:?}");
        asked.set(asked.get() + cluster.asked.load(Ordering::Relaxed));
    });
    assert!(asked.get() > 0, "not one was let through, which tries nothing");
}

#[test]
fn hostile_what_no_object_can_be_called_is_asked_of_nobody() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let long = "x".repeat(1 << 20);
    for name in [long.as_str(), "", "..", "a/b", "a\n"] {
        for (call, finds_nothing) in [(0, true), (5, false), (8, false), (9, false), (10, false), (12, false)]
        {
            let cluster = Arc::new(Witness::default());
            let ask = Ask {
                call,
                kind: "v1/ConfigMap".into(),
                namespace: "a".into(),
                name: name.into(),
                more: vec![String::new(); 6],
                body: b"{}".to_vec(),
                flags: (true, false),
                numbers: (0, 0.0),
                buckets: Vec::new(),
            };
            match runtime.block_on(ask.of(&mut state(&cluster))) {
                Ok(()) => assert!(finds_nothing, "{call} of {name:.10}"),
                Err(types::Error::BadRequest(message)) if !finds_nothing => {
                    assert!(message.starts_with("no v1/ConfigMap can have the name"), "{message:.300}");
                    readable(&message).unwrap();
                }
                Err(error) => panic!("{call} of {name:.10}: {error:?}"),
            }
            assert_eq!(cluster.asked.load(Ordering::Relaxed), 0, "{call} of {name:.10}");
        }
    }
}

#[test]
fn hostile_a_query_of_many_values_costs_no_more_than_it_is_long() {
    let many: Vec<String> = (0..200_000).map(|i| format!("v{i}")).collect();
    let many = many.join(",");
    let query = |label_selector: String, field_selector: String, matches: usize| objects::Query {
        namespace: "a".into(),
        label_selector,
        field_selector,
        matches: vec![objects::IndexMatch { index: "i".into(), value: "v".into() }; matches],
        limit: u32::MAX,
        continue_: None,
        consistency: objects::Consistency::Cached,
    };
    for query in [
        query(format!("a in ({many})"), String::new(), 0),
        query(many.clone(), String::new(), 0),
        query(String::new(), many.replace(',', "=a,"), 0),
        query(String::new(), String::new(), 100_000),
    ] {
        let kind = "v1/ConfigMap".parse().unwrap();
        let begun = std::time::Instant::now();
        let error = convert::list_request(kind, query, &Limits::default()).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        readable(&error.to_string()).unwrap();
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn hostile_an_outcome_is_an_outcome(text in text(), ms in prop_oneof![any::<u64>(), Just(u64::MAX)]) {
        use wit::Outcome as Wit;
        use wheelhouse_core::Outcome;
        prop_assert_eq!(
            convert::outcome(Wit::RequeueAfter(ms)),
            Outcome::RequeueAfter(Duration::from_millis(ms))
        );
        for outcome in [Wit::Transient(text.clone()), Wit::Terminal(text)] {
            match soon(|| convert::outcome(outcome))? {
                Outcome::Transient(text) | Outcome::Terminal(text) => {
                    prop_assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
                    prop_assert!(text.len() <= 8300, "{}", text.len());
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn hostile_keys_of_map_are_those_that_objects_can_have(namespaces in texts(20), names in texts(20)) {
        let keys = namespaces.into_iter().zip(names);
        let keys = keys.map(|(namespace, name)| wit::ObjectKey { namespace, name }).collect();
        for key in soon(|| convert::mapped(keys))? {
            readable(&key.to_string())?;
            prop_assert!(!key.name.contains('/') && !key.namespace.contains('/') && !key.name.is_empty());
        }
    }

    #[test]
    fn hostile_values_of_an_index_are_no_more_than_their_limit(values in texts(20), most in 0_usize..20_000) {
        match soon(|| convert::indexed(values, most))? {
            Ok(values) => prop_assert!(values.iter().map(String::len).sum::<usize>() <= most),
            Err(reason) => readable(&reason)?,
        }
    }

    #[test]
    fn hostile_what_is_said_against_a_configuration_is_two_lines(field in text(), message in text()) {
        let error = soon(|| convert::rejected(wit::ConfigError { field, message }))?;
        let said = error.to_string();
        prop_assert!(said.len() <= 20_000 && !said.contains(char::is_control), "{said:?}");
    }

    #[test]
    fn hostile_a_few_texts_never_name_a_kind_that_reads_otherwise(texts in texts(4)) {
        if let Ok(kind) = texts.join("/").parse::<wheelhouse_core::Kind>() {
            prop_assert_eq!(wheelhouse_core::Kind::new(kind.group(), kind.version(), kind.kind()), kind);
        }
    }
}
