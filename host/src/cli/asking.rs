//! The commands that ask a running host.

use std::net::SocketAddr;

use clap::Args;

use super::Output;

/// Where a running host is asked.
#[derive(Args, Debug)]
pub(crate) struct AskArgs {
    /// The host's admin address. It takes orders from its own machine alone: use `kubectl exec`, or
    /// `kubectl port-forward`, for a host in a Pod.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9440", env = "WHEELHOUSE_ADMIN_ADDR")]
    pub(crate) admin_addr: SocketAddr,
}

#[derive(Args, Debug)]
pub(crate) struct PluginsArgs {
    /// How to print them.
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) ask: AskArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RevisionsArgs {
    /// The plugin's name.
    pub(crate) name: String,
    /// How to print them.
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) ask: AskArgs,
}

#[derive(Args, Debug)]
pub(crate) struct OrderArgs {
    /// The plugin's name.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) ask: AskArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    pub(crate) order: OrderArgs,
    /// The revision's number; the one before, if not given.
    pub(crate) revision: Option<u64>,
}
