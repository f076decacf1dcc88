//! A cluster per test (or a namespace of another one), and a `kubectl` that uses it.

use std::path::Path;
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use wheelhouse_devcluster::{DevCluster, DevClusterConfig};

use crate::{embedded_only, kubectl_version};

const DEADLINE: Duration = Duration::from_secs(30);
/// How long a foreign cluster's controllers may take.
const PATIENCE: Duration = Duration::from_secs(150);

pub(crate) const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "nginx:1", ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"#;

pub(crate) const SETTINGS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: web}}
data: {colour: red, size: small}
";

pub(crate) struct Kubectl {
    home: TempDir,
    /// None if it is another's.
    cluster: Option<DevCluster>,
    namespace: String,
    /// What `edit` and `diff` run.
    programs: Vec<(&'static str, String)>,
    /// Words for what is the test's alone in another cluster.
    own: Vec<&'static str>,
}

pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Kubectl {
    pub(crate) async fn start() -> Self {
        Self::start_or(DevClusterConfig { workloads: true, ..DevClusterConfig::default() }).await
    }

    /// A place in another cluster, or else an embedded one of its own.
    pub(crate) async fn start_or(config: DevClusterConfig) -> Self {
        has_kubectl();
        let Some(file) = embedded_only::kubeconfig("kubectl") else {
            return Self::start_with(config).await;
        };
        let home = TempDir::new().unwrap();
        let kubeconfig = home.path().join("kubeconfig");
        let (programs, default) = (Vec::new(), "default".to_owned());
        // Flattened: paths in it are relative to where it is.
        let mut flatten = std::process::Command::new("kubectl");
        let flat = flatten.arg("--kubeconfig").arg(file).args(["config", "view", "--raw", "--flatten"]);
        std::fs::write(kubeconfig, flat.output().unwrap().stdout).unwrap();
        let namespace = format!("wh{}", &uuid::Uuid::new_v4().simple().to_string()[..10]);
        let kubectl = Self { home, cluster: None, namespace: default, programs, own: Vec::new() };
        kubectl.run(&format!("create namespace {namespace}")).await;
        kubectl.run_with(&format!("config set-context --current --namespace={namespace}"), "").await;
        Self { namespace, ..kubectl }
    }

    /// What only the embedded server can be asked for.
    pub(crate) async fn start_with(config: DevClusterConfig) -> Self {
        has_kubectl();
        assert!(
            embedded_only::kubeconfig("kubectl").is_none(),
            "a test that needs the embedded server is to be listed in embedded-only.json"
        );
        let cluster = DevCluster::start(config).await.unwrap();
        let home = TempDir::new().unwrap();
        std::fs::write(home.path().join("kubeconfig"), cluster.kubeconfig()).unwrap();
        Self {
            home,
            cluster: Some(cluster),
            namespace: "default".to_owned(),
            programs: Vec::new(),
            own: Vec::new(),
        }
    }

    /// The kubeconfig of a user of the embedded server.
    pub(crate) fn kubeconfig_of(&self, user: &str) -> String {
        self.cluster.as_ref().and_then(|cluster| cluster.kubeconfig_for(user)).unwrap()
    }

    pub(crate) fn is_embedded(&self) -> bool {
        self.cluster.is_some()
    }

    /// From now on as somebody who has a kubeconfig, which is returned as it was before.
    pub(crate) fn becomes(&self, kubeconfig: &str) -> String {
        let path = self.home.path().join("kubeconfig");
        let before = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, kubeconfig).unwrap();
        before
    }

    /// From now on with other credentials in the kubeconfig, which is returned as it was before.
    pub(crate) async fn has_credentials(&self, change: impl FnOnce(&mut Value)) -> String {
        let kubeconfig = self.run("config view --raw --flatten -o json").await;
        let mut kubeconfig: Value = serde_json::from_str(&kubeconfig).unwrap();
        change(&mut kubeconfig["users"][0]["user"]);
        self.becomes(&kubeconfig.to_string())
    }

    /// Sets a variable of the environment, such as `EDITOR`, to a script.
    pub(crate) fn program(&mut self, variable: &'static str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.home.path().join(variable);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        self.programs.push((variable, path.display().to_string()));
    }

