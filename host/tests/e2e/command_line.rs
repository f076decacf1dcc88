//! What a user of the command line gets for a mistake: one line, and an exit code.

use std::net::TcpListener;
use std::process::Output;

use serde_json::Value;

use crate::support::{Process, plugin, wheelhouse};

fn run(args: &[&str]) -> Output {
    wheelhouse().args(args).output().unwrap()
}

/// The last line of standard error of a command that fails.
fn error(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    text.lines().last().unwrap().to_owned()
}

#[test]
fn a_plugin_folder_that_is_not_there_is_named() {
    let line = error(&["dev", "--plugin-dir", "/no/such/folder"]);
    assert!(line.contains("/no/such/folder") && line.contains("no such folder"), "{line}");
}

#[test]
fn an_admin_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let line = error(&["dev", "--plugin-dir", folder.path().to_str().unwrap(), "--admin-addr", &address]);
    assert!(line.contains(&address) && line.contains("in use") && line.contains("choose another"), "{line}");
}

#[test]
fn an_api_server_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let line = error(&["devcluster", "--port", &port]);
    assert!(line.contains(&port) && line.contains("in use"), "{line}");
}

#[test]
fn a_kubeconfig_that_points_nowhere_is_one_line_with_the_address() {
    let folder = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let yaml = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: 'http://{nowhere}'}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
    );
    std::fs::write(&kubeconfig, yaml).unwrap();
    let command = |kubeconfig: &std::path::Path| {
        let output = wheelhouse()
            .args(["run", "--admin-addr", "127.0.0.1:0", "--plugin-dir"])
            .arg(folder.path())
            .env("KUBECONFIG", kubeconfig)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap().lines().last().unwrap().to_owned()
    };
    let line = command(&folder.path().join("none"));
    assert!(line.contains("no cluster to run against"), "{line}");
}

#[tokio::test]
async fn a_host_runs_against_the_cluster_of_a_kubeconfig_and_says_when_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let mut server = Process::start(wheelhouse().arg("devcluster").arg("--kubeconfig-out").arg(&kubeconfig));
    server.logged("API server up").await;
    let file = folder.path().join("hello.wasm");
    std::fs::copy(plugin("hello"), &file).unwrap();
    let grants = folder.path().join("grants.yaml");
    let grant = run(&["inspect", file.to_str().unwrap(), "--grant"]);
    std::fs::write(&grants, grant.stdout).unwrap();
    let host = Process::start(
        wheelhouse()
            .args(["run", "--log-format", "json", "--admin-addr", "127.0.0.1:0", "--plugin-dir"])
            .arg(folder.path())
            .arg("--grants")
            .arg(&grants)
            .env("KUBECONFIG", &kubeconfig),
    );
    host.logged("connected").await;
    host.logged("lease acquired").await;
    host.logged("ready to run under its lease").await;
    for line in host.log().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    server.signal("-TERM");
    assert!(server.exit().await.success());
    host.logged("\"level\":\"WARN\"").await;
    // It goes on, and waits for the server to come back.
    host.signal("-TERM");
    let mut host = host;
    assert!(host.exit().await.success(), "{}", host.log());
}

