//! Bad manners with Events and metrics.
#![cfg(test)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use wheelhouse_core::limits::{Limit, Limits};
use wheelhouse_core::series::{MetricKind, OwnMetrics, Sample};
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{Gate, Key, Outcome};
use wheelhouse_sandbox::{CallError, Revision, RevisionSetup};

use crate::support::{Neighbour, Nothing, compiled, reconcile, service};

/// Whatever it is asked for, a neighbour works beside it.
struct Plugin {
    neighbour: Neighbour,
    revision: Arc<Revision>,
    cluster: Arc<Nothing>,
    usage: Arc<Usage>,
    metrics: Arc<OwnMetrics>,
}

impl Plugin {
    async fn start(limits: Limits) -> Self {
        let long = Duration::from_secs(60);
        let limits = Limits { reconcile_timeout: long, reconcile_cpu: long, cpu_per_second: long, ..limits };
        Self::sharing(&limits, Arc::new(Usage::new(&limits)), Arc::default()).await
    }

    async fn sharing(limits: &Limits, usage: Arc<Usage>, metrics: Arc<OwnMetrics>) -> Self {
        let compiled = compiled().await;
        let spec = Arc::new(compiled.describe("{}", &Limits::default()).await.unwrap());
        let cluster = Arc::new(Nothing::default());
        let setup = RevisionSetup {
            gate: Arc::new(Gate::granting(&spec.name, spec.all_permissions())),
            spec,
            config: "{}".into(),
            cluster: Arc::clone(&cluster) as Arc<_>,
            limits: limits.clone(),
            usage: Arc::clone(&usage),
            metrics: Arc::clone(&metrics),
        };
        let neighbour = Neighbour::of(&compiled).await;
        Self { neighbour, revision: Arc::new(compiled.start(setup)), cluster, usage, metrics }
    }

    async fn reconcile(&self, name: &str) -> Result<Outcome, CallError> {
        self.neighbour.beside(reconcile(&self.revision, name)).await
    }

    async fn map(&self, name: &str) -> Result<Vec<Key>, CallError> {
        self.neighbour.beside(self.revision.map("services", service(name))).await
    }

    async fn attack(&self, name: &str) -> String {
        match self.reconcile(name).await {
            Ok(Outcome::Terminal(answer)) => answer,
            other => panic!("{name}: {other:?}"),
        }
    }

    async fn succeeds(&self, name: &str) {
        assert_eq!(self.reconcile(name).await, Ok(Outcome::Done), "{name}");
    }

    fn recorded(&self) -> Vec<String> {
        self.cluster.asked.lock().unwrap().clone()
    }

    fn breaches(&self, limit: Limit) -> u64 {
        self.usage.breaches().find(|(other, _)| *other == limit).unwrap().1
    }

    /// The values of one metric by their labels, as text.
    fn samples(&self, name: &str) -> BTreeMap<String, Sample> {
        let metrics = self.metrics.snapshot();
        let metric = metrics.iter().find(|(other, _)| other.to_string() == name);
        let series = metric.map(|(_, metric)| metric.series.clone()).unwrap_or_default();
        let text = |labels: &wheelhouse_core::series::Labels| {
            labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
        };
        series.into_iter().map(|(labels, sample)| (text(&labels), sample)).collect()
    }
}

#[tokio::test]
async fn an_event_goes_to_the_cluster_as_it_was_recorded() {
    let plugin = Plugin::start(Limits::default()).await;
    plugin.succeeds("event").await;
    let expected = "record v1/ConfigMap default/event in default: Why Attack \"It happened.\"";
    assert_eq!(plugin.recorded(), [expected]);
}

