//! Components of `ClusterPlugin` resources that are in a registry, or on a web server.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::docker_registry::{PASSWORD, Registry, USER};
use crate::plugin_resources::*;
use crate::support::{Host, eventually, wheelhouse, with};

/// Pushes bytes under a reference, with these credentials, and returns it pinned.
fn push_with(docker: Option<&Path>, reference: &str, bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("echo.wasm");
    std::fs::write(&file, bytes).unwrap();
    let mut command = wheelhouse();
    command.env("DOCKER_CONFIG", docker.unwrap_or(folder.path()));
    let output = command.args(["push", reference, file.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (pinned, _) = text.split_once(", component ").unwrap();
    pinned.strip_prefix("pushed ").unwrap().to_owned()
}

pub(crate) fn push(reference: &str, bytes: &[u8]) -> String {
    push_with(None, reference, bytes)
}

/// A host that asks again each second, with nobody's credentials, and an empty folder.
async fn host() -> Host {
    let folder = tempfile::tempdir().unwrap();
    let mut command = wheelhouse();
    command.args(["dev", "--admin-addr", "127.0.0.1:0", "--grace", "3", "--pull-interval", "1"]);
    command.env("DOCKER_CONFIG", folder.path());
    Host::of_command(&mut command, folder).await
}

/// A spec of an echo that is at a place.
fn at(place: Value) -> Value {
    json!({"component": place, "config": echo_of("default")})
}

async fn until_revision(host: &Host, name: &str, revision: i64) -> DynamicObject {
    eventually(&format!("revision {revision} of {name}"), || async {
        let resource = get(host, "", name).await;
        (resource.data["status"]["revision"] == revision).then_some(resource)
    })
    .await
}

#[tokio::test]
async fn a_component_is_fetched_from_a_registry_and_its_digests_are_published() {
    let (registry, host) = (Registry::start(), host().await);
    let reference = registry.at("team/echo:1.0");
    let pinned = push(&reference, &wasm("echo"));
    order(&host, "", "echo", at(json!({"oci": reference}))).await;
    let ready = until_ready(&host, "", "echo").await;
    assert_eq!(ready.data["status"]["artifact"], json!(pinned));
    let digest = ready.data["status"]["digest"].clone();

    // Pinned to just that, which is the same component: what runs runs on.
    let component = json!({"oci": pinned, "digest": digest, "pullPolicy": "Always"});
    change(&host, "", "echo", json!({"component": component})).await;
    let ready = until_ready(&host, "", "echo").await;
    assert_eq!(
        (&ready.data["status"]["revision"], &ready.data["status"]["artifact"]),
        (&json!(1), &json!(pinned))
    );

    // Another than the digest is for is not loaded, and not even fetched.
    let (other, other_component) = (registry.at("team/echo:2.0"), other(&wasm("echo")));
    push(&other, &other_component);
    change(&host, "", "echo", json!({"component": {"oci": other}})).await;
    let mismatch = until(&host, "", "echo", "Fetched", "False", "DigestMismatch").await;
    assert!(message(&mismatch, "Fetched").contains(digest.as_str().unwrap()), "{mismatch:?}");
    assert!(message(&mismatch, "Ready").contains("revision 1 runs on"), "{mismatch:?}");
}

#[tokio::test]
async fn a_tag_that_moves_is_followed_where_the_policy_says_so() {
    let (registry, host) = (Registry::start(), host().await);
    let reference = registry.at("echo:1");
    push(&reference, &wasm("echo"));
    let named = |name: &str, policy: &str| {
        let mut of = at(json!({"oci": reference, "pullPolicy": policy}));
        (of["config"]["name"], of["allowSharedKind"]) = (json!(name), json!(true));
        of
    };
    order(&host, "", "follows", named("follows", "Always")).await;
    order(&host, "", "stays", named("stays", "IfNotPresent")).await;
    until_ready(&host, "", "stays").await;
    let first = until_ready(&host, "", "follows").await;
    let pinned = push(&reference, &other(&wasm("echo")));
    let second = until_revision(&host, "follows", 2).await;
    assert_ne!(first.data["status"]["digest"], second.data["status"]["digest"]);
    assert_eq!(second.data["status"]["artifact"], json!(pinned));
    let stays = get(&host, "", "stays").await;
    assert_eq!(stays.data["status"]["digest"], first.data["status"]["digest"]);

    // A tag that leads to something else, or a registry that is gone, takes nothing with it.
    let empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    registry.put_blob("echo", empty, b"{}");
    let part = |of: &str| json!({"mediaType": format!("application/vnd.oci.image.{of}"), "digest": empty, "size": 2});
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let image = json!({
        "schemaVersion": 2, "mediaType": media_type, "config": part("config.v1+json"),
        "layers": [part("layer.v1.tar")],
    });
    assert_eq!(registry.put_manifest("echo:1", media_type, &image.to_string()), 201);
    still_runs(&host, "NotAComponent").await;
    assert_eq!(push(&reference, &other(&wasm("echo"))), pinned);
    let back = until(&host, "", "follows", "Fetched", "True", "Done").await;
    assert_eq!(back.data["status"]["revision"], 2);
    drop(registry);
    still_runs(&host, "Unreachable").await;
}

/// What was fetched before counts, and it is said why nothing newer does.
async fn still_runs(host: &Host, why: &str) {
    let stale = until(host, "", "follows", "Fetched", "True", why).await;
    assert!(message(&stale, "Fetched").contains("what was fetched before still counts: "), "{stale:?}");
    until_event(host, "PluginStale", "ClusterPlugin/follows: what was fetched before still counts").await;
    until_ready(host, "", "follows").await;
    assert_eq!(stale.data["status"]["revision"], json!(2));
}

#[tokio::test]
async fn what_was_fetched_last_is_run_after_a_restart_while_the_registry_is_down() {
    let registry = Registry::start();
    let reference = registry.at("echo:latest");
    let pinned = push(&reference, &wasm("echo"));
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("cache");
    let flags = ["--leader-election=false", "--cache-dir", cache.to_str().unwrap()];
    let mut first = Host::run(with(&[]), &flags).await;
    succeeds(&first, "apply --server-side -f -", &crds());
    let mut of = at(json!({"oci": reference}));
    let rule =
        json!({"verbs": ["get", "list", "watch"], "kinds": ["v1/ConfigMap"], "namespaces": ["default"]});
    of["grant"] = json!({"rules": [rule]});
    order(&first, "", "echo", of.clone()).await;
    until_ready(&first, "", "echo").await;
    first.signal("-TERM");
    assert!(first.exit().await.success());
    drop(registry);

    let kubeconfig = first.file(".kubeconfig");
    let again = Host::join(first.server(), &kubeconfig, with(&[]), &flags).await;
    let report = again.until_running("ClusterPlugin/echo").await;
    assert_eq!(report["plugin"]["name"], "echo");
    again.logged("loaded from the compile cache").await;
    let resource = get(&again, "", "echo").await;
    assert_eq!(resource.data["status"]["artifact"], json!(pinned));

    // It is kept for that resource alone: another one by that name, or beside it, has to be let in by the registry.
    order(&again, "", "other", of.clone()).await;
    until(&again, "", "other", "Fetched", "False", "Unreachable").await;
    delete(&again, CLUSTER, "", "echo").await;
    order(&again, "", "echo", of).await;
    until(&again, "", "echo", "Fetched", "False", "Unreachable").await;
}

/// A web server that answers every request with this, and then with nothing more.
fn web(head: &'static str, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(stream, "HTTP/1.1 200 OK\r\n{head}\r\n\r\n");
            let _ = stream.write_all(&body);
            open.push(stream);
        }
    });
    format!("http://{address}/echo.wasm?token=hunter2")
}

