//! What a read, a call and an object cost: run it by `cargo xtask bench`.
//!
//! Everything is measured in one run, on one thread (tokio's current-thread runtime; compiling alone
//! uses more), so that the figures can be compared with each other. The guest's reads go all the way:
//! sandbox, gate, delegating client, store. A read rotates over all the Pods that there are, since a
//! controller does not read one object over and over. Rounds of all scenarios alternate, so that
//! what else the machine does falls on all of them alike. Nothing is subtracted from any figure: an
//! operation's time has one reading of the clock in it, whose cost is shown.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool's results go to its terminal"
)]

mod contention;
mod hosted;
mod native;
mod noise;
mod report;
mod samples;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use wheelhouse_core::limits::Limits;
use wheelhouse_sandbox::{Compiled, Sandbox, SandboxConfig};

use crate::native::Native;
use crate::report::{Report, Row, Unit};
use crate::samples::Samples;
use crate::world::{PER_NODE, Plugin, World, pod_json};

/// Pods of the world in which lists are measured.
const LISTED: usize = 1_000;

/// Measures what a read, a call and an object cost.
#[derive(Parser)]
struct Args {
    /// The component of `bench/guest`.
    component: PathBuf,
    /// How the figures are printed.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Pods in the large store.
    #[arg(long, default_value_t = 100_000)]
    pods: usize,
    /// How often each scenario is measured, in turn with the others: a round is some 1,000 gets and 10 lists.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Measure just this scenario of the guest, and print its median and p95: for profiling.
    #[arg(long)]
    only: Option<String>,
    /// Measure just what a writer costs readers.
    #[arg(long, conflicts_with = "only")]
    contention: bool,
    /// Measure just what a noisy plugin costs a quiet one.
    #[arg(long, conflicts_with_all = ["only", "contention"])]
    noise: bool,
    /// Measure just what the controller around a plugin costs, and how long another revision takes to take over.
    #[arg(long, conflicts_with_all = ["only", "contention", "noise"])]
    hosted: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Table,
    Json,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let Some(report) = report(&args)? else { return Ok(ExitCode::SUCCESS) };
    match args.output {
        Output::Table => println!("{}", report.text()),
        Output::Json => println!("{:#}", report.json()),
    }
    let (missed, of) = report.missed();
    if missed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{missed} of {of} budgets were missed; a machine that does something else besides misses some");
    Ok(ExitCode::FAILURE)
}

