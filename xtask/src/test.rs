//! `cargo xtask test`: every test of the workspace, after the set-up that they need.
//!
//! Those of the embedded API server run a second time, against one in a process of its own: see `conformance`.
//!
//! A test that is skipped is a failure of the run, and is named: an `#[ignore]` that nobody sees
//! again is worth no more than a deleted test. Tests find the built plugins by
//! `WHEELHOUSE_PLUGINS_DIR` and the registry by `WHEELHOUSE_DOCKER_REGISTRY`, and never find the user's own cluster.

use std::env;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use crate::setup::Choice;
use crate::tools::DOCKER_REGISTRY;
use crate::workspace::Workspace;
use crate::{conformance, guest, process, setup, tools};

/// Where tests find the plugins, as `NAME.wasm`: an absolute path.
const PLUGINS_DIR: &str = "WHEELHOUSE_PLUGINS_DIR";

/// What running all tests may take on two cores, once they are built.
const BUDGET: Duration = Duration::from_mins(15);

/// How many tests nextest runs at once.
const THREADS: &str = "NEXTEST_TEST_THREADS";

/// Runs the tests; those that `args` select, if there are any.
pub(crate) fn run(workspace: &Workspace, choice: Choice, args: &[String]) -> Result<()> {
    let toolchain = setup::run(workspace, choice)?;
    tools::kubectl()?;
    let registry = tools::docker_registry(workspace)?;
    let nextest = tools::nextest(workspace);

    if env::var_os(conformance::VARIABLE).is_some() {
        println!(
            "test: {} is for `--conformance` and `--e2e` alone: all tests start servers of their own now",
            conformance::VARIABLE
        );
    }
    let mut report = Report::default();
    report.step("build the plugins", || {
        guest::build(workspace, &toolchain, &guest::Build::default()).map(drop)
    })?;
    let mut skipped = report.step("build the tests", || {
        if nextest { skipped_by_nextest(workspace) } else { skipped_by_cargo(workspace, "--tests") }
    })?;
    let mut failed = Vec::new();
    let tests = report.step("tests", || {
        process::run(test_command(workspace, nextest).env(DOCKER_REGISTRY, registry).args(args))
    });
    failed.extend(tests.err());
    if args.is_empty() {
        let documentation = report.step("documentation tests", || {
            skipped.extend(skipped_by_cargo(workspace, "--doc")?);
            process::run(cargo(workspace).args(["test", "--workspace", "--doc"]))
        });
        failed.extend(documentation.err());
        // What is said of other servers holds for one in another process, at least.
        let second = report.step("conformance", || {
            conformance::run(workspace, conformance::Suite::Conformance, conformance::Against::Second, &[])
        });
        failed.extend(second.err());
    } else {
        println!("test: a partial run ({}); what comes after them was left out", args.join(" "));
    }

    report.print();
    if args.is_empty() {
        let took = report.took(&["tests", "documentation tests", "conformance"]);
        println!(
            "test: running them took {} s; on two cores, it may take {}",
            took.as_secs(),
            BUDGET.as_secs()
        );
        // Elsewhere, who is to blame may be the machine.
        if took > BUDGET && env::var_os("CI").is_some() {
            failed.push(anyhow!("the tests took too long, which keeps people from running them"));
        }
    }
    for error in &failed {
        println!("test: {error:#}");
    }
    for name in &skipped {
        println!("test: skipped: {name}");
    }
    match (failed.is_empty(), skipped.len()) {
        (true, 0) => println!("test: ok"),
        (false, _) => bail!("tests failed, as said above"),
        (true, n) => {
            bail!(
                "skipped tests: {n}, named above; make them run or delete them (no `#[ignore]`, no `ignore` block)"
            )
        }
    }
    Ok(())
}

/// A cargo command as tests are run with.
pub(crate) fn cargo(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo();
    command.env(PLUGINS_DIR, workspace.plugins_dir());
    // A test that would take the cluster of whoever runs it must find none.
    command.env("KUBECONFIG", workspace.target.join("tests-have-no-cluster.kubeconfig"));
    command.env_remove("KUBERNETES_SERVICE_HOST").env_remove("KUBERNETES_SERVICE_PORT");
    // Whoever runs the suites against another server says so: see `conformance`.
    command.env_remove(conformance::VARIABLE).env_remove(conformance::WITHOUT);
    command
}

