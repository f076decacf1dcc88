//! `wheelhouse push` and `wheelhouse pull`, against a registry.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use serde_json::Value;

use crate::docker_registry::{PASSWORD, Registry, USER};
use crate::support::{plugin, wheelhouse};

/// The command in a folder of its own, with nobody's credentials.
fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = wheelhouse();
    command.current_dir(folder).env("DOCKER_CONFIG", folder.join("docker")).args(args);
    command
}

fn run(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

/// What it prints.
fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The last line of standard error of a command that fails.
fn error(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    text.lines().last().unwrap().to_owned()
}

fn hello() -> String {
    plugin("hello").to_str().unwrap().to_owned()
}

/// What inspect says that a component's digest is.
fn digest(folder: &Path, file: &str) -> String {
    let json: Value = serde_json::from_str(&text(&run(folder, &["inspect", file, "-o", "json"]))).unwrap();
    json["digest"].as_str().unwrap().to_owned()
}

#[test]
fn a_plugin_that_is_pushed_is_pulled_again() {
    let (registry, folder) = (Registry::start(), tempfile::tempdir().unwrap());
    let (folder, hello, reference) = (folder.path(), hello(), registry.at("team/greeter:1.0"));
    let digest = digest(folder, &hello);
    let output = run(folder, &["push", &reference, &hello]);
    let pushed = text(&output);
    let (pinned, component) = pushed.trim_end().split_once(", component ").unwrap();
    assert!(pinned.starts_with(&format!("pushed {reference}@sha256:")), "{pushed}");
    assert_eq!(component, digest);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("is a plugin for API version 0.1.0") && !said.contains('\r'), "{said}");

    let pulled = text(&run(folder, &["pull", &reference]));
    assert_eq!(pulled, pushed.replace("pushed", "pulled"));
    let content = fs::read(&hello).unwrap();
    assert!(fs::read(folder.join("greeter.wasm")).unwrap() == content);

    // By its digest, into a folder, for programs.
    let pinned = pinned.strip_prefix("pushed ").unwrap().replace(":1.0@", "@");
    fs::create_dir(folder.join("plugins")).unwrap();
    let pull = ["pull", &format!("oci://{pinned}"), "-o", "plugins", "--format", "json"];
    let json: Value = serde_json::from_str(&text(&run(folder, &pull))).unwrap();
    assert_eq!((&json["digest"], &json["size"]), (&digest.into(), &content.len().into()));
    assert_eq!((&json["reference"], &json["file"]), (&pinned.into(), &"plugins/greeter.wasm".into()));
    assert!(fs::read(folder.join("plugins/greeter.wasm")).unwrap() == content);

    // No proxy leads to this machine itself.
    let mut pull = command(folder, &["pull", &reference, "-o", "-"]);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        pull.env(name, "http://127.0.0.1:1");
    }
    let output = pull.output().unwrap();
    assert!(output.status.success() && output.stdout == content);
    assert!(String::from_utf8(output.stderr).unwrap().contains("pulled "));

    // Pushed again it is the same.
    let json = text(&run(folder, &["push", &reference, &hello, "--format", "json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(pushed.contains(json["reference"].as_str().unwrap()), "{json}");
    assert_eq!(json["apiVersion"], "0.1.0");
}

#[test]
fn a_file_that_is_there_is_replaced_only_by_force() {
    let (registry, folder) = (Registry::start(), tempfile::tempdir().unwrap());
    let (folder, hello, reference) = (folder.path(), hello(), registry.at("hello:1"));
    text(&run(folder, &["push", &reference, &hello]));
    let file = folder.join("hello.wasm");
    fs::write(&file, "mine").unwrap();
    let line = error(&run(folder, &["pull", &reference]));
    assert!(line.contains("hello.wasm") && line.contains("--force"), "{line}");
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    text(&run(folder, &["pull", &reference, "--force"]));
    assert!(fs::read(&file).unwrap() == fs::read(&hello).unwrap());
    // One that cannot be fetched leaves it alone, and nothing behind.
    let line = error(&run(folder, &["pull", &registry.at("hello:2"), "-o", "hello.wasm", "--force"]));
    assert!(line.contains("hello:2") && line.contains("not found"), "{line}");
    let line = error(&run(folder, &["pull", &reference, "-o", "no/such/folder.wasm"]));
    assert!(line.contains("no/such/folder.wasm") && line.contains("cannot be written"), "{line}");
    let left: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["hello.wasm"]);
}

#[test]
fn what_is_no_plugin_is_not_pushed() {
    let (registry, folder) = (Registry::start(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    fs::write(folder.join("text.wasm"), "text").unwrap();
    fs::write(folder.join("other.wasm"), wat::parse_str("(component)").unwrap()).unwrap();
    for (file, why) in [
        ("text.wasm", "not a WebAssembly component"),
        ("other.wasm", "no plugin"),
        ("none.wasm", "cannot be read"),
    ] {
        let line = error(&run(folder, &["push", &registry.at("a:1"), file]));
        assert!(line.contains(file) && line.contains(why), "{line}");
    }
    assert!(error(&run(folder, &["pull", &registry.at("a:1")])).contains("not found"));
}

#[test]
fn a_reference_that_is_none_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    for (reference, why) in [
        ("hello:1.0", "no registry"),
        ("ghcr.io/Hello", "upper case"),
        ("me:s3cret@ghcr.io/hello", "no user"),
        ("http://example.com/hello.wasm", "https://"),
        ("a\nb", "no registry"),
    ] {
        let output = run(folder.path(), &["pull", reference]);
        assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1);
        let line = error(&output);
        assert!(line.contains(why) && !line.contains("s3cret"), "{line}");
    }
}

#[test]
fn credentials_are_those_of_docker_or_of_its_helper() {
    let (registry, folder) = (Registry::start_with_users(), tempfile::tempdir().unwrap());
    let (folder, hello, reference) = (folder.path(), hello(), registry.at("hello:1"));
    let line = error(&run(folder, &["push", &reference, &hello]));
    assert!(line.contains(&reference) && line.contains("there are no credentials for it"), "{line}");

    fs::create_dir(folder.join("docker")).unwrap();
    let config = |config: Value| fs::write(folder.join("docker/config.json"), config.to_string()).unwrap();
    let auth = |password| base64::prelude::BASE64_STANDARD.encode(format!("{USER}:{password}"));
    config(serde_json::json!({"auths": {&registry.host: {"auth": auth(PASSWORD)}}}));
    text(&run(folder, &["push", &reference, &hello]));
    config(serde_json::json!({"auths": {&registry.host: {"auth": auth("wr0ng")}}}));
    let line = error(&run(folder, &["pull", &reference]));
    assert!(line.contains("with the credentials") && !line.contains("wr0ng"), "{line}");

    config(serde_json::json!({"credsStore": "test"}));
    let line = error(&run(folder, &["pull", &reference]));
    assert!(line.contains("docker-credential-test") && line.contains("No such file"), "{line}");
    let helper = folder.join("docker-credential-test");
    let answer = serde_json::json!({"ServerURL": "", "Username": USER, "Secret": PASSWORD});
    fs::write(&helper, format!("#!/bin/sh\ngrep -q '^{}$' && echo '{answer}'\n", registry.host)).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut pull = command(folder, &["pull", &reference]);
    text(&pull.env("PATH", format!("{}:{path}", folder.display())).output().unwrap());

    fs::write(folder.join("docker/config.json"), "{\"auths\": \"s3cret\"}").unwrap();
    let line = error(&run(folder, &["pull", &reference, "--force"]));
    assert!(
        line.contains("docker/config.json") && line.contains("line 1") && !line.contains("s3cret"),
        "{line}"
    );
}
