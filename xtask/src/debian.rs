//! Debian's compiler for the web, where rustup cannot fetch the target's standard library.
//!
//! Three packages: `rustc-web` (a compiler), `rust-web-src` (the standard library's source that fits
//! it) and `wasi-libc` (the C library below it). Debian has no linker for components, so that comes
//! from the rustup toolchain. Where each file is gets asked, not assumed.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process;
use crate::setup::rustc_version;

const PACKAGES: [&str; 3] = ["rustc-web", "rust-web-src", "wasi-libc"];

/// A complete set: everything that cargo has to be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Debian {
    /// The compiler; not the `rustc` on PATH, which is rustup's.
    pub(crate) rustc: PathBuf,
    /// What it calls itself.
    version: String,
    /// `wasm-component-ld`, which wraps the core module that the linker makes into a component.
    pub(crate) component_ld: PathBuf,
    /// The linker that it calls. `rust-lld`, which this starts, does not do: it goes by its name.
    pub(crate) wasm_ld: PathBuf,
    /// The folder with wasi-libc's `libc.a`.
    pub(crate) libc_dir: PathBuf,
    /// wasi-libc's start-up code for a library.
    pub(crate) crt: PathBuf,
}

impl fmt::Display for Debian {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version: Vec<_> = self.version.split(' ').take(2).collect();
        write!(f, "Debian's {} ({}) and std from source", version.join(" "), self.rustc.display())
    }
}

/// What stands between the machine and a complete set.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// These packages: they can be installed.
    Packages(Vec<String>),
    /// Something that no package brings.
    Other(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packages(names) => write!(f, "not installed: {}", names.join(", ")),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// Looks for a complete set.
pub(crate) fn find() -> Result<Debian, Missing> {
    let missing: Vec<_> =
        PACKAGES.iter().filter(|name| !is_installed(name)).map(|name| (*name).to_owned()).collect();
    if !missing.is_empty() {
        return Err(Missing::Packages(missing));
    }
    locate().map_err(|error| Missing::Other(format!("{error:#}")))
}

fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${db:Status-Status}", package]);
    process::output(&mut query).is_ok_and(|status| status.trim() == "installed")
}

fn locate() -> Result<Debian> {
    let rustc = file_of("rustc-web", "bin/rustc")?;
    let rustc_str = rustc.to_string_lossy();
    let sysroot = process::output(Command::new(&rustc).args(["--print", "sysroot"]))?;
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/Cargo.lock");
    if !source.exists() {
        bail!("rust-web-src is of another version than rustc-web: {} is missing", source.display());
    }
    let crt = file_of("wasi-libc", "/crt1-reactor.o")?;
    let libc_dir = crt.parent().context("crt1-reactor.o is in no folder")?.to_path_buf();
    let (component_ld, wasm_ld) = linkers()?;
    Ok(Debian { version: rustc_version(&rustc_str)?, rustc, component_ld, wasm_ld, libc_dir, crt })
}

/// The first file of a package whose path ends so.
fn file_of(package: &str, end: &str) -> Result<PathBuf> {
    let files = process::output(Command::new("dpkg-query").args(["--listfiles", package]))?;
    let file =
        files.lines().map(Path::new).find(|file| file.to_string_lossy().ends_with(end) && file.is_file());
    file.map(Path::to_path_buf).with_context(|| format!("package {package} has no file …{end}"))
}

/// The linkers of the active toolchain: for components, and the one that it calls.
fn linkers() -> Result<(PathBuf, PathBuf)> {
    let sysroot = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let about = process::output(Command::new("rustc").arg("-vV"))?;
    let host =
        about.lines().find_map(|line| line.strip_prefix("host: ")).context("`rustc -vV` names no host")?;
    let bin = Path::new(sysroot.trim()).join("lib/rustlib").join(host).join("bin");
    let (component_ld, wasm_ld) = (bin.join("wasm-component-ld"), bin.join("gcc-ld/wasm-ld"));
    for file in [&component_ld, &wasm_ld] {
        if !file.exists() {
            bail!("{} is missing: the active Rust toolchain must be one from rustup", file.display());
        }
    }
    Ok((component_ld, wasm_ld))
}

