//! What plugins say for people and dashboards: Events and metrics.

use kube::api::{Api, DynamicObject, ListParams};
use serde_json::{Value, json};

use crate::support::{Host, eventually};

const WEB_APP: &str = "examples.wheelhouse.dev/v1alpha1/WebApp";

fn web_app(name: &str, port: u32) -> Value {
    json!({
        "apiVersion": "examples.wheelhouse.dev/v1alpha1", "kind": "WebApp",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"image": "nginx:1.29", "port": port}
    })
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}})
}

async fn with_web_app() -> Host {
    let host = Host::start(&["webapp"]).await;
    host.install_crd("webapp").await;
    host.until_running("webapp.wasm").await;
    host
}

/// The Events on an object of this name, as that API has them.
async fn events(api: &Api<DynamicObject>, field: &str, name: &str) -> Vec<Value> {
    let events = api.list(&ListParams::default()).await.unwrap().items;
    events.into_iter().map(|event| event.data).filter(|event| event[field]["name"] == name).collect()
}

#[tokio::test]
async fn what_a_plugin_records_is_an_event_whose_series_counts_up() {
    let host = with_web_app().await;
    let app = host.create(web_app("broken", 0)).await;
    let new = host.api("events.k8s.io/v1/Event", "default");
    let event = eventually("an Event on the app", || async {
        events(&new, "regarding", "broken").await.into_iter().next()
    })
    .await;
    assert_eq!((&event["type"], &event["reason"]), (&json!("Warning"), &json!("Invalid")));
    assert_eq!((&event["action"], event.get("series")), (&json!("ApplyChildren"), None));
    assert!(event["note"].as_str().unwrap().contains("port"), "{event}");
    assert_eq!(event["reportingController"], "wheelhouse.dev/webapp");
    let regarding = json!({
        "apiVersion": "examples.wheelhouse.dev/v1alpha1", "kind": "WebApp", "namespace": "default",
        "name": "broken", "uid": app.metadata.uid,
    });
    assert_eq!(event["regarding"], regarding);

    // It goes on being broken: no other Event, but a series. Each change is one more.
    for count in 2..=3 {
        host.patch(WEB_APP, "default", "broken", json!({"spec": {"replicas": count}})).await;
        eventually(&format!("a series of {count}"), || async {
            let events = events(&new, "regarding", "broken").await;
            assert_eq!(events.len(), 1, "{events:?}");
            (events[0]["series"]["count"] == count).then_some(())
        })
        .await;
    }
    // kubectl and its like look at the older API.
    let old = events(&host.api("v1/Event", "default"), "involvedObject", "broken").await;
    assert_eq!((old.len(), &old[0]["series"]["count"]), (1, &json!(3)));
    assert_eq!(host.metric("wheelhouse_plugin_events_total{controller=\"webapp\",result=\"sent\"}"), 3.0);
    assert_eq!(host.metric("wheelhouse_plugin_events_total{controller=\"webapp\",result=\"lost\"}"), 0.0);
    assert_eq!(host.metric("wheelhouse_plugin_events_waiting{controller=\"webapp\"}"), 0.0);
}

/// Waits until it has done more than so much, and has nothing to do; how much it has done then.
async fn until_at_rest(host: &Host, more_than: f64) -> f64 {
    eventually("the plugin is at rest", || async {
        let done =
            host.metric("controller_runtime_reconcile_total{controller=\"webapp\",result=\"success\"}");
        (done > more_than && host.is_idle("webapp")).then_some(done)
    })
    .await
}

