//! What dashboards find in `/metrics`, and what the documentation says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::json;

use crate::support::{Host, eventually};

/// Type and labels.
type Described = (String, BTreeSet<String>);

/// Of each name that a query would have; `_bucket` and the like are their histogram's.
fn exposed(text: &str) -> BTreeMap<String, Described> {
    let (mut all, mut kind): (BTreeMap<String, Described>, &str) = (BTreeMap::new(), "");
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# TYPE ") {
            kind = described.rsplit(' ').next().unwrap();
        } else if !line.starts_with('#') {
            let (name, labels) = line.split_once('{').unwrap();
            let name = match kind {
                "histogram" => name.rsplit_once('_').unwrap().0,
                _ => name,
            };
            let labels = labels.split("=\"").filter_map(|part| part.rsplit(['{', ',', '"']).next());
            // The last part is a value.
            let labels: BTreeSet<String> = labels.map(str::to_owned).collect();
            let name_like = |label: &String| label.chars().all(|c| c.is_ascii_lowercase());
            let labels =
                labels.into_iter().filter(|label| name_like(label) && label != "le" && !label.is_empty());
            all.entry(name.to_owned()).or_insert_with(|| (kind.to_owned(), BTreeSet::new())).1.extend(labels);
        }
    }
    all
}

/// The rows of the tables; whether they are always there.
fn documented() -> BTreeMap<String, (Described, bool)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut always = true;
    let mut all = BTreeMap::new();
    for line in text.lines() {
        always &= !line.starts_with("## Once there was one");
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, kind, labels, meaning, _] = cells[..] else { continue };
        let Some(name) = name.strip_prefix('`').and_then(|name| name.strip_suffix('`')) else { continue };
        assert!(!meaning.is_empty(), "{name}");
        let labels = labels.split(", ").map(|label| label.trim_matches('`').to_owned()).collect();
        assert!(all.insert(name.to_owned(), ((kind.to_owned(), labels), always)).is_none(), "{name} twice");
    }
    all
}

#[tokio::test]
async fn the_documentation_has_every_metric_with_its_type_and_labels() {
    let host = Host::start_sharing(&["hello", "node-census", "hostile"], &[]).await;
    for plugin in ["hello", "node-census", "hostile"] {
        host.until_running(&format!("{plugin}.wasm")).await;
    }
    host.create(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "undeclared-kind", "namespace": "default", "labels": {"hello": "world"}}}))
        .await;
    let documented = documented();
    let missing = |text: &str| {
        let exposed = exposed(text);
        let missing = documented.iter().filter(|(name, (_, always))| *always && !exposed.contains_key(*name));
        missing.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let text = eventually("a write, and a denial", || async {
        let text = host.admin("/metrics").1;
        let happened = text.contains("wheelhouse_gate_denials_total") && text.contains("method=\"PATCH\"");
        happened.then_some(text)
    })
    .await;
    assert_eq!(missing(&text), Vec::<String>::new(), "{text}");
    for (name, described) in exposed(&text) {
        if name.starts_with("wheelhouse_custom_") {
            continue;
        }
        let row = documented.get(&name).unwrap_or_else(|| panic!("docs/metrics.md has no row for {name}"));
        assert_eq!(row.0, described, "{name}");
    }
}

#[tokio::test]
async fn dashboards_for_controller_runtime_and_client_go_find_their_series() {
    let host = Host::start(&["hello"]).await;
    host.until_running("hello.wasm").await;
    host.create(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "friend", "namespace": "default", "labels": {"hello": "world"}}}))
        .await;
    let success = "controller_runtime_reconcile_total{controller=\"hello\",result=\"success\"}";
    eventually("a reconcile", || async { (host.metric(success) >= 2.0).then_some(()) }).await;
    let text = host.admin("/metrics").1;
    // The text as a scraper sees it: the encoder adds the suffixes.
    let server = host.server();
    for series in [
        "controller_runtime_reconcile_total{controller=\"hello\",result=\"requeue\"} 0",
        "controller_runtime_reconcile_errors_total{controller=\"hello\"} 0",
        "controller_runtime_terminal_reconcile_errors_total{controller=\"hello\"} 0",
        "controller_runtime_reconcile_panics_total{controller=\"hello\"} 0",
        "controller_runtime_reconcile_time_seconds_bucket{le=\"1.0\",controller=\"hello\"} ",
        "controller_runtime_max_concurrent_reconciles{controller=\"hello\"} ",
        "controller_runtime_active_workers{controller=\"hello\"} 0",
        "workqueue_depth{name=\"hello\",controller=\"hello\",priority=\"0\"} 0",
        "workqueue_depth{name=\"hello\",controller=\"hello\",priority=\"-100\"} 0",
        "workqueue_adds_total{name=\"hello\",controller=\"hello\"} ",
        "workqueue_retries_total{name=\"hello\",controller=\"hello\"} 0",
        "workqueue_queue_duration_seconds_count{name=\"hello\",controller=\"hello\"} ",
        "workqueue_work_duration_seconds_count{name=\"hello\",controller=\"hello\"} ",
        "workqueue_unfinished_work_seconds{name=\"hello\",controller=\"hello\"} 0.0",
        "workqueue_longest_running_processor_seconds{name=\"hello\",controller=\"hello\"} 0.0",
        &format!("rest_client_requests_total{{code=\"200\",method=\"PATCH\",host=\"{server}\"}} "),
        &format!("rest_client_requests_total{{code=\"200\",method=\"GET\",host=\"{server}\"}} "),
        "wheelhouse_plugin_files{phase=\"running\"} 1",
        "wheelhouse_plugin_revision{controller=\"hello\"} 1",
        "wheelhouse_plugin_info{version=",
    ] {
        assert!(text.contains(&format!("\n{series}")), "{series} in\n{text}");
    }
    assert!(host.metric("wheelhouse_plugin_memory_bytes{controller=\"hello\"}") > 65_536.0);
    assert!(host.metric("workqueue_work_duration_seconds_count{name=\"hello\"") >= 2.0);
}
