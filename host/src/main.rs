//! `wheelhouse`: a host for Kubernetes controllers that are WebAssembly plugins.
//!
//! The composition root: it reads the command line, connects the rooms, and owns what runs at last.

mod admin;
mod cli;
mod compile;
mod devcluster;
mod directory;
mod grants;
mod inspect;
mod inspect_grant;
mod leader;
mod logging;
mod metrics;
mod own_metrics;
mod plugin_file;
mod plugins;
mod run;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Compile { order } = &cli.command {
        return wheelhouse_sandbox::compile_child(order);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("no async runtime")),
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Run(args) => run::run(args).await,
            Command::Dev(args) => run::dev(args).await,
            Command::Devcluster(args) => devcluster::serve(args).await,
            Command::Inspect(args) => inspect::inspect(args).await,
            // It has ended above, before there was a runtime.
            Command::Compile { .. } => Ok(()),
        }
    });
    // Whatever still runs (a compilation) is not waited for.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// One line: what, where, why.
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("wheelhouse: {error:#}");
    ExitCode::FAILURE
}
