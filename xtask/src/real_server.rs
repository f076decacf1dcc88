//! A kube-apiserver with its etcd, from the folder that `KUBEBUILDER_ASSETS` names, as controller-runtime's envtest
//! starts them: on loopback ports, with nobody else beside them. They never outlive this process.
//!
//! If the folder has a kube-controller-manager, it runs as well. envtest's folders have none: then nothing is
//! collected, and a namespace that is deleted stays.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::children::Children;
use crate::demo::poll;
use crate::process::output;

/// The folder with the programs; `setup-envtest use -p path` prints one.
const ASSETS: &str = "KUBEBUILDER_ASSETS";
const CONTROLLERS: &str = "kube-controller-manager";
/// How long they may take until they are ready.
const START: Duration = Duration::from_secs(60);
const USER: &str = "wheelhouse-tests";

/// A server that is ready.
pub(crate) struct RealServer {
    children: Children,
    kubeconfig: PathBuf,
    has_controllers: bool,
}

impl RealServer {
    /// Starts it with an empty folder for its data and its logs.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let assets = env::var_os(ASSETS).with_context(|| {
            format!("{ASSETS} is not set: name a folder with kube-apiserver and etcd, such as `setup-envtest use -p path` prints")
        })?;
        let children = Children::default();
        children.stop_on_signals("the kube-apiserver and its etcd")?;
        Self::start_from(Path::new(&assets), folder, children, START)
    }

    fn start_from(assets: &Path, folder: &Path, children: Children, limit: Duration) -> Result<Self> {
        for program in ["etcd", "kube-apiserver"] {
            if !assets.join(program).is_file() {
                bail!("{} has no {program}", assets.display());
            }
        }
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let kubeconfig = folder.join("kubeconfig");
        let has_controllers = assets.join(CONTROLLERS).is_file();
        // Dropped, and with it the processes ended, if it does not come up.
        let server = Self { children, kubeconfig, has_controllers };
        let [clients, peers, port] = free_ports()?;
        let etcd = etcd(&assets.join("etcd"), folder, clients, peers);
        server.children.start(etcd, &folder.join("etcd.log"))?;
        let token = secrets(folder)?;
        let api_server = api_server(&assets.join("kube-apiserver"), folder, clients, port, has_controllers);
        server.children.start(api_server, &folder.join("kube-apiserver.log"))?;
        fs::write(&server.kubeconfig, kubeconfig_text(folder, port, &token))?;
        server
            .run(assets, folder, limit)
            .with_context(|| format!("their logs are in {}", folder.display()))?;
        Ok(server)
    }

    /// Returns once all answer that are there.
    fn run(&self, assets: &Path, folder: &Path, limit: Duration) -> Result<()> {
        self.wait(limit, "/readyz").context("the kube-apiserver does not become ready")?;
        if self.has_controllers {
            let controllers = controllers(&assets.join(CONTROLLERS), folder, &self.kubeconfig);
            self.children.start(controllers, &folder.join("kube-controller-manager.log"))?;
            // The tests take a cluster for one without controllers that has not made this.
            self.wait(limit, "/api/v1/namespaces/default/serviceaccounts/default")
                .context("the kube-controller-manager does nothing")?;
        }
        Ok(())
    }

    /// Whether objects are collected, namespaces end, and roles are put together.
    pub(crate) fn has_controllers(&self) -> bool {
        self.has_controllers
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Until a path is there.
    fn wait(&self, limit: Duration, path: &str) -> Result<()> {
        let ready = || {
            if self.children.has_ended() {
                return Ok(Err(anyhow::anyhow!("one of the programs has ended at once")));
            }
            let mut kubectl = Command::new("kubectl");
            kubectl.arg("--kubeconfig").arg(&self.kubeconfig);
            kubectl.args(["get", "--raw", path, "--request-timeout=5s"]).stdin(Stdio::null());
            output(&mut kubectl).map(|_| Ok(()))
        };
        poll::until(limit, ready)?
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        self.children.stop(Duration::ZERO);
    }
}

