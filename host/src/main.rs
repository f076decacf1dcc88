//! `wheelhouse`: a host for Kubernetes controllers that are WebAssembly plugins.
//!
//! The composition root: it reads the command line, connects the rooms, and owns what runs at last.

mod admin;
mod binary;
mod claims;
mod cli;
mod compile;
mod component_store;
mod config_file;
mod config_show;
mod devcluster;
mod directory;
mod grants;
mod history;
mod host_events;
mod inspect;
mod inspect_grant;
mod leader;
mod loader;
mod logging;
mod metrics;
mod operate;
mod own_metrics;
mod plugin_id;
mod plugins;
mod preparation;
mod pull;
mod push;
mod resources;
mod run;
mod source;
mod terms;
mod traces;
mod transfer;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _};

use crate::cli::{Cli, Command};
use crate::config_file::ConfigFile;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    let mut command = Cli::command();
    let file = match ConfigFile::of(&command, &args) {
        Ok(file) => file,
        Err(error) => return fail(&error),
    };
    command = file.apply(command);
    let matches = command.try_get_matches_from_mut(args).unwrap_or_else(|error| error.exit());
    if let Some(text) = config_show::shown(&command, &matches, &file) {
        return print(&text).map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS);
    }
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
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
            Command::Crds => resources::yaml().and_then(|text| print(&text)),
            Command::Plugins(args) => operate::plugins(args).await,
            Command::Revisions(args) => operate::revisions(args).await,
            Command::Rollback(args) => operate::rollback(args).await,
            Command::Pause(args) => operate::pause(args).await,
            Command::Resume(args) => operate::resume(args).await,
            Command::Push(args) => push::push(args).await,
            Command::Pull(args) => pull::pull(args).await,
            // They have ended above, before there was a runtime.
            Command::Compile { .. } | Command::Config(_) => Ok(()),
        }
    });
    // Whatever still runs (a compilation) is not waited for.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Prints for a user, or for the next command.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.as_bytes()) {
        // A reader such as `head` may have seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("standard output"),
    }
}

/// One line: what, where, why.
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("wheelhouse: {error:#}");
    ExitCode::FAILURE
}
