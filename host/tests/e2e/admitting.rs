//! The embedded API server with access control, from the command line.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::{Process, wheelhouse, with};

/// Runs kubectl; whether it succeeds, and what it printed.
fn kubectl(kubeconfig: &Path, line: &str) -> (bool, String) {
    let output = Command::new("kubectl")
        .env("KUBECONFIG", kubeconfig)
        .arg(format!("--cache-dir={}.cache", kubeconfig.display()))
        .args(line.split_whitespace())
        .output()
        .unwrap_or_else(|error| panic!("this test needs kubectl 1.32 or newer on the PATH: {error}"));
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    (output.status.success(), text)
}

#[tokio::test]
async fn where_roles_decide_the_host_works_and_its_kubeconfig_is_an_administrators_for_its_owner_alone() {
    let files = tempfile::tempdir().unwrap();
    let kubeconfig = files.path().join("kubeconfig");
    let plugins = with(&["hello"]);
    let mut command = wheelhouse();
    command
        .args(["dev", "--access", "rbac", "--admin-addr", "127.0.0.1:0", "--kubeconfig-out"])
        .arg(&kubeconfig);
    // A proxy for other machines is none for this one.
    command.arg("--plugin-dir").arg(plugins.path()).env("HTTPS_PROXY", "http://127.0.0.1:9");
    let mut host = Process::start(&mut command);
    host.logged("ready: 1 of 1 plugins").await;
    let mode = std::fs::metadata(&kubeconfig).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "there is a token in it");
    let written = std::fs::read_to_string(&kubeconfig).unwrap();
    let (token, _) = written.split_once("token: \"").unwrap().1.split_once('"').unwrap();

    let succeeds = |line: &str| {
        let (success, text) = kubectl(&kubeconfig, line);
        assert!(success, "kubectl {line}: {text}");
        text
    };
    succeeds("create configmap friend");
    succeeds("label configmap friend hello=world");
    let greeted = "{.metadata.annotations.examples\\.wheelhouse\\.dev/greeting}";
    succeeds(&format!("wait --for=jsonpath={greeted} configmap/friend --timeout=60s"));
    succeeds("create serviceaccount robot");
    succeeds("create rolebinding robot --clusterrole=view --serviceaccount=default:robot");
    let robot = "--as=system:serviceaccount:default:robot";
    succeeds(&format!("get configmap friend {robot}"));
    let (success, refused) = kubectl(&kubeconfig, &format!("delete configmap friend {robot}"));
    assert!(!success && refused.contains("cannot delete resource \"configmaps\""), "{refused}");
    assert!(succeeds("create token robot").starts_with("eyJ"));
    let (_, anonymous) = kubectl(&kubeconfig, "get configmaps --token=wrong");
    assert!(anonymous.contains("Unauthorized") || anonymous.contains("You must be logged in"), "{anonymous}");
    host.signal("-TERM");
    assert!(host.exit().await.success());
    assert!(!token.is_empty() && !host.log().contains(token), "the token is in the log");
}

#[test]
fn a_server_that_would_let_nobody_in_does_not_start() {
    let output = wheelhouse().args(["devcluster", "--access", "tls"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("need --kubeconfig-out FILE"), "{text}");
}