/// The command that installs the packages, for people to read.
pub(crate) fn install_command() -> String {
    format!("apt-get install --yes --no-install-recommends {}", PACKAGES.join(" "))
}

/// Installs the packages that are missing, if we may.
pub(crate) fn install(missing: &Missing) -> Result<()> {
    let Missing::Packages(names) = missing else { bail!("{missing}") };
    if process::output(Command::new("apt-get").arg("--version")).is_err() {
        bail!("there is no apt-get here");
    }
    let sudo = match as_root() {
        Some(sudo) => sudo,
        None => bail!("{missing}; installing them takes root, and `sudo` asks for a password"),
    };
    eprintln!("setup: installing {} (some 600 MB unpacked; a minute or two)", names.join(", "));
    let apt = |args: &[&str]| {
        let mut words =
            sudo.iter().chain(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"].iter()).chain(args);
        let mut command = Command::new(words.next().unwrap_or(&"apt-get"));
        command.args(words);
        command
    };
    // Lists that cannot be refreshed in part (someone's own source is down) may still do.
    if let Err(failed) = process::run(&mut apt(&["update", "--quiet"])) {
        eprintln!("setup: {failed}; going on with the lists that are there");
    }
    let mut words =
        vec!["install", "--quiet", "--yes", "--no-install-recommends", "-oDPkg::Lock::Timeout=60"];
    words.extend(names.iter().map(String::as_str));
    process::run(&mut apt(&words))
}

/// Unpacks a package into a folder without installing it, which takes no root and runs none of its scripts.
pub(crate) fn unpack(package: &str, folder: &Path) -> Result<()> {
    let part = folder.with_extension("part");
    // What a run before this one may have left.
    let _ = fs::remove_dir_all(&part);
    fs::create_dir_all(&part).with_context(|| format!("{}: cannot be made", part.display()))?;
    eprintln!("setup: unpacking Debian's {package} into {}", folder.display());
    let download =
        || process::run(Command::new("apt-get").args(["download", "--quiet", package]).current_dir(&part));
    // Lists that are missing, or older than the package that they name.
    let refresh = || {
        let words = as_root().context("refreshing apt's lists takes root, and `sudo` asks for a password")?;
        let mut words = words.iter().chain(&["apt-get", "update", "--quiet"]);
        process::run(Command::new(words.next().unwrap_or(&"apt-get")).args(words))
    };
    download().or_else(|_| refresh().and_then(|()| download()))?;
    for entry in fs::read_dir(&part)? {
        let file = entry?.path();
        let is_package = file.extension().is_some_and(|extension| extension == "deb");
        if is_package {
            process::run(Command::new("dpkg-deb").arg("--extract").args([&file, &part]))?;
            fs::remove_file(&file)?;
        }
    }
    fs::rename(&part, folder).with_context(|| format!("{}: cannot be made", folder.display()))
}

/// What to put before a command that needs root; none if there is no way without a question.
fn as_root() -> Option<&'static [&'static str]> {
    let is_root = process::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if is_root {
        return Some(&[]);
    }
    let may_sudo = process::output(Command::new("sudo").args(["-n", "true"])).is_ok();
    may_sudo.then_some(&["sudo", "-n"])
}

#[cfg(test)]
impl Debian {
    pub(crate) fn example() -> Self {
        Self {
            rustc: "/usr/bin/rustc".into(),
            version: "rustc 1.96.0".into(),
            component_ld: "/a b/bin/wasm-component-ld".into(),
            wasm_ld: "/a b/bin/gcc-ld/wasm-ld".into(),
            libc_dir: "/usr/lib/wasm32-wasi".into(),
            crt: "/usr/lib/wasm32-wasi/crt1-reactor.o".into(),
        }
    }
}

#[cfg(test)]
impl Missing {
    pub(crate) fn example() -> Self {
        Self::Packages(PACKAGES.iter().map(|name| (*name).to_owned()).collect())
    }
}
