//! `cargo xtask`: set-up and everyday work, in one command each, on a fresh clone.
//!
//! Every command does the set-up that it needs by itself and asks for nothing. A failed step exits
//! non-zero, after a message that says what was wrong and what to do.

#![allow(clippy::print_stdout, reason = "a command-line tool's progress and results go to its terminal")]

mod bench;
mod children;
mod conformance;
mod debian;
mod demo;
mod guest;
mod host_build;
mod process;
mod real_server;
mod second_server;
mod setup;
mod test;
mod tools;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

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
    /// Builds the host: target/debug/wheelhouse. Nothing is built a second time for the demo or the tests.
    BuildHost,
    /// Builds the plugins and runs every test; fails if one was skipped.
    Test(Test),
    /// Builds everything and shows it at work, step by step, each step verified.
    Demo(demo::Demo),
    /// Measures what a read, a call and an object cost, in a release build.
    Bench(Bench),
}

#[derive(Args)]
struct BuildPlugins {
    /// Packages under examples/; all of them if none is named.
    names: Vec<String>,
    /// Where the components go, instead of target/plugins.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Args)]
struct Test {
    /// Only what a client notices of the API server: against the embedded one, or against the cluster whose
    /// kubeconfig WHEELHOUSE_TEST_KUBECONFIG names. No plugin is built.
    #[arg(long, conflicts_with = "e2e")]
    conformance: bool,
    /// Only what `kubectl` does, against the same.
    #[arg(long)]
    e2e: bool,
    /// Starts the kube-apiserver and the etcd that are in the folder KUBEBUILDER_ASSETS, and the
    /// kube-controller-manager if there is one, runs against them, and ends them.
    #[arg(long, conflicts_with = "second")]
    real: bool,
    /// Starts the embedded server as a process of its own, runs against that as against any cluster, and ends it.
    #[arg(long)]
    second: bool,
    /// For `cargo nextest run` (or `cargo test`), such as a test's name. With any, the run is a
    /// partial one: documentation tests, and those against a second server, are left out.
    #[arg(last = true)]
    args: Vec<String>,
}

#[derive(Args)]
struct Bench {
    /// For the bench, such as `-o json`; `-- --help` tells them all.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not by returning it: with RUST_BACKTRACE set, the message would drown.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let workspace = Workspace::find()?;
    match cli.command {
        Command::Setup => {
            setup::run(&workspace, cli.guest_toolchain)?;
            tools::nextest(&workspace);
            tools::docker_registry(&workspace)?;
            tools::kubectl()
        }
        Command::BuildPlugins(args) => {
            let toolchain = setup::run(&workspace, cli.guest_toolchain)?;
            let build = guest::Build { names: args.names, out: args.out, ..guest::Build::default() };
            for plugin in guest::build(&workspace, &toolchain, &build)? {
                println!("{}: {}", plugin.name, plugin.path.display());
            }
            Ok(())
        }
        Command::BuildHost => {
            println!("wheelhouse: {}", host_build::run(&workspace)?.display());
            Ok(())
        }
        Command::Test(args) => {
            let against = conformance::Against::of(args.real, args.second);
            match conformance::Suite::of(args.conformance, args.e2e, against)? {
                Some(suite) => conformance::run(&workspace, suite, against, &args.args),
                None => test::run(&workspace, cli.guest_toolchain, &args.args),
            }
        }
        Command::Demo(args) => demo::run(&workspace, cli.guest_toolchain, &args),
        Command::Bench(args) => bench::run(&workspace, cli.guest_toolchain, &args.args),
    }
}
