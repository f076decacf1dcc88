//! Running other programs, so that a failure says which command failed and how.

use std::ffi::OsStr;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

/// The command as one would type it.
pub(crate) fn display(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Runs a command whose output goes to the terminal.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run `{}`", display(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status}); its output is above", display(command));
    }
    Ok(())
}

/// Runs a command and returns what it printed. Its standard error is part of the error, if it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run `{}`", display(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed ({}): {}", display(command), output.status, said.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` printed no UTF-8", display(command)))
}

/// Runs a command and returns what it printed; its standard error goes to the terminal.
pub(crate) fn output_with_progress(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run `{}`", display(command)))?;
    if !output.status.success() {
        bail!("`{}` failed ({}); its output is above", display(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` printed no UTF-8", display(command)))
}

/// Runs a command without a word, and kills it when it takes longer than `limit`. The error is one
/// line: the command's own `error:` line, if it printed one.
pub(crate) fn quietly_within(command: &mut Command, limit: Duration) -> Result<()> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{}`", display(command)))?;
    let mut stderr = child.stderr.take().context("the child's standard error was not captured")?;
    let (finished, wait) = mpsc::channel();
    thread::spawn(move || {
        let mut said = Vec::new();
        // A read that fails ends the text; how the child ended is asked below.
        let _ = stderr.read_to_end(&mut said);
        let _ = finished.send(String::from_utf8_lossy(&said).into_owned());
    });
    let Ok(said) = wait.recv_timeout(limit) else {
        child.kill().context("cannot stop a command that takes too long")?;
        child.wait()?;
        bail!("no answer within {} s", limit.as_secs());
    };
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(anyhow!("{}", error_line(&said, &status.to_string()))) }
}

/// The line that says what was wrong. Of a long chain of causes only the ends tell something.
fn error_line(said: &str, otherwise: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().find(|line| line.starts_with("error")).or_else(|| lines().next());
    let line = line.unwrap_or(otherwise).trim_start_matches("error:").trim();
    match line.split(": ").collect::<Vec<_>>()[..] {
        [what, _, _, .., why] => format!("{what}: … {why}"),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_slow_command_is_stopped_at_its_limit() {
        let error = quietly_within(&mut shell("exec sleep 600"), Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("no answer within"), "{error}");
    }

    #[test]
    fn the_error_is_the_commands_own_line() {
        let script = "echo info: trying >&2; echo error: no such host >&2; echo backtrace >&2; exit 1";
        let error = quietly_within(&mut shell(script), Duration::from_secs(10)).unwrap_err();
        assert_eq!(error.to_string(), "no such host");
    }

    #[test]
    fn a_chain_of_causes_is_cut_to_its_ends() {
        let said = "error: download failed: could not fetch 'https://x': request failed: connection refused";
        assert_eq!(error_line(said, ""), "download failed: … connection refused");
    }

    #[test]
    fn a_silent_failure_still_says_how_it_ended() {
        let error = quietly_within(&mut shell("exit 3"), Duration::from_secs(10)).unwrap_err();
        assert_eq!(error.to_string(), "exit status: 3");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = output(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(error.to_string().contains("no-such-program-here"), "{error}");
    }
}
