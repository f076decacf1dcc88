//! What plugins are compiled with, and how it gets onto the machine.
//!
//! Tried in this order: the target's standard library is installed; `rustup` installs it; Debian's
//! compiler builds the standard library from source, its packages being installed if they are not.
//! Nothing is asked; what cannot be done ends in an error with the command to run by hand.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum;

use crate::debian::{self, Debian, Missing};
use crate::process;
use crate::workspace::Workspace;

/// What a plugin is built for.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// A download of some 20 MB; a server that cannot be reached answers (or does not) long before.
const RUSTUP_LIMIT: Duration = Duration::from_secs(60);

/// How long a failure of rustup's is remembered, so that each command does not wait for it again.
const RUSTUP_RETRY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// The first of the others that can be had.
    Auto,
    /// The active toolchain, with the target from rustup.
    Rustup,
    /// Debian's rustc-web, with the standard library built from source.
    Debian,
}

/// What plugins are compiled with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The active toolchain has the target's standard library.
    Installed,
    /// Debian's compiler, and the standard library from its source.
    Debian(Debian),
}

/// Gets the toolchain for plugins, installing what is missing, and says in a line what it is.
pub(crate) fn run(workspace: &Workspace, choice: Choice) -> Result<Toolchain> {
    let machine = ThisMachine { refusal: workspace.target.join("guest").join("rustup-refused") };
    let toolchain = decide(&machine, choice)?;
    match &toolchain {
        Toolchain::Installed => {
            eprintln!("setup: plugins are built with {} for {TARGET}", rustc_version("rustc")?)
        }
        Toolchain::Debian(debian) => eprintln!("setup: plugins are built with {debian} for {TARGET}"),
    }
    Ok(toolchain)
}

/// What the decision needs to know of the machine, and to do to it.
trait Machine {
    /// Whether the active toolchain has the target's standard library.
    fn has_target(&self) -> bool;
    /// Why rustup failed a short while ago, if it did.
    fn recent_refusal(&self) -> Option<String>;
    /// Has rustup install the target.
    fn add_target(&self) -> Result<()>;
    fn debian(&self) -> Result<Debian, Missing>;
    fn install(&self, missing: &Missing) -> Result<()>;
}

fn decide(machine: &dyn Machine, choice: Choice) -> Result<Toolchain> {
    let refused = match choice {
        Choice::Debian => anyhow!("not tried, since Debian's compiler was asked for"),
        Choice::Auto | Choice::Rustup if machine.has_target() => return Ok(Toolchain::Installed),
        Choice::Auto if let Some(refusal) = machine.recent_refusal() => anyhow!(refusal),
        Choice::Auto | Choice::Rustup => match machine.add_target() {
            Ok(()) => return Ok(Toolchain::Installed),
            Err(refused) => refused,
        },
    };
    let by_rustup = format!("rustup target add {TARGET}");
    if choice == Choice::Rustup {
        return Err(refused.context(format!("plugins cannot be built: `{by_rustup}` failed; run it by hand")));
    }
    match machine.debian() {
        Ok(debian) => Ok(Toolchain::Debian(debian)),
        Err(missing) => machine
            .install(&missing)
            .and_then(|()| machine.debian().map_err(|missing| anyhow!("after the installation: {missing}")))
            .map(Toolchain::Debian)
            .map_err(|failed| {
                anyhow!(
                    "plugins cannot be built: the standard library for {TARGET} is missing.\n  \
                     rustup: {refused:#}\n  \
                     Debian's packages: {failed:#}\n\
                     Run one of these by hand, and this command again:\n  \
                     {by_rustup}\n  \
                     sudo apt-get update && sudo {}",
                    debian::install_command(),
                )
            }),
    }
}

struct ThisMachine {
    /// A file with rustup's last words, if it failed.
    refusal: PathBuf,
}

