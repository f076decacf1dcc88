//! Servers as child processes that never outlive this one: they end when whoever started them is done or fails, and
//! on SIGINT, SIGTERM and SIGHUP.

use std::fs::File;
use std::path::Path;
use std::process::{self, Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::demo::host::{BY_ITSELF, end};

/// Those that must not be left behind. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Children(Arc<Mutex<Vec<Child>>>);

impl Children {
    fn all(&self) -> MutexGuard<'_, Vec<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it prints goes to a log.
    pub(crate) fn start(&self, mut command: Command, log: &Path) -> Result<()> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let program = Path::new(command.get_program()).display().to_string();
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let mut all = self.all();
        all.push(command.spawn().with_context(|| format!("cannot start {program}"))?);
        Ok(())
    }

    /// Whether one of them has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.all().iter_mut().any(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Ends the newest first: the others are there for it.
    pub(crate) fn stop(&self, by_itself: Duration) {
        let mut all = self.all();
        while let Some(mut child) = all.pop() {
            end(&mut child, by_itself);
        }
    }

    /// From now on, a signal stops them, which are called `what`, and ends this process as shells report it.
    pub(crate) fn stop_on_signals(&self, what: &'static str) -> Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("signals cannot be received")?;
        let children = self.clone();
        thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                eprintln!("\ninterrupted; stopping {what} …");
                children.stop(BY_ITSELF);
                process::exit(128 + signal);
            }
        });
        Ok(())
    }

    /// Of those that have been started and not ended.
    #[cfg(test)]
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.all().iter().map(Child::id).collect()
    }
}