/// What was asked for; none if it was a single scenario, which is no report.
fn report(args: &Args) -> Result<Option<Report>> {
    if args.contention {
        let mut report = Report::default();
        for pods in [LISTED, args.pods] {
            report.section(
                format!("reading a store of {pods} Pods while another thread writes"),
                contention::measure(pods)?,
            );
        }
        return Ok(Some(report));
    }
    let component = std::fs::read(&args.component)
        .with_context(|| format!("cannot read {}", args.component.display()))?;
    if args.noise {
        let mut report = Report::default();
        report.section(NOISE, noise::measure(&component, LISTED)?);
        return Ok(Some(report));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if args.hosted {
        let rows = runtime.block_on(async {
            let sandbox = Sandbox::new(SandboxConfig::default())?;
            let compiled = sandbox.compile(component.as_slice().into()).await?;
            hosted::measure(&sandbox, &compiled, &World::filled(LISTED).await?, args.rounds).await
        })?;
        let mut report = Report::default();
        report.section(HOSTED, rows);
        return Ok(Some(report));
    }
    let Some(mut report) = runtime.block_on(run(args, &component))? else { return Ok(None) };
    drop(runtime);
    report.section(NOISE, noise::measure(&component, LISTED)?);
    Ok(Some(report))
}

const HOSTED: &str = "the controller around a plugin of 1,000 Pods";
const NOISE: &str = "a quiet plugin's reconciles beside a noisy one's";

/// The figures; none if only one scenario was asked for.
async fn run(args: &Args, bytes: &[u8]) -> Result<Option<Report>> {
    // First of all, as long as there is no freed memory to be used again.
    let before = resident();
    let large = World::filled(if args.only.is_none() { args.pods } else { LISTED }).await?;
    let after = resident();

    let size = bytes.len();
    let sandbox = Sandbox::new(SandboxConfig::default())?;
    let started = Instant::now();
    let compiled = sandbox.compile(bytes.into()).await?;
    let compile = started.elapsed();

    if let Some(scenario) = &args.only {
        only(scenario, args.rounds, &large.plugin(&compiled, unhindered()).await?).await?;
        return Ok(None);
    }
    let small = World::filled(LISTED).await?;
    let guests = Guests::measure(&compiled, &small, &large, args.rounds).await?;

    let mut report = guests.report(args.pods);
    report.section(HOSTED, hosted::measure(&sandbox, &compiled, &small, args.rounds).await?);
    let pods = large.informer.store().len() as f64;
    let encoded = large.informer.store().bytes() as f64 / pods;
    let mut memory =
        vec![Row::once("JSON text of the Pod", Unit::Bytes, pod_json(0, args.pods).len() as f64)];
    memory.push(Row::once("encoded", Unit::Bytes, encoded));
    if let (Some(before), Some(after)) = (before, after) {
        let each = after.saturating_sub(before) as f64 / pods;
        memory.push(Row::once("resident, all told: tree, keys, 2 indexes", Unit::Bytes, each).within(5e3));
    }
    report.section(format!("memory of each of {} Pods in the store", args.pods), memory);
    drop((small, large));
    report.section(
        format!("reading one thread's store of {LISTED} Pods while another writes to it"),
        contention::measure(LISTED)?,
    );
    report.section(format!("likewise, of {} Pods", args.pods), contention::measure(args.pods)?);
    let component = vec![
        Row::once("size", Unit::Bytes, size as f64),
        Row::once("compile (all threads)", Unit::Nanoseconds, compile.as_nanos() as f64),
    ];
    report.section("the bench's component (with the whole typed Pod in it)", component);
    report.note(format!("{} rounds; one thread; load average {}", args.rounds, load().trim()));
    report.note(
        "\"guest\" is all of sandbox, gate, client and store; every time has one reading of the clock in it",
    );
    Ok(Some(report))
}

/// The limits of a plugin that does nothing but read all the time, and is to be let.
fn unhindered() -> Limits {
    let long = Duration::from_secs(3600);
    Limits {
        cpu_per_second: long,
        prompt_cpu_per_second: long,
        reconcile_cpu: long,
        reconcile_timeout: long,
        ..Limits::default()
    }
}

/// Runs one scenario alone.
async fn only(scenario: &str, rounds: usize, plugin: &Plugin) -> Result<()> {
    let times = if scenario.starts_with("list") { 10 } else { 1_000 };
    let mut samples = Samples::default();
    for round in 0..=rounds {
        let started = Instant::now();
        let nanos = plugin.run(scenario, times).await?;
        match (round, scenario) {
            (0, _) => {}
            (_, "nothing") => samples.push(started),
            _ => samples.extend(nanos),
        }
    }
    println!("{scenario}: median {} ns, p95 {} ns, {} times", samples.median(), samples.p95(), samples.len());
    Ok(())
}

/// Bytes that the process has in memory, where the kernel tells.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_else(|_| "unknown".to_owned());
    load.split_whitespace().take(1).collect()
}

