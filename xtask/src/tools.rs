//! The programs that tests and the demo use beside cargo.

use std::process::Command;

use anyhow::{Result, anyhow};

use crate::process;
use crate::workspace::Workspace;

/// Makes sure that there is a `kubectl`: it is installed by hand, as the README says.
pub(crate) fn kubectl() -> Result<()> {
    let said = process::output(Command::new("kubectl").args(["version", "--client"])).map_err(|failed| {
        anyhow!(
            "{failed:#}\nTests and the demo talk to the API server with kubectl: install it \
             (https://kubernetes.io/docs/tasks/tools/), put it on PATH, and run this again"
        )
    })?;
    let version =
        said.lines().find_map(|line| line.strip_prefix("Client Version:")).unwrap_or("of unknown version");
    println!("setup: kubectl {}", version.trim());
    Ok(())
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
