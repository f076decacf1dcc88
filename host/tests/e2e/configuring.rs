//! Flags, environment, file and defaults, as an operator uses them.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{Host, wheelhouse, with};

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn config(args: &[&str]) -> Command {
    let mut command = wheelhouse();
    command.arg("config").args(args).env_remove("WHEELHOUSE_CACHE_DIR");
    command
}

fn file(folder: &Path, text: &str) -> String {
    let path = folder.join("wheelhouse.yaml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_flag_counts_before_the_environment_that_before_the_file_and_that_before_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(
        folder.path(),
        "pluginDir: from-file\nadminAddr: 127.0.0.1:1\ngrace: 1\ncontext: c\nkubeconfigOut: dev.kubeconfig\n",
    );
    let shown = config(&["run", "-o", "json", "--config", &path, "--grace", "3"])
        .env("WHEELHOUSE_GRACE", "2")
        .env("WHEELHOUSE_ADMIN_ADDR", "127.0.0.1:2")
        .output()
        .unwrap();
    let shown: Value = serde_json::from_str(&text(&shown)).unwrap();
    let from_file = format!("file {path}");
    for (key, value, from) in [
        ("grace", json!(3), "flag"),
        ("adminAddr", json!("127.0.0.1:2"), "environment WHEELHOUSE_ADMIN_ADDR"),
        ("pluginDir", json!("from-file"), &*from_file),
        ("context", json!("c"), &*from_file),
        ("cacheSize", json!("2Gi"), "default"),
        ("grants", Value::Null, "not set"),
    ] {
        assert_eq!(shown[key], json!({"value": value, "from": from}), "{key}");
    }
    assert!(shown.get("kubeconfigOut").is_none(), "that is `dev`'s");
    assert!(shown.get("config").is_none());
    // The file may be named by the environment as well.
    let shown = config(&["dev"]).env("WHEELHOUSE_CONFIG", &path).output().unwrap();
    assert!(text(&shown).contains(&format!("\nkubeconfigOut: dev.kubeconfig # {from_file}\n")), "{shown:?}");
}

#[test]
fn the_environment_says_yes_and_no_to_every_flag_in_the_same_words() {
    let shown: Value =
        serde_json::from_str(&text(&config(&["dev", "-o", "json"]).output().unwrap())).unwrap();
    // It has no value of its own.
    let mut flags = vec!["leaderElection"];
    flags.extend(
        shown.as_object().unwrap().iter().filter(|(_, at)| at["value"].is_boolean()).map(|(k, _)| &**k),
    );
    assert!(flags.len() >= 3, "{flags:?}");
    for flag in flags {
        let snake = |c: char| if c.is_uppercase() { format!("_{c}") } else { c.to_uppercase().to_string() };
        let name = format!("WHEELHOUSE_{}", flag.chars().map(snake).collect::<String>());
        for word in ["1", "true", "yes", "on", "0", "false", "no", "off"] {
            let shown = text(&config(&["dev"]).env(&name, word).output().unwrap());
            assert!(shown.contains(&format!(" # environment {name}\n")), "{word}: {shown}");
        }
        let refused = config(&["dev"]).env(&name, "perhaps").output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    }
}

#[test]
fn what_is_shown_can_be_fed_back_as_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let odd = "--log=info,plugin=debug";
    let first =
        config(&["dev", "--explain", "--plugin-dir", "a: b #c", odd, "--workloads"]).output().unwrap();
    let first = text(&first);
    assert!(first.contains("# How long running reconciles may take to end"), "{first}");
    let path = file(folder.path(), &first);
    let second = text(&config(&["dev", "--config", &path]).output().unwrap());
    let values = |shown: &str| -> Vec<String> {
        let lines = shown.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| line.rsplit_once(" # ").unwrap().0.to_owned()).collect()
    };
    assert_eq!(values(&first), values(&second));
    assert!(values(&second).contains(&"pluginDir: \"a: b #c\"".to_owned()), "{second}");
    assert!(values(&second).contains(&"workloads: true".to_owned()), "{second}");
    assert!(second.contains(&format!("grace: 10 # file {path}")), "{second}");
}

#[test]
fn a_mistake_in_a_file_ends_the_command_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "pluginDir: .\nplugin-dir: .\n");
    let output = wheelhouse().args(["dev", "--config", &path]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let line = String::from_utf8(output.stderr).unwrap();
    let expected = format!("wheelhouse: --config {path}:2: unknown key \"plugin-dir\"; is it `pluginDir`?\n");
    assert_eq!(line, expected);
    let output = wheelhouse().args(["dev", "--config", "/no/such.yaml"]).output().unwrap();
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(line.contains("/no/such.yaml: No such file"), "{line}");
}

#[tokio::test]
async fn a_host_takes_what_it_needs_from_its_file() {
    let plugins = with(&["hello"]);
    let folder = tempfile::tempdir().unwrap();
    let path =
        file(folder.path(), &format!("adminAddr: 127.0.0.1:0\npluginDir: {}\n", plugins.path().display()));
    let host = Host::of_command(wheelhouse().args(["dev", "--config", &path]), plugins).await;
    host.until_running("hello.wasm").await;
    host.logged("the configuration is read from here").await;
}

#[test]
fn every_key_is_in_the_documentation() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let shown: Value =
        serde_json::from_str(&text(&config(&["dev", "-o", "json"]).output().unwrap())).unwrap();
    let run: Value = serde_json::from_str(&text(&config(&["-o", "json"]).output().unwrap())).unwrap();
    // client-go's.
    let lease = ["leaseDuration", "renewDeadline", "retryPeriod"].map(|key| run[key]["value"].to_string());
    assert_eq!(lease, ["15", "10", "2"]);
    for key in shown.as_object().unwrap().keys().chain(run.as_object().unwrap().keys()) {
        assert!(docs.contains(&format!("| `{key}` |")), "docs/configuration.md has no row for `{key}`");
    }
}
