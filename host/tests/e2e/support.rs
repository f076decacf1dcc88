//! A running host, and how a test asks it.

use std::future::Future;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

/// How long anything may take before a test gives up. Debug builds compile plugins slowly.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// The binary.
pub(crate) fn wheelhouse() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wheelhouse"));
    command.env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST").stdin(Stdio::null());
    // All tests share it, as all hosts of a user do; it is not the one of the user who tests.
    command.env("WHEELHOUSE_CACHE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/compile-cache"));
    command
}

/// A built plugin.
pub(crate) fn plugin(name: &str) -> PathBuf {
    let folder = std::env::var_os("WHEELHOUSE_PLUGINS_DIR")
        .expect("WHEELHOUSE_PLUGINS_DIR names the built plugins: run `cargo xtask test`");
    Path::new(&folder).join(name).with_extension("wasm")
}

/// Objects of a kind; of a namespace, unless it is "".
pub(crate) fn api(client: &kube::Client, kind: &str, namespace: &str) -> Api<DynamicObject> {
    let (version, kind) = kind.rsplit_once('/').unwrap();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    if namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource)
    }
}

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let begun = Instant::now();
    let mut timer = tokio::time::interval(Duration::from_millis(50));
    loop {
        timer.tick().await;
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
    }
}

/// A running command, and what it has logged.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the log:\n{}", self.log());
        }
    }
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let written = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *written.lock().unwrap() += &(line + "\n");
            }
        });
        Self { child, log }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log has this, and gives the rest of that line.
    pub(crate) async fn logged(&self, text: &str) -> String {
        eventually(text, || async {
            let log = self.log();
            let (_, after) = log.split_once(text)?;
            after.split_once('\n').map(|(line, _)| line.to_owned())
        })
        .await
    }

    /// Waits for its end.
    pub(crate) async fn exit(&mut self) -> ExitStatus {
        let begun = Instant::now();
        let mut timer = tokio::time::interval(Duration::from_millis(20));
        loop {
            timer.tick().await;
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < DEADLINE, "it does not end");
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

/// A plugin folder with these plugins.
pub(crate) fn with(plugins: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in plugins {
        std::fs::copy(plugin(name), folder.path().join(name).with_extension("wasm")).unwrap();
    }
    folder
}

/// What `inspect --grant` prints of a file.
pub(crate) fn grant_of(file: &Path) -> String {
    let output = wheelhouse().arg("inspect").arg(file).arg("--grant").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn address(rest: String) -> String {
    rest.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect()
}

/// A short one, where the flags say nothing of it.
fn grace(flags: &[&str]) -> &'static [&'static str] {
    if flags.contains(&"--grace") { &[] } else { &["--grace", "3"] }
}

/// `wheelhouse dev`, or `run`, with a plugin folder of its own.
pub(crate) struct Host {
    process: Process,
    /// Of `run`: the embedded server by itself.
    _server: Option<Process>,
    admin: String,
    server: String,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) client: kube::Client,
}

impl Host {
    /// Starts a host with these plugins in its folder, and waits for its servers.
    pub(crate) async fn start(plugins: &[&str]) -> Self {
        Self::start_with(plugins, &[]).await
    }

    /// Likewise, with further flags.
    pub(crate) async fn start_with(plugins: &[&str], flags: &[&str]) -> Self {
        Self::start_in(with(plugins), flags).await
    }

    /// Likewise, with plugins that may reconcile the same kind, and are granted what they declare.
    pub(crate) async fn start_sharing(plugins: &[&str], flags: &[&str]) -> Self {
        let folder = with(plugins);
        let grants = folder.path().join("grants.yaml");
        let all: Vec<String> = plugins.iter().map(|name| grant_of(&plugin(name))).collect();
        std::fs::write(&grants, all.join("allowSharedKind: true\n---\n") + "allowSharedKind: true\n")
            .unwrap();
        Self::start_in(folder, &[&["--grants", grants.to_str().unwrap()], flags].concat()).await
    }

    /// Likewise, with a plugin folder that is there.
    pub(crate) async fn start_in(folder: tempfile::TempDir, flags: &[&str]) -> Self {
        let mut command = wheelhouse();
        command
            .args(["dev", "--workloads", "--port", "0", "--admin-addr", "127.0.0.1:0", "--plugin-dir"])
            .arg(folder.path());
        command.args(grace(flags)).args(flags);
        Self::of_command(&mut command, folder).await
    }

    /// A `wheelhouse dev` that is all there in this command, of this plugin folder.
    pub(crate) async fn of_command(command: &mut Command, folder: tempfile::TempDir) -> Self {
        let process = Process::start(command);
        let server = address(process.logged("url=\"http://").await);
        Self::of(process, &server, None, folder).await
    }

    /// `wheelhouse run` against an embedded server.
    pub(crate) async fn run(folder: tempfile::TempDir, flags: &[&str]) -> Self {
        let kubeconfig = folder.path().join(".kubeconfig");
        let server = Process::start(wheelhouse().arg("devcluster").arg("--kubeconfig-out").arg(&kubeconfig));
        let at = address(server.logged("url=\"http://").await);
        let process = Process::start(
            wheelhouse()
                .args(["run", "--admin-addr", "127.0.0.1:0", "--plugin-dir"])
                .arg(folder.path())
                .args(grace(flags))
                .args(flags)
                .env("KUBECONFIG", &kubeconfig),
        );
        Self::of(process, &at, Some(server), folder).await
    }

