//! Revisions: probation, the way back, a pause; and the commands for them.

use serde_json::{Value, json};

use crate::support::{Host, eventually, wheelhouse};

/// Probation that is over soon, so that there is something to wait for.
const SOON: [&str; 2] = ["--probation", "2"];
const LONG: [&str; 2] = ["--probation", "3600"];

/// An echo with this configuration, of ConfigMaps in the default namespace.
fn configure(host: &Host, mut config: Value) {
    config["reconciles"] = json!({"kind": "v1/ConfigMap", "namespaces": ["default"]});
    let new = host.file(".echo.json.new");
    std::fs::write(&new, config.to_string()).unwrap();
    std::fs::rename(new, host.file("echo.json")).unwrap();
}

async fn echo(flags: &[&str]) -> Host {
    let host = Host::start_with(&[], flags).await;
    configure(&host, json!({}));
    std::fs::copy(crate::support::plugin("echo"), host.file("echo.wasm")).unwrap();
    host.until_running("echo.wasm").await;
    for name in ["a", "b", "c", "d", "e", "f"] {
        create(&host, name).await;
    }
    // The first revision has something to be compared with.
    reconciled(&host, 6.0).await;
    host
}

async fn create(host: &Host, name: &str) {
    host.create(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}),
    )
    .await;
}

const SUCCESSES: &str = "controller_runtime_reconcile_total{controller=\"echo\",result=\"success\"}";

async fn reconciled(host: &Host, count: f64) {
    eventually("reconciled", || async { (host.metric(SUCCESSES) >= count).then_some(()) }).await;
}

/// A command on the host: whether it succeeded, and what it printed.
fn command(host: &Host, args: &[&str]) -> (bool, String) {
    let output = wheelhouse().args(args).args(["--admin-addr", host.admin_addr()]).output().unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.success(), text.concat())
}

/// Numbers and states, the newest first.
fn revisions(host: &Host) -> Vec<(u64, String)> {
    let (success, text) = command(host, &["revisions", "echo", "-o", "json"]);
    assert!(success, "{text}");
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    all.iter().map(|r| (r["revision"].as_u64().unwrap(), r["state"].as_str().unwrap().to_owned())).collect()
}

async fn until_revisions(host: &Host, expected: &[(u64, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(n, state)| (*n, (*state).to_owned())).collect();
    eventually(&format!("{expected:?}"), || async { (revisions(host) == expected).then_some(()) }).await;
}

#[tokio::test]
async fn a_revision_that_traps_is_rolled_back_by_itself_and_not_tried_again_until_it_changes() {
    let host = echo(&LONG).await;
    configure(&host, json!({"traps": true}));
    let report = host.until("echo.wasm", "rolled back", |report| report["reason"] == "RolledBack").await;
    let error = report["error"].as_str().unwrap();
    assert!(error.contains("revision 2 was rolled back") && error.contains("trapped"), "{error}");
    assert_eq!((&report["phase"], &report["plugin"]["revision"]), (&json!("failed"), &json!(3)), "{report}");
    until_revisions(&host, &[(3, "active"), (2, "rolledBack")]).await;
    assert_eq!(host.metric("wheelhouse_plugin_rollbacks_total{controller=\"echo\"}"), 1.0);
    // The old one does its work.
    let before = host.metric(SUCCESSES);
    create(&host, "g").await;
    reconciled(&host, before + 1.0).await;
    let events = host.api("events.k8s.io/v1/Event", "default").list(&Default::default()).await.unwrap();
    let told = events.items.iter().any(|event| event.data["reason"] == "PluginRolledBack");
    assert!(told, "{events:?}");
    // The same once more, after one that does not load: it is not tried again.
    configure(&host, json!({"failurez": 0}));
    host.until("echo.wasm", "rejected", |report| report["reason"] == "ConfigRejected").await;
    configure(&host, json!({"traps": true}));
    let report = host.until("echo.wasm", "as before", |report| report["reason"] == "RolledBack").await;
    assert!(
        report["error"].as_str().unwrap().contains("it was rolled back, and is not tried again"),
        "{report}"
    );
    assert_eq!(report["plugin"]["revision"], 3, "{report}");
    // Another one is.
    configure(&host, json!({"failures": 0}));
    host.until("echo.wasm", "another one", |report| report["plugin"]["revision"] == 4).await;
    host.until_running("echo.wasm").await;
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_is_stopped_and_asked_of_the_new_revision() {
    let host = Host::start_with(&[], &["--grace", "0.5"]).await;
    let watches = json!([{"kind": "v1/Service", "byAnnotation": "example.com/config"}]);
    configure(&host, json!({"watches": watches, "takesMs": 60_000}));
    std::fs::copy(crate::support::plugin("echo"), host.file("echo.wasm")).unwrap();
    host.until_running("echo.wasm").await;
    // There is no such object, and the next revision does not watch what names it. A switch requests each object that
    // is there, and not this one: that was stopped is all that can.
    host.create(
        json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}]}, "metadata": {
        "name": "s", "namespace": "default", "annotations": {"example.com/config": "absent"}}}),
    )
    .await;
    let asked = || host.log().matches("asked for default/absent, which is absent").count();
    eventually("it is asked", || async { (asked() == 1).then_some(()) }).await;
    let active = "controller_runtime_active_workers{controller=\"echo\"}";
    assert_eq!(host.metric(active), 1.0);
    configure(&host, json!({"takesMs": 0}));
    host.logged("did not end within the grace; they were stopped").await;
    eventually("it is asked for again", || async { (asked() == 2).then_some(()) }).await;
    reconciled(&host, 1.0).await;
    eventually("none runs any more", || async { (host.metric(active) == 0.0).then_some(()) }).await;
    assert_eq!(asked(), 2, "{}", host.log());
}

