//! The host, as developers have it: for the demo, and to be tried by hand.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::process;
use crate::workspace::Workspace;

/// Builds the host and returns its binary.
pub(crate) fn run(workspace: &Workspace) -> Result<PathBuf> {
    let mut cargo = workspace.cargo();
    // Of the whole workspace, and with a target that is for developers, so that the dependencies have the
    // features that they have for the tests: with others, wasmtime would be built a second time.
    cargo.args(["build", "--workspace", "--bin", "wheelhouse", "--example", "serve"]);
    cargo.arg("--message-format=json-render-diagnostics");
    let messages = process::output_with_progress(&mut cargo).context("the host does not build")?;
    executable(&messages, "wheelhouse").context("cargo built no binary for the host")
}

/// The binary with this name, as cargo reports it.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_name = messages.filter(|message| message.pointer("/target/name").is_some_and(|it| it == name));
    let mut files = of_name.filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from));
    files.next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_the_executable_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","executable":null,"filenames":["/t/libdep.rlib"]}
            {"reason":"compiler-artifact","target":{"name":"wheelhouse"},"executable":"/t/debug/wheelhouse"}
            {"reason":"compiler-artifact","target":{"name":"serve"},"executable":"/t/debug/examples/serve"}
            {"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages, "wheelhouse"), Some(PathBuf::from("/t/debug/wheelhouse")));
        assert_eq!(executable("", "wheelhouse"), None);
    }
}
