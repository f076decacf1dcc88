//! What cargo knows about this workspace: where it is, where it builds to, which plugins it has.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::process;

/// The workspace that xtask belongs to, wherever it is called from.
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo builds to: `target`, unless `CARGO_TARGET_DIR` or a configuration says otherwise.
    pub(crate) target: PathBuf,
    /// The packages under `examples/` that build to a component, by name.
    pub(crate) plugins: Vec<String>,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self> {
        // As `cargo run` says it now, and not as it was when this was compiled: clones that share a
        // target folder share this binary.
        let here = env::var_os("CARGO_MANIFEST_DIR")
            .context("CARGO_MANIFEST_DIR is not set: run xtask by `cargo xtask`, in the workspace")?;
        let mut metadata = cargo();
        metadata.args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"]);
        metadata.arg(Path::new(&here).join("Cargo.toml"));
        let said = process::output(&mut metadata)?;
        let said: Value = serde_json::from_str(&said).context("`cargo metadata` printed no JSON")?;
        Self::from_metadata(&said)
    }

    fn from_metadata(metadata: &Value) -> Result<Self> {
        let path = |field: &str| -> Result<PathBuf> {
            let path =
                metadata[field].as_str().with_context(|| format!("`cargo metadata` has no {field}"))?;
            Ok(PathBuf::from(path))
        };
        let root = path("workspace_root")?;
        let examples = root.join("examples");
        let mut plugins: Vec<_> = items(&metadata["packages"])
            .filter(|package| {
                package["manifest_path"].as_str().is_some_and(|at| Path::new(at).starts_with(&examples))
            })
            .filter(|package| items(&package["targets"]).any(is_cdylib))
            .filter_map(|package| package["name"].as_str().map(str::to_owned))
            .collect();
        plugins.sort();
        Ok(Self { root, target: path("target_directory")?, plugins })
    }

    /// Where the built plugins are: one `NAME.wasm` each.
    pub(crate) fn plugins_dir(&self) -> PathBuf {
        self.target.join("plugins")
    }

    /// The plugins with these names, in their order; every plugin if there are no names.
    pub(crate) fn select(&self, names: &[String]) -> Result<Vec<String>> {
        if names.is_empty() {
            return Ok(self.plugins.clone());
        }
        for name in names {
            if !self.plugins.contains(name) {
                let known =
                    if self.plugins.is_empty() { "there are none".into() } else { self.plugins.join(", ") };
                bail!(
                    "no plugin is called `{name}`: the packages under examples/ with a cdylib are: {known}"
                );
            }
        }
        Ok(names.to_vec())
    }

    /// A cargo command that works on this workspace.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root);
        command
    }
}

/// The cargo that runs us, so that toolchain overrides (`cargo +nightly xtask …`) hold all the way.
fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    // These describe xtask's own package to xtask; a build script that looks at them would be run
    // again, or misled.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name.as_ref());
        }
    }
    command
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn is_cdylib(target: &Value) -> bool {
    items(&target["crate_types"]).any(|kind| kind == "cdylib")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workspace() -> Workspace {
        let package = |name: &str, at: &str, kind: &str| json!({ "name": name, "manifest_path": at, "targets": [{ "crate_types": [kind] }] });
        Workspace::from_metadata(&json!({
            "workspace_root": "/w",
            "target_directory": "/elsewhere",
            "packages": [
                package("webapp", "/w/examples/webapp/Cargo.toml", "cdylib"),
                package("deep", "/w/examples/hostile/deep/Cargo.toml", "cdylib"),
                package("library", "/w/examples/library/Cargo.toml", "lib"),
                package("host", "/w/host/Cargo.toml", "cdylib"),
                package("other", "/w/examples-of-others/Cargo.toml", "cdylib"),
            ],
        }))
        .unwrap()
    }

    #[test]
    fn plugins_are_the_cdylibs_under_examples() {
        assert_eq!(workspace().plugins, ["deep", "webapp"]);
    }

    #[test]
    fn built_plugins_follow_the_target_directory() {
        assert_eq!(workspace().plugins_dir(), Path::new("/elsewhere/plugins"));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = workspace().select(&["webap".into()]).unwrap_err().to_string();
        assert!(error.contains("`webap`") && error.contains("deep, webapp"), "{error}");
    }
}