#[test]
fn inspect_shows_what_a_plugin_is_and_needs() {
    let file = plugin("node-census");
    let output = run(&["inspect", file.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "name         node-census",
        "API version  0.1.0",
        "reconciles   v1/Node when generation-changed",
        ".spec.nodeName of v1/Pod",
        "v1/Pod: everything; metadata, .spec.nodeName, .status.phase",
        "get,list,watch v1/Pod in all namespaces",
        "wheelhouse:controller/objects@0.1.0",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    let output = run(&["inspect", "-o", "json", file.to_str().unwrap()]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["name"], &json["apiVersion"]), (&"node-census".into(), &"0.1.0".into()));
    assert_eq!(json["size"], std::fs::metadata(&file).unwrap().len());
    assert_eq!(json["indexes"][0]["kind"], "v1/Pod");
    let keeps: Value = serde_json::json!({"kind": "v1/Node", "scope": "everything", "fields": "metadata"});
    assert_eq!(json["keeps"][0], keeps);
    assert_eq!(json["trackDependencies"], false);
    assert!(!text.contains("tracks"));
    let output = run(&["inspect", plugin("service-notes").to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("tracks       what each reconcile reads"), "{text}");
}

#[test]
fn inspect_shows_what_a_plugin_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    let declared = serde_json::json!({
        "reconciles": {"kind": "v1/ConfigMap", "when": "created||(labels-changed && field-changed(data))"},
        "owns": [{"kind": "v1/Pod", "anyOwner": true}, {"kind": "v1/Service"}],
        "watches": [{"kind": "v1/Node", "byAnnotation": "example.com/of"}],
        "ticks": [{"everySeconds": 90, "keys": ["a/x", "b/y"]}],
    });
    std::fs::write(&config, declared.to_string()).unwrap();
    let file = plugin("echo");
    let arguments = ["inspect", file.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let text = String::from_utf8(run(&arguments).stdout).unwrap();
    for part in [
        "reconciles   v1/ConfigMap when created || labels-changed && field-changed(.data)\n",
        "owns         v1/Pod, by any owner\n             v1/Service\n",
        "watches      v1/Node: v1/Node, by annotation example.com/of\n",
        "ticks        echo: every 90s, a/x, b/y\n",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    let output = run(&[arguments.as_slice(), &["-o", "json"]].concat());
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let predicate = "created || labels-changed && field-changed(.data)";
    assert_eq!(
        (&json["reconciles"]["predicate"], &json["owns"][1]["predicate"]),
        (&predicate.into(), &"".into())
    );
    assert_eq!((&json["owns"][0]["anyOwner"], &json["owns"][1]["anyOwner"]), (&true.into(), &false.into()));
    assert_eq!(json["watches"][0]["mapping"], "annotation example.com/of");
    let tick = serde_json::json!({"name": "echo", "everyMs": 90_000, "keys": ["a/x", "b/y"]});
    assert_eq!(json["ticks"], serde_json::json!([tick]));
}

#[test]
fn inspect_says_what_is_wrong_with_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.wasm");
    let path = file.to_str().unwrap();
    let line = error(&["inspect", path]);
    assert!(line.contains(path) && line.contains("cannot be read"), "{line}");
    std::fs::write(&file, "text").unwrap();
    let line = error(&["inspect", path]);
    assert!(line.contains(path) && line.contains("not a WebAssembly component"), "{line}");
    std::fs::copy(plugin("hostile"), &file).unwrap();
    std::fs::write(folder.path().join("a.json"), r#"{"nmae": "x"}"#).unwrap();
    let line = error(&["inspect", path]);
    assert!(line.contains("rejects its configuration") && line.contains("nmae"), "{line}");
}

#[test]
fn grants_with_a_mistake_end_the_command_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let grants = folder.path().join("grants.yaml");
    let path = grants.to_str().unwrap();
    let plugins = folder.path().to_str().unwrap();
    let command = ["dev", "--admin-addr", "127.0.0.1:0", "--plugin-dir", plugins, "--grants", path];
    let line = error(&command);
    assert!(line.contains(path) && line.contains("No such file"), "{line}");
    let rule = "plugin: hello\nrules:\n- {verbs: [get], kinds: [v1/Pod], namespace: [default]}\n";
    std::fs::write(&grants, rule).unwrap();
    let line = error(&command);
    for part in [path, "\"hello\"", "rules[0]", "unknown field `namespace`", "`namespaces`"] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[test]
fn a_flag_that_there_is_not_is_a_usage_error() {
    let output = run(&["dev", "--plugin-dri", "x"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("--plugin-dir"), "a suggestion: {text}");
}
