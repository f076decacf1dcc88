//! `cargo xtask`: set-up and everyday work, in one command each, on a fresh clone.
//!
//! Every command does the set-up that it needs by itself and asks for nothing. A failed step exits
//! non-zero, after a message that says what was wrong and what to do.

#![allow(clippy::print_stdout, reason = "a command-line tool's progress and results go to its terminal")]

mod debian;
mod guest;
mod process;
mod setup;
mod workspace;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::setup::Choice;
use crate::workspace::Workspace;

/// Set-up and everyday work on Wheelhouse.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// How plugins are compiled: with the target from rustup, with Debian's compiler, or with the
    /// first of them that can be had.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t = Choice::Auto,
        env = "WHEELHOUSE_GUEST_TOOLCHAIN"
    )]
    guest_toolchain: Choice,
}

#[derive(Subcommand)]
enum Command {
    /// Gets what building plugins needs; says what is there. The other commands do this first.
    Setup,
    /// Builds the example plugins into target/plugins/NAME.wasm.
    BuildPlugins(BuildPlugins),
}

#[derive(Args)]
struct BuildPlugins {
    /// Packages under examples/; all of them if none is named.
    names: Vec<String>,
    /// Where the components go, instead of target/plugins.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let workspace = Workspace::find()?;
    match cli.command {
        Command::Setup => setup::run(&workspace, cli.guest_toolchain).map(drop),
        Command::BuildPlugins(args) => {
            let toolchain = setup::run(&workspace, cli.guest_toolchain)?;
            let build = guest::Build { names: args.names, out: args.out, ..guest::Build::default() };
            for plugin in guest::build(&workspace, &toolchain, &build)? {
                println!("{}: {}", plugin.name, plugin.path.display());
            }
            Ok(())
        }
    }
}