impl Machine for ThisMachine {
    fn has_target(&self) -> bool {
        let asked =
            process::output(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]));
        let Ok(entries) = asked.and_then(|dir| Ok(fs::read_dir(dir.trim())?)) else { return false };
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libstd-") && name.ends_with(".rlib")
        })
    }

    fn recent_refusal(&self) -> Option<String> {
        let written = fs::metadata(&self.refusal).and_then(|file| file.modified()).ok()?;
        let age = SystemTime::now().duration_since(written).ok()?;
        if age > RUSTUP_RETRY {
            return None;
        }
        let said = fs::read_to_string(&self.refusal).ok()?;
        Some(format!(
            "failed {} minutes ago: {said} (try again: --guest-toolchain rustup)",
            age.as_secs() / 60
        ))
    }

    fn add_target(&self) -> Result<()> {
        eprintln!("setup: rustup target add {TARGET}");
        let mut rustup = Command::new("rustup");
        // A retry or a backtrace tells nobody anything new, and there is another way.
        rustup.args(["target", "add", TARGET]).env("RUSTUP_MAX_RETRIES", "1").env("RUST_BACKTRACE", "0");
        let added = process::quietly_within(&mut rustup, RUSTUP_LIMIT)
            .and_then(|()| self.has_target().then_some(()).context("the active rustc is not rustup's"));
        match &added {
            Ok(()) => drop(fs::remove_file(&self.refusal)),
            Err(refused) => {
                eprintln!("setup: rustup could not: {refused:#}");
                // Not to remember it costs time, and nothing else.
                let _ = self.refusal.parent().map(fs::create_dir_all);
                let _ = fs::write(&self.refusal, format!("{refused:#}"));
            }
        }
        added
    }

    fn debian(&self) -> Result<Debian, Missing> {
        debian::find()
    }

    fn install(&self, missing: &Missing) -> Result<()> {
        debian::install(missing)
    }
}

/// What a compiler calls itself: `rustc 1.95.0 (…)`.
pub(crate) fn rustc_version(rustc: &str) -> Result<String> {
    Ok(process::output(Command::new(rustc).arg("--version"))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    #[derive(Default)]
    struct Fake {
        target: Cell<bool>,
        rustup_works: bool,
        refusal: Option<&'static str>,
        packages: Cell<bool>,
        apt_works: bool,
        done: RefCell<Vec<&'static str>>,
    }

    impl Machine for Fake {
        fn has_target(&self) -> bool {
            self.target.get()
        }
        fn recent_refusal(&self) -> Option<String> {
            self.refusal.map(str::to_owned)
        }
        fn add_target(&self) -> Result<()> {
            self.done.borrow_mut().push("rustup");
            self.target.set(self.rustup_works);
            self.rustup_works.then_some(()).context("no such host")
        }
        fn debian(&self) -> Result<Debian, Missing> {
            if self.packages.get() { Ok(Debian::example()) } else { Err(Missing::example()) }
        }
        fn install(&self, _: &Missing) -> Result<()> {
            self.done.borrow_mut().push("apt");
            self.packages.set(self.apt_works);
            self.apt_works.then_some(()).context("not root")
        }
    }

    #[test]
    fn an_installed_target_is_used_and_nothing_is_done() {
        let machine = Fake { target: true.into(), packages: true.into(), ..Fake::default() };
        assert_eq!(decide(&machine, Choice::Auto).unwrap(), Toolchain::Installed);
        assert!(machine.done.borrow().is_empty());
    }

    #[test]
    fn rustup_goes_before_debian_even_if_its_packages_are_there() {
        let machine = Fake { rustup_works: true, packages: true.into(), ..Fake::default() };
        assert_eq!(decide(&machine, Choice::Auto).unwrap(), Toolchain::Installed);
        assert_eq!(*machine.done.borrow(), ["rustup"]);
    }

    #[test]
    fn where_rustup_fails_installed_packages_are_used() {
        let machine = Fake { packages: true.into(), ..Fake::default() };
        assert!(matches!(decide(&machine, Choice::Auto).unwrap(), Toolchain::Debian(_)));
        assert_eq!(*machine.done.borrow(), ["rustup"]);
    }

    #[test]
    fn where_rustup_fails_missing_packages_are_installed() {
        let machine = Fake { apt_works: true, ..Fake::default() };
        assert!(matches!(decide(&machine, Choice::Auto).unwrap(), Toolchain::Debian(_)));
        assert_eq!(*machine.done.borrow(), ["rustup", "apt"]);
    }

    #[test]
    fn rustup_is_not_asked_again_soon_after_it_failed() {
        let machine = Fake { refusal: Some("no such host"), packages: true.into(), ..Fake::default() };
        assert!(matches!(decide(&machine, Choice::Auto).unwrap(), Toolchain::Debian(_)));
        assert!(machine.done.borrow().is_empty());
    }

    #[test]
    fn where_nothing_works_the_error_has_the_reasons_and_the_commands() {
        let error = decide(&Fake::default(), Choice::Auto).unwrap_err().to_string();
        for part in ["no such host", "not root", "rustup target add wasm32-wasip2", "sudo apt-get install"] {
            assert!(error.contains(part), "{part:?} is missing in: {error}");
        }
    }

    #[test]
    fn a_choice_is_kept_to() {
        let machine = Fake { packages: true.into(), ..Fake::default() };
        assert!(decide(&machine, Choice::Rustup).is_err());
        let machine = Fake { target: true.into(), packages: true.into(), ..Fake::default() };
        assert!(matches!(decide(&machine, Choice::Debian).unwrap(), Toolchain::Debian(_)));
        assert!(machine.done.borrow().is_empty());
    }
}
