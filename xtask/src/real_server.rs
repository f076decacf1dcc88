//! A kube-apiserver with its etcd, from the folder that `KUBEBUILDER_ASSETS` names, as controller-runtime's envtest
//! starts them: on loopback ports, with nobody else beside them. They never outlive this process.
//!
//! There are no controllers: nothing is collected, and a namespace that is deleted stays.

use std::env;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::demo::host::{BY_ITSELF, end};
use crate::demo::poll;
use crate::process::output;

/// The folder with both programs; `setup-envtest use -p path` prints one.
const ASSETS: &str = "KUBEBUILDER_ASSETS";
/// How long they may take until they are ready.
const START: Duration = Duration::from_secs(60);
const USER: &str = "wheelhouse-tests";

/// Processes that must not be left behind. Clones share them.
#[derive(Clone, Default)]
struct Processes(Arc<Mutex<Vec<Child>>>);

impl Processes {
    fn all(&self) -> MutexGuard<'_, Vec<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it prints goes to a log.
    fn start(&self, mut command: Command, log: &Path) -> Result<()> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let program = Path::new(command.get_program()).display().to_string();
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let mut all = self.all();
        all.push(command.spawn().with_context(|| format!("cannot start {program}"))?);
        Ok(())
    }

    /// Whether one of them has ended.
    fn has_ended(&self) -> bool {
        self.all().iter_mut().any(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Ends the newest first: the others are there for it.
    fn stop(&self, by_itself: Duration) {
        let mut all = self.all();
        while let Some(mut child) = all.pop() {
            end(&mut child, by_itself);
        }
    }

    /// From now on, a signal stops them, and ends this process as shells report it.
    fn stop_on_signals(&self) -> Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("signals cannot be received")?;
        let processes = self.clone();
        thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                eprintln!("\ninterrupted; stopping the kube-apiserver and its etcd …");
                processes.stop(BY_ITSELF);
                process::exit(128 + signal);
            }
        });
        Ok(())
    }
}

/// A server that is ready.
pub(crate) struct RealServer {
    processes: Processes,
    kubeconfig: PathBuf,
}

impl RealServer {
    /// Starts it with an empty folder for its data and its logs.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let assets = env::var_os(ASSETS).with_context(|| {
            format!("{ASSETS} is not set: name a folder with kube-apiserver and etcd, such as `setup-envtest use -p path` prints")
        })?;
        let processes = Processes::default();
        processes.stop_on_signals()?;
        Self::start_from(Path::new(&assets), folder, processes, START)
    }

    fn start_from(assets: &Path, folder: &Path, processes: Processes, limit: Duration) -> Result<Self> {
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
        // Dropped, and with it the processes ended, if it does not come up.
        let server = Self { processes, kubeconfig };
        let [clients, peers, port] = free_ports()?;
        let etcd = etcd(&assets.join("etcd"), folder, clients, peers);
        server.processes.start(etcd, &folder.join("etcd.log"))?;
        let token = secrets(folder)?;
        let api_server = api_server(&assets.join("kube-apiserver"), folder, clients, port);
        server.processes.start(api_server, &folder.join("kube-apiserver.log"))?;
        fs::write(&server.kubeconfig, kubeconfig_text(folder, port, &token))?;
        server.wait(limit).with_context(|| format!("their logs are in {}", folder.display()))?;
        Ok(server)
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    fn wait(&self, limit: Duration) -> Result<()> {
        let ready = || {
            if self.processes.has_ended() {
                return Ok(Err(anyhow::anyhow!("kube-apiserver or etcd has ended at once")));
            }
            let mut kubectl = Command::new("kubectl");
            kubectl.arg("--kubeconfig").arg(&self.kubeconfig);
            kubectl.args(["get", "--raw", "/readyz", "--request-timeout=5s"]).stdin(Stdio::null());
            output(&mut kubectl).map(|_| Ok(()))
        };
        poll::until(limit, ready).context("the kube-apiserver does not become ready").and_then(|ready| ready)
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        self.processes.stop(Duration::ZERO);
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

fn api_server(program: &Path, folder: &Path, etcd: u16, port: u16) -> Command {
    let mut server = Command::new(program);
    let key = folder.join("service-accounts.key");
    server.arg(format!("--etcd-servers=http://127.0.0.1:{etcd}"));
    server.args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"]);
    server.arg(format!("--secure-port={port}")).arg(format!("--cert-dir={}", folder.join("certs").display()));
    server.arg(format!("--service-account-issuer=https://127.0.0.1:{port}/"));
    server.arg(format!("--service-account-key-file={}", key.display()));
    server.arg(format!("--service-account-signing-key-file={}", key.display()));
    // Nobody makes the ServiceAccounts that Pods would need.
    server.args(["--service-cluster-ip-range=10.0.0.0/24", "--disable-admission-plugins=ServiceAccount"]);
    server.args(["--authorization-mode=AlwaysAllow", "--allow-privileged=true"]);
    server.arg(format!("--token-auth-file={}", folder.join("tokens.csv").display()));
    server
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
    use super::*;

    /// A folder of programs that leave their arguments, and do as the scripts say.
    fn assets(name: &str, etcd: &str, api_server: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = env::temp_dir().join(format!("wheelhouse-{name}-{}", process::id()));
        let programs = folder.join("programs");
        fs::create_dir_all(&programs).unwrap();
        for (program, script) in [("etcd", etcd), ("kube-apiserver", api_server)] {
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
        let folder = assets("waits", "exec sleep 600", "exec sleep 600");
        let processes = Processes::default();
        let data = folder.join("data");
        let watched = processes.clone();
        let pids = thread::spawn(move || {
            poll::until(Duration::from_secs(60), || {
                let pids: Vec<u32> = watched.all().iter().map(Child::id).collect();
                if pids.len() == 2 { Ok(pids) } else { Err(()) }
            })
        });
        // Long enough for both to be seen: making a key alone takes longer.
        let started =
            RealServer::start_from(&folder.join("programs"), &data, processes, Duration::from_secs(2));
        let error = format!("{:#}", started.err().unwrap());
        assert!(error.contains("does not become ready") && error.contains("data"), "{error}");
        for pid in pids.join().unwrap().unwrap() {
            assert!(!runs(pid), "{pid} is left behind");
        }
        let arguments = fs::read_to_string(folder.join("kube-apiserver.arguments")).unwrap();
        for wanted in [
            "--authorization-mode=AlwaysAllow",
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
        let folder = assets("ends", "exec sleep 600", "exit 3");
        let started = RealServer::start_from(
            &folder.join("programs"),
            &folder.join("data"),
            Processes::default(),
            Duration::from_secs(600),
        );
        let error = format!("{:#}", started.err().unwrap());
        assert!(error.contains("has ended at once"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_folder_without_the_programs_is_refused() {
        let folder = env::temp_dir().join(format!("wheelhouse-empty-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let started = RealServer::start_from(&folder, &folder.join("data"), Processes::default(), START);
        assert!(started.err().unwrap().to_string().ends_with("has no etcd"));
        fs::remove_dir_all(folder).unwrap();
    }
}