#[tokio::test]
async fn hostile_events_beyond_the_rate_are_refused_by_name_repeats_among_them() {
    for flood in ["event-flood", "event-repeats"] {
        let plugin = Plugin::start(Limits { events_per_minute: 3, ..Limits::default() }).await;
        let answer = plugin.attack(flood).await;
        assert!(
            answer.starts_with("3 let through, then: limit eventsPerMinute: too many Events"),
            "{answer}"
        );
        assert_eq!(plugin.recorded().len(), 3, "what is refused is not sent");
        assert_eq!(plugin.breaches(Limit::EventsPerMinute), 9_997);
    }
}

#[tokio::test]
async fn hostile_a_new_revision_has_no_new_share_of_events() {
    let limits = Limits { events_per_minute: 1, ..Limits::default() };
    let first = Plugin::start(limits.clone()).await;
    first.succeeds("event").await;
    let second = Plugin::sharing(&limits, Arc::clone(&first.usage), Arc::clone(&first.metrics)).await;
    assert!(second.attack("event").await.contains("limit eventsPerMinute"));
}

#[tokio::test]
async fn hostile_an_event_takes_the_right_to_its_objects_and_to_where_it_goes() {
    let plugin = Plugin::start(Limits::default()).await;
    for (attack, missing) in [
        ("event-undeclared-object", "may not get v1/Secret in namespace default"),
        ("event-undeclared-related", "may not get v1/Secret in namespace default"),
        ("event-other-namespace", "may not get v1/ConfigMap in namespace kube-system"),
        ("event-cluster-scoped", "may not get v1/ConfigMap in all namespaces"),
        ("event-bad-kind", "\"no such kind\" names no kind"),
    ] {
        let answer = plugin.attack(attack).await;
        assert!(answer.contains(missing), "{attack}: {answer}");
    }
    assert!(plugin.recorded().is_empty());
}

#[tokio::test]
async fn hostile_an_event_on_what_no_object_can_be_called_is_refused() {
    let plugin = Plugin::start(Limits::default()).await;
    // In a namespace where it may do all of that.
    for attack in ["event-bad-name", "event-bad-related"] {
        let answer = plugin.attack(attack).await;
        assert!(answer.contains("no v1/ConfigMap can have the name \"../secrets/x\""), "{attack}: {answer}");
    }
    assert!(plugin.recorded().is_empty(), "{:?}", plugin.recorded());
}

#[tokio::test]
async fn hostile_texts_of_an_event_are_refused_cleaned_or_cut() {
    let plugin = Plugin::start(Limits::default()).await;
    for (attack, problem) in [
        ("event-empty-reason", "has no reason"),
        ("event-long-reason", "the reason of an Event may have 128 bytes"),
        ("event-huge", "limit argumentBytes"),
    ] {
        let answer = plugin.attack(attack).await;
        assert!(answer.contains(problem), "{attack}: {answer}");
    }
    assert!(plugin.recorded().is_empty());
    plugin.succeeds("event-control").await;
    plugin.succeeds("event-long-note").await;
    let recorded = plugin.recorded();
    assert!(recorded[0].ends_with("Why[31m forged Attack \"one twothree\""), "{}", recorded[0]);
    assert!(recorded[1].len() < 1_200 && recorded[1].ends_with("ü…\""), "{}", recorded[1]);
}

#[tokio::test]
async fn metrics_add_up_over_instances_and_revisions() {
    let first = Plugin::start(Limits::default()).await;
    first.succeeds("metric").await;
    first.revision.drop_idle();
    first.succeeds("metric").await;
    let second =
        Plugin::sharing(&Limits::default(), Arc::clone(&first.usage), Arc::clone(&first.metrics)).await;
    second.succeeds("metric").await;
    let expected = BTreeMap::from([("of=none".to_owned(), Sample::Number(3.0))]);
    assert_eq!(second.samples("attacks"), expected);
}

