//! How plugins are compiled: what the command line says of it, and the defaults of this machine.

use std::env;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use wheelhouse_sandbox::{CompileCache, CompileLimits, Compiler, SandboxConfig};

use crate::cli::CompileArgs;
use crate::component_store::ComponentStore;

/// This program, even when the file that it was started from has been replaced.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// A sandbox that compiles in processes of its own.
pub(crate) fn sandbox(args: &CompileArgs) -> anyhow::Result<SandboxConfig> {
    let defaults = CompileLimits::default();
    let compile = CompileLimits {
        timeout: args.compile_timeout,
        memory: args.compile_memory,
        jobs: args.compile_jobs.map_or(defaults.jobs, NonZero::get),
        ..defaults
    };
    let compiler = Compiler::Child { program: THIS_PROGRAM.into(), args: vec!["__compile".into()] };
    Ok(SandboxConfig { compiler, compile, cache: cache(args)?, ..SandboxConfig::default() })
}

/// What was asked for has to work; what was not is done without.
fn cache(args: &CompileArgs) -> anyhow::Result<Option<CompileCache>> {
    let open = |folder: &Path| CompileCache::open(folder, args.cache_size);
    if let Some(folder) = &args.cache_dir {
        return Ok(Some(open(folder)?));
    }
    let Some(folder) = default_folder(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME")) else {
        tracing::info!(
            "compiled plugins are not kept for the next start: this user has no home; --cache-dir names a folder"
        );
        return Ok(None);
    };
    let without = |error: &_| {
        tracing::warn!(
            "compiled plugins are not kept for the next start: {error}; --cache-dir names another"
        );
    };
    Ok(open(&folder).inspect_err(without).ok())
}

/// In the same folder; none if there is none.
pub(crate) fn component_store(config: &SandboxConfig) -> Option<ComponentStore> {
    let folder = config.cache.as_ref()?.folder().join("components");
    let without = |error: &_| {
        tracing::warn!(folder = %folder.display(), "components from registries are not kept for the next start: {error}");
    };
    ComponentStore::open(&folder).inspect_err(without).ok()
}

fn default_folder(
    cache_home: Option<impl Into<PathBuf>>,
    home: Option<impl Into<PathBuf>>,
) -> Option<PathBuf> {
    // A path that is not absolute is to be ignored, says the specification.
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let cache_home = cache_home.and_then(|path| absolute(path.into()));
    let base = cache_home.or_else(|| Some(absolute(home?.into())?.join(".cache")))?;
    Some(base.join("wheelhouse"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_the_user_keeps_caches() {
        for (cache_home, home, folder) in [
            (Some("/c"), Some("/h"), Some("/c/wheelhouse")),
            (None, Some("/h"), Some("/h/.cache/wheelhouse")),
            (Some("relative"), Some("/h"), Some("/h/.cache/wheelhouse")),
            (Some(""), Some(""), None),
            (None, None, None),
        ] {
            assert_eq!(
                default_folder(cache_home, home),
                folder.map(PathBuf::from),
                "{cache_home:?} {home:?}"
            );
        }
    }
}
