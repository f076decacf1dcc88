//! Building the example plugins into components.
//!
//! Each plugin is built by itself, so that its bytes do not depend on which others are built with
//! it (cargo unifies the features of what it builds at once). They have a target folder of their
//! own, so that the host's builds are not disturbed.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::debian::Debian;
use crate::process;
use crate::setup::{TARGET, Toolchain};
use crate::workspace::Workspace;

/// How the first eight bytes of a component differ from those of a core module: version 13, layer 1.
const COMPONENT_PREAMBLE: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// What to build, and how it differs from an ordinary build.
#[derive(Default)]
pub(crate) struct Build {
    /// The plugins; all of them if empty.
    pub(crate) names: Vec<String>,
    /// Where the components go, instead of `target/plugins`.
    pub(crate) out: Option<PathBuf>,
    /// More environment variables for cargo: a plugin may read them with `option_env!`.
    pub(crate) env: Vec<(String, String)>,
    /// More arguments for `cargo build`, such as `--features=…`.
    pub(crate) cargo_args: Vec<String>,
}

/// A plugin that was built.
pub(crate) struct Plugin {
    pub(crate) name: String,
    /// Absolute.
    pub(crate) path: PathBuf,
}

/// Builds plugins; each appears at `NAME.wasm` whole, by a rename.
pub(crate) fn build(workspace: &Workspace, toolchain: &Toolchain, build: &Build) -> Result<Vec<Plugin>> {
    let out = match &build.out {
        Some(dir) => std::path::absolute(dir)?,
        None => workspace.plugins_dir(),
    };
    fs::create_dir_all(&out).with_context(|| format!("cannot create the folder {}", out.display()))?;
    let names = workspace.select(&build.names)?;
    if build.out.is_none() && build.names.is_empty() {
        remove_strays(&out, &names)?;
    }
    if names.is_empty() {
        eprintln!("build-plugins: no package under examples/ has a cdylib");
    }
    names.into_iter().map(|name| build_one(workspace, toolchain, build, name, &out)).collect()
}

/// Builds a package that is no example, by the same rules, into a folder of its own.
pub(crate) fn build_package(
    workspace: &Workspace,
    toolchain: &Toolchain,
    name: &str,
    out: &Path,
) -> Result<Plugin> {
    let out = std::path::absolute(out)?;
    fs::create_dir_all(&out).with_context(|| format!("cannot create the folder {}", out.display()))?;
    build_one(workspace, toolchain, &Build::default(), name.to_owned(), &out)
}

fn build_one(
    ws: &Workspace,
    toolchain: &Toolchain,
    build: &Build,
    name: String,
    out: &Path,
) -> Result<Plugin> {
    let started = Instant::now();
    eprintln!("build-plugins: {name} …");
    let mut cargo = ws.cargo();
    cargo.args(["build", "--profile=plugin", "--message-format=json-render-diagnostics", "--target", TARGET]);
    cargo.args(["--package", &name, "--lib", "--target-dir"]).arg(ws.target.join("guest"));
    // Whoever sets these means the host: `-Dwarnings` on the standard library, or the host's CPU
    // for WebAssembly, cannot be meant. They would also push the flags below aside.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    if let Toolchain::Debian(debian) = toolchain {
        // Debian's libraries are its own; those of the toolchain that runs us are not for it.
        cargo.env("RUSTC", &debian.rustc).env("RUSTC_BOOTSTRAP", "1").env_remove("LD_LIBRARY_PATH");
        cargo.args(debian_args(debian)?);
    }
    cargo.args(&build.cargo_args).envs(build.env.iter().map(|(key, value)| (key, value)));
    let messages =
        process::output_with_progress(&mut cargo).with_context(|| format!("plugin {name} does not build"))?;
    let built =
        artifact(&messages).with_context(|| format!("cargo built no .wasm file for plugin {name}"))?;
    let path = out.join(format!("{name}.wasm"));
    publish(&built, &path)?;
    let size = fs::metadata(&path)?.len() / 1024;
    eprintln!("build-plugins: {name}: {size} KiB in {:.1} s", started.elapsed().as_secs_f64());
    Ok(Plugin { name, path })
}

