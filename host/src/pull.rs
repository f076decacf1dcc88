//! `wheelhouse pull`: a component's way out of a registry, or from a web server, into a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail, ensure};
use serde_json::json;
use wheelhouse_artifacts::{Credentials, Location};

use crate::cli::{Output, PullArgs};
use crate::print;
use crate::transfer;

/// Fetches a component, writes it, and prints what it is.
pub(crate) async fn pull(args: PullArgs) -> anyhow::Result<()> {
    let location = location(&args.location)?;
    let target = Target::of(&args, &location)?;
    // Before anything is fetched in vain, and again when it is there.
    target.check(args.force)?;
    let credentials = Credentials::of_this_user()?;
    let fetched = transfer::client()?.fetch(&location, &credentials, None).await;
    transfer::clear();
    let fetched = fetched?;
    let named = match (&location, fetched.resolved.manifest) {
        (Location::Registry(reference), Some(manifest)) => reference.pinned(manifest).to_string(),
        (location, _) => location.to_string(),
    };
    target.write(&fetched.bytes, args.force)?;
    let size = fetched.bytes.len();
    let report = match args.format {
        Output::Text => format!("pulled {named}, component {}\n", fetched.component),
        Output::Json => {
            let report = json!({
                "reference": named,
                "manifest": fetched.resolved.manifest.map(|digest| digest.to_string()),
                "digest": fetched.component.to_string(),
                "size": size,
                "file": target.path(),
            });
            format!("{report:#}\n")
        }
    };
    match target {
        Target::File(_) => print(&report),
        // The standard output has the component alone.
        Target::Stdout => {
            eprint!("{report}");
            Ok(())
        }
    }
}

/// A reference may go without its scheme here.
fn location(text: &str) -> anyhow::Result<Location> {
    if text.contains("://") { Ok(text.parse()?) } else { Ok(Location::Registry(text.parse()?)) }
}

/// Where a component goes.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Stdout,
    File(PathBuf),
}

impl Target {
    fn of(args: &PullArgs, location: &Location) -> anyhow::Result<Self> {
        match &args.output {
            Some(output) if output.as_os_str() == "-" => Ok(Self::Stdout),
            Some(folder) if folder.is_dir() => Ok(Self::File(folder.join(name(location)?))),
            Some(file) => Ok(Self::File(file.clone())),
            None => Ok(Self::File(name(location)?.into())),
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdout => None,
            Self::File(path) => Some(path),
        }
    }

    fn check(&self, force: bool) -> anyhow::Result<()> {
        match self {
            Self::File(path) if !force && path.symlink_metadata().is_ok() => {
                bail!("{}: there is such a file; --force replaces it, and -o names another", path.display())
            }
            _ => Ok(()),
        }
    }

    /// All of it, or nothing: a file is renamed when it is complete.
    fn write(&self, bytes: &[u8], force: bool) -> anyhow::Result<()> {
        let Self::File(path) = self else {
            return match io::stdout().write_all(bytes) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                result => result.context("standard output"),
            };
        };
        let cannot = || format!("{}: cannot be written", path.display());
        let name = path.file_name().ok_or_else(|| anyhow!("no name of a file")).with_context(cannot)?;
        let part = path.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&part)
            .and_then(|file| fill(file, bytes))
            .with_context(cannot)
            .and_then(|()| self.check(force))
            .and_then(|()| fs::rename(&part, path).with_context(cannot));
        if written.is_err() {
            // If it is not there, or not to be removed, the error before says more.
            let _ = fs::remove_file(&part);
        }
        written
    }
}

fn fill(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

/// What a component's file is called if nobody says it.
fn name(location: &Location) -> anyhow::Result<String> {
    match location {
        Location::Registry(reference) => Ok(format!("{}.wasm", reference.name())),
        Location::Web(address) => {
            let name = address.name();
            let is_plain = |c: char| c.is_ascii_alphanumeric() || ['.', '-', '_'].contains(&c);
            ensure!(
                name.ends_with(".wasm") && !name.starts_with('.') && name.chars().all(is_plain),
                "{location}: no name for the file can be made of this; -o names one"
            );
            Ok(name.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> anyhow::Result<String> {
        name(&location(text)?)
    }

    #[test]
    fn a_file_is_called_like_what_is_in_it() {
        for (text, file) in [
            ("ghcr.io/team/hello:1.0", "hello.wasm"),
            ("oci://localhost:5000/hello", "hello.wasm"),
            ("https://example.com/a/hello-1.0.wasm?token=x", "hello-1.0.wasm"),
        ] {
            assert_eq!(named(text).unwrap(), file);
        }
    }

    #[test]
    fn a_name_that_is_no_plain_one_is_not_made_up() {
        for text in [
            "https://example.com/",
            "https://example.com/download?file=hello.wasm",
            "https://example.com/.wasm",
            "https://example.com/a%2f..%2fb.wasm",
            "https://example.com/a%00.wasm",
        ] {
            assert!(named(text).unwrap_err().to_string().contains("-o"), "{text}");
        }
    }
}
