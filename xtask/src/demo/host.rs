//! The host as a child process that never outlives the demo.
//!
//! It is in the demo's own process group, so that who ends the group ends it too; the demo itself
//! ends it when it is done, when a step fails, when it panics, and on SIGINT, SIGTERM and SIGHUP.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::demo::admin::Admin;
use crate::demo::{Folder, poll};
use crate::process::output;

/// The host's `--grace`: how long reconciles may take to end.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// After that long it is killed.
const STOP: Duration = Duration::from_secs(20);

/// How long it may take until it listens.
const START: Duration = Duration::from_secs(60);

/// Who presses Ctrl-C in a terminal signals the host as well; this is what it gets to end by
/// itself, since a second signal would cut it short.
pub(crate) const BY_ITSELF: Duration = Duration::from_secs(1);

/// The process that must not be left behind, if there is one. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Charge(Arc<Mutex<Option<Child>>>);

impl Charge {
    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, a signal stops the process, and ends this one as shells report it.
    pub(crate) fn stop_on_signals(&self) -> Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("signals cannot be received")?;
        let charge = self.clone();
        thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                // Held to the end, so that nothing is started any more.
                let mut child = charge.child();
                if let Some(child) = child.as_mut() {
                    eprintln!("\ndemo: interrupted; stopping the host …");
                    end(child, BY_ITSELF);
                }
                process::exit(128 + signal);
            }
        });
        Ok(())
    }
}

/// Ends a process: by itself, or on request, or by force.
pub(crate) fn end(child: &mut Child, by_itself: Duration) {
    let ended = |child: &mut Child, limit| {
        poll::until(limit, || match child.try_wait() {
            Ok(Some(_)) => Ok(()),
            _ => Err(()),
        })
        .is_ok()
    };
    if by_itself > Duration::ZERO && ended(child, by_itself) {
        return;
    }
    if interrupt(child.id()).is_ok() && ended(child, STOP) {
        return;
    }
    // It may be gone meanwhile; there is nothing else to do about it.
    let _ = child.kill();
    let _ = child.wait();
}

/// SIGINT. By a shell, whose `kill` is built in; the standard library only knows SIGKILL.
fn interrupt(pid: u32) -> Result<()> {
    let mut kill = Command::new("sh");
    kill.args(["-c", "kill -INT \"$0\""]).arg(pid.to_string()).stdin(Stdio::null());
    output(&mut kill).map(drop)
}

/// A host that listens.
pub(crate) struct Host {
    charge: Charge,
    pid: u32,
    log: PathBuf,
    admin: Admin,
}

impl Host {
    /// Starts `wheelhouse dev` on free ports; returns once its addresses are known.
    pub(crate) fn start(charge: &Charge, binary: &Path, folder: &Folder) -> Result<Self> {
        let log = folder.log();
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(binary);
        command.args(["dev", "--workloads", "--plugin-dir"]).arg(folder.plugins());
        command.arg("--kubeconfig-out").arg(folder.kubeconfig());
        command.args(["--port", "0", "--admin-addr", "127.0.0.1:0"]);
        command.arg(format!("--grace={}", GRACE.as_secs()));
        // Said here, so that nobody's environment changes what is read below.
        command.args(["--log", "info", "--log-format", "text"]);
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let pid = {
            let mut slot = charge.child();
            let child = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
            slot.insert(child).id()
        };
        // Dropped, and with it the process ended, if it does not come up.
        let mut host = Self { charge: charge.clone(), pid, log, admin: Admin(([127, 0, 0, 1], 0).into()) };
        host.admin = poll::until(START, || match (admin_address(&host.log()), host.ended()) {
            (Some(admin), _) => Ok(Ok(admin)),
            (None, Ok(Some(status))) => Ok(Err(anyhow!("the host has ended at once ({status})"))),
            _ => Err(()),
        })
        .unwrap_or_else(|()| Err(anyhow!("the host does not say where its admin endpoints are")))
        .with_context(|| format!("its log ({}) says:\n{}", host.log.display(), host.log()))?;
        Ok(host)
    }

    pub(crate) fn admin(&self) -> Admin {
        self.admin
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn log_file(&self) -> &Path {
        &self.log
    }

    /// All that it has logged.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&self) -> Result<Option<ExitStatus>> {
        match self.charge.child().as_mut() {
            Some(child) => child.try_wait().context("the host cannot be asked whether it runs"),
            None => bail!("the host was not started"),
        }
    }

    /// Asks it to end, as Ctrl-C does.
    pub(crate) fn interrupt(&self) -> Result<()> {
        interrupt(self.pid)
    }

    /// Ends it, if it runs.
    pub(crate) fn stop(&self) {
        if let Some(child) = self.charge.child().as_mut()
            && !matches!(child.try_wait(), Ok(Some(_)))
        {
            end(child, Duration::ZERO);
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop();
    }
}

/// As the host logs it: `admin endpoints: http://127.0.0.1:9440/plugins, …`.
fn admin_address(log: &str) -> Option<Admin> {
    let (_, rest) = log.split_once("admin endpoints: http://")?;
    rest.split_once('/')?.0.parse().ok().map(Admin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(script: &str) -> Child {
        Command::new("sh").args(["-c", script]).stdin(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn the_admin_address_is_in_the_log() {
        let log = "INFO up\nINFO admin endpoints: http://127.0.0.1:38405/plugins, /metrics\nINFO more\n";
        assert_eq!(admin_address(log), Some(Admin(([127, 0, 0, 1], 38405).into())));
        assert_eq!(admin_address("INFO up\nINFO admin endpoints: http://127.0.0.1:38"), None);
    }

    #[test]
    fn a_process_is_ended_by_an_interrupt() {
        let mut child = child("exec sleep 600");
        end(&mut child, Duration::ZERO);
        assert!(!child.try_wait().unwrap().unwrap().success());
    }

    #[test]
    fn a_process_that_ends_by_itself_is_not_interrupted() {
        let mut child = child("exit 7");
        end(&mut child, Duration::from_secs(60));
        assert_eq!(child.try_wait().unwrap().unwrap().code(), Some(7));
    }
}