/// The guest's scenarios in a world, and what was measured of each.
struct Scenarios(Vec<(&'static str, Samples)>);

impl Scenarios {
    fn new(names: &[&'static str]) -> Self {
        Self(names.iter().map(|name| (*name, Samples::default())).collect())
    }

    async fn round(&mut self, plugin: &Plugin, keep: bool) -> Result<()> {
        for (name, samples) in &mut self.0 {
            let times = match *name {
                "clock" => 1_000,
                name if name.starts_with("get") => 1_000,
                name if name.starts_with("list") => 10,
                _ => 100,
            };
            let nanos = plugin.run(name, times).await?;
            if keep {
                samples.extend(nanos);
            }
        }
        Ok(())
    }

    fn of(&self, name: &str) -> Samples {
        let found = self.0.iter().find(|(other, _)| *other == name);
        found.map(|(_, samples)| samples.clone()).unwrap_or_default()
    }
}

const INDEX: [&str; 4] = ["index-count-warm", "index-list-warm", "index-count", "index-list"];

/// Everything that is measured in rounds.
struct Guests {
    native: Native,
    small: Scenarios,
    large: Scenarios,
    warm: Samples,
    fresh: Samples,
    /// With a log as a host has it, and no traces.
    logged: Samples,
    logged_gets: Scenarios,
}

impl Guests {
    async fn measure(compiled: &Compiled, small: &World, large: &World, rounds: usize) -> Result<Self> {
        let reads =
            ["clock", "get-bytes", "get-fields", "get-typed", "list-bytes", "list-fields", "list-typed"];
        let mut all = Self {
            native: Native::new(LISTED)?,
            small: Scenarios::new(&[&reads[..], &INDEX[..]].concat()),
            large: Scenarios::new(&[&["get-fields"][..], &INDEX[..]].concat()),
            warm: Samples::default(),
            fresh: Samples::default(),
            logged: Samples::default(),
            logged_gets: Scenarios::new(&["get-fields"]),
        };
        let in_small = small.plugin(compiled, unhindered()).await?;
        let in_large = large.plugin(compiled, unhindered()).await?;
        let once = Limits { instance_calls: 1, ..unhindered() };
        let never_warm = small.plugin(compiled, once).await?;
        // The first round warms up, and does not count.
        for round in 0..=rounds {
            all.small.round(&in_small, round > 0).await?;
            all.large.round(&in_large, round > 0).await?;
            let mut warm = Samples::default();
            let mut fresh = Samples::default();
            calls(&in_small, &mut warm).await?;
            calls(&never_warm, &mut fresh).await?;
            let mut logged = Samples::default();
            // Everything is on this thread. Without it, no log is there at all.
            let log = tracing::dispatcher::set_default(&noise::log());
            calls(&in_small, &mut logged).await?;
            all.logged_gets.round(&in_small, round > 0).await?;
            drop(log);
            if round > 0 {
                all.native.measure(small, 1_000, 10);
                all.warm.merge(warm);
                all.fresh.merge(fresh);
                all.logged.merge(logged);
            }
        }
        Ok(all)
    }

    fn report(&self, pods: usize) -> Report {
        let native = &self.native;
        let of = |name: &str| self.small.of(name);
        let mut report = Report::default();

        let get = |name: &str, samples: &Samples| {
            Row::times(name, samples)
                .beside("parse", &native.parse_typed)
                .beside("clone", &native.clone_typed)
        };
        report.section(
            "get of one Pod",
            vec![
                Row::times("guest: reading the clock, twice", &of("clock")),
                get("guest: bytes only", &of("get-bytes")),
                get("guest: four fields in place", &of("get-fields")).p95_within(5e3),
                get(&format!("guest: four fields in place, among {pods}"), &self.large.of("get-fields"))
                    .p95_within(5e3),
                get(
                    "guest: four fields in place, with a host's log and no traces",
                    &self.logged_gets.of("get-fields"),
                )
                .p95_within(5e3),
                get("guest: typed", &of("get-typed")).within_times(2.0, "parse", native.parse_typed.median()),
                get("native: four fields in place, from the store", &native.store_fields),
                get("native: typed, from the store", &native.store_typed),
                Row::times("native: JSON parse, four fields", &native.parse_fields),
                Row::times("native: JSON parse, typed (\"parse\")", &native.parse_typed),
                Row::times("native: clone, typed (\"clone\")", &native.clone_typed),
            ],
        );

        let list = |name: &str, samples: &Samples| {
            Row::times(name, samples)
                .beside("parse", &native.list_parse_typed)
                .beside("clone", &native.list_clone_typed)
        };
        report.section(
            format!("list of {LISTED} Pods"),
            vec![
                list("guest: bytes only", &of("list-bytes")),
                list("guest: four fields in place", &of("list-fields")).p95_within(1.7e6),
                list("guest: typed", &of("list-typed")),
                list("native: four fields in place, from the store", &native.list_store_fields),
                Row::times("native: JSON parse, typed (\"parse\")", &native.list_parse_typed),
                Row::times("native: clone, typed (\"clone\")", &native.list_clone_typed),
            ],
        );

        let mut hits = Vec::new();
        for (name, what, warm) in [
            ("index-count-warm", "count, one value over and over", true),
            ("index-list-warm", "list, one value over and over", true),
            ("index-count", "count, a value after another", false),
            ("index-list", "list, a value after another", false),
        ] {
            let (few, many) = (of(name), self.large.of(name));
            hits.push(Row::times(format!("{what}, among {LISTED}"), &few));
            let row = Row::times(format!("{what}, among {pods}"), &many).beside("among few", &few);
            // Half as much again: a tree of a hundred times as many has a level more. What is spread
            // over more memory than the processor caches costs more, whatever the index does.
            hits.push(if warm { row.within_times(1.5, "among few", few.median()) } else { row });
        }
        report.section(format!("{PER_NODE} hits of a field index, in a guest"), hits);

        let fresh = Row::times("fresh instance: instantiate, call, drop", &self.fresh);
        let logged = Row::times("warm instance, with a host's log and no traces", &self.logged);
        report.section(
            "a reconcile with nothing to do",
            vec![
                Row::times("warm instance", &self.warm).within(3e3),
                logged.beside("warm", &self.warm).within(3e3),
                fresh.beside("warm", &self.warm),
            ],
        );
        report
    }
}

/// Some calls with nothing to do.
async fn calls(plugin: &Plugin, samples: &mut Samples) -> Result<()> {
    for _ in 0..200 {
        let started = Instant::now();
        plugin.run("nothing", 0).await?;
        samples.push(started);
    }
    Ok(())
}