    /// Writes a file, whose path is returned.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, self.outward(text)).unwrap();
        path.display().to_string()
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    fn command(&self, line: &str) -> Command {
        let home: &Path = self.home.path();
        let mut command = Command::new("kubectl");
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home)
            .env("KUBECONFIG", home.join("kubeconfig"))
            .envs(self.programs.iter().map(|(variable, path)| (variable, path)))
            .arg(format!("--cache-dir={}", home.join("cache").display()))
            .args(self.outward(line).split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(crate) fn spawn(&self, line: &str) -> Child {
        self.command(line).spawn().unwrap()
    }

    pub(crate) async fn run_with(&self, line: &str, input: &str) -> Output {
        let mut child = self.spawn(line);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(self.outward(input).as_bytes()).await.unwrap();
        drop(stdin);
        let output =
            tokio::time::timeout(DEADLINE, child.wait_with_output()).await.expect("kubectl in time").unwrap();
        let (stdout, stderr) = (self.inward(&output.stdout), self.inward(&output.stderr));
        Output { code: output.status.code(), stdout, stderr }
    }

    /// Runs a command again until it succeeds.
    pub(crate) async fn eventually(&self, line: &str) {
        let started = tokio::time::Instant::now();
        let patience = if self.is_embedded() { DEADLINE } else { PATIENCE };
        loop {
            let output = self.run_with(line, "").await;
            if output.code == Some(0) {
                return;
            }
            assert!(started.elapsed() < patience, "kubectl {line}: {}", output.stderr);
        }
    }

    /// From now on, these words mean something that is the test's alone: definitions are of the whole cluster.
    pub(crate) fn has_own(&mut self, words: &[&'static str]) {
        self.own = words.to_vec();
    }

    /// How another cluster is spoken to by a test that thinks itself alone: each has an API group of its own.
    fn outward(&self, text: &str) -> String {
        if self.cluster.is_some() {
            return text.to_owned();
        }
        let text = text.replace("example.com", &format!("{}.example.com", self.namespace));
        self.own.iter().fold(text, |text, word| text.replace(word, &format!("{word}{}", self.mark())))
    }

    /// What kubectl printed, as the test expects it.
    pub(crate) fn inward(&self, bytes: &[u8]) -> String {
        let text = std::str::from_utf8(bytes).unwrap();
        if self.cluster.is_some() {
            return text.to_owned();
        }
        text.replace(&format!("{}.example.com", self.namespace), "example.com").replace(&self.mark(), "")
    }

    /// What is in no other word, and no part of the namespace's name.
    fn mark(&self) -> String {
        format!("x{}", self.namespace.get(2..8).unwrap_or_default())
    }

    /// Runs what must succeed without a word on stderr.
    pub(crate) async fn with(&self, line: &str, input: &str) -> String {
        let output = self.run_with(line, input).await;
        assert_eq!(output.code, Some(0), "kubectl {line}: {}{}", output.stdout, output.stderr);
        assert_eq!(output.stderr, "", "kubectl {line}");
        output.stdout
    }

    pub(crate) async fn run(&self, line: &str) -> String {
        self.with(line, "").await
    }

    pub(crate) async fn fails(&self, line: &str, input: &str) -> String {
        let output = self.run_with(line, input).await;
        assert_ne!(output.code, Some(0), "kubectl {line} should fail: {}", output.stdout);
        output.stderr
    }

    /// What a path of an object has.
    pub(crate) async fn at(&self, what: &str, path: &str) -> String {
        self.run(&format!("get {what} -o jsonpath={{{path}}}")).await
    }

    pub(crate) async fn done(self) {
        match self.cluster {
            Some(cluster) => cluster.shutdown().await,
            None => {
                self.run(&format!("delete namespace {} --wait=false", self.namespace)).await;
                let definitions = self.run("get customresourcedefinitions -o name").await;
                // Its own, as they are shown to it. Others are of groups within that one.
                let is_own = |name: &&str| {
                    name.split_once('/').is_some_and(|(_, name)| {
                        name.split_once('.').is_some_and(|(_, group)| group == "example.com")
                    })
                };
                for name in definitions.lines().filter(is_own) {
                    self.run_with(&format!("delete {name} --wait=false"), "").await;
                }
            }
        }
    }
}

/// Fails if there is no `kubectl`, or one that is too old, with what to do.
fn has_kubectl() {
    static SUPPORTED: LazyLock<Result<(), String>> = LazyLock::new(|| {
        let asked = std::process::Command::new("kubectl").args(["version", "--client"]).output();
        let said = asked.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        kubectl_version::supported(&said.unwrap_or_default()).map(drop)
    });
    if let Err(wrong) = &*SUPPORTED {
        panic!("these tests need kubectl: {wrong}");
    }
}

/// The lines that a command prints as it goes on.
pub(crate) fn lines(child: &mut Child) -> Lines<BufReader<ChildStdout>> {
    BufReader::new(child.stdout.take().unwrap()).lines()
}

pub(crate) async fn line_with(lines: &mut Lines<BufReader<ChildStdout>>, wanted: &str) -> String {
    loop {
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.expect("a line in time").unwrap();
        let line = line.unwrap_or_else(|| panic!("the output ended before {wanted:?}"));
        if line.contains(wanted) {
            return line;
        }
    }
}

#[test]
fn what_runs_against_the_embedded_server_alone_is_there_and_has_a_reason() {
    embedded_only::check("kubectl");
}