#[tokio::test]
async fn hostile_series_are_limited_by_name_over_all_metrics() {
    for (flood, through) in
        [("series-flood", 20), ("metric-flood", 20), ("histogram-flood", 1), ("help-flood", 20)]
    {
        let plugin = Plugin::start(Limits { metric_series: 20, ..Limits::default() }).await;
        let answer = plugin.attack(flood).await;
        let expected = format!("{through} let through, then: limit metricSeries: ");
        assert!(answer.starts_with(&expected), "{flood}: {answer}");
        assert_eq!(plugin.breaches(Limit::MetricSeries), 10_000 - through, "{flood}");
        assert!(plugin.metrics.series() <= 20);
        let answer = plugin.attack(flood).await;
        assert!(answer.starts_with(&expected), "those that are there go on: {answer}");
    }
}

#[tokio::test]
async fn hostile_metrics_that_make_no_sense_are_refused() {
    let plugin = Plugin::start(Limits::default()).await;
    for (attack, problem) in [
        ("metric-bad-name", "cannot name a metric"),
        ("metric-other-controller", "\"controller\" cannot name a label: the host sets it"),
        ("metric-bad-label", "cannot name a label"),
        ("metric-many-labels", "1000 labels, at most 10 may be"),
        ("metric-huge", "limit argumentBytes"),
        ("metric-nan", "cannot take NaN: give a finite number"),
        ("metric-negative", "cannot take -1: a counter only grows"),
        ("metric-bad-buckets", "not in ascending order"),
    ] {
        let answer = plugin.attack(attack).await;
        assert!(answer.contains(problem), "{attack}: {answer}");
    }
    assert_eq!(plugin.metrics.series(), 0);
    let answer = plugin.attack("metric-other-kind").await;
    assert!(answer.contains("metric both is a counter, not a gauge"), "{answer}");
    plugin.succeeds("metric-odd-value").await;
    let labels = plugin.samples("odd").into_keys().next().unwrap();
    assert!(labels.len() <= 130 && !labels.contains(char::is_control), "{labels:?}");
}

#[tokio::test]
async fn hostile_map_may_count_and_may_not_record() {
    let plugin = Plugin::start(Limits::default()).await;
    assert_eq!(plugin.map("count").await, Ok(Vec::new()));
    assert_eq!(plugin.samples("mapped").into_values().collect::<Vec<_>>(), [Sample::Number(1.0)]);
    let error = plugin.map("record").await.unwrap_err();
    assert!(
        matches!(&error, CallError::Trap { reason, .. } if reason.contains("may not write")),
        "{error:?}"
    );
    assert!(plugin.recorded().is_empty());
}

#[tokio::test]
async fn hostile_describe_and_index_may_neither_count_nor_record() {
    for what in ["count", "record"] {
        let config = format!(r#"{{"describe":"{what}"}}"#);
        let (compiled, limits) = (compiled().await, Limits::default());
        let described = Neighbour::of(&compiled).await.beside(compiled.describe(&config, &limits)).await;
        let error = described.unwrap_err();
        assert!(error.to_string().contains("describe and index may use no import"), "{what}: {error}");
    }
    let plugin = Plugin::start(Limits::default()).await;
    let object = service("index-count").new.unwrap();
    let error = plugin.neighbour.beside(plugin.revision.index("own", &object)).await.unwrap_err();
    assert!(error.to_string().contains("describe and index may use no import"), "{error}");
    assert_eq!(plugin.metrics.series(), 0);
}

#[tokio::test]
async fn hostile_one_plugin_s_flood_takes_nothing_of_anothers_share() {
    let limits = Limits { events_per_minute: 1, metric_series: 1, ..Limits::default() };
    let (hostile, neighbour) = (Plugin::start(limits.clone()).await, Plugin::start(limits).await);
    // Beside the neighbour that each has, this is one that says something.
    hostile.attack("event-flood").await;
    hostile.attack("series-flood").await;
    neighbour.succeeds("event").await;
    neighbour.succeeds("metric").await;
    let kinds: Vec<MetricKind> = neighbour.metrics.snapshot().into_values().map(|m| m.kind).collect();
    assert_eq!(kinds, [MetricKind::Counter]);
}