#[tokio::test]
async fn what_cannot_be_fetched_is_a_condition_with_a_reason() {
    let (registry, host) = (Registry::start(), host().await);
    // An image of containers.
    let empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    registry.put_blob("image", empty, b"{}");
    let of = |media_type: &str| json!({"mediaType": media_type, "digest": empty, "size": 2});
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type,
        "config": of("application/vnd.oci.image.config.v1+json"),
        "layers": [of("application/vnd.oci.image.layer.v1.tar+gzip")],
    });
    assert_eq!(registry.put_manifest("image:1", media_type, &manifest.to_string()), 201);
    let whole = format!("content-length: {}", wasm("echo").len());
    let whole: &'static str = whole.leak();
    // Which takes its time.
    let stalls = json!({"url": web(whole, wasm("echo")[..1000].to_vec())});
    order(&host, "", "stalls", at(stalls)).await;
    for (name, place, reason, part) in [
        ("none", json!({"oci": registry.at("echo:none")}), "ArtifactNotFound", "echo:none: not found"),
        ("down", json!({"oci": "localhost:1/echo:1"}), "Unreachable", "cannot be reached"),
        ("image", json!({"oci": registry.at("image:1")}), "NotAComponent", "tar+gzip"),
        (
            "huge",
            json!({"url": web("content-length: 2147483648", Vec::new())}),
            "TooLarge",
            "2147483648 bytes",
        ),
        ("html", json!({"url": web("content-length: 5", b"<htm>".to_vec())}), "NotAComponent", "echo.wasm"),
        (
            "secret",
            json!({"oci": registry.at("echo:1"), "pullSecrets": [{"namespace": "default", "name": "none"}]}),
            "SecretNotFound",
            "there is no Secret default/none",
        ),
    ] {
        order(&host, "", name, at(place)).await;
        let failed = until(&host, "", name, "Fetched", "False", reason).await;
        let message = message(&failed, "Fetched");
        assert!(message.contains(part), "{name}: {message}");
        assert_eq!(failed.data["status"]["phase"], "waiting", "{name}");
    }
    // It is tried again by itself.
    push(&registry.at("echo:none"), &wasm("echo"));
    until_ready(&host, "", "none").await;

    let failed = until(&host, "", "stalls", "Fetched", "False", "TimedOut").await;
    assert!(message(&failed, "Fetched").contains("nothing moved for 30s"), "{failed:?}");
    assert!(!host.log().contains("hunter2"), "a URL's query is nobody's business: {}", host.log());
    let events = host.api("events.k8s.io/v1/Event", "default").list(&Default::default()).await.unwrap();
    let notes: Vec<_> = events.items.iter().filter_map(|event| event.data["note"].as_str()).collect();
    for part in ["echo:none: not found", "2147483648 bytes", "nothing moved"] {
        assert!(notes.iter().any(|note| note.contains(part)), "{part}: {notes:?}");
    }
}

