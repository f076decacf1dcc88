//! The embedded API server as a process of its own, so that the tests have to reach it as they reach any cluster: by
//! a kubeconfig, over TLS, with roles. It never outlives this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::children::Children;
use crate::demo::poll;

/// How long it may take until it has written its kubeconfig, which it does once it listens.
const START: Duration = Duration::from_secs(60);

/// A server that listens.
pub(crate) struct SecondServer {
    children: Children,
    kubeconfig: PathBuf,
}

impl SecondServer {
    /// Starts a host's `wheelhouse devcluster` with more flags, and an empty folder for its kubeconfig and its log.
    pub(crate) fn start(host: &Path, folder: &Path, flags: &[&str]) -> Result<Self> {
        let children = Children::default();
        children.stop_on_signals("the second server")?;
        Self::start_as(host, folder, flags, children)
    }

    fn start_as(host: &Path, folder: &Path, flags: &[&str], children: Children) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        // Dropped, and with it the process ended, if it does not come up.
        let server = Self { children, kubeconfig: folder.join("kubeconfig") };
        let mut command = Command::new(host);
        command.args(["devcluster", "--access", "rbac", "--port", "0", "--kubeconfig-out"]);
        command.arg(&server.kubeconfig).args(flags);
        let log = folder.join("log");
        server.children.start(command, &log)?;
        server.wait().with_context(|| format!("its log is {}", log.display()))?;
        Ok(server)
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    fn wait(&self) -> Result<()> {
        let started = poll::until(START, || match (self.kubeconfig.exists(), self.children.has_ended()) {
            (true, _) => Ok(true),
            (false, true) => Ok(false),
            (false, false) => Err(()),
        });
        match started {
            Ok(true) => Ok(()),
            Ok(false) => bail!("the second server has ended at once"),
            Err(()) => bail!("the second server writes no kubeconfig"),
        }
    }
}

impl Drop for SecondServer {
    fn drop(&mut self) {
        self.children.stop(Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process;

    use super::*;

    /// A host that does as a script says, which has the arguments `devcluster … --kubeconfig-out FILE`.
    fn host(name: &str, script: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = env::temp_dir().join(format!("wheelhouse-second-{name}-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let host = folder.join("host");
        fs::write(&host, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&host, fs::Permissions::from_mode(0o755)).unwrap();
        host
    }

    #[test]
    fn it_is_there_once_it_has_written_a_kubeconfig_and_is_ended_when_it_is_no_longer_used() {
        let host = host("starts", "echo \"$@\" > \"$7\"\nexec sleep 600");
        let children = Children::default();
        let data = host.with_file_name("data");
        let server = SecondServer::start_as(&host, &data, &["--workloads"], children.clone()).unwrap();
        let arguments = fs::read_to_string(server.kubeconfig()).unwrap();
        assert!(arguments.starts_with("devcluster --access rbac --port 0 --kubeconfig-out "), "{arguments}");
        assert!(arguments.ends_with(" --workloads\n"), "{arguments}");
        let pid = children.pids()[0];
        assert!(Path::new(&format!("/proc/{pid}")).exists());
        drop(server);
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{pid} is left behind");
        fs::remove_dir_all(host.parent().unwrap()).unwrap();
    }

    #[test]
    fn one_that_ends_at_once_is_told_at_once() {
        let host = host("ends", "exit 3");
        let started = SecondServer::start_as(&host, &host.with_file_name("data"), &[], Children::default());
        let error = format!("{:#}", started.err().unwrap());
        assert!(error.contains("has ended at once"), "{error}");
        fs::remove_dir_all(host.parent().unwrap()).unwrap();
    }
}