fn test_command(workspace: &Workspace, nextest: bool) -> Command {
    let mut command = cargo(workspace);
    if nextest {
        command.args(["nextest", "run", "--workspace", "--no-tests=fail"]);
        if env::var_os(THREADS).is_none() {
            command.env(THREADS, threads().to_string());
        }
    } else {
        command.args(["test", "--workspace", "--tests", "--no-fail-fast"]);
    }
    command
}

/// How many tests run at once: most of them wait for a host, a cluster or a clock most of the time. Those that compute
/// are said to need more threads than one in nextest's configuration.
fn threads() -> usize {
    2 * thread::available_parallelism().map_or(1, usize::from)
}

/// The tests that a whole run of nextest would leave out.
fn skipped_by_nextest(workspace: &Workspace) -> Result<Vec<String>> {
    let mut list = cargo(workspace);
    list.args(["nextest", "list", "--workspace", "--message-format=json"]);
    let said = process::output_with_progress(&mut list)?;
    left_out(&serde_json::from_str(&said).context("`cargo nextest list` printed no JSON")?)
}

fn left_out(list: &Value) -> Result<Vec<String>> {
    let suites = list.get("rust-suites").and_then(Value::as_object);
    let suites = suites.context("`cargo nextest list` names no `rust-suites`: its format has changed")?;
    let mut names = Vec::new();
    for (suite, about) in suites {
        for (test, case) in about.get("testcases").and_then(Value::as_object).into_iter().flatten() {
            let runs = case.pointer("/filter-match/status").and_then(Value::as_str) == Some("matches");
            if !runs {
                names.push(format!("{suite} {test}"));
            }
        }
    }
    Ok(names)
}

/// The ignored tests of a kind (`--tests`, `--doc`), by the test binaries' own list.
fn skipped_by_cargo(workspace: &Workspace, kind: &str) -> Result<Vec<String>> {
    let mut list = cargo(workspace);
    list.args(["test", "--workspace", kind, "--quiet", "--", "--list", "--ignored"]);
    let said = process::output_with_progress(&mut list)?;
    Ok(said.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

/// How long each step took.
#[derive(Default)]
struct Report(Vec<(&'static str, Duration)>);

impl Report {
    fn step<T>(&mut self, name: &'static str, run: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("test: {name} …");
        let started = Instant::now();
        let result = run();
        self.0.push((name, started.elapsed()));
        result
    }

    fn took(&self, steps: &[&str]) -> Duration {
        self.0.iter().filter(|(name, _)| steps.contains(name)).map(|(_, time)| time).sum()
    }

    fn print(&self) {
        for (name, time) in &self.0 {
            println!("test: {name:<20} {:>7.1} s", time.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn whatever_does_not_match_is_left_out() {
        let list = json!({ "rust-suites": {
            "a": { "testcases": {
                "runs": { "ignored": false, "filter-match": { "status": "matches" } },
                "ignored": { "ignored": true, "filter-match": { "status": "mismatch", "reason": "ignored" } },
            }},
            "b::it": { "testcases": {
                "filtered": { "ignored": false, "filter-match": { "status": "mismatch", "reason": "default-filter" } },
            }},
        }});
        assert_eq!(left_out(&list).unwrap(), ["a ignored", "b::it filtered"]);
    }

    #[test]
    fn what_is_built_before_the_tests_is_not_their_time() {
        let second = Duration::from_secs(1);
        let report = Report(vec![("build", 9 * second), ("tests", second), ("more", 2 * second)]);
        assert_eq!(report.took(&["tests", "more"]), 3 * second);
    }

    #[test]
    fn an_unknown_list_format_is_an_error_and_not_an_empty_list() {
        assert!(left_out(&json!({ "suites": {} })).is_err());
    }
}
