//! `cargo xtask test --conformance` and `--e2e`: the tests of the embedded API server, alone or against another one.
//!
//! Nothing is left out in silence: it says how many cases there are, and of those that run against the embedded
//! server though another one is there, which and why. Every case runs; an ignored one is a failure.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::real_server::RealServer;
use crate::second_server::SecondServer;
use crate::workspace::Workspace;
use crate::{host_build, process, test, tools};

const PACKAGE: &str = "wheelhouse-devcluster";
/// Names the kubeconfig of another server, for the tests.
pub(crate) const VARIABLE: &str = "WHEELHOUSE_TEST_KUBECONFIG";
/// Tells the tests what the other server lacks: all controllers, or those of workloads.
pub(crate) const WITHOUT: &str = "WHEELHOUSE_TEST_WITHOUT";
const CONTROLLERS: &str = "controllers";
const WORKLOADS: &str = "workloads";
const LIST: &str = "host/devcluster/tests/foreign/embedded-only.json";

/// Which tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suite {
    Conformance,
    EndToEnd,
}

impl Suite {
    /// The one that the flags ask for, if they ask for one.
    pub(crate) fn of(conformance: bool, end_to_end: bool, against: Against) -> Result<Option<Self>> {
        match (conformance, end_to_end) {
            (true, _) => Ok(Some(Self::Conformance)),
            (_, true) => Ok(Some(Self::EndToEnd)),
            _ if against != Against::Named => bail!(
                "`--real` and `--second` go with `--conformance` or `--e2e`: the other tests start their own servers"
            ),
            _ => Ok(None),
        }
    }

    /// The test binaries.
    fn binaries(self) -> &'static [&'static str] {
        match self {
            Self::Conformance => &["api", "access"],
            Self::EndToEnd => &["kubectl"],
        }
    }

    /// Whether a second server has stand-ins for workloads, as the embedded one has in most of the tests.
    fn has_workloads(self) -> bool {
        self == Self::EndToEnd
    }

    fn name(self) -> &'static str {
        match self {
            Self::Conformance => "conformance",
            Self::EndToEnd => "e2e",
        }
    }
}

/// Which server the tests are asked to run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    /// That of the kubeconfig that the environment names, or the embedded one within each test.
    Named,
    /// A kube-apiserver that is started for it.
    Real,
    /// The embedded one in a process of its own.
    Second,
}

impl Against {
    pub(crate) fn of(real: bool, second: bool) -> Self {
        match (real, second) {
            (true, _) => Self::Real,
            (_, true) => Self::Second,
            _ => Self::Named,
        }
    }

    /// What is built: with the host, all that is, since its dependencies would have other features without the rest.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Second => &["--workspace"],
            Self::Named | Self::Real => &["--package", PACKAGE],
        }
    }
}

/// The server that the tests are to run against.
enum Target {
    Embedded,
    Named(PathBuf),
    Real(RealServer),
    Second { server: SecondServer, has_workloads: bool },
}

impl Target {
    fn find(workspace: &Workspace, suite: Suite, against: Against) -> Result<Self> {
        match against {
            Against::Real => return RealServer::start(&workspace.target.join("real-server")).map(Self::Real),
            Against::Second => {
                let host = host_build::run(workspace)?;
                let folder = workspace.target.join("second-server");
                let has_workloads = suite.has_workloads();
                let flags: &[&str] = if has_workloads { &["--workloads"] } else { &[] };
                let server = SecondServer::start(&host, &folder, flags)?;
                return Ok(Self::Second { server, has_workloads });
            }
            Against::Named => {}
        }
        match env::var_os(VARIABLE) {
            None => Ok(Self::Embedded),
            // Tests run in another folder.
            Some(file) => Ok(Self::Named(
                fs::canonicalize(&file)
                    .with_context(|| format!("{VARIABLE}: {}", Path::new(&file).display()))?,
            )),
        }
    }

    fn kubeconfig(&self) -> Option<&Path> {
        match self {
            Self::Embedded => None,
            Self::Named(file) => Some(file),
            Self::Real(server) => Some(server.kubeconfig()),
            Self::Second { server, .. } => Some(server.kubeconfig()),
        }
    }

    /// The lists of what of a binary does not run there.
    fn lists(&self, binary: &str) -> Vec<String> {
        if let Self::Embedded = self {
            return Vec::new();
        }
        let without = self.lacks().map(|what| format!("{binary}-without-{what}"));
        [binary.to_owned()].into_iter().chain(without).collect()
    }

    /// What it lacks that clusters have. One that is named has all.
    fn lacks(&self) -> Option<&'static str> {
        match self {
            Self::Real(server) if !server.has_controllers() => Some(CONTROLLERS),
            Self::Second { has_workloads: false, .. } => Some(WORKLOADS),
            Self::Embedded | Self::Named(_) | Self::Real(_) | Self::Second { .. } => None,
        }
    }
}

