//! The programs that Docker's configuration names instead of passwords: `docker-credential-NAME get`.
//!
//! <https://github.com/docker/docker-credential-helpers>

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use wheelhouse_core::printable::excerpt;

use crate::credentials::{Credential, Secret};

/// A helper may have to ask a server.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Of an answer.
const LONGEST: u64 = 256 << 10;
/// What helpers print when they have none; with an exit code that says that something went wrong.
const NONE: &str = "credentials not found in native keychain";
/// The user that stands for a token.
const TOKEN: &str = "<token>";

/// A helper has not helped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelperError {
    /// No name of a program.
    #[error("Docker's configuration names the credential helper {0:?}, which is no program's name")]
    Name(String),
    /// It is not there, or broke.
    #[error("{program}, which Docker's configuration names for a registry's credentials, failed: {why}")]
    Failed {
        /// Its name.
        program: String,
        /// How.
        why: String,
    },
    /// It takes too long.
    #[error(
        "{program}, which Docker's configuration names for a registry's credentials, took longer than {limit:?}"
    )]
    TimedOut {
        /// Its name.
        program: String,
        /// As long as it may take.
        limit: Duration,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks a helper for a registry's credential. It may have none.
pub(crate) async fn get(helper: &str, registry: &str) -> Result<Option<Credential>, HelperError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    if helper.is_empty() || !helper.chars().all(is_plain) {
        return Err(HelperError::Name(excerpt(helper)));
    }
    ask(format!("docker-credential-{helper}"), registry, TIMEOUT).await
}

async fn ask(program: String, registry: &str, limit: Duration) -> Result<Option<Credential>, HelperError> {
    match tokio::time::timeout(limit, run(&program, registry)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(why)) => Err(HelperError::Failed { program, why }),
        Err(_) => Err(HelperError::TimedOut { program, limit }),
    }
}

async fn run(program: &str, registry: &str) -> Result<Option<Credential>, String> {
    let said = |error: std::io::Error| error.to_string();
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(said)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read knows without.
        let _ = stdin.write_all(registry.as_bytes()).await;
    }
    let mut printed = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(LONGEST).read_to_end(&mut printed).await.map_err(said)?;
    }
    let status = child.wait().await.map_err(said)?;
    if !status.success() {
        let printed = String::from_utf8_lossy(&printed);
        return if printed.trim() == NONE { Ok(None) } else { Err(status.to_string()) };
    }
    // Without its words: they may be a password.
    let answer: Answer =
        serde_json::from_slice(&printed).map_err(|_| "it printed no credentials".to_owned())?;
    let secret = Secret::new(answer.secret);
    Ok(Some(match answer.username {
        user if user == TOKEN => Credential::Identity(secret),
        user => Credential::Password { user, password: secret },
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    // One test: a program cannot be started while another thread, that starts one too, has it open for writing.
    #[tokio::test]
    async fn a_helper_has_a_credential_or_has_none_or_is_an_error_without_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("docker-credential-test");
        let program = file.to_str().unwrap().to_owned();
        let helper = async |script: &str, limit| {
            std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
            ask(program.clone(), "https://r.io", limit).await
        };
        let is_asked = "[ \"$1\" = get ] && [ \"$(cat)\" = https://r.io ] || exit 3";
        let answer = |user| {
            format!(
                "{is_asked}\necho '{{\"ServerURL\":\"x\",\"Username\":\"{user}\",\"Secret\":\"s3cret\"}}'"
            )
        };
        let secret = Secret::new("s3cret");
        let me = Credential::Password { user: "me".to_owned(), password: secret.clone() };
        assert_eq!(helper(&answer("me"), TIMEOUT).await, Ok(Some(me)));
        assert_eq!(helper(&answer("<token>"), TIMEOUT).await, Ok(Some(Credential::Identity(secret))));
        let none = "echo credentials not found in native keychain; exit 1";
        assert_eq!(helper(none, TIMEOUT).await, Ok(None));
        for (script, why) in [
            ("echo s3cret; echo s3cret >&2; exit 1", "exit status: 1"),
            ("echo s3cret", "no credentials"),
            ("exec yes s3cret", "signal: 13"),
        ] {
            let error = helper(script, TIMEOUT).await.unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(why) && shown.contains("docker-credential-test"), "{shown}");
            assert!(!shown.contains("s3cret"), "{shown}");
        }
        let error = helper("exec sleep 600", Duration::from_millis(100)).await.unwrap_err();
        assert!(matches!(error, HelperError::TimedOut { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn only_a_program_of_that_name_is_run() {
        for name in ["", "../x", "a/b", "a b", "a\0b", "a;b"] {
            assert!(matches!(get(name, "r.io").await, Err(HelperError::Name(_))), "{name:?}");
        }
        let error = get("no-such-helper", "r.io").await.unwrap_err().to_string();
        assert!(
            error.contains("docker-credential-no-such-helper") && error.contains("No such file"),
            "{error}"
        );
    }
}
