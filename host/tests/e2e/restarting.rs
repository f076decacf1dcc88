//! A host that is started while the API server is not there.

use std::path::Path;

use serde_json::json;

use crate::plugin_resources::wasm;
use crate::support::{Host, Process, address, eventually, wheelhouse};

const PLUGINS: usize = 50;

/// A folder of so many plugins, of which some are the same component, and a grant for each.
fn folder(grants: &Path) -> tempfile::TempDir {
    let (folder, echo) = (tempfile::tempdir().unwrap(), wasm("echo"));
    for number in 0..PLUGINS {
        let name = format!("echo-{number}");
        // A custom section without a meaning.
        let component = [&echo[..], &[0, 2, 1, b'a' + (number % 5) as u8]].concat();
        std::fs::write(folder.path().join(format!("{name}.wasm")), component).unwrap();
        let config = json!({"name": name, "reconciles": {"kind": "v1/ConfigMap", "namespaces": [format!("n{number}")]}});
        std::fs::write(folder.path().join(format!("{name}.json")), config.to_string()).unwrap();
        let rules = json!([{"verbs": ["get", "list", "watch"], "kinds": ["v1/ConfigMap"], "namespaces": [format!("n{number}")]}]);
        let grant = json!({"plugin": name, "component": format!("{name}.wasm"), "rules": rules});
        std::fs::write(grants.join(format!("{name}.yaml")), grant.to_string()).unwrap();
    }
    folder
}

fn server(port: &str, kubeconfig: &Path) -> Process {
    Process::start(wheelhouse().args(["devcluster", "--port", port, "--kubeconfig-out"]).arg(kubeconfig))
}

async fn until_all_run(host: &Host) {
    eventually("all of them run", || async {
        let reports: Vec<serde_json::Value> = serde_json::from_str(&host.admin("/plugins").1).unwrap();
        let running = reports.iter().filter(|report| report["phase"] == "running").count();
        (running == PLUGINS).then_some(())
    })
    .await;
}

#[tokio::test]
async fn fifty_plugins_are_loaded_from_the_cache_without_an_api_server_and_begin_when_it_is_there() {
    let (grants, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let kubeconfig = files.path().join("kubeconfig");
    let first_server = server("0", &kubeconfig);
    let at = address(first_server.logged("url=\"http://").await);
    let flags = ["--leader-election=false", "--grace", "3", "--grants", grants.path().to_str().unwrap()];
    let mut first = Host::join(&at, &kubeconfig, folder(grants.path()), &flags).await;
    until_all_run(&first).await;
    first.signal("-TERM");
    assert!(first.exit().await.success());
    drop(first_server);

    let plugins = std::mem::replace(&mut first.folder, tempfile::tempdir().unwrap());
    let second = Host::join(&at, &kubeconfig, plugins, &flags).await;
    second.logged("cannot be reached: is it up").await;
    assert!(!second.log().contains("ERROR"), "it is no error of anybody's: {}", second.log());
    second.logged(&format!("ready: 0 of {PLUGINS} plugins are loaded")).await;
    let log = second.log();
    assert_eq!(log.matches("loaded from the compile cache").count(), PLUGINS, "{log}");
    let waiting = second.report("echo-7.wasm").unwrap();
    assert_eq!((&waiting["phase"], &waiting["reason"]), (&json!("waiting"), &json!("KindUnavailable")));

    let _second_server = server(at.rsplit(':').next().unwrap(), &kubeconfig);
    second.logged("connected").await;
    until_all_run(&second).await;
}