#[tokio::test]
async fn pull_secrets_are_those_of_kubernetes() {
    let (registry, host) = (Registry::start_with_users(), host().await);
    let reference = registry.at("echo:1");
    let docker = tempfile::tempdir().unwrap();
    let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let config = json!({"auths": {&registry.host: {"auth": auth}}}).to_string();
    std::fs::write(docker.path().join("config.json"), &config).unwrap();
    push_with(Some(docker.path()), &reference, &wasm("echo"));
    order(&host, "", "echo", at(json!({"oci": reference}))).await;
    let refused = until(&host, "", "echo", "Fetched", "False", "Unauthorized").await;
    assert!(message(&refused, "Fetched").contains("there are no credentials for it"), "{refused:?}");

    let secret = |name: &str, data: Value| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": name, "namespace": "default"}, "data": data,
        })
    };
    host.create(secret("broken", json!({".dockerconfigjson": STANDARD.encode("{\"auths\": \"hunter2\"}")})))
        .await;
    host.create(secret("good", json!({".dockerconfigjson": STANDARD.encode(&config)}))).await;
    let with_secret =
        |name: &str| json!({"component": {"pullSecrets": [{"namespace": "default", "name": name}]}});
    change(&host, "", "echo", with_secret("broken")).await;
    let invalid = until(&host, "", "echo", "Fetched", "False", "CredentialsInvalid").await;
    let told = message(&invalid, "Fetched");
    assert!(told.contains("the pull secret default/broken") && !told.contains("hunter2"), "{told}");
    change(&host, "", "echo", with_secret("good")).await;
    until_ready(&host, "", "echo").await;
    let told = format!("{}{}{}", host.log(), host.admin("/plugins").1, host.admin("/metrics").1);
    assert!(!told.contains(PASSWORD) && !told.contains(&auth), "{told}");
}

#[tokio::test]
async fn this_users_credentials_are_for_plugins_of_the_whole_cluster() {
    let registry = Registry::start_with_users();
    let reference = registry.at("echo:1");
    let folder = tempfile::tempdir().unwrap();
    let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let config = json!({"auths": {&registry.host: {"auth": auth}}}).to_string();
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    push_with(Some(folder.path()), &reference, &wasm("echo"));
    let mut command = wheelhouse();
    command.args(["dev", "--admin-addr", "127.0.0.1:0", "--grace", "3"]);
    command.env("DOCKER_CONFIG", folder.path());
    let host = Host::of_command(&mut command, folder).await;
    order(&host, "", "echo", at(json!({"oci": reference}))).await;
    until_ready(&host, "", "echo").await;
}