/// Runs a suite; of it what `args` select, if there are any.
pub(crate) fn run(workspace: &Workspace, suite: Suite, against: Against, args: &[String]) -> Result<()> {
    if suite == Suite::EndToEnd || against == Against::Real {
        tools::kubectl()?;
    }
    let nextest = tools::nextest(workspace);
    let name = suite.name();
    println!("{name}: build the tests …");
    let mut cases = Vec::new();
    for binary in suite.binaries() {
        let ignored = listed(workspace, against, binary, &["--ignored"])?;
        if !ignored.is_empty() {
            bail!("ignored tests: {}; make them run or delete them", ignored.join(", "));
        }
        let of_binary = listed(workspace, against, binary, &[])?;
        if of_binary.is_empty() {
            bail!("the test binary {binary:?} lists no tests");
        }
        cases.push((*binary, of_binary));
    }
    let target = Target::find(workspace, suite, against)?;
    let json = fs::read_to_string(workspace.root.join(LIST))?;
    let mut listed = Vec::new();
    for (binary, cases) in &cases {
        listed.push((*binary, cases, reasons(&json, &target.lists(binary))?));
    }
    let mut plan = Plan::default();
    listed.iter().for_each(|(binary, cases, reasons)| plan.add(binary, cases, reasons));
    plan.print(name, target.kubeconfig());
    let mut command = command(workspace, suite, against, nextest);
    if let Some(kubeconfig) = target.kubeconfig() {
        command.env(VARIABLE, kubeconfig);
    }
    match target.lacks() {
        Some(what) => command.env(WITHOUT, what),
        None => command.env_remove(WITHOUT),
    };
    process::run(command.args(args))?;
    match args.is_empty() {
        true => println!("{name}: ok, {} cases ran: {}", plan.count(), plan.summary(target.kubeconfig())),
        false => println!("{name}: ok; a partial run ({}) of {} cases", args.join(" "), plan.count()),
    }
    Ok(())
}

fn command(workspace: &Workspace, suite: Suite, against: Against, nextest: bool) -> Command {
    let mut command = test::cargo(workspace);
    match nextest {
        true => command.args(["nextest", "run", "--no-fail-fast", "--no-tests=fail"]),
        false => command.args(["test", "--no-fail-fast"]),
    };
    command.args(against.packages());
    for binary in suite.binaries() {
        command.args(["--test", binary]);
    }
    if !nextest {
        command.arg("--");
    }
    command
}

/// The names of the tests, by the test binary itself.
fn listed(workspace: &Workspace, against: Against, binary: &str, more: &[&str]) -> Result<Vec<String>> {
    let mut list = test::cargo(workspace);
    list.args(["test", "--quiet"]).args(against.packages());
    list.args(["--test", binary, "--", "--list"]).args(more);
    let said = process::output_with_progress(&mut list)?;
    Ok(said.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

/// What runs against the embedded server, by test or module, of several lists of the file.
fn reasons(json: &str, lists: &[String]) -> Result<BTreeMap<String, String>> {
    let mut all: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_str(json).with_context(|| format!("{LIST} is no map of maps of reasons"))?;
    let mut reasons = BTreeMap::new();
    for list in lists {
        reasons.extend(all.remove(list).with_context(|| format!("{LIST} has no list {list:?}"))?);
    }
    Ok(reasons)
}

/// Which cases run where.
#[derive(Default)]
struct Plan<'a> {
    elsewhere: usize,
    /// By reason, each with its binary before its name.
    embedded: BTreeMap<&'a str, Vec<String>>,
}

impl<'a> Plan<'a> {
    /// The cases of a binary.
    fn add(&mut self, binary: &str, cases: &[String], reasons: &'a BTreeMap<String, String>) {
        for case in cases {
            let module = case.split("::").next().unwrap_or_default();
            match reasons.get(case).or_else(|| reasons.get(module)) {
                Some(reason) => self.embedded.entry(reason).or_default().push(format!("{binary} {case}")),
                None => self.elsewhere += 1,
            }
        }
    }

    fn count(&self) -> usize {
        self.elsewhere + self.embedded.values().map(Vec::len).sum::<usize>()
    }

    fn print(&self, name: &str, kubeconfig: Option<&Path>) {
        println!("{name}: {}", self.summary(kubeconfig));
        for (reason, cases) in &self.embedded {
            println!("{name}: not against it ({reason}):");
            for case in cases {
                println!("{name}:   {case}");
            }
        }
    }

    fn summary(&self, kubeconfig: Option<&Path>) -> String {
        let embedded: usize = self.embedded.values().map(Vec::len).sum();
        match kubeconfig {
            Some(file) => format!(
                "{} against the server of {}, {embedded} against the embedded one for the reasons named above",
                self.elsewhere,
                file.display()
            ),
            None => format!("{} against the embedded server", self.elsewhere),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{ "api": { "faults": "on demand", "lists::long": "counts" },
        "api-without-controllers": { "garbage": "nobody collects" } }"#;

    #[test]
    fn a_case_runs_elsewhere_unless_it_or_its_module_is_listed() {
        let cases: Vec<String> =
            ["faults::one", "faults::two", "lists::long", "lists::short", "garbage::goes"]
                .map(str::to_owned)
                .into();
        let both = ["api".to_owned(), "api-without-controllers".to_owned()];
        let reasons = reasons(JSON, &both).unwrap();
        let mut plan = Plan::default();
        plan.add("api", &cases, &reasons);
        assert_eq!((plan.elsewhere, plan.count()), (1, 5));
        assert_eq!(plan.embedded["on demand"], ["api faults::one", "api faults::two"]);
        let summary = plan.summary(Some(Path::new("/k")));
        assert!(summary.starts_with("1 against the server of /k, 4 against the embedded one"), "{summary}");
    }

    #[test]
    fn a_list_that_is_not_there_is_an_error() {
        assert!(
            reasons(JSON, &["kubectl".to_owned()]).unwrap_err().to_string().contains("no list \"kubectl\"")
        );
    }

    #[test]
    fn a_server_that_is_started_needs_a_suite() {
        assert!(Suite::of(false, false, Against::of(true, false)).is_err());
        assert!(Suite::of(false, false, Against::of(false, true)).is_err());
        assert_eq!(Suite::of(false, true, Against::Real).unwrap(), Some(Suite::EndToEnd));
        assert_eq!(Suite::of(false, false, Against::of(false, false)).unwrap(), None);
    }
}
