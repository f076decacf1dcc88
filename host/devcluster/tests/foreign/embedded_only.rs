//! What runs against the embedded server though the tests are to run against another one, and why.
//!
//! `embedded-only.json` has it, for each test binary modules and tests with their reasons; `cargo xtask test` prints it.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Names the kubeconfig of a cluster that is there for tests.
const VARIABLE: &str = "WHEELHOUSE_TEST_KUBECONFIG";
/// Says what that cluster lacks, if it does: all `controllers`, or those of `workloads`.
const WITHOUT: &str = "WHEELHOUSE_TEST_WITHOUT";

/// By binary, or by binary and what a cluster lacks.
fn lists() -> BTreeMap<String, BTreeMap<String, String>> {
    serde_json::from_str(include_str!("embedded-only.json")).unwrap()
}

fn listed(binary: &str) -> BTreeMap<String, String> {
    let mut all = lists();
    let mut listed = all.remove(binary).unwrap();
    if let Ok(lacking) = std::env::var(WITHOUT) {
        listed.extend(all.remove(&format!("{binary}-without-{lacking}")).unwrap());
    }
    listed
}

/// The kubeconfig that the current test of a binary is to use, if it is to use another cluster.
pub(crate) fn kubeconfig(binary: &str) -> Option<PathBuf> {
    let file = std::env::var_os(VARIABLE)?;
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    let module = test.split("::").next().unwrap_or_default();
    let listed = listed(binary);
    if let Some(reason) = listed.get(test).or_else(|| listed.get(module)) {
        eprintln!("{test} runs against the embedded server: {reason}");
        return None;
    }
    Some(file.into())
}

/// Every entry names what there is, and has a reason.
pub(crate) fn check(binary: &str) {
    let is_of_binary = |list: &String| {
        list.strip_prefix(binary).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    for (name, reason) in
        lists().into_iter().filter(|(list, _)| is_of_binary(list)).flat_map(|(_, list)| list)
    {
        assert!(!reason.is_empty(), "{name}");
        let (module, test) = name.split_once("::").unwrap_or((&name, ""));
        let file = format!("{}/tests/{binary}/{module}.rs", env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(&file).unwrap();
        assert!(source.contains(&format!("fn {test}")), "{name}");
    }
}
