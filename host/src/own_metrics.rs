//! What plugins count of their own, in `/metrics`. Names and labels have been checked when they came
//! in; here they get what tells a plugin's series from the host's and from another plugin's.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use wheelhouse_core::series::{Labels, Metric, MetricKind, Sample};

use crate::metrics::Named;

/// Of all plugins.
pub(crate) fn encode(encoder: &mut DescriptorEncoder<'_>, plugins: &[Named]) -> fmt::Result {
    for (plugin, controller) in plugins {
        for (name, metric) in controller.own_metrics().snapshot() {
            one(encoder, plugin, &name.exposed(plugin), &metric)?;
        }
    }
    Ok(())
}

fn one(encoder: &mut DescriptorEncoder<'_>, plugin: &str, name: &str, metric: &Metric) -> fmt::Result {
    if metric.series.is_empty() {
        return Ok(());
    }
    let kind = match metric.kind {
        MetricKind::Counter => MetricType::Counter,
        MetricKind::Gauge => MetricType::Gauge,
        MetricKind::Histogram => MetricType::Histogram,
    };
    let help = if metric.help.is_empty() { "A plugin's own".to_owned() } else { escaped(&metric.help) };
    let mut family = encoder.encode_descriptor(name, &help, None, kind)?;
    for (labels, sample) in &metric.series {
        let labels = labelled(plugin, labels);
        value(family.encode_family(&labels)?, metric, sample)?;
    }
    Ok(())
}

/// With the plugin's name, which no label of its own can have taken. Values are escaped by the encoder.
fn labelled<'a>(plugin: &'a str, labels: &'a Labels) -> Vec<(&'a str, &'a str)> {
    std::iter::once(("controller", plugin)).chain(labels.iter()).collect()
}

/// The encoder writes help texts as they are.
fn escaped(help: &str) -> String {
    help.replace('\\', r"\\").replace('"', "\\\"")
}

fn value(mut encoder: MetricEncoder<'_>, metric: &Metric, sample: &Sample) -> fmt::Result {
    match (sample, metric.kind) {
        (Sample::Number(number), MetricKind::Counter) => {
            encoder.encode_counter::<NoLabelSet, _, u64>(number, None)
        }
        (Sample::Number(number), _) => encoder.encode_gauge(number),
        (Sample::Spread { sum, counts }, _) => {
            let bounds = metric.bounds.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().copied()).collect();
            let count = counts.iter().fold(0, |all: u64, count| all.saturating_add(*count));
            encoder.encode_histogram::<NoLabelSet>(*sum, count, &buckets, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::collector::Collector;
    use prometheus_client::registry::Registry;
    use wheelhouse_core::series::OwnMetrics;

    use super::*;

    #[derive(Debug)]
    struct Of(&'static str, OwnMetrics);

    impl Collector for Of {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            for (name, metric) in self.1.snapshot() {
                one(&mut encoder, self.0, &name.exposed(self.0), &metric)?;
            }
            Ok(())
        }
    }

    fn text(plugin: &'static str, metrics: OwnMetrics) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Of(plugin, metrics)));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    fn label(value: &str) -> Vec<(String, String)> {
        vec![("of".to_owned(), value.to_owned())]
    }

    #[test]
    fn each_kind_is_exposed_under_the_plugins_name() {
        let metrics = OwnMetrics::default();
        metrics.describe("made", MetricKind::Counter, "What was made", &[], 99).unwrap();
        metrics.describe("size", MetricKind::Histogram, "", &[1.0, 2.5], 99).unwrap();
        metrics.take(MetricKind::Counter, "made_total", &label("x"), 2.5, 99).unwrap();
        metrics.take(MetricKind::Gauge, "level", &[], -1.0, 99).unwrap();
        metrics.take(MetricKind::Histogram, "size", &[], 2.0, 99).unwrap();
        metrics.take(MetricKind::Histogram, "size", &[], 9.0, 99).unwrap();
        let expected = "\
# HELP wheelhouse_custom_web_app__level A plugin's own
# TYPE wheelhouse_custom_web_app__level gauge
wheelhouse_custom_web_app__level{controller=\"web-app\"} -1.0
# HELP wheelhouse_custom_web_app__made What was made
# TYPE wheelhouse_custom_web_app__made counter
wheelhouse_custom_web_app__made_total{controller=\"web-app\",of=\"x\"} 2.5
# HELP wheelhouse_custom_web_app__size A plugin's own
# TYPE wheelhouse_custom_web_app__size histogram
wheelhouse_custom_web_app__size_sum{controller=\"web-app\"} 11.0
wheelhouse_custom_web_app__size_count{controller=\"web-app\"} 2
wheelhouse_custom_web_app__size_bucket{le=\"1.0\",controller=\"web-app\"} 0
wheelhouse_custom_web_app__size_bucket{le=\"2.5\",controller=\"web-app\"} 1
wheelhouse_custom_web_app__size_bucket{le=\"+Inf\",controller=\"web-app\"} 2
# EOF
";
        assert_eq!(text("web-app", metrics), expected);
    }

    #[test]
    fn hostile_texts_stay_within_their_quotes_and_lines() {
        let metrics = OwnMetrics::default();
        let attack = "\"} 1\nup{job=\"x\\";
        metrics.describe("x", MetricKind::Gauge, attack, &[], 99).unwrap();
        metrics.take(MetricKind::Gauge, "x", &label(attack), 1.0, 99).unwrap();
        let text = text("p", metrics);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], r#"# HELP wheelhouse_custom_p__x \"} 1 up{job=\"x\\"#);
        let expected = r#"wheelhouse_custom_p__x{controller="p",of="\"} 1 up{job=\"x\\"} 1.0"#;
        assert_eq!(lines[2..], [expected, "# EOF"], "{text}");
    }
}