/// Ports that nobody listens on, all different.
fn free_ports() -> Result<[u16; 3]> {
    let listeners = [
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    ];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

fn etcd(program: &Path, folder: &Path, clients: u16, peers: u16) -> Command {
    let mut etcd = Command::new(program);
    let clients = format!("http://127.0.0.1:{clients}");
    etcd.arg(format!("--data-dir={}", folder.join("etcd").display()));
    etcd.arg(format!("--listen-client-urls={clients}")).arg(format!("--advertise-client-urls={clients}"));
    etcd.arg(format!("--listen-peer-urls=http://127.0.0.1:{peers}")).arg("--unsafe-no-fsync");
    etcd
}

/// Makes the key of the service accounts, and the token of whoever runs the tests, which is returned.
fn secrets(folder: &Path) -> Result<String> {
    let key = folder.join("service-accounts.key");
    let mut openssl = Command::new("openssl");
    output(openssl.args(["genrsa", "-out"]).arg(&key).arg("2048"))?;
    let mut random = Command::new("openssl");
    let token = output(random.args(["rand", "-hex", "32"]))?.trim().to_owned();
    fs::write(folder.join("tokens.csv"), format!("{token},{USER},{USER},system:masters\n"))?;
    Ok(token)
}

fn api_server(program: &Path, folder: &Path, etcd: u16, port: u16, has_controllers: bool) -> Command {
    let mut server = Command::new(program);
    let key = folder.join("service-accounts.key");
    server.arg(format!("--etcd-servers=http://127.0.0.1:{etcd}"));
    server.args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"]);
    server.arg(format!("--secure-port={port}")).arg(format!("--cert-dir={}", folder.join("certs").display()));
    server.arg(format!("--service-account-issuer=https://127.0.0.1:{port}/"));
    server.arg(format!("--service-account-key-file={}", key.display()));
    server.arg(format!("--service-account-signing-key-file={}", key.display()));
    if !has_controllers {
        // Nobody makes the ServiceAccounts that Pods would need.
        server.arg("--disable-admission-plugins=ServiceAccount");
    }
    server.args(["--service-cluster-ip-range=10.0.0.0/24", "--allow-privileged=true"]);
    server.arg("--authorization-mode=RBAC");
    server.arg(format!("--token-auth-file={}", folder.join("tokens.csv").display()));
    server
}

/// It acts as whoever runs the tests, and serves nothing.
fn controllers(program: &Path, folder: &Path, kubeconfig: &Path) -> Command {
    let mut controllers = Command::new(program);
    controllers.arg(format!("--kubeconfig={}", kubeconfig.display()));
    let key = folder.join("service-accounts.key");
    controllers.arg(format!("--service-account-private-key-file={}", key.display()));
    let certificate = folder.join("certs").join("apiserver.crt");
    controllers.arg(format!("--root-ca-file={}", certificate.display()));
    controllers.args(["--leader-elect=false", "--secure-port=0"]);
    controllers
}

fn kubeconfig_text(folder: &Path, port: u16, token: &str) -> String {
    let certificate = folder.join("certs").join("apiserver.crt");
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: real\nclusters:\n- name: real\n  cluster:\n    server: \
         https://127.0.0.1:{port}\n    certificate-authority: {}\ncontexts:\n- name: real\n  context:\n    cluster: \
         real\n    user: real\nusers:\n- name: real\n  user:\n    token: {token}\n",
        certificate.display()
    )
}

#[cfg(test)]
mod tests {
    use std::process;
    use std::thread;

    use super::*;

    /// A folder of programs that leave their arguments, and do as the scripts say.
    fn assets(name: &str, scripts: &[(&str, &str)]) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = env::temp_dir().join(format!("wheelhouse-{name}-{}", process::id()));
        let programs = folder.join("programs");
        fs::create_dir_all(&programs).unwrap();
        for (program, script) in scripts {
            let path = programs.join(program);
            let said = folder.join(format!("{program}.arguments"));
            fs::write(&path, format!("#!/bin/sh\necho \"$@\" > {}\n{script}\n", said.display())).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    fn runs(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn both_are_started_and_neither_is_left_when_they_do_not_become_ready() {
        let folder = assets("waits", &[("etcd", "exec sleep 600"), ("kube-apiserver", "exec sleep 600")]);
        let children = Children::default();
        let data = folder.join("data");
        let watched = children.clone();
        let pids = thread::spawn(move || {
            poll::until(Duration::from_secs(60), || {
                let pids = watched.pids();
                if pids.len() == 2 { Ok(pids) } else { Err(()) }
            })
        });
        // Long enough for both to be seen: making a key alone takes longer.
        let started =
            RealServer::start_from(&folder.join("programs"), &data, children, Duration::from_secs(2));
        let error = format!("{:#}", started.err().unwrap());
        assert!(error.contains("does not become ready") && error.contains("data"), "{error}");
        for pid in pids.join().unwrap().unwrap() {
            assert!(!runs(pid), "{pid} is left behind");
        }
        let arguments = fs::read_to_string(folder.join("kube-apiserver.arguments")).unwrap();
        for wanted in [
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--etcd-servers=http://127.0.0.1:",
            "--bind-address=127.0.0.1",
        ] {
            assert!(arguments.contains(wanted), "{arguments}");
        }
        let etcd = fs::read_to_string(folder.join("etcd.arguments")).unwrap();
        assert!(etcd.contains("--listen-client-urls=http://127.0.0.1:"), "{etcd}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn one_that_ends_at_once_is_told_at_once() {
        let folder = assets("ends", &[("etcd", "exec sleep 600"), ("kube-apiserver", "exit 3")]);
        let started = RealServer::start_from(
            &folder.join("programs"),
            &folder.join("data"),
            Children::default(),
            Duration::from_secs(600),
        );
        let error = format!("{:#}", started.err().unwrap());
        assert!(error.contains("has ended at once"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }

    fn arguments(command: &Command) -> Vec<String> {
        command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn controllers_act_as_the_tests_do_and_then_pods_need_their_accounts() {
        let (program, folder) = (Path::new("p"), Path::new("/data"));
        let alone = arguments(&api_server(program, folder, 1, 2, false));
        let with_controllers = arguments(&api_server(program, folder, 1, 2, true));
        let without = "--disable-admission-plugins=ServiceAccount".to_owned();
        assert!(alone.contains(&without) && !with_controllers.contains(&without));
        let controllers = arguments(&controllers(program, folder, Path::new("/data/kubeconfig")));
        for wanted in ["--kubeconfig=/data/kubeconfig", "--root-ca-file=/data/certs/apiserver.crt"] {
            assert!(controllers.contains(&wanted.to_owned()), "{controllers:?}");
        }
        // The same key that the API server trusts.
        let key = controllers
            .iter()
            .find_map(|argument| argument.strip_prefix("--service-account-private-key-file="));
        assert!(with_controllers.contains(&format!("--service-account-signing-key-file={}", key.unwrap())));
    }

    #[test]
    fn a_folder_without_the_programs_is_refused() {
        let folder = env::temp_dir().join(format!("wheelhouse-empty-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let started = RealServer::start_from(&folder, &folder.join("data"), Children::default(), START);
        assert!(started.err().unwrap().to_string().ends_with("has no etcd"));
        fs::remove_dir_all(folder).unwrap();
    }
}