#[tokio::test]
async fn a_revision_whose_reconciles_fail_is_rolled_back_to_the_last_that_has_passed() {
    let host = echo(&LONG).await;
    // The second does well, and is on probation yet when the third comes.
    configure(&host, json!({"failures": 0}));
    until_revisions(&host, &[(2, "onProbation"), (1, "retired")]).await;
    configure(&host, json!({"failures": 1_000}));
    host.until("echo.wasm", "rolled back", |report| report["reason"] == "RolledBack").await;
    until_revisions(&host, &[(4, "active"), (3, "rolledBack"), (2, "unproved")]).await;
    let log = host.log();
    assert!(log.contains("rolled back: ") && log.contains("to=1"), "the second had not passed: {log}");
}

#[tokio::test]
async fn one_that_does_as_well_passes_and_its_operator_can_go_back_and_forth() {
    let host = echo(&SOON).await;
    configure(&host, json!({"failures": 0}));
    until_revisions(&host, &[(2, "active"), (1, "retired")]).await;
    host.logged("probation passed").await;

    let (success, text) = command(&host, &["rollback", "echo"]);
    assert!(success && text.contains("revision 2 is replaced by what revision 1 was"), "{text}");
    until_revisions(&host, &[(3, "active"), (2, "rolledBack")]).await;
    let (success, text) = command(&host, &["rollback", "echo", "2"]);
    assert!(success, "{text}");
    until_revisions(&host, &[(4, "active"), (3, "rolledBack")]).await;

    let (success, text) = command(&host, &["rollback", "echo"]);
    assert!(!success && text.contains("each former revision was itself rolled back"), "{text}");
    let (success, text) = command(&host, &["rollback", "echo", "9"]);
    assert!(!success && text.contains("there is no former revision 9; there are 3"), "{text}");
    let (success, text) = command(&host, &["revisions", "nobody"]);
    assert!(!success && text.contains("there is no plugin named \"nobody\"; there are echo"), "{text}");

    let (success, text) = command(&host, &["plugins"]);
    let line = text.lines().find(|line| line.starts_with("echo")).unwrap_or_default();
    assert!(success && line.contains("running") && line.contains("v1/ConfigMap"), "{text}");
}

#[tokio::test]
async fn a_paused_plugin_begins_nothing_and_requests_everything_when_it_goes_on() {
    let host = echo(&LONG).await;
    let (success, text) = command(&host, &["pause", "echo"]);
    assert!(success && text.contains("paused: nothing more begins"), "{text}");
    host.until("echo.wasm", "paused", |report| report["phase"] == "paused").await;
    let before = host.metric(SUCCESSES);
    create(&host, "while-paused").await;
    let objects = "wheelhouse_cache_objects{kind=\"v1/ConfigMap\"";
    eventually("its cache has the object", || async { (host.metric(objects) >= 7.0).then_some(()) }).await;
    // Another revision comes meanwhile: it is loaded, and begins nothing either.
    configure(&host, json!({"failures": 0}));
    host.until("echo.wasm", "revision 2", |report| report["plugin"]["revision"] == 2).await;
    assert_eq!(host.report("echo.wasm").unwrap()["phase"], "paused");
    assert_eq!(host.metric(SUCCESSES), before);
    let (_, text) = command(&host, &["pause", "echo"]);
    assert!(text.contains("it is paused already"), "{text}");
    let (success, text) = command(&host, &["resume", "echo"]);
    assert!(success && text.contains("resumed"), "{text}");
    reconciled(&host, before + 7.0).await;
    host.until_running("echo.wasm").await;
}

#[tokio::test]
async fn a_host_that_is_not_there_is_said_to_be_not_there() {
    let output = wheelhouse().args(["plugins", "--admin-addr", "127.0.0.1:1"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("no host answers on 127.0.0.1:1"), "{text}");
}