    /// `wheelhouse run` against a server that is there, at this address.
    pub(crate) async fn join(
        server: &str,
        kubeconfig: &Path,
        folder: tempfile::TempDir,
        flags: &[&str],
    ) -> Self {
        let process = Process::start(
            wheelhouse()
                .args(["run", "--admin-addr", "127.0.0.1:0", "--plugin-dir"])
                .arg(folder.path())
                .args(flags)
                .env("KUBECONFIG", kubeconfig),
        );
        Self::of(process, server, None, folder).await
    }

    /// One that holds the lease.
    pub(crate) async fn leading(flags: &[&str]) -> Self {
        let host = Self::run(with(&[]), &[&["--identity", "one"], flags].concat()).await;
        host.logged("lease acquired").await;
        host
    }

    /// Another one beside it.
    pub(crate) async fn beside(&self, flags: &[&str]) -> Self {
        let flags = [&["--identity", "two"], flags].concat();
        Self::join(&self.server, &self.file(".kubeconfig"), with(&[]), &flags).await
    }

    async fn of(
        process: Process,
        server: &str,
        own_server: Option<Process>,
        folder: tempfile::TempDir,
    ) -> Self {
        let admin = address(process.logged("admin endpoints: http://").await);
        let config = kube::Config::new(format!("http://{server}").parse().unwrap());
        let client = kube::Client::try_from(config).unwrap();
        Self { process, _server: own_server, admin, server: server.to_owned(), folder, client }
    }

    /// Waits until the log has this.
    pub(crate) async fn logged(&self, text: &str) {
        self.process.logged(text).await;
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// The API server's address and port.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// The admin endpoints' address and port.
    pub(crate) fn admin_addr(&self) -> &str {
        &self.admin
    }

    /// A file of the plugin folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Status line and body of an admin endpoint.
    pub(crate) fn admin(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.admin).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    /// What `/plugins` says of a file.
    pub(crate) fn report(&self, file: &str) -> Option<Value> {
        let reports: Vec<Value> = serde_json::from_str(&self.admin("/plugins").1).unwrap();
        reports.into_iter().find(|report| report["file"].as_str().is_some_and(|path| path.ends_with(file)))
    }

    /// Waits until `/plugins` says so of a file.
    pub(crate) async fn until(&self, file: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("{file}: {what}"), || async { self.report(file).filter(&holds) }).await
    }

    pub(crate) async fn until_running(&self, file: &str) -> Value {
        self.until(file, "running", |report| report["phase"] == "running").await
    }

    /// The value of a series of `/metrics`, by how its line begins.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = self.admin("/metrics").1;
        let line = text.lines().find(|line| line.starts_with(series));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().unwrap())
    }

    /// Whether a controller has nothing to do: no key waits, of whatever priority, and none is being reconciled.
    pub(crate) fn is_idle(&self, controller: &str) -> bool {
        let text = self.admin("/metrics").1;
        let of = |family: &str, label: &str| {
            let start = format!("{family}{{{label}=\"{controller}\"");
            let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(&start)).collect();
            assert!(!lines.is_empty(), "no {start} in\n{text}");
            lines.iter().all(|line| line.ends_with(" 0"))
        };
        of("workqueue_depth", "name") && of("controller_runtime_active_workers", "controller")
    }

    /// Objects of a kind; of a namespace, unless it is "".
    pub(crate) fn api(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        api(&self.client, kind, namespace)
    }

    /// Creates an object from its JSON.
    pub(crate) async fn create(&self, json: Value) -> DynamicObject {
        let text = |field: &str| json[field].as_str().unwrap().to_owned();
        let namespace = json["metadata"]["namespace"].as_str().unwrap_or("").to_owned();
        let api = self.api(&format!("{}/{}", text("apiVersion"), text("kind")), &namespace);
        let object: DynamicObject = serde_json::from_value(json).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap()
    }

    /// Merge-patches an object.
    pub(crate) async fn patch(&self, kind: &str, namespace: &str, name: &str, patch: Value) -> DynamicObject {
        let api = self.api(kind, namespace);
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap()
    }

    /// Places a Pod, as a scheduler does.
    pub(crate) async fn bind(&self, namespace: &str, pod: &str, node: &str) {
        let binding = serde_json::json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod, "namespace": namespace},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        let api: Api<DynamicObject> = self.api("v1/Pod", namespace);
        let _: Value =
            api.create_subresource("binding", pod, &PostParams::default(), &binding).await.unwrap();
    }

    /// Installs a CustomResourceDefinition of the examples.
    pub(crate) async fn install_crd(&self, example: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../examples")
            .join(example)
            .join("manifests/crd.yaml");
        let yaml = std::fs::read_to_string(&file).unwrap();
        let crd = PatchParams::apply("test").force();
        let api = self.api("apiextensions.k8s.io/v1/CustomResourceDefinition", "");
        let object: Value = serde_saphyr::from_str(&yaml).unwrap();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        api.patch(&name, &crd, &Patch::Apply(&object)).await.unwrap();
    }

    /// What it has in memory that is its own, in kB.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    /// Sends a signal to the host.
    pub(crate) fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// Waits for the host's end.
    pub(crate) async fn exit(&mut self) -> ExitStatus {
        self.process.exit().await
    }
}