/// What cargo has to be told so that Debian's compiler makes components. As configuration and not as
/// environment, since a path in a list may have blanks in it.
fn debian_args(debian: &Debian) -> Result<Vec<String>> {
    let text = |path: &Path| -> Result<String> {
        Ok(path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?.to_owned())
    };
    let flags = [
        "-Clink-self-contained=no".to_owned(),
        format!("-Clink-arg=--wasm-ld-path={}", text(&debian.wasm_ld)?),
        format!("-L{}", text(&debian.libc_dir)?),
        format!("-Clink-arg={}", text(&debian.crt)?),
    ];
    // A JSON string, and a list of them, is a TOML one.
    let linker = serde_json::to_string(&text(&debian.component_ld)?)?;
    let flags = serde_json::to_string(&flags)?;
    Ok(vec![
        "-Zbuild-std=std,panic_abort".into(),
        format!("--config=target.{TARGET}.linker={linker}"),
        format!("--config=target.{TARGET}.rustflags={flags}"),
    ])
}

/// The last `.wasm` file that cargo reports.
fn artifact(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut files = messages.filter_map(|message| {
        let files = message.get("filenames")?.as_array()?;
        let mut files = files.iter().filter_map(Value::as_str).map(PathBuf::from);
        files.find(|file| file.extension().is_some_and(|end| end == "wasm"))
    });
    files.next_back()
}

/// Copies a component to its place. Who watches the folder sees the old file or the new one.
fn publish(built: &Path, path: &Path) -> Result<()> {
    let mut preamble = [0; 8];
    File::open(built)
        .and_then(|mut file| file.read_exact(&mut preamble))
        .with_context(|| unreadable(built))?;
    if preamble != COMPONENT_PREAMBLE {
        bail!("{} is not a component: it starts with {preamble:02x?}", built.display());
    }
    let partial = path.with_extension("wasm.partial");
    fs::copy(built, &partial).with_context(|| format!("cannot write {}", partial.display()))?;
    fs::rename(&partial, path).with_context(|| format!("cannot write {}", path.display()))
}

/// A plugin that the workspace has no longer must not be loaded from what an earlier build left.
fn remove_strays(dir: &Path, names: &[String]) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| unreadable(dir))? {
        let path = entry?.path();
        let ours = path.file_stem().is_some_and(|stem| names.iter().any(|name| stem == name.as_str()));
        if !ours && path.extension().is_some_and(|end| end == "wasm") {
            eprintln!("build-plugins: removing {}, which no example builds any more", path.display());
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn unreadable(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process;

    use super::*;

    fn folder(test: &str) -> PathBuf {
        let dir = env::temp_dir().join(format!("wheelhouse-xtask-{test}-{}", process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn the_artifact_is_the_wasm_file_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","filenames":["/t/libdep.rlib","/t/libdep.rmeta"]}
            {"reason":"build-script-executed"}
            {"reason":"compiler-artifact","filenames":["/t/node_census.wasm"]}
            {"reason":"build-finished","success":true}"#;
        assert_eq!(artifact(messages), Some(PathBuf::from("/t/node_census.wasm")));
        assert_eq!(artifact("not json"), None);
    }

    #[test]
    fn flags_survive_a_blank_in_a_path() {
        let args = debian_args(&Debian::example()).unwrap();
        assert!(
            args.contains(&r#"--config=target.wasm32-wasip2.linker="/a b/bin/wasm-component-ld""#.to_owned())
        );
        assert!(
            args.iter().any(|arg| arg.contains(r#""-Clink-arg=--wasm-ld-path=/a b/bin/gcc-ld/wasm-ld","#))
        );
    }

    #[test]
    fn a_core_module_is_not_published() {
        let dir = folder("core-module");
        let (built, path) = (dir.join("built.wasm"), dir.join("plugin.wasm"));
        fs::write(&built, b"\0asm\x01\0\0\0").unwrap();
        let error = publish(&built, &path).unwrap_err().to_string();
        assert!(error.contains("is not a component"), "{error}");
        assert!(!path.exists());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_component_is_published_whole_and_leaves_no_partial_file() {
        let dir = folder("component");
        let (built, path) = (dir.join("built.bin"), dir.join("plugin.wasm"));
        fs::write(&built, [&COMPONENT_PREAMBLE[..], b"rest"].concat()).unwrap();
        publish(&built, &path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), fs::read(&built).unwrap());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn strays_go_and_the_rest_stays() {
        let dir = folder("strays");
        for name in ["webapp.wasm", "gone.wasm", "notes.txt"] {
            fs::write(dir.join(name), "").unwrap();
        }
        remove_strays(&dir, &["webapp".to_owned()]).unwrap();
        let mut left: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["notes.txt", "webapp.wasm"]);
        fs::remove_dir_all(dir).unwrap();
    }
}
