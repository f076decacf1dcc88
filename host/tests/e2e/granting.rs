//! What an operator grants, and what becomes of a plugin that wants more.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Host, eventually, grant_of, plugin, with};

const GREETING: &str = "examples.wheelhouse.dev/greeting";

/// Replaces a file in one step.
fn put(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// hello's plugin folder, and a file for its grant beside it.
fn hello() -> (tempfile::TempDir, tempfile::TempDir, PathBuf) {
    let (plugins, grants) = (with(&["hello"]), tempfile::tempdir().unwrap());
    let file = grants.path().join("hello.yaml");
    (plugins, grants, file)
}

fn friend(name: &str, namespace: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": {"hello": "world"}}})
}

async fn greeted(host: &Host, name: &str, namespace: &str) -> bool {
    let map = host.api("v1/ConfigMap", namespace).get(name).await.unwrap();
    map.metadata.annotations.is_some_and(|annotations| annotations.contains_key(GREETING))
}

async fn until_greeted(host: &Host, name: &str, namespace: &str) {
    eventually(&format!("{name} is greeted"), || async {
        greeted(host, name, namespace).await.then_some(())
    })
    .await;
}

async fn until_waiting(host: &Host, why: &str) -> String {
    let waits = |report: &Value| {
        report["phase"] == "waiting" && report["error"].as_str().is_some_and(|error| error.contains(why))
    };
    let report = host.until("hello.wasm", why, waits).await;
    assert!(report.get("plugin").is_none(), "{report}");
    report["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn run_grants_nothing_by_itself_and_says_how_to() {
    let host = Host::run(with(&["hello"]), &[]).await;
    let error = until_waiting(&host, "not granted").await;
    for part in [
        "plugin hello",
        "{verbs: [get, list, watch], kinds: [v1/ConfigMap], namespaces: [\"*\"]}",
        "hello.wasm --grant > grants/hello.yaml",
        "--grants",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(host.log().contains("no --grants"));
    eventually("it is ready, as far as it is up to the host", || async {
        host.admin("/readyz").0.contains("200").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_grant_counts_while_the_host_runs_when_it_is_given_cut_broken_and_given_again() {
    let (plugins, grants, file) = hello();
    let flags = ["--grants", grants.path().to_str().unwrap()];
    let host = Host::run(plugins, &flags).await;
    until_waiting(&host, "there is no grant for hello.wasm").await;
    host.create(friend("one", "default")).await;

    let whole = grant_of(&plugin("hello"));
    put(&file, &whole);
    host.until_running("hello.wasm").await;
    until_greeted(&host, "one", "default").await;

    // What it may not do any more is denied to what runs, from the next call on.
    let read_only =
        "plugin: hello\nrules:\n- {verbs: [get, list, watch], kinds: [v1/ConfigMap], namespaces: ['*']}\n";
    put(&file, read_only);
    host.logged("its grant has changed").await;
    host.create(friend("two", "default")).await;
    let denials = "wheelhouse_gate_denials_total{controller=\"hello\",verb=\"patch\",kind=\"v1/ConfigMap\"}";
    eventually("a denial", || async { (host.metric(denials) >= 1.0).then_some(()) }).await;
    host.logged("the operator can add this to the rules of its grant: {verbs: [patch], kinds: [v1/ConfigMap], namespaces: [default]}").await;
    assert!(!greeted(&host, "two", "default").await);
    assert_eq!(host.report("hello.wasm").unwrap()["plugin"]["revision"], 1);

    // A mistake changes nothing, and is told.
    put(&file, "plugin: hello\nrulez: []\n");
    host.logged("the grants cannot be used").await;
    assert!(host.log().contains("unknown field `rulez`"), "{}", host.log());
    host.until_running("hello.wasm").await;

    // Without what its sources need it cannot run.
    put(
        &file,
        "plugin: hello\nrules:\n- {verbs: [get, list, patch], kinds: [v1/ConfigMap], namespaces: ['*']}\n",
    );
    let error = until_waiting(&host, "not granted").await;
    assert!(error.contains("{verbs: [watch], kinds: [v1/ConfigMap]"), "{error}");

    put(&file, &whole);
    host.until_running("hello.wasm").await;
    until_greeted(&host, "two", "default").await;
}

#[tokio::test]
async fn a_grant_is_cut_at_an_objects_name_and_namespace() {
    let (plugins, _grants, file) = hello();
    let rules = "plugin: hello\nrules:\n\
        - {verbs: [get, list, watch], kinds: ['*'], namespaces: ['*']}\n\
        - {verbs: ['*'], kinds: [v1/*], namespaces: [default], names: [one]}\n";
    std::fs::write(&file, rules).unwrap();
    let host = Host::start_in(plugins, &["--grants", file.to_str().unwrap()]).await;
    host.until_running("hello.wasm").await;
    assert!(host.log().contains("it declares what it is not granted, or only in part"), "{}", host.log());
    for (name, namespace) in [("two", "default"), ("one", "kube-system"), ("one", "default")] {
        host.create(friend(name, namespace)).await;
    }
    until_greeted(&host, "one", "default").await;
    let denials = "wheelhouse_gate_denials_total{controller=\"hello\"";
    eventually("two denials", || async { (host.metric(denials) >= 2.0).then_some(()) }).await;
    assert!(!greeted(&host, "two", "default").await && !greeted(&host, "one", "kube-system").await);
}

#[tokio::test]
async fn hostile_a_file_gets_nothing_by_the_name_of_another() {
    let (plugins, _grants, file) = hello();
    let whole = grant_of(&plugin("hello"));
    // In another file than the one that the grant is for.
    let elsewhere = whole.replace("plugin: hello\n", "plugin: hello\ncomponent: other.wasm\n");
    std::fs::write(&file, elsewhere).unwrap();
    let host = Host::start_in(plugins, &["--grants", file.to_str().unwrap()]).await;
    until_waiting(&host, "which is the plugin that other.wasm has the grant for").await;
    // In the file of a grant for a plugin of another name.
    put(&file, &whole.replace("plugin: hello\n", "plugin: other\ncomponent: hello.wasm\n"));
    until_waiting(&host, "its grant is for a plugin named other, and this one calls itself hello").await;
    put(&file, &whole);
    host.until_running("hello.wasm").await;
    // And what runs stops as soon as the name is another's.
    put(&file, &whole.replace("plugin: hello\n", "plugin: other\ncomponent: hello.wasm\n"));
    until_waiting(&host, "calls itself hello").await;
}

#[tokio::test]
async fn hostile_a_grant_for_a_digest_is_for_no_other_content() {
    let (plugins, _grants, file) = hello();
    let whole = grant_of(&plugin("hello"));
    let pinned = whole.replace("# digest: ", "digest: ");
    assert_ne!(whole, pinned);
    let digest = pinned.lines().find(|line| line.starts_with("digest: ")).unwrap();
    let other = pinned.replace(digest, &format!("digest: sha256:{}", "0".repeat(64)));
    std::fs::write(&file, &other).unwrap();
    let host = Host::run(plugins, &["--grants", file.to_str().unwrap()]).await;
    until_waiting(&host, "and this one is sha256:").await;
    put(&file, &pinned);
    host.until_running("hello.wasm").await;
    put(&file, &other);
    until_waiting(&host, "and this one is sha256:").await;
}

#[tokio::test]
async fn limits_of_a_grant_replace_the_hosts_while_it_runs() {
    let (plugins, _grants, file) = hello();
    let whole = grant_of(&plugin("hello"));
    std::fs::write(&file, &whole).unwrap();
    let host = Host::start_in(plugins, &["--grants", file.to_str().unwrap()]).await;
    host.until_running("hello.wasm").await;
    put(&file, &format!("{whole}limits: {{memory: 32Mi}}\n"));
    host.until("hello.wasm", "a revision with them", |report| report["plugin"]["revision"] == 2).await;
    host.create(friend("one", "default")).await;
    until_greeted(&host, "one", "default").await;
}

#[tokio::test]
async fn a_folder_of_a_mounted_config_map_is_followed_through_its_links() {
    let (plugins, grants, file) = hello();
    let version = |name: &str, text: &str| {
        let folder = grants.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("hello.yaml"), text).unwrap();
    };
    let switch_to = |name: &str| {
        let (new, data) = (grants.path().join("..data_tmp"), grants.path().join("..data"));
        std::os::unix::fs::symlink(name, &new).unwrap();
        std::fs::rename(new, data).unwrap();
    };
    version("..1", "plugin: hello\n");
    switch_to("..1");
    std::os::unix::fs::symlink("..data/hello.yaml", &file).unwrap();
    let host = Host::run(plugins, &["--grants", grants.path().to_str().unwrap()]).await;
    until_waiting(&host, "not granted").await;
    version("..2", &grant_of(&plugin("hello")));
    switch_to("..2");
    host.until_running("hello.wasm").await;
}

#[tokio::test]
async fn the_grant_that_inspect_prints_satisfies_each_example() {
    let names = ["hello", "hostile", "node-census", "service-notes", "webapp"];
    let grants = tempfile::tempdir().unwrap();
    for name in names {
        let file = grants.path().join(name).with_extension("yaml");
        // Some reconcile the same kind.
        std::fs::write(file, grant_of(&plugin(name)) + "allowSharedKind: true\n").unwrap();
    }
    let host = Host::run(with(&names), &["--grants", grants.path().to_str().unwrap()]).await;
    host.install_crd("webapp").await;
    for name in names {
        host.until_running(&format!("/{name}.wasm")).await;
    }
    assert!(!host.log().contains("is not granted"), "{}", host.log());
}

#[tokio::test]
async fn hostile_development_grants_no_secrets_and_says_so() {
    let host = Host::start(&[]).await;
    std::fs::write(host.file("hostile.json"), r#"{"kind": "v1/Secret"}"#).unwrap();
    std::fs::copy(plugin("hostile"), host.file("hostile.wasm")).unwrap();
    let report = host.until("hostile.wasm", "waiting", |report| report["phase"] == "waiting").await;
    let error = report["error"].as_str().unwrap();
    assert!(
        error.contains("{verbs: [get, list, watch], kinds: [v1/Secret], namespaces: [default]}"),
        "{error}"
    );
    std::fs::write(host.file("hostile.json"), "{}").unwrap();
    host.until_running("hostile.wasm").await;
    host.logged("it is granted what it declares").await;
}

#[tokio::test]
async fn hostile_a_plugin_is_not_shown_another_namespace_that_a_neighbour_watches() {
    let host = Host::start_with(&["webapp"], &["--log", "info,wheelhouse_controller=debug"]).await;
    host.install_crd("webapp").await;
    host.until_running("webapp.wasm").await;
    // It shares the watch of all ConfigMaps, and has declared and is granted those in default.
    std::fs::copy(plugin("hostile"), host.file("hostile.wasm")).unwrap();
    host.until_running("hostile.wasm").await;
    for namespace in ["kube-system", "default"] {
        host.create(json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "index-panic", "namespace": namespace}}))
            .await;
    }
    host.logged("index own failed, the object is left out").await;
    let reconciled =
        || host.log().matches("reconciled plugin=\"hostile\" object=default/index-panic").count();
    eventually("it is reconciled", || async { (reconciled() > 0).then_some(()) }).await;
    let before = reconciled();
    // When map() fails, every object is requested: every one of its own.
    host.create(
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "panic", "namespace": "default"},
        "spec": {"ports": [{"port": 80}]}}),
    )
    .await;
    host.logged("map services failed").await;
    eventually("it is reconciled again", || async { (reconciled() > before).then_some(()) }).await;
    assert!(!host.log().contains("object=kube-system/"), "{}", host.log());
}

#[tokio::test]
async fn a_grant_is_cut_for_a_plugin_whose_old_revision_is_still_ending() {
    let (plugins, grants) = (with(&["hostile"]), tempfile::tempdir().unwrap());
    let file = grants.path().join("hostile.yaml");
    let whole = grant_of(&plugin("hostile"));
    std::fs::write(&file, &whole).unwrap();
    let flags = ["--grants", file.to_str().unwrap(), "--grace", "25"];
    let host = Host::start_in(plugins, &flags).await;
    host.until_running("hostile.wasm").await;
    host.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sleep", "namespace": "default"}})).await;
    let active = "controller_runtime_active_workers{controller=\"hostile\"}";
    eventually("it sleeps", || async { (host.metric(active) == 1.0).then_some(()) }).await;
    std::fs::write(host.file("hostile.json"), r#"{"concurrency": 2}"#).unwrap();
    host.until("hostile.wasm", "revision 2", |report| report["plugin"]["revision"] == 2).await;
    let changes = || host.log().matches("its grant has changed").count();
    let before = changes();
    put(&file, &whole.replace("create", "get"));
    eventually("the cut", || async { (changes() > before).then_some(()) }).await;
    assert!(!host.log().contains("replaced in"), "the old revision has not ended yet");
}
