//! `cargo xtask demo`: a tour of the whole house, on a fresh clone, every step of it verified.
//!
//! It builds the host and the example plugins, starts the host on its embedded API server, and goes
//! through [`tour::STEPS`] with kubectl. Whatever happens, no host stays behind; with `--keep`, one
//! stays until Ctrl-C. All that it writes is in `target/demo`.

mod admin;
pub(crate) mod host;
mod kubectl;
pub(crate) mod poll;
mod screen;
mod seen;
mod tour;

use std::fs::{self, File, TryLockError};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::demo::host::{Charge, Host};
use crate::demo::kubectl::Kubectl;
use crate::demo::screen::{Line, Screen};
use crate::demo::tour::{STEPS, Tour};
use crate::setup::{self, Choice};
use crate::workspace::Workspace;
use crate::{guest, host_build, tools};

/// The plugins of the tour: those of the examples that a user would run.
const PLUGINS: [&str; 3] = ["hello", "node-census", "webapp"];

/// How many lines of the host's log a failure is shown with.
const LOG_LINES: usize = 20;

#[derive(Args)]
pub(crate) struct Demo {
    /// Leave the host and its API server up at the end, to play with, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Show what the host logs at each step.
    #[arg(long)]
    verbose: bool,
}

/// Runs the tour, with all that it needs built first.
pub(crate) fn run(workspace: &Workspace, choice: Choice, args: &Demo) -> Result<()> {
    let screen = Screen::of_stdout();
    let started = Instant::now();
    let _lock = lock(workspace)?;
    let charge = Charge::default();
    charge.stop_on_signals()?;

    let toolchain = setup::run(workspace, choice)?;
    tools::kubectl()?;
    println!("demo: building the host (minutes on a fresh clone, seconds later) …");
    let binary = host_build::run(workspace)?;
    let names = PLUGINS.map(str::to_owned).to_vec();
    let plugins = guest::build(workspace, &toolchain, &guest::Build { names, ..guest::Build::default() })?;
    let folder = Folder::fresh(workspace)?;
    for plugin in &plugins {
        let to = folder.plugins().join(format!("{}.wasm", plugin.name));
        fs::copy(&plugin.path, &to).with_context(|| format!("cannot write {}", to.display()))?;
    }
    let built = started.elapsed();

    let kubectl = Kubectl::new(workspace.root.clone(), folder.kubeconfig(), folder.kubectl_cache());
    println!("demo: everything is built, after {:.0} s; the host logs to {}", built.as_secs_f64(), {
        kubectl.shown(&folder.log())
    });
    println!("demo: to follow it in another terminal:");
    println!("        cd {}", kubectl::quoted(&workspace.root.to_string_lossy()));
    println!("        export KUBECONFIG={}", kubectl::quoted(&kubectl.shown(&folder.kubeconfig())));

    let host = Host::start(&charge, &binary, &folder)?;
    let names = plugins.into_iter().map(|plugin| plugin.name).collect();
    let mut tour = Tour::new(workspace, &toolchain, &screen, &folder, kubectl, host, names);
    // The last two steps take down what `--keep` keeps.
    let steps = if args.keep { STEPS.len() - 2 } else { STEPS.len() };
    let mut lines = Vec::new();
    for (number, step) in STEPS.iter().take(steps).enumerate() {
        lines.push(walk(&mut tour, number + 1, steps, step, args.verbose)?);
    }
    screen.summary(&lines);
    let (all, built) = (started.elapsed().as_secs_f64(), built.as_secs_f64());
    println!("demo: {} steps in {:.0} s, after {built:.0} s of building", lines.len(), all - built);
    println!("demo: ok");
    if args.keep { keep(&tour) } else { Ok(()) }
}

/// One step, with its heading and its result; a failure comes with what is needed to understand it.
fn walk(tour: &mut Tour<'_>, number: usize, of: usize, step: &tour::Step, verbose: bool) -> Result<Line> {
    tour.screen.heading(number, of, step.title);
    let log_so_far = tour.host.log().len();
    let started = Instant::now();
    let seen = (step.run)(tour);
    let time = started.elapsed();
    if verbose {
        let log = tour.host.log();
        tour.screen.aside("host", log.get(log_so_far..).unwrap_or_default());
    }
    match seen {
        Ok(seen) => {
            tour.screen.ok(&seen, time);
            Ok(Line { step: step.title.to_owned(), seen, time })
        }
        Err(failed) => {
            let gone = match tour.host.ended() {
                Ok(Some(status)) => format!("\nthe host had ended by itself ({status})"),
                _ => String::new(),
            };
            // As it was at the failure, without how it ends.
            let log = tour.host.log();
            tour.host.stop();
            tour.screen.failed(time);
            let log: Vec<_> = log.lines().collect();
            let tail = log.get(log.len().saturating_sub(LOG_LINES)..).unwrap_or_default();
            bail!(
                "demo: step {number} failed ({})\n{failed:#}{gone}\nthe end of the host's log ({}):\n  {}",
                step.title,
                tour.host.log_file().display(),
                tail.join("\n  "),
            )
        }
    }
}

/// Leaves all up until a signal ends this process, or the host ends by itself.
fn keep(tour: &Tour<'_>) -> Result<()> {
    let kubeconfig = kubectl::quoted(&tour.folder.kubeconfig().to_string_lossy());
    println!("\ndemo: all stays up. In another terminal:\n");
    for try_this in ["get webapp,deployment,service,configmap", "describe webapp hello", "edit webapp hello"]
    {
        println!("  kubectl --kubeconfig {kubeconfig} {try_this}");
    }
    println!("\n  the plugins   {}", tour.host.admin().url("/plugins"));
    println!("  their folder  {}", tour.folder.plugins().display());
    println!("  the log       {}", tour.folder.log().display());
    println!("\ndemo: Ctrl-C stops the host and its API server");
    let ended = loop {
        match tour.host.ended()? {
            Some(status) => break status,
            None => poll::pause(Duration::from_millis(200)),
        }
    };
    bail!("the host has ended by itself ({ended}); its log is {}", tour.folder.log().display())
}

/// Two demos would share a folder, and the second would take the first one's plugins away.
fn lock(workspace: &Workspace) -> Result<File> {
    let path = workspace.target.join("demo.lock");
    let unlockable = || format!("cannot lock {}", path.display());
    let file = File::create(&path).with_context(unlockable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!(
                "another demo runs here ({} is locked); stop it with Ctrl-C in its terminal",
                path.display()
            )
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(unlockable),
    }
}

/// Where the demo's files are.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// With nothing in it from a run before, and an empty folder for the plugins.
    fn fresh(workspace: &Workspace) -> Result<Self> {
        let folder = Self(workspace.target.join("demo"));
        match fs::remove_dir_all(&folder.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot empty {}", folder.0.display()));
            }
            _ => {}
        }
        let plugins = folder.plugins();
        fs::create_dir_all(&plugins).with_context(|| format!("cannot create {}", plugins.display()))?;
        Ok(folder)
    }

    pub(crate) fn plugins(&self) -> PathBuf {
        self.0.join("plugins")
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.0.join("kubeconfig")
    }

    pub(crate) fn kubectl_cache(&self) -> PathBuf {
        self.0.join("kubectl-cache")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("host.log")
    }
}
