use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

use MetricKind::{Counter, Gauge, Histogram};

const MOST: u32 = 200;

fn labels(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn take(metrics: &OwnMetrics, kind: MetricKind, name: &str, value: f64) -> Result<(), ApiError> {
    metrics.take(kind, name, &[], value, MOST)
}

fn sample(metrics: &OwnMetrics, name: &str, of: &[(&str, &str)]) -> Option<Sample> {
    let name = MetricName::new(name, Counter).unwrap();
    let labels = Labels::new(&labels(of)).unwrap();
    metrics.snapshot().get(&name)?.series.get(&labels).cloned()
}

fn is_bad(result: Result<(), ApiError>, problem: &str) {
    match result {
        Err(ApiError::BadRequest(message)) => {
            assert!(message.contains(problem) && message.len() < 250, "{message}");
        }
        other => panic!("{problem}: {other:?}"),
    }
}

#[test]
fn a_counter_adds_a_gauge_is_set_and_a_histogram_spreads() {
    let metrics = OwnMetrics::default();
    metrics.describe("size", Histogram, "How large", &[1.0, 10.0], MOST).unwrap();
    for value in [1.0, 2.5] {
        take(&metrics, Counter, "made", value).unwrap();
        take(&metrics, Gauge, "level", value).unwrap();
        take(&metrics, Histogram, "size", value).unwrap();
    }
    take(&metrics, Histogram, "size", 99.0).unwrap();
    assert_eq!(sample(&metrics, "made", &[]), Some(Sample::Number(3.5)));
    assert_eq!(sample(&metrics, "level", &[]), Some(Sample::Number(2.5)));
    // A bound is in its bucket.
    assert_eq!(sample(&metrics, "size", &[]), Some(Sample::Spread { sum: 102.5, counts: vec![1, 1, 1] }));
}

#[test]
fn labels_are_one_series_in_any_order_and_an_empty_value_is_no_label() {
    let metrics = OwnMetrics::default();
    for of in [&[("a", "1"), ("b", "2")][..], &[("b", "2"), ("a", "1")], &[("b", "2"), ("a", "1"), ("c", "")]]
    {
        metrics.take(Counter, "made", &labels(of), 1.0, MOST).unwrap();
    }
    assert_eq!(metrics.series(), 1);
    assert_eq!(sample(&metrics, "made", &[("a", "1"), ("b", "2")]), Some(Sample::Number(3.0)));
}

#[test]
fn a_counter_is_the_same_with_and_without_total() {
    let metrics = OwnMetrics::default();
    take(&metrics, Counter, "made_total", 1.0).unwrap();
    take(&metrics, Counter, "made", 1.0).unwrap();
    assert_eq!((metrics.series(), sample(&metrics, "made", &[])), (1, Some(Sample::Number(2.0))));
    is_bad(take(&metrics, Gauge, "made", 1.0), "metric made is a counter, not a gauge");
}

#[test]
fn hostile_names_that_are_none_or_belong_to_others_are_refused() {
    let metrics = OwnMetrics::default();
    let long = "x".repeat(101);
    for name in [
        "",
        "1st",
        "_x",
        "a-b",
        "a b",
        "a\nb 1\nup",
        "é",
        "a:b",
        "a{b=\"c\"}",
        "a__b",
        "a_",
        "_total",
        "x_bucket",
        "x_sum",
        "x_count",
        "x_total_total",
        long.as_str(),
    ] {
        is_bad(take(&metrics, Counter, name, 1.0), "cannot name a metric");
        is_bad(metrics.describe(name, Gauge, "", &[], MOST), "cannot name a metric");
        is_bad(metrics.remove(name, &[]), "cannot name a metric");
    }
    is_bad(take(&metrics, Gauge, "x_total", 1.0), "_total at its end");
    let long = "x".repeat(65);
    for name in
        ["", "1a", "a-b", "a\"", "é", "a\n", "__name__", "controller", "le", "quantile", long.as_str()]
    {
        let given = labels(&[(name, "v")]);
        is_bad(metrics.take(Counter, "made", &given, 1.0, MOST), "cannot name a label");
        is_bad(metrics.remove("made", &given), "cannot name a label");
    }
    let twice = labels(&[("a", "1"), ("a", "2")]);
    is_bad(metrics.take(Counter, "made", &twice, 1.0, MOST), "label \"a\" is given twice");
    let many: Vec<(String, String)> = (0..11).map(|i| (format!("l{i}"), "v".to_owned())).collect();
    is_bad(metrics.take(Counter, "made", &many, 1.0, MOST), "11 labels, at most 10");
    assert_eq!(metrics.series(), 0);
}

#[test]
fn hostile_values_that_are_no_numbers_are_refused_and_sums_stay_finite() {
    let metrics = OwnMetrics::default();
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for kind in [Counter, Gauge, Histogram] {
            is_bad(take(&metrics, kind, "x", value), "give a finite number");
        }
        is_bad(metrics.describe("x", Histogram, "", &[1.0, value], MOST), "give finite bounds");
    }
    is_bad(take(&metrics, Counter, "x", -0.5), "a counter only grows");
    assert_eq!(metrics.series(), 0);
    for _ in 0..2 {
        take(&metrics, Counter, "much", f64::MAX).unwrap();
        take(&metrics, Histogram, "spread", f64::MIN).unwrap();
    }
    assert_eq!(sample(&metrics, "much", &[]), Some(Sample::Number(f64::MAX)));
    assert!(matches!(sample(&metrics, "spread", &[]), Some(Sample::Spread { sum: f64::MIN, .. })));
}

