//! kubectl against the demo's API server, and nobody else's: no kubeconfig, cache or preference of
//! the user's is read or written.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A server that does not answer must not hold up the demo.
const REQUEST_TIMEOUT: &str = "--request-timeout=60s";

pub(crate) struct Kubectl {
    root: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

/// What a command printed, and whether it succeeded.
pub(crate) struct Said {
    pub(crate) ok: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// Both outputs, as in a terminal.
    pub(crate) fn all(&self) -> String {
        format!("{}\n{}", self.stdout.trim(), self.stderr.trim()).trim().to_owned()
    }
}

impl Kubectl {
    /// It runs in `root`, and files there are named from there.
    pub(crate) fn new(root: PathBuf, kubeconfig: PathBuf, cache: PathBuf) -> Self {
        Self { root, kubeconfig, cache }
    }

    pub(crate) fn run(&self, args: &[&str]) -> Result<Said> {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&self.kubeconfig).arg("--cache-dir").arg(&self.cache);
        command.arg(REQUEST_TIMEOUT).args(args);
        command.current_dir(&self.root).env("KUBECTL_KUBERC", "false").stdin(Stdio::null());
        let output = command.output().with_context(|| format!("cannot run `{}`", typed(args)))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Said { ok: output.status.success(), stdout: text(&output.stdout), stderr: text(&output.stderr) })
    }

    /// `get … -o json`; the error is what kubectl said instead.
    pub(crate) fn get(&self, args: &[&str]) -> Result<Value, String> {
        let args = [&["get"], args, &["--output=json"]].concat();
        let said = self.run(&args).map_err(|error| format!("{error:#}"))?;
        if !said.ok {
            return Err(format!("`{}`: {}", typed(&args), said.all()));
        }
        serde_json::from_str(&said.stdout).map_err(|error| format!("`{}`: {error}", typed(&args)))
    }

    /// A path as one would type it where kubectl runs.
    pub(crate) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

/// The command as a person would type it, who has set KUBECONFIG.
pub(crate) fn typed(args: &[&str]) -> String {
    let words = std::iter::once(&"kubectl").chain(args).map(|word| quoted(word));
    words.collect::<Vec<_>>().join(" ")
}

/// A word for a shell.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_a_shell_reads_it() {
        let args = ["patch", "webapp", "hello", "-p", r#"{"a":"it's"}"#, ""];
        assert_eq!(typed(&args), r#"kubectl patch webapp hello -p '{"a":"it'\''s"}' ''"#);
    }

    #[test]
    fn paths_are_named_from_the_workspace() {
        let kubectl = Kubectl::new("/w".into(), "/t/kubeconfig".into(), "/t/cache".into());
        assert_eq!(kubectl.shown(Path::new("/w/target/demo")), "target/demo");
        assert_eq!(kubectl.shown(Path::new("/elsewhere/demo")), "/elsewhere/demo");
    }
}
