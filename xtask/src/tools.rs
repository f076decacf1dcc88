//! The programs that tests and the demo use beside cargo.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, anyhow};

use crate::debian;
use crate::process;
use crate::workspace::Workspace;

/// What the end-to-end tests ask of it themselves, for those who run them without `cargo xtask`.
#[path = "../../host/devcluster/tests/support/kubectl_version.rs"]
mod kubectl_version;

/// Makes sure that there is a `kubectl` that is new enough: it is installed by hand, as the README says.
pub(crate) fn kubectl() -> Result<()> {
    let said = process::output(Command::new("kubectl").args(["version", "--client"])).map_err(|failed| {
        anyhow!(
            "{failed:#}\nTests and the demo talk to the API server with kubectl: install it \
             (https://kubernetes.io/docs/tasks/tools/), put it on PATH, and run this again"
        )
    })?;
    let version = kubectl_version::supported(&said).map_err(|wrong| anyhow!(wrong))?;
    println!("setup: kubectl {version}");
    Ok(())
}

/// Names the registry's program, for whoever has it elsewhere, and for the tests.
pub(crate) const DOCKER_REGISTRY: &str = "WHEELHOUSE_DOCKER_REGISTRY";

/// The registry that tests push to: the one that is named, the one on PATH, or Debian's. That is unpacked into the
/// target folder and not installed: its package would start a server.
pub(crate) fn docker_registry(workspace: &Workspace) -> Result<PathBuf> {
    let program = match env::var_os(DOCKER_REGISTRY) {
        Some(named) => named.into(),
        None if registry_version(Path::new("docker-registry")).is_ok() => "docker-registry".into(),
        None => {
            let folder = workspace.target.join("tools").join("docker-registry");
            let program = folder.join("usr/bin/docker-registry");
            if !program.exists() {
                debian::unpack("docker-registry", &folder).map_err(no_registry)?;
            }
            program
        }
    };
    println!("setup: {}", registry_version(&program).map_err(no_registry)?);
    Ok(program)
}

fn registry_version(program: &Path) -> Result<String> {
    Ok(process::output(Command::new(program).arg("--version"))?.trim().to_owned())
}

fn no_registry(failed: anyhow::Error) -> anyhow::Error {
    anyhow!(
        "{failed:#}\nTests push to a registry, the one of https://github.com/distribution/distribution: install \
         Debian's package docker-registry, or name the program by {DOCKER_REGISTRY}, and run this again"
    )
}

/// Whether tests can be run by `cargo nextest`, which stops a test that hangs. It is not required.
pub(crate) fn nextest(workspace: &Workspace) -> bool {
    match process::output(workspace.cargo().args(["nextest", "--version"])) {
        Ok(said) => {
            println!("setup: {}", said.lines().next().unwrap_or("cargo-nextest"));
            true
        }
        Err(_) => {
            println!("setup: no cargo-nextest (https://nexte.st), so tests are run by `cargo test`");
            false
        }
    }
}