#[test]
fn hostile_buckets_are_few_ordered_and_of_histograms() {
    let metrics = OwnMetrics::default();
    let many: Vec<f64> = (0..65).map(f64::from).collect();
    is_bad(metrics.describe("x", Histogram, "", &many, MOST), "has 65 buckets, at most 64");
    is_bad(metrics.describe("x", Histogram, "", &[1.0, 1.0], MOST), "ascending order");
    is_bad(metrics.describe("x", Gauge, "", &[1.0], MOST), "is a gauge, and has no buckets");
}

fn limited(result: Result<(), ApiError>) {
    assert!(matches!(result, Err(ApiError::LimitExceeded { limit: Limit::MetricSeries, .. })), "{result:?}");
}

#[test]
fn hostile_series_over_all_metrics_are_limited_and_those_that_are_there_go_on() {
    let metrics = OwnMetrics::default();
    let of = |i: usize| labels(&[("i", &i.to_string())]);
    for i in 0..3 {
        metrics.take(Counter, "a", &of(i), 1.0, 4).unwrap();
    }
    metrics.take(Gauge, "b", &[], 1.0, 4).unwrap();
    limited(metrics.take(Counter, "a", &of(3), 1.0, 4));
    limited(metrics.take(Gauge, "c", &[], 1.0, 4));
    limited(metrics.describe("c", Gauge, "", &[], 4));
    metrics.take(Counter, "a", &of(0), 1.0, 4).unwrap();
    metrics.remove("a", &of(1)).unwrap();
    metrics.take(Gauge, "c", &[], 1.0, 4).unwrap();
    assert_eq!(metrics.series(), 4);
}

#[test]
fn hostile_a_histogram_counts_as_its_buckets_and_a_description_as_one() {
    let metrics = OwnMetrics::default();
    limited(metrics.take(Histogram, "x", &[], 1.0, 13));
    metrics.take(Histogram, "x", &[], 1.0, 14).unwrap();
    metrics.describe("y", Histogram, "", &[1.0], 15).unwrap();
    assert_eq!(metrics.series(), 15);
    limited(metrics.take(Histogram, "y", &[], 1.0, 17));
    metrics.take(Histogram, "y", &[], 1.0, 18).unwrap();
    limited(metrics.take(Histogram, "y", &labels(&[("a", "b")]), 1.0, 21));
    assert_eq!(metrics.series(), 18);
}

#[test]
fn a_metric_that_is_described_otherwise_begins_anew() {
    let metrics = OwnMetrics::default();
    take(&metrics, Counter, "x", 1.0).unwrap();
    metrics.describe("x", Counter, "Now with help", &[], MOST).unwrap();
    assert_eq!(sample(&metrics, "x", &[]), Some(Sample::Number(1.0)));
    metrics.describe("x", Gauge, "Something else", &[], MOST).unwrap();
    assert_eq!(sample(&metrics, "x", &[]), None);
    take(&metrics, Gauge, "x", -1.0).unwrap();
    metrics.remove("x", &[]).unwrap();
    assert_eq!(metrics.snapshot().values().next().unwrap().help, "Something else");
}

#[test]
fn hostile_no_two_plugins_expose_the_same_name() {
    let plugins = ["a", "a-b", "a--b", "a.b", "ab", "wheelhouse", "a-b-c", "a-b.c", "a.b-c", "b-c"];
    let names = ["x", "b_x", "b", "a_b_x", "c_x", "custom_x"];
    let mut seen = BTreeSet::new();
    for (plugin, name) in plugins.into_iter().flat_map(|plugin| names.map(|name| (plugin, name))) {
        let exposed = MetricName::new(name, Counter).unwrap().exposed(plugin);
        assert!(exposed.starts_with("wheelhouse_custom_") && !exposed.contains('-'), "{exposed}");
        assert!(seen.insert(exposed), "{plugin} {name}");
    }
}

fn kinds() -> impl Strategy<Value = MetricKind> {
    prop_oneof![Just(Counter), Just(Gauge), Just(Histogram)]
}

/// Names that are often right, and often nearly so.
fn words() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]", "[a-c_]{0,4}(_total|_sum)?", texts()]
}

/// Any characters at all, those of control among them.
fn texts() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>(), 0..150).prop_map(String::from_iter)
}

type Call = (MetricKind, String, Vec<(String, String)>, f64, Vec<f64>);

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let labels = prop::collection::vec((words(), texts()), 0..3);
    let buckets = prop::collection::vec(prop::num::f64::ANY, 0..4);
    prop::collection::vec((kinds(), words(), labels, prop::num::f64::ANY, buckets), 0..40)
}

proptest! {
    #[test]
    fn whatever_comes_series_stay_within_their_limit_and_what_is_exposed_is_well_formed(all in calls()) {
        let metrics = OwnMetrics::default();
        for (kind, name, labels, value, buckets) in all {
            let _ = metrics.describe(&name, kind, &name, &buckets, 15);
            let _ = metrics.take(kind, &name, &labels, value, 15);
            if value > 0.0 {
                let _ = metrics.remove(&name, &labels);
            }
        }
        // A metric that changes its kind loses its series, and so never grows by it.
        prop_assert!(metrics.series() <= 15);
        for (name, metric) in metrics.snapshot() {
            prop_assert!(name.to_string().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            prop_assert!(!metric.help.contains(char::is_control));
            for (labels, sample) in metric.series {
                for (label, value) in labels.iter() {
                    prop_assert!(label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
                    prop_assert!(!value.is_empty() && value.len() <= 128 && !value.contains(char::is_control));
                }
                match sample {
                    Sample::Number(number) => prop_assert!(number.is_finite()),
                    Sample::Spread { sum, counts } => {
                        prop_assert!(sum.is_finite() && counts.len() == metric.bounds.len() + 1);
                    }
                }
            }
        }
    }
}
