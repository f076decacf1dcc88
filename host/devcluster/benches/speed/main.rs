//! How fast the embedded API server is, over HTTP, as its clients notice it.
//!
//! It starts servers within this process, with the clients beside them on the same cores, and prints one line for
//! each figure: what, the figure, and the budget where there is one. It ends with 1 if a budget is missed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark's results go to its terminal")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what goes wrong ends the benchmark, and figures are rounded anyway"
)]

mod connection;
mod lists;
mod objects;
mod report;
mod watches;
mod writes;

use std::process::ExitCode;
use std::time::Instant;

use wheelhouse_devcluster::{DevCluster, DevClusterConfig};

use crate::report::{Report, millis};

const HELP: &str = "\
Measures the embedded API server.

Usage: cargo bench -p wheelhouse-devcluster [-- NAME...]

NAME is a part of the benchmark; all of them if none is given, each in a process of its own, so that none has the memory
that another one left:
  start    how long a server takes to start
  writes   creates and updates per second, in memory and with a data directory
  lists    lists of 10,000 Pods of about 5 KB, whole and in pages, and the memory that they take
  watches  2,000 watches while objects are written, of one resource and over 200 namespaces

Ends with 1 if a budget is missed, and with 2 if a name is unknown.
";
const PARTS: &[&str] = &["start", "writes", "lists", "watches"];

#[tokio::main]
async fn main() -> ExitCode {
    // Cargo itself passes `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = arguments.iter().find(|argument| !PARTS.contains(&argument.as_str())) {
        eprintln!("error: {unknown:?} is none of {}", PARTS.join(", "));
        return ExitCode::from(2);
    }
    let wanted = |part: &&&str| arguments.is_empty() || arguments.iter().any(|argument| argument == **part);
    let parts: Vec<&str> = PARTS.iter().filter(wanted).copied().collect();
    if parts.len() > 1 {
        return apart(&parts);
    }
    let mut report = Report::new();
    match parts.as_slice() {
        ["start"] => start(&mut report).await,
        ["writes"] => writes::run(&mut report).await,
        ["lists"] => lists::run(&mut report).await,
        _ => watches::run(&mut report).await,
    }
    report.end()
}

/// Each part in a process of its own, one after another; fails if one does.
fn apart(parts: &[&str]) -> ExitCode {
    let this = std::env::current_exe().unwrap();
    let run = |part: &&str| std::process::Command::new(&this).arg(part).status().unwrap().success();
    let failed = parts.iter().map(run).filter(|is_kept| !is_kept).count();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn start(report: &mut Report) {
    let mut times = Vec::new();
    for _ in 0..20 {
        let started = Instant::now();
        let cluster = DevCluster::start(DevClusterConfig::default()).await.unwrap();
        times.push(started.elapsed());
        cluster.shutdown().await;
    }
    times.sort_unstable();
    report.at_most("start, median of 20", millis(times[times.len() / 2]), "ms", 50.0);
}