#[tokio::test]
async fn what_a_plugin_counts_is_in_the_metrics_and_outlives_its_revision() {
    let host = with_web_app().await;
    host.create(web_app("shop", 80)).await;
    let created = |kind: &str| {
        format!("wheelhouse_custom_webapp__children_created_total{{controller=\"webapp\",kind=\"{kind}\"}}")
    };
    let until = async |kind: &str, count: f64| {
        let series = created(kind);
        eventually(&format!("{series} {count}"), || async { (host.metric(&series) == count).then_some(()) })
            .await;
    };
    until("Service", 1.0).await;
    until("Deployment", 1.0).await;
    let text = host.admin("/metrics").1;
    let help = "# HELP wheelhouse_custom_webapp__children_created Children that were created";
    assert!(text.contains(help), "{text}");
    assert!(text.contains("# TYPE wheelhouse_custom_webapp__children_created counter"), "{text}");
    // What is related to the Event is the child.
    let new = host.api("events.k8s.io/v1/Event", "default");
    eventually("an Event of each child", || async {
        let events = events(&new, "regarding", "shop").await;
        let of = |kind: &str| events.iter().any(|event| event["related"]["kind"] == kind);
        (of("Service") && of("Deployment")).then_some(())
    })
    .await;

    // Nothing more happens by itself.
    let apps = host.api(WEB_APP, "default");
    eventually("the app is ready", || async {
        let conditions = apps.get("shop").await.unwrap().data["status"]["conditions"].clone();
        let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
        conditions.as_array()?.iter().any(is_ready).then_some(())
    })
    .await;
    let before = until_at_rest(&host, 0.0).await;
    let wasm = std::fs::read(host.file("webapp.wasm")).unwrap();
    // The same plugin as another component: a custom section of no meaning at its end.
    let new = host.file(".webapp.wasm.new");
    std::fs::write(&new, [wasm.as_slice(), &[0, 2, 1, b'x']].concat()).unwrap();
    std::fs::rename(new, host.file("webapp.wasm")).unwrap();
    host.until("webapp.wasm", "revision 2", |report| report["plugin"]["revision"] == 2).await;
    // What it is asked for anew is done: it would bring the Service back without having missed it.
    until_at_rest(&host, before).await;
    host.api("v1/Service", "default").delete("shop", &Default::default()).await.unwrap();
    until("Service", 2.0).await;

    std::fs::remove_file(host.file("webapp.wasm")).unwrap();
    eventually("its metrics go with it", || async {
        (!host.admin("/metrics").1.contains("wheelhouse_custom_")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn hostile_floods_of_events_and_series_are_held_to_their_limits() {
    let host = Host::start_sharing(&["hostile", "hello"], &[]).await;
    host.until_running("hostile.wasm").await;
    host.until_running("hello.wasm").await;
    host.create(config_map("metric-odd-value")).await;
    let odd = "wheelhouse_custom_hostile__odd_total{controller=\"hostile\",l=\"a\\\"} 1 up{a=\\\"";
    eventually("the odd series, escaped", || async { (host.metric(odd) == 1.0).then_some(()) }).await;
    for attack in ["event-repeats", "series-flood"] {
        host.create(config_map(attack)).await;
    }
    for limit in ["limit eventsPerMinute: too many Events", "limit metricSeries: "] {
        eventually(limit, || async { host.log().contains(limit).then_some(()) }).await;
    }
    let text = host.admin("/metrics").1;
    let own = text.lines().filter(|line| line.starts_with("wheelhouse_custom_hostile__")).count();
    assert_eq!(own, 200);
    assert!(text.lines().all(|line| !line.starts_with("up")), "{text}");
    assert_eq!(host.metric("wheelhouse_plugin_metric_series{controller=\"hostile\"}"), 200.0);
    // All that got through is one Event.
    let all = host.api("events.k8s.io/v1/Event", "default");
    eventually("one Event with what was let through", || async {
        let events = events(&all, "regarding", "event-repeats").await;
        assert!(events.len() <= 1, "{events:?}");
        events.first().filter(|event| event["series"]["count"].as_u64() >= Some(60)).map(|_| ())
    })
    .await;

    let mut friend = config_map("friend");
    friend["metadata"]["labels"] = json!({"hello": "world"});
    host.create(friend).await;
    let maps = host.api("v1/ConfigMap", "default");
    eventually("the neighbour works", || async {
        maps.get("friend").await.ok()?.metadata.annotations?.get("examples.wheelhouse.dev/greeting").cloned()
    })
    .await;
}
