//! `cargo xtask bench`: what a read, a call and an object cost.
//!
//! It builds the bench's guest as plugins are built, and the bench itself with all optimisations:
//! several minutes the first time. Progress goes to standard error, so that `-o json` can be piped.

use anyhow::Result;

use crate::setup::Choice;
use crate::workspace::Workspace;
use crate::{guest, process, setup};

const GUEST: &str = "bench-reader";
const HOST: &str = "wheelhouse-bench";

/// Measures, and prints the table; `args` are the bench's own.
pub(crate) fn run(workspace: &Workspace, choice: Choice, args: &[String]) -> Result<()> {
    let toolchain = setup::run(workspace, choice)?;
    let reader = guest::build_package(workspace, &toolchain, GUEST, &workspace.target.join("bench"))?;
    let mut bench = workspace.cargo();
    bench.args(["run", "--release", "--package", HOST, "--"]).arg(reader.path).args(args);
    process::run(&mut bench)
}
